"""The pictures of results.json: what grows, and what costs how much."""

from typing import Any, Dict

from matplotlib import pyplot

# What was measured, by lane and group; the lanes' names; the groups of which the costs are pictured.
Lanes = Dict[str, Dict[str, Any]]
LANES = {"own": "AllenNLP's own versions", "newest": "newest"}
PICTURED = ("one midpoint", "presets", "end to end, bundled model", "end to end, MiniLM")


def growth_plot(lanes: Lanes, path: str) -> None:
    """A panel for each thing that grows: time for a text, by lane, decoded and not, both axes logarithmic."""
    names = list(dict.fromkeys(n for lane in lanes.values() for n in lane if n.startswith("growth")))
    if not names:
        return
    figure, panels = pyplot.subplots(
        1, len(names), figsize=(3.4 * len(names), 3), sharey=True, constrained_layout=True
    )
    for axes, name in zip([panels] if len(names) == 1 else panels, names):
        for (lane, group), line in zip(
            ((lane, lanes[lane][name]) for lane in LANES if name in lanes.get(lane, {})), ("-", "--")
        ):
            for kind, colour in (("decoded", "#b2182b"), ("undecoded", "#2166ac")):
                points = {
                    int(row.split(" | ")[1]): 1000 * times["median"]
                    for row, times in group["rows"].items()
                    if row.startswith(f"{kind} |")
                }
                label = f"{kind}, {LANES[lane]}"
                axes.loglog(list(points), list(points.values()), line, color=colour, label=label, marker=".")
                axes.set_xticks(list(points), [str(point) for point in points])
        axes.minorticks_off()
        axes.set_xlabel(name[len("growth with ") :])
    figure.axes[0].set_ylabel("ms for a text")
    figure.axes[0].legend(fontsize="x-small")
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)


def cost_plot(lanes: Lanes, path: str) -> None:
    """A panel for each group: time for a text, by row and lane, the axis logarithmic."""
    names = [name for name in PICTURED if any(name in lane for lane in lanes.values())]
    if not names:
        return
    of_groups = [[lane[name]["rows"] for lane in lanes.values() if name in lane] for name in names]
    heights = [len({row for rows in groups for row in rows}) for groups in of_groups]
    figure, panels = pyplot.subplots(
        len(names),
        1,
        figsize=(8, 0.33 * sum(heights) + 0.6 * len(names)),
        gridspec_kw={"height_ratios": heights},
        constrained_layout=True,
        squeeze=False,
    )
    for axes, name in zip(panels[:, 0], names):
        known = [lane for lane in LANES if name in lanes.get(lane, {})]
        rows = list(dict.fromkeys(row for lane in known for row in lanes[lane][name]["rows"]))[::-1]
        for lane, colour in zip(known, ("#b2182b", "#2166ac")):
            times = [1000 * lanes[lane][name]["rows"][row]["median"] for row in rows]
            axes.plot(times, range(len(rows)), "o", color=colour, label=LANES[lane])
        axes.set_yticks(range(len(rows)), rows, fontsize="x-small")
        axes.set_xscale("log")
        axes.grid(axis="y", linewidth=0.4)
        axes.set_title(name, fontsize="small", loc="left")
    figure.axes[0].legend(fontsize="x-small")
    figure.axes[-1].set_xlabel("ms for a text")
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)
