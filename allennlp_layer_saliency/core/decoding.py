"""Steps 5 and 6 of Algorithm 1: hidden states through the LM head onto the input's own word pieces.

The vocabulary projection runs in chunks of positions of bounded size; no (positions, vocabulary)
tensor of a whole batch exists.
"""

from dataclasses import dataclass, replace
from typing import Callable, Optional, Tuple

import torch
from torch import Tensor

# Elements of the largest (chunk, vocabulary) tensor: 64 MiB in float32.
CHUNK_ELEMENTS = 2**24

NORMALISATIONS = ("input", "vocabulary")


@dataclass(frozen=True)
class Decoder:
    """
    A loaded LM head.

    # Parameters

    logits : `Callable[[torch.Tensor], torch.Tensor]`
        f_lm before its softmax. Shape: (positions, hidden) -> (positions, vocabulary).
    vocabulary_size : `int`
        V.
    hidden_size : `int`
        K.
    output_embeddings : `torch.Tensor`, optional
        W. Shape: (vocabulary, hidden).
    causal : `bool`
        Whether a position's distribution is of the next position's piece, rather than of its own.
    translator_of : `Callable[[int], Callable[[torch.Tensor], torch.Tensor]]`, optional
        By layer, what maps its hidden states to those that `logits` takes. Shape: (positions, hidden) -> the
        same. None: they are taken as they are.
    """

    logits: Callable[[Tensor], Tensor]
    vocabulary_size: int
    hidden_size: int
    output_embeddings: Optional[Tensor] = None
    causal: bool = False
    translator_of: Optional[Callable[[int], Callable[[Tensor], Tensor]]] = None

    def at(self, layer: int) -> "Decoder":
        """The head for a layer's hidden states."""
        if self.translator_of is None:
            return self
        translator, logits = self.translator_of(layer), self.logits
        return replace(self, logits=lambda states: logits(translator(states)), translator_of=None)


@dataclass(frozen=True)
class Decoding:
    """
    One layer of a batch, decoded.

    # Parameters

    shares : `torch.Tensor`
        Shape: (batch, positions, positions). `shares[b, n, i]` is A_n[t_i] divided by the number of
        positions that hold the piece t_i: what position i receives of each unit of position n's
        saliency. Rows of positions that were not decoded are 0.
    top_ids : `torch.Tensor`
        Shape: (batch, positions, top_k). Each position's top-ranked vocabulary items.
    top_probabilities : `torch.Tensor`
        Shape: as `top_ids`. P_n of these items; 0 where a position was not decoded.
    vocabulary : `torch.Tensor`
        sum_n s_n P_n. Shape: (..., batch, vocabulary), as the weights'. Has NaN if the head gave NaN or
        infinite logits: to ask here would have the device wait.
    """

    shares: Tensor
    top_ids: Tensor
    top_probabilities: Tensor
    vocabulary: Tensor


def decode(
    decoder: Decoder,
    hidden_states: Tensor,
    weights: Tensor,
    token_ids: Tensor,
    decoded: Tuple[Tensor, ...],
    receiving: Tensor,
    tau: Optional[int] = 10,
    normalise: str = "input",
    top_k: int = 0,
    chunk_elements: int = CHUNK_ELEMENTS,
) -> Decoding:
    """
    Decode a layer's hidden states and share each position's saliency out among the input's pieces.

    # Parameters

    decoder : `Decoder`
    hidden_states : `torch.Tensor`
        h_l. Shape: (batch, positions, hidden).
    weights : `torch.Tensor`
        s. Shape: (..., batch, positions): of one explained score, or of several. Only `vocabulary` depends
        on it.
    token_ids : `torch.Tensor`
        t. Shape: (batch, positions).
    decoded : `Tuple[torch.Tensor, ...]`
        Instances and positions of what is to be decoded, as `Tensor.nonzero` gives them; no padding.
    receiving : `torch.Tensor`
        Shape: (batch, positions). True where a position's piece may receive saliency; never at padding.
    tau : `int`, optional
        How many top-ranked vocabulary items each position may contribute to; None means all.
    normalise : `str`
        "input" divides each row of A by its sum; "vocabulary" keeps the probabilities.
    top_k : `int`
        How many items to list per position.
    chunk_elements : `int`
        Upper bound of a chunk's positions times V.

    # Raises

    `ValueError`
        On a `tau`, `normalise` or hidden size out of range.
    """
    check_settings(tau, normalise)
    if hidden_states.size(-1) != decoder.hidden_size:
        raise ValueError(
            f"the LM head takes hidden states of size {decoder.hidden_size}; the layer's have size "
            f"{hidden_states.size(-1)}"
        )
    hidden_states = hidden_states.detach()
    batch_size, length = token_ids.shape
    vocabulary_size = decoder.vocabulary_size
    tau = None if tau is None or tau >= vocabulary_size else tau
    top_k = min(top_k, vocabulary_size)

    # Pieces beyond the head's vocabulary (added to the tokenizer later) have no column: none receives.
    receiving = receiving & (token_ids < vocabulary_size)
    columns = token_ids.clamp(max=vocabulary_size - 1)
    repeats = occurrences(columns, receiving)

    new = hidden_states.new_zeros
    shares = new(batch_size, length, length, dtype=torch.float32)
    top_ids = new(batch_size, length, top_k, dtype=torch.long)
    top_probabilities = new(batch_size, length, top_k, dtype=torch.float32)
    # Shape: (scores, batch, positions), and of each score's sum (scores, batch, vocabulary)
    of_scores = weights.reshape(-1, batch_size, length)
    vocabulary = new(len(of_scores), batch_size, vocabulary_size, dtype=torch.float32)

    instances, positions = decoded
    for start in range(0, len(instances), max(1, chunk_elements // vocabulary_size)):
        stop = start + max(1, chunk_elements // vocabulary_size)
        rows, at = instances[start:stop], positions[start:stop]
        # Shape: (chunk, vocabulary)
        logits = decoder.logits(hidden_states[rows, at]).float()
        largest = logits.max(-1, keepdim=True).values
        if top_k:
            top = top_ranked(logits, top_k)
            top_ids[rows, at] = top
            top_logits = logits.gather(1, top)
        # Shape: (chunk, positions)
        candidates = columns[rows]
        piece_logits = logits.gather(1, candidates)
        counted = receiving[rows]
        if tau is not None:
            counted = counted & _among_top_ranked(logits, candidates, tau)

        # In place: from here on `logits` holds exp(logits - largest), P before its normaliser.
        unnormalised = logits.sub_(largest).exp_()
        total = unnormalised.sum(-1, keepdim=True)
        # Each position's weight in its instance's row, so that one product sums them all.
        scale = of_scores[:, rows, at].float() / total.squeeze(-1)
        selection = new(len(of_scores), batch_size, len(rows), dtype=torch.float32)
        selection[:, rows, torch.arange(len(rows), device=rows.device)] = scale
        vocabulary.flatten(0, 1).addmm_(selection.flatten(0, 1), unnormalised)
        if top_k:
            top_probabilities[rows, at] = (top_logits - largest).exp() / total

        piece_logits = piece_logits.masked_fill(~counted, float("-inf"))
        if normalise == "input":
            # A softmax over the input's own pieces is P divided by its row sum, without underflow.
            # A repeated piece's logit stands once at each of its positions: hence log(repeats).
            share = torch.softmax(piece_logits - repeats[rows].log(), dim=-1)
            share = share.masked_fill(~counted, 0.0)  # a row without any piece is NaN
        else:
            share = (piece_logits - largest).exp() / total / repeats[rows]
        shares[rows, at] = share
    return Decoding(
        shares=shares,
        top_ids=top_ids,
        top_probabilities=top_probabilities,
        vocabulary=vocabulary.reshape(*weights.shape[:-1], vocabulary_size),
    )


def check_settings(tau: Optional[int], normalise: str) -> None:
    """Raise a `ValueError` unless `decode` takes these."""
    if tau is not None and tau < 1:
        raise ValueError(f"tau must be at least 1, or null for the whole vocabulary; got {tau}")
    if normalise not in NORMALISATIONS:
        raise ValueError(f"normalise must be one of {NORMALISATIONS}; got {normalise!r}")


def top_ranked(values: Tensor, k: int) -> Tensor:
    """
    Indices of each row's `k` largest values, largest first, ties by the lower index.

    # Parameters

    values : `torch.Tensor`
        Shape: (rows, columns).
    k : `int`
        At most the number of columns.

    # Returns

    `torch.Tensor`
        Shape: (rows, k).
    """
    # `topk` leaves the order of ties open.
    top_values, indices = values.topk(min(k + 1, values.size(1)), dim=1)
    if _order_ties(top_values[:, 1:] == top_values[:, :-1]):
        indices = _kept(values, top_values[:, k - 1 : k], k).byte().topk(k, dim=1).indices
        indices = indices.sort(dim=1).values
        order = values.gather(1, indices).sort(dim=1, descending=True, stable=True).indices
        return indices.gather(1, order)
    return indices[:, :k]


def _among_top_ranked(values: Tensor, columns: Tensor, k: int) -> Tensor:
    """
    Whether the given columns are among each row's `k` top-ranked (ties: the lower index first).

    `values` is (rows, all columns), `columns` (rows, asked), the result (rows, asked); k is less than
    the number of columns.
    """
    top_values = values.topk(k + 1, dim=1).values
    threshold = top_values[:, k - 1 : k]
    if _order_ties(top_values[:, k:] == threshold):
        return _kept(values, threshold, k).gather(1, columns)
    return values.gather(1, columns) >= threshold


def _kept(values: Tensor, threshold: Tensor, k: int) -> Tensor:
    """
    The `k` top-ranked of each row, as a mask of the values' shape; `threshold` is the k-th largest of each.
    """
    above = values > threshold
    equal = values == threshold
    left = k - above.sum(1, keepdim=True)
    return above | (equal & (equal.cumsum(1, dtype=torch.int) <= left))


def _order_ties(tied: Tensor) -> bool:
    """Whether ties are to be put in order: on a GPU always, as the answer would have to be waited for."""
    return tied.is_cuda or bool(tied.any())


def occurrences(columns: Tensor, receiving: Tensor) -> Tensor:
    """How many receiving positions of the same instance hold each position's piece, at least 1."""
    # Shape: (batch, positions, positions)
    same = (columns.unsqueeze(2) == columns.unsqueeze(1)) & receiving.unsqueeze(1)
    return same.sum(2).clamp(min=1).float()
