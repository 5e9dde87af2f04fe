"""Files that are whole, or not there; and what reads Parquet."""

import os
from contextlib import suppress
from typing import Any, Optional

from allennlp.common import Params
from allennlp.common.checks import ConfigurationError

# Of a file that is being written. What a killed process left under such a name is worth nothing.
TEMPORARY = ".tmp"


def write_whole(path: str, content: bytes) -> None:
    """
    Write a file atomically: readers find the old content or the new one, even after a power cut.

    # Raises

    `OSError`
        If it can't be written; the old content stays, and nothing of the new one.
    """
    temporary = path + TEMPORARY
    try:
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            os.remove(temporary)
        raise
    # The rename itself lasts only once the folder is on the disk.
    folder = os.open(os.path.dirname(path) or ".", os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def check_is_file(path: str, setting: Optional[str] = None) -> None:
    """
    # Parameters

    path : `str`
    setting : `str`, optional
        What names the file in a configuration.

    # Raises

    `ConfigurationError`
        If there is no such file.
    """
    where = "" if setting is None else f"{setting}: "
    if os.path.isdir(path):
        raise ConfigurationError(f"{where}{path} is a folder; a file is wanted")
    if not os.path.isfile(path):
        raise ConfigurationError(f"{where}no file {path}")


def read_params(path: str, setting: Optional[str] = None) -> Params:
    """
    What a jsonnet or JSON file holds; the arguments are those of `check_is_file`.

    # Raises

    `ConfigurationError`
        If it is not valid.
    """
    try:
        return Params.from_file(path)
    except RuntimeError as error:
        where = "" if setting is None else f"{setting}: "
        problem = str(error).strip().splitlines()[0]
        raise ConfigurationError(f"{where}{path} is not valid: {problem}") from error


def pyarrow_parquet() -> Any:
    """
    # Raises

    `ConfigurationError`
        If pyarrow is not installed.
    """
    try:
        import pyarrow.parquet
    except ImportError as error:
        raise ConfigurationError(
            "Parquet needs pyarrow: pip install 'allennlp-layer-saliency[export]'"
        ) from error
    return pyarrow.parquet
