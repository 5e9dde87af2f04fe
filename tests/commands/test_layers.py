import csv
import shutil

import pytest
import torch

from allennlp_layer_saliency.commands.layers import LayersExperiment
from allennlp_layer_saliency.core.coherence import deepest_readable
from allennlp_layer_saliency.predictors.opening import open_model
from tests.conftest import ROOT

SAMPLE = (ROOT / "fixtures" / "sst2_sample.jsonl").read_text().splitlines()


@pytest.fixture
def run(saliency):
    def run(*flags, folder="out", **config):
        config = {
            "archive_file": "fixtures/sst2-classifier.tar.gz",
            "data": {"path": "fixtures/sst2_sample.jsonl"},
            **config,
        }
        return saliency("layers", "layers.json", config, folder, *flags)

    return run


def test_layers(run, tmp_path):
    results, shown = run("--limit", "8", seed=3, tau=5)
    assert results["texts"] == 8 and results["skipped"] == []
    assert [entry["layer"] for entry in results["layers"]] == [0, 1, 2, 3, 4]
    for entry in results["layers"]:
        for name, interval in entry["intervals"].items():
            assert interval[0] <= entry[name] <= interval[1]
    # A fine-tuned model's embeddings are still words to the head.
    assert results["layers"][0]["recovery"] > 0.9
    assert results["layers"][4]["recovery"] < results["layers"][0]["recovery"]
    assert results["config"]["limit"] == 8 and results["seed"] == 3 and results["tau"] == 5
    assert len(results["model"]["sha256"]) == 64
    ranks = [entry["reciprocal_rank"] for entry in results["layers"]]
    assert results["chosen"] == deepest_readable(ranks)
    assert f'chosen for `layer: "auto"`: {results["chosen"]}' in shown
    assert "recovery@5" in shown and "8 texts" in shown
    rows = list(csv.DictReader((tmp_path / "out" / "layers.csv").open()))
    assert len(rows) == 5 * 5
    assert float(rows[0]["mean"]) == results["layers"][0]["recovery"]
    assert (tmp_path / "out" / "layers.png").read_bytes()[:4] == b"\x89PNG"


def test_the_same_seed_gives_the_same_bytes(run, tmp_path):
    for folder in ("a", "b"):
        run("--limit", "4", folder=folder, pieces_per_text=3)
    a, b = ((tmp_path / folder / "layers.json").read_bytes() for folder in "ab")
    assert a == b


def test_a_plain_encoder(run, tmp_path):
    encoder = str(ROOT / "fixtures" / "sst-roberta-mlm")
    state = torch.get_rng_state()
    open_model(encoder, states_only=True)
    assert torch.equal(torch.get_rng_state(), state)
    results, _ = run("--limit", "4", archive_file=encoder)
    # Its own head has not been taken from it.
    assert all(entry["reciprocal_rank"] > 0.9 for entry in results["layers"])
    # What a classification head has been drawn as changes nothing.
    again, _ = run("--limit", "4", folder="b", archive_file=encoder)
    assert again["layers"] == results["layers"]


def test_an_encoder_whose_weights_are_missing(run, failure, tmp_path):
    encoder = tmp_path / "encoder"
    shutil.copytree(ROOT / "fixtures" / "sst-roberta-mlm", encoder)
    weights = torch.load(encoder / "pytorch_model.bin")
    kept = {name: value for name, value in weights.items() if ".layer.0." not in name}
    torch.save(kept, encoder / "pytorch_model.bin")
    assert "is not an encoder: it holds no weights for" in failure(run, archive_file=str(encoder))


def test_several_heads(run):
    heads = {"pretrained": {"type": "pretrained"}, "tied": {"type": "tied-embeddings"}}
    results, shown = run("--limit", "4", lm_heads=heads)
    assert list(results["heads"]) == ["pretrained", "tied"]
    assert results["layers"] == results["heads"]["pretrained"]
    # Each embedding's nearest is itself.
    assert results["heads"]["tied"][0]["recovery"] == 1.0
    assert "pretrained" in shown and "tied" in shown


def test_a_reader_of_ours_and_texts_that_can_not_be_measured(run, tmp_path):
    path = tmp_path / "dev.tsv"
    long = "good " * 300
    path.write_text(f"sentence\tlabel\na good film\t1\n{long}\t1\na bad film\t0\n")
    results, shown = run(data={"path": str(path), "reader": "sst2_tsv"})
    assert results["texts"] == 2
    assert results["skipped"][0]["text"] == 2
    assert "the model has room for" in results["skipped"][0]["error"]
    assert "1 left out, first text 2" in shown


@pytest.mark.parametrize(
    "config, message",
    [
        ({"archive_file": "nowhere.tar.gz"}, "archive_file: no archive at nowhere.tar.gz"),
        ({"data": {"path": "nowhere.jsonl"}}, "data: no file nowhere.jsonl"),
        ({"tau": -1}, "tau must be at least 1; got -1"),
        ({"tow": 1}, "tow"),
        (
            {"lm_head": {"type": "pretrained"}, "lm_heads": {"a": {"type": "pretrained"}}},
            "give lm_head or lm_heads, not both",
        ),
        (
            {"data": {"path": "README.md"}},
            "there is no text to measure; text 1 was left out: not valid JSON",
        ),
        ({"data": {"path": "{EMPTY}"}}, "there is no text to measure"),
    ],
)
def test_mistakes_are_one_line(run, failure, tmp_path, config, message):
    if config.get("data", {}).get("path") == "{EMPTY}":
        (tmp_path / "empty.jsonl").write_text("\n")
        config = {"data": {"path": str(tmp_path / "empty.jsonl")}}
    assert message in failure(run, **config)


def test_results_are_not_overwritten_unasked(run, failure, monkeypatch):
    first, _ = run("--limit", "2")
    line = failure(run, "--limit", "3")
    assert "holds another measurement of layers (differing in config: limit, 2 there, 3 now)" in line
    again, table = run("--limit", "3", "--force")
    assert (first["texts"], again["texts"]) == (2, 3)
    # What is there of the same configuration is shown, and not measured again.
    monkeypatch.setattr(LayersExperiment, "results", None)
    assert run("--limit", "3") == (again, table)


def test_an_inner_predictor_with_arguments(run):
    named, _ = run("--limit", "2", inner={"type": "text_classifier"})
    assert named["texts"] == 2
