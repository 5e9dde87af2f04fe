import io
from html.parser import HTMLParser

import pytest
from rich.console import Console

from allennlp_layer_saliency import display
from allennlp_layer_saliency.output_line import instance_scores

EVIL = '<b onclick="x">&'
ENTRY = {
    "tokens_1": ["<s>", "Ġ" + EVIL, "able", "</s>"],
    "offsets_1": [None, [0, 3], [4, 8], None],
    "grad_input_1": [0.0, 0.75, 0.25, 0.0],
    "signed_1": [0.0, -3.0, 1.0, 0.0],
    "layer": 3,
    "target": {"label": EVIL, "kind": "logit", "score": 1.5},
}


@pytest.mark.parametrize(
    "token, shown",
    [
        ("Ġnot", "not"),
        ("##ing", "ing"),
        ("▁film", "film"),
        ("##", "##"),
        ("Ġ", "Ġ"),
        # Byte-level pieces: whole characters are shown as such, parts of one as they are.
        ("ĠcafÃ©", "café"),
        ("âĢĶ", "—"),
        ("âĢ", "âĢ"),
        # A word of another tokenizer that is no bytes.
        ("café", "café"),
        ("[CLS]", "[CLS]"),
    ],
)
def test_plain(token, shown):
    assert display.plain(token) == shown


def test_colours():
    assert display.colours(0.0) == ("#000000", "#f7f7f7")
    assert display.colours(1.0) == ("#ffffff", "#b2182b")
    assert display.colours(-1.0) == ("#ffffff", "#2166ac")
    assert display.colours(0.5)[0] == "#000000"


def contrast(ink, background):
    """WCAG 2's, of two colours as #rrggbb."""

    def luminance(colour):
        linear = []
        for i in (1, 3, 5):
            value = int(colour[i : i + 2], 16) / 255
            linear.append(value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4)
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((luminance(ink), luminance(background)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("share", [step / 50 for step in range(-50, 51)])
def test_words_are_readable_on_every_colour(share):
    assert contrast(*display.colours(share)) >= 4.5


class Spans(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.text = [], []

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.text.append(data)


def test_in_a_notebook():
    explanation = display.Explanation(instance_1=ENTRY)
    parsed = Spans()
    parsed.feed(explanation._repr_html_())
    assert {tag for tag, _ in parsed.tags} == {"div", "small", "br", "span"}
    spans = [attributes for tag, attributes in parsed.tags if tag == "span"]
    assert "background:#2166ac" in spans[0]["style"] and spans[0]["title"] == "-3"
    assert EVIL in parsed.text and f"logit of {EVIL}, 1.50  layer 3" in parsed.text


def test_several_layers_and_none():
    layers = [{**ENTRY, "layer": layer} for layer in (1, 2)]
    whole = {key: ENTRY[key] for key in ("tokens_1", "offsets_1", "grad_input_1")}
    html = display.Explanation(instance_1={**whole, "layers": layers})._repr_html_()
    assert html.count("<div") == 2 and "layer 1" in html and "layer 2" in html
    assert display.Explanation()._repr_html_() == ""


def test_in_a_terminal():
    console = Console(width=60, record=True, file=io.StringIO())
    console.print(display.Explanation(instance_1=ENTRY))
    assert f"{EVIL} able" in console.export_text()


def test_all_zero_scores_have_no_colour():
    entry = instance_scores({**ENTRY, "signed_1": [0.0] * 4})
    assert "#f7f7f7" in display.coloured_html(entry, entry.texts[0])
    assert "NaN" not in display.coloured_html(entry, entry.texts[0])


def test_an_interpreter_gives_it(predictor):
    from allennlp_layer_saliency.interpreters import LayerSaliency

    explanation = LayerSaliency(predictor, layer=1).saliency_interpret_from_json({"sentence": "a good film"})
    assert isinstance(explanation, dict) and "film" in explanation._repr_html_()
