"""The page in headless Chromium; left out where there is none."""

import json
import shutil

import pytest

from allennlp_layer_saliency.reports import page
from tests.reports.test_page import EVIL, comparison, layer, line

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), ""
)
DRIVER = shutil.which("chromedriver")

pytestmark = pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="needs chromium and its driver")


@pytest.fixture(scope="module")
def browser():
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    driver.set_window_size(1200, 900)
    yield driver
    driver.quit()


LAYERS = (layer(1, [0.0, -1.0, 2.0]), layer(2, [0.0, 2.0, -1.0]), layer(3, [0.0, 0.0, 1.0]))


@pytest.fixture
def opened(browser, tmp_path):
    def opened(html):
        path = tmp_path / "page.html"
        path.write_text(html, encoding="utf-8")
        browser.get_log("browser")
        browser.get(path.as_uri())
        if 'id="data"' in html:
            wait(
                browser,
                lambda: browser.execute_script("return document.documentElement.dataset.ready"),
            )
        return browser

    yield opened
    assert [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []


def wait(browser, condition):
    from selenium.webdriver.support.ui import WebDriverWait

    return WebDriverWait(browser, 20).until(lambda _: condition())


def found(browser, selector):
    from selenium.webdriver.common.by import By

    return browser.find_elements(By.CSS_SELECTOR, selector)


def background(element):
    return element.value_of_css_property("background-color")


def explanations():
    other = {**line(2), "gold_label": "negative", "probs": [0.05, 0.95]}
    error = {"id": other["id"], "line": 2, "error": EVIL}
    return {"ours": [line(1, LAYERS), other], "simple": [line(1), error]}


def test_nothing_of_the_input_is_markup(opened):
    browser = opened(page.to_html(explanations(), title=EVIL))
    assert EVIL in found(browser, "h1")[0].text
    assert [word.text for word in found(browser, ".word")][:3] == ["<s>", EVIL, "ly"]
    assert EVIL in found(browser, "article h2")[0].text
    assert any(EVIL in error.text for error in found(browser, ".error"))
    found(browser, "summary")[0].click()
    assert found(browser, "img") == [] and len(found(browser, "script")) == 2
    # An alert would block this.
    assert browser.execute_script("return 1 + 1") == 2


def test_the_slider_changes_the_colours(opened):
    from selenium.webdriver.common.keys import Keys

    browser = opened(page.to_html({"ours": [line(1, LAYERS)]}))
    slider = found(browser, "#layer")[0]
    assert found(browser, "#layer-shown")[0].text == "2"
    before = [background(word) for word in found(browser, ".word")]
    slider.send_keys(Keys.ARROW_LEFT)
    assert found(browser, "#layer-shown")[0].text == "1"
    after = [background(word) for word in found(browser, ".word")]
    # The second word turns from for (full) to against (half), the third from against to for.
    assert before[0] == after[0] and before[1:] != after[1:]
    classes = [word.get_attribute("class").split() for word in found(browser, ".word")]
    assert "against" in classes[1] and "for" in classes[2] and "strong" in classes[2]
    assert "layer 1" in found(browser, ".view h3")[0].text


def test_hover_and_keyboard_show_what_a_word_decodes_to(opened):
    from selenium.webdriver import ActionChains
    from selenium.webdriver.common.keys import Keys

    browser = opened(page.to_html({"ours": [line(1, LAYERS)]}))
    words, detail = found(browser, ".word"), found(browser, ".detail")[0]
    ActionChains(browser).move_to_element(words[1]).perform()
    wait(browser, lambda: "decodes to: bad 50 %" in detail.text)
    assert "given by: ly (3) +1, <s> (1) -0.5" in detail.text
    assert [("giver" in word.get_attribute("class")) for word in words] == [True, False, True]
    # From the first word on by arrows; each text is one stop of the tab key.
    browser.execute_script("arguments[0].focus()", words[0])
    browser.switch_to.active_element.send_keys(Keys.ARROW_RIGHT, Keys.ARROW_RIGHT)
    assert browser.switch_to.active_element == words[2]
    assert EVIL in detail.text and "25 %" in detail.text
    browser.switch_to.active_element.send_keys(Keys.HOME)
    assert browser.switch_to.active_element == words[0]


def test_the_tab_key_reaches_everything(opened):
    from selenium.webdriver.common.keys import Keys

    browser = opened(page.to_html(explanations()))
    wanted = found(browser, "#controls input, #controls select, summary, #next, #previous")
    wanted = [e for e in wanted if e.is_displayed() and e.is_enabled()]
    wanted += [words.find_element("css selector", ".word") for words in found(browser, ".words")]
    reached = []
    browser.execute_script("document.activeElement.blur()")
    found(browser, "body")[0].send_keys(Keys.TAB)
    for _ in range(60):
        reached.append(browser.switch_to.active_element)
        browser.switch_to.active_element.send_keys(Keys.TAB)
    assert all(element in reached for element in wanted)


def test_filters(opened):
    browser = opened(page.to_html(explanations()))

    def shown():
        return len(found(browser, "article"))

    assert shown() == 2
    found(browser, "#wrong")[0].click()
    assert shown() == 1 and "true: positive" in found(browser, "article h2")[0].text
    assert "wrong" in found(browser, "article")[0].get_attribute("class")
    found(browser, "#wrong")[0].click()
    found(browser, "#lowest")[0].clear()
    found(browser, "#lowest")[0].send_keys("90")
    assert shown() == 1 and "95 %" in found(browser, "article h2")[0].text
    found(browser, "#lowest")[0].clear()
    found(browser, "#search")[0].send_keys("no such word")
    assert shown() == 0 and "0 of 2 texts" in found(browser, "#count")[0].text


def test_interpreters_side_by_side(opened):
    browser = opened(page.to_html(explanations()))
    headings = [heading.text for heading in found(browser, "article:first-child .view h3")]
    assert headings[0].startswith("ours") and headings[1].startswith("simple")
    first, second = found(browser, "article:first-child .view")
    assert first.location["y"] == second.location["y"]
    found(browser, "#sources input")[1].click()
    assert len(found(browser, "article:first-child .view")) == 1


def test_a_comparison_is_sortable(opened, tmp_path):
    comparison(tmp_path, "b")
    results = json.loads((tmp_path / "comparison.json").read_text())
    values = {"mean": 0.25, "low": None, "high": None, "n": 1}
    results["rows"]["a"] = {"comprehensiveness": values}
    (tmp_path / "comparison.json").write_text(json.dumps(results))
    browser = opened(page.page([str(tmp_path)]))

    def rows():
        return [cell.text for cell in found(browser, "tbody th")]

    assert rows() == ["b", "a"]
    found(browser, "thead button")[0].click()
    found(browser, "thead button")[0].click()
    assert rows() == ["a", "b"]
    found(browser, "thead button")[1].click()
    assert rows() == ["b", "a"]
    assert found(browser, "thead th")[1].get_attribute("aria-sort") == "descending"
    figure = found(browser, "figure img")[0]
    assert browser.execute_script("return arguments[0].naturalWidth", figure) > 100


def test_a_phone(opened):
    browser = opened(page.to_html(explanations()))
    browser.set_window_size(500, 800)
    try:
        wide = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
        assert browser.execute_script(wide) <= 0
    finally:
        browser.set_window_size(1200, 900)
