import json

import pytest
from allennlp.common.checks import ConfigurationError

from allennlp_layer_saliency.interpreters import ScoresFile
from allennlp_layer_saliency.predictors import SaliencyPredictor

LINES = [{"sentence": "a good film"}, {"sentence": "the plot is bad"}]


def explained(predictor, **settings):
    made = SaliencyPredictor(predictor._model, predictor._dataset_reader, settings)
    return made.predict_batch_json(LINES)


def test_scores_of_another_tool(predictor, tmp_path):
    ours = explained(predictor, type="layer-saliency", layer=1)
    theirs = []
    for line in ours:
        tokens = line["saliency"]["instance_1"]["tokens_1"]
        theirs.append({"tokens": tokens, "scores": [float(i) for i in range(len(tokens))]})
    # In another order, and with a line between.
    path = tmp_path / "scores.jsonl"
    path.write_text("\n".join(json.dumps(line) for line in reversed(theirs)) + '\n\n{"error": "no"}\n')
    for wanted, line in zip(theirs, explained(predictor, type="scores-file", path=str(path))):
        instance = line["saliency"]["instance_1"]
        total = sum(wanted["scores"])
        assert instance["grad_input_1"] == pytest.approx([score / total for score in wanted["scores"]])
        assert "signed_1" not in instance and instance["tokens_1"] == wanted["tokens"]


def test_what_the_predictor_wrote(predictor, tmp_path):
    ours = explained(predictor, type="layer-saliency", layer=1)
    path = tmp_path / "out.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in ours))
    for wanted, line in zip(ours, explained(predictor, type="scores-file", path=str(path))):
        before, after = (each["saliency"]["instance_1"] for each in (wanted, line))
        assert after["signed_1"] == before["signed_1"] and min(after["signed_1"]) < 0
        assert after["grad_input_1"] == pytest.approx(before["grad_input_1"])


@pytest.mark.parametrize(
    "content, message",
    [
        ('{"tokens": ["a"], "scores": [1, 2]}', "line 1: .*2 scores for 1 tokens"),
        ('{"tokens": ["a"], "scores": ["x"]}', "line 1: tokens and scores of one text are wanted"),
        ("nonsense", "line 1: tokens and scores"),
        ("[1]", "line 1: tokens and scores"),
        ('{"sentence": "a"}', "line 1: tokens and scores"),
    ],
)
def test_files_of_another_kind(predictor, tmp_path, content, message):
    path = tmp_path / "scores.jsonl"
    path.write_text(content + "\n")
    with pytest.raises(ConfigurationError, match=message) as error:
        ScoresFile(predictor, str(path))
    assert "\n" not in str(error.value)


def test_a_text_without_scores_is_an_error_of_its_own(predictor, tmp_path):
    (line, _) = explained(predictor, type="layer-saliency", layer=1)
    path = tmp_path / "scores.jsonl"
    path.write_text(json.dumps(line) + "\n")
    first, second = explained(predictor, type="scores-file", path=str(path))
    assert "saliency" in first and "has no scores for the tokens of this text" in second["error"]
    with pytest.raises(ConfigurationError, match="scores-file: no file"):
        ScoresFile(predictor, str(tmp_path / "none.jsonl"))
