"""Scores that users register, the documentation's example among them."""

import re

import pytest
import torch
from allennlp.common import Params
from allennlp.common.checks import ConfigurationError
from allennlp.interpret.saliency_interpreters import SaliencyInterpreter

from allennlp_layer_saliency.interpreters import LayerSaliency, Target
from tests.conformance import rows
from tests.conftest import ROOT, SENTENCES

LINES = [{"sentence": sentence} for sentence in SENTENCES[:4]]


@pytest.fixture(scope="module")
def documented():
    """The classes of docs/models.md's example."""
    (example,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs/models.md").read_text(), re.S)
    names = {}
    exec(example, names)
    yield names
    del Target._registry[Target]["margin"]


@pytest.fixture
def target():
    """A function that registers a score for one test."""

    def register(score):
        kind = type("Own", (Target,), {"score": lambda self, outputs: score(outputs)})
        Target.register("own", exist_ok=True)(kind)
        return "own"

    yield register
    Target._registry[Target].pop("own", None)


def interpreter(predictor, **settings):
    params = Params({"type": "layer-saliency", "layer": 1, **settings})
    return SaliencyInterpreter.from_params(params, predictor=predictor)


@pytest.mark.parametrize("aggregation", ["gradient-x-input", "integrated-gradients"])
def test_the_margin_is_the_difference_of_two_explanations(documented, predictor, aggregation):
    own = {"type": "margin"}
    explained = interpreter(predictor, target=own, aggregation=aggregation)
    results = explained.saliency_interpret_batch_json(LINES)
    for line, result in zip(LINES, results):
        logits = torch.tensor(predictor.predict_json(line)["logits"])
        first, second = logits.topk(2).indices.tolist()
        (instance,) = result.values()
        assert instance["target"]["label"] == instance["target"]["kind"] == "margin"
        wanted = (logits[first] - logits[second]).item()
        assert instance["target"]["score"] == pytest.approx(wanted, rel=1e-4, abs=1e-5)
        if aggregation == "gradient-x-input":
            contrast = interpreter(
                predictor, target_class=first, contrast_class=second, aggregation=aggregation
            ).saliency_interpret_from_json(line)
            wanted = contrast["instance_1"]["signed_1"]
            assert instance["signed_1"] == pytest.approx(wanted, rel=1e-3, abs=1e-5)
        (alone,) = explained.saliency_interpret_from_json(line).values()
        assert instance["signed_1"] == pytest.approx(alone["signed_1"], rel=1e-3, abs=1e-5)


def test_integrated_gradients_of_a_curved_score_are_complete(target, predictor):
    def entropy(outputs):
        log = torch.log_softmax(outputs["logits"], -1)
        return -(log.exp() * log).sum(-1)

    own = interpreter(
        predictor, target=target(entropy), aggregation={"type": "integrated-gradients", "steps": 64}
    )
    for result in own.saliency_interpret_batch_json(LINES):
        (instance,) = result.values()
        assert 0 < instance["target"]["score"] < torch.tensor(3.0).log()
        assert abs(instance["completeness_gap"]) < 1e-3


def test_an_object_or_a_name_explains_the_same(documented, predictor):
    by_object = LayerSaliency(predictor, layer=1, target=documented["Margin"]())
    by_name = interpreter(predictor, target="margin")
    wanted = by_name.saliency_interpret_batch_json(LINES)
    assert by_object.saliency_interpret_batch_json(LINES) == wanted
    as_object = interpreter(predictor, target={"type": "logit"})
    as_string = interpreter(predictor, target="logit")
    wanted = as_string.saliency_interpret_batch_json(LINES)
    assert as_object.saliency_interpret_batch_json(LINES) == wanted


def test_a_taggers_own_score_keeps_the_prediction_without_padding(target, tmp_path):
    predictor, lines = rows.tagger(["O", "I-PER", "I-LOC"], 5, type="simple_tagger")(tmp_path)
    own = interpreter(predictor, target=target(lambda outputs: outputs["logits"][:, 0, 0]))
    prepared = [own.texts.prepare([predictor._json_to_instance(line)]) for line in lines[:2]]
    for line, explained in zip(lines, own.explain(prepared)):
        wanted = predictor.predict_json(line)
        assert explained.prediction["tags"] == wanted["tags"]
        score = explained.explanation["instance_1"]["target"]["score"]
        assert score == pytest.approx(wanted["logits"][0][0], rel=1e-4, abs=1e-5)


@pytest.mark.parametrize(
    "score, message",
    [
        (lambda outputs: outputs["logits"], r"'own': .* one score for each.*got \(1, 3\)"),
        (lambda outputs: outputs["logits"].sum(), r"'own': .* one score for each.*got \(\)"),
        (lambda outputs: 1.0, "'own': .* one score for each.*got float"),
        (lambda outputs: outputs["logits"].argmax(-1).float(), "'own': .*not a differentiable"),
    ],
)
def test_what_is_no_score_is_refused_in_one_line(target, predictor, score, message):
    own = interpreter(predictor, target=target(score), aggregation="gradient-x-input")
    with pytest.raises(ConfigurationError, match=message):
        own.saliency_interpret_from_json(LINES[0])


def test_a_score_without_classes_takes_none(target, predictor):
    with pytest.raises(ConfigurationError, match="target_class goes with .*'own' has no classes"):
        interpreter(predictor, target=target(lambda outputs: outputs["logits"][:, 0]), target_class=1)


def test_an_unknown_target_is_refused_with_those_there_are(predictor):
    for name in ("loss", {"type": "loss"}):
        with pytest.raises(ConfigurationError, match="'logit', 'log-probability'.*got 'loss'"):
            interpreter(predictor, target=name)
    with pytest.raises(ConfigurationError, match="target 'logit': .*scale"):
        interpreter(predictor, target={"type": "logit", "scale": 2})
