"""What the commands' configurations say of models and data."""

import hashlib
import json
import os
import platform
import random
from functools import partial
from itertools import islice
from typing import Any, Callable, Dict, Iterator, NamedTuple, Optional

import allennlp.version
import torch
import transformers
from allennlp.common import FromParams
from allennlp.common.checks import ConfigurationError
from allennlp.common.file_utils import cached_path
from allennlp.common.util import JsonDict
from allennlp.data import DatasetReader, Instance
from allennlp.predictors import Predictor

from allennlp_layer_saliency.allennlp_access import gold_label, metadata_id
from allennlp_layer_saliency.dataset_readers.labelled_texts import LabelledTextReader
from allennlp_layer_saliency.version import VERSION


class Example(NamedTuple):
    """
    A text of a data set.

    # Parameters

    number : `int`
        Counting the file's texts from 1.
    id : `Any`
        The text's own, or None.
    instance : `Instance`, optional
        As the predictor's model reads it; None if it can't be read.
    text : `str`, optional
        The text itself, where the file holds it as `sentence` or a reader of ours read it.
    label : `str`, optional
        The gold label.
    error : `str`, optional
        Why it can't be read.
    """

    number: int
    id: Any
    instance: Optional[Instance]
    text: Optional[str] = None
    label: Optional[str] = None
    error: Optional[str] = None


class Data(FromParams):
    """
    A file of texts.

    # Parameters

    path : `str`
    reader : `DatasetReader`, optional
        Left out: the file holds JSON lines as `allennlp predict` takes them; a `label` is the gold
        label, an `id` the text's own.
    sample : `int`, optional
        Only so many texts, drawn at random, in the file's order.
    """

    def __init__(
        self, path: str, reader: Optional[DatasetReader] = None, sample: Optional[int] = None
    ) -> None:
        if sample is not None and sample < 1:
            raise ConfigurationError(f"data: sample must be at least 1; got {sample}")
        self.path = path
        self.reader = reader
        self.sample = sample

    def examples(
        self, predictor: Predictor, seed: int = 0, limit: Optional[int] = None
    ) -> Iterator[Example]:
        """
        The texts, or those that `sample` draws by the seed, up to a limit.

        # Raises

        `ConfigurationError`
            If the file does not exist or is not of the reader's form.
        """
        if not os.path.isfile(self.path):
            raise ConfigurationError(f"data: no file {self.path}")
        if isinstance(self.reader, LabelledTextReader):
            texts: Iterator[Callable[[], Example]] = self._labelled(self.reader, predictor)
        elif self.reader is not None:
            texts = self._read(self.reader)
        else:
            texts = self._json_lines(predictor)
        if self.sample is not None:
            known = list(texts)
            drawn = random.Random(seed).sample(range(len(known)), min(self.sample, len(known)))
            texts = (known[i] for i in sorted(drawn))
        for example in islice(texts, limit):
            yield example()

    # Each of the following gives texts that become instances only when they are called.

    def _labelled(
        self, reader: LabelledTextReader, predictor: Predictor
    ) -> Iterator[Callable[[], Example]]:
        for number, (text, label) in enumerate(reader.read_texts(self.path), start=1):
            # Of these the archive's own tokenizer and indexers make instances.
            yield partial(_example, number, {"sentence": text, "label": label}, predictor)

    def _json_lines(self, predictor: Predictor) -> Iterator[Callable[[], Example]]:
        with open(self.path, "rb") as lines:
            for number, line in enumerate(filter(bytes.strip, lines), start=1):
                try:
                    content = json.loads(line.decode("utf-8"))
                    if not isinstance(content, dict):
                        raise ValueError(f"{type(content).__name__} in place of a JSON object")
                except ValueError as error:
                    yield partial(Example, number, None, None, error=f"not valid JSON: {error}")
                else:
                    yield partial(_example, number, content, predictor)

    def _read(self, reader: DatasetReader) -> Iterator[Callable[[], Example]]:
        for number, instance in enumerate(reader.read(self.path), start=1):
            yield partial(
                Example, number, metadata_id(instance), instance, label=gold_label(instance)
            )


def _example(number: int, line: JsonDict, predictor: Predictor) -> Example:
    text = line.get("sentence")
    label = line.get("label")
    known: Dict[str, Any] = {
        "text": text if isinstance(text, str) else None,
        "label": None if label is None else str(label),
    }
    try:
        instance = predictor._json_to_instance(line)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        message = f"{type(error).__name__}: {' '.join(str(error).split())}"
        return Example(number, line.get("id"), None, error=message, **known)
    return Example(number, line.get("id"), instance, **known)


def provenance(archive_file: str, config: Dict[str, Any], seed: int) -> JsonDict:
    """
    What a results file says of where its numbers come from.

    # Raises

    `ConfigurationError`
        If there is no such archive.
    """
    try:
        path = cached_path(archive_file)
    except FileNotFoundError as error:
        raise ConfigurationError(f"archive_file: no archive at {archive_file}") from error
    digest = hashlib.sha256()
    if os.path.isfile(path):
        with open(path, "rb") as file:
            for block in iter(lambda: file.read(2**20), b""):
                digest.update(block)
    return {
        "model": {
            "archive_file": archive_file,
            "sha256": digest.hexdigest() if os.path.isfile(path) else None,
        },
        "config": config,
        "seed": seed,
        "versions": {
            "allennlp_layer_saliency": VERSION,
            "allennlp": allennlp.version.VERSION,
            "transformers": transformers.__version__,
            "torch": torch.__version__,
            "python": platform.python_version(),
        },
    }
