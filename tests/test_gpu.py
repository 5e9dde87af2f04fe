"""What differs on a GPU; left out where there is none."""

import json

import pytest
import torch
from allennlp.common import Params
from allennlp.interpret.saliency_interpreters import SaliencyInterpreter
from allennlp.predictors import Predictor

from allennlp_layer_saliency.interpreters import LayerSaliency
from tests.bundled_scores import CONFIGURATIONS, SENTENCES
from tests.conftest import ROOT

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")

ARCHIVE = str(ROOT / "fixtures" / "sst2-classifier.tar.gz")
OURS = [
    path
    for path in CONFIGURATIONS
    if path.stem.startswith(("decoded", "projected", "layer", "all", "captum"))
]


@pytest.fixture(scope="module")
def predictors():
    return {device: Predictor.from_path(ARCHIVE, cuda_device=device) for device in (-1, 0)}


@pytest.fixture(scope="module")
def lines():
    text = SENTENCES.read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def explained(predictor, config, lines):
    interpreter = SaliencyInterpreter.from_params(Params(config), predictor=predictor)
    return [
        entry
        for result in interpreter.saliency_interpret_batch_json(lines)
        for entry in result["instance_1"].get("layers", [result["instance_1"]])
    ]


@pytest.mark.parametrize("path", OURS, ids=lambda path: path.stem)
def test_scores_are_those_of_the_cpu(predictors, lines, path):
    cpu, gpu = (
        explained(predictors[device], Params.from_file(str(path)).as_dict(), lines) for device in (-1, 0)
    )
    for got, expected in zip(gpu, cpu):
        assert got["signed_1"] == pytest.approx(expected["signed_1"], abs=1e-4)
        assert got["grad_input_1"] == pytest.approx(expected["grad_input_1"], abs=1e-4)


@pytest.mark.parametrize("autocast, tolerance", [("float16", 0.01), ("bfloat16", 0.15)])
def test_mixed_precision(predictors, lines, autocast, tolerance):
    if autocast == "bfloat16" and not torch.cuda.is_bf16_supported():
        pytest.skip("this GPU has no bfloat16")
    config = {"type": "decoded-layer-saliency", "layer": 3}
    wanted = explained(predictors[-1], dict(config), lines)
    found = explained(predictors[0], {**config, "autocast": autocast}, lines)
    for got, expected in zip(found, wanted):
        size = max(map(abs, expected["signed_1"]))
        assert got["signed_1"] == pytest.approx(expected["signed_1"], abs=tolerance * size)


def test_memory_that_runs_out(predictors, lines):
    """The allocator's own error, under a limit that leaves room for a small batch only."""
    interpreter = LayerSaliency(predictors[0], layer=1)
    many = [{"sentence": "a good film " * 20}] * 64
    (alone,) = interpreter.saliency_interpret_batch_json(many[:1])
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    interpreter.saliency_interpret_batch_json(many)
    peak = torch.cuda.max_memory_allocated()
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(0).total_memory
    pieces = interpreter.texts.budget.pieces
    try:
        torch.cuda.set_per_process_memory_fraction((before + (peak - before) / 3) / total)
        found = interpreter.saliency_interpret_batch_json(many)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert interpreter.texts.budget.pieces < pieces
    for result in found:
        assert result["instance_1"]["signed_1"] == pytest.approx(alone["instance_1"]["signed_1"], abs=1e-4)
