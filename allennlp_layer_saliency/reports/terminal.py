"""
Explanations as coloured text in a terminal, from a file that `allennlp predict --predictor saliency`
wrote:

    python -m allennlp_layer_saliency.reports.terminal OUTPUT.jsonl
"""

import argparse
import os
import re
from typing import Dict, Iterator, List, Tuple

from allennlp.common.checks import ConfigurationError
from allennlp.common.util import JsonDict
from rich.console import CONSOLE_SVG_FORMAT, Console
from rich.text import Text

from allennlp_layer_saliency.display import (
    coloured_text,
    described,
    plain,
    shown_pieces,
    token_names,
)
from allennlp_layer_saliency.output_line import InstanceScores, OutputLine, output_line
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
    shown = output_line(line)
    if shown.error is not None:
        where = "" if shown.number is None else f"line {shown.number}: "
        yield Text(f"{where}{shown.error}", style="bold red")
        return
    for instance in shown.instances.values():
        for entry in instance.layers:
            yield _heading(shown, entry)
            for text in entry.texts:
                yield coloured_text(entry, text, indent="  ")
            yield _best_tokens(entry)
            yield from _evidence(entry)


def _heading(line: OutputLine, entry: InstanceScores) -> Text:
    parts = []
    if line.predicted is not None:
        probability = "" if line.probability is None else f" {line.probability:.0%}"
        parts.append(f"predicted: {line.predicted}{probability}")
    if entry.target is not None:
        parts.append(f"explained: {described(entry.target)}")
    if entry.layer is not None:
        parts.append(f"layer {entry.layer}")
    return Text("  ".join(parts), style="dim")


def _best_tokens(entry: InstanceScores) -> Text:
    pieces = [piece for text in entry.texts for piece in shown_pieces(text)]
    pieces.sort(key=lambda piece: -abs(piece.score))
    listed = _listed([(piece.text, piece.score) for piece in pieces[:SHOWN]], "+" if entry.signed else "")
    return Text(f"  most salient tokens: {listed}")


def _evidence(entry: InstanceScores) -> Iterator[Text]:
    """For the position that gave most: what it decodes to, and the words that the layer speaks of."""
    given: Dict[Tuple[int, int], float] = {}
    for text in entry.texts:
        for sources in text.sources or []:
            for source in sources:
                place = source.get("text", 1), source["position"]
                given[place] = given.get(place, 0.0) + abs(source["amount"])
    if not given or not any(entry.texts[0].decoded):
        return
    number, position = max(given, key=lambda place: given[place])
    (giver,) = (text for text in entry.texts if text.number == number)
    if giver.pieces is None:
        name = token_names(giver)[position]
    else:
        name = plain(giver.pieces[position]["piece"])
    decoded = ", ".join(
        f"{plain(item['token'])} {item['probability']:.0%}" for item in giver.decoded[position][:SHOWN]
    )
    yield Text(f"  most salient position: {position} ({name}), decodes to: {decoded}")
    words = _listed([(plain(item["token"]), item["score"]) for item in entry.vocabulary[:SHOWN]], "+")
    yield Text(f"  most salient words of the vocabulary: {words}")


def _listed(scored: List[Tuple[str, float]], sign: str) -> str:
    """Words with their scores; those that two decimals would make zeros, as powers of ten."""
    form = ".2f" if any(abs(score) >= 0.01 for _, score in scored) else ".1e"
    return ", ".join(f"{word} {score:{sign}{form}}" for word, score in scored)


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
        console.save_svg(args.svg, title="allennlp predict --predictor saliency", code_format=template)


if __name__ == "__main__":
    main()
