"""The page's content, without a browser."""

import base64
import gzip
import json
import re

import pytest
from allennlp.commands import main
from allennlp.common.checks import ConfigurationError

from allennlp_layer_saliency.reports import page
from allennlp_layer_saliency.reports.explanations import (
    STEPS,
    Text,
    compact,
    of_comparison,
    read,
)
from benchmarks.report_page import synthetic
from tests.conftest import ROOT

EVIL = "<img src=x onerror=alert(1)></script>"


def data_of(html):
    packed = re.search(r'<script id="data" type="text/plain">([A-Za-z0-9+/=]*)</script>', html)
    return json.loads(gzip.decompress(base64.b64decode(packed.group(1))))


def layer(index, scores):
    return {
        "layer": index,
        "signed_1": scores,
        "grad_input_1": [abs(score) for score in scores],
        "target": {"label": EVIL, "kind": "logit", "score": 1.5},
        "sources_1": [[], [{"position": 2, "amount": 1.0}, {"position": 0, "amount": -0.5}], []],
        "decoded_1": [
            [],
            [{"token": "Ġbad", "probability": 0.5, "contribution": 1.0}] * 9,
            [{"token": EVIL, "probability": 0.25, "contribution": 1.0}],
        ],
        "vocabulary": [{"token": EVIL, "score": -1.0}],
        "lost": 0.25,
    }


def line(number=1, layers=None, **other):
    layers = layers or [layer(2, [0.0, 2.0, -1.0])]
    instance = {
        "tokens_1": ["<s>", "Ġ" + EVIL, "ly"],
        "offsets_1": [None, [0, 5], [5, 7]],
        **(dict(layers[0]) if len(layers) == 1 else {"layers": list(layers), "grad_input_1": [0] * 3}),
    }
    return {
        "id": f"text {number} {EVIL}",
        "label": "negative",
        "probs": [0.25, 0.75],
        "gold_label": "positive",
        "saliency": {"instance_1": instance},
        **other,
    }


def test_an_explanation_in_compact_form():
    data = compact({"ours": [Text(1, line())]})
    pieces = data["pieces"]
    (text,) = data["texts"]
    assert (text["gold"], text["predicted"], text["p"]) == ("positive", "negative", 0.75)
    (view,) = text["views"]
    assert [pieces[i] for i in view["tokens"]] == ["<s>", EVIL, "ly"]
    assert view["gaps"] == [1, 1, 0] and view["special"] == [1, 0, 0]
    assert view["target"] == f"logit of {EVIL}, 1.50"
    (of_layer,) = view["layers"]
    assert of_layer["s"] == [0, STEPS, -STEPS // 2] and of_layer["m"] == 2.0
    # Three decoded tokens for each position, with percentages.
    assert [pieces[i] for i in of_layer["d"][1][::2]] == ["bad"] * 3
    assert of_layer["d"][1][1::2] == [50] * 3
    assert of_layer["f"][1] == [2, STEPS // 2, 0, -STEPS // 4]
    assert of_layer["v"] == [pieces.index(EVIL), -1.0] and of_layer["lost"] == 0.25


def test_interpreters_side_by_side():
    simple = {
        "id": f"text 1 {EVIL}",
        "saliency": {
            "instance_1": {
                "grad_input_1": [0.5, 0.5],
                "tokens_1": ["a", "b"],
                "offsets_1": [[0, 1], [2, 3]],
            }
        },
    }
    error = {"id": "other", "line": 2, "error": "too long"}
    data = compact({"ours": [Text(1, line())], "simple": [Text(5, simple), Text(6, error)]})
    assert data["sources"] == ["ours", "simple"]
    both, failed = data["texts"]
    assert [view["source"] for view in both["views"]] == [0, 1]
    assert both["views"][1]["layers"] == [{"l": None, "m": 0.5, "s": [STEPS] * 2, "signed": 0}]
    assert failed["views"] == [{"source": 1, "error": "too long"}]


def test_two_texts_of_words():
    """Amounts come from positions; the page speaks of words."""
    instance = {
        "tokens_1": ["unlikely"],
        "offsets_1": [[0, 8]],
        "pieces_1": [
            {"piece": "[CLS]", "token": None},
            {"piece": "un", "token": 0},
            {"piece": "##likely", "token": 0},
        ],
        "grad_input_1": [1.0],
        "signed_1": [1.0],
        "sources_1": [[{"text": 2, "position": 1, "amount": 1.0}]],
        "decoded_1": [[], [{"token": "un", "probability": 0.5, "contribution": 0.0}], []],
        "tokens_2": ["a", "film"],
        "offsets_2": [[0, 1], [2, 6]],
        "pieces_2": [{"piece": "a", "token": 0}, {"piece": "film", "token": 1}],
        "grad_input_2": [0.25, 0.75],
        "signed_2": [-0.5, 1.5],
        "sources_2": [[], [{"text": 1, "position": 2, "amount": 1.5}]],
        "decoded_2": [[], []],
        "vocabulary": [],
        "lost": 0.0,
        "layer": 1,
    }
    data = compact({"": [Text(1, {"saliency": {"instance_1": instance}})]})
    (view,) = data["texts"][0]["views"]
    assert [data["pieces"][i] for i in view["tokens"]] == ["unlikely", "a", "film"]
    (of_layer,) = view["layers"]
    assert of_layer["f"] == [[2, round(STEPS / 1.5)], [], [0, STEPS]]
    assert [len(items) for items in of_layer["d"]] == [2, 0, 0]


def test_nothing_of_the_input_is_markup(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps(line()) + "\n" + json.dumps({"line": 2, "error": EVIL}) + "\n")
    html = page.page([str(path)])
    assert "onerror" not in html and html.count("</script>") == 2
    assert EVIL in data_of(html)["pieces"]
    html = page.to_html({EVIL: [line()]}, title=EVIL)
    assert "<img src=x" not in html and "&lt;img src=x onerror" in html
    assert "http" not in html.replace("http-equiv", "")


def comparison(tmp_path, row):
    values = {"mean": 0.5, "low": 0.4, "high": 0.6, "n": 2}
    results = {
        "rows": {row: {"comprehensiveness": values, "seconds": values}},
        "tests": [],
        "texts": 1,
        "errors": {},
    }
    (tmp_path / "comparison.json").write_text(json.dumps(results))
    example = {
        "example": 3,
        "row": row,
        "label": "positive",
        "predicted": "positive",
        "probability": 0.75,
        "tokens": ["a", "b"],
        "offsets": [[0, 1], [2, 3]],
        "scores": [0.5, -0.5],
        "metrics": {},
        "costs": {},
    }
    failed = {"example": 4, "row": row, "error": "no"}
    unreadable = {"example": 5, "error": "no"}
    lines = "".join(json.dumps(content) + "\n" for content in (example, failed, unreadable))
    (tmp_path / "examples.jsonl").write_text(lines)


def test_a_comparison(tmp_path):
    comparison(tmp_path, "a$_$b" + EVIL)
    html = page.page([str(tmp_path)])
    assert "0.500±.100" in html and "<img src=x" not in html
    assert "data:image/svg+xml;base64," in html
    data = data_of(html)
    assert [text["n"] for text in data["texts"]] == [3, 4]
    assert data["texts"][0]["views"][0]["layers"][0]["s"] == [STEPS, -STEPS]
    assert data["texts"][1]["views"] == [{"source": 0, "error": "no"}]
    (files,) = of_comparison([Text(1, {"example": 1, "row": "x", "error": "no"})]).values()
    assert files == [Text(1, {"error": "no"})]


def layers(tmp_path):
    measures = ("recovery", "reciprocal_rank", "input_mass", "similarity", "entropy")
    entry = {
        "layer": 0,
        **dict.fromkeys(measures, 0.5),
        "intervals": {m: [0.25, 0.75] for m in measures},
    }
    results = {"layers": [entry], "chosen": 0, "tau": 10, "texts": 8, "skipped": []}
    (tmp_path / "layers.json").write_text(json.dumps(results))


def test_layers(tmp_path):
    layers(tmp_path)
    html = page.page([str(tmp_path)])
    assert "recovery@10" in html and "0.500±.250" in html and "data:image/svg" in html
    assert 'id="data"' not in html
    path = tmp_path / "layers.json"
    made_of = {"model": {"archive_file": "m.tar.gz", "sha256": "0" * 64}, "config": {}, "seed": 3}
    path.write_text(json.dumps({**json.loads(path.read_text()), **made_of}))
    html = page.page([str(tmp_path)])
    assert "allennlp saliency layers, model: m.tar.gz (SHA-256 000000000000), seed: 3" in html


def test_a_thousand_explanations_of_all_layers_fit():
    # 100 are enough to tell: random numbers compress no better in larger amounts.
    html = page.to_html({"ours": list(synthetic(layers=7, texts=100))})
    assert len(html) * 10 < 15e6


@pytest.fixture
def command(monkeypatch, capsys):
    def command(*arguments):
        monkeypatch.setattr("sys.argv", ["allennlp", "saliency", "report", *map(str, arguments)])
        main()
        return capsys.readouterr()

    return command


def test_the_command(command, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    path = tmp_path / "out.jsonl"
    path.write_text(json.dumps(line()) + "\n")
    target = tmp_path / "page.html"
    command(path, "-o", target)
    assert data_of(target.read_text())["sources"] == ["out"]
    with pytest.raises(SystemExit):
        command(path, "-o", target)
    assert "exists; choose another name, or give --force" in capsys.readouterr().err
    command(path, "-o", target, "--force")


def test_mistakes(tmp_path):
    with pytest.raises(ConfigurationError, match="no file or folder nowhere"):
        page.page(["nowhere"])
    with pytest.raises(ConfigurationError, match="neither layers.json nor comparison.json"):
        page.page([str(tmp_path)])
    path = tmp_path / "a.jsonl"
    path.write_text('{"sentence": "no explanation"}\n')
    with pytest.raises(ConfigurationError, match="line 1: an explanation is wanted"):
        page.page([str(path)])
    with pytest.raises(ConfigurationError, match="at a time"):
        page.page([str(path), str(tmp_path)])
    (tmp_path / "layers.json").write_text("{")
    with pytest.raises(ConfigurationError, match="is not valid JSON"):
        page.page([str(tmp_path)])


def test_texts_that_share_an_id_stay_two_texts():
    first, second = line(1, id="a", label="negative"), line(2, id="a", label="positive")
    both = [Text(1, first), Text(2, second)]
    found = compact({"ours": both, "theirs": both})["texts"]
    assert [text["predicted"] for text in found] == ["negative", "positive"]
    assert [[view["source"] for view in text["views"]] for text in found] == [[0, 1], [0, 1]]


def test_a_file_that_is_not_utf_8_is_named(tmp_path):
    path = tmp_path / "out.jsonl"
    path.write_bytes(b'{"label": "caf\xe9", "error": "none"}\n')
    with pytest.raises(ConfigurationError, match="out.jsonl is not UTF-8"):
        list(read(str(path)))
