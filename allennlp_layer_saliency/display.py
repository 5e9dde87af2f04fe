"""How scores and word pieces are shown: colours, and an explanation as a piece of HTML or terminal text."""

from html import escape
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Tuple

from allennlp.common.util import JsonDict
from rich.style import Style
from rich.text import Text

# The ends of a diverging map that colour-blind readers can tell apart, and its middle (RdBu).
POSITIVE, NEGATIVE, MIDDLE = (178, 24, 43), (33, 102, 172), (247, 247, 247)
# Black ink and white have the same contrast, 4.6, on a background of this relative luminance (WCAG 2).
EVEN = 0.179


class Piece(NamedTuple):
    """A token as it is shown: its text, whether white space comes before it, and its score."""

    text: str
    gap: bool
    score: float


def plain(token: str) -> str:
    """A word piece without its tokenizer's marks: for white space, the inside of a word, bytes."""
    decoded = _from_bytes(token)
    if decoded is not None:
        token = decoded
    for mark in ("Ġ", "▁", "##"):
        if token.startswith(mark) and len(token) > len(mark):
            return token[len(mark) :]
    return token


def text_numbers(explanation: JsonDict) -> List[int]:
    """The numbers of the explained input's texts: 1, or more."""
    prefix = "grad_input_"
    return [int(key[len(prefix) :]) for key in explanation if key.startswith(prefix)]


def scores(explanation: JsonDict, number: int) -> List[float]:
    """A text's signed scores where there are any, else the absolute ones."""
    return explanation.get(f"signed_{number}", explanation[f"grad_input_{number}"])


def layer_entries(explanation: JsonDict) -> List[JsonDict]:
    """The explanation at each of its layers, with what is said of all of them; of one, itself."""
    return [{**explanation, **layer} for layer in explanation.get("layers", [explanation])]


def largest_score(explanation: JsonDict) -> float:
    """The largest absolute score of all texts."""
    every = (s for number in text_numbers(explanation) for s in scores(explanation, number))
    return max(map(abs, every), default=0.0)


def shown_pieces(explanation: JsonDict, number: int) -> Iterator[Piece]:
    """A text's tokens, special ones left out."""
    end: Optional[int] = None
    for token, offsets, score in zip(
        explanation.get(f"tokens_{number}", []),
        explanation.get(f"offsets_{number}", []),
        scores(explanation, number),
    ):
        if offsets is not None:
            yield Piece(plain(token), end is not None and offsets[0] > end, score)
            end = offsets[1]


def described(target: JsonDict) -> str:
    """The explained score in words."""
    contrast = f" minus {target['contrast']}" if "contrast" in target else ""
    return f"{target['kind']} of {target['label']}{contrast}, {target['score']:.2f}"


def colours(share: float) -> Tuple[str, str]:
    """Ink and background, from blue (-1) by white (0) to red (1)."""
    end = POSITIVE if share > 0 else NEGATIVE
    red, green, blue = (round(m + (e - m) * abs(share)) for m, e in zip(MIDDLE, end))
    linear = [
        value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4
        for value in (red / 255, green / 255, blue / 255)
    ]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return ("#ffffff" if luminance < EVEN else "#000000"), f"#{red:02x}{green:02x}{blue:02x}"


def coloured_text(explanation: JsonDict, number: int, indent: str = "") -> Text:
    """A text for the terminal, its tokens coloured by score."""
    largest = largest_score(explanation)
    text = Text(indent)
    for piece in shown_pieces(explanation, number):
        ink, background = colours(piece.score / largest if largest else 0.0)
        text.append(" " if piece.gap else "")
        text.append(piece.text, style=Style.parse(f"{ink} on {background}"))
    return text


def coloured_html(explanation: JsonDict, number: int) -> str:
    """A text as HTML, its tokens coloured by score, with the score as a tooltip."""
    largest = largest_score(explanation)
    spans = []
    for piece in shown_pieces(explanation, number):
        ink, background = colours(piece.score / largest if largest else 0.0)
        spans.append(
            f'{" " if piece.gap else ""}<span title="{piece.score:.4g}" style="color:{ink};'
            f'background:{background};border-radius:2px;padding:1px">{escape(piece.text)}</span>'
        )
    return "".join(spans)


class Explanation(Dict[str, Any]):
    """
    What `saliency_interpret_from_json` gives, as a `dict` that displays itself: in a notebook as HTML, and
    as coloured text with rich's `print`.
    """

    def _repr_html_(self) -> str:
        return "".join(
            f'<div style="margin:.4em 0"><small>{escape(heading)}</small><br>'
            + "<br>".join(coloured_html(entry, number) for number in text_numbers(entry))
            + "</div>"
            for heading, entry in self._entries()
        )

    def __rich__(self) -> Text:
        text = Text()
        for heading, entry in self._entries():
            text.append(f"{heading}\n", style="dim")
            for number in text_numbers(entry):
                text.append_text(coloured_text(entry, number))
                text.append("\n")
        return text

    def _entries(self) -> Iterator[Tuple[str, JsonDict]]:
        """Each explained score at each layer, and what it is."""
        for instance in self.values():
            for entry in layer_entries(instance):
                parts = [described(entry["target"])] if "target" in entry else []
                parts += [f"layer {entry['layer']}"] if "layer" in entry else []
                yield "  ".join(parts), entry


def _byte_of_character() -> Dict[str, int]:
    """Byte-level tokenizers (GPT-2's, RoBERTa's) write each byte as a character that can be printed."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    found = {chr(byte): byte for byte in printable}
    found.update({chr(256 + i): byte for i, byte in enumerate(others)})
    return found


_BYTES = _byte_of_character()


def _from_bytes(token: str) -> Optional[str]:
    """What a byte-level piece stands for; None if it is none, or not whole characters."""
    if token.isascii() or not all(character in _BYTES for character in token):
        return None
    try:
        decoded = bytes(_BYTES[character] for character in token).decode("utf-8")
    except UnicodeDecodeError:
        return None
    stripped = decoded.strip()
    return stripped if stripped.isprintable() and stripped else None
