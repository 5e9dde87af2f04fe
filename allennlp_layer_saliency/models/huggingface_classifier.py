from typing import Any, Dict, List, Optional

import torch
from allennlp.common.checks import ConfigurationError
from allennlp.data import TextFieldTensors, Vocabulary
from allennlp.models import Model
from allennlp.training.metrics import CategoricalAccuracy
from transformers import PretrainedConfig, PreTrainedModel

from allennlp_layer_saliency.models.huggingface import (
    load_classifier,
    padding_matters,
    plain,
    takes_token_types,
    usable,
)


@Model.register("huggingface-classifier")
class HuggingFaceClassifier(Model):
    """
    A `AutoModelForSequenceClassification` of Hugging Face, as it is.

    `allennlp saliency archive` makes an archive with it from a folder.

    Registered as a `Model` with name "huggingface-classifier".

    # Parameters

    vocab : `Vocabulary`
        Its namespace "labels" holds the model's labels, in the order of `id2label`.
    model_name : `str`
        A folder of the archive, a local folder or a name on the hub.
    load_weights : `bool`, optional (default = `True`)
        False where the archive's own weights file has them.
    serialization_dir : `str`, optional
        Where the archive was unpacked; AllenNLP supplies it.
    base_model : `str`, optional
        The pretrained language model that it was fine-tuned from, whose head decodes. Left out: the one
        that its configuration names, if it does.

    # Raises

    `ConfigurationError`
        If there is no such classifier, or its labels are not the vocabulary's.
    """

    default_predictor = "text_classifier"
    # A buffer that some versions of transformers save and others don't.
    authorized_missing_keys = [r"position_ids$"]

    def __init__(
        self,
        vocab: Vocabulary,
        model_name: str,
        load_weights: bool = True,
        serialization_dir: Optional[str] = None,
        base_model: Optional[str] = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(vocab, serialization_dir=serialization_dir, **kwargs)
        try:
            classifier = load_classifier(model_name, serialization_dir, load_weights)
        except ValueError as error:
            raise ConfigurationError(f"huggingface-classifier: {error}") from error
        if base_model is not None:
            classifier.config._name_or_path = base_model
        self._use(classifier, model_name)

    def _use(self, classifier: PreTrainedModel, model_name: str) -> None:
        self.classifier = classifier
        labels = self.classifier.config.id2label
        own = self.vocab.get_index_to_token_vocabulary("labels")
        if {index: str(label) for index, label in labels.items()} != own:
            raise ConfigurationError(
                f"huggingface-classifier: {model_name!r} has the labels {list(labels.values())}, the "
                f"vocabulary {list(own.values())}; make the archive with `allennlp saliency archive`"
            )
        plain(self.classifier)
        # Explanations are made in batches of texts of equal length, then.
        self.equal_lengths = padding_matters(self.classifier)
        # An encoder-decoder's decoder reads the text's ids too.
        self.layers_tell_all = not self.classifier.config.is_encoder_decoder
        self._takes_token_types = takes_token_types(self.classifier.config)
        self._accuracy = CategoricalAccuracy()

    def forward(  # type: ignore
        self,
        tokens: TextFieldTensors,
        label: Optional[torch.IntTensor] = None,
        metadata: Optional[List[Dict[str, Any]]] = None,
    ) -> Dict[str, torch.Tensor]:
        """
        # Returns

        `Dict[str, torch.Tensor]`
            `logits` and `probs` of shape (batch, labels), and with labels the `loss`.
        """
        (indexed,) = tokens.values()
        inputs = {"input_ids": indexed["token_ids"], "attention_mask": indexed["mask"].long()}
        if self._takes_token_types:
            inputs["token_type_ids"] = indexed["type_ids"]
        if self.equal_lengths and not indexed["mask"].all():
            lengths = indexed["mask"].sum(1).tolist()
            rows = [
                {name: tensor[i : i + 1, :length] for name, tensor in inputs.items()}
                for i, length in enumerate(lengths)
            ]
            logits = torch.cat([self.classifier(**row).logits for row in rows])
        else:
            logits = self.classifier(**inputs).logits
        outputs = {"logits": logits, "probs": torch.softmax(logits, dim=-1)}
        if label is not None:
            outputs["loss"] = torch.nn.functional.cross_entropy(logits, label.long().view(-1))
            self._accuracy(logits, label)
        return outputs

    def make_output_human_readable(
        self, output_dict: Dict[str, torch.Tensor]
    ) -> Dict[str, torch.Tensor]:
        """Add each instance's `label`."""
        classes = output_dict["logits"].argmax(-1).tolist()
        labels = [self.vocab.get_token_from_index(index, namespace="labels") for index in classes]
        return {**output_dict, "label": labels}  # type: ignore[dict-item]

    def get_metrics(self, reset: bool = False) -> Dict[str, float]:
        return {"accuracy": self._accuracy.get_metric(reset)}


class InMemoryClassifier(HuggingFaceClassifier):
    """
    The same, around a sequence classifier that is loaded. Its configuration is made ready for explaining.

    # Parameters

    classifier : `transformers.PreTrainedModel`

    # Raises

    `ConfigurationError`
        If it is no classifier that chooses one of several classes, with a name of its own for each.
    """

    def __init__(self, classifier: PreTrainedModel) -> None:
        name = type(classifier).__name__
        if not name.endswith("ForSequenceClassification"):
            raise ConfigurationError(f"a sequence classifier is wanted; this is a {name}")
        Model.__init__(self, label_vocabulary(classifier.config))
        try:
            self._use(usable(classifier, name), name)
        except ValueError as error:
            raise ConfigurationError(str(error)) from error


def label_vocabulary(config: PretrainedConfig) -> Vocabulary:
    """A classifier's labels, in the order of its outputs, as namespace "labels"."""
    vocabulary = Vocabulary.empty()
    for index in range(config.num_labels):
        label = str(config.id2label.get(index, f"LABEL_{index}"))
        vocabulary.add_token_to_namespace(label, "labels")
    return vocabulary
