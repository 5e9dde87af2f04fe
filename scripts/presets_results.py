"""
The table of docs/results/README.md, but for its times, from docs/results/presets, as Markdown:

    python scripts/presets_results.py

What each preset gains over twenty steps of integrated gradients, with half the 95 % interval of the paired
difference.
"""

from pathlib import Path
from typing import List

import pandas

RESULTS = Path(__file__).parent.parent / "docs" / "results" / "presets"
REFERENCE = "integrated gradients, 20 steps"
PRESETS = ("best", "balanced", "fast")
# A lower sufficiency is the better one: the reference's less the preset's is the preset's gain.
SIGNS = {"comprehensiveness": -1, "sufficiency": 1}
PAIRS = {
    "sst2": "MiniLM, SST-2",
    "trec": "MiniLM, TREC",
    "ag-news": "MiniLM, AG News",
    "nli": "MiniLM, NLI (pairs)",
    "movies": "MiniLM, movies (documents)",
    "cad-sentiment": "MiniLM, IMDb (documents)",
    "mpnet-sst2": "MPNet, SST-2",
    "mpnet-ag-news": "MPNet, AG News",
}


def main() -> None:
    print("| | texts | 20 steps | " + " | ".join(f'`"{preset}"`' for preset in PRESETS) + " |")
    print("|" + "---|" * (3 + len(PRESETS)))
    for name, title in PAIRS.items():
        print("| " + " | ".join([title, *_cells(name)]) + " |")


def _cells(name: str) -> List[str]:
    table = pandas.read_csv(RESULTS / f"{name}.csv").set_index(["row", "metric"])
    tests = pandas.read_csv(RESULTS / f"{name}-tests.csv").set_index(["against", "metric"])
    texts = int(table.loc[(REFERENCE, "sufficiency"), "n"])
    cells = [", ".join(_number(table.loc[(REFERENCE, metric), "mean"]) for metric in SIGNS)]
    for preset in PRESETS:
        found = [tests.loc[(preset, metric)] for metric in SIGNS]
        cells.append(
            ", ".join(
                f"{_number(sign * test['difference'], '+')}±{_number((test['high'] - test['low']) / 2)}"
                + ("\\*" if test["p_holm"] < 0.01 else "")
                for sign, test in zip(SIGNS.values(), found)
            )
        )
    return [str(texts), *cells]


def _number(value: float, sign: str = "") -> str:
    return f"{value:{sign}.3f}".replace("0.", ".", 1).replace("-.000", ".000").replace("+.000", ".000")


if __name__ == "__main__":
    main()
