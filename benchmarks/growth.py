"""How the time of one midpoint step grows with length, layers, classes, and the number of targets."""

import tempfile
from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Any, Dict, List

import torch
from allennlp.predictors import Predictor
from transformers import AutoTokenizer, RobertaConfig, RobertaForSequenceClassification

from allennlp_layer_saliency.dataset_readers.huggingface_classifier import InMemoryReader
from allennlp_layer_saliency.models.huggingface_classifier import in_memory
from allennlp_layer_saliency.predictors import SaliencyPredictor
from benchmarks.explainers import MIDPOINT, interpreter
from benchmarks.models import VOCABULARY_SIZE, classifier, save_language_model, texts
from benchmarks.timing import Row, interleaved

LENGTHS = (16, 32, 64, 128, 256, 512)
LAYERS = (4, 8, 12, 24)
CLASSES = (2, 10, 50, 150)
TARGETS = (1, 2, 4, 8)
KINDS = {"decoded": "decoded-layer-saliency", "undecoded": "layer-saliency"}


def with_length(folder: str, rounds: int) -> Dict[str, Any]:
    predictor = classifier(folder)
    rows: Dict[str, Row] = {}
    for length in LENGTHS:
        rows.update(_rows(length, predictor, texts([length] * max(2, 512 // length))))
    return {"shape": "texts of so many pieces", "rows": interleaved("length", rows, rounds)}


def with_layers(_: str, rounds: int) -> Dict[str, Any]:
    rows: Dict[str, Row] = {}
    lines = texts([64] * 4)
    with tempfile.TemporaryDirectory() as folder:
        for layers in LAYERS:
            path = save_language_model(Path(folder) / str(layers), layers=layers)
            rows.update(_rows(layers, classifier(path), lines))
        return {
            "shape": "4 texts of 64 pieces, models of so many layers",
            "rows": interleaved("layers", rows, rounds),
        }


def with_classes(folder: str, rounds: int) -> Dict[str, Any]:
    lines = texts([64] * 4)
    rows: Dict[str, Row] = {}
    for classes in CLASSES:
        rows.update(_rows(classes, classifier(folder, classes=classes), lines))
    return {
        "shape": "4 texts of 64 pieces, so many classes",
        "rows": interleaved("classes", rows, rounds),
    }


def with_targets(folder: str, rounds: int) -> Dict[str, Any]:
    """A classifier of eight labels, so many of which it predicts."""
    config = RobertaConfig(
        vocab_size=VOCABULARY_SIZE,
        max_position_embeddings=514,
        type_vocab_size=1,
        num_labels=max(TARGETS),
        problem_type="multi_label_classification",
    )
    torch.manual_seed(0)
    reader = InMemoryReader(AutoTokenizer.from_pretrained(folder))
    lines = texts([64] * 4)
    rows = {}
    for targets in TARGETS:
        torch.manual_seed(0)
        model = RobertaForSequenceClassification(config).eval()
        with torch.no_grad():
            model.classifier.out_proj.bias.fill_(-100.0)
            model.classifier.out_proj.bias[:targets] = 100.0
        model.config._name_or_path = folder
        for kind in KINDS:
            predictor = SaliencyPredictor(
                in_memory(model), reader, {"type": KINDS[kind], **deepcopy(MIDPOINT)}
            )
            instances = [[reader.text_to_instance(line["sentence"])] for line in lines]
            found = predictor.explain(instances)
            assert all(len(one.explanation) == targets for one in found), found
            rows[f"{kind} | {targets}"] = Row(partial(predictor.explain, instances), len(lines))
    return {
        "shape": "4 texts of 64 pieces, so many labels explained of each",
        "rows": interleaved("targets", rows, rounds),
    }


GROUPS = {"length": with_length, "layers": with_layers, "classes": with_classes, "targets": with_targets}


def _rows(size: int, predictor: Predictor, lines: List[Dict[str, str]]) -> Dict[str, Row]:
    """One midpoint step, decoded and not, on a model or texts of one size."""
    explainers = {kind: interpreter(predictor, type=KINDS[kind], **MIDPOINT) for kind in KINDS}
    return {
        f"{kind} | {size}": Row(partial(explainer.saliency_interpret_batch_json, lines), len(lines))
        for kind, explainer in explainers.items()
    }
