"""The live page in headless Chromium; left out where there is none."""

import json
import shutil

import pytest

from tests.commands.test_archive import save_classifier
from tests.reports.test_browser import (  # noqa: F401  # `browser` is a fixture
    CHROMIUM,
    DRIVER,
    browser,
    emulated,
    found,
    hexadecimal,
    wait,
)
from tests.reports.test_page import EVIL
from tests.server.conftest import serving
from tests.test_display import contrast

pytestmark = pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="needs chromium and its driver")


@pytest.fixture
def opened(browser, server):  # noqa: F811
    browser.get_log("browser")
    browser.get(server.url)
    yield browser
    logged = [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
    # What is wrong with a text is answered with a status that the browser logs.
    assert [entry for entry in logged if "status of 422" not in entry["message"]] == []


def type_text(page, text, selector="#field-sentence"):
    (field,) = found(page, selector)
    field.clear()
    field.send_keys(text)


def shown(page, text):
    """Wait until the page explains a text."""
    wait(
        page,
        lambda: not found(page, "#answer[aria-busy]")
        and "".join(word.text for word in found(page, ".word:not(.special)")) == text.replace(" ", ""),
    )


def word(page, text):
    return next(each for each in found(page, ".word") if each.text.strip() == text)


def moved(page, start):
    (status,) = found(page, "#moved")
    wait(page, lambda: status.text.startswith(start))
    return status.text


def test_type_explain_mask_delete_replace(opened):
    type_text(opened, "a truly charming film")
    shown(opened, "a truly charming film")
    assert "positive" in found(opened, "#probabilities")[0].text
    word(opened, "charming").click()
    assert found(opened, "#word legend")[0].text.startswith("charming +")
    found(opened, "#mask")[0].click()
    said = moved(opened, "“charming” masked: positive ")
    assert "The score of positive moves by -" in said and "the word's score promised -" in said
    assert not found(opened, "#keep")[0].is_displayed()
    found(opened, "#delete")[0].click()
    moved(opened, "“charming” deleted: positive ")
    found(opened, "#other")[0].send_keys("dull")
    found(opened, "#replace")[0].click()
    assert "now predicted: negative" in moved(opened, "“charming” replaced by “dull”")
    found(opened, "#keep")[0].click()
    shown(opened, "a truly dull film")
    tries = [row.text for row in found(opened, "#tries tbody tr")]
    assert len(tries) == 5 and "a truly dull film explained: negative" in tries[0]


def test_classes_against_each_other_and_layers(opened):
    from selenium.webdriver.support.ui import Select

    type_text(opened, "not a bad film")
    shown(opened, "not a bad film")
    Select(found(opened, "#target")[0]).select_by_visible_text("negative")
    Select(found(opened, "#contrast")[0]).select_by_visible_text("positive")
    wait(opened, lambda: "negative minus positive" in found(opened, "#drawn")[0].text)
    shown(opened, "not a bad film")
    word(opened, "bad").click()
    found(opened, "#mask")[0].click()
    assert "The score of negative against positive moves by" in moved(opened, "“bad” masked: negative")
    Select(found(opened, "#layer-asked")[0]).select_by_visible_text("all")
    wait(opened, lambda: found(opened, "#layer-control")[0].is_displayed())
    assert found(opened, "#layer")[0].get_attribute("max") == "4"
    Select(found(opened, "#interpreter")[0]).select_by_visible_text("simple-gradient")
    wait(opened, lambda: not found(opened, "#layer-control")[0].is_displayed())
    assert not found(opened, "#target")[0].is_enabled()


def test_keyboard_only(opened):
    from selenium.webdriver import ActionChains
    from selenium.webdriver.common.keys import Keys

    def press(*keys):
        for key in keys:
            ActionChains(opened).send_keys(key).perform()

    # The text has the focus at first.
    press("a charming film")
    shown(opened, "a charming film")
    for _ in range(20):
        press(Keys.TAB)
        if opened.switch_to.active_element.get_attribute("class").startswith("word"):
            break
    press(Keys.HOME, Keys.ARROW_RIGHT, Keys.ARROW_RIGHT)
    assert opened.switch_to.active_element.text.strip() == "charming"
    press(Keys.ENTER)
    assert opened.switch_to.active_element.get_attribute("id") == "mask"
    press(Keys.ENTER)
    moved(opened, "“charming” masked")


def test_what_is_wrong_is_said(opened):
    type_text(opened, "good " * 300)
    (problem,) = found(opened, "#problem")
    wait(opened, lambda: "word pieces" in problem.text)
    assert not found(opened, "#answer")[0].is_displayed()
    type_text(opened, "good")
    shown(opened, "good")
    assert problem.text == ""


def test_a_saved_page(opened, tmp_path):
    opened.execute_cdp_cmd(
        "Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(tmp_path)}
    )
    type_text(opened, "a charming film")
    shown(opened, "a charming film")
    found(opened, "#save")[0].click()
    path = tmp_path / "explanations.html"
    wait(opened, path.exists)
    opened.get(path.as_uri())
    wait(opened, lambda: found(opened, "article"))
    assert "charming" in found(opened, "article")[-1].text


def test_a_phone_and_the_dark(opened):
    opened.set_window_size(360, 740)
    try:
        type_text(opened, "a charming film")
        shown(opened, "a charming film")
        word(opened, "charming").click()
        wide = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
        assert opened.execute_script(wide) <= 0
    finally:
        opened.set_window_size(1200, 900)
    for scheme in ("light", "dark"):
        with emulated(opened, scheme=scheme):
            for element in (
                *found(opened, ".word"),
                *found(opened, "#field-sentence"),
                *found(opened, "#word legend"),
            ):
                colours = [element.value_of_css_property(name) for name in ("color", "background-color")]
                if not colours[1].endswith(", 0)"):
                    assert contrast(*map(hexadecimal, colours)) >= 4.5


def test_hostile_texts_labels_and_names(browser, tmp_path):  # noqa: F811
    labels = {"num_labels": 2, "id2label": {0: EVIL, 1: "</script><script>alert(1)</script>"}}
    folder = save_classifier("bert", tmp_path, **labels)
    interpreters = tmp_path / "interpreters.json"
    interpreters.write_text(json.dumps({EVIL: {"type": "layer-saliency"}}))
    hostile = tmp_path / "<img src=x onerror=alert(2)>"
    shutil.copytree(folder, hostile)
    with serving(
        str(hostile), "--interpreters", str(interpreters), "--inner", "textual_entailment"
    ) as server:
        browser.get(server.url)
        assert "<img src=x" in found(browser, "h1")[0].text
        type_text(browser, EVIL, "#field-premise")
        type_text(browser, "a film", "#field-hypothesis")
        wait(browser, lambda: found(browser, ".word"))
        wait(browser, lambda: found(browser, "#probabilities th"))
        assert EVIL in found(browser, "#probabilities")[0].text
        assert found(browser, "img") == [] and len(found(browser, "script")) == 2
        word(browser, "film").click()
        found(browser, "#mask")[0].click()
        moved(browser, "“film” masked")
        # An alert would block this.
        assert browser.execute_script("return 1 + 1") == 2


def test_another_site_gets_no_answer(browser, server, tmp_path):  # noqa: F811
    page = tmp_path / "elsewhere.html"
    page.write_text("<p>another site</p>")
    browser.get(page.as_uri())
    script = """
    const [url, done] = arguments;
    fetch(url + "explain", {method: "POST", headers: {"Content-Type": "application/json"},
      body: '{"texts": {"sentence": "a film"}}'}).then(() => done("answered"), () => done("refused"));
    """
    assert browser.execute_async_script(script, server.url) == "refused"
    script = script.replace('headers: {"Content-Type": "application/json"},', 'mode: "no-cors",')
    browser.execute_async_script(script, server.url)
    browser.get_log("browser")
