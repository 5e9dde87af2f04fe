"""What the commands' configurations say of models and data."""

import hashlib
import json
import os
import platform
from typing import Any, Dict, Iterator, Optional

import allennlp.version
import torch
import transformers
from allennlp.common import FromParams
from allennlp.common.checks import ConfigurationError
from allennlp.common.file_utils import cached_path
from allennlp.common.util import JsonDict
from allennlp.data import DatasetReader, Instance
from allennlp.predictors import Predictor

from allennlp_layer_saliency.dataset_readers.labelled_texts import LabelledTextReader
from allennlp_layer_saliency.version import VERSION


class Data(FromParams):
    """
    A file of texts.

    # Parameters

    path : `str`
    reader : `DatasetReader`, optional
        Left out: the file holds JSON lines as `allennlp predict` takes them.
    """

    def __init__(self, path: str, reader: Optional[DatasetReader] = None) -> None:
        self.path = path
        self.reader = reader

    def instances(self, predictor: Predictor) -> Iterator[Instance]:
        """
        The texts as the predictor's model reads them.

        # Raises

        `ConfigurationError`
            If the file does not exist or is not of the reader's form.
        """
        if not os.path.isfile(self.path):
            raise ConfigurationError(f"data: no file {self.path}")
        if isinstance(self.reader, LabelledTextReader):
            # Of these the archive's own tokenizer and indexers make instances.
            for text, _ in self.reader.read_texts(self.path):
                yield predictor._json_to_instance({"sentence": text})
        elif self.reader is not None:
            yield from self.reader.read(self.path)
        else:
            yield from self._json_lines(predictor)

    def _json_lines(self, predictor: Predictor) -> Iterator[Instance]:
        with open(self.path, encoding="utf-8") as lines:
            for number, line in enumerate(lines, start=1):
                if not line.strip():
                    continue
                try:
                    yield predictor._json_to_instance(json.loads(line))
                except (KeyError, TypeError, ValueError) as error:
                    message = " ".join(str(error).split())
                    raise ConfigurationError(
                        f"{self.path}, line {number}: {type(error).__name__}: {message}"
                    ) from error


def provenance(archive_file: str, config: Dict[str, Any], seed: int) -> JsonDict:
    """What a results file says of where its numbers come from."""
    path = cached_path(archive_file)
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
