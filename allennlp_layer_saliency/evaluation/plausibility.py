"""Agreement of scores with what people call the important words."""

import re
from typing import Any, Dict, List, NamedTuple, Optional, Sequence

from allennlp.common import FromParams
from allennlp.common.checks import ConfigurationError
from sklearn.metrics import average_precision_score

from allennlp_layer_saliency.core.faithfulness import ranked
from allennlp_layer_saliency.files import check_is_file

METRICS = ("auprc", "token_f1", "iou")

_LEAF = re.compile(r"\(([0-4]) ([^()\s]+)\)")
_ESCAPES = (("-LRB-", "("), ("-RRB-", ")"), ("\\/", "/"), ("\\*", "*"))
# The human labels, 0 (very negative) to 4 (very positive), that count as salient for a class.
_SALIENT = {"positive": (3, 4), "negative": (0, 1)}
_NAMES = {"positive": "positive", "1": "positive", "negative": "negative", "0": "negative"}


class Word(NamedTuple):
    """A word of a text: its span in characters, and the label that people gave it."""

    start: int
    end: int
    label: int


class Rationales(FromParams):
    """
    Human labels of words.

    # Parameters

    path : `str`
    format : `str`, optional (default = `"sst_trees"`)
        The Stanford Sentiment Treebank's: a tree in brackets on each line, a label from 0 to 4 on each of
        its words and phrases. Texts are found in it whatever their capitals and white space.
    """

    def __init__(self, path: str, format: str = "sst_trees") -> None:
        if format != "sst_trees":
            raise ConfigurationError(f'rationales: format must be "sst_trees"; got {format!r}')
        check_is_file(path, "rationales")
        self.path = path
        self._trees: Dict[str, List[Any]] = {}
        with open(path, encoding="utf-8") as lines:
            for number, line in enumerate(lines, start=1):
                leaves = _LEAF.findall(line)
                if line.strip() and not leaves:
                    raise ConfigurationError(
                        f"{path}, line {number}: a tree is wanted, such as (3 (2 a) (4 joy))"
                    )
                words = [(_plain(_unescaped(word)), int(label)) for label, word in leaves]
                self._trees["".join(word for word, _ in words)] = words

    def words(self, text: str) -> Optional[List[Word]]:
        """The text's words with their labels; None if no tree is known for it."""
        # Each letter of the key, and where it comes from: some are two in lower case.
        letters = [(small, i) for i, letter in enumerate(text) for small in _plain(letter)]
        key = "".join(small for small, _ in letters)
        if key not in self._trees:
            return None
        places = [i for _, i in letters]
        words, start = [], 0
        for word, label in self._trees[key]:
            end = start + len(word)
            words.append(Word(places[start], places[end - 1] + 1, label))
            start = end
        return words


def salient(words: Sequence[Word], label: str) -> List[bool]:
    """
    Which words people find salient for a class: for "positive" (or "1") those labelled 3 or 4, for
    "negative" (or "0") those labelled 0 or 1.

    # Raises

    `ConfigurationError`
        If the class is another.
    """
    if label not in _NAMES:
        raise ConfigurationError(
            f"rationales: the trees know {' and '.join(_SALIENT)}; the model predicts {label!r}"
        )
    return [word.label in _SALIENT[_NAMES[label]] for word in words]


def word_scores(
    words: Sequence[Word], scores: Sequence[float], offsets: Sequence[Optional[Sequence[int]]]
) -> List[Optional[float]]:
    """
    A word's score is the largest of its tokens', of which the scores and the character spans are given;
    None where no token is within the word.
    """
    found: List[Optional[float]] = []
    for word in words:
        own = [
            score
            for score, span in zip(scores, offsets)
            if span is not None and span[0] < word.end and span[1] > word.start
        ]
        found.append(max(own) if own else None)
    return found


def measure(scores: Sequence[float], human: Sequence[bool]) -> Dict[str, float]:
    """
    # Parameters

    scores : `Sequence[float]`
        Of words.
    human : `Sequence[bool]`
        Whether people call them salient; at least one must be.

    # Returns

    `Dict[str, float]`
        auprc: area under the curve of precision over recall, as average precision. token_f1 and iou
        (intersection over union): of the k words with the highest scores, k the number of salient words;
        ties by position.
    """
    wanted = {i for i, of_word in enumerate(human) if of_word}
    top = set(ranked(scores, range(len(scores)))[: len(wanted)])
    both = len(top & wanted)
    return {
        "auprc": float(average_precision_score(human, scores)),
        # Both sets are of the same size, so that precision, recall and F1 are one.
        "token_f1": both / len(wanted),
        "iou": both / len(top | wanted),
    }


def _unescaped(word: str) -> str:
    for escaped, plain in _ESCAPES:
        word = word.replace(escaped, plain)
    return word


def _plain(word: str) -> str:
    # Letter by letter: what a letter becomes may depend on those beside it.
    return "".join("".join(letter.lower().split()) for letter in word)
