"""What users get wrong: one line each that names what was wanted, what came, and what to do."""

import json
import logging
import os
import subprocess
import sys
import warnings

import pytest
from allennlp.commands import main

from tests.conftest import ROOT

ARCHIVE = "fixtures/sst2-classifier.tar.gz"
OURS = {"ours": "layer-saliency"}


def interpreter(**settings):
    return {"interpreters": {"a": {"type": "layer-saliency", **settings}}}


# Of each: the command, what differs from a good configuration, and words of the line.
CONFIGURATIONS = {
    "an archive that is not there": ("layers", {"archive_file": "no.tar.gz"}, "no archive at no.tar.gz"),
    "an archive that is none": ("layers", {"archive_file": "{file}"}, "not an archive that AllenNLP wrote"),
    "data that are not there": ("layers", {"data": {"path": "no.jsonl"}}, "data: no file no.jsonl"),
    "a folder of data": ("layers", {"data": {"path": "{folder}"}}, "is a folder; a file is wanted"),
    "data that are not gzipped": ("layers", {"data": {"path": "{gz}"}}, "damaged or cut off"),
    "empty data": ("layers", {"data": {"path": "{empty}"}}, "there is no text"),
    "an empty run": ("run", {"data": {"path": "{empty}"}, "interpreters": OURS}, "no text"),
    "UTF-16": ("run", {"data": {"path": "{utf_16}"}, "interpreters": OURS}, "is UTF-16; UTF-8 is wanted"),
    "no data": ("layers", {"data": None}, 'key "data" is required'),
    "a key too many": ("layers", {"layer": 3}, "has no setting layer; it has archive_file"),
    "no interpreters": ("run", {}, 'key "interpreters" is required'),
    "a layer as a word": ("run", interpreter(layer="three"), "layer must be an index from 0"),
    "a layer too high": ("run", interpreter(layer=99), "got 99"),
    "a setting misspelt": ("run", interpreter(layr=1), "has no setting layr; it has aggregation"),
    "an interpreter misspelt": ("run", {"interpreters": {"a": "decoded"}}, "there are attention-rollout"),
    "captum without a method": ("run", {"interpreters": {"a": "captum"}}, "method must be one of DeepLift"),
    "a method of captum that is none": (
        "run",
        {"interpreters": {"a": {"type": "captum", "method": "gradients"}}},
        "got 'gradients'",
    ),
    "a class that the model has not": (
        "run",
        interpreter(target_class="great"),
        "no class 'great'; the model's are 'positive' (0)",
    ),
    "a metric that is none": ("compare", {"interpreters": OURS, "metrics": ["aopc"]}, "there are compreh"),
}


@pytest.fixture
def said(monkeypatch, capsys):
    """The one line that a command ends in."""
    monkeypatch.chdir(ROOT)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["allennlp", *map(str, arguments)])
        with pytest.raises(SystemExit) as exit:
            main()
        assert exit.value.code == 1
        # A progress bar may have been begun.
        lines = [line for line in capsys.readouterr().err.splitlines() if line and "texts/s" not in line]
        assert len(lines) == 1 and lines[0].startswith("allennlp saliency: "), lines
        assert "Errno" not in lines[0]
        return lines[0]

    return run


@pytest.mark.parametrize("mistake", CONFIGURATIONS)
def test_configurations(said, tmp_path, mistake):
    command, changes, words = CONFIGURATIONS[mistake]
    files = {
        "file": b"hello",
        "gz": b"hello",
        "empty": b"",
        "utf_16": '{"sentence": "good"}\n'.encode("utf-16"),
    }
    paths = {"folder": str(tmp_path)}
    for name, content in files.items():
        path = tmp_path / (f"{name}.jsonl.gz" if name == "gz" else f"{name}.jsonl")
        path.write_bytes(content)
        paths[name] = str(path)
    config = {"archive_file": ARCHIVE, "data": {"path": "fixtures/sentences.jsonl"}, **changes}
    text = json.dumps({key: value for key, value in config.items() if value is not None})
    for name, path in paths.items():
        text = text.replace(f"{{{name}}}", path)
    (tmp_path / "config.json").write_text(text)
    assert words in said("saliency", command, tmp_path / "config.json", "-s", tmp_path / "out")


def test_commands(said, tmp_path):
    config = tmp_path / "config.json"
    config.write_text(
        json.dumps(
            {
                "archive_file": ARCHIVE,
                "data": {"path": "fixtures/sentences.jsonl"},
                "interpreters": OURS,
            }
        )
    )
    run = ("saliency", "run", config, "-s")
    assert "no file" in said("saliency", "layers", tmp_path / "no.jsonnet", "-s", tmp_path / "out")
    assert "is a folder" in said("saliency", "layers", tmp_path, "-s", tmp_path / "out")
    (tmp_path / "comma.json").write_text('{"archive_file": "a",, }')
    assert "is not valid" in said("saliency", "layers", tmp_path / "comma.json", "-s", tmp_path / "out")
    assert ", no results of allennlp saliency; choose a folder that is empty" in said(*run, tmp_path)
    assert sorted(os.listdir(tmp_path)) == ["comma.json", "config.json"]
    assert "is a file; a folder for the results is wanted" in said(*run, config)
    assert "torch finds no GPU here" in said(*run, tmp_path / "gpu", "--cuda-device", 0)
    assert "--workers must be at least 1" in said(*run, tmp_path / "out", "--workers", 0)
    assert "no file or folder" in said("saliency", "report", tmp_path / "no.jsonl")
    assert "an explanation is wanted" in said("saliency", "report", config, "-o", tmp_path / "r.html")
    archive = said("saliency", "archive", tmp_path / "nothing", "-o", tmp_path / "a.tar.gz")
    assert "there is no such folder" in archive


def test_names_of_methods():
    from allennlp_layer_saliency.interpreters.captum import DEFAULTS, method_name

    for given, wanted in (
        ("kernel-shap", "KernelShap"),
        ("occlusion", "Occlusion"),
        ("LIME", "Lime"),
        ("deep lift", "DeepLift"),
        ("gradient x input", "InputXGradient"),
        ("Shapley values", "ShapleyValueSampling"),
        ("integrated_gradients", "IntegratedGradients"),
        ("layers", "layers"),
    ):
        assert method_name(given) == wanted
    assert all(method_name(name) == name for name in DEFAULTS)


def test_predict_is_quiet():
    """As a process of its own; tests/test_readme.py has the other commands."""
    done = subprocess.run(
        [sys.executable, "-m", "allennlp", "predict", ARCHIVE, "fixtures/sentences.jsonl"]
        + ["--predictor", "saliency", "--silent"],
        cwd=ROOT,
        env={**os.environ, "ALLENNLP_LOG_LEVEL": "WARNING", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_other_libraries_are_quiet(monkeypatch, capfd, tmp_path):
    """Where a system's fonts lack what formulas need, matplotlib logs a line for each of some twenty."""
    from matplotlib import font_manager

    def plot():
        # Each is said once.
        font_manager.fontManager.findfont(f"no such font {len(sys.argv)}")
        warnings.warn("of a library", stacklevel=1)

    logger, stream = logging.getLogger(), logging.StreamHandler()
    monkeypatch.setattr(logger, "handlers", [stream])
    monkeypatch.setattr("allennlp_layer_saliency.commands.saliency.page.write", lambda *_: plot())
    for arguments, lines in (([], 0), (["--verbose"], 1)):
        monkeypatch.setattr(sys, "argv", ["allennlp", "saliency", "report", str(tmp_path), *arguments])
        levels = logger.level, font_manager._log.level
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            main(prog="allennlp")
        assert capfd.readouterr().err.count("findfont") == len(warned) == lines
        assert levels == (logger.level, font_manager._log.level)
