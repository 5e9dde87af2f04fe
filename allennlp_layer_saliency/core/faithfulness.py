"""
Faithfulness of a ranking of tokens: how the model's prediction changes when the highest-ranked tokens
are taken out of the input, or alone are left in it.

A perturbation is the set of tokens that are taken out. What that means (masked, removed) is up to who
runs the model.
"""

from typing import Dict, FrozenSet, Iterator, List, Mapping, Optional, Sequence, Tuple

import numpy

Perturbation = FrozenSet[int]

# Shares of the tokens, in percent.
BINS = (1, 5, 10, 20, 50)
RATIOS = tuple(range(10, 101, 10))
LOG_ODDS_BIN = 20

NONE: Perturbation = frozenset()


def ranked(scores: Sequence[float], tokens: Sequence[int]) -> List[int]:
    """The tokens (indices into `scores`) from the highest score down; ties by position."""
    return sorted(tokens, key=lambda token: (-scores[token], token))


def count(share: int, tokens: int) -> int:
    """So many percent of so many tokens, rounded half up, and at least one."""
    return max(1, (2 * share * tokens + 100) // 200)


def perturbations(ranking: Sequence[int], metrics: Sequence[str]) -> Iterator[Perturbation]:
    """Those that `faithfulness` needs for the same ranking and metrics."""
    yield NONE
    for metric in metrics:
        for removes, share in _steps(metric):
            yield _taken(ranking, removes, share)


def faithfulness(
    ranking: Sequence[int],
    metrics: Sequence[str],
    log_probabilities: Mapping[Perturbation, numpy.ndarray],
    gold: Optional[int] = None,
) -> Dict[str, float]:
    """
    # Parameters

    ranking : `Sequence[int]`
        The tokens that can be taken out, the most important first.
    metrics : `Sequence[str]`
        Of `METRICS`. With p the probability of the class that is predicted for the whole input x:

        - comprehensiveness@k: p(x) - p(x without the top k %); sufficiency@k: p(x) - p(only the top
          k %); without a bin, their mean over `BINS` (DeYoung et al., 2020).
        - log_odds: log p(x without the top 20 %) - log p(x) (Shrikumar et al., 2017).
        - deletion_auc@r, insertion_auc@r: p(x without the top r %), p(only the top r %); without a
          ratio, the area under the curve over shares from 0 to 1 (trapezia), x itself and the input
          without any token being its ends.
        - accuracy_after_deletion@r: whether x without the top r % is still given the gold label;
          without a ratio, the mean over `RATIOS`.
    log_probabilities : `Mapping[FrozenSet[int], numpy.ndarray]`
        For each of `perturbations`, of each class. Shape: (classes,).
    gold : `int`, optional
        The gold label's index, for accuracy_after_deletion.

    # Returns

    `Dict[str, float]`
    """
    whole = log_probabilities[NONE]
    predicted = int(whole.argmax())

    def log_p(removes: bool, share: int) -> float:
        return float(log_probabilities[_taken(ranking, removes, share)][predicted])

    def p(removes: bool, share: int) -> float:
        return float(numpy.exp(log_p(removes, share)))

    p_whole = float(numpy.exp(whole[predicted]))
    found: Dict[str, float] = {}
    for metric in metrics:
        if metric in ("comprehensiveness", "sufficiency"):
            removes = metric == "comprehensiveness"
            by_share = {share: p_whole - p(removes, share) for share in BINS}
            found[metric] = _mean(by_share)
        elif metric == "log_odds":
            found[metric] = log_p(True, LOG_ODDS_BIN) - float(whole[predicted])
            continue
        elif metric in ("deletion_auc", "insertion_auc"):
            removes = metric == "deletion_auc"
            by_share = {share: p(removes, share) for share in RATIOS}
            at_0 = p_whole if removes else p(True, 100)
            found[metric] = _area([at_0, *by_share.values()])
        elif metric == "accuracy_after_deletion":
            if gold is None:
                raise ValueError("accuracy_after_deletion needs gold labels")
            by_share = {
                share: float(log_probabilities[_taken(ranking, True, share)].argmax() == gold)
                for share in RATIOS
            }
            found[metric] = _mean(by_share)
        else:
            raise ValueError(f"no metric {metric!r}; there are {', '.join(METRICS)}")
        found.update({f"{metric}@{share}": value for share, value in by_share.items()})
    return found


# For each metric whether the top tokens are taken out (or else left in), and which shares.
_STEPS: Dict[str, Tuple[bool, Tuple[int, ...]]] = {
    "comprehensiveness": (True, BINS),
    "sufficiency": (False, BINS),
    "log_odds": (True, (LOG_ODDS_BIN,)),
    "deletion_auc": (True, RATIOS),
    "insertion_auc": (False, RATIOS),
    "accuracy_after_deletion": (True, RATIOS),
}
METRICS = tuple(_STEPS)
# Of which lower values are better.
LOWER_IS_BETTER = ("sufficiency", "log_odds", "deletion_auc", "accuracy_after_deletion")


def _steps(metric: str) -> Iterator[Tuple[bool, int]]:
    removes, shares = _STEPS[metric]
    yield from ((removes, share) for share in shares)
    if metric == "insertion_auc":
        yield True, 100


def _taken(ranking: Sequence[int], removes: bool, share: int) -> Perturbation:
    top = count(share, len(ranking))
    return frozenset(ranking[:top] if removes else ranking[top:])


def _area(values: Sequence[float]) -> float:
    """Under a curve through values at equal distances from 0 to 1."""
    return (sum(values) - (values[0] + values[-1]) / 2) / (len(values) - 1)


def _mean(by_share: Dict[int, float]) -> float:
    return sum(by_share.values()) / len(by_share)
