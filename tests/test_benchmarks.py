import importlib
import json

import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from benchmarks import peers
from benchmarks.report import report
from tests.conftest import ROOT


def test_the_page_shows_the_saved_results():
    results = json.loads((ROOT / "benchmarks" / "results.json").read_text())
    assert (ROOT / "benchmarks" / "RESULTS.md").read_text() == report(results)


@pytest.mark.parametrize("path", sorted((ROOT / "benchmarks").glob("*.py")), ids=lambda path: path.stem)
def test_each_module_can_be_imported(path):
    """They are not run here; what they import must be there."""
    importlib.import_module(f"benchmarks.{path.stem}")


def test_other_tools_go_on_where_they_were_cut_off(bert_folder, tmp_path, monkeypatch):
    folder, texts, out = tmp_path / "classifier", tmp_path / "texts.jsonl", tmp_path / "out"
    AutoModelForSequenceClassification.from_pretrained(bert_folder).save_pretrained(folder)
    AutoTokenizer.from_pretrained(bert_folder).save_pretrained(folder)
    sentences = ["good", "a bad film", "good film"]
    texts.write_text("".join(json.dumps({"sentence": sentence}) + "\n" for sentence in sentences))
    asked = []

    def tools(model, tokenizer):
        def explain(name):
            def of(text, label):
                asked.append((name, text))
                if name == "second" and asked.count((name, "a bad film")) == 1 and text == "a bad film":
                    raise KeyboardInterrupt
                return torch.rand(len(tokenizer(text)["input_ids"])).tolist()

            return of

        return {"first": explain("first"), "second": explain("second")}

    monkeypatch.setattr(peers, "tools", tools)
    with pytest.raises(KeyboardInterrupt):
        peers.explain(str(folder), str(texts), str(out))
    assert len((out / "first.jsonl").read_text().splitlines()) == 2
    del asked[:-1]
    peers.explain(str(folder), str(texts), str(out))
    # The first text of all, before the first that is timed, to warm up.
    assert [text for name, text in asked[1:] if name == "first"] == ["good", "a bad film", "good film"]
    peers.explain(str(folder), str(texts), str(tmp_path / "at once"))
    for name in ("first", "second"):
        assert (out / f"{name}.jsonl").read_text() == (tmp_path / "at once" / f"{name}.jsonl").read_text()
        lines = [json.loads(line) for line in (out / f"{name}.jsonl").read_text().splitlines()]
        assert [len(line["tokens"]) for line in lines] == [len(line["scores"]) for line in lines]
        assert len(lines) == 3
    rows = [line.split(",") for line in (out / "seconds.csv").read_text().splitlines()]
    assert [row[:2] for row in rows] == [
        [str(i), f'"{name}"'] for i in range(3) for name in ("first", "second")
    ]
