"""
Tables of what scripts/planted found, as Markdown, and docs/results/planted/*.csv, where OUT's classifiers
take the place of the same ones and the others stay:

    python scripts/planted_results.py OUT [ENCODER]
"""

import json
import math
import sys
from pathlib import Path

import pandas
from scipy import stats

RESULTS = Path(__file__).parent.parent / "docs" / "results" / "planted"
METRICS = ("precision_at_k", "mean_rank")
MODEL = ["encoder", "data set", "shortcut", "seed"]


def main() -> None:
    out, encoder = Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else "bundled"
    accuracies, measured, ranks = [], [], []
    for folder in sorted(out.glob("*-*-[0-9]")):
        data_set, kind, seed = folder.name.split("-", 1)[0], *folder.name.split("-", 1)[1].rsplit("-", 1)
        key = {"encoder": encoder, "data set": data_set, "shortcut": kind, "seed": int(seed)}
        found = {name: json.loads((folder / f"{name}.json").read_text()) for name in ("all", "opposite")}
        accuracies.append({**key, **{name: each["accuracy"] for name, each in found.items()}})
        if (folder / "compare" / "comparison.json").exists():
            compared = json.loads((folder / "compare" / "comparison.json").read_text())
            for row, metrics in compared["rows"].items():
                for metric in METRICS:
                    numbers = {name: metrics[metric][name] for name in ("mean", "low", "high", "n")}
                    measured.append({**key, "row": row, "metric": metric, **numbers})
        if (folder / "summary").exists():
            suspects = pandas.read_csv(folder / "summary" / "suspects.csv")
            for row, of_row in suspects.groupby("interpreter"):
                of_row = of_row.reset_index(drop=True)
                places = {"place": of_row.index + 1, "by counts alone": of_row["rank_by_counts"]}
                for word in of_row[of_row["word"].isin(PLANTED)].index:
                    ranks.append(
                        {
                            **key,
                            "interpreter": row,
                            "word": of_row["word"][word],
                            **{name: int(values[word]) for name, values in places.items()},
                        }
                    )
    RESULTS.mkdir(parents=True, exist_ok=True)
    for name, rows in (("accuracy", accuracies), ("interpreters", measured), ("suspects", ranks)):
        if rows:
            frame = _merged(RESULTS / f"{name}.csv", pandas.DataFrame(rows))
            frame.to_csv(RESULTS / f"{name}.csv", index=False, float_format="%.4g")
            if name != "interpreters":
                print(frame.to_string())
            else:
                for encoder, measured_of in frame.groupby("encoder"):
                    print(encoder, _precisions(measured_of), sep="\n")


def _merged(path: Path, new: pandas.DataFrame) -> pandas.DataFrame:
    """What the file has of other classifiers, and the new rows."""
    if path.exists():
        old = pandas.read_csv(path)
        again = pandas.MultiIndex.from_frame(old[MODEL]).isin(pandas.MultiIndex.from_frame(new[MODEL]))
        new = pandas.concat([old[~again], new])
    return new.sort_values(MODEL, kind="stable")


def _precisions(measured: pandas.DataFrame) -> str:
    """
    As Markdown, precision at k of one encoder: the mean of each shortcut's classifiers, and over all of them
    how much more the default has, with half the 95 % interval (a classifier is one observation), and in how
    many it has more.
    """
    found = measured[measured["metric"] == "precision_at_k"]
    by_model = found.pivot(index="row", columns=MODEL, values="mean")
    means = by_model.T.groupby(level=["shortcut", "data set"]).mean().T
    lines = [
        ["", *(f"{data_set}, {kind}" for kind, data_set in means.columns), "the default's gain", "ahead in"]
    ]
    lines.append(["---"] * len(lines[0]))
    for row in by_model.mean(axis=1).sort_values(ascending=False).index:
        cells = [row, *("" if math.isnan(value) else f"{value:.2f}" for value in means.loc[row])]
        gains = (by_model.loc["default"] - by_model.loc[row]).dropna()
        if row != "default":
            gain = f"{gains.mean():+.3f}"
            if len(gains) > 1:
                interval = stats.ttest_1samp(gains, 0).confidence_interval()
                gain += f"±{(interval.high - interval.low) / 2:.3f}"
            cells.append(gain)
            cells.append(f"{(gains > 0).sum()} of {len(gains)}")
        lines.append(cells)
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


PLANTED = ("zeroa", "onea", "twoa", "threea")

if __name__ == "__main__":
    main()
