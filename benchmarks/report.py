"""benchmarks/RESULTS.md, from the results."""

from typing import Any, Dict, List

HEAD = """\
# Benchmarks

    pip install ".[captum]"
    python -m benchmarks.run

in the repository's root writes this page and [results.json](results.json); `--only GROUP` measures one group
again. {environment}.

The model, unless said otherwise, has RoBERTa-base's size (12 layers, hidden size 768, vocabulary of
50,265) and random weights. All rows of a table are timed in turn, round by round: what disturbs one
disturbs all.

## What is claimed

| | wanted | measured |
|---|---|---|
{claims}

The figures at SST-2's lengths are bounded by matrix products. With the forward pass through 12 blocks and the
backward pass through 3, a piece costs 212 million floating-point operations; the machine does 73 thousand
million a second with 2 threads (a product of 512 x 768 and 768 x 3072), which is 2.9 ms for a piece. torch's
profiler finds 87 % of layer-saliency's time in these products. What is left for simple-gradient to lose,
beside its own products, is a second forward pass and the parameters' gradients, which it writes for each
text whatever its length.
"""


def report(results: Dict[str, Any]) -> str:
    environment = ", ".join(
        f"{results['environment']['threads']} threads" if key == "threads" else f"{key} {value}"
        for key, value in results["environment"].items()
    )
    environment = environment[0].upper() + environment[1:]
    parts = [HEAD.format(environment=environment, claims="\n".join(claims(results)))]
    for name, group in results.items():
        if name == "table":
            parts.append(_pivot(group))
        elif "rows" in group:
            parts.append(_table(name, group))
    parts.append(_memory(results["memory"]))
    parts.append(_startup(results["startup"]))
    parts.append(_page(results["page"]))
    return "\n".join(parts)


def claims(results: Dict[str, Any]) -> List[str]:
    """What the project promises, as rows of a table."""

    def median(group: str, row: str) -> float:
        return next(value["median"] for name, value in results[group]["rows"].items() if name.startswith(row))

    floor = median("floor", "decoded, grad-cam") / median("floor", "floor: forward")
    step = median("one step", "integrated") / median("one step", "gradient-x-input")
    layers = median("all layers", "all") / median("all layers", "layer 0")
    rows = [
        ("decoded, grad-cam, layer 9, over the floor", "≤ 1.15", f"{floor:.2f}"),
        ("one midpoint step over gradient-x-input, layer 9", "≤ 1.5", f"{step:.2f}"),
        ("all 13 layers over layer 0, undecoded", "≤ 1.25", f"{layers:.2f}"),
    ]
    wanted = {
        "128 pieces": {"decoded": (2.5, 20), "layer": (3.5, None)},
        "SST-2's lengths": {"decoded": (5, 45), "layer": (6, None)},
    }
    for shape, kinds in wanted.items():
        group = f"built-ins, {shape}"
        for kind, targets in kinds.items():
            ours = median(group, f"{kind}-")
            for builtin, least in zip(("simple-gradient", "integrated-gradient"), targets):
                if least is not None:
                    ratio = median(group, builtin) / ours
                    what = "decoded" if kind == "decoded" else "undecoded"
                    rows.append(
                        (
                            f"throughput over {builtin}'s, {what}, {shape}",
                            f"≥ {least} ×",
                            f"{ratio:.1f} ×",
                        )
                    )
    for layer in (6, 9, 11):
        group = f"paths, layer {layer}"
        ours, theirs = median(group, "integrated"), median(group, "Captum")
        ceiling = median(group, "bare: whole") / median(group, "bare: partial")
        rows.append(
            (
                f"speed-up over Captum's LayerIntegratedGradients, layer {layer}",
                f"≥ .85 of the ceiling {ceiling:.2f}",
                f"{theirs / ours:.2f} ({theirs / ours / ceiling:.2f} of it)",
            )
        )
        difference = results[group]["largest difference"]
        rows.append((f"the same attributions, layer {layer}, relative", "≤ 1e-4", f"{difference:.0e}"))
    memory = results["memory"]
    rows.append(
        (
            "peak memory, 32 texts of 128 pieces, layer 9, decoded",
            f"≤ 1.5 × {memory['forward']:.0f} + 256 MiB",
            f"{memory['decoded']:.0f} MiB",
        )
    )
    ours = sum(value for part, value in results["startup"].items() if "ours" in part)
    rows.append(("start to first explanation, our part", "≤ 0.5 s", f"{ours:.2f} s"))
    for name, page in results["page"]["pages"].items():
        rows += [
            (f"page of 1,000 explanations, {name}: size", "< 15 MB", f"{page['MB']:.1f} MB"),
            (f"page of 1,000 explanations, {name}: usable", "≤ 3 s", f"{page['ready']:.2f} s"),
        ]
    return [f"| {' | '.join(row)} |" for row in rows]


def _table(name: str, group: Dict[str, Any]) -> str:
    lines = [f"## {name[0].upper()}{name[1:]}", "", f"{group['shape']}."]
    if "decoded positions" in group:
        lines.append(f"grad-cam leaves {group['decoded positions']} positions to decode.")
    lines += ["", "| | ms per text | smallest to largest | rounds |", "|---|---|---|---|"]
    for row, times in group["rows"].items():
        median, least, most = (1000 * times[key] for key in ("median", "min", "max"))
        lines.append(f"| {row} | {median:.0f} | {least:.0f} to {most:.0f} | {times['rounds']} |")
    return "\n".join(lines) + "\n"


def _pivot(group: Dict[str, Any]) -> str:
    """Rows named "aggregation | decoded or not | layer", with a column for each layer."""
    cells: Dict[str, Dict[str, str]] = {}
    for row, times in group["rows"].items():
        name, layer = row.rsplit(" | ", 1)
        median, least, most = (1000 * times[key] for key in ("median", "min", "max"))
        cells.setdefault(name, {})[layer] = f"{median:.0f} ({least:.0f} to {most:.0f})"
    layers = list(next(iter(cells.values())))
    lines = [
        "## Each aggregation at each layer",
        "",
        f"{group['shape']}; ms, smallest to largest.",
        "",
    ]
    lines.append(f"| | {' | '.join(f'layer {layer}' for layer in layers[:-1])} | all 13 |")
    lines.append("|---" * (len(layers) + 1) + "|")
    for name, row in cells.items():
        lines.append(f"| {name.replace(' | ', ', ')} | {' | '.join(row.values())} |")
    return "\n".join(lines) + "\n"


def _memory(memory: Dict[str, float]) -> str:
    return (
        "## Memory\n\nPeak resident memory above the loaded model, 32 texts of 128 pieces at once, each in a "
        f"process of its own: the plain forward pass {memory['forward']:.0f} MiB, decoded-layer-saliency "
        f"(grad-cam, layer 9) {memory['decoded']:.0f} MiB.\n"
    )


def _startup(parts: Dict[str, float]) -> str:
    lines = ["## From the start of Python to the first explanation", ""]
    lines += ["The bundled model, medians.", "", "| | s |", "|---|---|"]
    lines += [f"| {part} | {seconds:.2f} |" for part, seconds in parts.items()]
    lines.append(f"| sum | {sum(parts.values()):.2f} |")
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
