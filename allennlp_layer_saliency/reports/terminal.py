"""
Explanations as coloured text in a terminal, from a file that `allennlp predict --predictor saliency`
wrote:

    python -m allennlp_layer_saliency.reports.terminal OUTPUT.jsonl
"""

import argparse
import json
import os
import re
from typing import Iterator, List, Tuple

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
            yield _coloured_text(explanation)
            yield _best_tokens(explanation)
            yield from _evidence(explanation)


def _heading(line: JsonDict, explanation: JsonDict) -> Text:
    parts = []
    if "label" in line:
        probability = f" {max(line['probs']):.0%}" if "probs" in line else ""
        parts.append(f"predicted: {line['label']}{probability}")
    if "target" in explanation:
        target = explanation["target"]
        parts.append(f"explained: {target['kind']} of {target['label']}, {target['score']:.2f}")
    if "layer" in explanation:
        parts.append(f"layer {explanation['layer']}")
    return Text("  ".join(parts), style="dim")


def _coloured_text(explanation: JsonDict) -> Text:
    text = Text("  ")
    scores = explanation.get("signed_1", explanation["grad_input_1"])
    largest = max(map(abs, scores), default=0.0)
    end = 0
    for word, offsets, score in _pieces(explanation, scores):
        if offsets[0] > end:
            text.append(" ")
        end = offsets[1]
        text.append(word, style=_style(score / largest if largest else 0.0))
    return text


def _best_tokens(explanation: JsonDict) -> Text:
    scores = explanation.get("signed_1", explanation["grad_input_1"])
    sign = "+" if "signed_1" in explanation else ""
    pieces = sorted(_pieces(explanation, scores), key=lambda piece: -abs(piece[2]))
    listed = ", ".join(f"{word} {score:{sign}.2f}" for word, _, score in pieces[:SHOWN])
    return Text(f"  most salient tokens: {listed}")


def _evidence(explanation: JsonDict) -> Iterator[Text]:
    """For the position that gave most: what it decodes to, and the words that the layer speaks of."""
    if not any(explanation.get("decoded_1", [])):
        return
    given: List[float] = [0.0] * len(explanation["tokens_1"])
    for sources in explanation["sources_1"]:
        for source in sources:
            given[source["position"]] += abs(source["amount"])
    position = max(range(len(given)), key=given.__getitem__)
    decoded = ", ".join(
        f"{_plain(item['token'])} {item['probability']:.0%}"
        for item in explanation["decoded_1"][position][:SHOWN]
    )
    yield Text(
        f"  most salient position: {position} ({_plain(explanation['tokens_1'][position])}), decodes to: "
        f"{decoded}"
    )
    words = ", ".join(
        f"{_plain(item['token'])} {item['score']:+.2f}"
        for item in explanation["vocabulary"][:SHOWN]
    )
    yield Text(f"  most salient words of the vocabulary: {words}")


def _pieces(
    explanation: JsonDict, scores: List[float]
) -> Iterator[Tuple[str, Tuple[int, int], float]]:
    tokens, offsets_of = explanation.get("tokens_1", []), explanation.get("offsets_1", [])
    for token, offsets, score in zip(tokens, offsets_of, scores):
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
