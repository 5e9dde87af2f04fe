"""
The tables and the picture of docs/results/peers:

    python scripts/peers_results.py OUT PEERS

OUT is what `allennlp saliency compare training_configs/compare/peers.jsonnet` wrote, PEERS what
benchmarks/peers.py did. Writes docs/results/peers/methods.csv, tests.csv and peers.png, and prints the
first as Markdown.
"""

import json
import shutil
import sys
from pathlib import Path
from typing import Any, Dict, List

import pandas
from matplotlib import pyplot
from matplotlib.figure import Figure

RESULTS = Path(__file__).parent.parent / "docs" / "results" / "peers"
METRICS = ("comprehensiveness", "sufficiency")
OURS = ("fast", "default", "best")


def main() -> None:
    out, peers = map(Path, sys.argv[1:])
    RESULTS.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(out / "tests.csv", RESULTS / "tests.csv")
    found = _methods(json.loads((out / "comparison.json").read_text())["rows"], peers / "seconds.csv")
    found.to_csv(RESULTS / "methods.csv", float_format="%.4g")
    print(_markdown(found))
    _picture(found).savefig(RESULTS / "peers.png", dpi=130, metadata={"Software": None})


def _methods(rows: Dict[str, Any], seconds: Path) -> pandas.DataFrame:
    """A row for each method, the one that goes furthest first; of a tool the seconds are its own."""
    found = pandas.DataFrame(
        {
            name: {
                **{
                    f"{metric}, {number}": row[metric][number]
                    for metric in METRICS
                    for number in ("mean", "low", "high")
                },
                **{
                    f"{metric}, share{part}": row[f"ceiling_share@{metric}"][number]
                    for metric in METRICS
                    for part, number in (("", "mean"), (" low", "low"), (" high", "high"))
                },
                "share": row["ceiling_share"]["mean"],
                "seconds": row["seconds"]["mean"],
            }
            for name, row in rows.items()
        }
    ).T.rename_axis("method")
    by_tool = pandas.read_csv(seconds, names=["text", "tool", "seconds"]).groupby("tool")["seconds"].mean()
    found.loc[by_tool.index, "seconds"] = by_tool
    return found.sort_values("share", ascending=False)


def _markdown(found: pandas.DataFrame) -> str:
    heads = ["", "comp. ↑", "share", "suff. ↓", "share", "both", "seconds", "of the default's"]
    lines: List[List[str]] = [heads, ["---"] * len(heads)]
    for name, row in found.iterrows():
        cells = [f"**{name}**" if name in OURS else str(name)]
        for metric in METRICS:
            half = (row[f"{metric}, high"] - row[f"{metric}, low"]) / 2
            cells += [f"{row[f'{metric}, mean']:.3f}±{half:.3f}", f"{row[f'{metric}, share']:.2f}"]
        cells.append(f"{row['share']:.3f}")
        # Random scores have no method: their seconds are what every row's comparison takes.
        times = ["", ""]
        if name != "random":
            times = [f"{row['seconds'] / unit:.2g}" for unit in (1, found.loc["default", "seconds"])]
        lines.append([*cells, *times])
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def _picture(found: pandas.DataFrame) -> Figure:
    shown = found.drop(index="random")[::-1]
    places = range(len(shown))
    figure, (shares, seconds) = pyplot.subplots(
        1, 2, figsize=(9, 5.5), sharey=True, width_ratios=(2, 1), constrained_layout=True
    )
    for metric, colour, shift in zip(METRICS, ("#2166ac", "#b2182b"), (0.14, -0.14)):
        mean, low, high = (shown[f"{metric}, share{part}"] for part in ("", " low", " high"))
        heights = [place + shift for place in places]
        shares.errorbar(
            mean, heights, xerr=(mean - low, high - mean), fmt="o", color=colour, ms=4, lw=1.2, label=metric
        )
    colours = ["#2166ac" if name in OURS else "#999999" for name in shown.index]
    seconds.barh(places, shown["seconds"], height=0.6, color=colours)
    seconds.set_xscale("log")
    seconds.set_xlabel("seconds, one thread")
    shares.set_yticks(places, shown.index, fontsize=8)
    for label in shares.get_yticklabels():
        label.set_weight("bold" if label.get_text() in OURS else "normal")
    shares.set_xlabel("share of the way from random (0) to greedy ranks (1)")
    shares.grid(color="#eeeeee")
    shares.set_axisbelow(True)
    shares.legend(loc="center left")
    return figure


if __name__ == "__main__":
    main()
