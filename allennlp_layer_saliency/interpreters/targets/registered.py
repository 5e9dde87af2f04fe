"""Targets by registered name: `target` of the interpreters."""

from typing import Any, Dict, List, Union

import torch
from allennlp.common import Params, Registrable
from allennlp.common.checks import ConfigurationError
from allennlp.common.util import JsonDict
from allennlp.data import Instance
from allennlp.models import Model
from torch import Tensor

from allennlp_layer_saliency.interpreters.targets.base import (
    Choice,
    ClassName,
    ModelTarget,
    Terms,
)
from allennlp_layer_saliency.interpreters.targets.models import target_type


class Target(Registrable):
    """
    The explained score y_c of each instance; a subclass computes it from the model's outputs.

    A registered subclass is named by `target` in an interpreter's configuration.
    """

    def score(self, outputs: Dict[str, Any]) -> Tensor:
        """
        # Parameters

        outputs : `Dict[str, Any]`
            What the model's `forward` returned for a batch.

        # Returns

        `torch.Tensor`
            Each instance's score, a function of its own outputs only. Shape: (batch,).
        """
        raise NotImplementedError

    def of(self, model: Model, target_class: ClassName, contrast_class: ClassName) -> ModelTarget:
        """This target for one model."""
        for argument, name in (("target_class", target_class), ("contrast_class", contrast_class)):
            if name is not None:
                raise ConfigurationError(
                    f'{argument} goes with target "logit" or "log-probability"; '
                    f"{registered_name(self)!r} has no classes"
                )
        return _ScoreTarget(model, self)


class _KindTarget(Target):
    """What is explained of each kind of model: see `targets.models`."""

    kind: str

    def of(self, model: Model, target_class: ClassName, contrast_class: ClassName) -> ModelTarget:
        return target_type(model)(model, self.kind, target_class, contrast_class)


@Target.register("logit")
class LogitTarget(_KindTarget):
    """
    The logit of the predicted or given class, span or word.

    Registered as a `Target` with name "logit".
    """

    kind = "logit"


@Target.register("log-probability")
class LogProbabilityTarget(_KindTarget):
    """
    The log-probability of the predicted or given class, span or word.

    Registered as a `Target` with name "log-probability".
    """

    kind = "log-probability"


class _ScoreTarget(ModelTarget):
    """One score for each instance, as a registered target computes it."""

    def __init__(self, model: Model, target: Target) -> None:
        super().__init__(model, "logit", None, None)
        self.sums_logits = False
        self._of_model = target_type(model)(model, "logit", None, None)
        self.equal_lengths = self._of_model.equal_lengths
        self.one_by_one = self._of_model.one_by_one
        self._target = target
        self._name = registered_name(target)

    def forward(self, tensors: Dict[str, Any]) -> Dict[str, Any]:
        return self._of_model.forward(tensors)

    def public(self, outputs: Dict[str, Any]) -> Dict[str, Any]:
        return self._of_model.public(outputs)

    def prediction(self, prediction: JsonDict, instance: Instance) -> JsonDict:
        return self._of_model.prediction(prediction, instance)

    def choose(
        self, outputs: Dict[str, Any], predictions: List[JsonDict], instances: List[Instance]
    ) -> List[List[Choice]]:
        description = {"label": self._name, "kind": self._name}
        return [[Choice([], [], description)] for _ in instances]

    def scores(self, outputs: Dict[str, Any], terms: Terms) -> Tensor:
        scores = self._target.score(self._of_model.public(outputs))
        if (
            not isinstance(scores, Tensor)
            or scores.dim() != 1
            or not len(scores)
            or len(scores) % terms.instances
        ):
            got = tuple(scores.shape) if isinstance(scores, Tensor) else type(scores).__name__
            raise ConfigurationError(
                f"target {self._name!r}: `score` must return one score for each instance of the batch, of "
                f"shape ({terms.instances},); got {got}"
            )
        if torch.is_grad_enabled() and not scores.requires_grad:
            raise ConfigurationError(
                f"target {self._name!r}: the score is not a differentiable function of the model's outputs"
            )
        return scores.float().unsqueeze(0)


def registered_name(target: Target) -> str:
    """The name that a target's class is registered by, or else the class's own."""
    for name in Target.list_available():
        if Target.by_name(name) is type(target):
            return name
    return type(target).__name__


def as_target(target: Union[str, Dict[str, Any], Target]) -> Target:
    """
    A target by registered name, from its configuration, or itself.

    # Raises

    `ConfigurationError`
        If no target has the name, or its arguments are not those of the configuration.
    """
    if isinstance(target, Target):
        return target
    config = {"type": target} if isinstance(target, str) else dict(target)
    name = config.get("type")
    known = Target.list_available()
    if name not in known and "." not in str(name):
        raise ConfigurationError(f"target must be one of {tuple(known)}; got {name!r}")
    try:
        return Target.from_params(Params(config))
    except ConfigurationError as error:
        raise ConfigurationError(f"target {name!r}: {error}") from error
