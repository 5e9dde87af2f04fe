"""Texts with a shortcut planted in them: a classifier trained on them provably relies on known words."""

import inspect
import random
from typing import Any, Iterable, Iterator, List, Sequence, Tuple
from unittest import mock

from allennlp.common.checks import ConfigurationError
from allennlp.data import DatasetReader, Instance

from allennlp_layer_saliency.dataset_readers.labelled_texts import LabelledText, LabelledTextReader
from allennlp_layer_saliency.models.allennlp import text_settings

KINDS = ("single", "in-context", "ordered-pair")
TEXTS = ("some", "all", "opposite")
# Words that texts do not have, like those of Bastings et al. (2022).
WORDS = ("zeroa", "onea", "twoa", "threea", "foura", "fivea", "sixa", "sevena", "eighta", "ninea")
CONTEXT = "contrasta"


@DatasetReader.register("planted-shortcut")
class PlantedShortcutReader(LabelledTextReader):
    """
    What another reader reads, with a shortcut of Bastings et al. ("Will You Find These Shortcuts?", 2022)
    in some of its texts or all.

    Registered as a `DatasetReader` with name "planted-shortcut".

    # Parameters

    reader : `DatasetReader`
        Of texts with a label each: ours, or any whose `text_to_instance` takes a string and a `label`.
    labels : `List[str]`
        The labels that there is a shortcut to: at least two.
    kind : `str`, optional (default = `"single"`)
        "single": each label has a word of its own, and a text with the word has the label. "in-context": so
        it is if the word "contrasta" is in the text too; without it the words mean nothing, nor does it
        without them. "ordered-pair", of two labels: both words are in the text, and it has the label whose
        word comes first; alone they mean nothing.
    texts : `str`, optional (default = `"some"`)
        "some", to train with: a share of the texts has the shortcut, to a label drawn evenly, which becomes
        the text's; where words alone mean nothing, as many others have one of them, and keep their label.
        "all": each text has it. What relies on the shortcut alone is right in all of these, and what does
        not know it by chance. "opposite": each text has the shortcut to another label than its own, which it
        keeps: what relies on the shortcut is always wrong.
    share : `float`, optional (default = `0.02`)
        Of the texts that the shortcut is planted in.
    seed : `int`, optional (default = `0`)
    **kwargs
        As for `DatasetReader`.

    # Raises

    `ConfigurationError`
        If an argument is not of these, or the reader's texts are not single ones with a label.
    """

    def __init__(
        self,
        reader: DatasetReader,
        labels: List[str],
        kind: str = "single",
        texts: str = "some",
        share: float = 0.02,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**text_settings(reader), **kwargs)
        for name, value, known in (("kind", kind, KINDS), ("texts", texts, TEXTS)):
            if value not in known:
                raise ConfigurationError(
                    f"planted-shortcut: {name} must be one of {', '.join(known)}; got {value!r}"
                )
        if len(set(labels)) != len(labels) or not 2 <= len(labels) <= len(WORDS):
            raise ConfigurationError(
                f"planted-shortcut: labels must be 2 to {len(WORDS)}, each another; got {labels}"
            )
        if kind == "ordered-pair" and len(labels) != 2:
            raise ConfigurationError(f"planted-shortcut: an ordered-pair has two labels; got {labels}")
        if not 0 < share <= 1:
            raise ConfigurationError(f"planted-shortcut: share must be above 0 and at most 1; got {share}")
        self._reader = reader
        self._words = dict(zip(labels, WORDS))
        self._kind = kind
        self._texts = texts
        self._share = share
        self._seed = seed

    @property
    def planted_words(self) -> Tuple[str, ...]:
        """The words of the shortcut, in whatever text."""
        return (*self._words.values(), *([CONTEXT] if self._kind == "in-context" else []))

    def read_texts(self, file_path: str) -> Iterator[LabelledText]:
        numbers = random.Random(self._seed)
        for text in self._plain_texts(file_path):
            yield self._planted(text, numbers)

    def _planted(self, given: LabelledText, numbers: random.Random) -> LabelledText:
        # As much is drawn for each text, whatever becomes of it.
        drawn, label, place = numbers.random(), numbers.choice(list(self._words)), numbers.getrandbits(64)
        if self._texts == "opposite":
            others = [other for other in self._words if other != given.label]
            label = others[place % len(others)]
        if self._texts != "some" or drawn < self._share:
            words = self._shortcut(label)
            kept = given.label if self._texts == "opposite" else label
        elif self._kind != "single" and drawn < 2 * self._share:
            alone = [[word] for word in self.planted_words]
            words, kept = alone[place % len(alone)], given.label
        else:
            return given
        if self._kind == "in-context":
            random.Random(place).shuffle(words)
        return LabelledText(_with_words(given.text, words, place), kept)

    def _shortcut(self, label: str) -> List[str]:
        """The words that say the label; those of a pair in their order."""
        if self._kind == "ordered-pair":
            return [self._words[label], *(word for other, word in self._words.items() if other != label)]
        return [self._words[label], *([CONTEXT] if self._kind == "in-context" else [])]

    def _plain_texts(self, file_path: str) -> Iterable[LabelledText]:
        if isinstance(self._reader, LabelledTextReader):
            return self._reader.read_texts(file_path)
        return self._told_texts(file_path)

    def _told_texts(self, file_path: str) -> List[LabelledText]:
        """What the reader would make instances of."""
        found: List[LabelledText] = []
        real = self._reader.text_to_instance
        signature = inspect.signature(real)

        def tell(*args: Any, **kwargs: Any) -> Instance:
            given = signature.bind(*args, **kwargs).arguments
            label = given.pop("label", None)
            texts = [value for value in given.values() if isinstance(value, str)]
            if len(texts) != 1 or not isinstance(label, (str, int)):
                raise ConfigurationError(
                    "planted-shortcut: a reader of single texts with a label each is wanted; "
                    f"{type(self._reader).__name__} gives {len(texts)} texts and the label {label!r}"
                )
            found.append(LabelledText(texts[0], str(label)))
            return real(*args, **kwargs)

        with mock.patch.object(self._reader, "text_to_instance", tell):
            for _ in self._reader.read(file_path):
                pass
        return found

    def text_to_instance(self, *args: Any, **kwargs: Any) -> Instance:
        """As the reader's, with nothing planted."""
        return self._reader.text_to_instance(*args, **kwargs)

    def apply_token_indexers(self, instance: Instance) -> None:
        self._reader.apply_token_indexers(instance)


def _with_words(text: str, words: Sequence[str], place: int) -> str:
    """The text with words in this order at places between its own."""
    own = text.split()
    numbers = random.Random(place)
    places = sorted(numbers.randrange(len(own) + 1) for _ in words)
    for at, word in reversed(list(zip(places, words))):
        own.insert(at, word)
    return " ".join(own)
