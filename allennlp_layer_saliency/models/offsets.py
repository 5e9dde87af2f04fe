"""
Which characters of a text each token stands for, found by reading tokens and text side by side.

Tokenizers change what they read (case, accents, compatibility forms, white space), write bytes or unknown
words as something else, and some tell no offsets or empty ones. Tokens and text are compared in a common
form, character by character; where they differ, the cheapest edit of a window of both decides.
"""

import re
import unicodedata
from bisect import bisect_left, bisect_right
from functools import lru_cache
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

from allennlp_layer_saliency.byte_level import BYTES

# What an edit costs: characters that have no counterpart, or another one.
_LONE, _OTHER = 5, 4
# What an unknown token costs for its first character, for going on from letters to punctuation or the
# reverse, for going on behind a white space, and for standing for nothing.
_UNKNOWN, _NEW_CLASS, _NEW_WORD, _NOTHING = 1, 2, 6, 4
# What it costs that some of the text is left over when the tokens end.
_CUT_OFF = 3
# How many characters of the tokens and of the text an edit looks at. Half of it is kept, so that what
# follows has its say.
_WINDOW, _READ = 48, 96
# Thai and Lao, Burmese, Khmer, Japanese, Chinese.
_UNSPACED = (
    ("\u0e00", "\u0eff"),
    ("\u1000", "\u109f"),
    ("\u1780", "\u17ff"),
    ("\u3040", "\u30ff"),
    ("\u3400", "\u9fff"),
    ("\uf900", "\ufaff"),
)
_BYTE = re.compile(r"<0x([0-9A-Fa-f]{2})>")


class Span(NamedTuple):
    """Characters `start` to `end` (exclusive) of text number `text`, counted from 0."""

    text: int
    start: int
    end: int


class _Character(NamedTuple):
    """A character of the tokens in the common form, or None for an unknown one, and whose it is."""

    form: Optional[str]
    first: int
    last: int


def aligned(
    texts: Sequence[str],
    tokens: Sequence[Optional[str]],
    kind: str,
    limit: Optional[int] = None,
) -> Tuple[List[Span], int]:
    """
    For each token the characters that it stands for, and how badly tokens and texts fit.

    # Parameters

    texts : `Sequence[str]`
        What was tokenized, in this order.
    tokens : `Sequence[Optional[str]]`
        As the tokenizer writes them, special tokens left out; None for an unknown one.
    kind : `str`
        "words", "pieces" (of WordPiece, SentencePiece and the like) or "bytes" (of byte-level BPE).
    limit : `int`, optional
        Give up when the cost is higher.

    # Returns

    `Tuple[List[Span], int]`
        A token that stands for no character has an empty span. All pieces of one character have its span.
        The cost is 0 where tokens and texts are the same but for white space, case and the like.
    """
    read = _characters(tokens, kind)
    written: List[str] = []
    origins: List[Tuple[int, int]] = []
    for number, text in enumerate(texts):
        for place, character in enumerate(text):
            for form in _common_form(character):
                written.append(form)
                origins.append((number, place))
        if number + 1 < len(texts):
            written.append(" ")
            origins.append((number, len(text)))
    pairs, cost = _paired(read, written, limit)
    found: List[Optional[Span]] = [None] * len(tokens)
    for i, j in pairs:
        number, place = origins[j]
        for token in range(read[i].first, read[i].last + 1):
            span = found[token]
            if span is None:
                found[token] = Span(number, place, min(place + 1, len(texts[number])))
            elif span.text == number:
                end = min(place + 1, len(texts[number]))
                found[token] = Span(number, span.start, max(span.end, end))
    spans: List[Span] = []
    for span in found:
        if span is None:
            before = spans[-1] if spans else Span(0, 0, 0)
            span = Span(before.text, before.end, before.end)
        spans.append(span)
    return spans, cost


def words_of(texts: Sequence[str], spans: Sequence[Optional[Span]]) -> List[Optional[int]]:
    """
    Which word each token is of, counted over all texts; None for tokens without a span.

    Words are runs of letters and digits, marks of punctuation, and characters of scripts that write no
    spaces. A token that is of two words makes them one; one of white space is of the word behind it.
    """
    starts = [_word_starts(text) for text in texts]
    words: List[Optional[int]] = []
    count, text, last = -1, -1, -1
    for i, span in enumerate(spans):
        if span is None:
            words.append(None)
            continue
        own = texts[span.text][span.start : span.end]
        of_text = starts[span.text]
        if own.strip():
            first_place = span.start + len(own) - len(own.lstrip())
            first = bisect_right(of_text, first_place) - 1
            end = bisect_right(of_text, span.start + len(own.rstrip()) - 1) - 1
        else:
            first = end = min(bisect_left(of_text, span.end), len(of_text) - 1)
        if i == 0 or spans[i - 1] is None or span.text != text or first > last:
            count += 1
        text, last = span.text, end
        words.append(count)
    return words


def grouped_by_word(texts: Sequence[str], spans: Sequence[Optional[Span]]) -> List[Tuple[Span, List[int]]]:
    """
    The words of `words_of`, in order: the characters of each, without white space around them where there is
    anything else, and its tokens.
    """
    tokens: Dict[int, List[int]] = {}
    for token, word in enumerate(words_of(texts, spans)):
        if word is not None:
            tokens.setdefault(word, []).append(token)
    found = []
    for own in tokens.values():
        of_word = [span for span in (spans[token] for token in own) if span is not None]
        whole = of_word[0]._replace(end=max(span.end for span in of_word))
        written = texts[whole.text][whole.start : whole.end]
        if written.strip():
            start = whole.start + len(written) - len(written.lstrip())
            whole = whole._replace(start=start, end=start + len(written.strip()))
        found.append((whole, own))
    return found


@lru_cache(maxsize=64)
def _word_starts(text: str) -> List[int]:
    starts: List[int] = []
    inside = False  # a word of letters and digits
    for i, character in enumerate(text):
        if character.isspace():
            inside = False
        elif unicodedata.category(character)[0] == "M" and i and not text[i - 1].isspace():
            pass  # an accent, or a vowel of the letter before
        elif character in "'’" and inside and text[i + 1 : i + 2].isalnum():
            pass
        elif character.isalnum() or character == "_":
            unspaced = any(low <= character <= high for low, high in _UNSPACED)
            if not inside or unspaced:
                starts.append(i)
            inside = not unspaced
        else:
            starts.append(i)
            inside = False
    return starts


@lru_cache(maxsize=4096)
def _common_form(character: str) -> str:
    """Decomposed, without case; each white space is one space."""
    if character == "▁" or character.isspace():
        return " "
    return unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", character).casefold())


@lru_cache(maxsize=4096)
def _droppable(form: str) -> bool:
    """Whether tokenizers may leave it out: white space, marks, control and format characters."""
    return form == " " or unicodedata.category(form) in ("Mn", "Me", "Cc", "Cf", "Co", "Cn")


@lru_cache(maxsize=4096)
def _is_word(form: str) -> bool:
    return unicodedata.category(form)[0] in "LNM"


def _characters(tokens: Sequence[Optional[str]], kind: str) -> List[_Character]:
    found: List[_Character] = []
    data: List[Tuple[int, int]] = []
    for number, token in enumerate(tokens):
        content = None if token is None else _bytes_of(token, kind)
        if content is None:
            found += _decoded(data)
            data = []
            found.append(_Character(None, number, number))
        else:
            data += [(byte, number) for byte in content]
    return found + _decoded(data)


def _bytes_of(token: str, kind: str) -> Optional[bytes]:
    """A token's own characters, or parts of one, in UTF-8; None if that can't be told."""
    if kind == "words":
        return token.encode("utf-8", "replace")
    if kind == "bytes":
        # Tokens that were added to the vocabulary are written as they are.
        if all(character in BYTES for character in token):
            return bytes(BYTES[character] for character in token)
        return token.encode("utf-8", "replace")
    byte = _BYTE.fullmatch(token)
    if byte:
        return bytes([int(byte.group(1), 16)])
    if token.startswith("##") and len(token) > 2:
        token = token[2:]
    for mark, instead in (("</w>", " "), ("@@", "")):
        if token.endswith(mark) and len(token) > len(mark):
            token = token[: -len(mark)] + instead
    return token.encode("utf-8", "replace")


def _decoded(data: List[Tuple[int, int]]) -> List[_Character]:
    found: List[_Character] = []
    at = 0
    while at < len(data):
        lead = data[at][0]
        length = 1 if lead < 0x80 else 2 if lead < 0xE0 else 3 if lead < 0xF0 else 4
        part = data[at : at + length]
        try:
            character: Optional[str] = bytes(byte for byte, _ in part).decode("utf-8")
        except UnicodeDecodeError:
            character, part = None, data[at : at + 1]
        for form in (None,) if character is None else _common_form(character):
            found.append(_Character(form, part[0][1], part[-1][1]))
        at += len(part)
    return found


def _paired(
    read: List[_Character], written: List[str], limit: Optional[int]
) -> Tuple[List[Tuple[int, int]], int]:
    """Pairs of characters of the tokens and of the text that belong together, and the cost."""
    pairs: List[Tuple[int, int]] = []
    i = j = cost = 0
    while i < len(read) and (limit is None or cost <= limit):
        form = read[i].form
        if j < len(written) and form == written[j]:
            pairs.append((i, j))
            i, j = i + 1, j + 1
        elif form is not None and j < len(written) and _droppable(written[j]):
            # A mark that the tokenizer dropped stays with its letter.
            if pairs and pairs[-1][1] == j - 1 and unicodedata.category(written[j])[0] == "M":
                pairs.append((pairs[-1][0], j))
            j += 1
        elif form is not None and _droppable(form):
            i += 1
        elif j == len(written):
            cost += _NOTHING if form is None else _LONE
            i += 1
        else:
            chosen, i, j, more = _edited(read, written, i, j)
            pairs += chosen
            cost += more
    # Marks of the last letter; other characters are left where the text was cut off.
    while pairs and pairs[-1][1] + 1 == j < len(written):
        if unicodedata.category(written[j])[0] != "M":
            break
        pairs.append((pairs[-1][0], j))
        j += 1
    return pairs, cost + sum(not _droppable(form) for form in written[j:])


def _edited(
    read: List[_Character], written: List[str], i: int, j: int
) -> Tuple[List[Tuple[int, int]], int, int, int]:
    """The cheapest edit of a window from i and j on: its pairs, where it ends, and its cost."""
    tokens = [character.form for character in read[i : i + _WINDOW]]
    text = written[j : j + _READ]
    last = i + len(tokens) == len(read)
    # costs[a][b]: of having read a of the tokens and b of the text; steps[a][b]: by which last step.
    costs = [[0] * (len(text) + 1) for _ in range(len(tokens) + 1)]
    steps = [[""] * (len(text) + 1) for _ in range(len(tokens) + 1)]
    skip = [0 if _droppable(form) else _LONE for form in text]
    for a in range(len(tokens) + 1):
        token = tokens[a - 1] if a else ""
        row, above = costs[a], costs[a - 1]
        dropped = _NOTHING if token is None else 1 if token and _droppable(token) else _LONE
        for b in range(len(text) + 1):
            if a == b == 0:
                continue
            choices = []
            if a and b:
                form = text[b - 1]
                if token is None:
                    choices.append((above[b - 1] + (_OTHER if form == " " else _UNKNOWN), "pair"))
                elif token == form:
                    choices.append((above[b - 1], "pair"))
                elif not _droppable(token) and not _droppable(form):
                    choices.append((above[b - 1] + _OTHER, "pair"))
            if a > 0:
                choices.append((above[b] + dropped, "token"))
            if b > 0:
                choices.append((row[b - 1] + skip[b - 1], "text"))
                if token is None and b > 1 and text[b - 1] != " ":
                    choices.append((row[b - 1] + _continued(text[b - 2], text[b - 1]), "more"))
            row[b], steps[a][b] = min(choices, key=lambda choice: choice[0])
    a = len(tokens)
    left = [0] * (len(text) + 1)
    if last:
        for b in range(len(text) - 1, -1, -1):
            left[b] = _CUT_OFF if skip[b] else left[b + 1]
    b = min(range(len(text) + 1), key=lambda b: costs[a][b] + left[b])
    kept = a if last else max(1, a // 2)
    path: List[Tuple[int, int]] = []
    end: Optional[Tuple[int, int]] = None
    while a or b:
        if end is None and a <= kept:
            end = a, b
        step = steps[a][b]
        if step in ("pair", "more") and end is not None:
            path.append((i + a - 1, j + b - 1))
        a, b = (a - (step in ("pair", "token")), b - (step != "token"))
    end = end or (0, 0)
    return path[::-1], i + end[0], j + end[1], costs[end[0]][end[1]]


def _continued(before: str, form: str) -> int:
    if before == " ":
        return _NEW_WORD
    return 0 if _is_word(before) == _is_word(form) else _NEW_CLASS
