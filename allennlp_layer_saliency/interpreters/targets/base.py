"""The score y_c that is explained: the logits of a classifier's classes."""

from typing import Any, Dict, List, NamedTuple, Optional, Tuple, Union

import torch
from allennlp.common.checks import ConfigurationError
from allennlp.common.util import JsonDict
from allennlp.data import Instance
from allennlp.models import Model
from torch import Tensor

from allennlp_layer_saliency.models.allennlp import class_labels

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
    target, instance, position, label : `torch.Tensor`
        Of each term: the score it is part of, and the logit's place. Shape: (terms,).
    sign : `torch.Tensor`
        1, or -1 for the contrast class. Shape: (terms,).
    """

    targets: int
    instances: int
    target: Tensor
    instance: Tensor
    position: Tensor
    label: Tensor
    sign: Tensor


class ModelTarget:
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

    # Attributes

    one_of_several : `bool`
        Whether the model chooses one class for a whole input.
    of_tokens : `bool`
        Whether the positions of the output are tokens of the input.
    one_by_one : `bool`
        Whether what the model predicts for an input depends on the others of its batch.
    added : `str`, optional
        What `forward` adds to the model's outputs.

    # Raises

    `ConfigurationError`
        On an unknown kind or class.
    """

    one_of_several = True
    of_tokens = False
    one_by_one = False
    added: Optional[str] = None

    def __init__(self, model: Model, kind: str, target_class: ClassName, contrast_class: ClassName) -> None:
        if kind not in KINDS:
            raise ConfigurationError(f"target must be one of {KINDS}; got {kind!r}")
        self.model = model
        self.kind = kind
        # Whether the scores are sums of logits and nothing else.
        self.sums_logits = True
        # Whether the model gives a text other scores when it is padded.
        self.equal_lengths = getattr(model, "equal_lengths", False)
        self.target_class = self._class_index("target_class", target_class)
        self.contrast_class = self._class_index("contrast_class", contrast_class)

    def forward(self, tensors: Dict[str, Any]) -> Dict[str, Any]:
        """Run the model on a batch; besides its outputs the result may hold what `logits` needs."""
        return self.model(**tensors)

    def fixed(self, tensors: Dict[str, Any], outputs: Dict[str, Any]) -> Dict[str, Any]:
        """
        The batch by which `forward` gives the outputs' positions and classes, whatever the model would
        choose at other states of the text.
        """
        return tensors

    def public(self, outputs: Dict[str, Any]) -> Dict[str, Any]:
        """The model's own outputs among what `forward` gave."""
        return {name: output for name, output in outputs.items() if name != self.added}

    def logits(self, outputs: Dict[str, Any]) -> Tensor:
        """
        The model's logits. Shape: (batch, positions of the output, classes).

        # Raises

        `ConfigurationError`
            If the model's output has no logits of the expected shape.
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
        return self.scores_of(self.logits(outputs), terms)

    def scores_of(self, logits: Tensor, terms: Terms) -> Tensor:
        """As `scores`, from the logits themselves."""
        values = logits if logits.dtype == torch.float64 else logits.float()
        if self.kind == "log-probability":
            values = self._log_probabilities(values)
        # Shape: (copies, instances, positions of the output, classes)
        by_copy = values.reshape(-1, terms.instances, *values.shape[1:])
        # Shape: (copies, terms)
        picked = by_copy[:, terms.instance, terms.position, terms.label] * terms.sign
        flat = values.new_zeros(terms.targets * terms.instances, len(by_copy))
        flat = flat.index_add(0, terms.target * terms.instances + terms.instance, picked.t())
        by_target = flat.reshape(terms.targets, terms.instances, len(by_copy))
        return by_target.transpose(1, 2).flatten(1)

    def _log_probabilities(self, logits: Tensor) -> Tensor:
        return torch.log_softmax(logits, dim=-1)

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
