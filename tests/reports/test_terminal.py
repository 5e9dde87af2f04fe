import json
import sys

import pytest

from allennlp_layer_saliency.reports import terminal

INSTANCE = {
    "tokens_1": ["<s>", "Ġnot", "Ġlike", "able", "[x]", "</s>"],
    "offsets_1": [None, [0, 3], [4, 8], [8, 12], [13, 16], None],
    "grad_input_1": [0.0, 0.5, 0.25, 0.25, 0.0, 0.0],
    "signed_1": [0.0, -2.0, 1.0, 1.0, 0.0, 0.0],
    "layer": 3,
    "target": {"label": "negative", "kind": "logit", "score": 1.5},
    "sources_1": [
        [],
        [{"position": 0, "amount": -2.0}],
        [{"position": 2, "amount": 1.0}],
        [],
        [],
        [],
    ],
    "decoded_1": [[{"token": "Ġbad", "probability": 0.5, "contribution": -1.0}]] + [[]] * 5,
    "vocabulary": [{"token": "Ġbad", "score": -1.0}],
}
LINE = {"label": "negative", "probs": [0.75, 0.25], "saliency": {"instance_1": INSTANCE}}


def lines(output):
    return [text.plain for text in terminal.render(output)]


def test_a_contrast_is_named():
    target = {**INSTANCE["target"], "contrast": "positive"}
    heading, *_ = lines({"saliency": {"instance_1": {**INSTANCE, "target": target}}})
    assert heading == "explained: logit of negative minus positive, 1.50  layer 3"


def test_two_texts_of_words():
    first = {
        "tokens_1": ["unlikely"],
        "offsets_1": [[0, 8]],
        "pieces_1": [
            {"piece": "un", "token": 0},
            {"piece": "##likely", "token": 0},
        ],
        "grad_input_1": [1.0],
        "signed_1": [1.0],
        "sources_1": [[{"text": 2, "position": 0, "amount": 1.0}]],
        "decoded_1": [[{"token": "un", "probability": 0.5, "contribution": 0.0}], []],
    }
    second = {
        "tokens_2": ["a", "film"],
        "offsets_2": [[0, 1], [2, 6]],
        "grad_input_2": [0.25, 0.75],
        "signed_2": [-0.5, 1.5],
        "sources_2": [[], [{"text": 1, "position": 1, "amount": 3.0}]],
        "decoded_2": [[], []],
    }
    shared = {"vocabulary": [], "target": {"label": "x", "kind": "logit", "score": 0.0}}
    shown = lines({"saliency": {"instance_1": {**first, **second, **shared}}})
    assert shown[1:5] == [
        "  unlikely",
        "  a film",
        "  most salient tokens: film +1.50, unlikely +1.00, a -0.50",
        "  most salient position: 1 (likely), decodes to: ",
    ]


def test_a_decoded_explanation():
    assert lines(LINE) == [
        "predicted: negative 75%  explained: logit of negative, 1.50  layer 3",
        "  not likeable [x]",
        "  most salient tokens: not -2.00, like +1.00, able +1.00, [x] +0.00",
        "  most salient position: 0 (<s>), decodes to: bad 50%",
        "  most salient words of the vocabulary: bad -1.00",
    ]


def test_small_scores_are_no_zeros():
    small = [-2e-5, 1e-5, 1e-5, 0.0, 0.0, 0.0]
    instance = {**INSTANCE, "signed_1": small, "vocabulary": [{"token": "bad", "score": -3e-4}]}
    shown = lines({"saliency": {"instance_1": instance}})
    assert "bad -3.0e-04" in shown[-1]
    assert all("0.00" not in line for line in shown[2:])


def test_colours_follow_the_signed_scores():
    _, text, *_ = terminal.render(LINE)
    colours = {text.plain[s.start : s.end]: s.style.bgcolor.name for s in text.spans}
    assert colours == {"not": "#2166ac", "like": "#d48891", "able": "#d48891", "[x]": "#f7f7f7"}


def test_a_built_in_explanation_has_no_signs_and_no_evidence():
    plain = {k: INSTANCE[k] for k in ("tokens_1", "offsets_1", "grad_input_1")}
    heading, text, tokens = terminal.render({"label": "negative", "saliency": {"instance_1": plain}})
    assert heading.plain == "predicted: negative"
    assert tokens.plain == "  most salient tokens: not 0.50, like 0.25, able 0.25, [x] 0.00"
    assert text.spans[0].style.bgcolor.name == "#b2182b"


def test_several_layers_one_after_the_other():
    shared = {k: INSTANCE[k] for k in ("tokens_1", "offsets_1", "grad_input_1")}
    own = {k: v for k, v in INSTANCE.items() if k not in shared}
    layers = [{**own, "layer": layer} for layer in (0, 1)]
    output = {"saliency": {"instance_1": {**shared, "layers": layers}}}
    assert sum("layer" in line for line in lines(output)) == 2


def test_errors_are_shown():
    assert lines({"line": 7, "error": "no text"}) == ["line 7: no text"]
    assert lines({"error": "no text"}) == ["no text"]


def test_the_command(tmp_path, monkeypatch, capsys):
    output, picture = tmp_path / "out.jsonl", tmp_path / "out.svg"
    output.write_text(json.dumps(LINE) + "\n" + json.dumps({"line": 2, "error": "[bold]x"}) + "\n")
    monkeypatch.setattr(sys, "argv", ["terminal", str(output), "--svg", str(picture)])
    terminal.main()
    printed = capsys.readouterr().out
    assert "not likeable [x]" in printed and "[bold]x" in printed
    assert picture.read_text().startswith("<svg")
    monkeypatch.setattr(sys, "argv", ["terminal", str(tmp_path / "nothing.jsonl")])
    with pytest.raises(SystemExit, match="no file .*nothing.jsonl"):
        terminal.main()


def test_a_file_that_is_not_utf_8_is_one_line(tmp_path, monkeypatch):
    path = tmp_path / "out.jsonl"
    path.write_bytes(b'{"label": "caf\xe9", "error": "none"}\n')
    monkeypatch.setattr(sys, "argv", ["terminal", str(path)])
    with pytest.raises(SystemExit, match="out.jsonl is not UTF-8"):
        terminal.main()
