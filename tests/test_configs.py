"""Every configuration in training_configs loads and runs."""

import json

import pytest
from allennlp.common import Params
from allennlp.data import DatasetReader
from allennlp.interpret.saliency_interpreters import SaliencyInterpreter

from tests.conftest import ROOT, build_predictor

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
    registered = {
        name for name in SaliencyInterpreter.list_available() if not name.startswith("test-")
    }
    assert types == registered


def test_the_bundled_classifiers_training(tmp_path, monkeypatch):
    """Its data set reads, and names the model beside it."""
    monkeypatch.chdir(ROOT)
    (tmp_path / "train.jsonl").write_text(
        json.dumps({"sentence": "good", "label": "positive"}) + "\n"
    )
    params = Params.from_file(
        "training_configs/bundled/sst2.jsonnet", ext_vars={"SST2": str(tmp_path)}
    )
    reader = DatasetReader.from_params(params["dataset_reader"])
    (instance,) = reader.read(params["train_data_path"])
    assert [token.text for token in instance["tokens"].tokens] == ["<s>", "Ġgood", "</s>"]
    assert instance["label"].label == "positive"
