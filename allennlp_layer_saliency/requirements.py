"""Versions with which AllenNLP 2.10.1 is known to fail, refused before it is imported.

Installation as documented avoids them; what is installed later may bring them back.
"""

import logging
import re
import sys
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import Callable, Dict, NamedTuple, Optional, Tuple

import allennlp_compatibility

logger = logging.getLogger(__name__)

INSTALL = 'install again as the README\'s "Install" says'


class Bound(NamedTuple):
    """
    The first (major, minor) of a package's versions that does not work, and why.

    # Parameters

    below : `Tuple[int, int]`
    reason : `str`
    """

    below: Tuple[int, int]
    reason: str


# Of AllenNLP as it is, without `allennlp_compatibility`.
BOUNDS: Dict[str, Bound] = {
    "transformers": Bound((4, 44), "later ones refuse how AllenNLP loads tokenizers"),
    "huggingface-hub": Bound((1, 0), "later ones lack HfFolder, which AllenNLP imports"),
}
# The latest (major, minor) that all tests were run with; later ones are warned of.
TESTED: Dict[str, Tuple[int, int]] = {
    "transformers": (5, 24),
    "huggingface-hub": (1, 33),
    "torch": (2, 15),
    "numpy": (2, 5),
}
# The first versions of what AllenNLP runs on that are built for numpy 2.
KNOW_NUMPY_2 = {"torch": (2, 3), "spacy": (3, 8)}


def installed_version(package: str) -> Optional[str]:
    """The version of a package, as it is imported or else installed, or None."""
    imported = sys.modules.get(package.replace("-", "_"))
    if imported is not None and hasattr(imported, "__version__"):
        return imported.__version__
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def check_requirements(
    installed: Callable[[str], Optional[str]] = installed_version,
    importable: Callable[[str], bool] = lambda module: find_spec(module) is not None,
    mended: Optional[bool] = None,
) -> None:
    """
    Refuse versions that are known to fail, and warn of those that are later than any tested.

    # Parameters

    installed : `Callable[[str], Optional[str]]`
        From a package's name to its version, or None where it is not installed.
    importable : `Callable[[str], bool]`
        Whether there is a module of that name.
    mended : `bool`, optional
        Whether `allennlp_compatibility` is at work. Left out: as it is.

    # Raises

    `ImportError`
        With one line that names the package, the version found and the one wanted.
    """
    mended = allennlp_compatibility.is_installed() if mended is None else mended
    for package, bound in BOUNDS.items():
        found = installed(package)
        if not mended and found and _release(found) >= bound.below:
            major, minor = bound.below
            wanted = f"{package}<{major}.{minor}" if minor else f"{package}<{major}"
            raise _unsupported(package, found, wanted, bound.reason)
    if not importable("pkg_resources"):
        reason = "AllenNLP's models import pkg_resources"
        raise _unsupported("setuptools", installed("setuptools"), "setuptools<81", reason)
    numpy = installed("numpy")
    for package, first in KNOW_NUMPY_2.items():
        found = installed(package)
        if numpy and found and _release(numpy) >= (2, 0) and _release(found) < first:
            raise _unsupported("numpy", numpy, "numpy<2", f"{package} {found} is built for it")
    later = [
        f"{package} {found}"
        for package, latest in TESTED.items()
        for found in [installed(package)]
        if found and _release(found) > latest
    ]
    if later:
        logger.warning(
            "%s: later than any version this was tested with; compare a few scores with those of %s",
            ", ".join(later),
            ", ".join(f"{package} {major}.{minor}" for package, (major, minor) in TESTED.items()),
        )


def _unsupported(package: str, found: Optional[str], wanted: str, reason: str) -> ImportError:
    return ImportError(
        f"{package} {found or '(not installed)'} does not work with AllenNLP 2.10.1: {wanted} is wanted, "
        f"as {reason}; {INSTALL}"
    )


def _release(found: str) -> Tuple[int, int]:
    """Major and minor number."""
    major, minor, *_ = [int(number) for number in re.findall(r"\d+", found)] + [0, 0]
    return major, minor
