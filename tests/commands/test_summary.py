"""`allennlp saliency summary` as a user calls it."""

import html
import json
import re
import shutil
import sys

import pandas
import pytest
from allennlp.commands import main

from tests.conftest import ROOT

CONFIG = {
    "archive_file": "fixtures/sst2-classifier.tar.gz",
    "data": {"path": "fixtures/sst2_sample.jsonl"},
    "interpreters": {"ours": {"type": "decoded-layer-saliency"}, "simple": "simple-gradient"},
}


@pytest.fixture(scope="module")
def explained(tmp_path_factory):
    """A run of 32 sentences in shards of 8."""
    folder = tmp_path_factory.mktemp("run")
    (folder / "config.json").write_text(json.dumps(CONFIG))
    command = ["saliency", "run", folder / "config.json", "-s", folder / "out", "--shard-size", "8"]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        patch.setattr(sys, "argv", ["allennlp", *map(str, command)])
        main()
    return folder / "out"


@pytest.fixture
def summary(monkeypatch, capsys):
    def summary(*arguments):
        monkeypatch.setattr(sys, "argv", ["allennlp", "saliency", "summary", *map(str, arguments)])
        main()
        return capsys.readouterr().out

    return summary


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def test_a_run_is_summarised(summary, explained, tmp_path):
    shown = summary(explained, "-s", tmp_path / "out", "--min-texts", 2)
    assert "ours: Words for (+) and against (-) each class" in shown and "ours: 32 texts" in shown
    assert str(tmp_path / "out" / "summary.json") in shown
    results = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert set(results["interpreters"]) == {"ours", "simple"} and results["interpreter"] == "ours"
    ours = results["interpreters"]["ours"]
    assert {name: results[name] for name in ours} == ours
    assert ours["texts"] == 32 and ours["unexplained"] == 0 and sum(ours["labels"].values()) == 32
    # Each table is in the file, and by itself.
    classes = ours["classes"].values()
    counts = {
        "words": sum(len(each["for"]) + len(each["against"]) for each in classes),
        "unseen": sum(len(each["decoded"]) for each in classes),
        "confusions": len(ours["errors"]),
        "suspects": len(ours["suspects"]),
    }
    for name, count in counts.items():
        table = pandas.read_csv(tmp_path / "out" / f"{name}.csv", keep_default_na=False)
        table = table[table["interpreter"] == "ours"]
        assert (table["mean"] != 0 if name == "words" else table["word"].notna()).sum() == count > 0
    for each in classes:
        means = [[row["mean"] for row in each[side]] for side in ("for", "against")]
        assert means == [sorted(means[0], reverse=True), sorted(means[1])]
        assert min(means[0]) > 0 > max(means[1])
    scores = [row["score"] for row in ours["suspects"]]
    assert scores == sorted(scores, reverse=True) and {"word", "label", "texts"} < set(ours["suspects"][0])
    # Beside the explanations themselves.
    lines = [
        json.loads(line)
        for path in sorted((explained / "explanations" / "ours").iterdir())
        for line in path.read_text().splitlines()
    ]
    label, own = next(iter(ours["classes"].items()))
    first = next(row for row in own["for"] if row["texts"] > 2 and row["word"].isalpha())
    scores = []
    for line in lines:
        instance = line["saliency"]["instance_1"]
        text = instance["texts_1"][0]
        own = [
            score
            for match in re.finditer(r"\w+(?:['’]\w+)*", text)
            if match.group().lower() == first["word"]
            for span, score in zip(instance["offsets_1"], instance["signed_1"])
            if span and match.start() <= span[0] and span[1] <= match.end()
        ]
        if own and instance["target"]["label"] == label:
            scores.append(sum(own))
    assert first["texts"] == len(scores)
    assert first["mean"] == pytest.approx(sum(scores) / len(scores), abs=2e-6)
    assert first["examples"][0]["place"].startswith("00000")


def test_a_page_of_it(summary, explained, tmp_path, monkeypatch, capsys):
    summary(explained, "-s", tmp_path / "out", "--min-texts", 2)
    report = ["report", str(tmp_path / "out"), "-o", str(tmp_path / "page.html")]
    monkeypatch.setattr(sys, "argv", ["allennlp", "saliency", *report])
    main()
    assert re.search(r"page\.html: \d+ kB", capsys.readouterr().out)
    page = (tmp_path / "page.html").read_text()
    results = json.loads((tmp_path / "out" / "summary.json").read_text())["interpreters"]["ours"]
    assert "ours: 32 texts" in page and "Words for (+) and against (-) each class" in page
    # A word with the text in which it scores most.
    first = next(iter(results["classes"].values()))["for"][0]
    assert first["examples"][0]["text"] in html.unescape(page)
    assert page.count("data:image/svg+xml") == 1


def test_a_page_of_it_and_of_its_texts(summary, explained, tmp_path, monkeypatch):
    summary(explained, "-s", tmp_path / "out", "--min-texts", 2)
    for arguments in ((tmp_path / "out", explained), (explained, tmp_path / "out")):
        command = ["report", *map(str, arguments), "-o", str(tmp_path / "page.html"), "-f"]
        monkeypatch.setattr(sys, "argv", ["allennlp", "saliency", *command])
        main()
        page = (tmp_path / "page.html").read_text()
        assert 'id="texts"' in page and 'class="find"' in page
        assert page.index("Words for (+)") < page.index('id="texts"')


def test_the_same_bytes_whatever_the_order_and_whatever_stopped_it(summary, explained, tmp_path):
    parts = tmp_path / "parts"
    for path in sorted((explained / "explanations" / "ours").iterdir()):
        parts.mkdir(exist_ok=True)
        shutil.copy(path, parts / f"part{path.stem}.jsonl")
    files = sorted(parts.iterdir())
    summary(*files, "-s", tmp_path / "a")
    summary(*files[::-1], "-s", tmp_path / "b")
    wanted = contents(tmp_path / "a")
    assert contents(tmp_path / "b") == wanted
    # What is done is not done again, and what is missing is.
    done = sorted((tmp_path / "a" / "parts").iterdir())
    assert len(done) == len(files)
    done[0].unlink()
    times = {path: path.stat().st_mtime_ns for path in done[1:]}
    summary(*files, "-s", tmp_path / "a")
    assert contents(tmp_path / "a") == wanted and done[0].exists()
    assert all(path.stat().st_mtime_ns == time for path, time in times.items())


def test_mistakes(summary, explained, tmp_path, capsys):
    def said(*arguments):
        with pytest.raises(SystemExit) as error:
            summary(*arguments)
        assert error.value.code == 1
        (line,) = [line for line in capsys.readouterr().err.splitlines() if "allennlp saliency: " in line]
        return line

    assert "no file or folder" in said(tmp_path / "no", "-s", tmp_path / "out")
    assert "make it with allennlp saliency run" in said(tmp_path, "-s", tmp_path / "out")
    (tmp_path / "other.jsonl").write_text('{"x": 1}\n')
    assert "line 1: an explanation is wanted" in said(tmp_path / "other.jsonl", "-s", tmp_path / "out")
    (tmp_path / "errors.jsonl").write_text('{"line": 1, "error": "x"}\n')
    assert "only error records" in said(tmp_path / "errors.jsonl", "-s", tmp_path / "out2")
    assert "min_texts must be at least 1" in said(explained, "-s", tmp_path / "out3", "--min-texts", 0)
    assert "no file" in said(explained, "-s", tmp_path / "out3", "--stop-words", tmp_path / "no")
    summary(explained, "-s", tmp_path / "out4")
    words = tmp_path / "words"
    words.write_text("the\nA\n")
    assert "holds another summary" in said(explained, "-s", tmp_path / "out4", "--stop-words", words)
    summary(explained, "-s", tmp_path / "out4", "--stop-words", words, "--force")
    results = json.loads((tmp_path / "out4" / "summary.json").read_text())
    assert results["settings"]["stop_words"] == ["a", "the"]
    assert not {"a", "the"} & {row["word"] for each in results["classes"].values() for row in each["for"]}
