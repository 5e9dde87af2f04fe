"""
The benchmark:

    python -m benchmarks.run

writes benchmarks/results.json and, from it, benchmarks/RESULTS.md. Everything is seeded; times are medians
of interleaved rounds.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import allennlp.version
import captum
import torch
import transformers
from allennlp.interpret.saliency_interpreters import SaliencyInterpreter
from allennlp.predictors import Predictor

from allennlp_layer_saliency.core.aggregation import grad_cam
from allennlp_layer_saliency.core.paths import PROBES
from allennlp_layer_saliency.core.translators import Translator
from allennlp_layer_saliency.interpreters.aggregations import PRESETS
from allennlp_layer_saliency.interpreters.lm_heads.tuned import (
    DESCRIPTION,
    WEIGHTS,
    fingerprint,
    write_translators,
)
from allennlp_layer_saliency.models.batching import MAX_PIECES
from benchmarks import growth
from benchmarks.end_to_end import end_to_end, small_classifier, sst2_sentences
from benchmarks.explainers import (
    BATCH,
    MIDPOINT,
    Bare,
    Head,
    captum_of,
    captum_steps,
    decoded,
    interpreter,
    through_predictor,
    undecoded,
)
from benchmarks.models import classifier, save_language_model, sst2_lengths, texts
from benchmarks.plots import cost_plot, growth_plot
from benchmarks.report import report
from benchmarks.timing import Row, interleaved

HERE = Path(__file__).parent
AGGREGATIONS: Dict[str, Dict[str, Any]] = {
    "gradient-norm": {"type": "gradient-norm"},
    "gradient-x-input": {"type": "gradient-x-input"},
    "grad-cam": {"type": "grad-cam"},
    "integrated-gradients, 1 midpoint step": {
        "type": "integrated-gradients",
        "steps": 1,
        "rule": "midpoint",
    },
    "integrated-gradients, 4 steps": {"type": "integrated-gradients", "steps": 4},
    "smooth-gradient, 4 samples": {"type": "smooth-gradient", "samples": 4},
}
LAYERS = (1, 6, 9, 12, "all")
STEPS = 32


def explain(explainer: SaliencyInterpreter, lines: List[Dict[str, str]]) -> Row:
    return Row(lambda: explainer.saliency_interpret_batch_json(lines), len(lines))


def the_floor(predictor: Predictor, folder: str, rounds: int) -> Dict[str, Any]:
    """decoded-layer-saliency beside the least that it has to compute."""
    lines = texts([128] * 8)
    bare, head = Bare(predictor, lines), Head(folder)
    settings = {"aggregation": {"type": "grad-cam"}, "layer": 9}

    def floor(positions: torch.Tensor) -> None:
        hidden = bare.lower(9)
        bare.upper(hidden, 9)
        head(hidden[positions])

    hidden = bare.lower(9)
    weights = grad_cam(hidden, bare.upper(hidden, 9), bare.mask)
    # grad-cam's ReLU leaves positions without weight; those need no head.
    positions = weights != 0
    rows = {
        "floor: forward, partial backward, head on the positions with weight": Row(
            lambda: floor(positions), len(lines)
        ),
        "floor: the same, head on all positions": Row(lambda: floor(bare.mask), len(lines)),
        "decoded, grad-cam": explain(decoded(predictor, decoded_top_k=0, **settings), lines),
        "decoded, gradient-x-input (all positions have weight)": explain(decoded(predictor, **BATCH), lines),
        "decoded, grad-cam, 10 decoded words each": explain(decoded(predictor, **settings), lines),
        "undecoded, grad-cam": explain(undecoded(predictor, **settings), lines),
        "projected gradient": explain(
            interpreter(predictor, type="projected-gradient-saliency", **BATCH), lines
        ),
    }
    return {
        "shape": "8 texts of 128 pieces, layer 9",
        "decoded positions": f"{int(positions.sum())} of {int(bare.mask.sum())}",
        "rows": interleaved("floor", rows, rounds),
    }


def built_ins(
    predictor: Predictor, lines: List[Dict[str, str]], few: int, layer: int, rounds: int
) -> Dict[str, Any]:
    """All through the saliency predictor; those that go one by one on a few of the texts, of all lengths."""
    ours = {"layer": layer, "aggregation": {"type": "grad-cam"}}
    by_length = sorted(lines, key=lambda line: len(line["sentence"].split()))
    step = len(lines) // few
    some = by_length[step // 2 :: step]
    rows = {
        "decoded-layer-saliency": Row(
            through_predictor(predictor, lines, type="decoded-layer-saliency", decoded_top_k=0, **ours),
            len(lines),
        ),
        "layer-saliency": Row(through_predictor(predictor, lines, type="layer-saliency", **ours), len(lines)),
        "simple-gradient": Row(through_predictor(predictor, some, type="simple-gradient"), len(some)),
        "integrated-gradient": Row(through_predictor(predictor, some, type="integrated-gradient"), len(some)),
        "smooth-gradient": Row(through_predictor(predictor, some, type="smooth-gradient"), len(some)),
    }
    return {"rows": interleaved("built-ins", rows, rounds)}


def layers(predictor: Predictor, rounds: int) -> Dict[str, Any]:
    lines = texts([128] * 4)
    rows = {
        "layer 0": explain(undecoded(predictor, layer=0), lines),
        "all 13 layers": explain(undecoded(predictor, layer="all"), lines),
    }
    return {
        "shape": "4 texts of 128 pieces, layer-saliency, gradient-x-input",
        "rows": interleaved("all layers", rows, rounds),
    }


def one_step(predictor: Predictor, rounds: int) -> Dict[str, Any]:
    lines = texts([128] * 8)
    midpoint = {"type": "integrated-gradients", "steps": 1, "rule": "midpoint"}
    rows = {
        "gradient-x-input": explain(undecoded(predictor, layer=9), lines),
        "integrated-gradients, 1 midpoint step": explain(
            undecoded(predictor, layer=9, aggregation=midpoint), lines
        ),
    }
    return {
        "shape": "8 texts of 128 pieces, layer 9, undecoded",
        "rows": interleaved("one step", rows, rounds),
    }


def paths(predictor: Predictor, layer: int, rounds: int) -> Dict[str, Any]:
    """Layer integrated gradients beside Captum's: steps, rule, baseline and step batch the same."""
    lines = texts([128])
    together = MAX_PIECES // 128
    bare = Bare(predictor, lines)
    theirs = captum_of(
        bare,
        "LayerIntegratedGradients",
        layer,
        baselines=torch.where((bare.ids == 0) | (bare.ids == 2), bare.ids, torch.full_like(bare.ids, 4)),
        n_steps=STEPS,
        method="gausslegendre",
        internal_batch_size=together,
    )
    ours = undecoded(predictor, layer=layer, aggregation={"type": "integrated-gradients", "steps": STEPS})
    steps = Bare(predictor, lines * together)
    state = steps.lower(layer)

    def whole() -> None:
        steps.upper(steps.lower(layer), layer)

    rows = {
        "Captum's LayerIntegratedGradients": Row(theirs, 1),
        "integrated-gradients, undecoded": explain(ours, lines),
        "bare: whole forward, partial backward": Row(whole, 1),
        "bare: partial forward, partial backward": Row(lambda: steps.upper(state, layer), 1),
    }
    wanted = theirs()[0]
    got = torch.tensor(ours.saliency_interpret_batch_json(lines)[0]["instance_1"]["signed_1"])
    return {
        "shape": f"1 text of 128 pieces, {STEPS} Gauss-Legendre steps, {together} together, masked "
        "baseline",
        "largest difference": ((got - wanted).abs().max() / wanted.abs().max()).item(),
        "rows": interleaved(f"paths, layer {layer}", rows, rounds),
    }


def one_midpoint(predictor: Predictor, folder: str, rounds: int) -> Dict[str, Any]:
    """
    One midpoint step at layer 1 beside the least that it has to compute (forward; forward and backward above
    the layer; the head on all positions), and beside Captum's layer integrated gradients at the embeddings
    as a user calls them: a text at a time, all steps together, from padding.
    """
    lines, few = texts([128] * 8), texts([128])
    bare, head = Bare(predictor, lines), Head(folder)
    one = Bare(predictor, few)

    def floor(decodes: bool) -> None:
        hidden = bare.floor(1, 1)
        if decodes:
            head(hidden[bare.mask])

    rows = {
        "floor, undecoded": Row(lambda: floor(False), len(lines)),
        "undecoded": explain(interpreter(predictor, type="layer-saliency", **MIDPOINT), lines),
        "floor, decoded": Row(lambda: floor(True), len(lines)),
        "decoded": explain(interpreter(predictor, type="decoded-layer-saliency", **MIDPOINT), lines),
        "decoded, no list of decoded words": explain(
            interpreter(predictor, type="decoded-layer-saliency", decoded_top_k=0, **MIDPOINT), lines
        ),
        **captum_steps(one),
    }
    return {"shape": "8 texts of 128 pieces", "rows": interleaved("one midpoint", rows, rounds)}


def presets(predictor: Predictor, folder: str, rounds: int) -> Dict[str, Any]:
    """As `one_midpoint`, for the presets; the slowest on one text."""
    lines, few = texts([128] * 4), texts([128])
    bare, one, head = Bare(predictor, lines), Bare(predictor, few), Head(folder)

    def floor(of: Bare, name: str, layer: int, decodes: bool) -> None:
        preset = PRESETS[name]
        # Between the path's ends, and for each piece that is tried alone.
        hidden = of.floor(layer, preset.steps, PROBES - 1 + 2 * preset.marginals)
        if decodes:
            head(hidden[of.mask])

    rows: Dict[str, Row] = {}
    for name, of, texts_, kinds in (
        ("fast", bare, lines, ("undecoded", "decoded")),
        ("balanced", bare, lines, ("undecoded", "decoded")),
        ("best", one, few, ("undecoded",)),
    ):
        for kind in kinds:
            built = interpreter(predictor, type=growth.KINDS[kind], preset=name)
            at_least = partial(floor, of, name, built.layers[0], kind == "decoded")
            rows[f"floor, {name}, {kind}"] = Row(at_least, len(texts_))
            rows[f"{name}, {kind}"] = explain(built, texts_)
    return {
        "shape": "4 texts of 128 pieces; best and Captum 1",
        "rows": interleaved("presets", {**rows, **captum_steps(one)}, rounds),
    }


def tuned_head(predictor: Predictor, rounds: int) -> Dict[str, Any]:
    """Decoding through a fitted head beside the head that it is fitted in front of."""
    lines = texts([128] * 8)
    transformer = predictor._model._text_field_embedder.token_embedder_tokens.transformer_model
    with tempfile.TemporaryDirectory() as folder:
        size = transformer.config.hidden_size
        write_translators(os.path.join(folder, WEIGHTS), {9: Translator.identity(size)})
        described = {"fingerprint": fingerprint(transformer), "base": {"type": "pretrained"}, "fitted": [9]}
        Path(folder, DESCRIPTION).write_text(json.dumps(described))
        rows = {
            f"{kind}, {name}": explain(decoded(predictor, lm_head=head, **BATCH, **settings), lines)
            for kind, settings in (
                ("gradient-x-input", {}),
                ("1 midpoint step", {"aggregation": AGGREGATIONS["integrated-gradients, 1 midpoint step"]}),
            )
            for name, head in (
                ("pretrained head", {"type": "pretrained"}),
                ("fitted head", {"type": "tuned", "path": folder}),
            )
        }
    return {"shape": "8 texts of 128 pieces, layer 9", "rows": interleaved("fitted head", rows, rounds)}


def with_pretrained(pretrained: str, sst2: str, rounds: int) -> Dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        archive = small_classifier(pretrained, folder)
        return end_to_end(archive, sst2_sentences(sst2, 2000), rounds)


def captums(predictor: Predictor, rounds: int) -> Dict[str, Any]:
    lines = texts([128] * 8)
    bare = Bare(predictor, lines)
    rows = {
        "Captum's LayerGradientXActivation": Row(captum_of(bare, "LayerGradientXActivation", 9), len(lines)),
        "gradient-x-input, undecoded": explain(undecoded(predictor, layer=9), lines),
        "Captum's LayerGradCam": Row(captum_of(bare, "LayerGradCam", 9), len(lines)),
        "grad-cam, undecoded": explain(
            undecoded(predictor, layer=9, aggregation={"type": "grad-cam"}), lines
        ),
    }
    return {
        "shape": "8 texts of 128 pieces, layer 9; Captum is told the classes by a forward pass",
        "rows": interleaved("Captum", rows, rounds),
    }


def table(predictor: Predictor, rounds: int) -> Dict[str, Any]:
    """Each aggregation at each layer, decoded and not."""
    lines = texts([128])
    rows = {}
    for name, aggregation in AGGREGATIONS.items():
        for layer in LAYERS:
            for kind, make in (("decoded", decoded), ("undecoded", undecoded)):
                built = make(predictor, layer=layer, aggregation=dict(aggregation))
                rows[f"{name} | {kind} | {layer}"] = explain(built, lines)
    return {"shape": "1 text of 128 pieces", "rows": interleaved("table", rows, rounds)}


def memory(folder: str) -> Dict[str, float]:
    """Peak MiB above the loaded model, each in a process of its own."""
    return {
        what: float(
            subprocess.run(
                [sys.executable, "-W", "ignore", "-m", "benchmarks.memory", folder, what],
                capture_output=True,
                check=True,
                text=True,
            ).stdout
        )
        for what in ("forward", "decoded")
    }


def startup(rounds: int) -> Dict[str, float]:
    """Medians of what a first explanation's time consists of."""
    found = []
    for _ in range(rounds):
        command = [sys.executable, "-W", "ignore", "-m", "benchmarks.startup"]
        done = subprocess.run(command, capture_output=True, check=True, text=True)
        found.append(json.loads(done.stdout.splitlines()[-1]))
    return {part: sorted(run[part] for run in found)[rounds // 2] for part in found[0]}


def environment(threads: int) -> Dict[str, Any]:
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "allennlp": allennlp.version.VERSION,
        "captum": captum.__version__,
        "threads": threads,
        "machine": platform.machine(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument(
        "--only", nargs="*", help="these groups alone, by their names in results.json; others stay"
    )
    parser.add_argument("--pretrained", help="a folder of a small pre-trained model, for end to end")
    parser.add_argument("--sst2", help="SST-2's train.tsv, for the same")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    saved = HERE / "results.json"
    results: Dict[str, Any] = json.loads(saved.read_text())
    lane = "own" if transformers.__version__.startswith("4.") else "newest"
    of_lane = results["lanes"].setdefault(lane, {})
    of_lane["environment"] = environment(args.threads)
    with tempfile.TemporaryDirectory() as folder:
        save_language_model(Path(folder))
        for name, run in groups(folder, args.rounds, args.pretrained, args.sst2).items():
            if not args.only or name in args.only:
                of_lane[name] = run()
                saved.write_text(json.dumps(results, indent=1) + "\n")
    (HERE / "RESULTS.md").write_text(report(results))
    growth_plot(results["lanes"], str(HERE / "growth.svg"))
    cost_plot(results["lanes"], str(HERE / "costs.svg"))


def groups(
    folder: str, rounds: int, pretrained: Optional[str], sst2: Optional[str]
) -> Dict[str, Callable[[], Any]]:
    """What is measured, by name."""
    predictor = classifier(folder)
    bundled = Predictor.from_path("fixtures/sst2-classifier.tar.gz")
    sample = [
        json.loads(line)["sentence"] for line in Path("fixtures/sst2_sample.jsonl").read_text().splitlines()
    ]
    lengths = sst2_lengths(64)
    mean = sum(lengths) / len(lengths)
    return {
        "floor": lambda: the_floor(predictor, folder, rounds),
        "one step": lambda: one_step(predictor, rounds),
        "all layers": lambda: layers(predictor, rounds),
        "built-ins, 128 pieces": lambda: {
            "shape": "8 texts of 128 pieces, layer 9",
            **built_ins(predictor, texts([128] * 8), 4, 9, rounds),
        },
        "built-ins, SST-2's lengths": lambda: {
            "shape": f"64 texts of {mean:.1f} pieces in the mean, layer 9",
            **built_ins(predictor, texts(lengths), 8, 9, rounds),
        },
        **{
            f"paths, layer {layer}": lambda layer=layer: paths(predictor, layer, rounds)
            for layer in (6, 9, 11)
        },
        "captum": lambda: captums(predictor, rounds),
        "table": lambda: table(predictor, max(1, rounds // 2)),
        "memory": lambda: memory(folder),
        "built-ins, bundled model": lambda: {
            "shape": f"{len(sample)} sentences of fixtures/sst2_sample.jsonl, layer 3",
            **built_ins(bundled, [{"sentence": s} for s in sample], 8, 3, rounds),
        },
        "startup": lambda: startup(rounds),
        "one midpoint": lambda: one_midpoint(predictor, folder, rounds),
        "presets": lambda: presets(predictor, folder, rounds),
        "fitted head": lambda: tuned_head(predictor, rounds),
        **{
            f"growth with {name}": lambda grow=grow: grow(folder, max(1, rounds // 2))
            for name, grow in growth.GROUPS.items()
        },
        "end to end, bundled model": lambda: end_to_end(
            "fixtures/sst2-classifier.tar.gz", sample * (2000 // len(sample)), max(1, rounds // 2)
        ),
        **(
            {}
            if pretrained is None or sst2 is None
            else {"end to end, MiniLM": lambda: with_pretrained(pretrained, sst2, max(1, rounds // 2))}
        ),
    }


if __name__ == "__main__":
    main()
