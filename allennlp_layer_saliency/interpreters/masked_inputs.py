"""Masked inputs: a baseline for integrated gradients."""

from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence

import torch
from allennlp.data import Instance
from torch import Tensor

from allennlp_layer_saliency.interpreters.targets import ModelTarget
from allennlp_layer_saliency.models.allennlp import text_fields
from allennlp_layer_saliency.models.text_reader import Batch, TextReader

# What the transformer is given of a text beside its token ids, as the indexers call it.
_BESIDE_IDS = ("type_ids", "wordpiece_mask", "segment_concat_mask")


class MaskedBatch(NamedTuple):
    """
    What the model makes of a batch's masked inputs, at one layer.

    # Parameters

    states : `torch.Tensor`
        h_l, 0 at padding. Shape: (batch, positions, hidden).
    logits : `torch.Tensor`, optional
        The target's, as of the batch itself, where they follow from the states of any one layer. Shape:
        (batch, positions of the output, classes).
    """

    states: Tensor
    logits: Optional[Tensor]


class _Masked(NamedTuple):
    """One masked input: each layer's states, without padding, and the logits."""

    states: Dict[int, Tensor]
    logits: Optional[Tensor]


class MaskedInputs:
    """
    The inputs of one call, with all but special tokens masked.

    Inputs that are the same once they are masked are one, and all go through the model when one of them is
    first asked for. Nothing outlives the call: between two calls the model's parameters may change in ways
    that leave no trace.

    # Parameters

    texts : `TextReader`
    target : `ModelTarget`
    layers : `Sequence[int]`
    instances : `List[Instance]`
        All of the call.
    stand_in : `int`, optional
        The id that masks. None where no masked input is asked for.
    """

    def __init__(
        self,
        texts: TextReader,
        target: ModelTarget,
        layers: Sequence[int],
        instances: List[Instance],
        stand_in: Optional[int],
    ) -> None:
        self._texts = texts
        self._target = target
        self._layers = layers
        self._instances = instances
        self._stand_in = stand_in
        self._known: Dict[Any, _Masked] = {}

    def of(self, batch: Batch) -> Callable[[int], MaskedBatch]:
        """For a batch of the call's instances: from a layer to what the masked inputs are there."""
        own: List[_Masked] = []

        def at(layer: int) -> MaskedBatch:
            if not own:
                if not self._known:
                    self._run_all()
                own.extend(self._known[self._key(instance)] for instance in batch.instances)
            real = torch.cat([masked.states[layer] for masked in own])
            states = real.new_zeros(*batch.inputs.mask.shape, real.size(-1))
            states[batch.inputs.real] = real
            logits = [masked.logits for masked in own if masked.logits is not None]
            if len(logits) < len(own):
                return MaskedBatch(states, None)
            # A tagger has logits for each token.
            padded = torch.nn.utils.rnn.pad_sequence(logits, batch_first=True)
            return MaskedBatch(states, padded)

        return at

    def _run_all(self) -> None:
        distinct = {self._key(instance): instance for instance in self._instances}
        keys, instances = list(distinct), list(distinct.values())
        lengths = [len(ids) for ids in map(self._ids, instances)]
        for chosen, masked in self._texts.budget.run(
            lengths,
            lambda chosen: self._run([instances[i] for i in chosen]),
            self._target.equal_lengths,
        ):
            self._known.update((keys[i], found) for i, found in zip(chosen, masked))

    def _run(self, instances: List[Instance]) -> List[_Masked]:
        assert self._stand_in is not None
        batch = self._texts.masked_batch(instances, self._stand_in)
        states, outputs = self._texts.states(batch, self._layers, self._target.forward)
        lengths = batch.inputs.mask.sum(1).tolist()
        split = {layer: h[batch.inputs.real].split(lengths) for layer, h in states.items()}
        logits: List[Optional[Tensor]] = [None] * len(instances)
        if self._target.sums_logits and all(map(self._texts.layers_tell_all, instances)):
            logits = list(self._target.logits(outputs).detach().float())
        return [
            _Masked({layer: rows[i] for layer, rows in split.items()}, logits[i])
            for i in range(len(instances))
        ]

    def _ids(self, instance: Instance) -> List[int]:
        fields = text_fields(instance).values()
        return [i for field in fields for i in self._texts.indexed_ids(field)["token_ids"]]

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
