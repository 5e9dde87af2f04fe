"""The aggregations g by registered name; the formulas are in `core.aggregation` and `core.paths`."""

from typing import List, NamedTuple, Optional

import torch
from allennlp.common import Registrable
from allennlp.common.checks import ConfigurationError
from torch import Tensor

from allennlp_layer_saliency.core import aggregation, paths
from allennlp_layer_saliency.core.paths import Baseline, LayerState, Weights
from allennlp_layer_saliency.core.reranking import reranked
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
        Of quadrature, "gauss-legendre" or "midpoint"; or "latin-hypercube": instead of on the path, at points
        where each word piece is at each of the midpoints once, in an order of its own, so that its gradient
        is seen beside neighbours that are there and that are not. The gap is then not only the rule's error.
    baseline : `str`, optional (default = `"mask"`)
        "mask": the layer's state for the same input with all but special tokens masked. "pad", or a token as
        the tokenizer writes it: with that token in their place. "zero": a path from there starts where a
        layer norm is steepest, and needs many more steps.
    seed : `int`, optional (default = `0`)
        Of the orders of "latin-hypercube", which depend on it and on the text only.
    ranks, window : `int`, optional (default = `0` and `3`)
        The model decides which pieces have the first `ranks` ranks: for each rank, of the next `window`
        pieces, the one that its score depends on most, beside those ranked before: where they alone are
        there, and where they alone are at the baseline. The weights go with the ranks.
    """

    resumes = True

    def __init__(
        self,
        steps: int = 32,
        rule: str = "gauss-legendre",
        baseline: str = "mask",
        seed: int = 0,
        ranks: int = 0,
        window: int = 3,
    ) -> None:
        try:
            paths.quadrature(steps, rule)
        except ValueError as error:
            raise ConfigurationError(f"integrated-gradients: {error}") from error
        if ranks < 0 or window < 2:
            raise ConfigurationError(
                "integrated-gradients: ranks must be 0 or more and window at least 2; got "
                f"{ranks} and {window}"
            )
        self.ranks = ranks
        self.window = window
        self.steps = steps
        self.rule = rule
        self.seed = seed
        self.stand_in = baseline_token(baseline, "integrated-gradients")

    def __call__(self, at: LayerState) -> List[Weights]:
        zero = self.stand_in is None
        baseline = Baseline(torch.zeros_like(at.hidden_states)) if zero else at.masked()
        found = paths.integrated_gradients(at, baseline, self.steps, self.rule, self.seed)
        return reranked(at, baseline, found, self.ranks, self.window)


class Preset(NamedTuple):
    """
    A layer and an aggregation by one name: midpoints between a masked input's state and the input's.

    # Parameters

    layer, steps, ranks : `int`
    """

    layer: int
    steps: int
    ranks: int = 0

    def aggregation(self) -> IntegratedGradients:
        return IntegratedGradients(self.steps, "midpoint", ranks=self.ranks)


# docs/results has the reasons.
PRESETS = {"fast": Preset(1, 1), "balanced": Preset(0, 3), "best": Preset(0, 6, ranks=4)}


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
