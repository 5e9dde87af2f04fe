"""
How quick `allennlp saliency run` is by processes and threads, how much memory its driver takes by the
input's length, and how long a million lines wait for their first output:

    python -m benchmarks.run_scale [rates] [memory] [first] [--texts 2000] [--rounds 3]

prints JSON. Rates are of shards after the first, so without loading; rounds are interleaved, since other
work on the machine changes all of them. To be run in the repository's root; Linux.
"""

import argparse
import json
import os
import signal
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any, Dict, List

from benchmarks.run_faults import start, write_config

WAYS = {
    "one worker, one thread": (1, ["--workers", "1"]),
    "two workers, one thread each": (1, ["--workers", "2"]),
    "one process, two threads": (2, []),
}


def shards(output: Path) -> int:
    progress = output / "progress.jsonl"
    return len(progress.read_text().splitlines()) if progress.exists() else 0


def rate(folder: Path, texts: int, threads: int, flags: List[str]) -> float:
    """Texts per second between the fourth shard's writing and the last's."""
    config = write_config(folder, texts, threads=threads)
    assert start(config, folder / "out", *flags).wait() == 0
    written = sorted(path.stat().st_mtime for path in (folder / "out" / "explanations").rglob("*.jsonl"))
    # Until then some worker may still load the model.
    return 64 * (len(written) - 4) / (written[-1] - written[3])


def rates(texts: int, rounds: int) -> Dict[str, Any]:
    found: Dict[str, List[float]] = {way: [] for way in WAYS}
    for _ in range(rounds):
        for way, (threads, flags) in WAYS.items():
            with tempfile.TemporaryDirectory() as name:
                found[way].append(rate(Path(name), texts, threads, flags))
    one = found["one worker, one thread"]
    return {
        way: {
            "texts_per_second": [round(value, 1) for value in values],
            "median_ratio": round(statistics.median(a / b for a, b in zip(values, one)), 2),
        }
        for way, values in found.items()
    }


def memory(lengths: List[int]) -> Dict[int, float]:
    """The driver's largest resident set in MB, by the number of texts; a worker explains them."""
    found = {}
    for texts in lengths:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            config = write_config(folder, texts, interpreters={"random": "random"}, shard_size=256)
            process = start(config, folder / "out", "--workers", "1")
            _, status, usage = os.wait4(process.pid, 0)
            assert status == 0
            found[texts] = round(usage.ru_maxrss / 1024, 1)
    return found


def first_output(texts: int = 1_000_000) -> float:
    """Seconds from the command's start to the first shard, of which loading is the most."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        config = write_config(folder, texts, shard_size=256)
        began = time.monotonic()
        process = start(config, folder / "out")
        while not shards(folder / "out"):
            assert process.poll() is None
            time.sleep(0.05)
        seconds = time.monotonic() - began
        process.send_signal(signal.SIGKILL)
        process.wait()
        return round(seconds, 1)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("what", nargs="*", default=["rates", "memory", "first"])
    parser.add_argument("--texts", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    results: Dict[str, Any] = {}
    if "rates" in args.what:
        results["rates"] = rates(args.texts, args.rounds)
    if "memory" in args.what:
        results["driver_mb"] = memory([10_000, 100_000])
    if "first" in args.what:
        results["first_output_seconds"] = {n: first_output(n) for n in (1_000, 1_000_000)}
    print(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
