"""Hidden states and gradients of inner layers, from one forward and one partial backward pass.

This is the only module with hooks.
"""

import random
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Callable, Dict, Iterator, List, Mapping, Optional, Tuple

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
        Which of the module's calls while the transformer runs once, for a module that serves several
        layers.
    calls : `int`
        How often the module is called while the transformer runs once.
    time_major : `bool`
        Whether the module's states are (positions, batch, hidden).
    """

    module: torch.nn.Module
    call: int = 0
    calls: int = 1
    time_major: bool = False


@dataclass(frozen=True)
class Capture:
    """
    What one forward pass over a batch leaves behind.

    The transformer runs once for each text of an instance; the innermost lists have one tensor for each
    of these runs, in their order.

    # Parameters

    outputs : `Any`
        What the model returned, its tensors still with what is left of their graph.
    scores : `torch.Tensor`
        Shape: (targets, batch). The explained scores y_c of each instance. Detached, as all below.
    token_ids : `List[torch.Tensor]`
        What the transformer was given. Shape of each: (rows, positions).
    hidden_states : `Dict[int, List[torch.Tensor]]`
        Layer -> h_l. Shape of each: (rows, positions, hidden).
    gradients : `List[Dict[int, List[torch.Tensor]]]`
        One entry for each target: layer -> D_l, the gradient of each instance's own score. Shapes as
        those of `hidden_states`.
    """

    outputs: Any
    scores: Tensor
    token_ids: List[Tensor]
    hidden_states: Dict[int, List[Tensor]]
    gradients: List[Dict[int, List[Tensor]]]


def capture(
    model: torch.nn.Module,
    taps: Mapping[int, Tap],
    forward: Callable[[], Any],
    score: Callable[[Any], Tensor],
    word_embeddings: Optional[torch.nn.Module] = None,
    gradients: bool = True,
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
        From what `forward` returned to y_c, of shape (targets, batch); there may be no target. An
        instance's scores must depend on that instance alone.
    word_embeddings : `torch.nn.Module`, optional
        The module that the transformer gives its token ids to. Left out, `token_ids` stays empty.
    gradients : `bool`
        False runs the model without a graph, and leaves `gradients` empty.

    # Raises

    `ValueError`
        If a tap's module did not run, or does not lead to the scores.
    """
    layers = sorted(taps)
    lowest = layers[0]
    states: Dict[int, List[Tensor]] = {layer: [] for layer in layers}
    latest_ids: List[Tensor] = []
    token_ids: List[Tensor] = []

    def read(layer: int, output: Any) -> Any:
        hidden_state = output[0] if isinstance(output, tuple) else output
        if layer == lowest:
            # A decoder uses the same embeddings, after the encoder has run.
            token_ids.extend(latest_ids)
        if layer != lowest or not gradients:
            states[layer].append(hidden_state)
            return None
        # From here on the graph is wanted: the caller's `no_grad` ends with the lowest layer.
        torch.set_grad_enabled(True)
        leaf = hidden_state.detach().requires_grad_()
        states[layer].append(leaf)
        return (leaf,) + tuple(output[1:]) if isinstance(output, tuple) else leaf

    with evaluation(model):
        with torch.no_grad(), _hooks(taps, read), _latest_input(word_embeddings, latest_ids):
            outputs = forward()
        runs = len(states[lowest])
        missing = [layer for layer in layers if not runs or len(states[layer]) != runs]
        if missing:
            raise ValueError(f"layers {missing} did not run in the forward pass")
        with torch.set_grad_enabled(gradients):
            scores = score(outputs)
        found = [
            differentiate(scores[target].sum(), states, retain_graph=target < len(scores) - 1)
            for target in range(len(scores) if gradients else 0)
        ]
    return Capture(
        outputs=outputs,
        scores=scores.detach(),
        token_ids=[_batch_major(ids, taps[lowest]) for ids in token_ids],
        hidden_states=_all_batch_major(states, taps),
        gradients=[_all_batch_major(gradient, taps) for gradient in found],
    )


def differentiate(
    score: Tensor, states: Dict[int, List[Tensor]], retain_graph: bool
) -> Dict[int, List[Tensor]]:
    """
    The score's gradients with respect to each layer's states, in their structure.

    # Raises

    `ValueError`
        If the score does not depend on one of them.
    """
    if not score.requires_grad:
        raise ValueError(f"the explained score does not depend on layer {min(states)}")
    flat = [state for of_layer in states.values() for state in of_layer]
    found = iter(torch.autograd.grad(score, flat, allow_unused=True, retain_graph=retain_graph))
    gradients = {layer: [next(found) for _ in of_layer] for layer, of_layer in states.items()}
    for layer, of_layer in gradients.items():
        if any(gradient is None for gradient in of_layer):
            raise ValueError(f"the explained score does not depend on layer {layer}")
    return gradients


@contextmanager
def recorded(*modules: torch.nn.Module) -> Iterator[List[Tuple[torch.nn.Module, Any]]]:
    """A list to which each of the modules' outputs is added while the block runs, in order."""
    outputs: List[Tuple[torch.nn.Module, Any]] = []

    def record(module: torch.nn.Module, _: Any, output: Any) -> None:
        outputs.append((module, output))

    with ExitStack() as stack:
        for module in modules:
            stack.callback(module.register_forward_hook(record).remove)
        yield outputs


@contextmanager
def preserved(
    model: torch.nn.Module, may_stay: Callable[[Callable], bool] = lambda hook: False
) -> Iterator[None]:
    """
    Restore hooks, `requires_grad` and training flags, and parameter gradients when the block ends.

    For code of others that leaves them behind when it raises, or always.

    # Parameters

    model : `torch.nn.Module`
    may_stay : `Callable[[Callable], bool]`
        Whether a hook that is new when the block ends belongs to the model.
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
            new = {key: hook for key, hook in table.items() if may_stay(hook)}
            table.clear()
            table.update({**entries, **new})
        for module, flag in training.items():
            module.training = flag
        for parameter, flag, gradient in parameters:
            parameter.requires_grad_(flag)
            parameter.grad = gradient


@contextmanager
def evaluation(model: torch.nn.Module) -> Iterator[None]:
    """
    Switch off training mode, the parameters' `requires_grad` and inference mode while the block runs,
    and keep random numbers as they were.

    The flags are set one by one: `Model.eval()` is overridden by modules that keep some parts as they
    are. Without parameters that want a gradient, autograd saves fewer activations.
    """
    training = [module for module in model.modules() if module.training]
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    # Some models draw numbers for layers to drop in evaluation mode too.
    python_numbers, torch_numbers = random.getstate(), torch.get_rng_state()
    try:
        for module in training:
            module.training = False
        for parameter in trainable:
            parameter.requires_grad_(False)
        # cuDNN can't differentiate recurrent layers in evaluation mode.
        with torch.inference_mode(False), torch.backends.cudnn.flags(enabled=False):
            yield
    finally:
        random.setstate(python_numbers)
        torch.set_rng_state(torch_numbers)
        for module in training:
            module.training = True
        for parameter in trainable:
            parameter.requires_grad_(True)


def mixed(
    forward: Callable[[], Any], model: torch.nn.Module, dtype: Optional[torch.dtype]
) -> Callable[[], Any]:
    """The same run of the model in automatic mixed precision, if a type is given."""
    if dtype is None:
        return forward
    device = next(model.parameters()).device

    def lower() -> Any:
        with torch.autocast(device.type, dtype=dtype):
            return forward()

    return lower


def _all_batch_major(tensors: Dict[int, List[Tensor]], taps: Mapping[int, Tap]) -> Dict[int, List[Tensor]]:
    return {
        layer: [_batch_major(tensor.detach(), taps[layer]) for tensor in of_layer]
        for layer, of_layer in tensors.items()
    }


def _batch_major(tensor: Tensor, tap: Tap) -> Tensor:
    return tensor.transpose(0, 1) if tap.time_major else tensor


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
def _latest_input(module: Optional[torch.nn.Module], latest: List[Tensor]) -> Iterator[None]:
    """Keep the tensor that the module was given last, as the only item of `latest`."""

    def keep(_: torch.nn.Module, inputs: Any) -> None:
        latest[:] = inputs[:1]

    with ExitStack() as stack:
        if module is not None:
            stack.callback(module.register_forward_pre_hook(keep).remove)
        yield
