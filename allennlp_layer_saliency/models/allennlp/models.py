"""AllenNLP's models and predictors."""

import copy
import tarfile
import zlib
from contextlib import contextmanager
from typing import Any, Dict, Iterator, List, Optional

import torch
from allennlp.common.checks import ConfigurationError
from allennlp.common.util import sanitize
from allennlp.data import DatasetReader
from allennlp.models import BasicClassifier, Model
from allennlp.models.archival import Archive, load_archive
from allennlp.modules.text_field_embedders import BasicTextFieldEmbedder
from allennlp.predictors import Predictor
from allennlp.training.metrics import Metric
from torch import Tensor

from allennlp_layer_saliency.models.allennlp.indexers import TRANSFORMER_INDEXERS, indexer_namespace


def model_of(predictor: Predictor) -> Model:
    return predictor._model


def dataset_reader_of(predictor: Predictor) -> DatasetReader:
    return predictor._dataset_reader


def open_archive(path: str, cuda_device: int = -1) -> Archive:
    """
    An archive's model and readers.

    # Raises

    `ConfigurationError`
        If the file is not an archive, or there is no GPU where one is asked for.
    """
    check_device(cuda_device)
    try:
        return load_archive(path, cuda_device=cuda_device)
    except (EOFError, tarfile.ReadError, zlib.error) as error:
        raise ConfigurationError(f"{path} is not an archive that AllenNLP wrote: {error}") from error


def check_device(cuda_device: int) -> None:
    """
    # Raises

    `ConfigurationError`
        If there is no GPU where one is asked for.
    """
    if cuda_device >= 0 and not torch.cuda.is_available():
        raise ConfigurationError(
            f"--cuda-device {cuda_device}: torch finds no GPU here; leave it out to use the CPU"
        )


def on_cpu(model: Model) -> bool:
    """Whether the model takes its batches on the CPU."""
    return model._get_prediction_device() < 0


def class_labels(model: Model) -> Dict[int, str]:
    """A classifier's labels by index: its vocabulary's, or the indices if that has none."""
    namespace = getattr(model, "_label_namespace", "labels")
    named = model.vocab.get_index_to_token_vocabulary(namespace)
    return named or {index: str(index) for index in range(getattr(model, "_num_labels", 0))}


def words_by_index(model: Model) -> Dict[int, str]:
    """The words that a language model of AllenNLP's predicts."""
    return model.vocab.get_index_to_token_vocabulary(str(model._target_namespace))


def language_model_head(model: Model) -> Optional[torch.nn.Module]:
    """
    The module that computes the logits of AllenNLP's language models, which don't return them; None for other
    models.
    """
    return getattr(model, "_language_model_head", None)


def predictions(model: Model, outputs: Dict[str, Any], batch_size: int) -> List[Dict[str, Any]]:
    """A forward pass' outputs as `Predictor.predict_batch_instance` would give them."""
    detached = {k: _plain(v) if isinstance(v, Tensor) else v for k, v in outputs.items()}
    readable = model.make_output_human_readable(detached)
    separated: List[Dict[str, Any]] = [{} for _ in range(batch_size)]
    for name, output in readable.items():
        elements: Any = output
        if isinstance(output, Tensor):
            elements = (output.unsqueeze(0) if output.dim() == 0 else output).cpu().numpy()
        if len(elements) != batch_size:
            continue
        for prediction, element in zip(separated, elements):
            prediction[name] = sanitize(element)
    return separated


# By name, as some are slow to import. A subclass may read more.
_READ_BY_LAYERS_ALONE = (
    "allennlp.models.basic_classifier.BasicClassifier",
    "allennlp.models.simple_tagger.SimpleTagger",
    "allennlp_models.tagging.models.crf_tagger.CrfTagger",
)


def reads_by_layers_alone(model: Model) -> bool:
    """
    Whether the model is known to read texts by a transformer's layers and by nothing else, so that it gives
    the same logits wherever these are the same.
    """
    if hasattr(model, "layers_tell_all"):
        return bool(model.layers_tell_all)
    kind = type(model)
    if f"{kind.__module__}.{kind.__name__}" not in _READ_BY_LAYERS_ALONE:
        return False
    embedders = [m for m in model.modules() if isinstance(m, BasicTextFieldEmbedder)]
    return all(len(embedder._token_embedders) == 1 for embedder in embedders)


def _plain(tensor: Tensor) -> Tensor:
    """Without graph, and in a type that NumPy knows."""
    tensor = tensor.detach()
    return tensor.float() if tensor.is_floating_point() else tensor


def mend_token_namespace(model: Model, reader: DatasetReader) -> None:
    """
    Let a `basic_classifier` name its word pieces.

    Its `namespace` defaults to "tokens", the transformer indexer's to "tags", and then
    `make_output_human_readable` raises a KeyError on every input (AllenNLP 2.10.1).
    """
    indexers = getattr(reader, "_token_indexers", None) or {}
    namespaces = {
        indexer_namespace(indexer)
        for indexer in indexers.values()
        if isinstance(indexer, TRANSFORMER_INDEXERS)
    }
    if isinstance(model, BasicClassifier) and model._namespace == "tokens" and len(namespaces) == 1:
        model._namespace = namespaces.pop()


@contextmanager
def metrics_preserved(model: Model) -> Iterator[None]:
    """Leave the model's metrics as they were before the block."""
    metrics = [metric for module in model.modules() for metric in _metrics_in(vars(module))]
    before = [(metric, copy.deepcopy(vars(metric))) for metric in metrics]
    try:
        yield
    finally:
        for metric, state in before:
            vars(metric).clear()
            vars(metric).update(state)


def _metrics_in(value: Any) -> Iterator[Metric]:
    """The metrics that a module's attribute holds, in however many dicts and lists."""
    if isinstance(value, Metric):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _metrics_in(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _metrics_in(item)


def forget_offsets(predictor: Predictor) -> None:
    """Empty the list that the built-in interpreters fill, and fail to empty when they raise."""
    predictor._token_offsets.clear()
