"""benchmarks/RESULTS.md, from the results."""

from typing import Any, Dict, List, Optional, Tuple

from benchmarks.plots import LANES, PICTURED, Lanes

HEAD = """\
# Benchmarks

    pip install ".[captum]"
    python -m benchmarks.run

in the repository's root writes this page and [results.json](results.json). What is measured with the
installed versions replaces what was; figures of other versions stay. `--only GROUP ...` measures some again.

{environments}

A table's figures are of one run on one machine; tables were not all measured on the same day. Where a run is
a long one, of presets with AllenNLP's own versions and of end to end, it has one round.

The model, unless said otherwise, has RoBERTa-base's size (12 layers, hidden size 768, vocabulary of
50,265) and random weights. All rows of a table are timed in turn, round by round: what disturbs one
disturbs all.

## What is claimed

{claims}

The figures at SST-2's lengths are bounded by matrix products. With the forward pass through 12 blocks and the
backward pass through 3, a piece costs 212 million floating-point operations; the machine does 73 thousand
million a second with 2 threads (a product of 512 x 768 and 768 x 3072), which is 2.9 ms for a piece. torch's
profiler finds 87 % of layer-saliency's time in these products. What is left for simple-gradient to lose,
beside its own products, is a second forward pass and the parameters' gradients, which it writes for each
text whatever its length.
"""


def report(results: Dict[str, Any]) -> str:
    lanes = {name: results["lanes"][name] for name in LANES if name in results["lanes"]}
    environments = "\n".join(
        f"- {LANES[name]}: {', '.join(_said(key, value) for key, value in lane['environment'].items())}"
        for name, lane in lanes.items()
    )
    parts = [
        HEAD.format(
            environments=environments, claims="\n".join(_claims(lanes, results["page"], results["live"]))
        )
    ]
    for name in dict.fromkeys(name for lane in lanes.values() for name in lane):
        groups = {LANES[key]: lane[name] for key, lane in lanes.items() if name in lane}
        if name == "table":
            parts += [_pivot(lane, group) for lane, group in groups.items()]
        elif name == "memory":
            parts += [_memory(lane, group) for lane, group in groups.items()]
        elif name == "startup":
            parts.append(_startup(groups))
        elif name != "environment":
            parts.append(_table(name, groups))
    parts += [_page(results["page"]), _live(results["live"])]
    return "\n".join(parts)


def _said(key: str, value: Any) -> str:
    return f"{value} threads" if key == "threads" else f"{key} {value}"


def _claims(lanes: Lanes, page: Dict[str, Any], live: Dict[str, Any]) -> List[str]:
    """What the project promises, as rows of a table with a column for each lane."""
    found = {name: claims(lane) for name, lane in lanes.items()}
    wanted = {what: least for of_lane in found.values() for what, least, _ in of_lane}
    measured = {name: {what: value for what, _, value in of_lane} for name, of_lane in found.items()}
    rows = [
        (what, least, *(measured[name].get(what, "") for name in lanes)) for what, least in wanted.items()
    ]
    empty = [""] * (len(lanes) - 1)
    for name, values in page["pages"].items():
        rows += [
            (f"page of 1,000 explanations, {name}: size", "< 15 MB", f"{values['MB']:.1f} MB", *empty),
            (f"page of 1,000 explanations, {name}: usable", "≤ 3 s", f"{values['ready']:.2f} s", *empty),
        ]
    summary = live["summary"]
    rows += [
        ("summary of 100,000 explanations, one core", "< 180 s", f"{summary['seconds']:.0f} s", *empty),
        ("the same, peak memory", "< 1,024 MiB", f"{summary['MiB']:.0f} MiB", *empty),
        ("live page, first explanation", "≤ 1 s", f"{live['serve']['first'] / 1000:.2f} s", *empty),
    ]
    head = ["", "wanted", *(LANES[name] for name in lanes)]
    return [f"| {' | '.join(row)} |" for row in [head, ["---"] * len(head), *rows]]


def claims(results: Dict[str, Any]) -> List[Tuple[str, str, str]]:
    """What is promised, wanted and measured with one lane's versions, of the groups that it has."""
    rows: List[Tuple[str, str, str]] = []

    def median(group: str, row: str) -> float:
        return next(value["median"] for name, value in results[group]["rows"].items() if name.startswith(row))

    if "one midpoint" in results:
        for kind, most in (("undecoded", "1.10"), ("decoded", "1.15")):
            ratio = median("one midpoint", kind) / median("one midpoint", f"floor, {kind}")
            rows.append((f"one midpoint over its floor, {kind}", f"≤ {most}", f"{ratio:.2f}"))
        for steps, least in ((20, 12), (50, 30)):
            captum = median("one midpoint", f"Captum's LayerIntegratedGradients, embeddings, {steps} steps")
            ratio = captum / median("one midpoint", "decoded")
            rows.append((f"one midpoint over Captum's {steps} steps", f"≥ {least} ×", f"{ratio:.1f} ×"))
    if "presets" in results:
        for name, kind, most in (
            ("fast", "undecoded", "1.10"),
            ("fast", "decoded", "1.15"),
            ("balanced", "undecoded", "1.10"),
            ("balanced", "decoded", "1.15"),
            ("best", "undecoded", "1.10"),
        ):
            ratio = median("presets", f"{name}, {kind}") / median("presets", f"floor, {name}, {kind}")
            rows.append((f"{name} over its floor, {kind}", f"≤ {most}", f"{ratio:.2f}"))
        for steps, least in ((20, 4), (50, 10)):
            captum = median("presets", f"Captum's LayerIntegratedGradients, embeddings, {steps} steps")
            for name in ("fast", "balanced"):
                ratio = captum / median("presets", f"{name}, decoded")
                rows.append((f"{name} over Captum's {steps} steps", f"≥ {least} ×", f"{ratio:.1f} ×"))
    if "fitted head" in results:
        for kind in ("gradient-x-input", "1 midpoint step"):
            ratio = median("fitted head", f"{kind}, fitted") / median("fitted head", f"{kind}, pretrained")
            rows.append((f"a fitted head over its base, {kind}, layer 9", "≤ 1.05", f"{ratio:.2f}"))
    for name, run_most, predict_most in (("bundled model", "1.30", "1.60"), ("MiniLM", "1.10", "1.25")):
        group = f"end to end, {name}"
        if group in results:
            alone = median(group, "explaining alone")
            run, predict = median(group, "saliency run"), median(group, "allennlp predict, explained")
            rows.append(
                (f"saliency run over explaining alone, {name}", f"≤ {run_most}", f"{run / alone:.2f}")
            )
            rows.append(
                (f"allennlp predict over the same, {name}", f"≤ {predict_most}", f"{predict / alone:.2f}")
            )
    for group, ours, theirs, what, most in (
        ("floor", "decoded, grad-cam", "floor: forward", "decoded, grad-cam, layer 9, over the floor", 1.15),
        (
            "one step",
            "integrated",
            "gradient-x-input",
            "one midpoint step over gradient-x-input, layer 9",
            1.5,
        ),
        ("all layers", "all", "layer 0", "all 13 layers over layer 0, undecoded", 1.25),
    ):
        if group in results:
            rows.append((what, f"≤ {most}", f"{median(group, ours) / median(group, theirs):.2f}"))
    wanted = {
        "128 pieces": {"decoded": (2.5, 20), "layer": (3.5, None)},
        "SST-2's lengths": {"decoded": (5, 45), "layer": (6, None)},
    }
    for shape, kinds in wanted.items():
        group = f"built-ins, {shape}"
        for kind, targets in kinds.items() if group in results else ():
            for builtin, least in zip(("simple-gradient", "integrated-gradient"), targets):
                if least is not None:
                    ratio = median(group, builtin) / median(group, f"{kind}-")
                    what = "decoded" if kind == "decoded" else "undecoded"
                    rows.append(
                        (f"throughput over {builtin}'s, {what}, {shape}", f"≥ {least} ×", f"{ratio:.1f} ×")
                    )
    for layer in (6, 9, 11):
        group = f"paths, layer {layer}"
        if group not in results:
            continue
        faster = median(group, "Captum") / median(group, "integrated")
        ceiling = median(group, "bare: whole") / median(group, "bare: partial")
        rows.append(
            (
                f"speed-up over Captum's LayerIntegratedGradients, layer {layer}",
                "≥ .85 of the ceiling",
                f"{faster:.2f} ({faster / ceiling:.2f} of {ceiling:.2f})",
            )
        )
        difference = results[group]["largest difference"]
        rows.append((f"the same attributions, layer {layer}, relative", "≤ 1e-4", f"{difference:.0e}"))
    if "memory" in results:
        memory = results["memory"]
        rows.append(
            (
                "peak memory, 32 texts of 128 pieces, layer 9, decoded",
                "≤ 1.5 × a forward pass' + 256 MiB",
                f"{memory['decoded']:.0f} of {1.5 * memory['forward'] + 256:.0f} MiB",
            )
        )
    if "startup" in results:
        part = sum(value for part, value in results["startup"].items() if "ours" in part)
        rows.append(("start to first explanation, our part", "≤ 0.5 s", f"{part:.2f} s"))
    return rows


def _table(name: str, groups: Dict[str, Dict[str, Any]]) -> str:
    """Milliseconds for a text, with a column for each lane."""
    first, *_ = groups.values()
    lines = [f"## {name[0].upper()}{name[1:]}", "", f"{first['shape']}."]
    for lane, group in groups.items():
        if "decoded positions" in group:
            lines.append(f"grad-cam leaves {group['decoded positions']} positions to decode ({lane}).")
    if name.startswith("growth"):
        lines.append("[The picture](growth.svg).")
    elif name in PICTURED:
        lines.append("[The picture](costs.svg).")
    lines += ["", "ms for a text: median, smallest to largest.", ""]
    lines += [f"| | {' | '.join(groups)} |", "|---" * (len(groups) + 1) + "|"]
    for row in dict.fromkeys(row for group in groups.values() for row in group["rows"]):
        cells = [_times(group["rows"].get(row)) for group in groups.values()]
        lines.append(f"| {row.replace(' | ', ', ')} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _times(times: Optional[Dict[str, Any]]) -> str:
    if times is None:
        return ""
    median, least, most = (1000 * times[key] for key in ("median", "min", "max"))
    digits = 0 if median >= 100 else 1
    return f"{median:.{digits}f} ({least:.{digits}f} to {most:.{digits}f})"


def _pivot(lane: str, group: Dict[str, Any]) -> str:
    """Rows named "aggregation | decoded or not | layer", with a column for each layer."""
    cells: Dict[str, Dict[str, str]] = {}
    for row, times in group["rows"].items():
        name, layer = row.rsplit(" | ", 1)
        median, least, most = (1000 * times[key] for key in ("median", "min", "max"))
        cells.setdefault(name, {})[layer] = f"{median:.0f} ({least:.0f} to {most:.0f})"
    layers = list(next(iter(cells.values())))
    lines = [
        f"## Each aggregation at each layer, {lane}",
        "",
        f"{group['shape']}; ms, smallest to largest.",
        "",
    ]
    lines.append(f"| | {' | '.join(f'layer {layer}' for layer in layers[:-1])} | all 13 |")
    lines.append("|---" * (len(layers) + 1) + "|")
    for name, row in cells.items():
        lines.append(f"| {name.replace(' | ', ', ')} | {' | '.join(row.values())} |")
    return "\n".join(lines) + "\n"


def _memory(lane: str, memory: Dict[str, float]) -> str:
    return (
        f"## Memory, {lane}\n\nPeak resident memory above the loaded model, 32 texts of 128 pieces at once, "
        "each in a process of its own: the plain forward pass "
        f"{memory['forward']:.0f} MiB, decoded-layer-saliency (grad-cam, layer 9) "
        f"{memory['decoded']:.0f} MiB.\n"
    )


def _startup(groups: Dict[str, Dict[str, float]]) -> str:
    lines = ["## From the start of Python to the first explanation", ""]
    lines += ["The bundled model, medians in seconds.", "", f"| | {' | '.join(groups)} |"]
    lines.append("|---" * (len(groups) + 1) + "|")
    for part in next(iter(groups.values())):
        lines.append(f"| {part} | {' | '.join(f'{parts[part]:.2f}' for parts in groups.values())} |")
    lines.append(f"| sum | {' | '.join(f'{sum(parts.values()):.2f}' for parts in groups.values())} |")
    return "\n".join(lines) + "\n"


def _page(page: Dict[str, Any]) -> str:
    lines = [
        "## The page of 1,000 explanations",
        "",
        "    python -m benchmarks.report_page",
        "",
        f"50 tokens each, all layers, in headless Chromium {page['chromium']}: medians of {page['rounds']} "
        "new browsers. Usable: texts drawn, slider and filters answer. Slider: from a layer to another, "
        "until it is painted.",
        "",
        "| | MB | first paint, s | usable, s | slider, ms |",
        "|---|---|---|---|---|",
    ]
    for name, values in page["pages"].items():
        lines.append(
            f"| {name} | {values['MB']:.1f} | {values['first paint']:.2f} | {values['ready']:.2f} | "
            f"{1000 * values['slider']:.0f} |"
        )
    return "\n".join(lines) + "\n"


def _live(live: Dict[str, Any]) -> str:
    summary, served = live["summary"], live["serve"]
    return f"""## A data set's summary, and the live page

    python -m benchmarks.live SST2/train.tsv

The bundled model, on one core. 100,000 explanations (5,000 of SST-2's, repeated) are summarised in
{summary["seconds"]:.0f} s with {summary["MiB"]:.0f} MiB at the peak. From the press of "Explain" to the drawn
explanation: {served["first"]:.0f} ms the first time, {served["later"]:.0f} ms later on (median of 49),
{served["slowest"]:.0f} ms at most.
"""
