"""Decoders with a classification head, with tokenizers and padding as they are published."""

import pytest
import torch
import transformers
from allennlp.common import Params
from allennlp.interpret.saliency_interpreters import SaliencyInterpreter
from allennlp.predictors import Predictor
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

from allennlp_layer_saliency.commands.archive import make_archive
from allennlp_layer_saliency.models.huggingface import load_lm_head
from allennlp_layer_saliency.predictors.saliency import SaliencyPredictor
from tests.conftest import SENTENCES, reseed_weights

# Two of one length go through the model together.
LINES = [{"sentence": sentence} for sentence in (*SENTENCES[:3], SENTENCES[0])]
SIZE = {
    "hidden_size": 16,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 24,
}
KINDS = {
    "Falcon": {},
    "Gemma": {"num_key_value_heads": 1, "head_dim": 8},
    "Gemma2": {"num_key_value_heads": 1, "head_dim": 8},
    "Gemma3Text": {"num_key_value_heads": 1, "head_dim": 8},
    "GPT2": {},
    "GPTNeo": {"attention_types": [[["global"], 3]], "num_layers": 3, "num_heads": 2},
    "GPTNeoX": {},
    "GptOss": {
        "num_key_value_heads": 2,
        "head_dim": 8,
        "num_local_experts": 2,
        "num_experts_per_tok": 1,
    },
    "Llama": {"num_key_value_heads": 2},
    "Ministral": {"num_key_value_heads": 2, "head_dim": 8},
    "Mistral": {"num_key_value_heads": 2},
    "Mixtral": {"num_key_value_heads": 2, "num_local_experts": 2},
    "ModernBertDecoder": {"cls_token_id": 1, "sep_token_id": 2},
    "Olmo2": {"num_key_value_heads": 2},
    "OPT": {"ffn_dim": 24, "word_embed_proj_dim": 16},
    "Persimmon": {},
    "Phi": {},
    "Phi3": {"num_key_value_heads": 2},
    "Qwen2": {"num_key_value_heads": 2},
    "Qwen3": {"num_key_value_heads": 2, "head_dim": 8},
    "Qwen3Moe": {
        "num_key_value_heads": 2,
        "head_dim": 8,
        "num_experts": 4,
        "num_experts_per_tok": 2,
        "moe_intermediate_size": 8,
    },
    "SmolLM3": {"num_key_value_heads": 2},
    "StableLm": {"num_key_value_heads": 2},
    "Starcoder2": {"num_key_value_heads": 2},
}
INSTALLED = [k for k in KINDS if hasattr(transformers, f"{k}ForSequenceClassification")]


def llama_tokenizer(**special):
    """As Llama's: a beginning token, no end, no mask and no separator."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=120, special_tokens=["<unk>", "<s>", "</s>", "<pad>"], unk_token="<unk>"
    )
    tokenizer.train_from_iterator(SENTENCES * 5, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s>:1 $B:1", special_tokens=[("<s>", 1)]
    )
    special = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", **special}
    return transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special)


def save_classifier(folder, kind, tokenizer, **config):
    torch.manual_seed(0)
    settings = {**SIZE, **KINDS[kind], "vocab_size": len(tokenizer), "num_labels": 3}
    settings.update({"bos_token_id": 1, "eos_token_id": 2, **config})
    config = getattr(transformers, f"{kind}Config")(**settings)
    classifier = getattr(transformers, f"{kind}ForSequenceClassification")(config)
    reseed_weights(classifier, 5)
    classifier.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    make_archive(str(folder), f"{folder}.tar.gz")
    return Predictor.from_path(f"{folder}.tar.gz")


def plain_logits(folder, text):
    """Plain transformers, one text, no padding."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(folder).eval()
    with torch.no_grad():
        return model(torch.tensor([tokenizer(text)["input_ids"]])).logits[0].tolist()


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize(
    "pad_token, pad_id",
    [(None, None), (None, 2), ("<pad>", 3), ("<pad>", 2), ("</s>", 2), ("<unk>", 0)],
    ids=["neither", "model only", "both", "different", "end token", "unknown token"],
)
@pytest.mark.parametrize("kind", [k for k in ("GPT2", "Llama", "OPT") if k in INSTALLED])
def test_predictions_are_the_models_own_whatever_pads(tmp_path, kind, pad_token, pad_id, side):
    special = {} if pad_token is None else {"pad_token": pad_token}
    if kind == "OPT" and pad_id is None:
        pytest.skip("OPT's embeddings need a padding id")
    tokenizer = llama_tokenizer(padding_side=side, **special)
    folder = tmp_path / "classifier"
    predictor = save_classifier(folder, kind, tokenizer, pad_token_id=pad_id)
    wanted = [plain_logits(folder, line["sentence"]) for line in LINES]
    explaining = SaliencyPredictor(
        predictor._model, predictor._dataset_reader, {"type": "layer-saliency", "layer": 1}
    )
    for outputs in (
        explaining.outputs(LINES),
        predictor.predict_batch_json(LINES),
        [predictor.predict_json(line) for line in LINES],
    ):
        for output, logits in zip(outputs, wanted):
            assert output["logits"] == pytest.approx(logits, abs=1e-5)
    assert len(explaining.interpreter.saliency_interpret_batch_json(LINES)) == len(LINES)


@pytest.mark.parametrize("kind", INSTALLED)
def test_decoders_are_explained_as_a_plain_hook_does(tmp_path, kind):
    """Gradients at layer 1, halfway from the masked input's state to the input's."""
    folder = tmp_path / "classifier"
    predictor = save_classifier(folder, kind, llama_tokenizer(), pad_token_id=2)
    midpoint = {"type": "integrated-gradients", "steps": 1, "rule": "midpoint"}
    interpreter = SaliencyInterpreter.from_params(
        Params({"type": "layer-saliency", "layer": 1, "aggregation": midpoint}), predictor=predictor
    )
    together = [out["instance_1"]["signed_1"] for out in interpreter.saliency_interpret_batch_json(LINES)]
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(folder).eval()
    model.config.use_cache = False
    blocks = next(m for m in model.modules() if isinstance(m, torch.nn.ModuleList) and len(m) == 3)

    def first(output):
        return output[0] if isinstance(output, tuple) else output

    def state(ids):
        seen = []
        hook = blocks[0].register_forward_hook(lambda _, __, output: seen.append(first(output)))
        with torch.no_grad():
            logits = model(torch.tensor([ids])).logits[0]
        hook.remove()
        return seen[0].detach(), int(logits.argmax())

    for line, got in zip(LINES, together):
        ids = tokenizer(line["sentence"])["input_ids"]
        own, predicted = state(ids)
        masked, _ = state([i if i in (1, 2) else tokenizer.unk_token_id for i in ids])
        middle = ((own + masked) / 2).requires_grad_()
        hook = blocks[0].register_forward_hook(
            lambda _, __, out, middle=middle: (middle, *out[1:]) if isinstance(out, tuple) else middle
        )
        model(torch.tensor([ids])).logits[0, predicted].backward()
        hook.remove()
        wanted = ((own - masked) * middle.grad).sum(-1)[0].tolist()
        assert got == pytest.approx(wanted, abs=1e-5 * max(1, *map(abs, wanted)))


@pytest.mark.parametrize("setting", ["return_dict", "torchscript"])
def test_settings_of_a_models_output_do_not_matter(tmp_path, setting):
    folder = tmp_path / "classifier"
    predictor = save_classifier(
        folder, "GPT2", llama_tokenizer(), pad_token_id=2, **{setting: setting == "torchscript"}
    )
    interpreter = SaliencyInterpreter.from_params(Params({"type": "layer-saliency"}), predictor=predictor)
    assert any(interpreter.saliency_interpret_from_json(LINES[0])["instance_1"]["signed_1"])


def test_rollout_reads_the_position_that_the_classifier_reads(tmp_path):
    folder = tmp_path / "classifier"
    predictor = save_classifier(folder, "GPT2", llama_tokenizer(), pad_token_id=2)
    interpreter = SaliencyInterpreter.from_params(Params({"type": "attention-rollout"}), predictor=predictor)
    got = interpreter.saliency_interpret_from_json(LINES[0])["instance_1"]["grad_input_1"]
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(folder).eval()
    if hasattr(model, "set_attn_implementation"):
        model.set_attn_implementation("eager")
    ids = torch.tensor([tokenizer(LINES[0]["sentence"])["input_ids"]])
    rows = torch.eye(ids.size(1))
    for attention in model(ids, output_attentions=True).attentions:
        rows = (attention[0].mean(0) + torch.eye(len(rows))) / 2 @ rows
    assert got == pytest.approx(rows[-1].tolist(), abs=1e-5)


@pytest.mark.parametrize("kind", INSTALLED)
def test_the_head_gives_its_own_classs_logits(tmp_path, kind):
    class_name = {"GPT2": "GPT2LMHeadModel", "Gemma3Text": "Gemma3ForCausalLM"}.get(
        kind, f"{kind}ForCausalLM"
    )
    if not hasattr(transformers, class_name):
        pytest.skip(f"no {class_name}")
    settings = {**SIZE, **KINDS[kind], "vocab_size": 120, "bos_token_id": 1, "eos_token_id": 2}
    settings["pad_token_id"] = 0
    torch.manual_seed(0)
    model = getattr(transformers, class_name)(getattr(transformers, f"{kind}Config")(**settings)).eval()
    reseed_weights(model, 5)
    model.save_pretrained(tmp_path)
    ids = torch.tensor([[1, 17, 30, 5, 88]])
    with torch.no_grad():
        wanted = model(ids).logits[0]
        states = model.base_model(ids)[0][0]
    decoder = load_lm_head(str(tmp_path))
    assert torch.allclose(decoder.logits(states), wanted, atol=1e-4, rtol=1e-4)
    assert decoder.causal and decoder.vocabulary_size == 120
