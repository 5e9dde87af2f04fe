import itertools

import numpy
import pytest
from allennlp.common import Params
from allennlp.common.checks import ConfigurationError
from allennlp.interpret.saliency_interpreters import SaliencyInterpreter
from allennlp.models.archival import load_archive
from allennlp.predictors import Predictor

from allennlp_layer_saliency.evaluation import comparison_summary
from allennlp_layer_saliency.interpreters.perturbation import PerturbedPredictions
from allennlp_layer_saliency.models.text_reader import TextReader
from allennlp_layer_saliency.predictors import SaliencyPredictor
from tests.conftest import ROOT

SENTENCE = {"sentence": "not a bad, but dull film"}


@pytest.fixture(scope="module")
def predictor():
    archive = load_archive(str(ROOT / "fixtures" / "sst2-classifier.tar.gz"))
    return Predictor.from_archive(archive)


def explained(predictor, name, sentence=SENTENCE, **settings):
    interpreter = SaliencyInterpreter.from_params(Params({"type": name, **settings}), predictor=predictor)
    return interpreter.saliency_interpret_from_json(sentence)["instance_1"]["grad_input_1"]


def probabilities(predictor, kind, sentence=SENTENCE):
    """p of the predicted class without each set of tokens that can be taken out."""
    perturbed = PerturbedPredictions(TextReader(predictor), kind)
    tokens = perturbed.tokens(predictor._json_to_instance(sentence))
    sets = [
        frozenset(s) for n in range(len(tokens.tokens) + 1) for s in itertools.combinations(tokens.tokens, n)
    ]
    found = perturbed.predictions(tokens, sets).predictions[0]
    return tokens.tokens, {taken: prediction.probability for taken, prediction in found.items()}


@pytest.mark.parametrize("kind", ["mask", "remove"])
@pytest.mark.parametrize("name", ["greedy-comprehensiveness", "greedy-sufficiency"])
def test_each_step_is_the_best_one(predictor, name, kind):
    scores = explained(predictor, name, perturbation=kind)
    tokens, p = probabilities(predictor, kind)
    ranked = sorted(tokens, key=lambda token: -scores[token])
    assert sum(scores) == pytest.approx(1) and sum(score > 0 for score in scores) == len(tokens)
    everything = frozenset(tokens)
    for step, token in enumerate(ranked):
        before, left = frozenset(ranked[:step]), ranked[step:]
        if name == "greedy-comprehensiveness":
            tried = {other: p[before | {other}] for other in left}
            assert tried[token] == pytest.approx(min(tried.values()), rel=1e-5)
        else:
            tried = {other: p[everything - before - {other}] for other in left}
            assert tried[token] == pytest.approx(max(tried.values()), rel=1e-5)


def test_mistakes(predictor):
    with pytest.raises(ConfigurationError, match="perturbation must be one of"):
        explained(predictor, "greedy-sufficiency", perturbation="pad")


def test_through_the_saliency_predictor(predictor):
    saliency = SaliencyPredictor(predictor._model, predictor._dataset_reader, "greedy-sufficiency")
    instance = saliency.predict_json(SENTENCE)["saliency"]["instance_1"]
    assert instance["grad_input_1"] == pytest.approx(explained(predictor, "greedy-sufficiency"))
    assert len(instance["tokens_1"]) == len(instance["grad_input_1"])


def records(values):
    """Of each row and text a value of comprehensiveness."""
    return [
        {"example": n, "row": row, "metrics": {"comprehensiveness": value}, "costs": {}}
        for row, of_row in values.items()
        for n, value in enumerate(of_row)
    ]


def test_the_share_of_the_ceiling():
    values = {"random": [0.0, 0.2], "ours": [0.3, 0.5], "best": [0.5, 0.6]}
    types = {"random": "random", "ours": "decoded-layer-saliency", "best": "greedy-comprehensiveness"}
    rows = comparison_summary.summary(records(values), {}, None, 0, types)["rows"]
    # (.4 - .1) / (.55 - .1)
    share = rows["ours"]["ceiling_share@comprehensiveness"]
    assert share["mean"] == rows["ours"]["ceiling_share"]["mean"] == pytest.approx(0.3 / 0.45)
    assert share["low"] <= share["mean"] <= share["high"] and share["n"] == 2
    assert rows["random"]["ceiling_share"]["mean"] == 0 and rows["best"]["ceiling_share"]["mean"] == 1
    # Without a ceiling, or where there is no way to go, there is no share.
    for other in ({**types, "best": "simple-gradient"}, None):
        rows = comparison_summary.summary(records(values), {}, None, 0, other)["rows"]
        assert not any("ceiling_share" in metrics for metrics in rows.values())
    flat = {row: [0.1, 0.1] for row in values}
    rows = comparison_summary.summary(records(flat), {}, None, 0, types)["rows"]
    assert not any(metric.startswith("ceiling") for metrics in rows.values() for metric in metrics)


def test_shares_of_many_texts_beside_numpy():
    numbers = numpy.random.RandomState(0)
    values = {row: numbers.rand(40).tolist() for row in ("random", "ours")}
    values["best"] = [max(a, b) + 0.2 for a, b in zip(values["random"], values["ours"])]
    types = {"random": "random", "ours": "x", "best": "greedy-comprehensiveness"}
    found = comparison_summary.summary(records(values), {}, None, 0, types)["rows"]["ours"]
    random, ours, best = (numpy.mean(values[row]) for row in ("random", "ours", "best"))
    assert found["ceiling_share"]["mean"] == pytest.approx((ours - random) / (best - random))
