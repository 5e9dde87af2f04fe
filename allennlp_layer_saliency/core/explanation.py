"""The result of explaining a batch at one layer, before any conversion to words."""

from dataclasses import dataclass
from typing import Optional

import torch
from torch import Tensor


@dataclass(frozen=True)
class LayerExplanation:
    """
    Layers are counted as in `hidden_states`: 0 is the embedding output, L the last block's output.
    Positions are word pieces. Tokens are what is scored: word pieces, or words made of them.

    # Parameters

    layer : `int`
    scores : `torch.Tensor`
        Shape: (batch, tokens). Signed, in units of the explained score; 0 at padding.
    lost : `torch.Tensor`
        Shape: (batch,). Saliency that no piece of the input took.
    source_positions : `torch.Tensor`
        Shape: (batch, tokens, sources). The positions that gave each token most.
    source_amounts : `torch.Tensor`
        Shape: as `source_positions`. Signed.
    top_ids : `torch.Tensor`
        Shape: (batch, positions, top_k). The vocabulary items each position decodes to; top_k may be 0.
    top_probabilities : `torch.Tensor`
        Shape: as `top_ids`.
    top_contributions : `torch.Tensor`
        Shape: as `top_ids`. What each item adds to its vocabulary score.
    vocabulary_ids : `torch.Tensor`
        Shape: (batch, items). The most salient vocabulary items, in the input or not; items may be 0.
    vocabulary_scores : `torch.Tensor`
        Shape: as `vocabulary_ids`. Signed; by decreasing absolute value.
    completeness_gap : `torch.Tensor`, optional
        Shape: (batch,). By how much the positions' weights fail to add up to what they are meant to.
    """

    layer: int
    scores: Tensor
    lost: Tensor
    source_positions: Tensor
    source_amounts: Tensor
    top_ids: Tensor
    top_probabilities: Tensor
    top_contributions: Tensor
    vocabulary_ids: Tensor
    vocabulary_scores: Tensor
    completeness_gap: Optional[Tensor] = None

    def is_finite(self) -> Tensor:
        """Whether no number is NaN or infinite; on the device, which nobody waits for. Shape: ()."""
        tensors = [value for value in vars(self).values() if isinstance(value, Tensor)]
        return torch.stack([t.isfinite().all() for t in tensors if t.is_floating_point()]).all()
