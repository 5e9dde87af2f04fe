"""
Semantic coherence: how much of the input can still be read from a layer of the fine-tuned model when the
pre-trained head decodes it. No labels, no training.
"""

from typing import Sequence

import torch
from torch import Tensor

from allennlp_layer_saliency.core.decoding import CHUNK_ELEMENTS, Decoder, occurrences

# Smaller than for decoding: several passes over a chunk follow the products, and are faster in memory that
# was used before.
COHERENCE_CHUNK = CHUNK_ELEMENTS // 4

MEASURES = ("recovery", "reciprocal_rank", "input_mass", "similarity", "entropy")


def coherence_sums(
    decoder: Decoder,
    hidden_states: Tensor,
    token_ids: Tensor,
    mask: Tensor,
    compared: Tensor,
    embeddings: Tensor,
    tau: int = 10,
    starts: Sequence[int] = (0,),
    chunk_elements: int = COHERENCE_CHUNK,
) -> Tensor:
    """
    What positions' distributions P_n over the vocabulary say of the pieces t_n that stand there.

    - recovery: whether t_n is among the τ top-ranked (ties: the lower index first);
    - reciprocal rank: 1 / its rank;
    - input mass: the sum of P_n over the input's distinct pieces;
    - similarity: cosine between E[t_n] and the sum over v of P_n[v] E[v];
    - entropy of P_n, in nats.

    A causal head's P_n is compared with t_{n+1}; no position speaks of a text's first piece.

    # Parameters

    decoder : `Decoder`
    hidden_states : `torch.Tensor`
        h_l. Shape: (batch, positions, hidden).
    token_ids, mask : `torch.Tensor`
        t, and true at real positions. Shape: (batch, positions).
    compared : `torch.Tensor`
        Shape: (batch, positions). True where a piece is looked for; never at padding.
    embeddings : `torch.Tensor`
        E, the classifier's input embeddings. Shape: (pieces, size).
    tau : `int`
    starts : `Sequence[int]`
        The positions at which an instance's texts start.
    chunk_elements : `int`
        Upper bound of a chunk's positions times the vocabulary.

    # Returns

    `torch.Tensor`
        Shape: (batch, 6), float64. For each instance the sum over its compared pieces of each of
        `MEASURES`, and their number.

    # Raises

    `ValueError`
        On a hidden size that is not the head's, or if the head gives NaN.
    """
    if hidden_states.size(-1) != decoder.hidden_size:
        raise ValueError(
            f"the LM head takes hidden states of size {decoder.hidden_size}; the layer's have size "
            f"{hidden_states.size(-1)}"
        )
    vocabulary_size = decoder.vocabulary_size
    # Pieces beyond the head's vocabulary have no probability.
    present = mask & (token_ids < vocabulary_size)
    columns = token_ids.clamp(max=vocabulary_size - 1)
    # Repeated pieces share one probability.
    share = present / occurrences(columns, present)
    shared = min(vocabulary_size, len(embeddings))

    sums = hidden_states.new_zeros(len(token_ids), len(MEASURES) + 1, dtype=torch.double)
    instances, positions = compared.nonzero(as_tuple=True)
    if decoder.causal:
        first = torch.tensor(starts, device=positions.device)
        predicted = (positions.unsqueeze(1) != first).all(1)
        instances, positions = instances[predicted], positions[predicted]
    chunk = max(1, chunk_elements // vocabulary_size)
    for start in range(0, len(instances), chunk):
        rows, at = instances[start : start + chunk], positions[start : start + chunk]
        # Shape: (chunk, vocabulary)
        logits = decoder.logits(hidden_states[rows, at - int(decoder.causal)]).float()
        largest = logits.max(-1, keepdim=True).values
        if not torch.isfinite(largest).all():
            raise ValueError("the LM head gives NaN or infinite logits for this input")
        rank = _rank(logits, columns[rows, at])
        rank = rank.masked_fill(~present[rows, at], float("inf"))
        logits -= largest
        # P_n times its normalising constant: each pass over the vocabulary costs as much as another.
        exponentials = logits.exp()
        total = exponentials.sum(-1)
        entropy = total.log() - torch.einsum("cv,cv->c", exponentials, logits) / total
        own = embeddings[token_ids[rows, at]].float()
        expected = exponentials[:, :shared] @ embeddings[:shared].float()
        mass = (exponentials.gather(1, columns[rows]) * share[rows]).sum(1) / total
        found = torch.stack(
            [
                (rank <= tau).double(),
                1 / rank,
                mass.double(),
                torch.cosine_similarity(own, expected, dim=1).double(),
                entropy.double(),
                torch.ones_like(rank),
            ],
            dim=1,
        )
        sums.index_add_(0, rows, found)
    return sums


def _rank(logits: Tensor, columns: Tensor) -> Tensor:
    """The rank of one column of each row, from 1, float64; of equal ones the lower index comes first."""
    own = logits.gather(1, columns.unsqueeze(1))
    rank = 1 + (logits > own).sum(1)
    tied = (logits == own).sum(1) > 1
    if tied.any():
        earlier = torch.arange(logits.size(1), device=logits.device) < columns[tied].unsqueeze(1)
        rank[tied] += ((logits[tied] == own[tied]) & earlier).sum(1)
    return rank.double()


def deepest_readable(reciprocal_ranks: Sequence[float], share: float = 0.8) -> int:
    """
    The rule behind `layer: "auto"`: the index of the deepest layer, the last one aside, whose mean
    reciprocal rank is at least that share of the best layer's.

    The deeper a layer, the more of the model's decision is in its states; but what no longer decodes to
    the words that stand there can't be handed back to them. At the last layer no position matters any more
    but the one that the classifier reads.
    """
    below = reciprocal_ranks[:-1] or reciprocal_ranks
    least = share * max(below)
    return max(i for i, rank in enumerate(below) if rank >= least)
