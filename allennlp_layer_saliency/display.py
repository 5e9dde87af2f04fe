"""How scores and word pieces are shown: colours, and an explanation as a piece of HTML or terminal text."""

from html import escape
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Tuple

from allennlp.common.util import JsonDict
from rich.style import Style
from rich.text import Text

from allennlp_layer_saliency.byte_level import BYTES
from allennlp_layer_saliency.output_line import InstanceScores, TextScores, instance_scores

# The ends of a diverging map that colour-blind readers can tell apart, and its middle (RdBu).
POSITIVE, NEGATIVE, MIDDLE = (178, 24, 43), (33, 102, 172), (247, 247, 247)
# Black ink and white have the same contrast, 4.6, on a background of this relative luminance (WCAG 2).
EVEN = 0.179

# Those beyond ASCII that terminals obey.
_CONTROL = frozenset(map(chr, range(0x7F, 0xA0)))


class Piece(NamedTuple):
    """A part of a text as it is shown: its text, what stands before it, and its score."""

    text: str
    gap: str
    score: float


class Unit(NamedTuple):
    """
    Tokens that are shown as one, since they stand for the same characters (the bytes of an emoji), or one
    token.

    # Parameters

    text : `str`
        The characters as the user wrote them; a special token as its tokenizer writes it.
    gap : `str`
        What stands before it in its text.
    tokens : `List[int]`
        Their places among the text's tokens.
    segment : `int`, optional
        Which of the texts of a pair in one field it is of; None for special tokens.
    """

    text: str
    gap: str
    tokens: List[int]
    segment: Optional[int]

    @property
    def special(self) -> bool:
        return self.segment is None


def plain(token: str) -> str:
    """A word piece without its tokenizer's marks: for white space, the inside of a word, bytes."""
    decoded = _from_bytes(token)
    if decoded is not None:
        token = decoded
    for mark in ("Ġ", "▁", "##"):
        if token.startswith(mark) and len(token) > len(mark):
            return token[len(mark) :]
    for mark in ("</w>", "@@"):
        if token.endswith(mark) and len(token) > len(mark):
            return token[: -len(mark)]
    return token


def largest_score(instance: InstanceScores) -> float:
    """The largest absolute score of what is shown of all texts, special tokens among it."""
    every = (abs(score) for text in instance.texts for _, score in _scored(text))
    return max(every, default=0.0)


def units(text: TextScores) -> List[Unit]:
    """
    A text's tokens as they are shown, in order: characters of the text where the explanation has it, else
    as much as the tokens themselves tell of it.
    """
    tokens, texts = text.tokens, text.texts
    found: List[Unit] = []
    # Tokens of no character, such as a mark for the start of a text, go with what comes next.
    waiting: List[int] = []
    latest: Optional[int] = None  # the latest unit that is not a special token
    end = 0
    segment: Optional[int] = None
    for place, (token, span, own) in enumerate(zip(tokens, text.offsets, text.segments)):
        if span is None or own is None:
            found.append(Unit(plain(token), " ", [place], None))
            continue
        start, stop = span
        if own != segment:
            end, latest, segment = 0, None, own
        if start >= stop:
            waiting.append(place)
        elif latest is not None and start < end:
            last = found[latest]
            together = [*last.tokens, *waiting, place]
            if texts is None:
                shown = plain("".join(tokens[i] for i in together))
            else:
                shown = last.text + texts[own][end : max(end, stop)]
            found[latest] = last._replace(text=shown, tokens=together)
            waiting, end = [], max(end, stop)
        else:
            if texts is None:
                apart = start > end or token[:1] in "Ġ▁"
                gap, shown = " " if apart else "", plain(token)
            else:
                gap, shown = _apart(texts[own][end:start], texts[own][start:stop])
            if latest is None:
                gap = gap.lstrip()
            found.append(Unit(shown, gap, [*waiting, place], own))
            latest, waiting, end = len(found) - 1, [], stop
    if waiting and latest is not None:
        found[latest].tokens.extend(waiting)
    elif waiting:
        found.append(Unit("", "", waiting, segment))
    return found


def _apart(gap: str, text: str) -> Tuple[str, str]:
    """White space before a word is not part of it, though some tokenizers say so."""
    stripped = text.lstrip()
    return (gap + text[: len(text) - len(stripped)], stripped) if stripped else (gap, text)


def _scored(text: TextScores) -> Iterator[Tuple[Unit, float]]:
    own = text.scores
    for unit in units(text):
        yield unit, sum(own[token] for token in unit.tokens)


def shown_pieces(text: TextScores) -> Iterator[Piece]:
    """
    A text's tokens as the user wrote them, special ones left out. The texts of a pair in one field are a
    line each.
    """
    segment: Optional[int] = None
    for unit, score in _scored(text):
        if unit.segment is not None:
            apart = segment is not None and unit.segment != segment
            yield Piece(unit.text, f"\n{unit.gap}" if apart else unit.gap, score)
            segment = unit.segment


def token_names(text: TextScores) -> List[str]:
    """For each token of a text what it is shown as; its own name where that is white space or nothing."""
    names = [plain(token) for token in text.tokens]
    for unit in units(text):
        for token in unit.tokens:
            names[token] = unit.text if unit.text.strip() else names[token]
    return names


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


def coloured_text(instance: InstanceScores, text: TextScores, indent: str = "") -> Text:
    """One of an instance's texts for the terminal, its tokens coloured by score."""
    largest = largest_score(instance)
    shown = Text(indent)
    for piece in shown_pieces(text):
        ink, background = colours(piece.score / largest if largest else 0.0)
        shown.append(_printable(piece.gap).replace("\n", f"\n{indent}"))
        shown.append(_printable(piece.text), style=Style.parse(f"{ink} on {background}"))
    return shown


def _printable(text: str) -> str:
    """A terminal obeys control characters: their pictures are shown instead."""
    return "".join(
        (chr(0x2400 + ord(c)) if ord(c) < 32 and c not in "\n\t" else "\ufffd" if c in _CONTROL else c)
        for c in text
    )


def coloured_html(instance: InstanceScores, text: TextScores) -> str:
    """One of an instance's texts as HTML, its tokens coloured by score, with the score as a tooltip."""
    largest = largest_score(instance)
    spans = []
    for piece in shown_pieces(text):
        ink, background = colours(piece.score / largest if largest else 0.0)
        spans.append(
            f'{escape(piece.gap)}<span title="{piece.score:.4g}" style="color:{ink};'
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
            f'<div style="margin:.4em 0;white-space:pre-wrap"><small>{escape(heading)}</small><br>'
            + "<br>".join(coloured_html(entry, text) for text in entry.texts)
            + "</div>"
            for heading, entry in self._entries()
        )

    def __rich__(self) -> Text:
        shown = Text()
        for heading, entry in self._entries():
            shown.append(f"{heading}\n", style="dim")
            for text in entry.texts:
                shown.append_text(coloured_text(entry, text))
                shown.append("\n")
        return shown

    def _entries(self) -> Iterator[Tuple[str, InstanceScores]]:
        """Each explained score at each layer, and what it is."""
        for instance in self.values():
            for entry in instance_scores(instance).layers:
                parts = [] if entry.target is None else [described(entry.target)]
                parts += [] if entry.layer is None else [f"layer {entry.layer}"]
                yield "  ".join(parts), entry


def _from_bytes(token: str) -> Optional[str]:
    """What a byte-level piece stands for; None if it is none, or not whole characters."""
    if token.isascii() or not all(character in BYTES for character in token):
        return None
    try:
        decoded = bytes(BYTES[character] for character in token).decode("utf-8")
    except UnicodeDecodeError:
        return None
    stripped = decoded.strip()
    return stripped if stripped.isprintable() and stripped else None
