from tests.conformance.document import PATH, document


def test_the_page_shows_the_table():
    text = PATH.read_text(encoding="utf-8")
    assert text == document(), "run `python -m tests.conformance.document`"
