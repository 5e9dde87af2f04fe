"""The folder that a command writes its results to."""

import json
import os
from typing import Any, List, Optional

from allennlp.common.checks import ConfigurationError
from allennlp.common.util import JsonDict

from allennlp_layer_saliency.files import TEMPORARY, write_whole

# A run's folder of a folder for each interpreter, which is made before anything says what it is.
EXPLANATIONS = "explanations"


class ResultsFolder:
    """
    A folder that one process at a time writes results of one configuration to.

    # Parameters

    path : `str`
        Made if it does not exist.
    described : `str`
        The name of the JSON file in it that says what the results depend on.
    kind : `str`
        What the results are, for messages.

    # Raises

    `ConfigurationError`
        If another process is writing to the folder, or it is not for results.
    `OSError`
        If it can't be written to.
    """

    def __init__(self, path: str, described: str, kind: str) -> None:
        self.path = path
        self._described = self.file(described)
        self._kind = kind
        if os.path.exists(path) and not os.path.isdir(path):
            raise ConfigurationError(f"{path} is a file; a folder for the results is wanted")
        os.makedirs(path, exist_ok=True)
        self._check_own()
        self._lock = _locked(path)

    def _check_own(self) -> None:
        """Refuse a folder that holds anything but results: they would be mixed up."""
        if os.path.exists(self._described):
            return
        others = [
            name
            for name in sorted(os.listdir(self.path))
            # What a killed process, or the system, left is not somebody's.
            if not name.startswith(".") and not name.endswith(TEMPORARY) and name != EXPLANATIONS
        ]
        if others:
            raise ConfigurationError(
                f"{self.path} holds {', '.join(others[:3])}{' and more' if others[3:] else ''}, no results "
                "of allennlp saliency; choose a folder that is empty or does not exist"
            )

    def file(self, name: str) -> str:
        """The path of a file in the folder."""
        return os.path.join(self.path, name)

    def before(self) -> Optional[JsonDict]:
        """
        What earlier results depended on; None if there are none.

        # Raises

        `ConfigurationError`
            If the file that says so is not JSON.
        """
        content = read_json(self._described)
        if content is not None and not isinstance(content, dict):
            raise ConfigurationError(f"{self._described} is not of allennlp saliency")
        return content

    def check_same(self, before: JsonDict, known: JsonDict) -> None:
        """
        # Raises

        `ConfigurationError`
            If earlier results depended on anything else.
        """
        differing = _differing(before, known)
        if differing:
            raise ConfigurationError(
                f"{self.path} holds another {self._kind} (differing in {'; '.join(differing)}); choose "
                "another folder, or give --force to start over"
            )

    def describe(self, content: JsonDict) -> None:
        """Say what the results depend on."""
        write_json(self._described, content)

    def close(self) -> None:
        """Let others write to the folder."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def __enter__(self) -> "ResultsFolder":
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()


def read_json(path: str) -> Any:
    """
    What a JSON file holds; None if there is no such file.

    # Raises

    `ConfigurationError`
        If it is not JSON.
    """
    if not os.path.exists(path):
        return None
    with open(path, encoding="utf-8") as file:
        try:
            return json.load(file)
        except ValueError as error:
            raise ConfigurationError(f"{path} is not valid JSON: {error}") from error


def write_json(path: str, content: Any) -> None:
    """
    # Raises

    `OSError`
        If it can't be written; the old content stays.
    `ValueError`
        If a number is NaN or infinite.
    """
    write_whole(path, (json.dumps(content, indent=1, allow_nan=False) + "\n").encode())


def _locked(path: str) -> Optional[int]:
    """Hold the folder for this process; its end, however it comes, lets go."""
    try:
        import fcntl
    except ImportError:  # not a Unix
        return None
    folder = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(folder)
        raise ConfigurationError(f"{path}: another process is writing to this folder") from error
    except OSError:
        pass  # some network file systems know no locks
    return folder


def _differing(before: JsonDict, known: JsonDict) -> List[str]:
    """Each thing that differs, with both values where they are short."""
    found = []
    for key in known:
        a, b = before.get(key), known[key]
        if a == b:
            continue
        if isinstance(a, dict) and isinstance(b, dict):
            for inner in sorted({*a, *b}):
                if a.get(inner) != b.get(inner):
                    found.append(f"{key}: {inner}{_values(a.get(inner), b.get(inner))}")
        else:
            found.append(f"{key}{_values(a, b)}")
    return found


def _values(before: Any, now: Any) -> str:
    a, b = json.dumps(before), json.dumps(now)
    return f", {a} there, {b} now" if len(a) + len(b) <= 80 else ""
