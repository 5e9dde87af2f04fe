import pytest
import torch
import transformers
from torch import nn

from allennlp_layer_saliency import hf_models
from allennlp_layer_saliency.core.capture import capture
from tests.conftest import reseed_weights, save_bert, save_roberta

COMMON = dict(vocab_size=40, num_hidden_layers=3, hidden_size=16, num_attention_heads=2)
ENCODER = dict(COMMON, intermediate_size=24, max_position_embeddings=20)
# Every architecture of the table, tiny: (config, its language model class).
TINY = {
    "bert": (transformers.BertConfig(**ENCODER), "BertForMaskedLM"),
    "camembert": (
        transformers.CamembertConfig(**ENCODER, pad_token_id=1),
        "CamembertForMaskedLM",
    ),
    "deberta": (transformers.DebertaConfig(**ENCODER), "DebertaForMaskedLM"),
    "deberta-v2": (transformers.DebertaV2Config(**ENCODER), "DebertaV2ForMaskedLM"),
    "distilbert": (
        transformers.DistilBertConfig(
            vocab_size=40, n_layers=3, dim=16, n_heads=2, hidden_dim=24, max_position_embeddings=20
        ),
        "DistilBertForMaskedLM",
    ),
    "electra": (
        transformers.ElectraConfig(**ENCODER, embedding_size=8),
        "ElectraForMaskedLM",
    ),
    "gpt2": (
        transformers.GPT2Config(vocab_size=40, n_layer=3, n_embd=16, n_head=2, n_positions=20),
        "GPT2LMHeadModel",
    ),
    "mpnet": (transformers.MPNetConfig(**ENCODER), "MPNetForMaskedLM"),
    "roberta": (transformers.RobertaConfig(**ENCODER), "RobertaForMaskedLM"),
    "xlm-roberta": (transformers.XLMRobertaConfig(**ENCODER), "XLMRobertaForMaskedLM"),
}


def tiny(model_type):
    model = transformers.AutoModel.from_config(TINY[model_type][0]).eval()
    reseed_weights(model, 5)
    return model


def test_every_architecture_is_tested():
    assert set(TINY) == set(hf_models.ARCHITECTURES)


@pytest.mark.parametrize("model_type", TINY)
def test_taps_read_the_models_own_hidden_states(model_type):
    model = tiny(model_type)
    ids = torch.tensor([[5, 6, 7, 8], [9, 10, 11, 12]])
    weight = torch.randn(16, generator=torch.Generator().manual_seed(1))

    def score(output):
        return (output.last_hidden_state[:, -1] * weight).sum(-1) ** 2

    taps = dict(enumerate(hf_models.layer_taps(model)))
    captured = capture(model, taps, lambda: model(input_ids=ids), score)
    output = model(input_ids=ids, output_hidden_states=True)
    assert len(taps) == len(output.hidden_states) == 4
    gradients = torch.autograd.grad(score(output).sum(), output.hidden_states)
    for layer, (state, gradient) in enumerate(zip(output.hidden_states, gradients)):
        assert torch.allclose(captured.hidden_states[layer], state, atol=1e-6)
        assert torch.allclose(captured.gradients[layer], gradient, atol=1e-5)


@pytest.mark.parametrize("model_type", TINY)
def test_the_head_alone_gives_the_whole_models_logits(model_type, tmp_path):
    config, class_name = TINY[model_type]
    lm = getattr(transformers, class_name)(config).eval()
    reseed_weights(lm, 6)
    lm.save_pretrained(tmp_path)
    ids = torch.tensor([[5, 6, 7, 8]])
    with torch.no_grad():
        wanted = lm(input_ids=ids).logits[0]
        hidden_states = lm.base_model(input_ids=ids).last_hidden_state[0]
    decoder = hf_models.load_lm_head(str(tmp_path))
    assert torch.allclose(decoder.logits(hidden_states), wanted, atol=1e-5)
    assert (decoder.vocabulary_size, decoder.hidden_size) == (40, 16)
    assert torch.equal(decoder.output_embeddings, lm.get_output_embeddings().weight)


def test_a_final_norm_is_known():
    assert hf_models.final_norm(tiny("bert")) is None
    gpt2 = tiny("gpt2")
    assert hf_models.final_norm(gpt2) is gpt2.ln_f


def test_a_model_without_an_lm_head_is_refused(tmp_path):
    transformers.BertModel(TINY["bert"][0]).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="no weights for its LM head .*cls.predictions.transform"):
        hf_models.load_lm_head(str(tmp_path))


def test_a_head_that_does_not_load_is_refused(tmp_path):
    lm = transformers.RobertaForMaskedLM(TINY["roberta"][0])
    state = {k: v for k, v in lm.state_dict().items() if k != "lm_head.dense.weight"}
    lm.save_pretrained(tmp_path, state_dict=state)
    with pytest.raises(ValueError, match=r"no weights for its LM head \(lm_head.dense.weight\)"):
        hf_models.load_lm_head(str(tmp_path))


def test_no_model_at_all(tmp_path):
    with pytest.raises(ValueError, match="can't read a pretrained model from .*nothing"):
        hf_models.load_lm_head(str(tmp_path / "nothing"))
    transformers.BertForMaskedLM(TINY["bert"][0]).save_pretrained(tmp_path)
    (tmp_path / "pytorch_model.bin").unlink()
    with pytest.raises(ValueError, match="no language model could be loaded from") as error:
        hf_models.load_lm_head(str(tmp_path))
    assert "\n" not in str(error.value)


def test_remote_code_is_never_run(tmp_path):
    save_bert(tmp_path)
    config = (tmp_path / "config.json").read_text()
    mapping = '"auto_map": {"AutoConfig": "evil.C", "AutoModelForMaskedLM": "evil.M"}, '
    (tmp_path / "config.json").write_text(config.replace("{", "{" + mapping, 1))
    (tmp_path / "evil.py").write_text("raise SystemExit('remote code ran')")
    with pytest.raises(ValueError, match="can't read a pretrained model"):
        hf_models.load_lm_head(str(tmp_path))


class Classifier(nn.Module):
    def __init__(self, **parts):
        super().__init__()
        for name, part in parts.items():
            self.add_module(name, part)


def test_find_transformer():
    bert, roberta = tiny("bert"), tiny("roberta")
    one = Classifier(embedder=Classifier(transformer_model=bert), linear=nn.Linear(2, 2))
    assert hf_models.find_transformer(one) is bert
    assert hf_models.find_transformer(bert) is bert
    two = Classifier(first=bert, second=roberta)
    assert hf_models.find_transformer(two, "second") is roberta
    with pytest.raises(ValueError, match="several transformers; choose one .*: first, second"):
        hf_models.find_transformer(two)
    with pytest.raises(
        ValueError, match="no Hugging Face model at 'third'; there is one at .*first"
    ):
        hf_models.find_transformer(two, "third")
    with pytest.raises(ValueError, match=r"no Hugging Face transformer.*linear \(Linear\)"):
        hf_models.find_transformer(Classifier(linear=nn.Linear(2, 2)))


def test_an_unknown_architecture_is_refused():
    model = transformers.AutoModel.from_config(
        transformers.SqueezeBertConfig(**COMMON, intermediate_size=16, embedding_size=16)
    )
    with pytest.raises(ValueError, match="'squeezebert' are not supported.*encoder.layers"):
        hf_models.layer_taps(model)


def test_max_positions(tmp_path):
    save_roberta(tmp_path)
    config = transformers.AutoConfig.from_pretrained(str(tmp_path))
    assert hf_models.max_positions(config) == 64  # 66 positions, the first two never used
    assert hf_models.max_positions(TINY["bert"][0]) == 20
    assert hf_models.max_positions(TINY["gpt2"][0]) == 20


@pytest.mark.parametrize("model_type", ["roberta", "mpnet", "bert", "gpt2"])
def test_max_positions_is_what_the_model_can_take(model_type):
    model = tiny(model_type)
    room = hf_models.max_positions(model.config)
    model(input_ids=torch.full((1, room), 5))
    with pytest.raises((IndexError, RuntimeError)):
        model(input_ids=torch.full((1, room + 1), 5))
