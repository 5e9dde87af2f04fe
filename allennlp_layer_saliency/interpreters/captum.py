"""Captum's methods at a layer, for comparison."""

import inspect
import re
from typing import Any, Dict, List, Optional, Tuple, Union

import numpy
import torch
from allennlp.common.checks import ConfigurationError
from allennlp.interpret.saliency_interpreters import SaliencyInterpreter
from allennlp.predictors import Predictor
from torch import Tensor

from allennlp_layer_saliency.core.paths import LayerState, Weights, seeded
from allennlp_layer_saliency.interpreters.aggregations import FeatureAggregation, baseline_token
from allennlp_layer_saliency.interpreters.undecoded import UndecodedInterpreter

# What is given to `attribute` unless `arguments` says otherwise: Thermostat's settings.
DEFAULTS: Dict[str, Dict[str, Any]] = {
    "DeepLift": {},
    "FeatureAblation": {},
    "GradientShap": {"n_samples": 25},
    "InputXGradient": {},
    "IntegratedGradients": {"n_steps": 25},
    "KernelShap": {"n_samples": 25},
    "Lime": {"n_samples": 25},
    "Occlusion": {"sliding_window_shapes": 3},
    "ShapleyValueSampling": {"n_samples": 25},
}


# Other names for them, in the form of `_plain`.
ALIASES = {
    "ablation": "FeatureAblation",
    "gradientxinput": "InputXGradient",
    "ig": "IntegratedGradients",
    "shapley": "ShapleyValueSampling",
    "shapleysampling": "ShapleyValueSampling",
    "shapleyvalues": "ShapleyValueSampling",
}


def method_name(given: str) -> str:
    """Captum's name of a method; what is given, if there is none."""
    plain = _plain(given)
    known = {**{_plain(name): name for name in DEFAULTS}, **ALIASES}
    return known.get(plain, given)


def _plain(name: str) -> str:
    return re.sub("[^a-z]", "", str(name).lower())


class CaptumAttribution(FeatureAggregation):
    """
    An attribution of the explained score to h_l by one of Captum's classes, one value for a position.

    A position is one feature of the methods that perturb. Where Captum wants a baseline, it is the
    layer's state for the same input with all but special tokens masked; at layer 0 that is the same as
    masking word pieces.

    # Parameters

    method : `str`
        A class of `captum.attr`: see `DEFAULTS`. Case, spaces and hyphens don't matter, and names that people
        use are known: "kernel-shap", "shapley values", "gradient x input" and the like.
    arguments : `Dict[str, Any]`, optional
        For its `attribute`. `sliding_window_shapes` and `strides` are in positions.
    baseline : `str`, optional (default = `"mask"`)
        "mask", "zero", "pad" or a token as the tokenizer writes it.
    seed : `int`, optional (default = `0`)
        What is drawn at random depends on it and on the text only.
    """

    resumes = True
    one_by_one = True

    def __init__(
        self,
        method: str,
        arguments: Optional[Dict[str, Any]] = None,
        baseline: str = "mask",
        seed: int = 0,
    ) -> None:
        try:
            import captum.attr
        except ImportError as error:
            raise ConfigurationError(
                "captum: Captum is not installed; pip install 'allennlp-layer-saliency[captum]'"
            ) from error
        given, method = method, method_name(method)
        if method not in DEFAULTS:
            raise ConfigurationError(
                f"captum: method must be one of {', '.join(DEFAULTS)}; got {given!r}. A method of layers "
                'is the one without "Layer" in its name, at `layer`; Captum\'s LayerGradCam would average '
                "over hidden units rather than positions: use grad-cam of layer-saliency"
            )
        stand_in = baseline_token(baseline, "captum")
        self._class = getattr(captum.attr, method)
        self._arguments = {**DEFAULTS[method], **(arguments or {})}
        self._known = set(inspect.signature(self._class.attribute).parameters)
        unknown = sorted(set(self._arguments) - self._known)
        if unknown:
            raise ConfigurationError(
                f"captum: {method}.attribute has no argument {', '.join(unknown)}; it takes "
                f"{', '.join(sorted(self._known - {'self', 'kwargs', 'inputs', 'target'}))}"
            )
        self.seed = seed
        self.stand_in = stand_in if "baselines" in self._known else None

    def __call__(self, at: LayerState) -> List[Weights]:
        attributions = [self._attributions(at, target) for target in range(len(at.scores))]
        # What is perturbed as one feature has its value in each of its hidden units.
        perturbs = self._known & {"feature_mask", "sliding_window_shapes"}
        return [Weights(found.mean(-1) if perturbs else found.sum(-1)) for found in attributions]

    def _attributions(self, at: LayerState, target: int) -> Tensor:
        """Shape: (1, positions, hidden)."""
        states = at.hidden_states
        method = self._class(_Score(at, target))
        arguments = dict(self._arguments)
        if "baselines" in self._known:
            zero = self.stand_in is None
            arguments["baselines"] = torch.zeros_like(states) if zero else at.masked().states
        if "feature_mask" in self._known:
            positions = torch.arange(states.size(1), device=states.device)
            mask = positions.reshape(1, -1, 1).expand_as(states)
            arguments["feature_mask"] = mask.contiguous()  # as Shapley values of Captum 0.9 want it
        for name in ("sliding_window_shapes", "strides"):
            if name in self._known:
                size = arguments.get(name, 1)
                arguments[name] = (min(size, states.size(1)), states.size(2))
        for name in ("perturbations_per_eval", "internal_batch_size"):
            if name in self._known:
                arguments.setdefault(name, at.copies)
        # The method's random numbers, and those that it leaves behind.
        seed = seeded(self.seed, at.token_ids[0].tolist()).initial_seed()
        numpy_state = numpy.random.get_state()
        try:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed)
                numpy.random.seed(seed % 2**32)
                found = method.attribute(states.requires_grad_(), **arguments)
        finally:
            numpy.random.set_state(numpy_state)
            states.requires_grad_(False)
        return found.detach()


class _Score(torch.nn.Module):
    """y_c of one target as a function of h_l, as Captum wants it; a module, as DeepLift wants it."""

    def __init__(self, at: LayerState, target: int) -> None:
        super().__init__()
        self._at = at
        self._target = target

    def forward(self, states: Tensor) -> Tensor:
        return _Resumed.apply(states, self._at, self._target)


class _Resumed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, states: Tensor, at: LayerState, target: int) -> Tensor:
        scores, gradients = at.resume(states, ctx.needs_input_grad[0])
        if gradients:
            ctx.save_for_backward(gradients[target])
        return scores[target]

    @staticmethod
    def backward(ctx: Any, outer: Tensor) -> Tuple[Tensor, None, None]:
        (gradient,) = ctx.saved_tensors
        return outer.reshape(-1, 1, 1) * gradient, None, None


@SaliencyInterpreter.register("captum")
class CaptumSaliency(UndecodedInterpreter):
    """
    A method of Captum at the embedding output or at an inner layer, not decoded.

    At layer 0 they are the methods that Thermostat uses. `IntegratedGradients` at layer l gives what
    Captum's LayerIntegratedGradients does, `InputXGradient` what LayerGradientXActivation does,
    `DeepLift` what LayerDeepLift does; but the blocks below the layer run only once.

    Registered as a `SaliencyInterpreter` with name "captum".

    # Parameters

    predictor : `Predictor`
    method : `str`
        "DeepLift", "FeatureAblation", "GradientShap", "InputXGradient", "IntegratedGradients",
        "KernelShap", "Lime", "Occlusion" or "ShapleyValueSampling".
    arguments : `Dict[str, Any]`, optional
        For the method's `attribute`, such as `{"n_samples": 100}`; left out, 25 samples or steps, and
        windows of 3 positions.
    baseline : `str`, optional (default = `"mask"`)
        "mask": special tokens stay, all others are masked. "pad", or a token as the tokenizer writes it: that
        one in their place. "zero".
    seed : `int`, optional (default = `0`)
    layer : `Union[int, str, List[int]]`, optional (default = `0`)
    **kwargs
        As for `layer-saliency`, which has an aggregation besides.
    """

    def __init__(
        self,
        predictor: Predictor,
        method: Optional[str] = None,
        arguments: Optional[Dict[str, Any]] = None,
        baseline: str = "mask",
        seed: int = 0,
        layer: Union[int, str, List[int]] = 0,
        **kwargs: Any,
    ) -> None:
        # Without a method the error lists them.
        aggregation = CaptumAttribution(method or "", arguments, baseline, seed)
        super().__init__(predictor, layer=layer, **kwargs)
        self._use(aggregation)
