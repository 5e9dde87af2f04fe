"""
How AllenNLP lays a batch of instances out for the transformer, and back again.

An instance may hold several texts, each its own run of the transformer; a text longer than the
embedder's `max_length` is folded into several rows; a text may consist of words, each of several word
pieces or of none. The core sees none of this: positions are the word pieces of all texts of an
instance, one text after the other.
"""

from dataclasses import dataclass
from typing import Dict, List, NamedTuple, Optional

import torch
from allennlp.common.checks import ConfigurationError
from allennlp.models import Model
from allennlp.modules.token_embedders import PretrainedTransformerEmbedder
from torch import Tensor
from transformers import PreTrainedModel


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
    """

    token_ids: Tensor
    mask: Tensor
    special: Tensor
    words: Optional[Tensor]
    token_count: int


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
    def of(
        cls, model: Model, transformer: PreTrainedModel, texts: List[Dict[str, Tensor]]
    ) -> "TextLayout":
        """
        For a batch as the transformer's indexer made it: for each text the indexer's tensors.

        # Raises

        `ConfigurationError`
            If indexer and embedder fold differently.
        """
        found: List[Text] = []
        position = token = 0
        for indexed in texts:
            ids, offsets = indexed["token_ids"], indexed.get("offsets")
            mask = indexed["mask"] if offsets is None else indexed["wordpiece_mask"]
            folding = Folding.of(model, transformer, indexed, mask)
            found.append(
                Text(
                    rows=folding.rows(ids),
                    token_ids=folding.undo(ids.unsqueeze(-1).double()).squeeze(-1).long(),
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
        )

    def joined(self, states: List[Tensor], token_ids: List[Tensor]) -> Tensor:
        """
        The states of all texts, one after the other.

        # Parameters

        states : `List[torch.Tensor]`
            From each run of the transformer. Shape of each: (rows, row length, hidden).
        token_ids : `List[torch.Tensor]`
            What the transformer was given in each run, by which its text is known.

        # Returns

        `torch.Tensor`
            Shape: (batch, positions, hidden).

        # Raises

        `ValueError`
            If the runs are not those of the instance's texts.
        """
        runs = list(range(len(states)))
        joined = []
        for text in self.texts:
            own = next((run for run in runs if torch.equal(token_ids[run], text.rows)), None)
            if own is None or states[own].shape[:2] != text.rows.shape:
                raise ValueError(
                    f"the transformer ran {len(states)} times for {len(self.texts)} texts, and not on "
                    "these texts' word pieces as they are; only models that read each text once, in one "
                    "piece, can be explained"
                )
            runs.remove(own)
            joined.append(text.folding.undo(states[own]))
        if runs:
            raise ValueError(
                f"the transformer ran {len(states)} times for {len(self.texts)} texts; only models that "
                "read each text once can be explained"
            )
        return torch.cat(joined, dim=1)


def _words(text: Text) -> Tensor:
    """For each position the token among the instance's that it belongs to, or -1."""
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
    several rows, each with special tokens of its own.

    # Parameters

    embedder : `PretrainedTransformerEmbedder`, optional
        None where every text is one row.
    segment_mask : `torch.Tensor`, optional
        Shape: (batch, word pieces with those special tokens). True at real ones.
    """

    embedder: Optional[PretrainedTransformerEmbedder] = None
    segment_mask: Optional[Tensor] = None

    @classmethod
    def of(
        cls,
        model: Model,
        transformer: PreTrainedModel,
        indexed: Dict[str, Tensor],
        mask: Tensor,
    ) -> "Folding":
        """For a text as the transformer's indexer made it, and the mask of its word pieces."""
        if indexed["token_ids"].shape == mask.shape:
            return cls()
        for module in model.modules():
            if (
                isinstance(module, PretrainedTransformerEmbedder)
                and module.transformer_model is transformer
                and module._max_length is not None
            ):
                return cls(module, indexed["segment_concat_mask"])
        raise ConfigurationError(
            "the token indexer folds long texts, but the embedder has no max_length to read them by; give "
            "both the same"
        )

    def rows(self, token_ids: Tensor) -> Tensor:
        """The ids as the transformer is given them. Shape: (rows, row length)."""
        if self.embedder is None:
            return token_ids
        return self.embedder._fold_long_sequences(token_ids, self.segment_mask)[0]

    def undo(self, states: Tensor) -> Tensor:
        """
        From the transformer's rows, or their concatenation, to one row per text, without the special
        tokens between segments.

        # Parameters

        states : `torch.Tensor`
            Shape: (batch * segments, max_length, size), or (batch, concatenated segments, size).

        # Returns

        `torch.Tensor`
            Shape: (batch, positions, size).
        """
        if self.embedder is None:
            return states
        batch_size, length = self.segment_mask.shape
        _, mask, _ = self.embedder._fold_long_sequences(self.segment_mask.long(), self.segment_mask)
        if len(states) == batch_size != len(mask):
            padding = mask.numel() // batch_size - length
            states = torch.nn.functional.pad(states, (0, 0, 0, padding))
            states = states.reshape(*mask.shape, -1)
        return self.embedder._unfold_long_sequences(states, mask, batch_size, length)
