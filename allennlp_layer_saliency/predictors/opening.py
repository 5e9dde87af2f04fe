"""What the commands take for an `archive_file`: an archive, or a folder of Hugging Face's."""

import os
from typing import Tuple

from allennlp.common.checks import ConfigurationError
from allennlp.data import DatasetReader
from allennlp.models import Model

from allennlp_layer_saliency.dataset_readers.huggingface_classifier import HuggingFaceClassifierReader
from allennlp_layer_saliency.models.allennlp import check_device, open_archive
from allennlp_layer_saliency.models.huggingface import is_tagger, load_classifier, problem_type
from allennlp_layer_saliency.models.huggingface_classifier import in_memory
from allennlp_layer_saliency.results_folder import read_json


def open_model(path: str, cuda_device: int = -1, states_only: bool = False) -> Tuple[Model, DatasetReader]:
    """
    A model and its dataset reader.

    # Parameters

    path : `str`
        An archive, or a local folder of a Hugging Face classifier of sequences or tokens with its tokenizer.
    cuda_device : `int`, optional (default = `-1`)
        -1 is the CPU.
    states_only : `bool`, optional (default = `False`)
        Of a Hugging Face model just the hidden states are wanted, so that a plain encoder will do.

    # Raises

    `ConfigurationError`
        If it is neither, or there is no GPU where one is asked for.
    """
    if not _is_huggingface(path):
        archive = open_archive(path, cuda_device)
        return archive.model, archive.validation_dataset_reader
    check_device(cuda_device)
    try:
        tagger = is_tagger(path)
        kind = "token classifier" if tagger else "sequence classifier"
        classifier = load_classifier(path, kind=kind, untrained_head=states_only)
    except ValueError as error:
        raise ConfigurationError(str(error)) from error
    reader = HuggingFaceClassifierReader(path, problem_type=problem_type(classifier.config), words=tagger)
    model = in_memory(classifier if cuda_device < 0 else classifier.to(f"cuda:{cuda_device}"))
    return model.eval(), reader


def _is_huggingface(path: str) -> bool:
    """Whether a folder's config.json is of transformers; AllenNLP's own unpacked archives have one too."""
    config = read_json(os.path.join(path, "config.json")) if os.path.isdir(path) else None
    return isinstance(config, dict) and ("model_type" in config or "architectures" in config)
