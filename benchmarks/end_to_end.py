"""From the file of inputs to the file of outputs, beside explaining alone and AllenNLP's own predicting."""

import json
import sys
import tempfile
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any, Dict, List
from unittest import mock

import torch
from allennlp.commands import main
from allennlp.models import load_archive
from allennlp.predictors import Predictor
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from allennlp_layer_saliency.commands.archive import make_archive
from allennlp_layer_saliency.commands.run import explain_data
from benchmarks.explainers import MIDPOINT, interpreter
from benchmarks.timing import Row, interleaved

SHARD = 256


def end_to_end(archive: str, sentences: List[str], rounds: int) -> Dict[str, Any]:
    """
    Four rows: explaining alone (lines to explanations in memory), `saliency run`, `allennlp predict` with the
    saliency predictor, and `allennlp predict` without explanations. The commands load the model each time.
    """
    lines = [{"sentence": sentence} for sentence in sentences]
    explainer = interpreter(
        Predictor.from_archive(load_archive(archive), "text_classifier"),
        type="decoded-layer-saliency",
        **MIDPOINT,
    )

    def alone() -> None:
        for start in range(0, len(lines), SHARD):
            explainer.saliency_interpret_batch_json(lines[start : start + SHARD])

    with tempfile.TemporaryDirectory() as folder:
        data, config, out = (str(Path(folder) / name) for name in ("in.jsonl", "run.json", "out"))
        Path(data).write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
        settings = {
            "archive_file": archive,
            "data": {"path": data},
            "interpreters": {"decoded": {"type": "decoded-layer-saliency", **MIDPOINT}},
            "shard_size": SHARD,
            "threads": torch.get_num_threads(),
        }
        Path(config).write_text(json.dumps(settings))

        def run() -> None:
            with redirect_stdout(StringIO()), redirect_stderr(StringIO()):
                assert explain_data(config, out, force=True) == 0

        def predict(*more: str) -> None:
            arguments = ["predict", archive, data, "--silent", "--batch-size", str(SHARD)]
            arguments += ["--output-file", f"{out}.jsonl", *more]
            with redirect_stdout(StringIO()), redirect_stderr(StringIO()):
                with mock.patch.object(sys, "argv", ["allennlp", *arguments]):
                    main()

        ours = (
            "--predictor",
            "saliency",
            "--predictor-args",
            json.dumps({"interpreter": {"type": "decoded-layer-saliency", **MIDPOINT}}),
        )
        rows = {
            "explaining alone": Row(alone, len(lines)),
            "saliency run": Row(run, len(lines)),
            "allennlp predict, explained": Row(lambda: predict(*ours), len(lines)),
            "allennlp predict, not explained": Row(
                lambda: predict("--predictor", "text_classifier"), len(lines)
            ),
        }
        return {
            "shape": f"{len(lines):,} sentences of SST-2, one midpoint step at layer 1, files of {SHARD} "
            "texts",
            "rows": interleaved("end to end", rows, rounds),
        }


def small_classifier(pretrained: str, folder: str) -> str:
    """An archive of a pre-trained encoder with a classification head that is not trained."""
    torch.manual_seed(0)
    model = AutoModelForSequenceClassification.from_pretrained(pretrained, num_labels=2)
    model.save_pretrained(f"{folder}/classifier")
    AutoTokenizer.from_pretrained(pretrained).save_pretrained(f"{folder}/classifier")
    path = f"{folder}/model.tar.gz"
    with redirect_stdout(StringIO()):
        make_archive(f"{folder}/classifier", path, base=pretrained)
    return path


def sst2_sentences(path: str, count: int) -> List[str]:
    """The first sentences of a file of SST-2 as GLUE has it."""
    rows = Path(path).read_text(encoding="utf-8").splitlines()[1:]
    return [row.split("\t")[0].strip() for row in rows[:count]]
