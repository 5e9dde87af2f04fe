"""The bundled models, as a user meets them: the archive, its language model and `allennlp predict`."""

import json
import re
import subprocess
import sys

import matplotlib
import pytest
from allennlp.commands import main

from allennlp_layer_saliency.reports.terminal import render
from tests import bundled_scores
from tests.conftest import ROOT
from tests.reports.test_plots import ROWS

ARCHIVE = "fixtures/sst2-classifier.tar.gz"
SAMPLE = ROOT / "fixtures" / "sst2_sample.jsonl"
SST2_DEV = ROOT.parent / "shared" / "data" / "sst2" / "dev.tsv"
BUILT_INS = ("simple_gradient", "smooth_gradient", "integrated_gradient")
OURS = ("decoded_layer", "projected_gradient", "layer", "all_layers")


def command(source, output, configuration):
    """The arguments of `allennlp predict`."""
    arguments = {"interpreter": f"training_configs/saliency/{configuration}.jsonnet"}
    return [
        *("predict", ARCHIVE, str(source), "--silent", "--predictor", "saliency"),
        *("--predictor-args", json.dumps(arguments), "--batch-size", "32", "--output-file", str(output)),
    ]


def predict(source, output, configuration):
    """`allennlp predict` as a process of its own; its parsed output lines, and what it complains of."""
    result = subprocess.run(
        [sys.executable, "-m", "allennlp", *command(source, output, configuration)],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    return lines_of(output), result.stderr


def lines_of(output):
    return [
        json.loads(line, parse_constant=pytest.fail)
        for line in output.read_text(encoding="utf-8").splitlines()
    ]


@pytest.fixture
def predicted(monkeypatch, tmp_path):
    """The same within this process, which is some seconds sooner."""

    def run(source, configuration):
        monkeypatch.chdir(ROOT)
        output = tmp_path / "out.jsonl"
        monkeypatch.setattr(sys, "argv", ["allennlp", *command(source, output, configuration)])
        main()
        return lines_of(output)

    return run


def check(sentences, lines):
    assert len(lines) == len(sentences)
    for sentence, line in zip(sentences, lines):
        instance = line["saliency"]["instance_1"]
        # In order: the word pieces span this very sentence. (A letter may have several pieces.)
        spans = [span for span in instance["offsets_1"] if span is not None]
        covered = {place for span in spans for place in range(*span)}
        letters = {place for place, letter in enumerate(sentence) if letter != " "}
        # Of two spaces in a row one is a piece of its own.
        assert letters <= covered and all(sentence[place] == " " for place in covered - letters)
        total = sum(instance["grad_input_1"])
        assert total == pytest.approx(1, abs=1e-5) or set(instance["grad_input_1"]) == {0.0}
        assert len(instance["grad_input_1"]) == len(instance["tokens_1"])


@pytest.mark.parametrize("configuration", OURS + BUILT_INS)
def test_a_sample_of_the_development_sentences(predicted, configuration):
    sentences = [json.loads(line)["sentence"] for line in SAMPLE.read_text().splitlines()]
    check(sentences, predicted(SAMPLE, configuration))


@pytest.mark.parametrize("path", bundled_scores.CONFIGURATIONS, ids=lambda path: path.stem)
def test_scores_are_the_same_with_all_supported_versions(path, monkeypatch):
    """See tests/bundled_scores.py."""
    monkeypatch.chdir(ROOT)
    wanted = json.loads(bundled_scores.PATH.read_text())[path.stem]
    found = bundled_scores.scores(str(path))
    assert [list(entry) for entry in found] == [list(entry) for entry in wanted]
    for of_sentence, expected in zip(found, wanted):
        for key in of_sentence:
            # Processors too round in their own ways.
            tolerance = 1e-5 * max(1.0, *map(abs, expected[key]))
            assert of_sentence[key] == pytest.approx(expected[key], abs=tolerance, rel=0), key


@pytest.mark.skipif(not SST2_DEV.exists(), reason="needs the SST-2 development set")
def test_all_development_sentences(predicted, tmp_path):
    rows = [row.split("\t") for row in SST2_DEV.read_text(encoding="utf-8").splitlines()[1:]]
    source = tmp_path / "dev.jsonl"
    source.write_text("\n".join(json.dumps({"sentence": text.strip()}) for text, _ in rows) + "\n")
    lines = predicted(source, "decoded_layer")
    check([text.strip() for text, _ in rows], lines)
    assert len(lines) == 872
    gold = {"0": "negative", "1": "positive"}
    accuracy = sum(line["label"] == gold[label] for line, (_, label) in zip(lines, rows)) / len(rows)
    assert accuracy >= 0.82


def test_bad_lines_are_counted_at_the_end(tmp_path):
    source = tmp_path / "in.jsonl"
    source.write_text('{"sentence": "good"}\nnonsense\n\n{"sentence": ""}\n')
    lines, stderr = predict(source, tmp_path / "out.jsonl", "layer")
    assert [line.get("line") for line in lines] == [None, 2, 3]
    assert stderr.splitlines()[-1].startswith("2 of 3 inputs could not be explained")


def test_the_documented_size():
    files = [*(ROOT / "fixtures" / "sst-roberta-mlm").iterdir(), ROOT / ARCHIVE]
    assert sum(path.stat().st_size for path in files) <= 8e6


def test_positions_of_the_fine_tuned_model_decode_to_their_own_words(predicted):
    """In the upper half (layer 3 of 4), at least 80 % among the three top-ranked."""
    own = []
    for line in predicted(SAMPLE, "all_layers"):
        instance = line["saliency"]["instance_1"]
        layer = instance["layers"][3]
        assert layer["layer"] == 3
        for token, span, decoded in zip(instance["tokens_1"], instance["offsets_1"], layer["decoded_1"]):
            if span is not None:
                own.append(token in [item["token"] for item in decoded])
    assert sum(own) / len(own) >= 0.8


def test_the_readmes_example(tmp_path):
    """Its output is what the command prints, and says what the README says of it."""
    source, output = ROOT / "fixtures" / "sentences.jsonl", tmp_path / "out.jsonl"
    ours, _ = predict(source, output, "decoded_layer")
    shown = [f"    {text.plain}" for line in ours for text in render(line)]
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "\n".join(shown) in readme.replace("\n\n", "\n")
    theirs, _ = predict(source, output, "simple_gradient")
    for (line, *_), word in ((ours, "Ġnot"), (theirs, "Ġgood")):
        instance = line["saliency"]["instance_1"]
        best = max(range(len(instance["tokens_1"])), key=instance["grad_input_1"].__getitem__)
        assert instance["tokens_1"][best] == word


def python_of_the_readme(*words):
    """The README's examples in which these words are, one for each. There is one more, of test_in_memory."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", readme, flags=re.DOTALL)
    assert len(blocks) == 4
    return [next(block for block in blocks if word in block) for word in words]


def test_the_readmes_thermostat(monkeypatch, predicted, tmp_path):
    pytest.importorskip("thermostat")
    (code,) = python_of_the_readme("Thermopack")
    source = tmp_path / "in.jsonl"
    source.write_text("".join(SAMPLE.read_text(encoding="utf-8").splitlines(keepends=True)[:4]))
    predicted(source, "decoded_layer")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "fixtures").symlink_to(ROOT / "fixtures")
    (tmp_path / "out.jsonl").rename("OUT.jsonl")
    known = {}
    exec(code, known)
    assert known["pack"].label_names == ["positive", "negative"] and len(known["pack"]) == 4


def test_the_readmes_python(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(ROOT)
    code, plots = python_of_the_readme("DecodedLayerSaliency(", "plots.token_bars")
    known = {}
    exec(code, known)
    scores = json.loads(capsys.readouterr().out)
    assert len(scores) > 5 and any(score > 0 for score in scores)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "OUT").mkdir()
    (tmp_path / "OUT" / "comparison.json").write_text(json.dumps({"rows": ROWS}))
    matplotlib.use("Agg")
    exec(plots, known)
