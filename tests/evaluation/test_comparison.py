import pytest
from allennlp.common.checks import ConfigurationError

from allennlp_layer_saliency.data import Example
from allennlp_layer_saliency.evaluation.comparison import Comparison
from allennlp_layer_saliency.evaluation.comparison_summary import summary
from allennlp_layer_saliency.interpreters.perturbation import PerturbedPredictions
from allennlp_layer_saliency.models.allennlp import instances_of
from allennlp_layer_saliency.models.text_reader import TextReader
from allennlp_layer_saliency.predictors.saliency import saliency_predictors
from tests.conformance import rows
from tests.conformance.rows import BIOUL

METRICS = ["comprehensiveness", "sufficiency", "deletion_auc"]


def test_a_row_whose_metrics_all_failed_keeps_its_randomisation():
    records = [
        {"example": 1, "row": "a", "metrics": {"sufficiency": 0.5}, "costs": {}},
        {"example": 1, "row": "b", "error": "none"},
    ]
    randomised = {"b": [{"example": 1, "stage": "classifier", "value": 0.25}]}
    rows = summary(records, randomised, None, seed=0)["rows"]
    assert rows["a"]["sufficiency"]["mean"] == 0.5
    assert rows["b"]["randomisation"]["mean"] == 0.25


def test_a_text_counts_once_whatever_it_predicts():
    def record(example, row, value):
        return {"example": example, "row": row, "metrics": {"sufficiency": value}, "costs": {}}

    records = [record(1, "a", 0.25), record(1, "a", 0.75), record(2, "a", 0.0), record(1, "b", 0.0)]
    records += [{"example": 2, "row": "b", "error": "e"}, {"example": 2, "row": "b", "error": "e"}]
    found = summary(records, {}, "a", seed=0)
    assert found["rows"]["a"]["sufficiency"]["mean"] == 0.25
    assert found["rows"]["a"]["sufficiency"]["n"] == 2
    assert found["errors"] == {"b": 1}
    assert found["texts"] == 2


@pytest.fixture
def compared(monkeypatch):
    def compared(built, metrics=METRICS):
        inner = built[0]
        # Which it is, of a model's several predictors, is not said again.
        monkeypatch.setattr("allennlp_layer_saliency.predictors.saliency.inner_predictor", lambda *_: inner)
        return _compared(*built, metrics)

    return compared


def _compared(inner, lines, metrics):
    interpreters = {"ours": "layer-saliency", "theirs": "simple-gradient"}
    predictors = saliency_predictors(inner._model, inner._dataset_reader, interpreters)
    texts = TextReader(inner)
    comparison = Comparison(predictors, PerturbedPredictions(texts), texts, metrics, ["signed"])
    examples = [
        Example(number, None, instances[0])
        for number, instances in enumerate((instances_of(inner, line) for line in lines), start=1)
    ]
    return predictors, comparison.records(examples)


KINDS = {
    "pairs": (rows.two_fields(False), False),
    "pairs of words": (rows.two_fields(True), False),
    "a CRF tagger": (rows.tagger(BIOUL, 3, type="crf_tagger", label_encoding="BIOUL"), True),
    "a reader": (rows.question_answering, True),
    "a masked language model": (rows.masked_words, True),
    "a language model": (rows.next_word, False),
}


@pytest.mark.parametrize("kind", KINDS)
def test_each_prediction_is_compared(tmp_path, kind, compared):
    build, several = KINDS[kind]
    built = build(tmp_path)
    _, records = compared(built)
    measured = [record for record in records if "error" not in record]
    # AllenNLP's can't explain words of two fields.
    compared_rows = {"ours"} if kind == "pairs of words" else {"ours", "theirs"}
    errors = {record["error"] for record in records if "error" in record}
    if "Start loss too high" in errors:
        # AllenNLP's reader wants the loss of a masked answer to be below what masks it: a matter of rounding.
        assert kind == "a reader" and errors == {"Start loss too high"}
        compared_rows = {"ours"} | {record["row"] for record in measured}
    assert {record["row"] for record in measured} == compared_rows, errors
    assert {record["example"] for record in measured if record["row"] == "ours"} == set(
        range(1, len(built[1]) + 1)
    )
    assert any(record.get("target", {}).get("number", 1) > 1 for record in measured) == several
    for record in measured:
        assert len(record["scores"]) == len(record["tokens"]) == len(record["offsets"])
        assert ("starts" in record) == kind.startswith("pairs")
        assert 0 <= record["probability"] <= 1
        # Without any token, every ranking is the same.
        same = [
            other["metrics"]["deletion_auc@100"]
            for other in measured
            if (other["example"], other.get("target")) == (record["example"], record.get("target"))
        ]
        assert same == [same[0]] * len(same)
    found = summary(records, {}, "ours", seed=0)
    assert set(found["rows"]) == compared_rows


def test_scores_of_pairs_are_of_their_texts(tmp_path, compared):
    """AllenNLP's number the texts of a pair from the last one, ours from the first."""
    inner, lines = built = rows.two_fields(False)(tmp_path)
    predictors, records = compared(built)
    for record in records:
        line = lines[record["example"] - 1]
        explained = predictors[record["row"]].predict_json(line)["saliency"]["instance_1"]
        first, second = (2, 1) if record["row"] == "theirs" else (1, 2)
        key = "grad_input" if record["row"] == "theirs" else "signed"
        wanted = explained[f"{key}_{first}"] + explained[f"{key}_{second}"]
        assert record["scores"] == pytest.approx(wanted, abs=1e-6)
        assert record["starts"] == [0, len(explained[f"{key}_{first}"])]


@pytest.mark.parametrize("metric", ["accuracy_after_deletion", "auprc", "randomisation"])
def test_metrics_of_classes_are_refused_before_a_text_is_read(tmp_path, metric, compared):
    with pytest.raises(ConfigurationError, match=f"metrics: {metric} need a model that predicts one class"):
        compared((rows.masked_words(tmp_path)[0], []), [metric])
