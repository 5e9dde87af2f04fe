"""Every configuration in training_configs loads and runs."""

import json

import pytest
from allennlp.commands.train import train_model
from allennlp.common import Params
from allennlp.data import DatasetReader
from allennlp.interpret.saliency_interpreters import SaliencyInterpreter
from allennlp.predictors import Predictor

from allennlp_layer_saliency.commands.compare import CompareExperiment
from allennlp_layer_saliency.commands.head import HeadExperiment
from allennlp_layer_saliency.commands.layers import LayersExperiment
from allennlp_layer_saliency.commands.run import RunExperiment
from tests.conftest import ROOT, build_predictor, save_roberta

CONFIGS = sorted((ROOT / "training_configs" / "saliency").glob("*.jsonnet"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_interpreter(path, roberta_folder):
    predictor = build_predictor(
        roberta_folder, predictor="saliency", predictor_arguments={"interpreter": str(path)}
    )
    out = predictor.predict_json({"sentence": "a good film"})
    assert len(out["saliency"]["instance_1"]["grad_input_1"]) == len(out["tokens"])


def test_each_interpreter_has_a_configuration():
    types = {Params.from_file(str(path))["type"] for path in CONFIGS}
    registered = {name for name in SaliencyInterpreter.list_available() if not name.startswith("test-")}
    # A file of scores is the user's own.
    assert types == registered - {"scores-file"}


def test_the_bundled_classifiers_training(tmp_path, monkeypatch):
    """Its data set reads, and names the model beside it."""
    monkeypatch.chdir(ROOT)
    (tmp_path / "train.jsonl").write_text(json.dumps({"sentence": "good", "label": "positive"}) + "\n")
    params = Params.from_file("training_configs/bundled/sst2.jsonnet", ext_vars={"SST2": str(tmp_path)})
    reader = DatasetReader.from_params(params["dataset_reader"])
    (instance,) = reader.read(params["train_data_path"])
    assert [token.text for token in instance["tokens"].tokens] == ["<s>", "Ġgood", "</s>"]
    assert instance["label"].label == "positive"


SST2 = "sentence\tlabel\n" + "a good film\t1\na bad film\t0\n" * 4
AG_NEWS = '"1","Film","a good film"\n"4","Film","a bad one"\n' * 4


@pytest.mark.parametrize("name", ["sst2", "ag_news", "sst2_local", "ag_news_local"])
def test_training(name, tmp_path):
    """The configuration as it is, on a few lines and, in place of a published model, a random one."""
    for file in ("train.tsv", "dev.tsv"):
        (tmp_path / file).write_text(SST2)
    for file in ("train.csv", "test.csv"):
        (tmp_path / file).write_text(AG_NEWS)
    size = 384 if name.endswith("local") else 768
    model = save_roberta(tmp_path / "model", hidden_size=size)
    variables = {"DATA": tmp_path, "TRAIN": tmp_path / "train.csv", "TEST": tmp_path / "test.csv"}
    params = Params.from_file(
        str(ROOT / "training_configs" / f"{name}.jsonnet"),
        ext_vars={"MODEL": model, **{key: str(path) for key, path in variables.items()}},
    )
    config = json.dumps(params.as_dict(quiet=True)).replace('"roberta-base"', json.dumps(model))
    trained = train_model(Params(json.loads(config)), str(tmp_path / "out"))
    assert (tmp_path / "out" / "model.tar.gz").exists()
    labels = {"sst2": {"positive", "negative"}, "ag_news": {"World", "Sci/Tech"}}
    found = set(trained.vocab.get_token_to_index_vocabulary("labels"))
    assert found == labels[name.replace("_local", "")]


@pytest.mark.parametrize("form, words", [("texts", 10), ("documents", 300), ("pairs", 80)])
def test_training_on_json_lines(form, words, tmp_path):
    pairs = form == "pairs"
    texts = ["a good film", "word " * words + "a bad one"]
    lines = [{"text": text, "sentence": text, "label": label} for text, label in zip(texts, "10")]
    if pairs:
        lines = [{"premise": "A man.", "hypothesis": each["text"], "label": each["label"]} for each in lines]
    path = tmp_path / "train.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    model = save_roberta(tmp_path / "model", hidden_size=48, positions=514)
    files = {"MODEL": model, "TRAIN": str(path), "TEST": str(path)}
    settings = {"FORM": form, "SIZE": "48", "LR": "1e-4", "EPOCHS": "1", "BATCHES": "1"}
    config = str(ROOT / "training_configs" / "json_lines_local.jsonnet")
    train_model(Params.from_file(config, ext_vars={**files, **settings}), str(tmp_path / "out"))
    predictor = Predictor.from_path(
        str(tmp_path / "out" / "model.tar.gz"),
        "saliency",
        **({"inner": "textual_entailment"} if pairs else {}),
    )
    explained = predictor.predict_json(lines[1])["saliency"]["instance_1"]
    assert list(explained["texts_1"]) == ["A man.", texts[1]][1 - pairs :]


@pytest.mark.parametrize("data_set", ["sst2", "ag_news", "trec"])
@pytest.mark.parametrize("kind", ["single", "in-context", "ordered-pair"])
def test_planted_configurations(kind, data_set, monkeypatch):
    monkeypatch.chdir(ROOT)
    names = {
        "SET": data_set,
        "KIND": kind,
        "SEED": "3",
        "DATA": "somewhere",
        "ARCHIVE": "model.tar.gz",
        "MODEL": "fixtures/sst-roberta-mlm",
    }
    readers = []
    experiments = {"compare": CompareExperiment, "run": RunExperiment}
    for name in ("train", "train_local", *experiments):
        params = Params.from_file(f"training_configs/planted/{name}.jsonnet", ext_vars=names)
        config = params.duplicate()
        reader = params.pop("dataset_reader") if name not in experiments else params["data"].pop("reader")
        readers.append(DatasetReader.from_params(reader))
        if name in experiments:
            experiments[name].from_params(config)
    assert {reader.planted_words for reader in readers} == {readers[0].planted_words}
    assert len(readers[0].planted_words) == {"single": 2, "in-context": 3, "ordered-pair": 2}[kind]


def test_configurations_of_a_fitted_head(tmp_path):
    names = {
        "DATA": "somewhere",
        "ARCHIVE": "model.tar.gz",
        "READER": "sst2_tsv",
        "HEAD": str(tmp_path),
        "LAYERS": "[1, 2]",
        "TEXTS": "7",
    }

    def read(path):
        return Params.from_file(str(ROOT / "training_configs" / path), ext_vars=names)

    assert HeadExperiment.from_params(read("heads/texts.jsonnet")).data.sample == 2000
    assert list(LayersExperiment.from_params(read("layers/tuned.jsonnet")).lm_heads)[-1] == "tuned"
    # Two kinds of gradient, undecoded and, with each head, decoded.
    rows = CompareExperiment.from_params(read("compare/tuned_results.jsonnet")).interpreters
    assert len(rows) == 2 + 2 + 2 * 2
    rows = CompareExperiment.from_params(read("compare/tuned_search.jsonnet")).interpreters
    assert len(rows) == 2 + 3 * 2 * 2


@pytest.mark.parametrize("name", ["rationales", "documents", "decoding"])
@pytest.mark.parametrize("known", [True, False])
def test_configurations_of_rationales(known, name, tmp_path):
    edits = tmp_path / "edits.tsv"
    edits.write_text("Sentiment\tText\tbatch_id\nPositive\tA joy.\t1\nNegative\tA bore.\t1\n")
    rationales = {"path": str(edits), "format": "counterfactual"} if known else None
    names = {
        "ARCHIVE": "model.tar.gz",
        "INNER": "text_classifier",
        "DATA": "texts.jsonl",
        "TEXTS": "7",
        "RATIONALES": json.dumps(rationales),
    }
    path = str(ROOT / "training_configs" / "compare" / f"{name}.jsonnet")
    experiment = CompareExperiment.from_params(Params.from_file(path, ext_vars=names))
    assert experiment.reference in experiment.interpreters
    assert (experiment.known_words is not None) == known
