"""Means, intervals and tests of what a comparison measured."""

import math
from typing import Any, Dict, List, Optional, Sequence, Set

import numpy
from allennlp.common.checks import ConfigurationError
from allennlp.common.util import JsonDict

from allennlp_layer_saliency.core import faithfulness
from allennlp_layer_saliency.evaluation import plausibility, statistics

COSTS = ("seconds", "peak_mb")
CEILING = "ceiling_share"
METRICS = (*faithfulness.METRICS, *plausibility.METRICS, "randomisation", CEILING, *COSTS)
# The interpreters that say how much of a metric can be had, and the one that says how much costs nothing.
CEILINGS = {"comprehensiveness": "greedy-comprehensiveness", "sufficiency": "greedy-sufficiency"}
FLOOR = "random"
# The metrics for which lower is better.
LOWER_IS_BETTER = (
    *(name for name, metric in faithfulness.METRICS.items() if metric.lower_is_better),
    "mean_rank",
    "randomisation",
    *COSTS,
)


def summary(
    records: Sequence[JsonDict],
    randomised: Dict[str, List[JsonDict]],
    reference: Optional[str],
    seed: int,
    types: Optional[Dict[str, str]] = None,
) -> JsonDict:
    """
    # Parameters

    records, randomised
        As `Comparison` gives them.
    reference : `str`, optional
        The row that is tested against each other one; None for no tests.
    seed : `int`
        Of the bootstrap and of the permutations.
    types : `Dict[str, str]`, optional
        The registered name of each row's interpreter, where it is known.

    # Returns

    `JsonDict`
        `rows`: for each row and metric `statistics.mean` over texts, a text's value being the mean over its
        predictions. Where there are rows of `FLOOR` and of one of `CEILINGS`, `ceiling_share@METRIC` is the
        share of the way from the one to the other that a row goes, and `ceiling_share` their mean. `tests`:
        for each metric (without bins) and each other row `statistics.paired` over the texts that both have,
        with `p_holm`, corrected over the metric's tests. `texts`: how many have
        a record; `errors`: how many a row has without.

    # Raises

    `ConfigurationError`
        If there is no row of the reference's name.
    """
    found: Dict[str, Dict[str, Dict[int, List[float]]]] = {}
    errors: Dict[str, Set[int]] = {}
    for record in records:
        if "error" in record:
            errors.setdefault(record.get("row", "all"), set()).add(record["example"])
            continue
        measured = found.setdefault(record["row"], {})
        for metric, value in {**record["metrics"], **record["costs"]}.items():
            measured.setdefault(metric, {}).setdefault(record["example"], []).append(value)
    if not found:
        first = next((record["error"] for record in records if "error" in record), "no text")
        raise ConfigurationError(f"no text could be explained by any interpreter; first: {first}")
    # Texts are independent; a text's predictions are not.
    values: Dict[str, Dict[str, Dict[int, float]]] = {
        row: {
            metric: {n: sum(each) / len(each) for n, each in by_example.items()}
            for metric, by_example in measured.items()
        }
        for row, measured in found.items()
    }
    for row, at_stages in randomised.items():
        of_row = values.setdefault(row, {})
        at_any: Dict[int, List[float]] = {}
        for record in at_stages:
            at_any.setdefault(record["example"], []).append(record["value"])
            at_stage = of_row.setdefault(f"randomisation@{record['stage']}", {})
            at_stage[record["example"]] = record["value"]
        of_row["randomisation"] = {n: sum(v) / len(v) for n, v in at_any.items()}
    if reference is not None and reference not in values:
        raise ConfigurationError(f"reference: no row {reference!r}; there are {', '.join(values)}")
    rows = {
        row: {m: statistics.mean(list(by_text.values()), seed) for m, by_text in of_row.items()}
        for row, of_row in values.items()
    }
    for row, shares in _ceiling_shares(values, types or {}, seed).items():
        rows[row].update(shares)
    tests: List[JsonDict] = []
    of_reference = {} if reference is None else values[reference]
    for metric, own in of_reference.items():
        if metric in METRICS and metric not in (*COSTS, CEILING):
            of_metric = []
            for row in values:
                other = values[row].get(metric, {})
                shared = [n for n in own if n in other]
                if row != reference and shared:
                    test = statistics.paired([own[n] for n in shared], [other[n] for n in shared], seed)
                    of_metric.append({"metric": metric, "row": reference, "against": row, **test})
            corrected = statistics.holm([test["p"] for test in of_metric])
            tests.extend({**test, "p_holm": p} for test, p in zip(of_metric, corrected))
    return {
        "rows": rows,
        "tests": tests,
        "texts": len({record["example"] for record in records if "error" not in record}),
        "errors": {row: len(examples) for row, examples in errors.items()},
    }


def _ceiling_shares(
    values: Dict[str, Dict[str, Dict[int, float]]], types: Dict[str, str], seed: int
) -> Dict[str, JsonDict]:
    """By row: `ceiling_share`, and that of each metric, as `statistics.mean` has them."""
    named = {kind: row for row, kind in reversed(list(types.items())) if row in values}
    found: Dict[str, JsonDict] = {}
    for row in values:
        samples: Dict[str, List[numpy.ndarray]] = {}
        for metric, kind in CEILINGS.items():
            three = (row, named.get(FLOOR), named.get(kind))
            by_text = [values[name].get(metric, {}) for name in three if name is not None]
            shared = (
                [n for n in by_text[0] if all(n in each for each in by_text)] if len(by_text) == 3 else []
            )
            if shared:
                samples[metric] = [numpy.array([each[n] for n in shared]) for each in by_text]
        shares = {f"{CEILING}@{metric}": _share_of(of_metric, seed) for metric, of_metric in samples.items()}
        known = [share for share in shares.values() if share is not None]
        if known and len(known) == len(shares):
            mean = sum(share["mean"] for share in known) / len(known)
            found[row] = {**shares, CEILING: {"mean": mean, "low": None, "high": None, "n": known[0]["n"]}}
    return found


def _share_of(samples: Sequence[numpy.ndarray], seed: int) -> Optional[JsonDict]:
    """Of a row's values, the floor's and the ceiling's; None where these two are equal."""

    def share(*three: Any, axis: int = -1) -> Any:
        row, floor, ceiling = (each.mean(axis) for each in three)
        way = ceiling - floor
        return (row - floor) / numpy.where(way == 0, numpy.nan, way)

    found = float(share(*samples))
    if not numpy.isfinite(found):
        return None
    low, high = statistics.interval(seed, *(each.tolist() for each in samples), statistic=share) or (0, 0)
    known = len(samples[0]) > 1 and math.isfinite(low) and math.isfinite(high)
    return {
        "mean": found,
        "low": low if known else None,
        "high": high if known else None,
        "n": len(samples[0]),
    }
