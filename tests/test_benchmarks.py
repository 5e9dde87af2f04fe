import json

from benchmarks.report import report
from tests.conftest import ROOT


def test_the_page_shows_the_saved_results():
    results = json.loads((ROOT / "benchmarks" / "results.json").read_text())
    assert (ROOT / "benchmarks" / "RESULTS.md").read_text() == report(results)
