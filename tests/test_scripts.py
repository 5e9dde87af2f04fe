import json
import os
import shutil
import subprocess
import sys

import torch
from allennlp.training import GradientDescentTrainer, Trainer

from scripts import presets_results
from scripts.bfloat16_trainer import BFloat16Trainer
from tests.conftest import ROOT


def find_python(tmp_path, **environment):
    return subprocess.run(
        [shutil.which("bash"), "-c", ". scripts/environment.sh; find_python $VERSIONS"],
        cwd=ROOT,
        env={"PATH": str(tmp_path), "HOME": str(tmp_path), **environment},
        capture_output=True,
        text=True,
    )


def executable(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!{shutil.which('bash')}\n{text}\n")
    path.chmod(0o755)


def test_where_no_python_fits_one_line_says_what_is_missing(tmp_path):
    executable(tmp_path / "python3", "exit 1")  # a Python of another version
    result = find_python(tmp_path)
    assert result.returncode == 1 and result.stdout == ""
    assert result.stderr.splitlines() == [
        "one of Python 3.10 3.9 3.8 3.13 3.12 3.11 is missing: install it with 'pyenv install 3.10' or "
        "'uv python install 3.10'"
    ]


def test_pyenv_or_uv_supply_one(tmp_path):
    for place in (".pyenv/versions/3.10.13/bin/python", "elsewhere/versions/3.9.1/bin/python"):
        python = tmp_path / place
        executable(python, "exit 0")
        root = str(python.parent.parent.parent.parent)
        assert find_python(tmp_path, PYENV_ROOT=root).stdout.strip() == str(python)
        shutil.rmtree(root)
    executable(tmp_path / "from-uv", "exit 0")
    executable(tmp_path / "uv", f'[ "$2" = find ] && echo {tmp_path / "from-uv"} || exit 0')
    assert find_python(tmp_path).stdout.strip() == str(tmp_path / "from-uv")


def test_earlier_versions_come_first(tmp_path):
    for version in ("3.12", "3.8"):
        executable(tmp_path / f"python{version}", f'[ "${{@: -1}}" = {version} ]')
    assert find_python(tmp_path).stdout.strip() == "python3.8"


def test_a_python_that_the_user_names(tmp_path):
    assert find_python(tmp_path, PYTHON=sys.executable).stdout.strip() == sys.executable
    refused = find_python(tmp_path, PYTHON=os.devnull)
    assert refused.returncode == 1
    assert refused.stderr.startswith("PYTHON=/dev/null is not one of Python 3.10 3.9 3.8 3.13 3.12 3.11")


def test_an_environment_of_another_checkout_is_left_alone(tmp_path):
    def activated(owner):
        executable(tmp_path / "venv/bin/python", f"echo {owner}")
        (tmp_path / "venv/bin/activate").write_text("echo activated; exit 0\n")
        return subprocess.run(
            [shutil.which("bash"), "-c", ". scripts/environment.sh; activate_environment ."],
            cwd=ROOT,
            env={"PATH": os.environ["PATH"], "VENV": str(tmp_path / "venv")},
            capture_output=True,
            text=True,
        )

    refused = activated(tmp_path / "elsewhere")
    assert refused.returncode == 1 and "activated" not in refused.stdout
    (line,) = refused.stderr.splitlines()
    assert line == f"VENV={tmp_path}/venv is the environment of {tmp_path}/elsewhere; name another one"
    assert "activated" in activated(ROOT).stdout


def test_data_sets_as_json_lines(tmp_path):
    """Of each published form, as our reader and the predictors read it."""
    forms = {
        "trec": {"TREC.train.all": "1 Who\x85 was it ?\n", "TREC.test.all": "0 What is it ?\n"},
        "eraser": {
            **{f"{part}.jsonl": '{"annotation_id": "a.txt", "classification": "POS"}\n' for part in ERASER},
            "docs/a.txt": "a good\nfilm\n",
        },
        "cad-sentiment": {f"{part}.tsv": "Sentiment\tText\nPositive\tGood, he said\n" for part in PARTS},
        "cad-nli": {
            f"{part}.tsv": "sentence1\tsentence2\tgold_label\nA man.\tA dog.\tneutral\n" for part in PARTS
        },
    }
    wanted = {
        "trec": ("Who\x85 was it ?", None, "1"),
        "eraser": ("a good film", None, "POS"),
        "cad-sentiment": ("Good, he said", None, "Positive"),
        "cad-nli": ("A man.", "A dog.", "neutral"),
    }
    for form, files in forms.items():
        for name, text in files.items():
            (tmp_path / form / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / form / name).write_bytes(text.encode("latin-1"))
        subprocess.run(
            [sys.executable, "scripts/json_lines.py", form, tmp_path / form, tmp_path / "out" / form],
            cwd=ROOT,
            check=True,
        )
        (line,) = (tmp_path / "out" / form / "train.jsonl").read_text(encoding="utf-8").splitlines()
        entry = json.loads(line)
        first, second, label = wanted[form]
        assert entry.get("text", entry.get("premise")) == first and entry["label"] == label
        assert entry.get("hypothesis") == second and entry.get("sentence", first) == first
        assert entry.get("id") == ("a.txt" if form == "eraser" else None)
    assert not (tmp_path / "out" / "trec" / "dev.jsonl").exists()


PARTS, ERASER = ("train", "dev", "test"), ("train", "val", "test")


def test_an_unknown_form_is_one_line(tmp_path):
    result = subprocess.run(
        [sys.executable, "scripts/json_lines.py", "csv", "a", "b"], cwd=ROOT, capture_output=True, text=True
    )
    assert result.returncode == 1
    assert result.stderr == "usage: json_lines.py trec|eraser|cad-sentiment|cad-nli FOLDER OUT\n"


def test_the_page_of_results_has_the_table_of_the_measured_presets(capsys):
    presets_results.main()
    made = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| M")]
    page = (ROOT / "docs" / "results" / "README.md").read_text(encoding="utf-8").splitlines()
    # The last column, times, is not of the folder.
    shown = [line.rsplit(" | ", 1)[0] + " |" for line in page if line.startswith("| M")]
    assert shown == made
    assert {f"{name}-tests.csv" for name in presets_results.PAIRS} | {"nli-decoding-tests.csv"} == {
        path.name for path in presets_results.RESULTS.glob("*-tests.csv")
    }


def test_the_bfloat16_trainer_runs_the_model_in_bfloat16(monkeypatch):
    assert Trainer.resolve_class_name("bfloat16") == (BFloat16Trainer, "from_partial_objects")
    product = torch.ones(2, 2)
    monkeypatch.setattr(GradientDescentTrainer, "batch_outputs", lambda *_: {"loss": product @ product})
    assert object.__new__(BFloat16Trainer).batch_outputs({}, True)["loss"].dtype == torch.bfloat16
    assert (product @ product).dtype == torch.float32
