"""Tokens and texts side by side; right spans are counted by hand."""

import pytest

from allennlp_layer_saliency.models.offsets import Span, aligned, words_of
from tests.conftest import byte_level_tokenizer


def slices(text, tokens, kind="pieces"):
    spans, cost = aligned([text], tokens, kind)
    return [text[span.start : span.end] for span in spans], cost


@pytest.mark.parametrize(
    "text, tokens, right",
    [
        # WordPiece, with case and accents taken off.
        ("Café Noir!", ["cafe", "no", "##ir", "!"], ["Café", "No", "ir", "!"]),
        ("cafe\u0301 bar", ["cafe", "bar"], ["cafe\u0301", "bar"]),
        ("e\u0301", ["e"], ["e\u0301"]),
        ("naïve İstanbul", ["naive", "ist", "##anbul"], ["naïve", "İst", "anbul"]),
        ("ﬁne ½", ["f", "##ine", "1", "##⁄2"], ["ﬁ", "ﬁne", "½", "½"]),
        ("Ｆｕｌｌ　width", ["full", "width"], ["Ｆｕｌｌ", "width"]),
        ("straße", ["strasse"], ["straße"]),
        # Scripts without spaces, and from right to left.
        ("我愛電影", ["我", "愛", "電", "影"], ["我", "愛", "電", "影"]),
        ("がぎ", ["か", "##き"], ["が", "ぎ"]),
        ("한국어", ["한", "##국어"], ["한", "국어"]),
        ("שלום עולם", ["שלו", "##ם", "עולם"], ["שלו", "ם", "עולם"]),
        ("هٰذا فيلم", ["هذا", "فيلم"], ["هٰذا", "فيلم"]),
        ("हिन्दी", ["हि", "##न्दी"], ["हि", "न्दी"]),
        ("ไทยดี", ["ไทย", "##ดี"], ["ไทย", "ดี"]),
        # SentencePiece: a mark for the start of a text alone stands for nothing.
        ("a  good film", ["▁a", "▁good", "▁film"], ["a", "  good", " film"]),
        ("電影", ["▁", "電影"], ["", "電影"]),
        ("a\t\nb", ["▁a", "▁b"], ["a", "\t\nb"]),
        ("the\u200bfilm", ["the", "film"], ["the", "film"]),
        ("so \u00adgood", ["so", "good"], ["so", "good"]),
        # Bytes, where the vocabulary lacks a character.
        ("a 😀", ["▁a", "▁", "<0xF0>", "<0x9F>", "<0x98>", "<0x80>"], ["a", " ", *["😀"] * 4]),
        # Ends of words are marked by others.
        ("lowest film", ["low", "est</w>", "film</w>"], ["low", "est ", "film"]),
        ("lowest film", ["low@@", "est", "film"], ["low", "est", "film"]),
        # Unknown words.
        ("xa a y", [None, "a", None], ["xa", "a", "y"]),
        ("ab. cd", [None, None, "cd"], ["ab", ".", "cd"]),
        ("日本 film", [None, None, "film"], ["日", "本", "film"]),
        ("a 日本 film", ["▁a", "▁", None, "▁film"], ["a", " ", "日本", " film"]),
        ("xx yy zz", [None, None, None], ["xx", "yy", "zz"]),
        # Changed by the tokenizer in a way that nobody can know.
        ("a ''quoted'' b", ["a", '"', "quoted", '"', "b"], ["a", "'", "quoted", "'", "b"]),
        # Cut off.
        ("a good film", ["a", "good"], ["a", "good"]),
    ],
)
def test_each_token_has_its_characters(text, tokens, right):
    found, _ = slices(text, tokens)
    assert found == right


ODD = [
    "loved it 😀 so much",
    "family 👨\u200d👩\u200d👧 time",
    "flag 🇯🇵🇫🇷",
    "skin 👍🏽 tone",
    "heart ❤\ufe0f",
    "日本語の映画",
    "مرحبا بالعالم",
    "a\u0300\u0301 e\u0301",
    "tabs\t\tand\nnew  lines ",
    "İstanbul ﬁne",
    "zero\u200bwidth",
]


@pytest.mark.parametrize("text", ODD)
def test_byte_level_pieces_have_the_characters_that_their_bytes_are_of(text):
    """As the fast tokenizer says; where that says nothing, a space."""
    tokenizer = byte_level_tokenizer()
    encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    tokens = tokenizer.convert_ids_to_tokens(encoded["input_ids"])
    spans, cost = aligned([text], tokens, "bytes")
    assert cost == 0
    for span, (start, end) in zip(spans, encoded["offset_mapping"]):
        if start < end:
            assert text[span.start : span.end].strip() == text[start:end].strip()
        else:
            assert text[span.start : span.end].isspace() or span.start == span.end
    shown = "".join(
        text[a.end : b.start] + text[max(a.end, b.start) : b.end] for a, b in zip(spans, spans[1:])
    )
    assert text[: spans[0].end] + shown == text


@pytest.mark.parametrize("text", ODD)
def test_characters_one_by_one(text):
    tokens = [character for character in text if not character.isspace()]
    assert slices(text, tokens, "words") == (tokens, 0)


def test_a_pair_of_texts():
    spans, cost = aligned(["the film", "a film"], ["the", "film", "a", "film"], "words")
    assert spans == [(0, 0, 3), (0, 4, 8), (1, 0, 1), (1, 2, 6)] and cost == 0


def test_other_texts_fit_badly():
    tokens = ["a", "good", "film"]
    assert aligned(["nothing of the kind"], tokens, "words", limit=15)[1] > 10
    assert aligned(["a good film"], tokens, "words")[1] == 0
    assert aligned(["a good film and more"], tokens, "words")[1] == 7


def test_a_long_text_with_unknown_words():
    words = [f"word{i}" if i % 7 else f"ünknöwn{i}" for i in range(500)]
    tokens = [word if word.startswith("word") else None for word in words]
    found, _ = slices(" ".join(words), tokens, "words")
    assert found == words


@pytest.mark.parametrize(
    "text, tokens, wanted",
    [
        ("it isn't so-so, OK_2!", ["it", "isn't", "so", "-", "so", ",", "OK_2", "!"], None),
        # A token of two words makes them one; white space is of the word behind it, or of the last.
        ("New York ok ", ["New York", " ", "ok", " "], [0, 1, 1, 1]),
        ("un#do", ["un#", "do"], [0, 1]),
        ("cannot", ["can", "not"], [0, 0]),
        # A vowel of its own letter, scripts without spaces, an accent of its own.
        ("किताब है", ["कि", "ताब", " है"], [0, 0, 1]),
        ("我喜欢这", ["我", "喜", "欢", "这"], None),
        ("cafe\u0301 a", ["cafe", "\u0301", "a"], [0, 0, 1]),
        ("’tis", ["’", "tis"], [0, 1]),
        ("  ", ["  "], [0]),
    ],
)
def test_words(text, tokens, wanted):
    spans, place = [None], 0
    for token in tokens:
        start = text.index(token, place)
        place = start + len(token)
        spans.append(Span(0, start, place))
    assert words_of([text], [*spans, None]) == [None, *(wanted or range(len(tokens))), None]


def test_words_of_pairs():
    """Texts, and special tokens between them, are bounds of words."""
    spans = [Span(0, 0, 2), Span(0, 2, 4), Span(1, 0, 2), None, Span(1, 2, 4)]
    assert words_of(["abcd", "abcd"], spans) == [0, 0, 1, None, 2]
