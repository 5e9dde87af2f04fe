from typing import Any, Callable, Dict, List, Optional

import torch
from allennlp.common.checks import ConfigurationError
from allennlp.data import TextFieldTensors, Vocabulary
from allennlp.models import Model
from allennlp.training.metrics import (
    CategoricalAccuracy,
    FBetaMultiLabelMeasure,
    MeanAbsoluteError,
    Metric,
)
from torch.nn import functional
from transformers import PretrainedConfig, PreTrainedModel

from allennlp_layer_saliency.models.huggingface import (
    MULTI_LABEL,
    REGRESSION,
    SINGLE_LABEL,
    load_classifier,
    padding_matters,
    plain,
    problem_type,
    takes_token_types,
    usable,
)

# What `allennlp evaluate` gives besides the loss.
_METRICS: Dict[str, Callable[[], Metric]] = {
    SINGLE_LABEL: CategoricalAccuracy,
    MULTI_LABEL: lambda: FBetaMultiLabelMeasure(average="micro"),
    REGRESSION: MeanAbsoluteError,
}


@Model.register("huggingface-classifier")
class HuggingFaceClassifier(Model):
    """
    A `AutoModelForSequenceClassification` of Hugging Face, as it is: one that chooses one of several classes,
    any number of labels, or gives a number (its configuration's `problem_type`).

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
    kind = "sequence classifier"
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
            classifier = load_classifier(model_name, serialization_dir, load_weights, self.kind)
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
        self.problem_type = problem_type(self.classifier.config)
        self._takes_token_types = takes_token_types(self.classifier.config)
        # Each takes predictions and labels; the base class wants a mask as well.
        self._metric: Any = _METRICS[self.problem_type]()

    def forward(
        self,
        tokens: TextFieldTensors,
        label: Optional[torch.IntTensor] = None,
        metadata: Optional[List[Dict[str, Any]]] = None,
    ) -> Dict[str, torch.Tensor]:
        """
        # Returns

        `Dict[str, torch.Tensor]`
            `logits` and, but for a regression, `probs` of shape (batch, labels); with labels the `loss`,
            which is transformers' own for the problem. Where any number of labels may be predicted, a label
            is an index for each text, and the loss that label's alone, or a row of zeros and ones.
        """
        logits = self._logits(tokens)
        outputs = {"logits": logits}
        if self.problem_type == SINGLE_LABEL:
            outputs["probs"] = torch.softmax(logits, dim=-1)
        elif self.problem_type == MULTI_LABEL:
            outputs["probs"] = torch.sigmoid(logits)
        if label is not None:
            outputs["loss"] = self._loss(logits, label)
            if self.problem_type != MULTI_LABEL or label.dim() > 1:
                self._metric(
                    outputs.get("probs", logits).detach(),
                    label if self.problem_type == SINGLE_LABEL else label.view_as(logits),
                )
        return outputs

    def _logits(self, tokens: TextFieldTensors) -> torch.Tensor:
        """The classifier's own. Shape: (batch, labels), or (batch, word pieces, labels)."""
        (indexed,) = tokens.values()
        # Where tokens are words, "mask" is theirs.
        mask = indexed.get("wordpiece_mask", indexed["mask"])
        inputs = {"input_ids": indexed["token_ids"], "attention_mask": mask.long()}
        if self._takes_token_types:
            inputs["token_type_ids"] = indexed["type_ids"]
        if self.equal_lengths and not mask.all():
            lengths = mask.sum(1).tolist()
            rows = [
                {name: tensor[i : i + 1, :length] for name, tensor in inputs.items()}
                for i, length in enumerate(lengths)
            ]
            of_rows = [self.classifier(**row).logits for row in rows]
            if of_rows[0].dim() == 3:
                padded = torch.nn.utils.rnn.pad_sequence([row[0] for row in of_rows], batch_first=True)
                return functional.pad(padded, (0, 0, 0, mask.size(1) - padded.size(1)))
            return torch.cat(of_rows)
        return self.classifier(**inputs).logits

    def _loss(self, logits: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        if self.problem_type == SINGLE_LABEL:
            return functional.cross_entropy(logits, label.long().view(-1))
        if self.problem_type == REGRESSION:
            return functional.mse_loss(logits, label.view_as(logits).to(logits.dtype))
        if label.dim() == 1:
            chosen = logits.gather(1, label.long().unsqueeze(1))
            return functional.binary_cross_entropy_with_logits(chosen, torch.ones_like(chosen))
        return functional.binary_cross_entropy_with_logits(logits, label.to(logits.dtype))

    def make_output_human_readable(self, output_dict: Dict[str, Any]) -> Dict[str, Any]:
        """
        Add each instance's `label`: of one that predicts any number of labels, a list of those of a
        probability above one half; of a regression none.
        """
        if self.problem_type == REGRESSION:
            return output_dict
        names = self.vocab.get_index_to_token_vocabulary("labels")
        logits = output_dict["logits"]
        labels: List[Any]
        if self.problem_type == SINGLE_LABEL:
            labels = [names[index] for index in logits.argmax(-1).tolist()]
        else:
            predicted = (logits > 0).tolist()
            labels = [[names[i] for i, chosen in enumerate(row) if chosen] for row in predicted]
        return {**output_dict, "label": labels}

    def get_metrics(self, reset: bool = False) -> Dict[str, float]:
        found = self._metric.get_metric(reset)
        return found if isinstance(found, dict) else {"accuracy": found}


@Model.register("huggingface-tagger")
class HuggingFaceTagger(HuggingFaceClassifier):
    """
    A `AutoModelForTokenClassification` of Hugging Face, as it is. A word has the tag of its first word piece.

    `allennlp saliency archive` makes an archive with it from a folder.

    Registered as a `Model` with name "huggingface-tagger".

    # Parameters

    **kwargs
        As for `HuggingFaceClassifier`.
    """

    kind = "token classifier"
    label_namespace = "labels"

    def forward(
        self,
        tokens: TextFieldTensors,
        label: Optional[torch.IntTensor] = None,
        metadata: Optional[List[Dict[str, Any]]] = None,
    ) -> Dict[str, torch.Tensor]:
        """
        Predict; labels are for training, which this model is not for.

        # Returns

        `Dict[str, torch.Tensor]`
            `logits` and `class_probabilities` of shape (batch, words, labels).
        """
        (indexed,) = tokens.values()
        if "offsets" not in indexed:
            raise ConfigurationError('huggingface-tagger: the dataset reader must have "words": true')
        # Of padding too there must be a piece.
        first = indexed["offsets"][..., 0].clamp(min=0)
        of_pieces = self._logits(tokens)
        logits = of_pieces.gather(1, first.unsqueeze(-1).expand(-1, -1, of_pieces.size(-1)))
        return {"logits": logits, "class_probabilities": torch.softmax(logits, dim=-1)}

    def make_output_human_readable(self, output_dict: Dict[str, Any]) -> Dict[str, Any]:
        """Add each instance's `tags`, one for each word."""
        names = self.vocab.get_index_to_token_vocabulary("labels")
        tags = [[names[index] for index in row] for row in output_dict["logits"].argmax(-1).tolist()]
        return {**output_dict, "tags": tags}


def in_memory(classifier: PreTrainedModel) -> HuggingFaceClassifier:
    """
    A loaded sequence or token classifier as a model of AllenNLP's. Its configuration is made ready for
    explaining.

    # Raises

    `ConfigurationError`
        If it is not such a classifier, or two of its labels have the same name.
    """
    name = type(classifier).__name__
    wrapped = _IN_MEMORY.get(name[name.index("For") :] if "For" in name else "")
    if wrapped is None:
        raise ConfigurationError(f"a sequence or token classifier is wanted; this is a {name}")
    return wrapped(classifier)


class _InMemory(HuggingFaceClassifier):
    def __init__(self, classifier: PreTrainedModel) -> None:
        Model.__init__(self, label_vocabulary(classifier.config))
        name = type(classifier).__name__
        try:
            self._use(usable(classifier, name), name)
        except ValueError as error:
            raise ConfigurationError(str(error)) from error


class _InMemoryTagger(_InMemory, HuggingFaceTagger):
    pass


_IN_MEMORY = {"ForSequenceClassification": _InMemory, "ForTokenClassification": _InMemoryTagger}


def label_vocabulary(config: PretrainedConfig) -> Vocabulary:
    """A classifier's labels, in the order of its outputs, as namespace "labels"."""
    vocabulary = Vocabulary.empty()
    for index in range(config.num_labels):
        label = str(config.id2label.get(index, f"LABEL_{index}"))
        vocabulary.add_token_to_namespace(label, "labels")
    return vocabulary
