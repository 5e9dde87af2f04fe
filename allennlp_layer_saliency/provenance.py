"""What results depend on, and so what their files say of where they come from."""

import hashlib
import os
import platform
from typing import Any, Dict

import allennlp.version
import torch
import transformers
from allennlp.common.checks import ConfigurationError
from allennlp.common.file_utils import cached_path
from allennlp.common.util import JsonDict

from allennlp_layer_saliency.version import VERSION

# Keys of configurations whose values name files and folders.
_PATHS = ("archive_file", "coherence", "model_name", "path")


def files_of(settings: Any, key: str = "") -> Dict[str, str]:
    """
    The SHA-256 of each file and folder that a configuration names, by its path. Names that are no paths here,
    such as a model's on the hub, are left out.
    """
    found: Dict[str, str] = {}
    if isinstance(settings, dict):
        for name, value in settings.items():
            found.update(files_of(value, name))
    elif isinstance(settings, list):
        for value in settings:
            found.update(files_of(value, key))
    elif isinstance(settings, str):
        if os.path.isfile(settings) and (key in _PATHS or settings.endswith((".json", ".jsonnet"))):
            found[settings] = sha256(settings)
        elif os.path.isdir(settings) and key in _PATHS:
            found[settings] = _sha256_of_folder(settings)
    return found


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
    return {
        "model": {
            "archive_file": archive_file,
            "sha256": sha256(path) if os.path.isfile(path) else _sha256_of_folder(path),
        },
        "config": config,
        "files": files_of({k: v for k, v in config.items() if k != "archive_file"}),
        "seed": seed,
        "versions": {
            "allennlp_layer_saliency": VERSION,
            "allennlp": allennlp.version.VERSION,
            "transformers": transformers.__version__,
            "torch": torch.__version__,
            "python": platform.python_version(),
        },
    }


def sha256(path: str) -> str:
    """Of a file's content, in hexadecimal digits."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(2**20), b""):
            digest.update(block)
    return digest.hexdigest()


def _sha256_of_folder(folder: str) -> str:
    """Of its files' names and contents."""
    digest = hashlib.sha256()
    for place, folders, files in os.walk(folder):
        folders.sort()
        for name in sorted(files):
            path = os.path.join(place, name)
            line = f"{os.path.relpath(path, folder)} {sha256(path)}\n"
            digest.update(line.encode("utf-8", "surrogateescape"))
    return digest.hexdigest()
