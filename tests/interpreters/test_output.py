"""Numbers of the output, as JSON has them."""

import dataclasses
import json
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from allennlp_layer_saliency.interpreters.output import rounded
from allennlp_layer_saliency.predictors import SaliencyPredictor, records


def digits(value: float) -> int:
    return len(repr(abs(value)).split("e")[0].replace(".", "").strip("0"))


def test_six_significant_digits():
    values = [0.0, 0.5, -1 / 3, 123456.789, 0.000123456789, 1e-9 / 7, 999999.5, -2e20 / 3, 9.9999996e-5]
    wanted = [float(f"{value:.6g}") for value in values]
    assert rounded(torch.tensor([values, values], dtype=torch.double)) == [wanted, wanted]
    assert rounded(torch.zeros(2, 0)) == [[], []]


@given(st.lists(st.floats(-1e20, 1e20).filter(lambda value: value == 0 or abs(value) > 1e-15), max_size=20))
@settings(max_examples=200, deadline=None, derandomize=True, database=None)
def test_they_are_those_of_the_decimal_number(values):
    for value, found in zip(values, rounded(torch.tensor(values, dtype=torch.double))):
        assert found == pytest.approx(float(f"{value:.6g}"), rel=1.1e-5)
        assert abs(found - value) <= 0.51 * 10.0 ** (math.floor(math.log10(abs(value) or 1)) - 5)
        assert digits(found) <= 7


@pytest.mark.parametrize("utf_8", [True, False])
def test_lines_are_json_whatever_they_hold(monkeypatch, utf_8):
    monkeypatch.setattr(records, "_UTF_8", utf_8)
    for output in (
        {"token": "Ġfilm", "score": 0.1, "none": None, "emoji": "😀"},
        {"id": "\ud800"},  # half of a pair
        {"id": 2**70},
        {"id": 'a "quoted"\n\u2028 line'},
    ):
        line = records.written(output)
        assert json.loads(line) == output and "\n" not in line
        assert utf_8 or line.isascii()


@pytest.mark.parametrize("field", ["scores", "lost", "source_amounts", "completeness_gap"])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_is_not_finite_is_an_error_of_its_text_alone(predictor, monkeypatch, field, value):
    """An interpreter's tensors are looked at together; a text whose numbers are finite is not lost."""
    aggregation = {"type": "integrated-gradients", "steps": 2}
    config = {"type": "layer-saliency", "layer": 1, "aggregation": aggregation}
    saliency = SaliencyPredictor(predictor._model, predictor._dataset_reader, config)
    own = saliency.interpreter._explain_layer

    def broken(inputs, at, layer):
        (explanation,) = own(inputs, at, layer)
        tensor = getattr(explanation, field).clone()
        tensor[0] = value
        return [dataclasses.replace(explanation, **{field: tensor})]

    monkeypatch.setattr(saliency.interpreter, "_explain_layer", broken)
    first, second = saliency.predict_batch_json([{"sentence": "a good film"}, {"sentence": "a bad film"}])
    assert "is NaN or infinite" in first["error"] and "saliency" not in first
    assert math.isfinite(second["saliency"]["instance_1"]["lost"])
