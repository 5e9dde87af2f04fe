"""`allennlp saliency archive`: a plain Hugging Face classifier as an AllenNLP archive."""

import json
import os
import tempfile

import torch
from allennlp.common.checks import ConfigurationError
from allennlp.common.meta import META_NAME, Meta
from allennlp.data import Vocabulary
from allennlp.models.archival import CONFIG_NAME, archive_model
from transformers import AutoTokenizer

from allennlp_layer_saliency.models import HuggingFaceClassifier
from allennlp_layer_saliency.models.huggingface import load_classifier

# The folder of the archive with the classifier's configuration and tokenizer.
FOLDER = "huggingface"


def archive(model_name: str, output: str, force: bool = False) -> None:
    """
    Make an archive of a Hugging Face `AutoModelForSequenceClassification`.

    # Parameters

    model_name : `str`
        A local folder or a name on the hub.
    output : `str`
        The archive's path.
    force : `bool`
        Whether an existing file is replaced.

    # Raises

    `ConfigurationError`
        If there is no such classifier, it has no tokenizer, or the file exists.
    """
    if os.path.exists(output) and not force:
        raise ConfigurationError(f"{output} exists; choose another name, or give --force")
    try:
        classifier = load_classifier(model_name)
        tokenizer = AutoTokenizer.from_pretrained(model_name, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise ConfigurationError(" ".join(str(error).split())) from error
    vocabulary = Vocabulary.empty()
    for index in range(classifier.config.num_labels):
        vocabulary.add_token_to_namespace(str(classifier.config.id2label[index]), "labels")
    reader = {"type": "huggingface-classifier", "model_name": FOLDER}
    model = {"type": "huggingface-classifier", "model_name": FOLDER, "load_weights": False}

    # In the output's own folder, so that what is there is whole: a rename can't stop half-way.
    target = os.path.abspath(output)
    with tempfile.TemporaryDirectory(dir=os.path.dirname(target)) as folder:
        classifier.config.save_pretrained(os.path.join(folder, FOLDER))
        tokenizer.save_pretrained(os.path.join(folder, FOLDER))
        vocabulary.save_to_files(os.path.join(folder, "vocabulary"))
        # The vocabulary's check of the labels is the model's own.
        HuggingFaceClassifier(vocabulary, FOLDER, load_weights=False, serialization_dir=folder)
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
    print(
        f"{output}: {type(classifier).__name__}, labels {list(classifier.config.id2label.values())}"
    )
