"""
The picture of docs/results, from the tables in docs/results/methods:

    python scripts/results_picture.py

makes docs/results/methods/methods.png: each method's comprehensiveness less sufficiency on both data sets.
"""

from pathlib import Path

import pandas
from matplotlib import pyplot

FOLDER = Path(__file__).parent.parent / "docs" / "results" / "methods"
DATA_SETS = {"SST-2": ("sst2.csv", "#2166ac", -0.12), "AG News": ("ag-news.csv", "#b2182b", 0.12)}


def main() -> None:
    tables = {name: pandas.read_csv(FOLDER / file) for name, (file, _, _) in DATA_SETS.items()}
    first = _differences(next(iter(tables.values())))
    order = list(first.sort_values("mean").index)
    figure, axes = pyplot.subplots(figsize=(7.5, 6), constrained_layout=True)
    for name, table in tables.items():
        found = _differences(table).reindex(order)
        _, colour, shift = DATA_SETS[name]
        places = [place + shift for place in range(len(order))]
        axes.errorbar(
            found["mean"], places, xerr=found["half"], fmt="o", color=colour, ms=4, lw=1.2, label=name
        )
    axes.set_yticks(range(len(order)), order, fontsize=8)
    axes.axvline(0, color="#bbbbbb", lw=0.8, zorder=0)
    axes.grid(axis="y", color="#eeeeee")
    axes.set_axisbelow(True)
    axes.set_xlabel("comprehensiveness less sufficiency; bars: both half-widths added")
    axes.legend(loc="lower right")
    figure.savefig(FOLDER / "methods.png", dpi=130, metadata={"Software": None})


def _differences(table: pandas.DataFrame) -> pandas.DataFrame:
    by_metric = {name: rows.set_index("row") for name, rows in table.groupby("metric")}
    good, bad = by_metric["comprehensiveness"], by_metric["sufficiency"]
    halves = (good["high"] - good["low"] + bad["high"] - bad["low"]) / 2
    return pandas.DataFrame({"mean": good["mean"] - bad["mean"], "half": halves})


if __name__ == "__main__":
    main()
