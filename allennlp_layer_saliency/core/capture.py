"""Hidden states and gradients of inner layers, from one forward and one partial backward pass.

This is the only module with hooks.
"""

from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Callable, Dict, Iterator, Mapping

import torch
from torch import Tensor


@dataclass(frozen=True)
class Tap:
    """
    Where a layer's hidden state is read: the output, or the first item of a tuple of outputs, of a
    module.

    # Parameters

    module : `torch.nn.Module`
    call : `int`
        Which of the module's calls in one forward pass, for a module that serves several layers.
    calls : `int`
        How often the module is called in one forward pass.
    """

    module: torch.nn.Module
    call: int = 0
    calls: int = 1


@dataclass(frozen=True)
class Capture:
    """
    What one pass over a batch leaves behind.

    # Parameters

    outputs : `Any`
        What the model returned, its tensors still with what is left of their graph.
    scores : `torch.Tensor`
        Shape: (batch,). The explained score y_c of each instance. Detached, as all below.
    hidden_states : `Dict[int, torch.Tensor]`
        Layer -> h_l. Shape: (batch, positions, hidden).
    gradients : `Dict[int, torch.Tensor]`
        Layer -> D_l, the gradient of each instance's own score. Shape: as `hidden_states`.
    """

    outputs: Any
    scores: Tensor
    hidden_states: Dict[int, Tensor]
    gradients: Dict[int, Tensor]


def capture(
    model: torch.nn.Module,
    taps: Mapping[int, Tap],
    forward: Callable[[], Any],
    score: Callable[[Any], Tensor],
) -> Capture:
    """
    Run the model once and differentiate its scores with respect to the hidden states at `taps`.

    Blocks up to the lowest tap build no graph, no parameter gradient is computed, and the model is
    left as it was (training flags, `requires_grad` flags, hooks), after an exception too. Steps 1
    and 3 of Algorithm 1.

    # Parameters

    model : `torch.nn.Module`
        Put into evaluation mode for the duration.
    taps : `Mapping[int, Tap]`
        Layer -> where it is read.
    forward : `Callable[[], Any]`
        Runs the model on the batch.
    score : `Callable[[Any], torch.Tensor]`
        From what `forward` returned to y_c, of shape (batch,). An instance's score must depend on that
        instance alone.

    # Raises

    `ValueError`
        If a tap's module did not run, ran more often than expected, or does not lead to the score.
    """
    lowest = min(taps)
    states: Dict[int, Tensor] = {}

    def read(layer: int, output: Any) -> Any:
        if layer in states:
            raise ValueError(
                f"layer {layer} ran more than once in one forward pass; only models that encode their "
                "input in a single pass are supported"
            )
        hidden_state = output[0] if isinstance(output, tuple) else output
        if layer != lowest:
            states[layer] = hidden_state
            return None
        # From here on the graph is wanted: the caller's `no_grad` ends with the lowest layer.
        torch.set_grad_enabled(True)
        leaf = hidden_state.detach().requires_grad_()
        states[layer] = leaf
        return (leaf,) + tuple(output[1:]) if isinstance(output, tuple) else leaf

    # cuDNN can't differentiate recurrent layers in evaluation mode.
    without_cudnn = torch.backends.cudnn.flags(enabled=False)
    with torch.inference_mode(False), without_cudnn, _evaluation_without_parameter_gradients(model):
        with torch.no_grad(), _hooks(taps, read):
            outputs = forward()
        missing = sorted(set(taps) - set(states))
        if missing:
            raise ValueError(f"layers {missing} did not run in the forward pass")
        with torch.enable_grad():
            scores = score(outputs)
        layers = sorted(states)
        if not scores.requires_grad:
            raise ValueError(f"the explained score does not depend on layer {lowest}")
        gradients = torch.autograd.grad(
            scores.sum(), [states[layer] for layer in layers], allow_unused=True
        )
    for layer, gradient in zip(layers, gradients):
        if gradient is None:
            raise ValueError(f"the explained score does not depend on layer {layer}")
    return Capture(
        outputs=outputs,
        scores=scores.detach(),
        hidden_states={layer: states[layer].detach() for layer in layers},
        gradients=dict(zip(layers, gradients)),
    )


@contextmanager
def preserved(model: torch.nn.Module) -> Iterator[None]:
    """
    Restore hooks, `requires_grad` and training flags, and parameter gradients when the block ends.

    For code of others that leaves them behind when it raises, or always.
    """
    hook_tables = [
        (table, dict(table))
        for module in model.modules()
        for table in (
            module._forward_hooks,
            module._forward_pre_hooks,
            module._backward_hooks,
        )
    ]
    training = {module: module.training for module in model.modules()}
    parameters = [(p, p.requires_grad, p.grad) for p in model.parameters()]
    try:
        yield
    finally:
        for table, entries in hook_tables:
            table.clear()
            table.update(entries)
        for module, flag in training.items():
            module.training = flag
        for parameter, flag, gradient in parameters:
            parameter.requires_grad_(flag)
            parameter.grad = gradient


@contextmanager
def _hooks(taps: Mapping[int, Tap], read: Callable[[int, Any], Any]) -> Iterator[None]:
    """Call `read(layer, output)` for each tap; what it returns, unless None, replaces the output."""

    def hook_for(layer: int, tap: Tap) -> Callable:
        count = 0

        def hook(module: torch.nn.Module, inputs: Any, output: Any) -> Any:
            nonlocal count
            count += 1
            return read(layer, output) if (count - 1) % tap.calls == tap.call else None

        return hook

    with ExitStack() as stack:
        for layer, tap in taps.items():
            stack.callback(tap.module.register_forward_hook(hook_for(layer, tap)).remove)
        yield


@contextmanager
def _evaluation_without_parameter_gradients(model: torch.nn.Module) -> Iterator[None]:
    """
    Switch off training mode and the parameters' `requires_grad`.

    The flags are set one by one: `Model.eval()` is overridden by modules that keep some parts as they
    are. Without parameters that want a gradient, autograd saves fewer activations.
    """
    training = [module for module in model.modules() if module.training]
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    try:
        for module in training:
            module.training = False
        for parameter in trainable:
            parameter.requires_grad_(False)
        yield
    finally:
        for module in training:
            module.training = True
        for parameter in trainable:
            parameter.requires_grad_(True)
