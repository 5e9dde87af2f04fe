"""
The picture of docs/results: how much of what a ranking can reach each method gets, and how long it takes:

    python scripts/results_picture.py COMPARISON PEERS OUT.png

COMPARISON is the output of training_configs/compare/peers.jsonnet, PEERS the folder that benchmarks/peers.py wrote.
Also writes, beside the picture, a table of the same figures, OUT.csv.
"""

import sys
from pathlib import Path

import pandas
from matplotlib import pyplot

# Not methods to choose from, but what they are measured by.
SCALE = ("random", "greedy-comprehensiveness", "greedy-sufficiency")
OURS = ("default", "fast", "balanced", "best")


def figures(comparison: Path, peers: Path) -> pandas.DataFrame:
    """A row for each method: its metrics' means and half-widths, and its median time for a text."""
    table = pandas.read_csv(comparison / "table.csv")
    table["half"] = (table["high"] - table["low"]) / 2
    wide = table.pivot(index="row", columns="metric", values=["mean", "half"])
    wide.columns = [name if kind == "mean" else f"{name} ±" for kind, name in wide.columns]
    seconds = pandas.read_csv(peers / "seconds.csv").groupby("tool")["seconds"].median()
    wide["seconds"] = seconds.reindex(wide.index).fillna(wide["seconds"])
    kept = ["comprehensiveness", "sufficiency", "ceiling_share"]
    columns = [name for each in kept for name in (each, f"{each} ±") if name in wide]
    return wide[[*columns, "seconds"]].sort_values("ceiling_share", ascending=False)


def main() -> None:
    comparison, peers, out = map(Path, sys.argv[1:4])
    found = figures(comparison, peers)
    found.to_csv(out.with_suffix(".csv"), float_format="%.4g")
    shown = found.drop([name for name in SCALE if name in found.index])
    figure, axes = pyplot.subplots(figsize=(7.5, 4.5), constrained_layout=True)
    for name, row in shown.iterrows():
        colour = "#b2182b" if name in OURS else "#4d4d4d"
        axes.errorbar(
            row["seconds"], row["ceiling_share"], yerr=row["ceiling_share ±"], fmt="o", color=colour, lw=1, ms=4
        )
        axes.annotate(
            str(name),
            (row["seconds"], row["ceiling_share"]),
            xytext=(5, 3),
            textcoords="offset points",
            fontsize=7,
            color=colour,
        )
    axes.set_xscale("log")
    axes.margins(x=0.15)
    axes.set_xlabel("seconds for a text, one thread")
    axes.set_ylabel("share of the way from random to greedy")
    figure.savefig(out, dpi=150, metadata={"Software": None})


if __name__ == "__main__":
    main()
