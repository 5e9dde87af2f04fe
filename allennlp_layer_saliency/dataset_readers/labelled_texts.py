"""Readers of SST-2 and AG News in the files' own forms."""

import csv
import logging
from typing import Any, Dict, Iterable, Iterator, List, NamedTuple, Optional

from allennlp.common.checks import ConfigurationError
from allennlp.common.file_utils import open_compressed
from allennlp.data import DatasetReader, Instance
from allennlp.data.dataset_readers import TextClassificationJsonReader
from allennlp.data.tokenizers import Tokenizer, WhitespaceTokenizer

from allennlp_layer_saliency.models.allennlp import with_texts

logger = logging.getLogger(__name__)


class LabelledText(NamedTuple):
    text: str
    label: Optional[str]


class LabelledTextReader(TextClassificationJsonReader):
    """
    What the two share: texts with a label each, turned into instances as `text_classification_json` does.

    # Parameters

    tokenizer : `Tokenizer`, optional (default = `WhitespaceTokenizer()`)
    **kwargs
        As for `TextClassificationJsonReader`.
    """

    def __init__(self, tokenizer: Optional[Tokenizer] = None, **kwargs: Any) -> None:
        super().__init__(tokenizer=tokenizer or WhitespaceTokenizer(), **kwargs)

    def read_texts(self, file_path: str) -> Iterator[LabelledText]:
        """
        The file's texts, in order.

        # Raises

        `ConfigurationError`
            If the file is not of the form; the message names file and line, and says what is wanted.
        """
        raise NotImplementedError

    def _read(self, file_path: str) -> Iterable[Instance]:
        texts = list(self.read_texts(file_path))
        if not texts:
            raise ConfigurationError(f"{file_path} holds no text")
        logger.info("%s: %s texts", file_path, f"{len(texts):,}")
        for text, label in self.shard_iterable(texts):
            instance = self.text_to_instance(text, label)  # type: ignore[arg-type]  # None: no label
            yield with_texts(self, instance, text)


@DatasetReader.register("sst2_tsv")
class Sst2Reader(LabelledTextReader):
    """
    SST-2 as in GLUE: tab-separated columns `sentence` and `label` (0, negative, or 1, positive), or
    `index` and `sentence`, without labels.

    Registered as a `DatasetReader` with name "sst2_tsv".
    """

    LABELS = {"0": "negative", "1": "positive"}

    def read_texts(self, file_path: str) -> Iterator[LabelledText]:
        lines = _lines(file_path)
        header = next(lines, "").split("\t")
        if header not in (["sentence", "label"], ["index", "sentence"]):
            raise ConfigurationError(
                f"{file_path}, line 1: the columns 'sentence' and 'label', or 'index' and 'sentence', are "
                f"wanted; there is {', '.join(map(repr, header))}"
            )
        for number, line in enumerate(lines, start=2):
            where = f"{file_path}, line {number}"
            columns = line.split("\t")
            if len(columns) != 2:
                raise ConfigurationError(f"{where}: 2 columns are wanted; there are {len(columns)}")
            row = dict(zip(header, columns))
            label = _label(where, row["label"], self.LABELS) if "label" in row else None
            yield LabelledText(_text(where, row["sentence"]), label)


@DatasetReader.register("ag_news_csv")
class AgNewsReader(LabelledTextReader):
    """
    AG News in its own form: quoted columns class (1 World, 2 Sports, 3 Business, 4 Sci/Tech), title and
    description, without a header. The text is title and description, with a space between.

    Registered as a `DatasetReader` with name "ag_news_csv".
    """

    LABELS = {"1": "World", "2": "Sports", "3": "Business", "4": "Sci/Tech"}

    def read_texts(self, file_path: str) -> Iterator[LabelledText]:
        for number, line in enumerate(_lines(file_path), start=1):
            where = f"{file_path}, line {number}"
            # No text of AG News goes over several lines; so an open quote swallows none.
            try:
                (columns,) = csv.reader([line], strict=True)
            except (csv.Error, ValueError) as error:
                raise ConfigurationError(
                    f'{where}: "class","title","description" is wanted; this line\'s quotes do not close '
                    f"({error})"
                ) from error
            if len(columns) != 3:
                raise ConfigurationError(
                    f"{where}: class, title and description are wanted; there are {len(columns)} columns"
                )
            label = _label(where, columns[0], self.LABELS)
            yield LabelledText(_text(where, " ".join(columns[1:])), label)


def _lines(file_path: str) -> Iterator[str]:
    # Not `splitlines`, for which characters inside a text end a line too.
    with open_compressed(file_path, newline="\n") as file:
        try:
            for line in file:
                yield line.rstrip("\r\n")
        except UnicodeDecodeError as error:
            raise ConfigurationError(f"{file_path} is not UTF-8: {error}") from error


def _label(where: str, label: str, labels: Dict[str, str]) -> str:
    if label not in labels:
        raise ConfigurationError(f"{where}: the label must be {_either(list(labels))}; got {label!r}")
    return labels[label]


def _either(names: List[str]) -> str:
    return f"{', '.join(names[:-1])} or {names[-1]}"


def _text(where: str, text: str) -> str:
    if not text.strip():
        raise ConfigurationError(f"{where}: the text is empty")
    return text.strip()
