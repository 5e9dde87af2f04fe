import json
import os
import re
import sys
import tarfile
from pathlib import Path

import pytest
import torch
import transformers
from allennlp.commands import main
from allennlp.common.checks import ConfigurationError
from allennlp.models.archival import load_archive
from allennlp.predictors import Predictor
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer

from allennlp_layer_saliency.commands.archive import make_archive
from allennlp_layer_saliency.predictors import SaliencyPredictor
from tests.conformance.rows import language_model
from tests.conftest import ROOT, SENTENCES, reseed_weights, weights_file

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


def save_classifier(model_type, folder, what="ForSequenceClassification", **config):
    lm = language_model(model_type, folder / "lm")
    config = config or {"num_labels": 3, "id2label": LABELS}
    torch.manual_seed(0)
    name = CLASSES[model_type].replace("ForSequenceClassification", what)
    classifier = getattr(transformers, name).from_pretrained(lm, **config)
    reseed_weights(classifier, 4)
    classifier.save_pretrained(folder / "classifier")
    AutoTokenizer.from_pretrained(lm).save_pretrained(folder / "classifier")
    # As trainers write it; versions of transformers before 5 say it in config.json too.
    (folder / "classifier" / "README.md").write_text(f"---\nbase_model: {lm}\n---\n")
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
            encoding.pop("token_type_ids", None)  # their own tokenizers give none
        with torch.no_grad():
            wanted = model(**encoding).logits[0]
        assert output["logits"] == pytest.approx(wanted.tolist(), abs=1e-5)
        assert output["probs"] == pytest.approx(wanted.softmax(-1).tolist(), abs=1e-5)
        assert output["label"] == LABELS[int(wanted.argmax())]


def test_an_archive_works_with_allennlp_predict(tmp_path, monkeypatch):
    folder = save_classifier("roberta", tmp_path)
    made = tmp_path / "model.tar.gz"
    run(monkeypatch, folder, "-o", made)
    lines = [{"sentence": SENTENCES[0], "label": "positive", "id": 1}, {"text": SENTENCES[1]}]
    (tmp_path / "in.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n\n")
    for arguments in ([], ["--use-dataset-reader"]):
        output = tmp_path / "out.jsonl"
        interpreter = {"type": "decoded-layer-saliency", "layer": 1}
        monkeypatch.setattr(
            sys,
            "argv",
            ["allennlp", "predict", str(made), str(tmp_path / "in.jsonl"), "--silent"]
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

    assert "can't read a pretrained model from" in refused(tmp_path / "none", "-o", output)
    message = refused(tmp_path / "lm", "-o", output)
    assert "not a fine-tuned sequence classifier: it holds no weights for" in message
    kind = "single_label_classification"
    one = save_classifier("bert", tmp_path / "one", num_labels=1, problem_type=kind)
    # Newer versions of transformers say it themselves.
    message = refused(one, "-o", output)
    assert "has 1 outputs for single_label_classification" in message or "num_labels=2" in message
    quantised = Path(save_classifier("bert", tmp_path / "quantised", num_labels=2)) / "config.json"
    settings = {"quant_method": "bitsandbytes", "load_in_8bit": True}
    quantised.write_text(json.dumps({**json.loads(quantised.read_text()), "quantization_config": settings}))
    assert "it is quantised (bitsandbytes)" in refused(quantised.parent, "-o", output)
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


@pytest.fixture
def bert(tmp_path):
    return save_classifier("bert", tmp_path)


def edit(path, **changes):
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, **changes}))


def unknown_type(folder):
    edit(folder / "config.json", model_type="nonesuch", transformers_version="9.9")


def remote_code(folder):
    edit(folder / "config.json", model_type="nonesuch", auto_map={"AutoConfig": "code.Config"})


def quantised(folder):
    edit(folder / "config.json", quantization_config={"quant_method": "gptq", "bits": 4})


def adapter(folder):
    weights_file(folder).unlink()
    edit(folder / "config.json", base_model_name_or_path="roberta-base")
    (folder / "config.json").rename(folder / "adapter_config.json")


def no_config(folder):
    (folder / "config.json").unlink()


def no_weights(folder):
    weights_file(folder).unlink()


def damaged_weights(folder):
    path = weights_file(folder)
    path.write_bytes(b"\xff" * 40)


def missing_shard(folder):
    weights_file(folder).unlink()
    index = {"metadata": {}, "weight_map": {"a": "pytorch_model-00001-of-00001.bin"}}
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps(index))


def no_tokenizer(folder):
    for path in folder.iterdir():
        if path.name != "config.json" and path != weights_file(folder):
            path.unlink()


def later_tokenizer(folder):
    edit(folder / "tokenizer.json", pre_tokenizer={"type": "NotYetKnown"})


@pytest.mark.parametrize(
    "damage, message",
    [
        (unknown_type, "knows no models of type 'nonesuch'; .*saved by 9.9"),
        (remote_code, "remote code is never run"),
        (quantised, "it is quantised .gptq., and gradients need whole weights"),
        (adapter, "PEFT adapter of roberta-base.*merge_and_unload"),
        (no_config, "holds no config.json"),
        (no_weights, "holds no pytorch_model.bin or model.safetensors, but README.md, config.json"),
        (damaged_weights, "no sequence classifier could be loaded from"),
        (missing_shard, "names pytorch_model-00001-of-00001.bin, which is not there"),
        (no_tokenizer, "it holds no tokenizer"),
        (later_tokenizer, "no tokenizer could be loaded from .* with tokenizers "),
    ],
)
def test_a_folder_that_can_not_be_loaded_is_refused_in_one_line(bert, tmp_path, damage, message):
    damage(tmp_path / "classifier")
    with pytest.raises(ConfigurationError, match=message) as error:
        make_archive(bert, str(tmp_path / "model.tar.gz"))
    assert "\n" not in str(error.value)
    assert not (tmp_path / "model.tar.gz").exists()


def test_a_file_instead_of_a_folder_is_refused(bert, tmp_path):
    with pytest.raises(ConfigurationError, match="it is a file; the folder"):
        make_archive(str(weights_file(bert)), str(tmp_path / "model.tar.gz"))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_weights_of_half_precision_and_in_shards_are_archived_in_float32(bert, tmp_path, dtype):
    model = AutoModelForSequenceClassification.from_pretrained(bert).to(dtype)
    weights_file(bert).unlink()
    model.config.torch_dtype = dtype
    model.save_pretrained(bert, max_shard_size="20KB")
    AutoTokenizer.from_pretrained(tmp_path / "lm").save_pretrained(bert)
    assert len(list((tmp_path / "classifier").glob("*-of-*"))) > 1
    make_archive(bert, str(tmp_path / "model.tar.gz"))
    predictor = Predictor.from_path(str(tmp_path / "model.tar.gz"))
    encoding = AutoTokenizer.from_pretrained(bert)(SENTENCES[0], return_tensors="pt")
    with torch.no_grad():
        wanted = model.float().eval()(**encoding).logits[0]
    output = predictor.predict_json({"sentence": SENTENCES[0]})
    assert output["logits"] == pytest.approx(wanted.tolist(), abs=1e-5)


def test_labels_that_are_numbers_or_have_gaps(bert, tmp_path):
    edit(tmp_path / "classifier" / "config.json", id2label={"0": 7, "2": 9}, label2id={})
    make_archive(bert, str(tmp_path / "model.tar.gz"))
    predictor = Predictor.from_path(str(tmp_path / "model.tar.gz"))
    vocabulary = predictor._model.vocab.get_index_to_token_vocabulary("labels")
    assert vocabulary == {0: "7", 1: "LABEL_1", 2: "9"}


@pytest.mark.parametrize("words, text", [("MKTAYIL", "M K T A Y"), ("这部电影很好看", "这部电影")])
def test_vocabularies_without_latin_letters_or_digits(tmp_path, words, text):
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *dict.fromkeys(words)]
    (tmp_path / "vocab.txt").write_text("\n".join(vocabulary) + "\n", encoding="utf-8")
    tokenizer = transformers.BertTokenizerFast(str(tmp_path / "vocab.txt"), do_lower_case=False)
    config = transformers.BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=24,
    )
    model = transformers.BertForSequenceClassification(config).eval()
    model.save_pretrained(tmp_path / "folder")
    tokenizer.save_pretrained(tmp_path / "folder")
    make_archive(str(tmp_path / "folder"), str(tmp_path / "model.tar.gz"))
    predictor = Predictor.from_path(str(tmp_path / "model.tar.gz"))
    with torch.no_grad():
        wanted = model(**tokenizer(text, return_tensors="pt")).logits[0]
    assert predictor.predict_json({"sentence": text})["logits"] == pytest.approx(wanted.tolist(), abs=1e-5)


def explained(archive_file, text, overrides="", **interpreter):
    loaded = load_archive(archive_file, overrides=overrides)
    config = {"type": "decoded-layer-saliency", **interpreter}
    predictor = SaliencyPredictor(loaded.model, loaded.validation_dataset_reader, config)
    return predictor.outputs([{"sentence": text}])[0]


def test_the_advice_for_a_long_text_works(bert, tmp_path):
    make_archive(bert, str(tmp_path / "model.tar.gz"))
    text = "good film " * 200
    error = explained(str(tmp_path / "model.tar.gz"), text)["error"]
    room = AutoConfig.from_pretrained(bert).max_position_embeddings
    assert f"403 word pieces; the model has room for {room}" in error
    overrides = re.search("-o '(.*?)'", error).group(1)
    make_archive(bert, str(tmp_path / "cutting.tar.gz"), max_length=room)
    for made, given in (("model.tar.gz", overrides), ("cutting.tar.gz", "")):
        output = explained(str(tmp_path / made), text, given)
        assert len(output["saliency"]["instance_1"]["signed_1"]) == room
    with pytest.raises(ConfigurationError, match="max_length must be at least 3"):
        make_archive(bert, str(tmp_path / "no.tar.gz"), max_length=2)


def test_the_lm_head_of_a_classifier_that_was_fine_tuned_in_two_stages(bert, tmp_path):
    second = AutoModelForSequenceClassification.from_pretrained(bert)
    second.save_pretrained(tmp_path / "second")
    AutoTokenizer.from_pretrained(bert).save_pretrained(tmp_path / "second")
    edit(tmp_path / "second" / "config.json", _name_or_path=bert)
    edit(tmp_path / "classifier" / "config.json", _name_or_path=str(tmp_path / "lm"))
    make_archive(str(tmp_path / "second"), str(tmp_path / "model.tar.gz"))
    wanted = explained(
        str(tmp_path / "model.tar.gz"),
        SENTENCES[0],
        lm_head={"type": "pretrained", "model_name": str(tmp_path / "lm")},
    )
    assert explained(str(tmp_path / "model.tar.gz"), SENTENCES[0]) == wanted


def test_where_no_lm_head_is_found_the_error_says_what_gives_scores(bert, tmp_path):
    edit(tmp_path / "classifier" / "config.json", _name_or_path="")
    (tmp_path / "classifier" / "README.md").unlink()
    made = str(tmp_path / "model.tar.gz")
    make_archive(bert, made)
    with pytest.raises(ConfigurationError, match="--base .*tied-embeddings.*layer-saliency"):
        explained(made, SENTENCES[0])
    assert "saliency" in explained(made, SENTENCES[0], lm_head={"type": "tied-embeddings"})
    edit(tmp_path / "classifier" / "config.json", _name_or_path=bert)
    make_archive(bert, made, force=True)
    with pytest.raises(ConfigurationError, match="holds no weights for its LM head.*--base"):
        explained(made, SENTENCES[0])
    make_archive(bert, made, force=True, base=str(tmp_path / "lm"))
    assert explained(made, SENTENCES[0])["saliency"]["instance_1"]["decoded_1"]
    with pytest.raises(ConfigurationError, match="holds no weights for its LM head"):
        make_archive(bert, made, force=True, base=bert)


def test_the_command_is_listed(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["allennlp", "saliency", "--help"])
    with pytest.raises(SystemExit):
        main()
    assert "archive" in capsys.readouterr().out
    assert (ROOT / ".allennlp_plugins").read_text() == "allennlp_layer_saliency\n"
