"""A ranking of positions whose first ranks the model itself decides."""

from dataclasses import replace
from typing import List

import torch
from torch import Tensor

from allennlp_layer_saliency.core.paths import Baseline, LayerState, Weights

# Of the largest gain: by less, rounding decides, and the order stays.
NEARLY = 1e-4


def reranked(
    at: LayerState, baseline: Baseline, found: List[Weights], ranks: int, window: int
) -> List[Weights]:
    """
    The same weights, of other positions: at each of the first ranks, of the next positions in the order of
    their weights, the one that the score depends on most takes the rank, and the weight that is there.
    Nearly equal ones stay in order.

    What the score depends on is a set of positions, those ranked so far and the one that is tried: y_c with
    all others at the baseline's states, less y_c with them alone at it. A greedy search among few
    candidates, 2 * window passes forward for each rank.

    # Parameters

    at : `LayerState`
    baseline : `Baseline`
        The state of what is taken out. Positions where it is h_l keep their weights.
    found : `List[Weights]`
        One for each target.
    ranks : `int`
        How many ranks are decided.
    window : `int`
        How many positions are tried for each.

    # Returns

    `List[Weights]`
        One for each target, with the completeness gap that it had.
    """
    if not ranks:
        return found
    difference = (at.hidden_states - baseline.states) * at.mask.unsqueeze(-1)
    return [
        replace(weights, weights=_reranked(at, difference, weights.weights, target, ranks, window))
        for target, weights in enumerate(found)
    ]


def _reranked(
    at: LayerState, difference: Tensor, weights: Tensor, target: int, ranks: int, window: int
) -> Tensor:
    movable = (difference != 0).any(-1)
    counts = movable.sum(1, keepdim=True)
    # Shape: (batch, positions). Those that can move first, equal ones from left to right.
    order = weights.masked_fill(~movable, float("-inf")).sort(dim=1, descending=True, stable=True).indices
    in_order = weights.gather(1, order)
    # How many can move is not asked: that would wait for the device.
    for rank in range(min(ranks, order.size(1) - 1)):
        places = torch.arange(rank, min(rank + window, order.size(1)), device=order.device)
        tried = order[:, places]
        # Shape: (candidates, batch, positions)
        taken = torch.zeros_like(movable).scatter(1, order[:, :rank], True)
        sets = torch.stack([taken.scatter(1, one.unsqueeze(1), True) for one in tried.unbind(1)])
        gains = _gains(at, difference, sets, target)
        # A text that is shorter has fewer candidates.
        fewer = places.unsqueeze(1) >= counts.T
        close = NEARLY * gains.masked_fill(fewer, 0.0).abs().max(0).values
        gains = gains.masked_fill(fewer, float("-inf"))
        order = _moved(order, rank, (gains >= gains.max(0).values - close).int().argmax(0))
    return weights.scatter(1, order, in_order)


def _gains(at: LayerState, difference: Tensor, sets: Tensor, target: int) -> Tensor:
    """y_c with the sets alone, less y_c without them. Shape: (candidates, batch)."""
    states = []
    for chosen in sets:
        part = difference * chosen.unsqueeze(-1)
        states += [at.hidden_states - difference + part, at.hidden_states - part]
    scores: List[Tensor] = []
    for start in range(0, len(states), at.copies):
        chunk = states[start : start + at.copies]
        scores.append(at.resume(torch.cat(chunk), False)[0][target].reshape(len(chunk), -1))
    only, without = torch.cat(scores).reshape(len(sets), 2, -1).unbind(1)
    return only - without


def _moved(order: Tensor, rank: int, by: Tensor) -> Tensor:
    """Each row with the entry `by` places behind the rank moved to it; those between move back by one."""
    places = torch.arange(order.size(1), device=order.device).expand_as(order)
    to = rank + by.unsqueeze(1)
    source = torch.where((places > rank) & (places <= to), places - 1, places)
    source = torch.where(places == rank, to, source)
    return order.gather(1, source)
