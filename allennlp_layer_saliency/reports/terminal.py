"""
Explanations as coloured text in a terminal, from a file that `allennlp predict --predictor saliency`
wrote:

    python -m allennlp_layer_saliency.reports.terminal OUTPUT.jsonl
"""

import argparse
import os
import re
from typing import Dict, Iterator, Tuple

from allennlp.common.checks import ConfigurationError
from allennlp.common.util import JsonDict
from rich.console import CONSOLE_SVG_FORMAT, Console
from rich.text import Text

from allennlp_layer_saliency.display import (
    coloured_text,
    described,
    layer_entries,
    plain,
    shown_pieces,
    text_numbers,
    token_names,
)
from allennlp_layer_saliency.reports.explanations import read

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
        for explanation in layer_entries(instance):
            yield _heading(line, explanation)
            for number in text_numbers(explanation):
                yield coloured_text(explanation, number, indent="  ")
            yield _best_tokens(explanation)
            yield from _evidence(explanation)


def _heading(line: JsonDict, explanation: JsonDict) -> Text:
    parts = []
    if "label" in line:
        probability = f" {max(line['probs']):.0%}" if "probs" in line else ""
        parts.append(f"predicted: {line['label']}{probability}")
    if "target" in explanation:
        parts.append(f"explained: {described(explanation['target'])}")
    if "layer" in explanation:
        parts.append(f"layer {explanation['layer']}")
    return Text("  ".join(parts), style="dim")


def _best_tokens(explanation: JsonDict) -> Text:
    sign = "+" if "signed_1" in explanation else ""
    numbers = text_numbers(explanation)
    pieces = [piece for number in numbers for piece in shown_pieces(explanation, number)]
    pieces.sort(key=lambda piece: -abs(piece.score))
    listed = ", ".join(f"{piece.text} {piece.score:{sign}.2f}" for piece in pieces[:SHOWN])
    return Text(f"  most salient tokens: {listed}")


def _evidence(explanation: JsonDict) -> Iterator[Text]:
    """For the position that gave most: what it decodes to, and the words that the layer speaks of."""
    given: Dict[Tuple[int, int], float] = {}
    for text in text_numbers(explanation):
        for sources in explanation.get(f"sources_{text}", []):
            for source in sources:
                place = source.get("text", 1), source["position"]
                given[place] = given.get(place, 0.0) + abs(source["amount"])
    if not given or not any(explanation["decoded_1"]):
        return
    text, position = max(given, key=lambda place: given[place])
    pieces = explanation.get(f"pieces_{text}")
    name = plain(pieces[position]["piece"]) if pieces else token_names(explanation, text)[position]
    decoded = ", ".join(
        f"{plain(item['token'])} {item['probability']:.0%}"
        for item in explanation[f"decoded_{text}"][position][:SHOWN]
    )
    yield Text(f"  most salient position: {position} ({name}), decodes to: {decoded}")
    words = ", ".join(
        f"{plain(item['token'])} {item['score']:+.2f}" for item in explanation["vocabulary"][:SHOWN]
    )
    yield Text(f"  most salient words of the vocabulary: {words}")


def main() -> None:
    parser = argparse.ArgumentParser(description="Show explanations as coloured text.")
    parser.add_argument("output_file", help="what allennlp predict --predictor saliency wrote")
    parser.add_argument("--svg", help="also write the picture to this file")
    args = parser.parse_args()
    if not os.path.isfile(args.output_file):
        raise SystemExit(f"no file {args.output_file}")
    console = Console(record=args.svg is not None, width=100 if args.svg else None, highlight=False)
    try:
        for _, line in read(args.output_file):
            for text in render(line):
                console.print(text)
            console.print()
    except ConfigurationError as error:
        raise SystemExit(str(error)) from error
    if args.svg:
        # Without the web fonts of rich's template: a picture must not need the network.
        template = re.sub(r"@font-face \{\{.*?\}\}", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
        console.save_svg(
            args.svg, title="allennlp predict --predictor saliency", code_format=template
        )


if __name__ == "__main__":
    main()
