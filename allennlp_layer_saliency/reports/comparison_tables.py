"""The comparison of interpreters, from comparison.json: tables and plots."""

import os
import re
from typing import TYPE_CHECKING, Any, Dict, List, Optional, Tuple

import pandas
from rich.console import Console
from rich.table import Table
from rich.text import Text

from allennlp_layer_saliency.evaluation.comparison_summary import COSTS, LOWER_IS_BETTER, METRICS
from allennlp_layer_saliency.reports import plots
from allennlp_layer_saliency.reports.intervals import with_half_width

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# On screen, where room is short.
SHORT = {
    "comprehensiveness": "compr.",
    "sufficiency": "suff.",
    "log_odds": "log-odds",
    "deletion_auc": "deletion",
    "insertion_auc": "insertion",
    "accuracy_after_deletion": "accuracy",
    "auprc": "AUPRC",
    "token_f1": "F1",
    "iou": "IoU",
    "iou_f1": "IoU F1",
    "precision_at_k": "precision at k",
    "mean_rank": "mean rank",
    "ceiling_share": "of the ceiling",
    "randomisation": "random.",
    "seconds": "s",
    "peak_mb": "MiB",
}

# A mark at values that differ from the reference row's at this level, after Holm's correction.
LEVEL = 0.05


def write_tables(results: Dict[str, Any], folder: str) -> List[str]:
    """
    table.md and table.tex (means and half the width of their intervals), table.csv (all metrics with bins
    and ratios, one on a line), tests.csv; what depends on the machine is apart, in costs.md.
    """
    measured = table(results, [m for m in metrics_of(results) if m not in COSTS])
    costs = table(results, [m for m in metrics_of(results) if m in COSTS])
    written = {
        "table.md": _markdown(measured) + f"\n{note(results)}\n",
        "table.tex": _latex(measured),
    }
    if not costs.empty:
        written["costs.md"] = _markdown(costs)
    long = [
        {"row": row, "metric": metric, **values}
        for row, metrics in results["rows"].items()
        for metric, values in metrics.items()
        if metric not in COSTS
    ]
    written["table.csv"] = pandas.DataFrame(long).to_csv(index=False)
    if results["tests"]:
        written["tests.csv"] = pandas.DataFrame(results["tests"]).to_csv(index=False)
    for name, text in written.items():
        with open(os.path.join(folder, name), "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
    return sorted(written)


def print_tables(results: Dict[str, Any]) -> None:
    """The means on screen, best row first."""
    console = Console()
    metrics = metrics_of(results)
    on_screen = Table()
    on_screen.add_column("", overflow="fold")
    for metric in metrics:
        on_screen.add_column(f"{SHORT[metric]} {_arrow(metric)}", justify="right")
    for row, values in table(results, metrics).iterrows():
        # The files have the intervals.
        on_screen.add_row(Text(str(row)), *(re.sub("±[0-9.]+", "", value) for value in values))
    console.print(on_screen)
    console.print(note(results, intervals=False), highlight=False, markup=False, soft_wrap=True)


def write_plots(results: Dict[str, Any], folder: str) -> Optional[List[str]]:
    """Write `figures` as PNG; the files' names, or None without matplotlib."""
    found = figures(results)
    if found is None:
        return None
    for name, figure in found.items():
        figure.savefig(os.path.join(folder, f"{name}.png"), dpi=150)
    return [f"{name}.png" for name in found]


def figures(results: Dict[str, Any]) -> Optional[Dict[str, "Figure"]]:
    """
    "curves": probability and accuracy after deletion and insertion; "cost": seconds against quality; as
    far as they were measured. None without matplotlib.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return None
    rows = results["rows"]
    found: Dict[str, Figure] = {}
    measured = [metric for metric in plots.CURVES if metric in metrics_of(results)]
    if measured:
        figure = Figure(figsize=(5 * len(measured), 4.2), constrained_layout=True)
        all_axes = figure.subplots(1, len(measured), squeeze=False)[0]
        ordered = {row: rows[row] for row in _best_first(results)}
        handles: Dict[str, Any] = {}
        for axes, metric in zip(all_axes, measured):
            plots.curves(ordered, metric, axes)
            lines, labels = axes.get_legend_handles_labels()
            handles.update(zip(labels, lines))
        figure.legend(handles.values(), handles, loc="outside right center", fontsize=7)
        found["curves"] = figure
    quality = next((m for m in ("comprehensiveness", "auprc") if m in metrics_of(results)), None)
    if quality and "seconds" in metrics_of(results):
        figure = Figure(figsize=(6, 4.5), constrained_layout=True)
        axes = figure.subplots()
        for row, metrics in rows.items():
            if quality in metrics and "seconds" in metrics:
                place = (metrics["seconds"]["mean"], metrics[quality]["mean"])
                axes.plot(*place, "o", markersize=4)
                axes.annotate(
                    plots.verbatim(row),
                    place,
                    fontsize=7,
                    xytext=(4, 2),
                    textcoords="offset points",
                )
        axes.set_xscale("log")
        axes.set_xlabel("seconds per text")
        axes.set_ylabel(quality)
        found["cost"] = figure
    return found


def _arrow(metric: str) -> str:
    return "↓" if metric in LOWER_IS_BETTER else "↑"


def _best_first(results: Dict[str, Any]) -> List[str]:
    """The rows by the first metric of those that there are; a configuration has no order of its own."""
    first = metrics_of(results)[0]
    sign = 1 if first in LOWER_IS_BETTER else -1

    def place(row: str) -> Tuple[bool, float]:
        values = results["rows"][row].get(first)
        return (True, 0.0) if values is None else (False, sign * values["mean"])

    return sorted(results["rows"], key=place)


def metrics_of(results: Dict[str, Any]) -> List[str]:
    """The metrics that were measured, without bins and ratios."""
    found = {metric for metrics in results["rows"].values() for metric in metrics}
    return [metric for metric in METRICS if metric in found]


def table(results: Dict[str, Any], metrics: List[str]) -> pandas.DataFrame:
    """Means with half the width of their intervals, the best row first; a mark where it differs."""
    marks = {(test["against"], test["metric"]): "*" for test in results["tests"] if test["p_holm"] < LEVEL}
    return pandas.DataFrame(
        {
            f"{metric} {_arrow(metric)}": {
                row: _cell(results["rows"][row].get(metric)) + marks.get((row, metric), "")
                for row in _best_first(results)
            }
            for metric in metrics
        }
    )


def _cell(values: Optional[Dict[str, Any]]) -> str:
    if values is None:
        return ""
    interval = None if values["low"] is None else (values["low"], values["high"])
    return with_half_width(values["mean"], interval)


def note(results: Dict[str, Any], intervals: bool = True) -> str:
    """What the table's signs mean, and what is not in it."""
    text = f"{results['texts']:,} texts; ↑ higher, ↓ lower is better"
    if intervals:
        text += "; ± half the 95 % bootstrap interval"
    if results["tests"]:
        text += (
            f"; * differs from {results['tests'][0]['row']} (paired permutation test, p < {LEVEL} after "
            "Holm's correction)"
        )
    if results["errors"]:
        text += "; not explained: " + ", ".join(f"{n} ({row})" for row, n in results["errors"].items())
    return text


def _markdown(table: pandas.DataFrame) -> str:
    lines = [["", *table.columns], ["---"] * (len(table.columns) + 1)]
    lines += [[str(row), *values] for row, values in table.iterrows()]
    escaped = [[cell.replace("|", "\\|") for cell in line] for line in lines]
    return "".join(f"| {' | '.join(line)} |\n" for line in escaped)


def _latex(table: pandas.DataFrame) -> str:
    def cell(text: str) -> str:
        text = re.sub(r"([&%$#_{}])", r"\\\1", text.replace("\\", "/"))
        return text.replace("±", "$\\pm$").replace("↑", "$\\uparrow$").replace("↓", "$\\downarrow$")

    lines = [["", *table.columns], *([str(row), *values] for row, values in table.iterrows())]
    rows = [" & ".join(map(cell, line)) + r" \\" for line in lines]
    rows.insert(1, r"\midrule")
    columns = "l" + "r" * len(table.columns)
    return "\n".join(
        [
            rf"\begin{{tabular}}{{{columns}}}",
            r"\toprule",
            *rows,
            r"\bottomrule",
            r"\end{tabular}",
            "",
        ]
    )
