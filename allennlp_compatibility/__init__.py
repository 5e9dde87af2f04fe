"""
Lets AllenNLP 2.10.1 run with later versions of transformers and huggingface-hub than it was written for.

`allennlp_compatibility.pth`, which is installed beside this package, imports this module at the start of each
Python of the environment. It does nothing until something imports `allennlp`; docs/compatibility.md says what
it does then. `ALLENNLP_COMPATIBILITY=off` in the environment switches it off.
"""

import os
import sys


class Hook:
    """Finds modules of AllenNLP for Python's import system, and has them mended where they need it."""

    # Annotated with what needs no import: each Python of the environment runs this.
    def __init__(self) -> None:
        # Names that the other finders are asked for, in whichever threads.
        self._finding: set = set()

    def find_spec(self, name: str, path: object = None, target: object = None) -> object:
        """As of `importlib.abc.MetaPathFinder`: None for what needs no mending."""
        if name in self._finding or not name.startswith("allennlp."):
            return None
        from allennlp_compatibility.mends import mended

        # The other finders find it.
        self._finding.add(name)
        try:
            return mended(name)
        finally:
            self._finding.discard(name)


def install() -> None:
    """Have AllenNLP mended when it is imported. Once is enough; what is imported before stays as it is."""
    if os.environ.get("ALLENNLP_COMPATIBILITY") != "off" and not is_installed():
        sys.meta_path.insert(0, Hook())  # type: ignore[arg-type]  # of no type that needs an import


def is_installed() -> bool:
    """Whether AllenNLP is mended when it is imported."""
    return any(isinstance(finder, Hook) for finder in sys.meta_path)


install()
