"""
All that is measured on a GPU, in one file with the card's name:

    python -m benchmarks.gpu

writes benchmarks/gpu.json: explanations per second of a classifier of RoBERTa-base's size at SST-2's lengths
and at 128 word pieces, for several numbers of word pieces in a forward pass, in float32 and in mixed
precision, beside bare torch and Captum; the peak of its memory; what happens when memory runs out; and how
tests/test_gpu.py ended.

`--device cpu --small` tries the whole of it on a machine without a GPU.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional

import torch
from allennlp.interpret.saliency_interpreters import SaliencyInterpreter
from allennlp.predictors import Predictor

from allennlp_layer_saliency.models.batching import MAX_PIECES
from benchmarks.explainers import MIDPOINT, Bare, captum_of, interpreter
from benchmarks.models import classifier, save_language_model, sst2_lengths, texts
from benchmarks.run import environment
from benchmarks.timing import Row, interleaved

HERE = Path(__file__).parent
PIECES = (512, MAX_PIECES, 8192, 32768)
PRECISIONS: Dict[str, Dict[str, Any]] = {
    "float32": {},
    "bfloat16": {"autocast": "bfloat16"},
    "float16": {"autocast": "float16"},
}


def explain(built: SaliencyInterpreter, lines: List[Dict[str, str]], pieces: int) -> Row:
    """As many word pieces at once as `pieces`, and all of a device's work done when it ends."""

    def run() -> None:
        built.texts.budget.pieces = pieces
        built.saliency_interpret_batch_json(lines)

    return Row(waited(run), len(lines))


def waited(run: Callable[[], Any]) -> Callable[[], None]:
    def done() -> None:
        run()
        if torch.cuda.is_available():
            torch.cuda.synchronize()

    return done


def speed(predictor: Predictor, lines: List[Dict[str, str]], rounds: int, name: str) -> Dict[str, Any]:
    """One midpoint step, decoded and not, at each number of word pieces and in each precision."""
    kinds = {"decoded": "decoded-layer-saliency", "undecoded": "layer-saliency"}
    rows = {}
    for precision, settings in PRECISIONS.items():
        if not usable(predictor, precision):
            continue
        for kind, type_ in kinds.items():
            built = interpreter(predictor, type=type_, **MIDPOINT, **settings)
            for pieces in PIECES:
                rows[f"{kind} | {precision} | {pieces:,}"] = explain(built, lines, pieces)
    return with_rates(interleaved(name, rows, rounds))


def usable(predictor: Predictor, precision: str) -> bool:
    """Whether the device has the precision at all."""
    on_gpu = next(predictor._model.parameters()).is_cuda
    if precision == "float16":
        return on_gpu
    if precision == "bfloat16":
        return torch.cuda.is_bf16_supported() if on_gpu else not torch.__version__.startswith("1.")
    return True


def beside(predictor: Predictor, lines: List[Dict[str, str]], rounds: int) -> Dict[str, Any]:
    """One midpoint step, its floor in bare torch, and integrated gradients of Captum, all texts at once."""
    bare = Bare(predictor, lines)
    pieces = bare.ids.numel()
    ours = interpreter(predictor, type="layer-saliency", **MIDPOINT)
    rows = {
        "floor: a forward pass, and one forward and backward above layer 1": Row(
            waited(lambda: bare.floor(1, 1)), len(lines)
        ),
        "layer-saliency": explain(ours, lines, pieces),
    }
    for steps in (20, 50):
        captum = captum_of(bare, "LayerIntegratedGradients", 0, n_steps=steps, internal_batch_size=len(lines))
        rows[f"Captum's LayerIntegratedGradients, {steps} steps"] = Row(waited(captum), len(lines))
    return with_rates(interleaved("beside", rows, rounds))


def with_rates(rows: Dict[str, Dict[str, Any]]) -> Dict[str, Any]:
    return {row: {**times, "texts per second": 1 / times["median"]} for row, times in rows.items()}


def peak(predictor: Predictor, lines: List[Dict[str, str]]) -> Optional[Dict[str, float]]:
    """MiB above the loaded model, of one midpoint step, decoded."""
    if not next(predictor._model.parameters()).is_cuda:
        return None
    built = interpreter(predictor, type="decoded-layer-saliency", **MIDPOINT)
    found = {}
    for pieces in PIECES:
        built.texts.budget.pieces = pieces
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        built.saliency_interpret_batch_json(lines)
        found[f"{pieces:,} pieces"] = (torch.cuda.max_memory_allocated() - before) / 2**20
    return found


def out_of_memory(predictor: Predictor, lines: List[Dict[str, str]]) -> Optional[Dict[str, Any]]:
    """All texts at once with little memory left: they must come out as with plenty."""
    if not next(predictor._model.parameters()).is_cuda:
        return None
    built = interpreter(predictor, type="layer-saliency")
    wanted = built.saliency_interpret_batch_json(lines)
    built.texts.budget.pieces = pieces = 10**9
    free, total = torch.cuda.mem_get_info()
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_allocated() + 2**30) / total)
    try:
        found = built.saliency_interpret_batch_json(lines)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    differences = [
        abs(a - b)
        for got, expected in zip(found, wanted)
        for a, b in zip(got["instance_1"]["signed_1"], expected["instance_1"]["signed_1"])
    ]
    return {
        "texts": len(lines),
        "MiB left": 1024,
        "word pieces at once": {"before": pieces, "after": built.texts.budget.pieces},
        "largest difference": max(differences),
    }


def tests() -> str:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/test_gpu.py"]
    done = subprocess.run(command, capture_output=True, text=True)
    return done.stdout.strip().splitlines()[-1]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--output", default=str(HERE / "gpu.json"))
    parser.add_argument("--small", action="store_true", help="a model of two blocks, and few texts")
    args = parser.parse_args()
    count = 8 if args.small else 512
    on_gpu = args.device != "cpu"
    results: Dict[str, Any] = {
        "card": torch.cuda.get_device_name(args.device) if on_gpu else None,
        "environment": {**environment(torch.get_num_threads()), "cuda": torch.version.cuda},
    }
    with tempfile.TemporaryDirectory() as folder:
        save_language_model(Path(folder), layers=2 if args.small else 12)
        predictor = classifier(folder, args.device)
        short, long = texts(sst2_lengths(count)), texts([128] * (count // 4))
        groups: Dict[str, Callable[[], Any]] = {
            "tests": tests,
            "SST-2's lengths": lambda: speed(predictor, short, args.rounds, "SST-2's lengths"),
            "128 pieces": lambda: speed(predictor, long, args.rounds, "128 pieces"),
            "beside others, 128 pieces": lambda: beside(predictor, long[:32], args.rounds),
            "peak memory, 128 pieces": lambda: peak(predictor, long),
            "out of memory": lambda: out_of_memory(predictor, long),
        }
        for name, run in groups.items():
            results[name] = run()
            # What is measured stays, whatever comes later.
            Path(args.output).write_text(json.dumps(results, indent=1) + "\n")
    print(args.output)


if __name__ == "__main__":
    main()
