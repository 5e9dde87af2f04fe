"""
The pictures of the page in docs/, of the bundled model's explanations:

    python scripts/pictures.py

in the repository's root, with chromium and chromium-driver, and what `pip install ".[test]"` installs. The
commands that make the page are printed.
"""

import json
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any, Dict

from PIL import Image
from selenium import webdriver
from selenium.webdriver.support.ui import WebDriverWait

INTERPRETERS: Dict[str, Any] = {
    "decoded": {
        "type": "decoded-layer-saliency",
        "layer": "all",
    },
    "simple_gradient": {"type": "simple-gradient"},
}
DOCS = Path("docs")


def run(*command: str) -> None:
    print(shlex.join(command))
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def make_page(folder: Path) -> Path:
    for name, interpreter in INTERPRETERS.items():
        run(
            *("allennlp", "predict", "fixtures/sst2-classifier.tar.gz"),
            *("fixtures/sentences.jsonl", "--silent"),
            *("--predictor", "saliency"),
            *("--predictor-args", json.dumps({"interpreter": interpreter})),
            *("--output-file", str(folder / f"{name}.jsonl")),
        )
    files = [str(folder / f"{name}.jsonl") for name in INTERPRETERS]
    page = folder / "report.html"
    run("allennlp", "saliency", "report", *files, "-o", str(page))
    return page


def picture(page: Path, name: str, width: int, height: int, scheme: str, ratio: float) -> None:
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    for flag in ("--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"):
        options.add_argument(flag)
    service = webdriver.ChromeService(shutil.which("chromedriver"))
    driver = webdriver.Chrome(options=options, service=service)
    try:
        shape = {"width": width, "height": height, "deviceScaleFactor": ratio, "mobile": False}
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", shape)
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        driver.get(page.resolve().as_uri())
        ready = "return document.documentElement.dataset.ready"
        WebDriverWait(driver, 20).until(lambda _: driver.execute_script(ready))
        # The heat map, and somebody looks at the most salient word.
        driver.execute_script("document.querySelector('article summary').click()")
        WebDriverWait(driver, 20).until(lambda _: driver.find_elements("css selector", ".map"))
        driver.execute_script(
            "[...document.querySelectorAll('.word')]"
            ".find((word) => word.style.getPropertyValue('--share') === '1.000').focus()"
        )
        path = DOCS / f"{name}.png"
        driver.save_screenshot(str(path))
    finally:
        driver.quit()
    Image.open(path).convert("RGB").save(path, optimize=True)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        page = make_page(Path(folder))
        picture(page, "page", 1120, 760, "light", 1)
        picture(page, "page-dark", 1120, 760, "dark", 1)
        picture(page, "page-phone", 390, 844, "light", 1.5)


if __name__ == "__main__":
    main()
