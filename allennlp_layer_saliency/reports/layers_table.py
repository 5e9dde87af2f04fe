"""The coherence of layers, from layers.json: a table on screen and a plot."""

from typing import TYPE_CHECKING, Any, Dict, List, Optional

from rich.console import Console
from rich.table import Table

from allennlp_layer_saliency.reports import plots
from allennlp_layer_saliency.reports.intervals import with_half_width

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# As in `core.coherence`, with what a reader wants to know of them.
TITLES = {
    "recovery": "recovery@{tau}",
    "reciprocal_rank": "reciprocal rank",
    "input_mass": "input mass",
    "similarity": "similarity",
    "entropy": "entropy (nats)",
}


def heads(results: Dict[str, Any]) -> Dict[str, List[Dict[str, Any]]]:
    """Each head's layers; of a single head under no name."""
    return results.get("heads", {"": results["layers"]})


def print_table(results: Dict[str, Any]) -> None:
    """Means, and half the width of their 95 % intervals: a row for each layer, a table for each head."""
    console = Console()
    for head, entries in heads(results).items():
        table = Table(title=head or None)
        table.add_column("layer", justify="right")
        for title in TITLES.values():
            table.add_column(title.format(tau=results["tau"]), justify="right")
        for entry in entries:
            table.add_row(str(entry["layer"]), *(cell(entry, name) for name in TITLES))
        console.print(table)
    console.print(f'chosen for `layer: "auto"`: {results["chosen"]}', highlight=False)
    counted = f"{results['texts']:,} texts; ± half the 95 % interval"
    if results["skipped"]:
        first = results["skipped"][0]
        counted += f"; {len(results['skipped']):,} left out, first text {first['text']}: {first['error']}"
    console.print(counted, highlight=False, markup=False)


def cell(entry: Dict[str, Any], name: str) -> str:
    """A layer's mean of a measure, and half the width of its interval."""
    return with_half_width(entry[name], entry["intervals"][name])


def plot(results: Dict[str, Any], path: str) -> bool:
    """Write `figure` to a file; False if matplotlib is not there."""
    found = figure(results)
    if found is None:
        return False
    found.savefig(path, dpi=150)
    return True


def figure(results: Dict[str, Any]) -> Optional["Figure"]:
    """Each measure over layers, with its interval; None if matplotlib is not there."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return None
    made = Figure(figsize=(3.2 * len(TITLES), 3), constrained_layout=True)
    for axes, (name, title) in zip(made.subplots(1, len(TITLES)), TITLES.items()):
        for head, entries in heads(results).items():
            layers = [entry["layer"] for entry in entries]
            (line,) = axes.plot(
                layers,
                [entry[name] for entry in entries],
                marker="o",
                label=plots.verbatim(head),
            )
            intervals = [entry["intervals"][name] or [entry[name]] * 2 for entry in entries]
            low, high = zip(*intervals)
            axes.fill_between(layers, low, high, alpha=0.25, color=line.get_color(), linewidth=0)
        axes.set_title(title.format(tau=results["tau"]))
        axes.set_xlabel("layer")
        low, high = axes.get_ylim()
        # From 0 on, and with as much room above the marks as matplotlib leaves.
        axes.set_ylim(min(0, low), high + 0.05 * (high - min(0, low)))
    if len(heads(results)) > 1:
        axes.legend()
    return made
