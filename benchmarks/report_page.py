"""
How large the page of 1,000 explanations of 50 tokens at all layers is, and how soon it can be used:

    python -m benchmarks.report_page

in the repository's root, with chromium and chromium-driver, prints the figures and writes them to
benchmarks/results.json and RESULTS.md.
"""

import argparse
import json
import os
import random
import shutil
import statistics
import tempfile
from pathlib import Path
from typing import Dict, Iterator, List

os.environ.setdefault("HF_HUB_OFFLINE", "1")

from allennlp.common.util import JsonDict
from allennlp.predictors import Predictor
from selenium import webdriver
from selenium.webdriver.support.ui import WebDriverWait

import allennlp_layer_saliency  # noqa: F401  registers everything
from allennlp_layer_saliency.reports.page import to_html
from benchmarks.report import report

HERE = Path(__file__).parent
TEXTS, TOKENS = 1000, 50

# Until the new colours are painted, in ms.
SLIDE = """
const [layer, done] = [document.getElementById("layer"), arguments[0]];
const start = performance.now();
layer.value = Number(layer.value) > 0 ? 0 : layer.max;
layer.dispatchEvent(new Event("input", {bubbles: true}));
requestAnimationFrame(() => setTimeout(() => done(performance.now() - start)));
"""
FIRST_PAINT = 'return performance.getEntriesByName("first-contentful-paint")[0].startTime'
READY = "return Number(document.documentElement.dataset.ready)"


def real(seed: int = 0) -> List[JsonDict]:
    """Explanations by the bundled model of texts made of the sample's words."""
    predictor = Predictor.from_path(
        "fixtures/sst2-classifier.tar.gz",
        predictor_name="saliency",
        interpreter="training_configs/saliency/all_layers.jsonnet",
    )
    sample = Path("fixtures/sst2_sample.jsonl").read_text(encoding="utf-8").splitlines()
    sentences = [json.loads(line)["sentence"] for line in sample]
    generator = random.Random(seed)
    tokenizer = predictor._dataset_reader._tokenizer
    found: List[JsonDict] = []
    while len(found) < TEXTS:
        lines = []
        for _ in range(50):
            text = " ".join(generator.choices(sentences, k=8))
            # Cut where the last of the wanted pieces ends.
            end = tokenizer.tokenize(text)[TOKENS - 2].idx_end
            lines.append({"sentence": text[:end], "label": generator.choice(["negative", "positive"])})
        found += predictor.predict_batch_json(lines)
    return json.loads(json.dumps(found))


def synthetic(layers: int, texts: int = TEXTS, seed: int = 0) -> Iterator[JsonDict]:
    """Explanations like those of a model with a larger vocabulary and so many layers."""
    numbers = random.Random(seed)
    words = [f"Ġword{i}" for i in range(20_000)]

    def rare() -> str:
        # Few words are said often.
        return words[int(len(words) * numbers.random() ** 3)]

    def layer(index: int, tokens: List[str]) -> JsonDict:
        # As real layers are: most positions decode to their own word and give to it.
        own = [numbers.random() < 0.8 for _ in tokens]
        scores = [numbers.gauss(0, 1) for _ in tokens]
        return {
            "layer": index,
            "signed_1": scores,
            "grad_input_1": [abs(score) for score in scores],
            "sources_1": [
                [
                    {
                        "position": i if k == 0 and own[i] else numbers.randrange(TOKENS),
                        "amount": scores[i] if k == 0 and own[i] else numbers.gauss(0, 0.1),
                    }
                    for k in range(3)
                ]
                for i in range(TOKENS)
            ],
            "decoded_1": [
                [
                    {
                        "token": token if k == 0 and own[i] else rare(),
                        "probability": (0.9 if k == 0 and own[i] else 0.1) * numbers.random(),
                    }
                    for k in range(3)
                ]
                for i, token in enumerate(tokens)
            ],
            "vocabulary": [{"token": rare(), "score": numbers.gauss(0, 1)} for _ in range(20)],
            "lost": numbers.random(),
        }

    for _ in range(texts):
        tokens = [rare() for _ in range(TOKENS)]
        share = 0.5 + 0.5 * numbers.random()
        instance = {
            "tokens_1": tokens,
            "offsets_1": [[10 * i, 10 * i + 9] for i in range(TOKENS)],
            "grad_input_1": [1 / TOKENS] * TOKENS,
            "layers": [layer(index, tokens) for index in range(layers)],
        }
        label = numbers.choice(["negative", "positive"])
        yield {
            "label": label,
            "gold_label": numbers.choice(["negative", "positive"]),
            "probs": [share, 1 - share],
            "saliency": {"instance_1": instance},
        }


def browser() -> webdriver.Chrome:
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    for flag in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"):
        options.add_argument(flag)
    return webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))


def measure(explanations: List[JsonDict], rounds: int) -> Dict[str, float]:
    """MB, and seconds from the start of the navigation, medians of new browsers."""
    html = to_html({"ours": explanations})
    found: Dict[str, List[float]] = {"first paint": [], "ready": [], "slider": []}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "page.html"
        path.write_text(html, encoding="utf-8")
        for _ in range(rounds):
            driver = browser()
            try:
                driver.get(path.as_uri())
                WebDriverWait(driver, 60).until(lambda d: d.execute_script(READY))
                found["ready"].append(driver.execute_script(READY) / 1000)
                found["first paint"].append(driver.execute_script(FIRST_PAINT) / 1000)
                slides = [driver.execute_async_script(SLIDE) / 1000 for _ in range(5)]
                found["slider"].append(statistics.median(slides))
            finally:
                driver.quit()
    return {
        "MB": len(html.encode()) / 1e6,
        **{name: statistics.median(values) for name, values in found.items()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    driver = browser()
    version = driver.capabilities["browserVersion"]
    driver.quit()
    pages = {
        "the bundled model's, 5 layers": lambda: real(),
        "synthetic, 7 layers": lambda: list(synthetic(7)),
        "synthetic, 13 layers": lambda: list(synthetic(13)),
    }
    measured = {}
    for name, make in pages.items():
        measured[name] = measure(make(), args.rounds)
        print(name, {key: round(value, 2) for key, value in measured[name].items()})
    saved = HERE / "results.json"
    results = json.loads(saved.read_text())
    results["page"] = {"chromium": version, "rounds": args.rounds, "pages": measured}
    saved.write_text(json.dumps(results, indent=1) + "\n")
    (HERE / "RESULTS.md").write_text(report(results))


if __name__ == "__main__":
    main()
