"""Interleaved timing: every row once per round, so that what disturbs one disturbs all."""

import statistics
import time
from typing import Any, Callable, Dict, List, NamedTuple

from tqdm import tqdm


class Row(NamedTuple):
    """
    Something that is timed.

    # Parameters

    run : `Callable[[], Any]`
    texts : `int`
        How many texts it deals with; times are per text.
    """

    run: Callable[[], Any]
    texts: int


def interleaved(name: str, rows: Dict[str, Row], rounds: int) -> Dict[str, Dict[str, Any]]:
    """
    Seconds per text of each row: median, smallest and largest of so many rounds, after one that is not
    counted.
    """
    seconds: Dict[str, List[float]] = {row: [] for row in rows}
    for i in tqdm(range(rounds + 1), desc=name):
        for row, (run, texts) in rows.items():
            start = time.perf_counter()
            run()
            if i:
                seconds[row].append((time.perf_counter() - start) / texts)
    return {
        row: {
            "median": statistics.median(times),
            "min": min(times),
            "max": max(times),
            "rounds": rounds,
            "texts": rows[row].texts,
        }
        for row, times in seconds.items()
    }
