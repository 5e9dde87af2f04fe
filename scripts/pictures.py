"""
The pictures of the pages in docs/, of the bundled model's explanations:

    python scripts/pictures.py

in the repository's root, with chromium and chromium-driver, and what `pip install ".[test]"` installs. The
commands that make the page are printed.
"""

import json
import shlex
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import Any, Callable, Dict

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


def open_word(driver: Any) -> None:
    """Of the page: the heat map, and somebody looks at the most salient word."""
    ready = "return document.documentElement.dataset.ready"
    WebDriverWait(driver, 20).until(lambda _: driver.execute_script(ready))
    driver.execute_script("document.querySelector('article summary').click()")
    WebDriverWait(driver, 20).until(lambda _: driver.find_elements("css selector", ".map"))
    driver.execute_script(
        "[...document.querySelectorAll('.word')]"
        ".find((word) => word.style.getPropertyValue('--share') === '1.000').focus()"
    )


def try_words(driver: Any) -> None:
    """Of the live page: a text is typed, a word masked, and another one put in its place."""

    def seen(selector: str, text: str) -> None:
        WebDriverWait(driver, 20).until(
            lambda _: any(text in each.text for each in driver.find_elements("css selector", selector))
        )

    driver.find_element("css selector", "textarea").send_keys("a dull film with one charming scene")
    seen(".word", "charming")
    for word in ("dull", "charming"):
        next(w for w in driver.find_elements("css selector", ".word") if w.text == word).click()
        driver.find_element("id", "mask").click()
        seen("#moved", f"“{word}” masked")
    driver.find_element("id", "other").send_keys("tedious")
    driver.find_element("id", "replace").click()
    seen("#moved", "replaced by “tedious”")


def picture(
    address: str,
    name: str,
    width: int,
    height: int,
    scheme: str,
    ratio: float,
    prepare: Callable[[Any], None] = open_word,
) -> None:
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
        driver.get(address)
        prepare(driver)
        path = DOCS / f"{name}.png"
        driver.save_screenshot(str(path))
    finally:
        driver.quit()
    Image.open(path).convert("RGB").save(path, optimize=True)


def live_pictures() -> None:
    command = ["allennlp", "saliency", "serve", "fixtures/sst2-classifier.tar.gz", "-p", "0"]
    print(shlex.join(command))
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert server.stdout is not None
    try:
        address = server.stdout.readline().split()[0]
        picture(address, "live", 1000, 820, "light", 1, try_words)
    finally:
        server.send_signal(signal.SIGINT)
        server.wait()


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        page = make_page(Path(folder)).resolve().as_uri()
        picture(page, "page", 1120, 760, "light", 1)
        picture(page, "page-dark", 1120, 760, "dark", 1)
        picture(page, "page-phone", 390, 844, "light", 1.5)
    live_pictures()


if __name__ == "__main__":
    main()
