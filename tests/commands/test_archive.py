import json
import os
import sys
import tarfile

import pytest
import torch
import transformers
from allennlp.commands import main
from allennlp.predictors import Predictor
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from tests.conformance.rows import language_model
from tests.conftest import ROOT, SENTENCES, reseed_weights

PAIRS = [("a good film", "it is bad"), (SENTENCES[1], "good"), ("so", SENTENCES[3])]
# Those whose tokenizers and type ids differ most.
CLASSES = {
    "albert": "AlbertForSequenceClassification",
    "bart": "BartForSequenceClassification",
    "bert": "BertForSequenceClassification",
    "deberta-v2": "DebertaV2ForSequenceClassification",
    "gpt2": "GPT2ForSequenceClassification",
    "distilbert": "DistilBertForSequenceClassification",
    "roberta": "RobertaForSequenceClassification",
    "xlnet": "XLNetForSequenceClassification",
}
LABELS = {0: "negative", 1: "positive", 2: "<b>mixed</b>"}


def save_classifier(model_type, folder, **config):
    lm = language_model(model_type, folder / "lm")
    config = config or {"num_labels": 3, "id2label": LABELS}
    torch.manual_seed(0)
    classifier = getattr(transformers, CLASSES[model_type]).from_pretrained(lm, **config)
    reseed_weights(classifier, 4)
    classifier.save_pretrained(folder / "classifier")
    AutoTokenizer.from_pretrained(lm).save_pretrained(folder / "classifier")
    return str(folder / "classifier")


def run(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["allennlp", "saliency", "archive", *map(str, arguments)])
    main()


@pytest.mark.parametrize("model_type", CLASSES)
def test_predictions_equal_the_hugging_face_models(model_type, tmp_path, monkeypatch):
    folder = save_classifier(model_type, tmp_path)
    run(monkeypatch, folder, "-o", tmp_path / "model.tar.gz")
    (tmp_path / "elsewhere").mkdir()
    # Everything is inside: neither the folder nor the working directory matters.
    os.rename(folder, tmp_path / "moved")
    monkeypatch.chdir(tmp_path / "elsewhere")
    predictor = Predictor.from_path(str(tmp_path / "model.tar.gz"))
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path / "moved").eval()
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "moved")
    outputs = predictor.predict_batch_json([{"sentence": sentence} for sentence in SENTENCES])
    pairs = Predictor.from_path(str(tmp_path / "model.tar.gz"), "textual_entailment")
    outputs += pairs.predict_batch_json([{"premise": a, "hypothesis": b} for a, b in PAIRS])
    for texts, output in zip([*((s,) for s in SENTENCES), *PAIRS], outputs):
        encoding = tokenizer(*texts, return_tensors="pt")
        if model_type in ("bart", "distilbert", "gpt2"):
            del encoding["token_type_ids"]  # their own tokenizers give none
        with torch.no_grad():
            wanted = model(**encoding).logits[0]
        assert output["logits"] == pytest.approx(wanted.tolist(), abs=1e-5)
        assert output["probs"] == pytest.approx(wanted.softmax(-1).tolist(), abs=1e-5)
        assert output["label"] == LABELS[int(wanted.argmax())]


def test_an_archive_works_with_allennlp_predict(tmp_path, monkeypatch):
    folder = save_classifier("roberta", tmp_path)
    archive = tmp_path / "model.tar.gz"
    run(monkeypatch, folder, "-o", archive)
    lines = [{"sentence": SENTENCES[0], "label": "positive", "id": 1}, {"text": SENTENCES[1]}]
    (tmp_path / "in.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n\n")
    for arguments in ([], ["--use-dataset-reader"]):
        output = tmp_path / "out.jsonl"
        interpreter = {"type": "decoded-layer-saliency", "layer": 1}
        monkeypatch.setattr(
            sys,
            "argv",
            ["allennlp", "predict", str(archive), str(tmp_path / "in.jsonl"), "--silent"]
            + ["--predictor", "saliency", "--output-file", str(output), *arguments]
            + ["--predictor-args", json.dumps({"interpreter": interpreter})],
        )
        main()
        explained = [json.loads(line) for line in output.read_text().splitlines()]
        # The language model's name was kept, and its head loaded.
        assert explained[0]["saliency"]["instance_1"]["decoded_1"][0]
        assert ("error" in explained[1]) is not bool(arguments)
    # The folder has no LM head of its own, nor a reader of other keys.
    (tmp_path / "in.jsonl").write_text('{"words": "x"}\n')
    with pytest.raises(Exception, match="line 1: a sentence, text or premise is wanted"):
        main()


def test_what_can_not_be_archived_is_refused_in_one_line(tmp_path, monkeypatch, capsys):
    folder = save_classifier("bert", tmp_path)
    output = tmp_path / "model.tar.gz"

    def refused(*arguments):
        with pytest.raises(SystemExit) as exit:
            run(monkeypatch, *arguments)
        assert exit.value.code == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("allennlp saliency: ")
        return line

    assert "no sequence classifier could be loaded from" in refused(tmp_path / "none", "-o", output)
    message = refused(tmp_path / "lm", "-o", output)
    assert "no fine-tuned sequence classifier: it holds no weights for" in message
    one = save_classifier("bert", tmp_path / "one", num_labels=1)
    assert "has 1 outputs" in refused(one, "-o", output)
    kind = "multi_label_classification"
    many = save_classifier("bert", tmp_path / "many", num_labels=3, problem_type=kind)
    assert "3 outputs for multi_label_classification" in refused(many, "-o", output)
    twice = save_classifier("bert", tmp_path / "twice", id2label={0: "a", 1: "a"})
    assert "labels ['a', 'a']" in refused(twice, "-o", output)
    assert not output.exists()
    output.write_text("precious")
    assert f"{output} exists" in refused(folder, "-o", output)
    assert output.read_text() == "precious"
    assert "No such file or directory" in refused(folder, "-o", tmp_path / "no" / "folder.tar.gz")
    run(monkeypatch, folder, "-o", output, "--force")
    assert tarfile.is_tarfile(output)
    assert sorted(p.name for p in tmp_path.iterdir() if p.name.startswith("tmp")) == []


def test_the_command_is_listed(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["allennlp", "saliency", "--help"])
    with pytest.raises(SystemExit):
        main()
    assert "archive" in capsys.readouterr().out
    assert (ROOT / ".allennlp_plugins").read_text() == "allennlp_layer_saliency\n"
