"""Hidden states of masked inputs: a baseline for integrated gradients."""

from typing import Any, Callable, Dict, List, Sequence

import torch
from allennlp.data import Instance
from torch import Tensor

from allennlp_layer_saliency.models.allennlp import text_fields
from allennlp_layer_saliency.models.text_reader import Batch, TextReader

# What the transformer is given of a text beside its token ids, as the indexers call it.
_BESIDE_IDS = ("type_ids", "wordpiece_mask", "segment_concat_mask")


class MaskedStates:
    """
    The layers' states for inputs of which all but special tokens are masked, for one call.

    Inputs that are the same once they are masked share their states. Nothing outlives the call: between
    two calls the model's parameters may change in ways that leave no trace.

    # Parameters

    texts : `TextReader`
    layers : `Sequence[int]`
    """

    def __init__(self, texts: TextReader, layers: Sequence[int]) -> None:
        self._texts = texts
        self._layers = layers
        self._known: Dict[Any, Dict[int, Tensor]] = {}

    def of(self, batch: Batch) -> Callable[[int], Tensor]:
        """
        For a batch: from a layer to its states, of shape (batch, positions, hidden), 0 at padding. They
        are computed when a layer is first asked for.
        """
        found: List[Dict[int, Tensor]] = []

        def states(layer: int) -> Tensor:
            if not found:
                found.extend(self._of_each(batch.instances))
            own = torch.cat([of_instance[layer] for of_instance in found])
            padded = own.new_zeros(*batch.inputs.mask.shape, own.size(-1))
            padded[batch.inputs.real] = own
            return padded

        return states

    def _of_each(self, instances: List[Instance]) -> List[Dict[int, Tensor]]:
        keys = [self._key(instance) for instance in instances]
        missing = {k: i for k, i in zip(keys, instances) if k not in self._known}
        if missing:
            masked = self._texts.masked_batch(list(missing.values()))
            lengths = masked.inputs.mask.sum(1).tolist()
            split = {
                layer: states[masked.inputs.real].split(lengths)
                for layer, states in self._texts.states(masked, self._layers).items()
            }
            for row, key in enumerate(missing):
                self._known[key] = {layer: rows[row] for layer, rows in split.items()}
        return [self._known[key] for key in keys]

    def _key(self, instance: Instance) -> Any:
        """All that the transformer is given of the masked input."""
        key = []
        for name, field in text_fields(instance).items():
            indexed = self._texts.indexed_ids(field)
            kept = self._texts.special_ids
            masked = tuple(i if i in kept else None for i in indexed["token_ids"])
            others = tuple(tuple(indexed.get(part) or ()) for part in _BESIDE_IDS)
            key.append((name, masked, *others))
        return tuple(key)
