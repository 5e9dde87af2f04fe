"""
Faithfulness of a ranking of tokens: how the model's prediction changes when the highest-ranked tokens
are taken out of the input, or alone are left in it.

A perturbation is the set of tokens that are taken out. Whether they are masked or removed is the caller's
choice.
"""

import math
from typing import Callable, Dict, FrozenSet, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Tuple

Perturbation = FrozenSet[int]

# Shares of the tokens, in percent.
BINS = (1, 5, 10, 20, 50)
RATIOS = tuple(range(10, 101, 10))
LOG_ODDS_BIN = 20

NONE: Perturbation = frozenset()


class Prediction(NamedTuple):
    """
    What a model says of an input.

    # Parameters

    log_probability : `float`
        Of what is explained: the class (span, word) that is predicted for x as it is, whatever is
        predicted now.
    label : `int`, optional
        The class that is predicted now; None of models that do not choose one class for an input.
    """

    log_probability: float
    label: Optional[int] = None

    @property
    def probability(self) -> float:
        return math.exp(self.log_probability)


class Outcome(NamedTuple):
    """
    What a model predicts for an input x, without the tokens that a ranking puts first, and with them alone.

    # Parameters

    ranking : `Sequence[int]`
        The tokens that can be taken out, the most important first.
    predictions : `Mapping[FrozenSet[int], Prediction]`
        For each of `perturbations`.
    gold : `int`, optional
        The gold label's index.
    """

    ranking: Sequence[int]
    predictions: Mapping[Perturbation, Prediction]
    gold: Optional[int]

    def whole(self) -> Prediction:
        """For x as it is."""
        return self.predictions[NONE]

    def without(self, share: int) -> Prediction:
        """For x without the top `share` % of its tokens."""
        return self.predictions[_without(self.ranking, share)]

    def only(self, share: int) -> Prediction:
        """For the top `share` % of the tokens alone."""
        return self.predictions[_only(self.ranking, share)]


class Metric(NamedTuple):
    """
    # Parameters

    value : `Callable[[Outcome], Dict[str, float]]`
        The metric by "", and what it is made of by "@" and a share.
    without, only : `Tuple[int, ...]`
        The shares for which it asks for `Outcome.without` and `Outcome.only`.
    lower_is_better : `bool`
    needs_gold : `bool`
    """

    value: Callable[[Outcome], Dict[str, float]]
    without: Tuple[int, ...] = ()
    only: Tuple[int, ...] = ()
    lower_is_better: bool = False
    needs_gold: bool = False


def comprehensiveness(of: Outcome) -> Dict[str, float]:
    """p(x) - p(x without the top k %); the mean over `BINS` (DeYoung et al., 2020)."""
    whole = of.whole().probability
    return _mean({share: whole - of.without(share).probability for share in BINS})


def sufficiency(of: Outcome) -> Dict[str, float]:
    """p(x) - p(only the top k %); the mean over `BINS` (DeYoung et al., 2020)."""
    whole = of.whole().probability
    return _mean({share: whole - of.only(share).probability for share in BINS})


def log_odds(of: Outcome) -> Dict[str, float]:
    """log p(x without the top 20 %) - log p(x) (Shrikumar et al., 2017)."""
    return {"": of.without(LOG_ODDS_BIN).log_probability - of.whole().log_probability}


def deletion_auc(of: Outcome) -> Dict[str, float]:
    """
    p(x without the top r %); the area under the curve over shares from 0 to 1 (trapezia), x itself and the
    input without any token being its ends.
    """
    return _area(of.whole().probability, {share: of.without(share).probability for share in RATIOS})


def insertion_auc(of: Outcome) -> Dict[str, float]:
    """p(only the top r %); the area under the curve, as of `deletion_auc`."""
    return _area(of.without(100).probability, {share: of.only(share).probability for share in RATIOS})


def accuracy_after_deletion(of: Outcome) -> Dict[str, float]:
    """Whether x without the top r % is still given the gold label; the mean over `RATIOS`."""
    return _mean({share: float(of.without(share).label == of.gold) for share in RATIOS})


METRICS: Dict[str, Metric] = {
    "comprehensiveness": Metric(comprehensiveness, without=BINS),
    "sufficiency": Metric(sufficiency, only=BINS, lower_is_better=True),
    "log_odds": Metric(log_odds, without=(LOG_ODDS_BIN,), lower_is_better=True),
    "deletion_auc": Metric(deletion_auc, without=RATIOS, lower_is_better=True),
    "insertion_auc": Metric(insertion_auc, without=(100,), only=RATIOS),
    "accuracy_after_deletion": Metric(
        accuracy_after_deletion, without=RATIOS, lower_is_better=True, needs_gold=True
    ),
}


def ranked(scores: Sequence[float], tokens: Sequence[int]) -> List[int]:
    """The tokens (indices into `scores`) from the highest score down; ties by position."""
    return sorted(tokens, key=lambda token: (-scores[token], token))


def count(share: int, tokens: int) -> int:
    """`share` percent of `tokens`, rounded half up, and at least one."""
    return max(1, (2 * share * tokens + 100) // 200)


def perturbations(ranking: Sequence[int], metrics: Sequence[str]) -> Iterator[Perturbation]:
    """Those that `measure` needs for the same ranking and metrics."""
    yield NONE
    for name in metrics:
        yield from (_without(ranking, share) for share in METRICS[name].without)
        yield from (_only(ranking, share) for share in METRICS[name].only)


def measure(outcome: Outcome, metrics: Sequence[str]) -> Dict[str, float]:
    """
    # Parameters

    outcome : `Outcome`
    metrics : `Sequence[str]`
        Of `METRICS`.

    # Returns

    `Dict[str, float]`
        For each metric its value, and those that it is made of: "sufficiency", "sufficiency@1" and so on.

    # Raises

    `ValueError`
        If a metric is unknown, or needs a gold label and there is none.
    """
    found: Dict[str, float] = {}
    for name in metrics:
        if name not in METRICS:
            raise ValueError(f"no metric {name!r}; there are {', '.join(METRICS)}")
        if METRICS[name].needs_gold and outcome.gold is None:
            raise ValueError(f"{name} needs gold labels")
        values = METRICS[name].value(outcome)
        found.update({f"{name}{part}": value for part, value in values.items()})
    return found


def _without(ranking: Sequence[int], share: int) -> Perturbation:
    return frozenset(ranking[: count(share, len(ranking))])


def _only(ranking: Sequence[int], share: int) -> Perturbation:
    return frozenset(ranking[count(share, len(ranking)) :])


def _area(at_0: float, by_share: Dict[int, float]) -> Dict[str, float]:
    """Under a curve through values at equal distances from 0 to 1."""
    values = [at_0, *by_share.values()]
    area = (sum(values) - (values[0] + values[-1]) / 2) / (len(values) - 1)
    return {"": area, **_named(by_share)}


def _mean(by_share: Dict[int, float]) -> Dict[str, float]:
    return {"": sum(by_share.values()) / len(by_share), **_named(by_share)}


def _named(by_share: Dict[int, float]) -> Dict[str, float]:
    return {f"@{share}": value for share, value in by_share.items()}
