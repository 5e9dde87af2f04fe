"""The aggregations g by registered name; the formulas are in `core.aggregation`."""

from allennlp.common import Registrable
from allennlp.common.checks import ConfigurationError
from torch import Tensor

from allennlp_layer_saliency.core import aggregation


class FeatureAggregation(Registrable):
    """From a layer's hidden states and gradients to one weight per position."""

    default_implementation = "gradient-x-input"

    def __call__(self, hidden_states: Tensor, gradients: Tensor, mask: Tensor) -> Tensor:
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
class GradientNorm(FeatureAggregation):
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

    def __call__(self, hidden_states: Tensor, gradients: Tensor, mask: Tensor) -> Tensor:
        return aggregation.gradient_norm(gradients, mask, self.p)


@FeatureAggregation.register("gradient-x-input")
class GradientXInput(FeatureAggregation):
    """
    The product of gradient and hidden state.

    Registered as a `FeatureAggregation` with name "gradient-x-input".
    """

    def __call__(self, hidden_states: Tensor, gradients: Tensor, mask: Tensor) -> Tensor:
        return aggregation.gradient_x_input(hidden_states, gradients, mask)


@FeatureAggregation.register("grad-cam")
class GradCam(FeatureAggregation):
    """
    Grad-CAM, with positions in the place of pixels.

    Registered as a `FeatureAggregation` with name "grad-cam".

    # Parameters

    relu : `bool`, optional (default = `True`)
        Whether negative weights become 0.
    """

    def __init__(self, relu: bool = True) -> None:
        self.relu = relu

    def __call__(self, hidden_states: Tensor, gradients: Tensor, mask: Tensor) -> Tensor:
        return aggregation.grad_cam(hidden_states, gradients, mask, self.relu)
