"""The page in headless Chromium; left out where there is none."""

import json
import re
import shutil
from contextlib import contextmanager

import pytest

from allennlp_layer_saliency.reports import page
from tests.reports.test_page import EVIL, comparison, layer, layers, line
from tests.test_display import contrast

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), "")
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


@contextmanager
def emulated(browser, media="", scheme="light"):
    """A medium and a colour scheme."""
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": media, "features": features})
    try:
        yield
    finally:
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "", "features": []})


def hexadecimal(colour):
    """Of rgb(...), rgba(...) or color(srgb ...)."""
    scale = 255 if colour.startswith("color") else 1
    values = [float(value) * scale for value in re.findall(r"[\d.]+", colour.replace("srgb", ""))]
    return "#" + "".join(f"{round(value):02x}" for value in values[:3])


def explanations():
    other = {**line(2), "gold_label": "negative", "probs": [0.05, 0.95]}
    error = {"id": other["id"], "line": 2, "error": EVIL}
    return {"ours": [line(1, LAYERS), other], "simple": [line(1), error]}


def test_nothing_of_the_input_is_markup(opened):
    ours, simple = explanations().values()
    browser = opened(page.to_html({EVIL: ours, "simple": simple}, title=EVIL))
    assert EVIL in found(browser, "h1")[0].text
    assert EVIL in found(browser, "#sources")[0].text
    assert [word.text for word in found(browser, ".word")][:3] == ["<s>", EVIL, "ly"]
    assert EVIL in found(browser, "article h2")[0].text
    assert any(EVIL in error.text for error in found(browser, ".error"))
    found(browser, "article summary")[0].click()
    assert found(browser, "img") == [] and len(found(browser, "script")) == 2
    # An alert would block this.
    assert browser.execute_script("return 1 + 1") == 2


def test_the_slider_changes_the_colours(opened):
    from selenium.webdriver.common.keys import Keys

    browser = opened(page.to_html({"ours": [line(1, LAYERS)]}))
    slider = found(browser, "#layer")[0]
    # It opens at the layer that the default explains.
    assert found(browser, "#layer-shown")[0].text == "1"
    slider.send_keys(Keys.ARROW_RIGHT)
    assert found(browser, "#layer-shown")[0].text == "2"
    before = [background(word) for word in found(browser, ".word")]
    slider.send_keys(Keys.ARROW_LEFT)
    after = [background(word) for word in found(browser, ".word")]
    # The second word turns from for (full) to against (half), the third from against to for.
    assert before[0] == after[0] and before[1:] != after[1:]
    classes = [word.get_attribute("class").split() for word in found(browser, ".word")]
    assert "against" in classes[1] and "for" in classes[2]
    assert "layer 1" in found(browser, ".view h3")[0].text


def at_layer_2(browser):
    from selenium.webdriver.common.keys import Keys

    found(browser, "#layer")[0].send_keys(Keys.ARROW_RIGHT)
    return browser


def test_hover_and_keyboard_show_what_a_word_decodes_to(opened):
    from selenium.webdriver import ActionChains
    from selenium.webdriver.common.keys import Keys

    browser = at_layer_2(opened(page.to_html({"ours": [line(1, LAYERS)]})))
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


def test_the_most_salient_word_is_explained_first(opened):
    browser = at_layer_2(opened(page.to_html({"ours": [line(1, LAYERS)]})))
    detail = found(browser, ".detail")[0]
    assert detail.text.startswith(EVIL + " +2; decodes to: bad 50 %")
    assert found(browser, ".giver") == []
    words = found(browser, ".vocabulary span")
    assert [word.text for word in words] == [EVIL + " -1"]
    assert "against" in words[0].get_attribute("class")


def test_the_heat_map(opened):
    from selenium.webdriver.common.keys import Keys

    browser = at_layer_2(opened(page.to_html({"ours": [line(1, LAYERS)]})))
    found(browser, "article summary")[0].click()
    wait(browser, lambda: found(browser, ".map"))
    assert [name.text for name in found(browser, ".map thead th")] == ["layer", "<s>", EVIL, "ly"]
    assert [name.text for name in found(browser, ".map tbody th")] == ["3", "2", "1"]
    cells = found(browser, ".map td")
    # The most probable token of each position, the same colours as the words have at that layer.
    assert [cell.text for cell in cells[3:6]] == ["", "bad", EVIL]
    words = [background(word) for word in found(browser, ".word")]
    assert [background(cell) for cell in cells[3:6]][1:] == words[1:]
    assert found(browser, ".map .chosen th")[0].text == "2"
    # The slider leaves it open.
    found(browser, "#layer")[0].send_keys(Keys.ARROW_LEFT)
    assert found(browser, ".map .chosen th")[0].text == "1"
    # By keyboard: one stop, arrows from cell to cell, each explained at its layer.
    browser.execute_script("arguments[0].focus()", cells[0])
    browser.switch_to.active_element.send_keys(Keys.ARROW_DOWN, Keys.ARROW_RIGHT)
    assert browser.switch_to.active_element == cells[4]
    assert found(browser, ".detail")[0].text.startswith(EVIL + " +2 at layer 2; decodes to: bad")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_contrast(opened, browser, scheme):
    """WCAG AA: 4.5 to 1 for all text, on whatever colour."""
    shares = [step / 20 for step in range(-20, 21)]
    explained = line()
    explained["saliency"]["instance_1"] = {
        "tokens_1": ["x"] * len(shares),
        "offsets_1": [[2 * i, 2 * i + 1] for i in range(len(shares))],
        "grad_input_1": [abs(share) for share in shares],
        "signed_1": shares,
        "vocabulary": [],
        "lost": 0.5,
    }
    with emulated(browser, scheme=scheme):
        opened(page.to_html({"ours": [explained], "simple": [{"line": 1, "error": "no"}]}))
        words = found(browser, ".word")
        assert len(words) == len(shares)
        for word in words:
            ink, paper = word.value_of_css_property("color"), background(word)
            if paper == "rgba(0, 0, 0, 0)":
                paper = background(found(browser, "article")[0])
            assert contrast(hexadecimal(ink), hexadecimal(paper)) >= 4.5
        card, body = (background(found(browser, name)[0]) for name in ("article", "body"))
        inks = [(name, card) for name in ("article h2", ".view h3", ".detail", ".error")]
        inks += [(name, body) for name in ("h1", ".note", "#count", "#legend")]
        for name, paper in inks:
            ink = found(browser, name)[0].value_of_css_property("color")
            assert contrast(hexadecimal(ink), hexadecimal(paper)) >= 4.5, name
        # The scheme is taken: dark ink on light, or light on dark.
        assert (hexadecimal(body) > "#808080") == (scheme == "light")


def test_print(opened, browser):
    at_layer_2(opened(page.to_html({"ours": [line(1, LAYERS)]})))
    with emulated(browser, "print", "dark"):
        # On paper, whatever the screen's scheme.
        assert hexadecimal(background(found(browser, "body")[0])) == "#ffffff"
        assert not found(browser, "#controls")[0].is_displayed()
        assert found(browser, "#legend")[0].is_displayed()
        word = found(browser, ".word")[1]
        assert hexadecimal(background(word)) == "#b2182b"
        assert word.value_of_css_property("print-color-adjust") == "exact"


def test_layers(opened, tmp_path):
    layers(tmp_path)
    browser = opened(page.page([str(tmp_path)]))
    assert [cell.text for cell in found(browser, "tbody th")] == ["0"]
    figure = found(browser, "figure img")[0]
    assert browser.execute_script("return arguments[0].naturalWidth", figure) > 100


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


def test_a_number_that_is_cleared_is_no_filter(opened):
    from selenium.webdriver.common.keys import Keys

    browser = opened(page.to_html(explanations()))
    for name in ("#lowest", "#highest"):
        found(browser, name)[0].send_keys(Keys.CONTROL, "a")
        found(browser, name)[0].send_keys(Keys.DELETE)
        assert found(browser, name)[0].get_attribute("value") == ""
    assert len(found(browser, "article")) == 2


def test_filters_are_there_where_there_is_something_to_filter(opened):
    def shown(browser):
        labels = found(browser, "#filters label")
        return {label.text.split()[0] for label in labels if label.is_displayed()}

    assert {"Search", "True", "Probability", "Order"} <= shown(opened(page.to_html(explanations())))
    assert shown(opened(page.to_html({"ours": [{**line(1), "gold_label": None, "probs": None}]}))) == set()


def words_line():
    """ "unhappy ends", of which the first word is three pieces, and two characters that stand alone."""
    tokens = ["<s>", "Ġun", "ha", "ppy", "Ġends", "Ġ好", "的", "</s>"]
    offsets = [None, [0, 2], [2, 4], [4, 7], [8, 12], [13, 14], [14, 15], None]
    scores = [0.0, 1.0, 0.5, -0.25, 0.5, 0.25, 0.25, 0.0]
    decoded = [{"token": "Ġsad", "probability": 0.5, "contribution": 1.0}]
    instance = {
        "tokens_1": tokens,
        "offsets_1": offsets,
        "texts_1": ["unhappy ends 好的"],
        "grad_input_1": [abs(score) for score in scores],
        "signed_1": scores,
        "layer": 1,
        "lost": 0.0,
        "sources_1": [[{"position": 1, "amount": score}] if score else [] for score in scores],
        "decoded_1": [decoded if i in (1, 2) else [] for i in range(len(tokens))],
        "vocabulary": [],
        "target": {"label": "bad", "kind": "logit", "score": 1.0, "span": [1, 3]},
    }
    return {"label": "bad", "probs": [0.75], "saliency": {"instance_1": instance}}


def test_words_and_their_pieces(opened):
    from selenium.webdriver import ActionChains

    browser = opened(page.to_html({"ours": [words_line()]}))
    words = found(browser, ".word")
    assert [word.text for word in words] == ["<s>", "unhappy", "ends", "好", "的", "</s>"]
    ActionChains(browser).move_to_element(words[1]).perform()
    detail = found(browser, ".detail")[0]
    # The sum of its pieces' scores, and of what each was given.
    wait(browser, lambda: detail.text == "unhappy +1.3; decodes to: sad 50 %; given by: unhappy (2) +1.3")
    assert "explained" in words[1].get_attribute("class")
    assert not any("explained" in word.get_attribute("class") for word in (words[0], *words[2:]))
    found(browser, "#pieces")[0].click()
    assert [word.text for word in found(browser, ".word")][1:5] == ["un", "ha", "ppy", "ends"]
    assert len(found(browser, ".word.explained")) == 3


def test_help_and_what_the_results_are_made_of(opened, tmp_path):
    browser = opened(page.to_html(explanations()))
    summary = found(browser, "#help summary")[0]
    summary.click()
    told = found(browser, "#help")[0].text
    assert "Given by" in told and "Lost" in told and "Layer 0" in told


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
        # The filters take a whole screen: they are folded up.
        wait(browser, lambda: not found(browser, "#search")[0].is_displayed())
        found(browser, "#filters summary")[0].click()
        assert found(browser, "#search")[0].is_displayed()
        wide = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
        assert browser.execute_script(wide) <= 0
    finally:
        browser.set_window_size(1200, 900)
    wait(browser, lambda: found(browser, "#search")[0].is_displayed())
