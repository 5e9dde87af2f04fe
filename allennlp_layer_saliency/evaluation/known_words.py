"""Which words of an input are known to be the important ones."""

import re
from abc import ABC, abstractmethod
from typing import Any, Callable, Iterable, List, Mapping, NamedTuple, Optional

_WORD = re.compile(r"\S+")


class Word(NamedTuple):
    """
    A word of an input.

    # Parameters

    start, end : `int`
        Its characters in its text.
    salient : `bool`
    text : `int`, optional (default = `0`)
        Which of the input's texts it is of.
    """

    start: int
    end: int
    salient: bool
    text: int = 0


class KnownWords(ABC):
    """Knows of inputs which of their words are salient."""

    @abstractmethod
    def words(self, id: Any, texts: Mapping[str, str], predicted: str) -> Optional[List[Word]]:
        """
        # Parameters

        id : `Any`
            The input's own, or None.
        texts : `Mapping[str, str]`
            The input's by the names of their fields, in order: one, or those of a pair.
        predicted : `str`
            The class that is explained.

        # Returns

        `Optional[List[Word]]`
            The input's words in order; None if nothing is known of it.
        """


class PlantedWords(KnownWords):
    """Words that are salient wherever they stand alone, whatever their capitals."""

    def __init__(self, planted: Iterable[str]) -> None:
        self._planted = {word.lower() for word in planted}

    def words(self, id: Any, texts: Mapping[str, str], predicted: str) -> Optional[List[Word]]:
        return words_of(texts, lambda text, number, match: match.group().lower() in self._planted)


def words_of(texts: Mapping[str, str], salient: Callable[[int, int, "re.Match[str]"], bool]) -> List[Word]:
    """The texts' words by white space; `salient` is told the text, the word's number in it, and its match."""
    return [
        Word(*match.span(), salient(text, number, match), text)
        for text, content in enumerate(texts.values())
        for number, match in enumerate(_WORD.finditer(content))
    ]
