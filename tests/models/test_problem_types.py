"""Classifiers of any number of labels, and regressions."""

import json
import math
from pathlib import Path

import pytest
import torch
from allennlp.common.checks import ConfigurationError
from allennlp.data.batch import Batch
from allennlp.models import load_archive
from allennlp.predictors import Predictor
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from allennlp_layer_saliency import explain
from allennlp_layer_saliency.commands.archive import make_archive
from allennlp_layer_saliency.interpreters.perturbation import PerturbedPredictions
from allennlp_layer_saliency.models.text_reader import TextReader
from tests.commands.test_archive import save_classifier

NAMES = ["joy", "anger", "calm", "fear"]
MULTI = {
    "num_labels": 4,
    "id2label": dict(enumerate(NAMES)),
    "problem_type": "multi_label_classification",
}
TEXTS = ["a good film", "the bad plot was not fun", "a very dull and very long story"]


@pytest.fixture(scope="module")
def multi_label(tmp_path_factory):
    return archived(tmp_path_factory.mktemp("multi"), **MULTI)


@pytest.fixture(scope="module")
def regression(tmp_path_factory):
    return archived(tmp_path_factory.mktemp("regression"), num_labels=1)


def archived(root, **config):
    folder = save_classifier("bert", root, **config)
    make_archive(folder, str(root / "model.tar.gz"))
    return folder, str(root / "model.tar.gz")


def predictor(path, interpreter="layer-saliency", **settings):
    config = {"type": interpreter, **settings}
    return Predictor.from_archive(load_archive(path), "saliency", extra_args={"interpreter": config})


def logits_of(folder, text):
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    with torch.no_grad():
        encoding = AutoTokenizer.from_pretrained(folder)(text, return_tensors="pt")
        return model(**encoding).logits[0]


def signed(instance):
    return instance["signed_1"]


def test_each_predicted_label_is_explained(multi_label):
    folder, path = multi_label
    ours = predictor(path, layer=1)
    lines = ours.predict_batch_json([{"sentence": text} for text in TEXTS])
    for text, line in zip(TEXTS, lines):
        logits = logits_of(folder, text)
        assert line["probs"] == pytest.approx(logits.sigmoid().tolist(), abs=1e-5)
        wanted = [name for name, logit in zip(NAMES, logits) if logit > 0]
        assert line["label"] == wanted
        targets = [instance["target"] for instance in line["saliency"].values()]
        explained = wanted or [NAMES[int(logits.argmax())]]
        assert [target["label"] for target in targets] == explained
        for target in targets:
            index = NAMES.index(target["label"])
            assert target["score"] == pytest.approx(float(logits[index]), abs=1e-4)
        # Each as it is explained by itself.
        for name, instance in zip(explained, line["saliency"].values()):
            alone = predictor(path, layer=1, target_class=name).predict_json({"sentence": text})
            assert signed(alone["saliency"]["instance_1"]) == pytest.approx(
                signed(instance), rel=1e-4, abs=1e-6
            )
    assert all(1 < len(line["label"]) < len(NAMES) for line in lines), "the test needs such texts"


def test_gold_labels_are_the_models_own(multi_label):
    ours = predictor(multi_label[1], layer=1)
    known = ours.predict_json({"sentence": TEXTS[0], "label": ["joy", "calm"]})
    assert known["gold_label"] == ["joy", "calm"]
    assert "gold_label" not in ours.predict_json({"sentence": TEXTS[0], "label": ["joy", "envy"]})


def test_where_none_is_predicted_the_most_probable_is_explained(multi_label, tmp_path):
    model = AutoModelForSequenceClassification.from_pretrained(multi_label[0])
    with torch.no_grad():
        model.classifier.bias -= 100
    tokenizer = AutoTokenizer.from_pretrained(multi_label[0])
    (explanation,) = explain(model, tokenizer, TEXTS[:1], "layer-saliency")
    (target,) = [instance["target"] for instance in explanation.values()]
    assert target["label"] == NAMES[int(logits_of(multi_label[0], TEXTS[0]).argmax())]


def test_a_labels_log_probability_is_its_own(multi_label):
    folder, path = multi_label
    settings = {"target": "log-probability", "target_class": "calm", "layer": 1}
    line = predictor(path, **settings).predict_json({"sentence": TEXTS[0]})
    logit = float(logits_of(folder, TEXTS[0])[2])
    target = line["saliency"]["instance_1"]["target"]
    assert target["score"] == pytest.approx(-math.log1p(math.exp(-logit)), abs=1e-4)


def test_a_regressions_output_is_explained(regression):
    folder, path = regression
    ours = predictor(path, layer=1)
    line = ours.predict_json({"sentence": TEXTS[1], "label": 3.5})
    wanted = float(logits_of(folder, TEXTS[1])[0])
    assert line["logits"] == pytest.approx([wanted], abs=1e-5)
    assert "probs" not in line and "label" not in line and line["gold_label"] == 3.5
    instance = line["saliency"]["instance_1"]
    assert instance["target"]["kind"] == "output"
    assert instance["target"]["score"] == pytest.approx(wanted, abs=1e-4)
    model = AutoModelForSequenceClassification.from_pretrained(folder)
    (again,) = explain(model, AutoTokenizer.from_pretrained(folder), [TEXTS[1]], "layer-saliency", layer=1)
    assert again["instance_1"]["signed_1"] == pytest.approx(instance["signed_1"], rel=1e-4)
    assert any(instance["signed_1"])
    with pytest.raises(ConfigurationError, match="the model predicts a number and no class"):
        predictor(path, target="log-probability")


@pytest.mark.parametrize("which", ["multi_label", "regression"])
def test_loss_and_metric(which, request):
    folder, path = request.getfixturevalue(which)
    loaded = load_archive(path)
    reader, model = loaded.dataset_reader, loaded.model
    label = ["anger", "fear"] if which == "multi_label" else 2
    instance = reader.text_to_instance(TEXTS[0], label=label)
    reader.apply_token_indexers(instance)
    batch = Batch([instance])
    batch.index_instances(model.vocab)
    outputs = model(**batch.as_tensor_dict())
    own = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    encoding = AutoTokenizer.from_pretrained(folder)(TEXTS[0], return_tensors="pt")
    labels = torch.tensor([[0.0, 1.0, 0.0, 1.0]] if which == "multi_label" else [2.0])
    assert outputs["loss"].item() == pytest.approx(own(**encoding, labels=labels).loss.item())
    found = model.get_metrics(reset=True)
    if which == "regression":
        assert found["mae"] == pytest.approx(abs(float(logits_of(folder, TEXTS[0])) - 2))
    else:
        predicted = set(model.make_output_human_readable(outputs)["label"][0])
        hits = len(predicted & {"anger", "fear"})
        assert found["fscore"] == pytest.approx(2 * hits / (len(predicted) + 2))


def test_what_is_wrong_is_said(multi_label, regression, tmp_path):
    reader = load_archive(regression[1]).dataset_reader
    with pytest.raises(ConfigurationError, match="a regression's label must be a number; got 'bad'"):
        reader.text_to_instance("a film", label="bad")
    # AllenNLP's own explain the loss of a class.
    builtin = predictor(regression[1], "simple-gradient")
    line = builtin.predict_json({"sentence": TEXTS[0]})
    assert "the loss of a predicted class, and the model gives no 'probs'" in line["error"]
    builtin = predictor(multi_label[1], "simple-gradient")
    assert len(builtin.predict_json({"sentence": TEXTS[0]})["saliency"]["instance_1"]) > 1
    unknown = save_classifier("bert", tmp_path / "unknown", num_labels=2)
    file = Path(unknown) / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "problem_type": "ranking"}))
    with pytest.raises(ConfigurationError, match="problem_type|ranking"):
        make_archive(unknown, str(tmp_path / "model.tar.gz"))


def test_numbers_are_not_compared(regression):
    inner = predictor(regression[1]).inner
    with pytest.raises(ConfigurationError, match="HuggingFaceClassifier predicts a number"):
        PerturbedPredictions(TextReader(inner))


def test_each_predicted_label_is_compared(multi_label):
    """By its own logistic function, in the input without some tokens."""
    inner = predictor(multi_label[1]).inner
    texts = PerturbedPredictions(TextReader(inner), "remove")
    instance = inner._json_to_instance({"sentence": TEXTS[2]})
    tokens = texts.tokens(instance)
    taken = frozenset(tokens.tokens[1:3])
    choices, found = texts.predictions(tokens, [frozenset(), taken])
    ids = [token.text_id for token in instance["tokens"].tokens]
    for set_ in (frozenset(), taken):
        left = torch.tensor([[id_ for i, id_ in enumerate(ids) if i not in set_]])
        with torch.no_grad():
            logits = texts._texts.model.classifier(left).logits[0].double()
        for choice, predictions in zip(choices, found):
            wanted = torch.sigmoid(logits[choice.classes[0]]).item()
            assert predictions[set_].probability == pytest.approx(wanted, abs=1e-6)
            assert predictions[set_].label is None
