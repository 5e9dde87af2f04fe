"""Every architecture of the table through AllenNLP, against its own `output_hidden_states`."""

import pytest
import torch
import transformers
from allennlp.common import Params
from allennlp.interpret.saliency_interpreters import SaliencyInterpreter

from tests import reference
from tests.conformance.rows import language_model
from tests.conftest import SENTENCES, build_predictor, model_config
from tests.models.test_huggingface import TINY


# XLNet's `hidden_states` are copies outside the graph; its gradients are tested in tests/conformance.
@pytest.fixture(scope="module", params=sorted(set(TINY) - {"xlnet"}))
def built(request, tmp_path_factory):
    """A classifier over a tiny language model of this architecture, and the model's folder."""
    path = language_model(request.param, tmp_path_factory.mktemp(request.param))
    model = model_config(path)
    if request.param == "bart":
        model["text_field_embedder"]["token_embedders"]["tokens"]["sub_module"] = "encoder"
    return request.param, build_predictor(path, model=model), path


def interpreter(predictor, **config):
    return SaliencyInterpreter.from_params(Params(config), predictor=predictor)


def test_layer_saliency(built):
    _, predictor, _ = built
    lines = [{"sentence": sentence} for sentence in SENTENCES]
    for layer in (0, 2, 3):
        out = interpreter(predictor, type="layer-saliency", layer=layer, aggregation="gradient-x-input")
        for sentence, result in zip(SENTENCES, out.saliency_interpret_batch_json(lines)):
            hidden, gradient, _, value = reference.hidden_state_and_gradient(predictor, sentence, layer)
            wanted = reference.weights("gradient-x-input", hidden, gradient)
            assert result["instance_1"]["signed_1"] == pytest.approx(wanted, rel=1e-3, abs=1e-5)
            assert result["instance_1"]["target"]["score"] == pytest.approx(value, abs=1e-5)


class Given(tuple):
    """A base model's output, by position or by name."""

    def __getattr__(self, name):
        return self[0] if name == "last_hidden_state" else None


def test_decoded_layer_saliency(built):
    model_type, predictor, path = built
    config = {
        "type": "decoded-layer-saliency",
        "layer": 2,
        "aggregation": "gradient-x-input",
        "special_tokens": "keep",
    }
    text = SENTENCES[3]
    out = interpreter(predictor, **config).saliency_interpret_from_json({"sentence": text})["instance_1"]
    hidden, gradient, ids, _ = reference.hidden_state_and_gradient(predictor, text, 2)
    s = reference.weights("gradient-x-input", hidden, gradient)
    # The whole language model, its base model's output replaced by the given state.
    lm = getattr(transformers, TINY[model_type][1]).from_pretrained(path).eval()
    state = hidden.unsqueeze(0)
    if model_type == "gpt2":
        state = predictor._model._text_field_embedder.token_embedder_tokens.transformer_model.ln_f(state)
    handle = lm.base_model.register_forward_hook(lambda module, inputs, output: Given((state,)))
    with torch.no_grad():
        logits = lm(input_ids=torch.tensor([ids]), return_dict=False)[0][0]
    handle.remove()
    decoded = torch.softmax(logits.double(), dim=-1).tolist()
    a = reference.rows_of_a(decoded, ids, set(), None, "input", "keep")
    wanted = reference.decoded_layer_scores(s, a, ids, set(), "keep")
    assert out["signed_1"] == pytest.approx(wanted, rel=1e-3, abs=1e-5)
