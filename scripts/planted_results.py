"""
Tables of what scripts/planted found, as Markdown, and docs/results/planted/*.csv:

    python scripts/planted_results.py OUT
"""

import json
import sys
from pathlib import Path

import pandas

RESULTS = Path(__file__).parent.parent / "docs" / "results" / "planted"
METRICS = ("precision_at_k", "mean_rank")


def main() -> None:
    out = Path(sys.argv[1])
    accuracies, measured, ranks = [], [], []
    for folder in sorted(out.glob("*-*-[0-9]")):
        data_set, kind, seed = folder.name.split("-", 1)[0], *folder.name.split("-", 1)[1].rsplit("-", 1)
        key = {"data set": data_set, "shortcut": kind, "seed": int(seed)}
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
            frame = pandas.DataFrame(rows)
            frame.to_csv(RESULTS / f"{name}.csv", index=False, float_format="%.4g")
            print(frame.to_string())
    if measured:
        print(_precisions(pandas.DataFrame(measured)))


def _precisions(measured: pandas.DataFrame) -> str:
    """As Markdown: precision at k and half its 95 % interval, of each shortcut and seed."""
    found = measured[measured["metric"] == "precision_at_k"].copy()
    found["text"] = [f"{row['mean']:.2f}±{(row['high'] - row['low']) / 2:.2f}" for _, row in found.iterrows()]
    texts = found.pivot(index="row", columns=["data set", "shortcut", "seed"], values="text")
    order = found.groupby("row")["mean"].mean().sort_values(ascending=False).index
    heads = ["", *(f"{data_set}, {kind}, {seed}" for data_set, kind, seed in texts.columns)]
    lines = [heads, ["---"] * len(heads), *([name, *texts.loc[name]] for name in order)]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


PLANTED = ("zeroa", "onea", "twoa", "threea")

if __name__ == "__main__":
    main()
