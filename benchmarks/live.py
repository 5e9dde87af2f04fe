"""
How long `allennlp saliency summary` takes for 100,000 explanations, and `allennlp saliency serve` until a
text that was typed is explained on the page:

    python -m benchmarks.live SST2/train.tsv

in the repository's root, with chromium and chromium-driver, prints the figures and writes them to
benchmarks/results.json and RESULTS.md. The explanations are of the bundled model, of 5,000 texts, repeated.
"""

import json
import os
import random
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Dict, List

os.environ.setdefault("HF_HUB_OFFLINE", "1")

from benchmarks.explainers import MIDPOINT
from benchmarks.report import report

HERE = Path(__file__).parent
TEXTS, REAL, SHARD = 100_000, 5_000, 256
ARCHIVE = "fixtures/sst2-classifier.tar.gz"
COMMAND = [sys.executable, "-W", "ignore", "-m", "allennlp", "saliency"]
ONE_CORE = {**os.environ, "OMP_NUM_THREADS": "1", "ALLENNLP_LOG_LEVEL": "WARNING"}

# Types a text, one key's event for all of it, and says when its explanation is drawn, in ms.
TYPE = """
const [text, done] = arguments;
const field = document.querySelector("textarea");
const start = performance.now();
field.value = text;
document.querySelector("#ask button").click();
const poll = () => {
  const shown = Number(document.documentElement.dataset.shown || 0);
  if (shown > start) done(shown - start); else requestAnimationFrame(poll);
};
poll();
"""


def sentences(path: str, seed: int = 0) -> List[str]:
    """Whole sentences, of SST-2's lengths, rather than phrases."""
    lines = Path(path).read_text(encoding="utf-8").splitlines()[1:]
    long = [line.split("\t")[0].strip() for line in lines if len(line.split("\t")[0].split()) > 12]
    return random.Random(seed).sample(long, REAL)


def make_run(texts: List[str], folder: str) -> None:
    """A run's folder with 100,000 explanations."""
    data = os.path.join(folder, "data.jsonl")
    Path(data).write_text("".join(json.dumps({"sentence": text}) + "\n" for text in texts))
    config = os.path.join(folder, "config.json")
    Path(config).write_text(
        json.dumps(
            {
                "archive_file": ARCHIVE,
                "data": {"path": data},
                "interpreters": {"decoded": {"type": "decoded-layer-saliency", **MIDPOINT}},
                "shard_size": SHARD,
            }
        )
    )
    subprocess.run([*COMMAND, "run", config, "-s", f"{folder}/run"], check=True, env=ONE_CORE)
    shards = Path(f"{folder}/run/explanations/decoded")
    lines = [line for path in sorted(shards.iterdir()) for line in path.read_text().splitlines()]
    manifest = Path(f"{folder}/run/manifest.json")
    content = json.loads(manifest.read_text())
    counts = []
    for number, start in enumerate(range(0, TEXTS, SHARD)):
        some = [lines[i % len(lines)] for i in range(start, min(start + SHARD, TEXTS))]
        # Repeated shards differ, as those of a real run do.
        some = [line.replace('{"', f'{{"id":{start + i},"', 1) for i, line in enumerate(some)]
        (shards / f"{number:06}.jsonl").write_text("\n".join(some) + "\n")
        counts.append({"texts": len(some), "errors": 0})
    manifest.write_text(json.dumps({**content, "texts": TEXTS, "shards": counts}))


def summarised(folder: str) -> Dict[str, float]:
    start = time.perf_counter()
    command = [*COMMAND, "summary", f"{folder}/run", "-s", f"{folder}/summary"]
    process = subprocess.Popen(["taskset", "-c", "0", *command], env=ONE_CORE, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    assert status == 0
    return {"seconds": time.perf_counter() - start, "MiB": used.ru_maxrss / 1024}


def served(texts: List[str]) -> Dict[str, Any]:
    """From the press of "Explain" to the drawn explanation, in ms, medians; the first one alone."""
    from selenium import webdriver

    server = subprocess.Popen(
        [*COMMAND, "serve", ARCHIVE, "-p", "0"], stdout=subprocess.PIPE, text=True, env=ONE_CORE
    )
    assert server.stdout is not None
    found = re.match(r"(http://\S+)", server.stdout.readline())
    assert found is not None
    options = webdriver.ChromeOptions()
    options.binary_location = str(shutil.which("chromium"))
    for flag in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"):
        options.add_argument(flag)
    service = webdriver.ChromeService(str(shutil.which("chromedriver")))
    browser = webdriver.Chrome(options=options, service=service)
    try:
        browser.get(found.group(1))
        times = [browser.execute_async_script(TYPE, text) for text in texts]
    finally:
        browser.quit()
        server.send_signal(signal.SIGINT)
        server.wait()
    return {"first": times[0], "later": statistics.median(times[1:]), "slowest": max(times)}


def main() -> None:
    texts = sentences(sys.argv[1])
    with tempfile.TemporaryDirectory() as folder:
        make_run(texts, folder)
        found: Dict[str, Any] = {"summary": summarised(folder), "serve": served(texts[:50])}
    print(json.dumps(found, indent=1))
    saved = HERE / "results.json"
    results = json.loads(saved.read_text())
    results["live"] = found
    saved.write_text(json.dumps(results, indent=1) + "\n")
    (HERE / "RESULTS.md").write_text(report(results))


if __name__ == "__main__":
    main()
