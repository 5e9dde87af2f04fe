import importlib
import json

import pytest

from benchmarks.report import report
from tests.conftest import ROOT


def test_the_page_shows_the_saved_results():
    results = json.loads((ROOT / "benchmarks" / "results.json").read_text())
    assert (ROOT / "benchmarks" / "RESULTS.md").read_text() == report(results)


@pytest.mark.parametrize("path", sorted((ROOT / "benchmarks").glob("*.py")), ids=lambda path: path.stem)
def test_each_module_can_be_imported(path):
    """They are not run here; what they import must be there."""
    importlib.import_module(f"benchmarks.{path.stem}")
