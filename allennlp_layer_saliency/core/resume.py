"""The part of a model above a layer, as a function of that layer's hidden state."""

from contextlib import ExitStack, contextmanager
from typing import Any, Callable, Dict, Iterator, List, Sequence, Tuple

import torch
from torch import Tensor

from allennlp_layer_saliency.core.capture import Tap, differentiate, evaluation


def resume(
    model: torch.nn.Module,
    taps: Sequence[Tap],
    recorded: List[Tuple[torch.nn.Module, Any]],
    states: List[Tensor],
    copies: int,
    forward: Callable[[], Any],
    score: Callable[[Any], Tensor],
    gradients: bool = True,
) -> Tuple[Tensor, List[List[Tensor]]]:
    """
    Run the model from other hidden states of a layer on, and differentiate its scores with respect to
    them.

    Several copies of a batch go through together, one after the other along the batch axis. The modules
    of the layers below do not run: they give what they gave before.

    # Parameters

    model : `torch.nn.Module`
    taps : `Sequence[Tap]`
        Those of all layers from 0 to l.
    recorded : `List[Tuple[torch.nn.Module, Any]]`
        What `capture.recorded` gave for the taps' modules while the model ran on the batch.
    states : `List[torch.Tensor]`
        For each run of the transformer, in place of h_l. Shape of each: (copies * rows, positions,
        hidden).
    copies : `int`
    forward : `Callable[[], Any]`
        Runs the model on this many copies of the batch.
    score : `Callable[[Any], torch.Tensor]`
        From what `forward` returned to y_c, of shape (targets, copies * batch).
    gradients : `bool`
        False gives the scores only.

    # Returns

    `Tuple[torch.Tensor, List[List[torch.Tensor]]]`
        The scores, detached, and for each of them and each run the gradient, shaped as `states`.

    # Raises

    `ValueError`
        If the scores do not depend on the layer.
    """
    leaves = [state.detach().requires_grad_(gradients) for state in states]
    with evaluation(model):
        with torch.no_grad(), _skipped(taps, recorded, leaves, copies):
            outputs = forward()
        with torch.set_grad_enabled(gradients):
            scores = score(outputs)
        if not gradients:
            return scores, []
        layer = len(taps) - 1
        found = [
            differentiate(scores[i].sum(), {layer: leaves}, i < len(scores) - 1)[layer]
            for i in range(len(scores))
        ]
    return scores.detach(), found


@contextmanager
def _skipped(
    taps: Sequence[Tap],
    recorded: List[Tuple[torch.nn.Module, Any]],
    leaves: List[Tensor],
    copies: int,
) -> Iterator[None]:
    """Have the taps' modules give what is recorded, the last of them the leaves."""
    own = {tap.module: tap.module.forward for tap in taps}
    outputs: Dict[torch.nn.Module, List[Any]] = {module: [] for module in own}
    for module, output in recorded:
        if module in outputs:
            outputs[module].append(output)

    def instead(module: torch.nn.Module) -> Callable:
        layers = {tap.call: layer for layer, tap in enumerate(taps) if tap.module is module}
        calls = next(tap.calls for tap in taps if tap.module is module)
        count = 0

        def forward(*args: Any, **kwargs: Any) -> Any:
            nonlocal count
            run, call = divmod(count, calls)
            count += 1
            if call not in layers:  # a layer above, of the same module
                return own[module](*args, **kwargs)
            axis = int(taps[-1].time_major)
            output = outputs[module][count - 1]
            first, *others = output if isinstance(output, tuple) else (output,)
            rows = first.size(axis)
            if layers[call] == len(taps) - 1:
                # From here on the graph is wanted, as in `capture`.
                torch.set_grad_enabled(leaves[run].requires_grad)
                first = leaves[run].transpose(0, 1) if axis else leaves[run]
            else:
                first = _repeated(first, copies, axis, rows)
            rest = tuple(_repeated(other, copies, axis, rows) for other in others)
            return (first, *rest) if isinstance(output, tuple) else first

        return forward

    with ExitStack() as stack:
        for module in own:
            # An instance's own `forward`, as some libraries set it, comes back in the end.
            if "forward" in vars(module):
                stack.callback(setattr, module, "forward", own[module])
            else:
                stack.callback(delattr, module, "forward")
            module.forward = instead(module)
        yield


def _repeated(value: Any, copies: int, axis: int, rows: int) -> Any:
    """As often along the axis of the batch, if it has one."""
    if isinstance(value, tuple):
        return tuple(_repeated(item, copies, axis, rows) for item in value)
    if copies > 1 and isinstance(value, Tensor) and value.dim() > axis and value.size(axis) == rows:
        return torch.cat([value] * copies, dim=axis)
    return value
