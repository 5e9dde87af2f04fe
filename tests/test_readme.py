"""Each command of the README, typed as it stands, with files in the places of its names."""

import json
import os
import re
import shlex
import subprocess
import sys

import pytest

from tests.commands.test_archive import save_classifier
from tests.conftest import ROOT
from tests.server.conftest import serving

README = (ROOT / "README.md").read_text(encoding="utf-8")
# What the names in capitals stand for here; OUT is made anew for each command.
MODEL = str(ROOT / "fixtures" / "sst2-classifier.tar.gz")


def commands():
    """With lines that a backslash continues put together."""
    joined = re.sub(r"\\\n\s*", "", README)
    return [line.strip() for line in joined.splitlines() if re.match(r"( {4})?allennlp ", line)]


def config_of(command):
    """The jsonnet block that follows a command, if one does."""
    after = re.sub(r"\\\n\s*", "", README).split(command, 1)[1].split("\n## ")[0]
    return re.search(r"```jsonnet\n(.*?)```", after, re.S)


@pytest.fixture(scope="module")
def explained(tmp_path_factory):
    """What `allennlp predict` wrote."""
    path = tmp_path_factory.mktemp("explained") / "OUT.jsonl"
    run(next(c for c in commands() if "predict" in c), {"OUT.jsonl": str(path)})
    return str(path)


def run(command, names):
    files = {"MODEL.tar.gz": MODEL, "INPUT.jsonl": "fixtures/sentences.jsonl", **names}
    words = [files.get(word, word) for word in shlex.split(command.split("    #")[0])]
    done = subprocess.run(
        [sys.executable, "-m", *words],
        cwd=ROOT,
        env={**os.environ, "ALLENNLP_LOG_LEVEL": "WARNING", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    # A bar's states count as lines of their own here.
    lines = [line for line in done.stderr.splitlines() if line.strip() and "/s]" not in line]
    assert len(lines) <= 5, done.stderr
    return done.stdout


def test_the_readme_has_them():
    kinds = {tuple(command.split()[1:3]) for command in commands()}
    assert {("saliency", name) for name in ("layers", "compare", "run", "report", "archive")} < kinds
    assert "export ALLENNLP_LOG_LEVEL=WARNING" in README


@pytest.mark.parametrize("command", dict.fromkeys(commands()))
def test_it_runs(command, explained, tmp_path, roberta_folder):
    if " serve " in command:
        with serving(MODEL) as server:
            assert b"<title>" in server.request("GET", "/")[2]
        return
    out = str(tmp_path / "OUT")
    names = {
        "OUT": out,
        "OUT.jsonl": out + ".jsonl",
        "report.html": out + ".html",
        "model.tar.gz": out + ".tar.gz",
    }
    if "report" in command:
        names["OUT.jsonl"] = explained
        if "-o" not in command:
            command += f" -o {out}.html"
    if "summary" in command:
        # Of a run, or of such a file.
        names.update(OUT=explained, SUMMARY=out)
    if "CONFIG.jsonnet" in command:
        block = config_of(command)
        config = tmp_path / "config.jsonnet"
        if " run " in command:
            pytest.importorskip("ray")
            command = command.replace("--workers 8", "--workers 1")
            content = {
                "archive_file": MODEL,
                "data": {"path": "fixtures/sentences.jsonl"},
                "interpreters": {"decoded": "decoded-layer-saliency"},
            }
            config.write_text(json.dumps(content))
        else:
            config.write_text(block[1])
        names["CONFIG.jsonnet"] = str(config)
        command += " --limit 2"
    if "FOLDER" in command:
        names["FOLDER"] = save_classifier("bert", tmp_path)
    run(command, names)
    assert any(name.startswith("OUT") for name in os.listdir(tmp_path))
