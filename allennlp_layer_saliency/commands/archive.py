"""`allennlp saliency archive`: a plain Hugging Face classifier as an AllenNLP archive."""

import json
import os
import tempfile
from typing import Any, Dict, Optional

import torch
from allennlp.common.checks import ConfigurationError
from allennlp.common.meta import META_NAME, Meta
from allennlp.common.params import Params
from allennlp.data import DatasetReader
from allennlp.models.archival import CONFIG_NAME, archive_model

from allennlp_layer_saliency.interpreters.lm_heads import PretrainedLMHead
from allennlp_layer_saliency.models import HuggingFaceClassifier
from allennlp_layer_saliency.models.huggingface import (
    REGRESSION,
    is_tagger,
    load_classifier,
    load_tokenizer,
    problem_type,
)
from allennlp_layer_saliency.models.huggingface_classifier import HuggingFaceTagger, label_vocabulary

# The folder of the archive with the classifier's configuration and tokenizer.
FOLDER = "huggingface"


def make_archive(
    model_name: str,
    output: str,
    force: bool = False,
    max_length: Optional[int] = None,
    base: Optional[str] = None,
    words: bool = False,
) -> None:
    """
    Make an archive of a Hugging Face `AutoModelForSequenceClassification`, or of a
    `AutoModelForTokenClassification`.

    # Parameters

    model_name : `str`
        A local folder or a name on the hub.
    output : `str`
        The archive's path.
    force : `bool`
        Whether an existing file is replaced.
    max_length : `int`, optional
        Longer texts are cut off to this many word pieces.
    base : `str`, optional
        The pretrained language model that it was fine-tuned from, whose head decodes, where the folder does
        not name it.
    words : `bool`
        Whether explanations are of words, and not of word pieces.

    # Raises

    `ConfigurationError`
        If there is no such classifier, it has no tokenizer, the file exists, or the base has no fitting LM
        head.
    """
    if os.path.exists(output) and not force:
        raise ConfigurationError(f"{output} exists; choose another name, or give --force")
    try:
        tagger = is_tagger(model_name)
        made_of = HuggingFaceTagger if tagger else HuggingFaceClassifier
        classifier = load_classifier(model_name, kind=made_of.kind)
        tokenizer = load_tokenizer(model_name)
    except ValueError as error:
        raise ConfigurationError(str(error)) from error
    vocabulary = label_vocabulary(classifier.config)
    reader: Dict[str, Any] = {"type": "huggingface-classifier", "model_name": FOLDER}
    if max_length is not None:
        reader["max_length"] = max_length
    if words or tagger:
        reader["words"] = True
    if problem_type(classifier.config) == REGRESSION:
        reader["problem_type"] = REGRESSION
    name = "huggingface-tagger" if tagger else "huggingface-classifier"
    model = {"type": name, "model_name": FOLDER, "load_weights": False}
    if base is not None:
        PretrainedLMHead(base).load(classifier, tokenizer)
    base = base or classifier.config._name_or_path
    if base:
        # Later versions of transformers don't keep it in the classifier's own configuration.
        model["base_model"] = os.path.abspath(base) if os.path.isdir(base) else base

    # In the output's own folder, so that what is there is whole: a rename can't stop half-way.
    target = os.path.abspath(output)
    with tempfile.TemporaryDirectory(dir=os.path.dirname(target)) as folder:
        classifier.config.save_pretrained(os.path.join(folder, FOLDER))
        tokenizer.save_pretrained(os.path.join(folder, FOLDER))
        vocabulary.save_to_files(os.path.join(folder, "vocabulary"))
        # The checks are the reader's and the model's own: of the settings, and of the labels.
        DatasetReader.from_params(Params(dict(reader)), serialization_dir=folder)
        made_of(vocabulary, FOLDER, load_weights=False, serialization_dir=folder)
        state = {f"classifier.{name}": weight for name, weight in classifier.state_dict().items()}
        torch.save(state, os.path.join(folder, "best.th"))
        with open(os.path.join(folder, CONFIG_NAME), "w") as file:
            json.dump({"dataset_reader": reader, "model": model}, file, indent=2)
        Meta.new().to_file(os.path.join(folder, META_NAME))
        made = archive_model(
            folder,
            weights="best.th",
            archive_path=os.path.join(folder, "made.tar.gz"),
            include_in_archive=[FOLDER],
        )
        os.replace(made, target)
    print(f"{output}: {type(classifier).__name__}, labels {list(classifier.config.id2label.values())}")
