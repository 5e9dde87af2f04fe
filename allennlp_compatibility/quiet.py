"""
Keeps back what a user of `allennlp saliency` or `allennlp predict --predictor saliency` can't help: warnings
of AllenNLP's dependencies as they are imported, and what NLTK says of downloads that AllenNLP's models ask
for. Other commands are left as they are, and so is everything with `--verbose`.
"""

import functools
import io
import logging
import sys
import warnings
from contextlib import contextmanager, redirect_stderr
from types import ModuleType
from typing import Any, Iterator


def is_wanted() -> bool:
    """Whether the command that runs is one of ours."""
    command = sys.argv[1:]
    ours = command[:1] == ["saliency"] or (command[:1] == ["predict"] and "saliency" in command[1:])
    return ours and "--verbose" not in command


@contextmanager
def held_back() -> Iterator[None]:
    """Say nothing but errors while the block runs; if it fails, all that was held back."""
    said = io.StringIO()
    disabled = logging.root.manager.disable
    nltk: Any = sys.modules.get("nltk")
    download = getattr(nltk, "download", None)
    if download is not None:
        # It writes to the standard error that there was when NLTK was imported.
        nltk.download = functools.partial(download, quiet=True, print_error_to=said)
    try:
        with redirect_stderr(said), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            logging.disable(logging.INFO)
            yield
    except BaseException:
        sys.stderr.write(said.getvalue())
        raise
    finally:
        logging.disable(disabled)
        if download is not None:
            nltk.download = download


@contextmanager
def around_import(_: ModuleType) -> Iterator[None]:
    with held_back():
        yield


@contextmanager
def around_plugins(module: Any) -> Iterator[None]:
    """The plugins, AllenNLP's models among them, are imported by a function of the module."""
    yield
    own: Any = module.import_plugins

    @functools.wraps(own)
    def import_plugins() -> None:
        if not is_wanted():
            return own()
        with held_back():
            return own()

    module.import_plugins = import_plugins
