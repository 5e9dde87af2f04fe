"""The score y_c that is explained, for each kind of model."""

from typing import Any, Dict, List, NamedTuple, Optional, Tuple, Type, Union

import torch
from allennlp.common.checks import ConfigurationError
from allennlp.common.util import JsonDict
from allennlp.data import Instance
from allennlp.models import Model
from torch import Tensor

from allennlp_layer_saliency.core.capture import recorded
from allennlp_layer_saliency.models.allennlp import text_fields

KINDS = ("logit", "log-probability")

ClassName = Optional[Union[str, int]]


class Choice(NamedTuple):
    """
    One explained score of an instance: the sum, over some positions of the model's output, of the
    logits (or log-probabilities) of one class each.

    # Parameters

    positions, classes : `List[int]`
        Of equal length.
    description : `JsonDict`
        What it is, for the `target` entry of the explanation.
    """

    positions: List[int]
    classes: List[int]
    description: JsonDict


class Terms(NamedTuple):
    """
    The logits that the scores of a batch are sums of, in a form that a device holds.

    # Parameters

    targets, instances : `int`
        Scores of the instance that has most, and instances.
    target, instance, position, index : `torch.Tensor`
        Of each term: the score it is part of, and the logit's place. Shape: (terms,).
    sign : `torch.Tensor`
        1, or -1 for the contrast class. Shape: (terms,).
    """

    targets: int
    instances: int
    target: Tensor
    instance: Tensor
    position: Tensor
    index: Tensor
    sign: Tensor


class Target:
    """
    Which scores of a model's output are explained: here a classifier's, one class each.

    # Parameters

    model : `Model`
    kind : `str`
        "logit" or "log-probability".
    target_class : `Union[str, int]`, optional
        The explained class by label or index. None: the predicted one.
    contrast_class : `Union[str, int]`, optional
        The class whose score is subtracted.

    # Raises

    `ConfigurationError`
        On an unknown kind or class.
    """

    def __init__(
        self, model: Model, kind: str, target_class: ClassName, contrast_class: ClassName
    ) -> None:
        if kind not in KINDS:
            raise ConfigurationError(f"target must be one of {KINDS}; got {kind!r}")
        self.model = model
        self.kind = kind
        # Whether the model gives a text other scores when it is padded.
        self.equal_lengths = getattr(model, "equal_lengths", False)
        self.target_class = self._class_index("target_class", target_class)
        self.contrast_class = self._class_index("contrast_class", contrast_class)

    def forward(self, tensors: Dict[str, Any]) -> Dict[str, Any]:
        """Run the model on a batch; besides its outputs the result may hold what `logits` needs."""
        return self.model(**tensors)

    def public(self, outputs: Dict[str, Any]) -> Dict[str, Any]:
        """The model's own outputs among what `forward` gave."""
        return outputs

    def logits(self, outputs: Dict[str, Any]) -> Tensor:
        """
        The model's logits. Shape: (batch, positions of the output, classes).

        # Raises

        `ConfigurationError`
            If the model's output has none of the wanted shape.
        """
        for name in ("logits", "label_logits"):
            logits = outputs.get(name)
            if isinstance(logits, Tensor) and logits.dim() == 2:
                return logits.unsqueeze(1)
        raise ConfigurationError(
            f"{type(self.model).__name__} is not supported: the output of a classifier must have `logits` "
            "or `label_logits` of shape (batch, classes); this model's has "
            f"{', '.join(sorted(outputs)) or 'nothing'}"
        )

    def choose(
        self, outputs: Dict[str, Any], predictions: List[JsonDict], instances: List[Instance]
    ) -> List[List[Choice]]:
        """For each instance, given its readable prediction, the scores to explain."""
        classes = self.logits(outputs).argmax(-1).tolist()
        return [[self._chosen(0, predicted)] for (predicted,) in classes]

    def terms(self, choices: List[List[Choice]], device: torch.device) -> Terms:
        """What `scores` wants to know of the choices, once for as many runs as there are."""
        # (target, instance, position, class, sign)
        terms: List[Tuple[int, int, int, int, int]] = []
        for instance, chosen in enumerate(choices):
            for target, choice in enumerate(chosen):
                for position, index in zip(choice.positions, choice.classes):
                    terms.append((target, instance, position, index, 1))
                    if self.contrast_class is not None:
                        terms.append((target, instance, position, self.contrast_class, -1))
        columns = torch.tensor(terms, dtype=torch.long).reshape(-1, 5).to(device).unbind(1)
        return Terms(max(map(len, choices)), len(choices), *columns)

    def scores(self, outputs: Dict[str, Any], terms: Terms) -> Tensor:
        """
        y_c of each choice; 0 where an instance has fewer than others. Shape: (targets, batch).

        `outputs` may be of several copies of the batch, one after the other; then so is the result.
        """
        values = self.logits(outputs).float()
        if self.kind == "log-probability":
            values = torch.log_softmax(values, dim=-1)
        # Shape: (copies, instances, positions of the output, classes)
        by_copy = values.reshape(-1, terms.instances, *values.shape[1:])
        # Shape: (copies, terms)
        picked = by_copy[:, terms.instance, terms.position, terms.index] * terms.sign
        flat = values.new_zeros(terms.targets * terms.instances, len(by_copy))
        flat = flat.index_add(0, terms.target * terms.instances + terms.instance, picked.t())
        by_target = flat.reshape(terms.targets, terms.instances, len(by_copy))
        return by_target.transpose(1, 2).flatten(1)

    def prediction(self, prediction: JsonDict, instance: Instance) -> JsonDict:
        """The instance's part of a batch's readable prediction, without padding."""
        return prediction

    def label(self, index: int) -> Optional[str]:
        """A class's name."""
        return self.labels().get(index)

    def labels(self) -> Dict[int, str]:
        """The classes' names by index."""
        return class_labels(self.model)

    def _chosen(self, output: int, predicted: int, **description: Any) -> Choice:
        index = predicted if self.target_class is None else self.target_class
        description = {"label": self.label(index) or str(index), "kind": self.kind, **description}
        if self.contrast_class is not None:
            description["contrast"] = self.label(self.contrast_class)
        return Choice([output], [index], description)

    def _class_index(self, argument: str, name: ClassName) -> Optional[int]:
        if name is None:
            return None
        labels = self.labels()
        for index, label in labels.items():
            if name == label or (name == index and not isinstance(name, bool)):
                return index
        known = [f"{label!r} ({index})" for index, label in sorted(labels.items())]
        listed = ", ".join(known[:20]) + (f" and {len(known) - 20:,} more" if known[20:] else "")
        raise ConfigurationError(f"{argument}: no class {name!r}; the model's are {listed}")


class _FixedTarget(Target):
    """Of a model whose predictions alone are explained."""

    def _class_index(self, argument: str, name: ClassName) -> None:
        if name is not None:
            raise ConfigurationError(
                f"{argument} is for classifiers and language models; of {type(self.model).__name__} the "
                "predictions are explained"
            )


class TagTarget(_FixedTarget):
    """
    A tagger's predicted spans: the sum of the logits (of a CRF: the emissions) of the span's tags.
    """

    def logits(self, outputs: Dict[str, Any]) -> Tensor:
        return outputs["logits"]

    def choose(
        self, outputs: Dict[str, Any], predictions: List[JsonDict], instances: List[Instance]
    ) -> List[List[Choice]]:
        namespace = self.model.label_namespace
        index = self.model.vocab.get_token_to_index_vocabulary(namespace)
        return [
            [
                Choice(
                    positions=list(range(start, end + 1)),
                    classes=[index[tag] for tag in tags[start : end + 1]],
                    description={"label": label, "kind": self.kind, "span": [start, end]},
                )
                for label, start, end in tagged_spans(tags, "O" in index)
            ]
            for tags in (
                self.prediction(prediction, instance)["tags"]
                for prediction, instance in zip(predictions, instances)
            )
        ]

    def prediction(self, prediction: JsonDict, instance: Instance) -> JsonDict:
        (field,) = text_fields(instance).values()
        return {
            key: value[: len(field.tokens)] if isinstance(value, list) else value
            for key, value in prediction.items()
        }


class SpanTarget(_FixedTarget):
    """A reader's predicted answer: the logits of its start and of its end, one after the other."""

    def logits(self, outputs: Dict[str, Any]) -> Tensor:
        return torch.stack([outputs["span_start_logits"], outputs["span_end_logits"]], dim=1)

    def choose(
        self, outputs: Dict[str, Any], predictions: List[JsonDict], instances: List[Instance]
    ) -> List[List[Choice]]:
        from allennlp_models.rc.models.utils import get_best_span

        start, end = self.logits(outputs).detach().float().unbind(1)
        return [
            [
                Choice(
                    positions=[which],
                    classes=[token],
                    description={
                        "label": ("start", "end")[which],
                        "kind": self.kind,
                        "position": token,
                        "answer": prediction.get("best_span_str"),
                    },
                )
                for which, token in enumerate(span)
            ]
            for span, prediction in zip(get_best_span(start, end).tolist(), predictions)
        ]


# AllenNLP's language models give probabilities of their best guesses only.
_HEAD_LOGITS = "lm_head_logits"


class WordTarget(Target):
    """A masked language model's prediction at each mask."""

    def forward(self, tensors: Dict[str, Any]) -> Dict[str, Any]:
        with recorded(self.model._language_model_head) as outputs:
            return {**self.model(**tensors), _HEAD_LOGITS: outputs[0][1]}

    def public(self, outputs: Dict[str, Any]) -> Dict[str, Any]:
        return {name: output for name, output in outputs.items() if name != _HEAD_LOGITS}

    def logits(self, outputs: Dict[str, Any]) -> Tensor:
        return outputs[_HEAD_LOGITS]

    def choose(
        self, outputs: Dict[str, Any], predictions: List[JsonDict], instances: List[Instance]
    ) -> List[List[Choice]]:
        return [
            [
                self._chosen(i, predicted[i], position=field.sequence_index)
                for i, field in enumerate(instance["mask_positions"])
            ]
            for predicted, instance in zip(self.logits(outputs).argmax(-1).tolist(), instances)
        ]

    def labels(self) -> Dict[int, str]:
        return self.model.vocab.get_index_to_token_vocabulary(self.model._target_namespace)


class NextWordTarget(WordTarget):
    """A language model's predicted next word."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        # NextTokenLM reads the last position of the batch, which may be padding.
        self.equal_lengths = True

    def logits(self, outputs: Dict[str, Any]) -> Tensor:
        return outputs[_HEAD_LOGITS].unsqueeze(1)

    def choose(
        self, outputs: Dict[str, Any], predictions: List[JsonDict], instances: List[Instance]
    ) -> List[List[Choice]]:
        return Target.choose(self, outputs, predictions, instances)


# By the name of a model's class or of one it inherits from.
_TARGETS = {
    "CrfTagger": TagTarget,
    "MaskedLanguageModel": WordTarget,
    "NextTokenLM": NextWordTarget,
    "SimpleTagger": TagTarget,
    "TransformerQA": SpanTarget,
}

# By where a model's class is defined: what has no single score, or no Hugging Face transformer.
REFUSED = {
    "allennlp.models.multitask": "several tasks at once",
    "allennlp_models.classification.models.transformer_classification_tt": "the transformer toolkit",
    "allennlp_models.coref": "coreference resolution",
    "allennlp_models.generation": "text generation",
    "allennlp_models.mc": "multiple choice",
    "allennlp_models.structured_prediction": "semantic role labelling and parsing",
    "allennlp_models.vision": "images",
}


def class_labels(model: Model) -> Dict[int, str]:
    """A classifier's labels by index: its vocabulary's, or the indices if that has none."""
    namespace = getattr(model, "_label_namespace", "labels")
    named = model.vocab.get_index_to_token_vocabulary(namespace)
    return named or {index: str(index) for index in range(getattr(model, "_num_labels", 0))}


def target_type(model: Model) -> Type[Target]:
    """
    Which scores of models of this kind are explained.

    # Raises

    `ConfigurationError`
        If the model's kind is not supported.
    """
    for parent in type(model).__mro__:
        if parent.__name__ in _TARGETS:
            return _TARGETS[parent.__name__]
        for module, what in REFUSED.items():
            if parent.__module__.startswith(module):
                raise ConfigurationError(
                    f"{type(model).__name__} is not supported ({what}); classifiers, taggers, "
                    "transformer_qa, masked_language_model and next_token_lm are"
                )
    return Target


def tagged_spans(tags: List[str], outside: bool) -> List[Tuple[str, int, int]]:
    """
    The spans in a sequence of tags: label, first and last token.

    For BIO, IOB1, BIOUL, BMES and IO tags alike: a span ends where its label does, and where a prefix
    says so. Where no tag means "outside a span" (`outside` false), each token is a span of its own.
    """
    if not outside:
        return [(tag, i, i) for i, tag in enumerate(tags)]
    spans: List[Tuple[str, int, int]] = []
    open_label: Optional[str] = None
    for i, tag in enumerate(tags):
        prefix, label = _split_tag(tag)
        if label is None:
            open_label = None
            continue
        if label == open_label and prefix not in ("B", "U", "S"):
            spans[-1] = (label, spans[-1][1], i)
        else:
            spans.append((label, i, i))
        open_label = None if prefix in ("L", "E", "U", "S") else label
    return spans


def _split_tag(tag: str) -> Tuple[str, Optional[str]]:
    """A tag's prefix, if it has one, and its label; None for outside."""
    if tag == "O":
        return "", None
    if len(tag) > 1 and tag[1] == "-" and tag[0] in "BILUSME":
        return tag[0], tag[2:]
    return "", tag
