"""Hugging Face's classifiers by words, its token classifiers, and its folders in place of archives."""

import json

import pytest
import torch
from allennlp.common.checks import ConfigurationError
from allennlp.models.archival import load_archive
from allennlp.predictors import Predictor
from transformers import AutoModelForTokenClassification, AutoTokenizer

from allennlp_layer_saliency import explain
from allennlp_layer_saliency.commands.archive import make_archive
from allennlp_layer_saliency.models.huggingface import load_classifier
from allennlp_layer_saliency.predictors import SaliencyPredictor
from allennlp_layer_saliency.predictors.opening import open_model
from tests.commands.test_archive import save_classifier
from tests.conftest import ROOT

TEXT = "The film's charming actors aren't bad, so it is good!"
WORDS = ["The", "film's", "charming", "actors", "aren't", "bad", ",", "so", "it", "is", "good", "!"]
TAGS = {0: "O", 1: "B-PER", 2: "I-PER", 3: "B-LOC", 4: "I-LOC"}
FAMILIES = ["albert", "bert", "deberta-v2", "gpt2", "roberta", "xlnet"]


@pytest.fixture(scope="module")
def classifiers(tmp_path_factory):
    made = {}

    def folder(family):
        if family not in made:
            made[family] = save_classifier(family, tmp_path_factory.mktemp(family))
        return made[family]

    return folder


@pytest.fixture(scope="module", params=["bert", "deberta-v2", "roberta"])
def tagger(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    return save_classifier(
        request.param, folder, "ForTokenClassification", num_labels=len(TAGS), id2label=TAGS
    )


def in_memory(folder):
    return load_classifier(folder), AutoTokenizer.from_pretrained(folder)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("how", ["sum", "mean", "max"])
def test_words_have_the_scores_of_their_pieces(classifiers, family, how):
    model, tokenizer = in_memory(classifiers(family))
    settings = {"interpreter": "layer-saliency", "layer": 1, "aggregation": "gradient-x-input"}
    (by_pieces,), (by_words,) = (
        explain(model, tokenizer, TEXT, words=words, word_aggregation=how, **settings)
        for words in (False, True)
    )
    pieces, words = by_pieces["instance_1"], by_words["instance_1"]
    assert words["tokens_1"] == WORDS
    assert [TEXT[start:end] for start, end in words["offsets_1"]] == WORDS
    of_word = {
        "sum": sum,
        "mean": lambda scores: sum(scores) / len(scores),
        "max": lambda scores: max(scores, key=abs),
    }[how]
    for (start, end), score in zip(words["offsets_1"], words["signed_1"]):
        own = [
            signed
            for signed, span in zip(pieces["signed_1"], pieces["offsets_1"])
            # Some tokenizers have a piece for the space before the first word, of no character.
            if span is not None and start <= span[0] and span[1] <= end
        ]
        assert score == pytest.approx(of_word(own), abs=1e-5)
    assert words["target"]["score"] == pytest.approx(pieces["target"]["score"], abs=1e-5)


def test_words_of_pairs_in_batches_and_cut_off(classifiers):
    model, tokenizer = in_memory(classifiers("bert"))
    pairs = [("a good film", "it isn't bad"), (TEXT, "good"), ("so", "very , very bad")]
    together = explain(model, tokenizer, pairs, words=True, layer=1, decoded_top_k=2)
    for pair, explanation in zip(pairs, together):
        (alone,) = explain(model, tokenizer, [pair], words=True, layer=1, decoded_top_k=2)
        found, wanted = explanation["instance_1"], alone["instance_1"]
        assert found["signed_1"] == pytest.approx(wanted["signed_1"], abs=1e-5)
        assert found["texts_1"] == list(pair)
        for token, (start, end), segment in zip(found["tokens_1"], found["offsets_1"], found["segments_1"]):
            assert pair[segment][start:end] == token
    (cut,) = explain(model, tokenizer, TEXT, words=True, max_length=6, layer=1)
    assert cut["instance_1"]["tokens_1"] == WORDS[: len(cut["instance_1"]["tokens_1"])] != WORDS
    with pytest.raises(ConfigurationError, match="the text is empty"):
        explain(model, tokenizer, " ", words=True, layer=1)


def test_an_archive_of_words_is_compared(classifiers, tmp_path, monkeypatch):
    from allennlp.commands import main

    folder, made = classifiers("bert"), str(tmp_path / "model.tar.gz")
    make_archive(folder, made, words=True)
    (tmp_path / "in.jsonl").write_text(json.dumps({"sentence": TEXT}) + "\n")
    results = {}
    for archive in (made, folder):
        config = {
            "archive_file": archive,
            "data": {"path": str(tmp_path / "in.jsonl")},
            "interpreters": {"ours": {"type": "layer-saliency", "layer": 1}},
        }
        (tmp_path / "config.json").write_text(json.dumps(config))
        out = tmp_path / f"out{len(results)}"
        monkeypatch.setattr(
            "sys.argv", ["allennlp", "saliency", "compare", str(tmp_path / "config.json"), "-s", str(out)]
        )
        main()
        results[archive] = [json.loads(line) for line in (out / "examples.jsonl").read_text().splitlines()]
    assert results[made][0]["tokens"] == WORDS
    assert results[folder][0]["tokens"][0] == "<s>"
    assert results[made][0]["probability"] == pytest.approx(results[folder][0]["probability"], abs=1e-6)


def test_tags_are_those_of_the_first_pieces(tagger, tmp_path):
    make_archive(tagger, str(tmp_path / "model.tar.gz"))
    predictor = Predictor.from_path(str(tmp_path / "model.tar.gz"))
    lines = [{"sentence": TEXT}, {"sentence": "a good film"}]
    model = AutoModelForTokenClassification.from_pretrained(tagger).eval()
    tokenizer = AutoTokenizer.from_pretrained(tagger)
    for line, output in zip(lines, predictor.predict_batch_json(lines)):
        encoding = tokenizer(line["sentence"], return_tensors="pt", return_offsets_mapping=True)
        offsets = encoding.pop("offset_mapping")[0].tolist()
        special = [id_ in tokenizer.all_special_ids for id_ in encoding["input_ids"][0].tolist()]
        with torch.no_grad():
            logits = model(**encoding).logits[0]
        words = WORDS if line["sentence"] == TEXT else ["a", "good", "film"]
        place, wanted = 0, []
        for word in words:
            place = line["sentence"].index(word, place)
            first = next(i for i in range(len(offsets)) if not special[i] and offsets[i][0] == place)
            wanted.append(TAGS[int(logits[first].argmax())])
        assert output["tags"][: len(words)] == wanted


def test_a_taggers_spans_are_explained(tagger, tmp_path):
    make_archive(tagger, str(tmp_path / "model.tar.gz"))
    config = {"type": "decoded-layer-saliency", "layer": 1}
    explained = Predictor.from_archive(
        load_archive(str(tmp_path / "model.tar.gz")), "saliency", extra_args={"interpreter": config}
    ).predict_batch_json([{"sentence": TEXT}, {"sentence": "a good film"}])
    tags = explained[0]["tags"]
    assert len(tags) == len(WORDS)
    spans = [instance["target"] for instance in explained[0]["saliency"].values()]
    assert spans and all(tags[s["span"][0]].endswith(s["label"]) for s in spans)
    for instance in explained[0]["saliency"].values():
        assert instance["tokens_1"] == WORDS and len(instance["signed_1"]) == len(WORDS)
    # From memory, and from the folder itself, the same.
    model = AutoModelForTokenClassification.from_pretrained(tagger).eval()
    (directly,) = explain(model, AutoTokenizer.from_pretrained(tagger), TEXT, layer=1)
    assert list(directly) == list(explained[0]["saliency"])
    of_folder = SaliencyPredictor(*open_model(tagger), config).predict_json({"sentence": TEXT})["saliency"]
    for name, instance in directly.items():
        wanted = explained[0]["saliency"][name]["signed_1"]
        assert instance["signed_1"] == pytest.approx(wanted, abs=1e-5)
        assert of_folder[name]["signed_1"] == pytest.approx(wanted, abs=1e-5)


def test_what_is_no_folder_of_a_classifier(tmp_path, roberta_folder):
    with pytest.raises(ConfigurationError, match="is not a fine-tuned sequence classifier"):
        open_model(roberta_folder)
    with pytest.raises(ConfigurationError, match="torch finds no GPU here"):
        open_model(roberta_folder, 0 if not torch.cuda.is_available() else 99)
    model, reader = open_model(str(ROOT / "fixtures" / "sst2-classifier.tar.gz"))
    assert type(model).__name__ == "BasicClassifier" and reader is not None
