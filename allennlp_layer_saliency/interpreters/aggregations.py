"""The aggregations g by registered name; the formulas are in `core.aggregation` and `core.paths`."""

from typing import List, NamedTuple, Optional

import torch
from allennlp.common import Registrable
from allennlp.common.checks import ConfigurationError
from torch import Tensor

from allennlp_layer_saliency.core import aggregation, paths
from allennlp_layer_saliency.core.marginals import with_marginals
from allennlp_layer_saliency.core.paths import Baseline, LayerState, Weights
from allennlp_layer_saliency.models.text_reader import TextReader


class FeatureAggregation(Registrable):
    """From a layer's hidden states and gradients to one weight per position."""

    # Whether gradients are wanted at other states than the layer's own, and not there.
    resumes = False
    # The token that stands for each word piece in the baseline: "mask", "pad", or as the tokenizer writes it.
    # None where no states of such inputs are wanted.
    stand_in: Optional[str] = None
    # Whether it is for batches of one instance only.
    one_by_one = False

    def __call__(self, at: LayerState) -> List[Weights]:
        """s of each explained score."""
        raise NotImplementedError


def baseline_token(baseline: str, what: str) -> Optional[str]:
    """
    The token that a baseline puts in the place of each word piece; None for "zero", the state of zeros.

    # Raises

    `ConfigurationError`
        If it is not a string; the message begins with `what`.
    """
    if not isinstance(baseline, str) or not baseline:
        raise ConfigurationError(
            f'{what}: baseline must be "mask", "zero", "pad" or a token as the tokenizer writes it; got '
            f"{baseline!r}"
        )
    return None if baseline == "zero" else baseline


def stand_in_of(aggregation: FeatureAggregation, texts: TextReader) -> Optional[int]:
    """
    The id of the token that stands for each word piece in an aggregation's baseline; None if it has none.

    # Raises

    `ConfigurationError`
        If the tokenizer has no such token.
    """
    token = aggregation.stand_in
    if token is None:
        return None
    if token == "mask":
        if texts.mask_id is None:
            raise ConfigurationError(
                "aggregation: the classifier's tokenizer has no mask token, and no unknown, padding or end "
                'token that could stand in for it, as baseline "mask" needs; use "zero"'
            )
        return texts.mask_id
    name = texts.tokenizer.pad_token if token == "pad" else token
    found = texts.tokenizer.get_vocab().get(name)
    if found is None:
        raise ConfigurationError(
            f'aggregation: baseline must be "mask", "zero", "pad" or a token of the tokenizer; it has none '
            f"that is written {token!r}"
        )
    return found


class PointwiseAggregation(FeatureAggregation):
    """An aggregation of the hidden states and gradients at one point."""

    def __call__(self, at: LayerState) -> List[Weights]:
        return [Weights(self.weights(at.hidden_states, gradients, at.mask)) for gradients in at.gradients]

    def weights(self, hidden_states: Tensor, gradients: Tensor, mask: Tensor) -> Tensor:
        """
        # Parameters

        hidden_states : `torch.Tensor`
            h_l. Shape: (batch, positions, hidden).
        gradients : `torch.Tensor`
            D_l. Shape: (batch, positions, hidden).
        mask : `torch.Tensor`
            Shape: (batch, positions). True at real positions.

        # Returns

        `torch.Tensor`
            s. Shape: (batch, positions); 0 at padding.
        """
        raise NotImplementedError


@FeatureAggregation.register("gradient-norm")
class GradientNorm(PointwiseAggregation):
    """
    The norm of the gradient.

    Registered as a `FeatureAggregation` with name "gradient-norm".

    # Parameters

    p : `int`, optional (default = `2`)
        1 or 2.
    """

    def __init__(self, p: int = 2) -> None:
        if p not in (1, 2):
            raise ConfigurationError(f"gradient-norm: p must be 1 or 2; got {p}")
        self.p = p

    def weights(self, hidden_states: Tensor, gradients: Tensor, mask: Tensor) -> Tensor:
        return aggregation.gradient_norm(gradients, mask, self.p)


@FeatureAggregation.register("gradient-x-input")
class GradientXInput(PointwiseAggregation):
    """
    The product of gradient and hidden state.

    Registered as a `FeatureAggregation` with name "gradient-x-input".
    """

    def weights(self, hidden_states: Tensor, gradients: Tensor, mask: Tensor) -> Tensor:
        return aggregation.gradient_x_input(hidden_states, gradients, mask)


@FeatureAggregation.register("grad-cam")
class GradCam(PointwiseAggregation):
    """
    Grad-CAM, with positions instead of pixels.

    Registered as a `FeatureAggregation` with name "grad-cam".

    # Parameters

    relu : `bool`, optional (default = `True`)
        Whether negative weights become 0.
    """

    def __init__(self, relu: bool = True) -> None:
        self.relu = relu

    def weights(self, hidden_states: Tensor, gradients: Tensor, mask: Tensor) -> Tensor:
        return aggregation.grad_cam(hidden_states, gradients, mask, self.relu)


@FeatureAggregation.register("integrated-gradients")
class IntegratedGradients(FeatureAggregation):
    """
    The gradient's mean along the straight path from a baseline to the hidden state, times the
    difference. Their sum is the difference of the scores, up to the rule's error, which is reported as
    `completeness_gap`.

    Registered as a `FeatureAggregation` with name "integrated-gradients".

    # Parameters

    steps : `int`, optional (default = `32`)
        Points on the path.
    rule : `str`, optional (default = `"gauss-legendre"`)
        Of quadrature, "gauss-legendre" or "midpoint"; or "adaptive": midpoints of parts of the path in each
        of which the score changes as much, found by four more forward passes; or "decision": alike, but each
        part counts by how much the score changes there and not by its length. Then the sum is not the
        difference of the scores, and there is no `completeness_gap`.
    baseline : `str`, optional (default = `"mask"`)
        "mask": the layer's state for the same input with all but special tokens masked. "pad", or a token as
        the tokenizer writes it: with that token in their place. "zero": a path from there starts where a
        layer norm is steepest, and needs many more steps.
    marginals : `int`, optional (default = `0`)
        For how many of the pieces that weigh most, what the score gains by each alone and what it loses
        without it alone are measured, too, by two forward passes each; their weight is the mean of the three.
    """

    resumes = True

    def __init__(
        self,
        steps: int = 32,
        rule: str = "gauss-legendre",
        baseline: str = "mask",
        marginals: int = 0,
    ) -> None:
        try:
            paths.expect_rule(steps, rule)
        except ValueError as error:
            raise ConfigurationError(f"integrated-gradients: {error}") from error
        if marginals < 0:
            raise ConfigurationError(f"integrated-gradients: marginals must be 0 or more; got {marginals}")
        self.marginals = marginals
        self.steps = steps
        self.rule = rule
        self.stand_in = baseline_token(baseline, "integrated-gradients")

    def __call__(self, at: LayerState) -> List[Weights]:
        zero = self.stand_in is None
        baseline = Baseline(torch.zeros_like(at.hidden_states)) if zero else at.masked()
        # Once for both.
        baseline = Baseline(baseline.states, paths.scores_at(at, baseline))
        found = paths.integrated_gradients(at, baseline, self.steps, self.rule)
        return with_marginals(at, baseline, found, self.marginals)


class Preset(NamedTuple):
    """
    Settings of `IntegratedGradients` under one name.

    # Parameters

    steps : `int`
    rule : `str`
    marginals : `int`
    """

    steps: int
    rule: str
    marginals: int = 0

    def aggregation(self) -> IntegratedGradients:
        return IntegratedGradients(self.steps, self.rule, marginals=self.marginals)


# docs/results has the reasons.
PRESETS = {
    "fast": Preset(1, "decision"),
    "balanced": Preset(3, "decision"),
    "best": Preset(4, "adaptive", marginals=12),
}


def preset_named(name: str) -> Preset:
    """
    # Raises

    `ConfigurationError`
        If there is none of that name.
    """
    if name not in PRESETS:
        raise ConfigurationError(f"preset must be one of {', '.join(PRESETS)}; got {name!r}")
    return PRESETS[name]


@FeatureAggregation.register("smooth-gradient")
class SmoothGradient(FeatureAggregation):
    """
    Another aggregation's mean over hidden states with Gaussian noise.

    Registered as a `FeatureAggregation` with name "smooth-gradient".

    # Parameters

    aggregation : `FeatureAggregation`, optional (default = `gradient-x-input`)
        "gradient-norm", "gradient-x-input" or "grad-cam".
    samples : `int`, optional (default = `16`)
    noise : `float`, optional (default = `0.1`)
        The noise's standard deviation, as a share of the hidden states' root mean square.
    seed : `int`, optional (default = `0`)
        The noise depends on it and on the text only.
    """

    resumes = True

    def __init__(
        self,
        aggregation: Optional[FeatureAggregation] = None,
        samples: int = 16,
        noise: float = 0.1,
        seed: int = 0,
    ) -> None:
        aggregation = aggregation or GradientXInput()
        if not isinstance(aggregation, PointwiseAggregation):
            raise ConfigurationError(
                "smooth-gradient: aggregation must be gradient-norm, gradient-x-input or grad-cam"
            )
        if samples < 1 or not noise >= 0:
            raise ConfigurationError(
                "smooth-gradient: samples must be at least 1 and noise 0 or more; got "
                f"{samples} and {noise}"
            )
        self.aggregation = aggregation
        self.samples = samples
        self.noise = noise
        self.seed = seed

    def __call__(self, at: LayerState) -> List[Weights]:
        return paths.smooth_gradient(at, self.aggregation.weights, self.samples, self.noise, self.seed)
