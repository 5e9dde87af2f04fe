"""Means with intervals, and paired tests."""

from typing import Any, Callable, Dict, List, Optional, Sequence

import numpy
from scipy import stats

RESAMPLES = 1000
PERMUTATIONS = 9999


def interval(
    seed: int,
    *samples: Sequence[float],
    statistic: Callable[..., numpy.ndarray] = numpy.mean,
    resamples: int = RESAMPLES,
) -> Optional[List[float]]:
    """
    A 95 % bootstrap interval (percentiles) of a statistic of samples that are drawn together; None for
    fewer than two values.
    """
    if len(samples[0]) < 2:
        return None
    found = stats.bootstrap(
        tuple(numpy.asarray(values, dtype=float) for values in samples),
        statistic,
        n_resamples=resamples,
        batch=100,
        vectorized=True,
        paired=len(samples) > 1,
        method="percentile",
        random_state=numpy.random.default_rng(seed),
    ).confidence_interval
    return [float(found.low), float(found.high)]


def mean(values: Sequence[float], seed: int) -> Dict[str, Any]:
    """The mean of values, with its interval and their number."""
    low, high = interval(seed, values) or (None, None)
    return {"mean": float(numpy.mean(values)), "low": low, "high": high, "n": len(values)}


def paired(a: Sequence[float], b: Sequence[float], seed: int) -> Dict[str, Any]:
    """
    The mean of a - b over pairs.

    # Returns

    `Dict[str, Any]`
        `difference` with `low` and `high`, a 95 % bootstrap interval; `p`, two-sided, of a permutation
        test (signs of the differences flipped at random; exact for few pairs); `effect_size`, Cohen's d
        of paired values: mean over standard deviation of the differences, None if they are all equal but
        not 0; `n`, the number of pairs.
    """
    differences = numpy.asarray(a, dtype=float) - numpy.asarray(b, dtype=float)
    low, high = interval(seed, differences) or (None, None)
    found: Dict[str, Any] = {
        "difference": float(differences.mean()),
        "low": low,
        "high": high,
        "p": 1.0,
        "effect_size": 0.0,
        "n": len(differences),
    }
    if len(differences) > 1 and numpy.any(differences):
        found["p"] = float(
            stats.permutation_test(
                (differences,),
                numpy.mean,
                permutation_type="samples",
                vectorized=True,
                n_resamples=PERMUTATIONS,
                batch=100,
                random_state=numpy.random.default_rng(seed),
            ).pvalue
        )
        deviation = float(differences.std(ddof=1))
        found["effect_size"] = found["difference"] / deviation if deviation > 0 else None
    return found


def holm(p_values: Sequence[float]) -> List[float]:
    """p-values corrected for their number by Holm's step-down method, in the same order."""
    corrected = [0.0] * len(p_values)
    largest = 0.0
    for rank, i in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[i]))
        corrected[i] = largest
    return corrected
