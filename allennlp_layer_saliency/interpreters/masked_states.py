"""Hidden states of masked inputs: a baseline for integrated gradients."""

from collections import OrderedDict
from typing import Callable, Dict, List, Sequence, Tuple

import torch
from allennlp.data import Instance
from torch import Tensor

from allennlp_layer_saliency.models.text_layout import Inputs

# Numbers kept: 64 MiB in float32.
KEPT_ELEMENTS = 2**24


class MaskedStates:
    """
    The layers' states for inputs of which all but special tokens are masked.

    Such an input depends on little more than its length, so that its states are computed once and kept.

    # Parameters

    compute : `Callable[[Instance], Dict[int, Tensor]]`
        From an instance to each layer's states, of shape (positions, hidden), when it is masked.
    parameters : `Sequence[Tensor]`
        What the states depend on; once one of them has changed, they are computed again.
    """

    def __init__(
        self, compute: Callable[[Instance], Dict[int, Tensor]], parameters: Sequence[Tensor]
    ) -> None:
        self._compute = compute
        self._parameters = parameters
        self._version = -1
        self._kept: "OrderedDict[Tuple[int, ...], Dict[int, Tensor]]" = OrderedDict()

    def of(self, instances: List[Instance], inputs: Inputs) -> Callable[[int], Tensor]:
        """
        For a batch: from a layer to its states, of shape (batch, positions, hidden), 0 at padding. They are
        looked for when a layer is first asked for.
        """
        found: List[Dict[int, Tensor]] = []

        def states(layer: int) -> Tensor:
            if not found:
                found.extend(self._of_each(instances, inputs))
            of_layer = [states[layer] for states in found]
            batch = of_layer[0].new_zeros(*inputs.mask.shape, of_layer[0].size(-1))
            batch[inputs.real] = torch.cat(of_layer)
            return batch

        return states

    def _of_each(self, instances: List[Instance], inputs: Inputs) -> List[Dict[int, Tensor]]:
        version = sum(parameter._version for parameter in self._parameters)
        if version != self._version:
            self._kept.clear()
            self._version = version
        # What is left of the inputs: their special tokens, and their length.
        ids = inputs.token_ids.masked_fill(~inputs.special, -1)
        found = []
        for instance, row, mask in zip(instances, ids.tolist(), inputs.mask.tolist()):
            key = tuple(piece for piece, real in zip(row, mask) if real)
            if key not in self._kept:
                self._kept[key] = self._compute(instance)
                self._forget()
            self._kept.move_to_end(key)
            found.append(self._kept[key])
        return found

    def _forget(self) -> None:
        """Keep the inputs used last."""
        sizes = [sum(map(Tensor.numel, states.values())) for states in self._kept.values()]
        while len(self._kept) > 1 and sum(sizes) > KEPT_ELEMENTS:
            self._kept.popitem(last=False)
            del sizes[0]
