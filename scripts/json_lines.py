"""
Data sets in their published forms as JSON lines, which `allennlp train` and `allennlp saliency` read:

    python scripts/json_lines.py FORM FOLDER OUT

FORM is "trec", "eraser", "cad-sentiment" or "cad-nli"; FOLDER holds the published files, OUT then
train.jsonl, test.jsonl and, where the data set has one, dev.jsonl. A line has a label and either a text
(under the two names that AllenNLP's reader and its predictor have for it) or a premise and a hypothesis.
"""

import csv
import json
import sys
from pathlib import Path
from typing import Any, Dict, Iterator

PARTS = ("train", "dev", "test")


def trec(folder: Path, part: str) -> Iterator[Dict[str, Any]]:
    """A label, a space, and a question on each line, in Latin-1."""
    path = folder / f"TREC.{part}.all"
    for line in _lines(path, "latin-1") if path.exists() else ():
        label, text = line.strip().split(" ", 1)
        yield _text(text, label)


def eraser(folder: Path, part: str) -> Iterator[Dict[str, Any]]:
    """JSON lines that name a document beside them, and its class."""
    path = folder / ("val.jsonl" if part == "dev" else f"{part}.jsonl")
    for line in _lines(path):
        entry = json.loads(line)
        text = (folder / "docs" / Path(entry["annotation_id"]).name).read_text(encoding="utf-8")
        # Words are those of the evidence, which counts them.
        yield {"id": entry["annotation_id"], **_text(" ".join(text.split()), entry["classification"])}


def cad_sentiment(folder: Path, part: str) -> Iterator[Dict[str, Any]]:
    for row in _rows(folder / f"{part}.tsv"):
        yield _text(row["Text"], row["Sentiment"])


def cad_nli(folder: Path, part: str) -> Iterator[Dict[str, Any]]:
    for row in _rows(folder / f"{part}.tsv"):
        yield {"premise": row["sentence1"], "hypothesis": row["sentence2"], "label": row["gold_label"]}


def _text(text: str, label: str) -> Dict[str, str]:
    return {"text": text, "sentence": text, "label": label}


def _lines(path: Path, encoding: str = "utf-8") -> Iterator[str]:
    # Not `splitlines`, for which characters inside a text end a line too.
    with path.open(encoding=encoding) as file:
        yield from file


def _rows(path: Path) -> Iterator[Dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file, delimiter="\t")


FORMS = {"trec": trec, "eraser": eraser, "cad-sentiment": cad_sentiment, "cad-nli": cad_nli}


def main() -> None:
    if len(sys.argv) != 4 or sys.argv[1] not in FORMS:
        sys.exit(f"usage: json_lines.py {'|'.join(FORMS)} FOLDER OUT")
    form, folder, out = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    out.mkdir(parents=True, exist_ok=True)
    for part in PARTS:
        lines = [json.dumps(entry) + "\n" for entry in FORMS[form](folder, part)]
        if lines:
            (out / f"{part}.jsonl").write_text("".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
