"""
Coherence beside faithfulness, layer by layer, and their rank correlation, as Markdown:

    python scripts/layer_results.py LAYERS COMPARE

of a folder that `allennlp saliency layers` wrote and one that `compare` wrote for
training_configs/compare/*_layers.jsonnet.
"""

import json
import os
import sys

from scipy.stats import spearmanr

from allennlp_layer_saliency.core.coherence import deepest_readable

MEASURES = ("recovery", "reciprocal_rank", "input_mass", "similarity", "entropy")
METRICS = ("comprehensiveness", "sufficiency")


def main() -> None:
    folder, compared = sys.argv[1:]
    with open(os.path.join(folder, "layers.json"), encoding="utf-8") as file:
        layers = json.load(file)
    with open(os.path.join(compared, "comparison.json"), encoding="utf-8") as file:
        rows = json.load(file)["rows"]
    names = sorted({row.split("@")[0] for row in rows})
    columns = [(name, metric) for metric in METRICS for name in names]
    print(
        f"| layer | reciprocal rank | {' | '.join(f'{m[:4]}. {n}' for n, m in columns)} |\n"
        + "|---" * (len(columns) + 2)
        + "|"
    )
    chosen = deepest_readable([entry["reciprocal_rank"] for entry in layers["layers"]])
    values = {column: [] for column in columns}
    for entry in layers["layers"]:
        cells = []
        for name, metric in columns:
            found = rows[f"{name}@{entry['layer']}"][metric]
            values[name, metric].append(found["mean"])
            cells.append(f"{found['mean']:.3f}±{(found['high'] - found['low']) / 2:.3f}")
        shown = f"{entry['layer']}{' (auto)' if entry['layer'] == chosen else ''}"
        print(f"| {shown} | {entry['reciprocal_rank']:.3f} | {' | '.join(cells)} |")
    print()
    print(f"| Spearman over layers | {' | '.join(f'{m[:4]}. {n}' for n, m in columns)} |")
    print("|---" * (len(columns) + 1) + "|")
    for measure in MEASURES:
        own = [entry[measure] for entry in layers["layers"]]
        cells = [f"{spearmanr(own, values[column])[0]:+.2f}" for column in columns]
        print(f"| {measure} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
