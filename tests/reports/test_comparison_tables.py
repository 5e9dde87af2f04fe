"""Tables from results that are written by hand."""

import csv

from allennlp_layer_saliency.reports import comparison_tables


def values(mean, half=None):
    low, high = (None, None) if half is None else (mean - half, mean + half)
    return {"mean": mean, "low": low, "high": high, "n": 4}


RESULTS = {
    "rows": {
        "a_1 & b": {"comprehensiveness": values(0.25, 0.1), "sufficiency": values(0.5)},
        "c|d": {"comprehensiveness": values(0.75, 0.1), "seconds": values(0.0012)},
    },
    "tests": [
        {
            "metric": "comprehensiveness",
            "row": "a_1 & b",
            "against": "c|d",
            "p": 0.01,
            "p_holm": 0.02,
        }
    ],
    "texts": 4,
    "errors": {"c|d": 1},
}


def test_tables(tmp_path):
    written = comparison_tables.write_tables(RESULTS, str(tmp_path))
    assert written == ["costs.md", "table.csv", "table.md", "table.tex", "tests.csv"]
    lines = (tmp_path / "table.md").read_text().splitlines()
    assert lines[0] == "|  | comprehensiveness ↑ | sufficiency ↓ |"
    # The best row first; a mark where it differs from the reference.
    assert lines[2] == "| c\\|d | 0.750±.100* |  |"
    assert lines[3] == "| a_1 & b | 0.250±.100 | 0.500 |"
    assert "not explained: 1 (c|d)" in lines[-1]
    tex = (tmp_path / "table.tex").read_text()
    assert r"a\_1 \& b & 0.250$\pm$.100 & 0.500 \\" in tex
    assert "0.00120" in (tmp_path / "costs.md").read_text()
    rows = list(csv.DictReader((tmp_path / "table.csv").open()))
    assert [row["metric"] for row in rows] == ["comprehensiveness", "sufficiency"] + ["comprehensiveness"]


def test_on_screen(capsys):
    comparison_tables.print_tables(RESULTS)
    shown = capsys.readouterr().out
    assert "compr. ↑" in shown and "0.750*" in shown and "±.100" not in shown
