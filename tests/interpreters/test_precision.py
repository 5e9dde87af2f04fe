"""Mixed precision, and attention by scaled_dot_product_attention, beside eager float32."""

import copy
import json

import pytest
import torch
from allennlp.common import Params, cached_transformers
from allennlp.common.checks import ConfigurationError
from allennlp.interpret.saliency_interpreters import SaliencyInterpreter
from allennlp.predictors import Predictor
from transformers import PreTrainedModel

from allennlp_layer_saliency.models.huggingface import find_transformer
from tests.conformance.rows import language_model
from tests.conftest import ROOT, SENTENCES, build_predictor, model_config

LINES = [{"sentence": sentence} for sentence in SENTENCES]


@pytest.fixture(scope="module")
def bundled():
    return Predictor.from_path(str(ROOT / "fixtures" / "sst2-classifier.tar.gz"))


@pytest.fixture(scope="module")
def lines():
    text = (ROOT / "fixtures" / "sst2_sample.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()[:12]]


def make(predictor, **config):
    # Params takes out what it has read.
    params = Params(copy.deepcopy(config))
    return SaliencyInterpreter.from_params(params, predictor=predictor)


needs_torch_2 = pytest.mark.skipif(torch.__version__.startswith("1."), reason="refused with torch 1 on a CPU")


# Of a text's largest score, as the README states it.
TOLERANCES = {"float16": 0.02, "bfloat16": 0.15}


@needs_torch_2
@pytest.mark.parametrize("autocast", TOLERANCES)
@pytest.mark.parametrize(
    "config",
    [
        {"type": "layer-saliency", "layer": [0, 3]},
        {"type": "decoded-layer-saliency", "layer": 3},
        {"type": "decoded-layer-saliency", "layer": 2, "aggregation": {"type": "grad-cam"}},
        {"type": "projected-gradient-saliency", "layer": 3, "tau": None},
        {
            "type": "layer-saliency",
            "layer": 2,
            "aggregation": {"type": "integrated-gradients", "steps": 4},
        },
        {"type": "captum", "method": "InputXGradient", "layer": 1},
    ],
    ids=lambda config: config["type"],
)
def test_mixed_precision_is_near_float32(bundled, lines, config, autocast):
    wanted = make(bundled, **config).saliency_interpret_batch_json(lines)
    found = make(bundled, **config, autocast=autocast).saliency_interpret_batch_json(lines)
    differences = []
    for got, expected in zip(found, wanted):
        got, expected = got["instance_1"], expected["instance_1"]
        for of_layer, plain in zip(got.get("layers", [got]), expected.get("layers", [expected])):
            assert of_layer["target"]["label"] == plain["target"]["label"]
            size = max(map(abs, plain["signed_1"]))
            assert of_layer["signed_1"] == pytest.approx(
                plain["signed_1"], abs=TOLERANCES[autocast] * size, rel=0
            )
            differences.append(of_layer["signed_1"] != plain["signed_1"])
    assert all(differences)  # it did run in another precision


@needs_torch_2
def test_hidden_states_too(bundled, lines):
    plain, low = (
        make(bundled, type="layer-saliency", layer=2, autocast=autocast) for autocast in (None, "bfloat16")
    )
    states = []
    for interpreter in (plain, low):
        prepared = [interpreter.texts.prepare([bundled._json_to_instance(lines[0])])]
        ((_, _, of_layers),) = interpreter.texts.hidden_states(prepared, interpreter.layers)
        states.append(of_layers[2])
    assert states[1].dtype == torch.float32
    assert not torch.equal(*states)
    assert torch.allclose(*states, atol=0.05 * states[0].abs().max().item())


@pytest.mark.skipif(not torch.__version__.startswith("1."), reason="torch 2 can do it")
def test_torch_1_on_a_cpu_is_refused(bundled):
    with pytest.raises(ConfigurationError, match=r"autocast on a CPU needs torch 2 .* this is 1\."):
        make(bundled, type="layer-saliency", autocast="bfloat16")


def test_other_types_are_refused(bundled):
    with pytest.raises(ConfigurationError, match="autocast must be one of .*; got 'float8'") as error:
        make(bundled, type="layer-saliency", autocast="float8")
    assert "\n" not in str(error.value)


@pytest.fixture(scope="module", params=["bert", "gpt2", "bart"])
def both(request, tmp_path_factory):
    """The same classifier with either attention."""
    if not getattr(PreTrainedModel, "_check_and_enable_sdpa", None):
        pytest.skip("this version of transformers has eager attention only")
    path = language_model(request.param, tmp_path_factory.mktemp(request.param))
    predictors = {}
    for attention in ("eager", "sdpa"):
        model = model_config(path)
        embedder = model["text_field_embedder"]["token_embedders"]["tokens"]
        embedder["transformer_kwargs"] = {"attn_implementation": attention}
        if request.param == "bart":
            embedder["sub_module"] = "encoder"
        if request.param == "gpt2":
            model["seq2vec_encoder"]["cls_is_last_token"] = True
        cached_transformers._clear_caches()  # it goes by the model's name alone
        predictors[attention] = build_predictor(path, model=model)
        transformer = find_transformer(predictors[attention]._model)
        assert transformer.config._attn_implementation == attention
    return predictors


@pytest.mark.parametrize("aggregation", ["gradient-x-input", "integrated-gradients"])
def test_sdpa_gives_what_eager_attention_does(both, aggregation):
    eager, sdpa = (
        make(
            both[attention],
            type="decoded-layer-saliency",
            layer=1,
            aggregation={"type": aggregation},
        ).saliency_interpret_batch_json(LINES)
        for attention in ("eager", "sdpa")
    )
    for got, expected in zip(sdpa, eager):
        got, expected = got["instance_1"]["signed_1"], expected["instance_1"]["signed_1"]
        assert got == pytest.approx(expected, abs=1e-5 * max(1, *map(abs, expected)))


def test_attention_rollout_reads_the_weights_that_sdpa_hides(both):
    eager, sdpa = (
        [make(both[attention], type="attention-rollout").saliency_interpret_from_json(line) for line in LINES]
        for attention in ("eager", "sdpa")
    )
    for got, expected in zip(sdpa, eager):
        got, expected = got["instance_1"]["grad_input_1"], expected["instance_1"]["grad_input_1"]
        assert got == pytest.approx(expected, abs=1e-6)
