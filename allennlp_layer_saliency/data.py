"""What the commands' configurations say of data."""

import codecs
import csv
import json
import math
import os
import random
import sys
import zlib
from contextlib import contextmanager
from gzip import BadGzipFile
from itertools import islice
from typing import Any, Dict, Iterator, NamedTuple, Optional, Union

from allennlp.common import FromParams
from allennlp.common.checks import ConfigurationError
from allennlp.common.file_utils import open_compressed
from allennlp.common.util import JsonDict
from allennlp.data import DatasetReader, Instance
from allennlp.predictors import Predictor

from allennlp_layer_saliency.dataset_readers.labelled_texts import LabelledTextReader
from allennlp_layer_saliency.files import check_is_file, pyarrow_parquet
from allennlp_layer_saliency.models.allennlp import gold_label, instance_of, metadata_id
from allennlp_layer_saliency.provenance import sha256


class Line(dict):
    """
    An input line of `allennlp predict`.

    # Parameters

    number : `int`
        Of the line in its file, from 1; under `allennlp predict`, which leaves out blank lines, without
        these.
    error : `str`, optional
        Why the line could not be parsed.
    """

    def __init__(self, content: JsonDict, number: int, error: Optional[str] = None) -> None:
        super().__init__(content)
        self.number = number
        self.error = error


class Example(NamedTuple):
    """
    A text of a data set.

    # Parameters

    number : `int`
        As of its `Input`.
    id : `Any`
        The text's own, or None.
    instance : `Instance`, optional
        As the predictor's model reads it; None if it can't be read.
    fields : `Dict[str, str]`
        The file's strings by their names, where it holds such or a reader of ours read it.
    label : `Any`
        The gold label, or None: a name, a list of names, or a number.
    error : `str`, optional
        Why it can't be read.
    """

    number: int
    id: Any
    instance: Optional[Instance]
    fields: Dict[str, str] = {}
    label: Any = None
    error: Optional[str] = None


class Input(NamedTuple):
    """
    An input as its file holds it; another process can be given it.

    # Parameters

    number : `int`
        Counting the file's inputs from 1.
    content : `Union[bytes, JsonDict, Instance]`
        A line of JSON, as it stands; fields by name; or what a reader made of it.
    error : `str`, optional
        Why it could not be read; then there is no content.
    line : `int`, optional
        Where an editor finds it: its line, or its first one, in the file. None where the file has no lines.
    """

    number: int
    content: Union[bytes, JsonDict, Instance]
    error: Optional[str] = None
    line: Optional[int] = None

    @property
    def place(self) -> int:
        """Its line, or else its number."""
        return self.number if self.line is None else self.line

    def read(self) -> Union[Line, Instance]:
        """What a predictor takes. JSON that is not valid is a line with an error."""
        if isinstance(self.content, Instance):
            return self.content
        if isinstance(self.content, dict):
            return Line(self.content, self.place, self.error)
        try:
            return parsed(self.content.decode("utf-8"), self.place)
        except UnicodeDecodeError as error:
            return Line({}, self.place, f"not valid JSON: {error}")


class Data(FromParams):
    """
    A file of texts. Nothing is read before it is wanted.

    # Parameters

    path : `str`
        Without a reader: .csv and .tsv, with the fields' names in the first line (in .tsv quotes mean
        nothing), and .parquet have a row for each text; any other file holds JSON lines as `allennlp
        predict` takes them. But for Parquet, .gz may follow. A `label` is the gold label, an `id` the
        text's own.
    reader : `DatasetReader`, optional
    sample : `int`, optional
        How many texts to draw at random, kept in the file's order. The whole file is read first.
    """

    def __init__(
        self, path: str, reader: Optional[DatasetReader] = None, sample: Optional[int] = None
    ) -> None:
        if sample is not None and sample < 1:
            raise ConfigurationError(f"data: sample must be at least 1; got {sample}")
        self.path = path
        self.reader = reader
        self.sample = sample

    def examples(self, predictor: Predictor, seed: int = 0, limit: Optional[int] = None) -> Iterator[Example]:
        """
        The texts, or those that `sample` draws by the seed, up to a limit.

        # Raises

        `ConfigurationError`
            If the file does not exist or is not of the reader's form.
        """
        for item in self.inputs(seed, limit):
            yield _example(item, predictor)

    def inputs(self, seed: int = 0, limit: Optional[int] = None) -> Iterator[Input]:
        """As `examples`, not yet read by a model's predictor."""
        check_is_file(self.path, "data")
        inputs = self._inputs()
        if self.sample is not None:
            known = list(inputs)
            drawn = random.Random(seed).sample(range(len(known)), min(self.sample, len(known)))
            inputs = (known[i] for i in sorted(drawn))
        return islice(inputs, limit)

    def identity(self) -> JsonDict:
        """What tells the file from a changed one."""
        check_is_file(self.path, "data")
        return {"bytes": os.path.getsize(self.path), "sha256": sha256(self.path)}

    def estimate(self, limit: Optional[int] = None) -> Optional[int]:
        """About how many texts there are, as far as lines tell; None if nothing does."""
        check_is_file(self.path, "data")
        if self._ending() == ".parquet":
            count = _parquet(self.path).metadata.num_rows
        elif self.reader is None or isinstance(self.reader, LabelledTextReader):
            with self._damage_told(), open_compressed(self.path, "rb", encoding=None) as file:
                count = sum(block.count(b"\n") for block in iter(lambda: file.read(2**20), b""))
        elif limit is None and self.sample is None:
            return None
        else:
            count = sys.maxsize
        return min(n for n in (count, limit, self.sample) if n is not None)

    def _ending(self) -> str:
        """The name's ending that says how the file is read, without .gz."""
        if self.reader is not None:
            return ""
        name = self.path[: -len(".gz")] if self.path.endswith(".gz") else self.path
        return os.path.splitext(name)[1]

    def _inputs(self) -> Iterator[Input]:
        with self._damage_told():
            if isinstance(self.reader, LabelledTextReader):
                for number, (text, label) in enumerate(self.reader.read_texts(self.path), start=1):
                    # Of these the archive's own tokenizer and indexers make instances.
                    yield Input(number, {"sentence": text, "label": label})
            elif self.reader is not None:
                for number, instance in enumerate(self.reader.read(self.path), start=1):
                    yield Input(number, instance)
            elif self._ending() == ".parquet":
                yield from _parquet_rows(self.path)
            elif self._ending() == ".csv":
                yield from _table_rows(self.path, delimiter=",")
            elif self._ending() == ".tsv":
                yield from _table_rows(self.path, delimiter="\t", quoting=csv.QUOTE_NONE)
            else:
                _check_encoding(self.path)
                with open_compressed(self.path, "rb", encoding=None) as lines:
                    inputs = ((place, line) for place, line in enumerate(lines, start=1) if line.strip())
                    for number, (place, line) in enumerate(inputs, start=1):
                        yield Input(number, line, line=place)

    @contextmanager
    def _damage_told(self) -> Iterator[None]:
        try:
            yield
        except (EOFError, BadGzipFile, zlib.error) as error:
            raise ConfigurationError(f"data: {self.path} is damaged or cut off: {error}") from error


def _check_encoding(path: str) -> None:
    """
    # Raises

    `ConfigurationError`
        If the file says that it is UTF-16.
    """
    with open_compressed(path, "rb", encoding=None) as file:
        start = file.read(2)
    if start in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        raise ConfigurationError(
            f"data: {path} is UTF-16; UTF-8 is wanted: convert it, for example by `iconv -f UTF-16 -t UTF-8`"
        )


def _table_rows(path: str, **form: Any) -> Iterator[Input]:
    _check_encoding(path)
    # What is not UTF-8 is told of its row alone.
    with open_compressed(path, encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        rows = csv.reader(file, **form)
        header = next(rows, [])
        if not all(header) or len(set(header)) < len(header) or not header:
            raise ConfigurationError(
                f"data: {path}, line 1: the columns' names are wanted, each another; there is "
                f"{', '.join(map(repr, header)) or 'nothing'}"
            )
        number = 0
        while True:
            place = rows.line_num + 1
            try:
                row = next(rows)
                if not row:
                    continue
                number += 1
                if len(row) != len(header):
                    raise ValueError(f"{len(header)} columns are wanted; there are {len(row)}")
                "".join(row).encode("utf-8")
            except StopIteration:
                return
            except csv.Error as error:
                number += 1
                yield Input(number, {}, f"not a valid row: {error}", place)
            except UnicodeEncodeError:
                yield Input(number, {}, "not a valid row: it is not UTF-8", place)
            except ValueError as error:
                yield Input(number, {}, f"not a valid row: {error}", place)
            else:
                yield Input(number, dict(zip(header, row)), None, place)


def _parquet(path: str) -> Any:
    try:
        return pyarrow_parquet().ParquetFile(path)
    except ValueError as error:  # pyarrow's own errors of form are such
        raise ConfigurationError(f"data: {path} is not Parquet: {error}") from error


def _parquet_rows(path: str) -> Iterator[Input]:
    number = 0
    for batch in _parquet(path).iter_batches(batch_size=1024):
        for row in batch.to_pylist():
            number += 1
            # Missing values are missing, and so is what JSON can't hold.
            yield Input(number, {name: value for name, value in row.items() if _is_json(value)})


def _is_json(value: Any) -> bool:
    if value is None:
        return False
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        return False
    return True


def parsed(line: str, number: int) -> Line:
    """A line of JSON, whatever it holds."""
    # Some editors begin a file with a mark of its byte order.
    line = line.lstrip("\ufeff")
    try:
        content = json.loads(line, parse_constant=_refuse_constant, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        return Line({"unparsed": line.strip()}, number, f"not valid JSON: {error}")
    if not isinstance(content, dict):
        problem = f"a line must hold a JSON object; this one holds {type(content).__name__}"
        return Line({"unparsed": line.strip()}, number, problem)
    return Line(content, number)


def _finite(digits: str) -> float:
    """JSON sets no bound to a number; Python reads what is beyond its own as infinite."""
    number = float(digits)
    if math.isinf(number):
        raise ValueError(f"{digits} is beyond the largest number that can be held")
    return number


def _refuse_constant(name: str) -> None:
    """NaN and Infinity are not JSON, though Python reads them."""
    raise ValueError(f"{name} is not a JSON value")


def _example(item: Input, predictor: Predictor) -> Example:
    line = item.read()
    if isinstance(line, Instance):
        return Example(item.number, metadata_id(line), line, label=gold_label(line))
    if line.error:
        return Example(item.number, None, None, error=line.error)
    label = line.get("label")
    known: Dict[str, Any] = {
        "fields": {name: value for name, value in line.items() if isinstance(value, str)},
        "label": None if label is None else str(label),
    }
    try:
        instance = instance_of(predictor, line)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        message = f"{type(error).__name__}: {' '.join(str(error).split())}"
        return Example(item.number, line.get("id"), None, error=message, **known)
    return Example(item.number, line.get("id"), instance, **known)
