"""Means, intervals and tests of what a comparison measured."""

from typing import Dict, List, Optional, Sequence

from allennlp.common.checks import ConfigurationError
from allennlp.common.util import JsonDict

from allennlp_layer_saliency.core import faithfulness
from allennlp_layer_saliency.evaluation import plausibility, statistics

COSTS = ("seconds", "peak_mb")
METRICS = (*faithfulness.METRICS, *plausibility.METRICS, "randomisation", *COSTS)
# The metrics for which lower is better.
LOWER_IS_BETTER = (
    *(name for name, metric in faithfulness.METRICS.items() if metric.lower_is_better),
    "randomisation",
    *COSTS,
)


def summary(
    records: Sequence[JsonDict],
    randomised: Dict[str, List[JsonDict]],
    reference: Optional[str],
    seed: int,
) -> JsonDict:
    """
    # Parameters

    records, randomised
        As `Comparison` gives them.
    reference : `str`, optional
        The row that is tested against each other one; None for no tests.
    seed : `int`
        Of the bootstrap and of the permutations.

    # Returns

    `JsonDict`
        `rows`: for each row and metric `statistics.mean`. `tests`: for each metric (without bins) and
        each other row `statistics.paired` over the texts that both have, with `p_holm`, corrected over
        the metric's tests. `texts`: how many have a record; `errors`: how many a row has without.

    # Raises

    `ConfigurationError`
        If there is no row of the reference's name.
    """
    values: Dict[str, Dict[str, Dict[int, float]]] = {}
    errors: Dict[str, int] = {}
    for record in records:
        if "error" in record:
            row = record.get("row", "all")
            errors[row] = errors.get(row, 0) + 1
            continue
        of_row = values.setdefault(record["row"], {})
        for metric, value in {**record["metrics"], **record["costs"]}.items():
            of_row.setdefault(metric, {})[record["example"]] = value
    if not values:
        first = next((record["error"] for record in records if "error" in record), "no text")
        raise ConfigurationError(f"no text could be explained by any interpreter; first: {first}")
    for row, at_stages in randomised.items():
        of_row = values.setdefault(row, {})
        by_example: Dict[int, List[float]] = {}
        for record in at_stages:
            by_example.setdefault(record["example"], []).append(record["value"])
            at_stage = of_row.setdefault(f"randomisation@{record['stage']}", {})
            at_stage[record["example"]] = record["value"]
        of_row["randomisation"] = {n: sum(v) / len(v) for n, v in by_example.items()}
    if reference is not None and reference not in values:
        raise ConfigurationError(f"reference: no row {reference!r}; there are {', '.join(values)}")
    rows = {
        row: {m: statistics.mean(list(found.values()), seed) for m, found in of_row.items()}
        for row, of_row in values.items()
    }
    tests: List[JsonDict] = []
    of_reference = {} if reference is None else values[reference]
    for metric, own in of_reference.items():
        if metric in METRICS and metric not in COSTS:
            of_metric = []
            for row in values:
                other = values[row].get(metric, {})
                shared = [n for n in own if n in other]
                if row != reference and shared:
                    found = statistics.paired([own[n] for n in shared], [other[n] for n in shared], seed)
                    of_metric.append({"metric": metric, "row": reference, "against": row, **found})
            corrected = statistics.holm([test["p"] for test in of_metric])
            tests.extend({**test, "p_holm": p} for test, p in zip(of_metric, corrected))
    return {
        "rows": rows,
        "tests": tests,
        "texts": len({record["example"] for record in records if "error" not in record}),
        "errors": errors,
    }
