"""
Kills a run's driver, and separately its workers, at random moments, and compares what is there in the end
with an undisturbed run, byte for byte:

    python -m benchmarks.run_faults [--texts 5000] [--kills 20] [--seed 0]

prints JSON. To be run in the repository's root; Linux.
"""

import argparse
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Dict, List, NamedTuple

SAMPLE = Path("fixtures/sst2_sample.jsonl")


def write_data(path: Path, texts: int) -> None:
    lines = [json.loads(line) for line in SAMPLE.open()]
    with path.open("w") as file:
        for i in range(texts):
            file.write(json.dumps({**lines[i % len(lines)], "id": i}) + "\n")


def write_config(folder: Path, texts: int, **other: Any) -> Path:
    write_data(folder / "data.jsonl", texts)
    config = {
        "archive_file": "fixtures/sst2-classifier.tar.gz",
        "data": {"path": str(folder / "data.jsonl")},
        "interpreters": {"layer": {"type": "layer-saliency", "layer": 3}},
        "shard_size": 64,
        **other,
    }
    (folder / "config.jsonnet").write_text(json.dumps(config))
    return folder / "config.jsonnet"


def start(config: Path, output: Path, *flags: str) -> subprocess.Popen:
    command = [sys.executable, "-m", "allennlp", "saliency", "run", str(config), "-s", str(output)]
    return subprocess.Popen([*command, *flags], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def digests(output: Path) -> Dict[str, str]:
    return {
        str(path.relative_to(output)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(output.rglob("*"))
        if path.is_file()
    }


def processes(name: str, ancestor: int) -> List[int]:
    """Ids of the processes of a name that descend from another one."""
    parents, names = {}, {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                names[int(entry.name)] = (entry / "cmdline").read_bytes().split(b"\0")[0].decode()
                stat = (entry / "stat").read_text().rsplit(")", 1)[1].split()
                parents[int(entry.name)] = int(stat[1])
            except OSError:
                continue
    found = []
    for process, of_process in names.items():
        above = process
        while above in parents and above != ancestor:
            above = parents[above]
        if above == ancestor and of_process.startswith(name):
            found.append(process)
    return found


class Moments(NamedTuple):
    """Seconds of an undisturbed run in one process."""

    loading: float
    explaining: float


def undisturbed(config: Path, output: Path) -> Moments:
    began = time.monotonic()
    driver = start(config, output)
    while not (output / "progress.jsonl").exists():
        assert driver.poll() is None
        time.sleep(0.05)
    loaded = time.monotonic()
    assert driver.wait() == 0
    return Moments(loaded - began, time.monotonic() - loaded)


def kill_drivers(config: Path, output: Path, kills: int, moments: Moments, generator: random.Random) -> int:
    """Kill a run so often, with and without workers, then let it finish; how often it was killed."""
    for killed in range(kills):
        driver = start(config, output, *(("--workers", "2") if killed % 2 else ()))
        time.sleep(generator.uniform(0, moments.loading + 2 * moments.explaining / kills))
        if driver.poll() is not None:
            return killed
        driver.send_signal(signal.SIGKILL)
        driver.wait()
    assert start(config, output).wait() == 0
    return kills


def kill_workers(config: Path, output: Path, kills: int, moments: Moments, generator: random.Random) -> int:
    """
    Kill workers of one run so often; how often that was possible before it finished. Not two in a row that
    load the model: after three of these the run gives up, as it should.
    """
    driver = start(config, output, "--workers", "2")
    killed = 0
    name = "ray::_Actor"
    while driver.poll() is None:
        time.sleep(generator.uniform(0, 2 * moments.explaining / kills))
        workers = processes(name, driver.pid)
        if workers and killed < kills:
            worker = generator.choice(workers)
            explains = worker in processes("ray::_Actor.explain", driver.pid)
            os.kill(worker, signal.SIGKILL)
            name = "ray::_Actor" if explains else "ray::_Actor.explain"
            killed += 1
    assert driver.returncode == 0
    return killed


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--texts", type=int, default=5000)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    generator = random.Random(args.seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        config = write_config(folder, args.texts)
        moments = undisturbed(config, folder / "undisturbed")
        expected = digests(folder / "undisturbed")
        results: Dict[str, Any] = {"texts": args.texts, "undisturbed": moments._asdict()}
        for what, work in (("driver", kill_drivers), ("worker", kill_workers)):
            killed = work(config, folder / what, args.kills, moments, generator)
            results[what] = {
                "kills": killed,
                "same_bytes": digests(folder / what) == expected,
            }
            print(json.dumps(results, indent=1), flush=True)


if __name__ == "__main__":
    main()
