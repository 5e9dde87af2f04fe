"""Displays show a text as the user wrote it, whatever the tokenizer makes of it."""

import pytest
from allennlp.predictors import Predictor

from allennlp_layer_saliency.predictors.saliency import SaliencyPredictor
from allennlp_layer_saliency.reports import terminal
from tests.conformance import rows
from tests.models.test_decoder_classifiers import llama_tokenizer, save_classifier

TEXTS = [
    "a good film , and a bad film",
    "great   fun",
    "loved it \U0001f600 so much",
    "\u4e2d\u6587 film",
    "na\u00efve \u0130stanbul",
]
SETTINGS = {"type": "layer-saliency", "layer": 1, "aggregation": "gradient-x-input"}


def explained(predictor: Predictor, line, inner="text_classifier"):
    explaining = SaliencyPredictor(predictor._model, predictor._dataset_reader, SETTINGS, inner=inner)
    (output,) = explaining.outputs([line])
    return output


def shown(output):
    return "\n".join(line.plain.strip() for line in terminal.render(output))


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("kind", ["byte-level", "sentence pieces"])
def test_a_text_is_shown_as_it_was_written(tmp_path, kind, text):
    if kind == "byte-level":
        build = rows.plain_classifier("RobertaForSequenceClassification", "roberta")
        predictor, _ = build(tmp_path)
    else:
        predictor = save_classifier(tmp_path / "c", "GPT2", llama_tokenizer(), pad_token_id=2)
    output = explained(predictor, {"sentence": text})
    instance = output["saliency"]["instance_1"]
    assert text in shown(output)
    spans = [span for span in instance["offsets_1"] if span is not None]
    covered = {place for start, end in spans for place in range(start, end)}
    assert {i for i, letter in enumerate(text) if not letter.isspace()} <= covered
    special = set(predictor._dataset_reader._tokenizer.all_special_tokens) - {"<unk>"}
    for token, span in zip(instance["tokens_1"], instance["offsets_1"]):
        assert (span is None) == (token in special)


def test_a_pair_is_shown_as_two_texts(tmp_path):
    predictor, _ = rows.plain_classifier("BertForSequenceClassification", "bert")(tmp_path)
    line = {"premise": "the plot is thin", "hypothesis": "a good film"}
    output = explained(predictor, line, "textual_entailment")
    instance = output["saliency"]["instance_1"]
    assert instance["texts_1"] == ["the plot is thin", "a good film"]
    pieces = {0: "", 1: ""}
    for segment, span in zip(instance["segments_1"], instance["offsets_1"]):
        if span is not None:
            pieces[segment] += instance["texts_1"][segment][slice(*span)]
    # A space of its own piece has its place too.
    pieces = {segment: text.replace(" ", "") for segment, text in pieces.items()}
    assert pieces == {0: "theplotisthin", 1: "agoodfilm"}
    assert "the plot is thin" in shown(output) and "a good film" in shown(output)
