"""
How AllenNLP lays a batch of instances out for the transformer, and back again.

An instance may hold several texts, each its own run of the transformer; a text longer than the
embedder's `max_length` is folded into several rows; a text may consist of words, each of several word
pieces or of none. The core sees none of this: positions are the word pieces of all texts of an
instance, one text after the other.
"""

from dataclasses import dataclass
from typing import Dict, List, NamedTuple, Optional, Tuple

import torch
from allennlp.common.checks import ConfigurationError
from allennlp.models import Model
from torch import Tensor
from transformers import PreTrainedModel

from allennlp_layer_saliency.models.allennlp import folded


class Inputs(NamedTuple):
    """
    A padded batch as the core wants it.

    # Parameters

    token_ids : `torch.Tensor`
        t. Shape: (batch, positions).
    mask : `torch.Tensor`
        Shape: (batch, positions). True at real positions.
    special : `torch.Tensor`
        Shape: (batch, positions). True at special tokens.
    words : `torch.Tensor`, optional
        Shape: (batch, positions). The token that each word piece belongs to, -1 for none. None where
        tokens are word pieces.
    token_count : `int`
        Tokens of an instance, padding included.
    real : `Tuple[torch.Tensor, ...]`
        Instances and positions of the mask's real positions, as `Tensor.nonzero` gives them.
    starts : `List[int]`
        The position at which each text of an instance starts.
    """

    token_ids: Tensor
    mask: Tensor
    special: Tensor
    words: Optional[Tensor]
    token_count: int
    real: Tuple[Tensor, ...]
    starts: List[int]


class Text(NamedTuple):
    """
    One text of each instance.

    # Parameters

    rows : `torch.Tensor`
        The ids as the transformer is given them. Shape: (rows, row length).
    token_ids, mask : `torch.Tensor`
        Shape: (batch, positions).
    offsets, word_mask : `torch.Tensor`, optional
        First and last word piece of each word, -1 for none, and whether there is a word. Shapes:
        (batch, words, 2), (batch, words). None where tokens are word pieces.
    folding : `Folding`
    first_position, first_token : `int`
        Where the text starts among an instance's.
    """

    rows: Tensor
    token_ids: Tensor
    mask: Tensor
    offsets: Optional[Tensor]
    word_mask: Optional[Tensor]
    folding: "Folding"
    first_position: int
    first_token: int


@dataclass(frozen=True)
class TextLayout:
    """A batch's texts, in the order of the instances' fields."""

    texts: List[Text]

    @classmethod
    def of(cls, model: Model, transformer: PreTrainedModel, texts: List[Dict[str, Tensor]]) -> "TextLayout":
        """
        For a batch as the transformer's indexer made it: for each text the indexer's tensors.

        # Raises

        `ConfigurationError`
            If indexer and embedder fold differently.
        """
        found: List[Text] = []
        position = token = 0
        for indexed in texts:
            offsets = indexed.get("offsets")
            mask = indexed["mask"] if offsets is None else indexed["wordpiece_mask"]
            folding, rows = Folding.of(model, transformer, indexed, mask)
            found.append(
                Text(
                    rows=rows,
                    token_ids=folding.undo(rows.unsqueeze(-1)).squeeze(-1),
                    mask=mask,
                    offsets=offsets,
                    word_mask=None if offsets is None else indexed["mask"],
                    folding=folding,
                    first_position=position,
                    first_token=token,
                )
            )
            position += mask.size(1)
            token += mask.size(1) if offsets is None else offsets.size(1)
        return cls(found)

    def inputs(self, special_ids: List[int]) -> Inputs:
        """The batch as the core wants it, given the ids of special tokens."""
        token_ids = torch.cat([text.token_ids for text in self.texts], dim=1)
        mask = torch.cat([text.mask for text in self.texts], dim=1)
        special = torch.tensor(special_ids, dtype=torch.long, device=token_ids.device)
        last = self.texts[-1]
        words = None
        token_count = token_ids.size(1)
        if last.offsets is not None:
            words = torch.cat([_words(text) for text in self.texts], dim=1)
            token_count = last.first_token + last.offsets.size(1)
        return Inputs(
            token_ids=token_ids,
            mask=mask,
            special=(token_ids.unsqueeze(-1) == special).any(-1) & mask,
            words=words,
            token_count=token_count,
            real=mask.nonzero(as_tuple=True),
            starts=[text.first_position for text in self.texts],
        )

    def runs(self, token_ids: List[Tensor]) -> List[int]:
        """
        Which run of the transformer read each text, given what it was given in each run.

        # Raises

        `ValueError`
            If the runs are not those of the instance's texts.
        """
        left = list(range(len(token_ids)))
        runs = []
        for text in self.texts:
            own = next((run for run in left if torch.equal(token_ids[run], text.rows)), None)
            if own is None:
                raise ValueError(
                    f"the transformer ran {len(token_ids)} times for {len(self.texts)} texts, and not on "
                    "these texts' word pieces as they are; only models that read each text once, in one "
                    "piece, can be explained"
                )
            left.remove(own)
            runs.append(own)
        if left:
            raise ValueError(
                f"the transformer ran {len(token_ids)} times for {len(self.texts)} texts; only models that "
                "read each text once can be explained"
            )
        return runs

    def joined(self, states: List[Tensor]) -> Tensor:
        """
        The states of all texts, one text after the other.

        # Parameters

        states : `List[torch.Tensor]`
            For each text the transformer's. Shape of each: (copies * rows, row length, hidden).

        # Returns

        `torch.Tensor`
            Shape: (copies * batch, positions, hidden).

        # Raises

        `ValueError`
            If the states are not of the texts' shape.
        """
        for text, state in zip(self.texts, states):
            rows, length = text.rows.shape
            if len(state) % rows or state.size(1) != length:
                raise ValueError(
                    f"the layer has states of shape {tuple(state.shape[:2])} for word pieces of shape "
                    f"{tuple(text.rows.shape)}; only models that keep each position can be explained"
                )
        return torch.cat([t.folding.undo(s) for t, s in zip(self.texts, states)], dim=1)

    def separated(self, joined: Tensor, others: List[Tensor]) -> List[Tensor]:
        """
        The reverse of `joined`: for each text the transformer's states, in their type.

        # Parameters

        joined : `torch.Tensor`
            Shape: (copies * batch, positions, hidden).
        others : `List[torch.Tensor]`
            What stands at positions that are not the texts'. Shape of each: (rows, row length, hidden).
        """
        separated = []
        for text, other in zip(self.texts, others):
            stop = text.first_position + text.mask.size(1)
            own = joined[:, text.first_position : stop].to(other.dtype)
            separated.append(text.folding.redo(own, other, text.mask))
        return separated


def _words(text: Text) -> Tensor:
    """For each position the token among the instance's that it belongs to, or -1."""
    assert text.offsets is not None and text.word_mask is not None
    starts, ends = text.offsets.unbind(-1)
    none = torch.full_like(text.token_ids, -1)
    # A column too many takes padding and the words without a piece.
    columns = starts.masked_fill((starts < 0) | ~text.word_mask, none.size(1))
    index = torch.arange(starts.size(1), device=starts.device).expand_as(starts)
    started = torch.cat([none, none[:, :1]], dim=1).scatter(1, columns, index)[:, :-1]
    # Words come in order: a position is in the latest word that has started, or behind it.
    latest = started.cummax(dim=1).values
    positions = torch.arange(none.size(1), device=starts.device)
    inside = (latest >= 0) & (positions <= ends.gather(1, latest.clamp(min=0)))
    return torch.where(inside, latest + text.first_token, none)


@dataclass(frozen=True)
class Folding:
    """
    How the embedder laid out a text for the transformer: texts longer than its `max_length` become
    several rows, each with special tokens of its own, which are not positions of the text.

    # Parameters

    places : `torch.Tensor`, optional
        Shape: (batch, positions). Where each position is in the rows, counted over all of them; -1 at
        padding. None where every text is one row.
    real : `Tuple[torch.Tensor, torch.Tensor]`, optional
        Instances and positions that are not padding.
    rows : `int`
        Of the whole batch.
    """

    places: Optional[Tensor] = None
    real: Tuple[Tensor, ...] = ()
    rows: int = 0

    @classmethod
    def of(
        cls,
        model: Model,
        transformer: PreTrainedModel,
        indexed: Dict[str, Tensor],
        mask: Tensor,
    ) -> Tuple["Folding", Tensor]:
        """
        For a text as the transformer's indexer made it, and the mask of its word pieces: the folding,
        and the ids as the transformer is given them, of shape (rows, row length).
        """
        ids = indexed["token_ids"]
        if ids.shape == mask.shape:
            return cls(), ids
        found = folded(model, transformer, ids, indexed["segment_concat_mask"])
        if found is not None:
            rows, unfold = found
            # Unfolding fills up with 0.
            numbers = torch.arange(1, rows.numel() + 1, device=ids.device, dtype=torch.double)
            places = unfold(numbers.reshape(*rows.shape, 1))
            places = (places.squeeze(-1).long() - 1).masked_fill(~mask, -1)
            return cls(places, (places >= 0).nonzero(as_tuple=True), len(rows)), rows
        raise ConfigurationError(
            "the token indexer folds long texts, but the embedder has no max_length to read them by; give "
            "both the same"
        )

    def undo(self, states: Tensor) -> Tensor:
        """
        One row per text, without the special tokens between segments.

        # Parameters

        states : `torch.Tensor`
            Shape: (copies * rows, row length, size).

        # Returns

        `torch.Tensor`
            Shape: (copies * batch, positions, size); 0 at padding if there is folding.
        """
        if self.places is None:
            return states
        by_copy = self._by_copy(states)
        found = by_copy[:, self.places.clamp(min=0).flatten()]
        found = found.reshape(-1, *self.places.shape, states.size(2))
        return found.masked_fill((self.places < 0).unsqueeze(-1), 0).flatten(0, 1)

    def redo(self, states: Tensor, others: Tensor, mask: Tensor) -> Tensor:
        """
        From one row per text back to the transformer's rows.

        # Parameters

        states : `torch.Tensor`
            Shape: (copies * batch, positions, size).
        others : `torch.Tensor`
            What stands elsewhere. Shape: (rows, row length, size).
        mask : `torch.Tensor`
            Shape: (batch, positions).

        # Returns

        `torch.Tensor`
            Shape: (copies * rows, row length, size).
        """
        copies = len(states) // len(mask)
        repeated = others.repeat(copies, 1, 1)
        if self.places is None:
            return torch.where(mask.repeat(copies, 1).unsqueeze(-1), states, repeated)
        instances, positions = self.real
        own = states.reshape(copies, *self.places.shape, -1)[:, instances, positions]
        self._by_copy(repeated)[:, self.places[instances, positions]] = own
        return repeated

    def _by_copy(self, rows: Tensor) -> Tensor:
        """Shape: (copies, rows * row length, size)."""
        return rows.reshape(len(rows) // self.rows, -1, rows.size(2))
