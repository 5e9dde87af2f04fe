"""The folder of a run: explanations in shards, and what says which there are."""

import json
import os
import re
from itertools import chain
from typing import Any, Dict, Iterator, List, Optional, Sequence

from allennlp.common.checks import ConfigurationError
from allennlp.common.util import JsonDict

from allennlp_layer_saliency.files import TEMPORARY, pyarrow_parquet, write_whole
from allennlp_layer_saliency.results_folder import EXPLANATIONS, ResultsFolder, read_json
from allennlp_layer_saliency.runs.explainer import Output, Outputs, Shard

FORMATS = ("jsonl", "parquet")
MANIFEST = "manifest.json"
# The shards of an unfinished run, one line each: to add one costs the same however many there are.
PROGRESS = "progress.jsonl"


class RunFolder:
    """
    `manifest.json`, and `explanations/NAME/000000.jsonl` (or .parquet) for each interpreter and shard.

    A shard's files are written whole, then the shard counts. A finished run's folder has the same bytes
    whatever interrupted it. One process at a time may write to it.

    # Parameters

    path : `str`
    names : `Sequence[str]`
        The interpreters'.
    format : `str`
        Of `FORMATS`.
    known : `JsonDict`
        What the explanations depend on. A folder with those of anything else is refused.
    force : `bool`
        Whether to start over, whatever the folder holds.

    # Raises

    `ConfigurationError`
    `OSError`
        If the folder can't be written to.
    """

    def __init__(
        self, path: str, names: Sequence[str], format: str, known: JsonDict, force: bool = False
    ) -> None:
        self._path = path
        self._names = names
        self._format = format
        self._known = {"run": 1, **known, "format": format}
        self._progress = os.path.join(path, PROGRESS)
        self.finished = False
        self._done: Dict[int, JsonDict] = {}
        self._folder = ResultsFolder(path, MANIFEST, "run")
        try:
            self._open(force)
        except BaseException:
            self.close()
            raise

    def _open(self, force: bool) -> None:
        before = _manifest_of(self._path)  # of anything else it is refused, force or not
        if before is not None and "shards" not in before and not self._read_progress():
            before = None  # a configuration that came to nothing, and may be mended
        if force:
            before = None
        if before is not None:
            self._folder.check_same(before, self._known)
        self._clear(everything=before is None)
        for name in self._names:
            os.makedirs(self._of(name), exist_ok=True)
        if before is None:
            self._folder.describe(self._known)
            return
        for entry in before["shards"] if "shards" in before else self._read_progress():
            if all(os.path.isfile(self._file(name, entry["shard"])) for name in self._names):
                self._done[entry["shard"]] = entry
        self.finished = "shards" in before and len(self._done) == len(before["shards"])

    def close(self) -> None:
        """Let others write to the folder."""
        self._folder.close()

    def __enter__(self) -> "RunFolder":
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def __contains__(self, shard: int) -> bool:
        return shard in self._done

    def add(self, shard: Shard, outputs: Outputs) -> None:
        """Write a shard's files, after which it is in the folder."""
        for name in self._names:
            lines = outputs[name]
            content = (
                "".join(output.line for output in lines).encode()
                if self._format == "jsonl"
                else _parquet([item.place for item in shard.inputs], lines)
            )
            write_whole(self._file(name, shard.number), content)
        entry = {
            "shard": shard.number,
            "first": shard.inputs[0].number,
            "texts": len(shard.inputs),
            "errors": {n: sum(output.is_error for output in outputs[n]) for n in self._names},
        }
        with open(self._progress, "a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")
            file.flush()
            os.fsync(file.fileno())
        self._done[shard.number] = entry

    def finish(self) -> None:
        """Say in the manifest that nothing is missing."""
        shards = [self._done[number] for number in sorted(self._done)]
        whole = {**self._known, "texts": self.texts, "errors": self.errors, "shards": shards}
        self._folder.describe(whole)
        if os.path.exists(self._progress):
            os.remove(self._progress)

    @property
    def texts(self) -> int:
        return sum(entry["texts"] for entry in self._done.values())

    @property
    def errors(self) -> Dict[str, int]:
        """By interpreter."""
        return {n: sum(e["errors"][n] for e in self._done.values()) for n in self._names}

    @property
    def shards(self) -> int:
        return len(self._done)

    def _of(self, name: str) -> str:
        return os.path.join(self._path, EXPLANATIONS, name)

    def _file(self, name: str, shard: int) -> str:
        return os.path.join(self._of(name), f"{shard:06}.{self._format}")

    def _read_progress(self) -> List[JsonDict]:
        """The shards that are done; a line that a fault cut off is taken away."""
        if not os.path.exists(self._progress):
            return []
        found: List[JsonDict] = []
        end = 0
        with open(self._progress, "rb+") as file:
            for line in file:
                try:
                    if not line.endswith(b"\n"):
                        break
                    found.append(json.loads(line))
                except ValueError:
                    break
                end += len(line)
            file.truncate(end)
        return found

    def _clear(self, everything: bool) -> None:
        """Remove what killed processes left or, of our own files only, everything."""
        folder = os.path.join(self._path, EXPLANATIONS)
        ours = r"\d{6,}\.(jsonl|parquet)"
        if everything and os.path.exists(self._progress):
            os.remove(self._progress)
        for place, _, files in os.walk(folder):
            for file in files:
                if re.fullmatch(ours + re.escape(TEMPORARY), file) or (
                    everything and re.fullmatch(ours, file)
                ):
                    os.remove(os.path.join(place, file))


def read_run(path: str) -> Dict[str, Iterator[JsonDict]]:
    """
    # Parameters

    path : `str`
        A folder that `allennlp saliency run` wrote, finished or not.

    # Returns

    `Dict[str, Iterator[JsonDict]]`
        For each interpreter the explanations and error records of the shards that are there, in the
        inputs' order.

    # Raises

    `ConfigurationError`
        If it is not such a folder.
    """
    return {name: chain.from_iterable(map(read_shard, shards)) for name, shards in shards_of(path).items()}


def shards_of(path: str) -> Dict[str, List[str]]:
    """
    For each interpreter the files of the shards that are there, in the inputs' order.

    # Raises

    `ConfigurationError`
        If the path is not a folder that `allennlp saliency run` wrote.
    """
    manifest = _manifest_of(path)
    if manifest is None:
        raise ConfigurationError(f"{path} has no {MANIFEST}; make it with allennlp saliency run")
    found = {}
    for name in manifest["config"]["interpreters"]:
        folder = os.path.join(path, EXPLANATIONS, name)
        files = os.listdir(folder) if os.path.isdir(folder) else []
        files = [file for file in files if re.fullmatch(rf"\d{{6,}}\.{manifest['format']}", file)]
        in_order = sorted(files, key=lambda file: int(file.split(".")[0]))
        found[name] = [os.path.join(folder, file) for file in in_order]
    return found


def read_shard(path: str) -> Iterator[JsonDict]:
    """The explanations and error records of one file."""
    if path.endswith(".parquet"):
        for line in pyarrow_parquet().read_table(path)["explanation"].to_pylist():
            yield json.loads(line)
    else:
        with open(path, encoding="utf-8") as lines:
            yield from map(json.loads, lines)


def _parquet(numbers: List[int], outputs: List[Output]) -> bytes:
    """A row for each input: what one filters by in columns of its own, and the line as it is."""
    parquet = pyarrow_parquet()
    import pyarrow

    lines = [json.loads(output.line) for output in outputs]
    columns = {
        "line": pyarrow.array(numbers, pyarrow.int64()),
        **{
            name: pyarrow.array(
                [None if line.get(name) is None else _text(line[name]) for line in lines],
                pyarrow.string(),
            )
            for name in ("id", "label", "gold_label", "error")
        },
        "explanation": pyarrow.array([output.line.rstrip("\n") for output in outputs]),
    }
    sink = pyarrow.BufferOutputStream()
    parquet.write_table(pyarrow.table(columns), sink, compression="zstd")
    return sink.getvalue().to_pybytes()


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _manifest_of(path: str) -> Optional[JsonDict]:
    manifest = os.path.join(path, MANIFEST)
    content = read_json(manifest)
    if content is not None and not (isinstance(content, dict) and "run" in content):
        raise ConfigurationError(f"{manifest} is not of allennlp saliency run; choose another folder")
    return content
