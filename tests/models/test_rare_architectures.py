"""Architectures with something of their own."""

import sys

import numpy
import pytest
import torch
import transformers

from allennlp_layer_saliency.models import huggingface
from tests.conftest import reseed_weights

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
