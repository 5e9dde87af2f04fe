"""Hidden states of masked inputs: a baseline for integrated gradients."""

from typing import Any, Callable, Dict, List, Tuple

import torch
from allennlp.data import Instance
from torch import Tensor

from allennlp_layer_saliency.models.allennlp import indexed_text, text_fields
from allennlp_layer_saliency.models.text_layout import Inputs

# What the transformer is given of a text beside its token ids, as the indexers call it.
_BESIDE_IDS = ("type_ids", "wordpiece_mask", "segment_concat_mask")


class MaskedStates:
    """
    The layers' states for inputs of which all but special tokens are masked, for one call.

    Inputs that are the same once they are masked share their states. Nothing outlives the call: between
    two calls the model's parameters may change in ways that leave no trace.

    # Parameters

    compute : `Callable[[List[Instance]], Tuple[Dict[int, Tensor], Tensor]]`
        From instances to each layer's states when they are masked, of shape (batch, positions, hidden), and
        the mask of their real positions, of shape (batch, positions).
    indexer_name : `str`
        The transformer's indexer.
    kept : `Callable[[int], bool]`
        Whether a word piece is left as it is.
    """

    def __init__(
        self,
        compute: Callable[[List[Instance]], Tuple[Dict[int, Tensor], Tensor]],
        indexer_name: str,
        kept: Callable[[int], bool],
    ) -> None:
        self._compute = compute
        self._indexer_name = indexer_name
        self._kept = kept
        self._known: Dict[Any, Dict[int, Tensor]] = {}

    def of(self, instances: List[Instance], inputs: Inputs) -> Callable[[int], Tensor]:
        """
        For a batch: from a layer to its states, of shape (batch, positions, hidden), 0 at padding. They
        are computed when a layer is first asked for.
        """
        found: List[Dict[int, Tensor]] = []

        def states(layer: int) -> Tensor:
            if not found:
                found.extend(self._of_each(instances))
            batch = found[0][layer].new_zeros(*inputs.mask.shape, found[0][layer].size(-1))
            batch[inputs.real] = torch.cat([own[layer] for own in found])
            return batch

        return states

    def _of_each(self, instances: List[Instance]) -> List[Dict[int, Tensor]]:
        keys = [self._key(instance) for instance in instances]
        missing = {k: i for k, i in zip(keys, instances) if k not in self._known}
        if missing:
            of_layers, masks = self._compute(list(missing.values()))
            real = masks.nonzero(as_tuple=True)
            lengths = masks.sum(1).tolist()
            split = {layer: s[real].split(lengths) for layer, s in of_layers.items()}
            for row, key in enumerate(missing):
                self._known[key] = {layer: rows[row] for layer, rows in split.items()}
        return [self._known[key] for key in keys]

    def _key(self, instance: Instance) -> Any:
        """All that the transformer is given of the masked input."""
        key = []
        for name, field in text_fields(instance).items():
            indexed = indexed_text(field, self._indexer_name)
            masked = tuple(i if self._kept(i) else None for i in indexed["token_ids"])
            others = tuple(tuple(indexed.get(part) or ()) for part in _BESIDE_IDS)
            key.append((name, masked, *others))
        return tuple(key)
