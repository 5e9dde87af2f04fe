"""Fields of texts that know how the user wrote them, so that explanations can be shown on that text."""

from itertools import permutations
from typing import Any, Dict, Iterator, List, Optional, Sequence, Set, Tuple

from allennlp.data import Token, TokenIndexer
from allennlp.data.fields import TextField
from transformers import PreTrainedTokenizerBase

from allennlp_layer_saliency.models.offsets import Span, aligned

# More strings than these in a line are not tried: they are not what the tokens were made of.
_CANDIDATES = 6


class WrittenTextField(TextField):
    """
    A `TextField` with the texts that its tokens were made of.

    # Parameters

    tokens : `List[Token]`
    texts : `List[str]`
        One, or several where a field holds a pair.
    spans : `List[Optional[Span]]`
        For each token its characters, None for special tokens.
    token_indexers : `Dict[str, TokenIndexer]`, optional
    """

    __slots__ = ["texts", "spans"]

    def __init__(
        self,
        tokens: List[Token],
        texts: List[str],
        spans: List[Optional[Span]],
        token_indexers: Optional[Dict[str, TokenIndexer]] = None,
    ) -> None:
        super().__init__(tokens, token_indexers)
        self.texts = texts
        self.spans = spans

    def plain(self) -> TextField:
        """The same without the texts: a batch takes fields of one class only."""
        field = TextField(self.tokens, self._token_indexers)
        field._indexed_tokens = self._indexed_tokens
        return field

    def duplicate(self) -> "WrittenTextField":
        copied = WrittenTextField(list(self.tokens), list(self.texts), list(self.spans), _indexers(self))
        # As `TextField` does: a copy of an indexed field is indexed.
        copied._indexed_tokens = self._indexed_tokens
        return copied


def spans_in(
    texts: Sequence[str],
    tokens: Sequence[Token],
    special: Set[int],
    tokenizer: Optional[PreTrainedTokenizerBase],
    given: Optional[Sequence[Optional[Span]]] = None,
    limit: Optional[int] = None,
) -> Tuple[List[Optional[Span]], int]:
    """
    The tokens' characters in the texts, None for special tokens, and how badly the two fit.

    # Parameters

    texts : `Sequence[str]`
    tokens : `Sequence[Token]`
    special : `Set[int]`
        Ids of the special tokens.
    tokenizer : `PreTrainedTokenizerBase`, optional
        Whose word pieces the tokens are; None for words.
    given : `Sequence[Optional[Span]]`, optional
        What the tokenizer says, where it does; those of no character are replaced.
    limit : `int`, optional
        See `aligned`.
    """
    if given is not None and all(
        token.text_id in special or (span is not None and span.start < span.end)
        for token, span in zip(tokens, given)
    ):
        told = [None if t.text_id in special else s for t, s in zip(tokens, given)]
        return told, 0
    places = [i for i, token in enumerate(tokens) if token.text_id not in special]
    unknown = None if tokenizer is None else tokenizer.unk_token_id
    pieces = [
        None if unknown is not None and tokens[i].text_id == unknown else tokens[i].text for i in places
    ]
    found, cost = aligned(texts, pieces, _kind(tokenizer), limit)
    spans: List[Optional[Span]] = [None] * len(tokens)
    for i, span in zip(places, found):
        known = None if given is None else given[i]
        spans[i] = span if known is None or known.start >= known.end else known
    return spans, cost


def _kind(tokenizer: Optional[PreTrainedTokenizerBase]) -> str:
    if tokenizer is None:
        return "words"
    try:
        byte_level = "Ġ" not in tokenizer.convert_tokens_to_string(["Ġ", "a"])
    except Exception:
        # Some slow tokenizers join only what they made.
        byte_level = False
    return "bytes" if byte_level else "pieces"


def written(
    field: TextField,
    line: Any,
    special: Set[int],
    tokenizer: Optional[PreTrainedTokenizerBase],
) -> TextField:
    """
    The field with the text among a line's strings that it was made of, or with the pair of them; as it is
    where none fits, or where it knows already.
    """
    if type(field) is not TextField or not field.tokens:
        return field
    pieces = any(token.text_id is not None for token in field.tokens)
    tokenizer = tokenizer if pieces else None
    told = tokenizer is None or tokenizer.is_fast
    characters = sum(len(t.text or "") for t in field.tokens if t.text_id not in special)
    # Normalisation that is not known here may change a character in five. Of a text that is known to be the
    # one, any part may have been cut off.
    best = 10 + characters + (len(line) if isinstance(line, str) else 0)
    chosen: Optional[Tuple[List[str], List[Optional[Span]]]] = None
    # Those of white space alone come last: some tokenizers have pieces for it.
    strings = sorted(dict.fromkeys(_strings(line)), key=lambda text: not text.strip())[:_CANDIDATES]
    for texts in [[text] for text in strings] + [list(pair) for pair in permutations(strings, 2)]:
        spans, cost = spans_in(texts, field.tokens, special, tokenizer, limit=best)
        if cost < best:
            best, chosen = cost, (texts, spans)
        if cost == 0:
            break
    if chosen is None:
        return field
    texts, spans = chosen
    for i, (token, span) in enumerate(zip(field.tokens, spans)):
        if told and span is not None and token.idx is not None and token.idx_end is not None:
            if token.idx < token.idx_end <= len(texts[span.text]):
                spans[i] = Span(span.text, token.idx, token.idx_end)
    return WrittenTextField(field.tokens, texts, spans, _indexers(field))


def _indexers(field: TextField) -> Optional[Dict[str, TokenIndexer]]:
    try:
        return dict(field.token_indexers)
    except ValueError:
        # Readers may leave them out until the instance is indexed.
        return None


def _strings(line: Any) -> Iterator[str]:
    if isinstance(line, str):
        if line:
            yield line
    elif isinstance(line, dict):
        for key, value in line.items():
            if key not in ("id", "label"):
                yield from _strings(value)
    elif isinstance(line, list):
        for value in line[:_CANDIDATES]:
            yield from _strings(value)
