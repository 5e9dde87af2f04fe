"""The README's table of tested versions: `python -m tests.compatibility` writes the running ones to it."""

import sys
from importlib.metadata import version
from typing import Dict, List

from tests.conftest import ROOT

README = ROOT / "README.md"
PACKAGES = ("torch", "transformers", "huggingface-hub", "numpy", "spacy", "captum")
COLUMN = 1 if sys.version_info < (3, 11) else 2


def running() -> Dict[str, str]:
    """Of Python and of each package, the version without a build's own label."""
    found = {package: version(package).split("+")[0] for package in PACKAGES}
    return {"Python": ".".join(map(str, sys.version_info[:3])), **found}


def rows(text: str) -> Dict[str, List[str]]:
    """The table's rows by their first cell."""
    split = ([cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines())
    return {cells[0]: cells for cells in split if cells[0] in running()}


if __name__ == "__main__":
    readme = README.read_text(encoding="utf-8")
    for name, cells in rows(readme).items():
        before = f"| {' | '.join(cells)} |"
        cells[COLUMN] = running()[name]
        readme = readme.replace(before, f"| {' | '.join(cells)} |")
    README.write_text(readme, encoding="utf-8")
