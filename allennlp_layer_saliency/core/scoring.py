"""Steps 6, 7 and 9 of Algorithm 1: from weights and shares to one score per token.

`contributions[b, n, i]` is what position n hands to position i; shape (batch, positions, positions).
"""

from typing import List, Tuple

import torch
from torch import Tensor

SPECIAL_TOKENS = ("zero", "keep", "exclude")

WORD_AGGREGATIONS = ("sum", "mean", "max")


def receiving_positions(mask: Tensor, special: Tensor, special_tokens: str) -> Tensor:
    """
    True where a position's piece may receive saliency: real positions, without the special tokens
    under "exclude". Shapes: (batch, positions).

    # Raises

    `ValueError`
        On a `special_tokens` other than "zero", "keep" or "exclude".
    """
    check_special_tokens(special_tokens)
    return mask & ~special if special_tokens == "exclude" else mask


def check_special_tokens(special_tokens: str) -> None:
    """Raise a `ValueError` unless it is one of the three known ways."""
    if special_tokens not in SPECIAL_TOKENS:
        raise ValueError(f"special_tokens must be one of {SPECIAL_TOKENS}; got {special_tokens!r}")


def decoded_contributions(weights: Tensor, shares: Tensor) -> Tensor:
    """s_n A_n[t_i] / repeats of t_i. Shapes: (batch, positions), (batch, positions, positions)."""
    return weights.unsqueeze(2) * shares


def projected_contributions(gradients: Tensor, piece_embeddings: Tensor, shares: Tensor) -> Tensor:
    """
    A_n[t_i] u_n[t_i] / repeats of t_i, with u_n[v] = <D_n, W_v>: to first order, how y_c would change if
    position n moved towards word v.

    # Parameters

    gradients : `torch.Tensor`
        D_l. Shape: (batch, positions, hidden).
    piece_embeddings : `torch.Tensor`
        W at the input's pieces. Shape: (batch, positions, hidden).
    shares : `torch.Tensor`
        Shape: (batch, positions, positions).
    """
    return shares * torch.bmm(gradients, piece_embeddings.transpose(1, 2))


def of_words(contributions: Tensor, words: Tensor, count: int, how: str) -> Tensor:
    """
    What each word receives, from what its word pieces do.

    # Parameters

    contributions : `torch.Tensor`
        Shape: (batch, positions, positions).
    words : `torch.Tensor`
        The word that each position belongs to, -1 for none. Shape: (batch, positions).
    count : `int`
        Words of an instance, padding included.
    how : `str`
        "sum" or "mean" of its pieces' signed amounts, or "max": those of the piece whose score is
        largest in absolute value.

    # Returns

    `torch.Tensor`
        Shape: (batch, positions, count).

    # Raises

    `ValueError`
        On an unknown `how`.
    """
    check_word_aggregation(how)
    # Shape: (batch, positions, count)
    member = words.unsqueeze(2) == torch.arange(count, device=words.device)
    if how == "max":
        size = contributions.sum(1).abs().unsqueeze(2).masked_fill(~member, -1.0)
        # Shape: (batch, 1, count); argmax takes the first of equal pieces.
        largest = size.argmax(dim=1, keepdim=True)
        member = member & torch.zeros_like(member).scatter(1, largest, True)
    share = member.to(contributions.dtype)
    if how == "mean":
        share = share / share.sum(1, keepdim=True).clamp(min=1)
    return torch.bmm(contributions, share)


def check_word_aggregation(how: str) -> None:
    """Raise a `ValueError` unless it is one of the three known ways."""
    if how not in WORD_AGGREGATIONS:
        raise ValueError(f"word_aggregation must be one of {WORD_AGGREGATIONS}; got {how!r}")


def token_scores(received: Tensor, special: Tensor, special_tokens: str) -> Tensor:
    """
    Each position's signed score, from what it received of all. Shapes: (batch, positions).

    Special tokens take part and then score 0, unless they are to be kept.
    """
    return received if special_tokens == "keep" else received.masked_fill(special, 0.0)


def lost(own: Tensor, shares: Tensor) -> Tensor:
    """
    Saliency that no piece of the input took: sum_n own_n (1 - sum_v A_n[v]). Shape: (batch,).

    With every other score kept, the scores and this sum to sum_n own_n.

    # Parameters

    own : `torch.Tensor`
        What each position had to give, 0 at padding. Shape: (batch, positions).
    shares : `torch.Tensor`
        Shape: (batch, positions, positions).
    """
    return (own * (1.0 - shares.sum(2))).sum(1)


def sources(contributions: Tensor, at_most: int = 5) -> Tuple[Tensor, Tensor]:
    """
    For each token the positions that gave it most, by absolute amount, and the signed amounts.

    # Returns

    `Tuple[torch.Tensor, torch.Tensor]`
        Positions and amounts, both (batch, tokens, k) with k = min(at_most, positions).
    """
    given = contributions.transpose(1, 2)
    positions = given.abs().topk(min(at_most, given.size(2)), dim=2).indices
    return positions, given.gather(2, positions)


def normalised(scores: List[float]) -> List[float]:
    """|score| scaled to sum 1, the form of AllenNLP's interpreters; all zero stays all zero."""
    total = sum(abs(score) for score in scores)
    return [abs(score) / total for score in scores] if total > 0 else [0.0 for _ in scores]
