"""What the positions that weigh most are worth alone, and what they are worth beside all others."""

from typing import Iterator, List

import torch
from torch import Tensor

from allennlp_layer_saliency.core.paths import Baseline, LayerState, Weights, scores_at, scores_of


def with_marginals(at: LayerState, baseline: Baseline, found: List[Weights], count: int) -> List[Weights]:
    """
    Of the `count` largest weights, (first + s_n + last) / 3 in place of s_n. first is y_c with n alone at
    h_l and all others at the baseline, less y_c(b); last is y_c(h_l), less y_c with n alone at the baseline.

    Of a position's marginal contributions to sets of others, whose mean over the sets' sizes is its Shapley
    value (Shapley, 1953), these are the one to the empty set and the one to the set of all others. An
    integrated gradient stands for those between.

    # Parameters

    at : `LayerState`
    baseline : `Baseline`
    found : `List[Weights]`
        One for each target.
    count : `int`
        How many of the largest weights, of positions where the baseline is not h_l.

    # Returns

    `List[Weights]`
        One for each target, with the completeness gap that is left, of weights that had one.
    """
    if not count:
        return found
    at_baseline = scores_at(at, baseline)
    difference = (at.hidden_states - baseline.states) * at.mask.unsqueeze(-1)
    return [
        _of_target(at, difference, y_b, of_target, target, count)
        for target, (of_target, y_b) in enumerate(zip(found, at_baseline))
    ]


def _of_target(
    at: LayerState, difference: Tensor, at_baseline: Tensor, found: Weights, target: int, count: int
) -> Weights:
    weights = found.weights
    movable = (difference != 0).any(-1)
    in_order = weights.masked_fill(~movable, float("-inf")).sort(dim=1, descending=True, stable=True)
    # Shape: (batch, candidates). Of a text that has fewer the rest stays as it is.
    candidates = in_order.indices[:, :count]
    scores = scores_of(at, _states(at, difference, candidates))[:, target]
    # Shape of each: (batch, candidates)
    only, without = scores.T.unflatten(1, (-1, 2)).unbind(2)
    first, last = only - at_baseline.unsqueeze(1), at.scores[target].unsqueeze(1) - without
    kept = weights.gather(1, candidates)
    means = torch.where(movable.gather(1, candidates), (first + kept + last) / 3, kept)
    at.expect_finite(means, "the model gives NaN or infinite scores for a part of this input")
    weights = weights.scatter(1, candidates, means)
    gap = at.scores[target] - at_baseline - weights.sum(1)
    return Weights(weights, completeness_gap=None if found.completeness_gap is None else gap)


def _states(at: LayerState, difference: Tensor, candidates: Tensor) -> Iterator[Tensor]:
    """For each of a text's candidates h_l of it alone, and h_l without it alone."""
    for position in candidates.unbind(1):
        alone = torch.zeros_like(difference[..., 0]).scatter(1, position.unsqueeze(1), 1.0).unsqueeze(-1)
        yield at.hidden_states - difference + alone * difference
        yield at.hidden_states - alone * difference
