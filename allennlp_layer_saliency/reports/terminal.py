"""
Explanations as coloured text in a terminal, from a file that `allennlp predict --predictor saliency`
wrote:

    python -m allennlp_layer_saliency.reports.terminal OUTPUT.jsonl
"""

import argparse
import json
import os
import re
from typing import Dict, Iterator, List, Tuple

from allennlp.common.util import JsonDict
from rich.console import CONSOLE_SVG_FORMAT, Console
from rich.style import Style
from rich.text import Text

# The ends of a diverging map that colour-blind readers can tell apart, and its middle.
POSITIVE, NEGATIVE, MIDDLE = (178, 24, 43), (33, 102, 172), (247, 247, 247)
# How many tokens or words are listed.
SHOWN = 5


def render(line: JsonDict) -> Iterator[Text]:
    """
    The lines that show one output of the `saliency` predictor.

    # Parameters

    line : `JsonDict`
        One line of `allennlp predict`'s output, parsed.
    """
    if "error" in line:
        where = f"line {line['line']}: " if "line" in line else ""
        yield Text(f"{where}{line['error']}", style="bold red")
        return
    for instance in line["saliency"].values():
        for shown in instance.get("layers", [instance]):
            explanation = {**instance, **shown}
            yield _heading(line, explanation)
            for text in _texts(explanation):
                yield _coloured_text(explanation, text)
            yield _best_tokens(explanation)
            yield from _evidence(explanation)


def _heading(line: JsonDict, explanation: JsonDict) -> Text:
    parts = []
    if "label" in line:
        probability = f" {max(line['probs']):.0%}" if "probs" in line else ""
        parts.append(f"predicted: {line['label']}{probability}")
    if "target" in explanation:
        target = explanation["target"]
        contrast = f" minus {target['contrast']}" if "contrast" in target else ""
        parts.append(
            f"explained: {target['kind']} of {target['label']}{contrast}, {target['score']:.2f}"
        )
    if "layer" in explanation:
        parts.append(f"layer {explanation['layer']}")
    return Text("  ".join(parts), style="dim")


def _texts(explanation: JsonDict) -> List[int]:
    """The numbers of the explained input's texts."""
    prefix = "grad_input_"
    return [int(key[len(prefix) :]) for key in explanation if key.startswith(prefix)]


def _scores(explanation: JsonDict, text: int) -> List[float]:
    return explanation.get(f"signed_{text}", explanation[f"grad_input_{text}"])


def _coloured_text(explanation: JsonDict, number: int) -> Text:
    text = Text("  ")
    scores = [_scores(explanation, other) for other in _texts(explanation)]
    largest = max((abs(score) for of_text in scores for score in of_text), default=0.0)
    end = 0
    for word, offsets, score in _pieces(explanation, number):
        if offsets[0] > end:
            text.append(" ")
        end = offsets[1]
        text.append(word, style=_style(score / largest if largest else 0.0))
    return text


def _best_tokens(explanation: JsonDict) -> Text:
    sign = "+" if "signed_1" in explanation else ""
    pieces = [piece for text in _texts(explanation) for piece in _pieces(explanation, text)]
    pieces.sort(key=lambda piece: -abs(piece[2]))
    listed = ", ".join(f"{word} {score:{sign}.2f}" for word, _, score in pieces[:SHOWN])
    return Text(f"  most salient tokens: {listed}")


def _evidence(explanation: JsonDict) -> Iterator[Text]:
    """For the position that gave most: what it decodes to, and the words that the layer speaks of."""
    given: Dict[Tuple[int, int], float] = {}
    for text in _texts(explanation):
        for sources in explanation.get(f"sources_{text}", []):
            for source in sources:
                place = source.get("text", 1), source["position"]
                given[place] = given.get(place, 0.0) + abs(source["amount"])
    if not given or not any(explanation["decoded_1"]):
        return
    text, position = max(given, key=lambda place: given[place])
    pieces = explanation.get(f"pieces_{text}")
    name = pieces[position]["piece"] if pieces else explanation[f"tokens_{text}"][position]
    decoded = ", ".join(
        f"{_plain(item['token'])} {item['probability']:.0%}"
        for item in explanation[f"decoded_{text}"][position][:SHOWN]
    )
    yield Text(f"  most salient position: {position} ({_plain(name)}), decodes to: {decoded}")
    words = ", ".join(
        f"{_plain(item['token'])} {item['score']:+.2f}"
        for item in explanation["vocabulary"][:SHOWN]
    )
    yield Text(f"  most salient words of the vocabulary: {words}")


def _pieces(explanation: JsonDict, text: int) -> Iterator[Tuple[str, Tuple[int, int], float]]:
    tokens, offsets_of = explanation.get(f"tokens_{text}", []), explanation.get(
        f"offsets_{text}", []
    )
    for token, offsets, score in zip(tokens, offsets_of, _scores(explanation, text)):
        if offsets is not None:
            yield _plain(token), offsets, score


def _plain(token: str) -> str:
    """A word piece without its tokenizer's marks for the beginning or the inside of a word."""
    for mark in ("Ġ", "▁", "##"):
        if token.startswith(mark) and len(token) > len(mark):
            return token[len(mark) :]
    return token


def _style(share: float) -> Style:
    """Background from blue (-1) by white (0) to red (1)."""
    end = POSITIVE if share > 0 else NEGATIVE
    red, green, blue = (round(m + (e - m) * abs(share)) for m, e in zip(MIDDLE, end))
    ink = "#ffffff" if abs(share) > 0.7 else "#000000"
    return Style.parse(f"{ink} on #{red:02x}{green:02x}{blue:02x}")


def main() -> None:
    parser = argparse.ArgumentParser(description="Show explanations as coloured text.")
    parser.add_argument("output_file", help="what allennlp predict --predictor saliency wrote")
    parser.add_argument("--svg", help="also write the picture to this file")
    args = parser.parse_args()
    if not os.path.isfile(args.output_file):
        raise SystemExit(f"no file {args.output_file}")
    console = Console(record=args.svg is not None, width=100 if args.svg else None, highlight=False)
    with open(args.output_file, encoding="utf-8") as lines:
        for line in lines:
            for text in render(json.loads(line)):
                console.print(text)
            console.print()
    if args.svg:
        # Without the web fonts of rich's template: a picture must not need the network.
        template = re.sub(r"@font-face \{\{.*?\}\}", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
        console.save_svg(
            args.svg, title="allennlp predict --predictor saliency", code_format=template
        )


if __name__ == "__main__":
    main()
