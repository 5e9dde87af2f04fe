"""Sums over explanations, word by word, that can be saved and added to each other."""

from collections import Counter
from typing import Any, Dict, FrozenSet, Iterator, List, NamedTuple, Optional, Tuple

from allennlp.common.util import JsonDict

from allennlp_layer_saliency.display import plain, token_names
from allennlp_layer_saliency.models.offsets import Span, grouped_by_word
from allennlp_layer_saliency.output_line import InstanceScores, OutputLine, TextScores

# How many texts are kept of each word: those in which its score is largest.
EXAMPLES = 3
# Characters of a text that are kept.
SHOWN = 300


class Example(NamedTuple):
    """A text in which a word's score is large: the score, the file and line, and the text's beginning."""

    score: float
    place: str
    text: str


class Sums:
    """
    Of a word's scores in the texts where it occurs, all its occurrences in a text being one score.

    # Attributes

    texts : `int`
    total, squares : `float`
        Of its scores.
    share : `float`
        Of its shares: |score| over the sum of it over the text's words.
    alone : `int`
        In how many texts that is at least one half.
    examples : `List[Example]`
    """

    __slots__ = ("alone", "examples", "share", "squares", "texts", "total")

    def __init__(
        self,
        texts: int = 0,
        total: float = 0.0,
        squares: float = 0.0,
        share: float = 0.0,
        alone: int = 0,
        examples: Tuple[Any, ...] = (),
    ) -> None:
        self.texts = texts
        self.total = total
        self.squares = squares
        self.share = share
        self.alone = alone
        self.examples = [Example(*example) for example in examples]

    def add(self, score: float, share: float, place: str, text: str) -> None:
        self.texts += 1
        self.total += score
        self.squares += score * score
        self.share += share
        self.alone += share >= 0.5
        if len(self.examples) < EXAMPLES or abs(score) > abs(self.examples[-1].score):
            self._keep([Example(score, place, text)])

    def merge(self, other: "Sums") -> None:
        self.texts += other.texts
        self.total += other.total
        self.squares += other.squares
        self.share += other.share
        self.alone += other.alone
        self._keep(other.examples)

    def saved(self) -> List[Any]:
        return [self.texts, self.total, self.squares, self.share, self.alone, self.examples]

    def _keep(self, examples: List[Example]) -> None:
        together = [*self.examples, *examples]
        self.examples = sorted(together, key=lambda each: (-abs(each.score), each.place))[:EXAMPLES]


# Layer (None where none is named), class or classes, word.
Key = Tuple[Any, ...]


class Tally:
    """
    What an interpreter's explanations add up to.

    # Parameters

    keep_case : `bool`, optional (default = `False`)
        Whether "Good" and "good" are two words.
    stop_words : `FrozenSet[str]`, optional
        Words that are left out, in the case that is counted.

    # Attributes

    texts, errors : `int`
        Explained texts, and lines without an explanation.
    words : `Dict[Key, Sums]`
        By layer, explained class, and word of the texts.
    unseen : `Dict[Key, Sums]`
        The same of decoded words that are not in the text.
    confusions : `Dict[Key, Sums]`
        By layer, gold label, other label that is predicted and explained, and word of the texts.
    labels : `Dict[str, Counter]`
        Of each word, in how many texts of each label it occurs: the gold label, or else the predicted one.
    label_counts : `Counter`
        Texts of each label.
    """

    def __init__(self, keep_case: bool = False, stop_words: FrozenSet[str] = frozenset()) -> None:
        self._keep_case = keep_case
        self._stop_words = stop_words
        self.texts = 0
        self.errors = 0
        self.words: Dict[Key, Sums] = {}
        self.unseen: Dict[Key, Sums] = {}
        self.confusions: Dict[Key, Sums] = {}
        self.labels: Dict[str, Counter] = {}
        self.label_counts: Counter = Counter()

    def add(self, line: OutputLine, place: str) -> None:
        """A line of output, and where it is."""
        if line.error is not None or not line.instances:
            self.errors += 1
            return
        self.texts += 1
        label = line.predicted if line.gold_label is None else line.gold_label
        seen: Dict[str, None] = {}
        for instance in line.instances.values():
            explained = str((instance.target or {}).get("label", line.predicted))
            wrong = line.gold_label is not None and line.gold_label != line.predicted == explained
            for entry in instance.layers:
                text = " | ".join(each for own in entry.texts for each in own.texts or [])[:SHOWN]
                scores = self._scores(entry)
                total = sum(map(abs, scores.values()))
                for word, score in scores.items():
                    given = (score, abs(score) / total if total else 0.0, place, text)
                    self._sums(self.words, entry.layer, explained, word).add(*given)
                    if wrong:
                        key = (entry.layer, line.gold_label, explained, word)
                        self._sums(self.confusions, *key).add(*given)
                seen.update(dict.fromkeys(scores))
                self._add_unseen(entry, explained, scores, place, text)
        if label is not None:
            self.label_counts[label] += 1
            for word in seen:
                self.labels.setdefault(word, Counter())[label] += 1

    def merge(self, other: "Tally") -> None:
        self.texts += other.texts
        self.errors += other.errors
        for own, others in (
            (self.words, other.words),
            (self.unseen, other.unseen),
            (self.confusions, other.confusions),
        ):
            for key, sums in others.items():
                self._sums(own, *key).merge(sums)
        for word, labels in other.labels.items():
            self.labels.setdefault(word, Counter()).update(labels)
        self.label_counts.update(other.label_counts)

    def saved(self) -> JsonDict:
        """For JSON; `loaded` makes the same of it."""
        return {
            "texts": self.texts,
            "errors": self.errors,
            **{
                name: [[*key, sums.saved()] for key, sums in getattr(self, name).items()]
                for name in ("words", "unseen", "confusions")
            },
            "labels": self.labels,
            "label_counts": self.label_counts,
        }

    @classmethod
    def loaded(cls, saved: JsonDict) -> "Tally":
        tally = cls()
        tally.texts, tally.errors = saved["texts"], saved["errors"]
        for name in ("words", "unseen", "confusions"):
            found = {tuple(key): Sums(*sums) for *key, sums in saved[name]}
            setattr(tally, name, found)
        tally.labels = {word: Counter(labels) for word, labels in saved["labels"].items()}
        tally.label_counts = Counter(saved["label_counts"])
        return tally

    def _scores(self, entry: InstanceScores) -> Dict[str, float]:
        """Each word's score in a text or pair."""
        found: Dict[str, float] = {}
        for text in entry.texts:
            for word, score in word_scores(text):
                known = self._word(word)
                if known is not None:
                    found[known] = found.get(known, 0.0) + score
        return found

    def _word(self, word: str) -> Optional[str]:
        word = word if self._keep_case else word.lower()
        return None if not word or word in self._stop_words else word

    def _add_unseen(
        self, entry: InstanceScores, explained: str, seen: Dict[str, float], place: str, text: str
    ) -> None:
        pieces = {plain(token).lower() for own in entry.texts for token in own.tokens}
        for item in entry.vocabulary:
            word = self._word(plain(item["token"]))
            if word is not None and word not in seen and word.lower() not in pieces:
                key = (entry.layer, explained, word)
                self._sums(self.unseen, *key).add(item["score"], 0.0, place, text)

    @staticmethod
    def _sums(table: Dict[Key, Sums], *key: Any) -> Sums:
        found = table.get(key)
        if found is None:
            found = table[key] = Sums()
        return found


def word_scores(text: TextScores) -> Iterator[Tuple[str, float]]:
    """
    The words of a text, as `offsets.words_of` finds them, each with its tokens' summed scores; where the
    explanation has no text, the tokens themselves. Special tokens are none.
    """
    if text.texts is None:
        for name, offsets, score in zip(token_names(text), text.offsets, text.scores):
            if offsets is not None:
                yield name, score
        return
    spans = [
        None if offsets is None or own is None else Span(own, offsets[0], offsets[1])
        for offsets, own in zip(text.offsets, text.segments)
    ]
    for span, own in grouped_by_word(text.texts, spans):
        yield text.texts[span.text][span.start : span.end].strip(), sum(text.scores[i] for i in own)
