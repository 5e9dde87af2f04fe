"""Architectures with something of their own."""

import json
import sys

import numpy
import pytest
import torch
import transformers

from allennlp_layer_saliency import explain
from allennlp_layer_saliency.models import huggingface
from tests.conftest import byte_level_tokenizer, reseed_weights

SIZE = {
    "vocab_size": 40,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
}


def test_a_head_that_hands_its_input_on_by_position(tmp_path):
    config = transformers.ConvBertConfig(**SIZE, embedding_size=16)
    torch.manual_seed(0)
    model = transformers.ConvBertForMaskedLM(config)
    reseed_weights(model, 3)
    model.save_pretrained(tmp_path)
    ids = torch.tensor([[3, 7, 11, 5]])
    with torch.no_grad():
        wanted = model.eval()(ids).logits[0]
        states = model.convbert(ids).last_hidden_state[0]
    decoder = huggingface.load_lm_head(str(tmp_path))
    assert torch.allclose(decoder.logits(states), wanted, atol=1e-5)


def test_an_architecture_without_an_embedding_module_is_refused_in_one_line():
    config = transformers.IBertConfig(**SIZE, type_vocab_size=1)
    with pytest.raises(ValueError, match="models of type 'ibert' are not supported") as error:
        huggingface.layers_of(transformers.IBertModel(config))
    assert "\n" not in str(error.value)


def test_deberta_v3_runs_with_a_numpy_that_has_no_int(monkeypatch):
    config = transformers.DebertaV2Config(
        **SIZE,
        relative_attention=True,
        pos_att_type=["p2c", "c2p"],
        position_buckets=8,
        norm_rel_ebd="layer_norm",
        share_att_key=True,
        type_vocab_size=0,
        position_biased_input=False,
    )
    torch.manual_seed(0)
    model = transformers.DebertaV2Model(config).eval()
    ids = torch.arange(4, 30).unsqueeze(0)
    module = sys.modules[type(model).__module__]
    monkeypatch.setattr(module, "np", numpy, raising=False)
    with monkeypatch.context() as patched, torch.no_grad():
        patched.setattr(numpy, "int", int, raising=False)
        wanted = model(ids).last_hidden_state
    huggingface.layers_of(model)
    with torch.no_grad():
        assert torch.equal(model(ids).last_hidden_state, wanted)
    assert not hasattr(numpy, "int")


@pytest.mark.parametrize("kind", ["T5", "MT5", "UMT5"])
def test_encoder_decoders_of_t5s_kind(kind, tmp_path):
    """Predictions of plain transformers, the derivative by differences, and batched equals single."""
    if not hasattr(transformers, f"{kind}ForSequenceClassification"):
        pytest.skip(f"transformers {transformers.__version__} has no classifier of {kind}")
    tokenizer = byte_level_tokenizer()
    config = getattr(transformers, f"{kind}Config")(
        vocab_size=len(tokenizer),
        d_model=16,
        d_kv=8,
        d_ff=24,
        num_layers=2,
        num_heads=2,
        num_labels=3,
        pad_token_id=1,
        eos_token_id=2,
        decoder_start_token_id=1,
    )
    torch.manual_seed(0)
    model = getattr(transformers, f"{kind}ForSequenceClassification")(config).eval()
    texts = ["a film that is good", "no"]
    settings = {"layer": 1, "aggregation": "gradient-x-input", "special_tokens": "keep"}
    explained = explain(model, tokenizer, texts, "layer-saliency", **settings)
    (block, *_) = model.get_encoder().block
    for text, found in zip(texts, explained):
        (alone,) = explain(model, tokenizer, [text], "layer-saliency", **settings)
        scores = found["instance_1"]["signed_1"]
        size = max(map(abs, scores))
        assert alone["instance_1"]["signed_1"] == pytest.approx(scores, rel=1e-4, abs=1e-5 * size)
        ids = tokenizer(text, return_tensors="pt")["input_ids"]

        def logits(scale, ids=ids):
            hook = block.register_forward_hook(
                lambda _, __, out: (out[0] * scale, *out[1:]) if isinstance(out, tuple) else out * scale
            )
            with torch.no_grad():
                found = model(input_ids=ids).logits[0].double()
            hook.remove()
            return found

        target = found["instance_1"]["target"]
        predicted = int(logits(1.0).argmax())
        assert target["label"] == f"LABEL_{predicted}"
        assert target["score"] == pytest.approx(float(logits(1.0)[predicted]), abs=1e-4)
        step = 1e-2
        wanted = float(logits(1 + step)[predicted] - logits(1 - step)[predicted]) / (2 * step)
        assert sum(scores) == pytest.approx(wanted, rel=2e-2, abs=1e-2 * size)
    decoded = explain(model, tokenizer, texts, layer=1, lm_head={"type": "tied-embeddings"})
    assert all(any(found["instance_1"]["signed_1"]) for found in decoded)


def published_deberta(folder, **others):
    """DeBERTa's second version as its authors' files have it: their names, and no word of `legacy`."""
    config = transformers.DebertaV2Config(
        **SIZE, relative_attention=True, pos_att_type=["p2c", "c2p"], position_buckets=8, legacy=False
    )
    torch.manual_seed(0)
    model = transformers.DebertaV2ForMaskedLM(config).eval()
    reseed_weights(model, 3)
    state = {name: weight.clone() for name, weight in model.state_dict().items()}
    # The decoder is the word embeddings.
    state = {name: weight for name, weight in state.items() if "decoder" not in name}
    model.save_pretrained(folder, state_dict={**state, **others})
    path = folder / "config.json"
    content = json.loads(path.read_text())
    del content["legacy"]
    path.write_text(json.dumps(content))
    return model


@pytest.mark.skipif(
    not hasattr(transformers.DebertaV2Config(), "legacy"), reason="this version has another head only"
)
def test_the_head_of_deberta_as_it_is_published(tmp_path):
    model = published_deberta(tmp_path / "v2")
    ids = torch.tensor([[3, 7, 11, 5]])
    with torch.no_grad():
        wanted = model(ids).logits[0]
        states = model.deberta(ids).last_hidden_state[0]
    decoder = huggingface.load_lm_head(str(tmp_path / "v2"))
    assert torch.allclose(decoder.logits(states), wanted, atol=1e-5)
    # With a discriminator's head beside it, it is one that was not trained with the model.
    published_deberta(tmp_path / "v3", **{"mask_predictions.dense.weight": torch.zeros(16, 16)})
    with pytest.raises(ValueError, match="holds no weights for its LM head.*tied-embeddings"):
        huggingface.load_lm_head(str(tmp_path / "v3"))
