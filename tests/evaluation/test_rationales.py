import json
import re

import pytest
from allennlp.common.checks import ConfigurationError

from allennlp_layer_saliency.evaluation.known_words import PlantedWords, Word
from allennlp_layer_saliency.evaluation.rationales import Rationales
from tests.conftest import ROOT

DATA = ROOT.parent / "shared" / "data"
TREES = """\
(3 (2 (2 A) (4 charming)) (2 (2 -LRB-) (1 mess)))
(1 (2 It) (1 (2 's) (0 dull\\/bleak)))
"""


@pytest.fixture
def rationales(tmp_path):
    def rationales(content, form, name="file"):
        path = tmp_path / name
        path.write_text(content, encoding="utf-8")
        return Rationales(str(path), form)

    return rationales


def salient(found, texts):
    """The salient words themselves."""
    texts = list(texts.values())
    return [texts[word.text][word.start : word.end] for word in found if word.salient]


def words_of(found):
    return [(word.start, word.end) for word in found]


def test_trees_are_found_whatever_capitals_and_white_space(rationales):
    trees = rationales(TREES, "sst_trees")
    text = {"sentence": "a  charming ( mess"}
    found = trees.words(None, text, "positive")
    assert words_of(found) == [(0, 1), (3, 11), (12, 13), (14, 18)]
    assert salient(found, text) == salient(trees.words(None, text, "1"), text) == ["charming"]
    assert salient(trees.words(None, text, "negative"), text) == ["mess"]
    text = {"sentence": "It's dull/bleak"}
    assert salient(trees.words(3, text, "0"), text) == ["dull/bleak"]
    assert trees.words(None, {"sentence": "another text"}, "positive") is None
    assert trees.words(None, {"premise": "a", "hypothesis": "b"}, "positive") is None
    with pytest.raises(ConfigurationError, match="the model predicts 'World'"):
        trees.words(None, text, "World")


def test_letters_that_are_two_in_lower_case(rationales):
    trees = rationales("(3 (2 \u0130stanbul) (4 joy))\n", "sst_trees")
    assert trees.words(None, {"sentence": "\u0130stanbul joy"}, "positive") == [
        Word(0, 8, False),
        Word(9, 12, True),
    ]


ERASER = [
    {
        "annotation_id": "one.txt",
        "evidences": [
            [{"docid": "one.txt", "start_token": 1, "end_token": 3, "text": "truly dull"}],
            [{"docid": "one.txt", "start_token": 4, "end_token": 5, "text": "bleak"}],
            # As fourteen of the movies' test documents have it.
            [{"docid": "one.txt", "start_token": 3, "end_token": 3, "text": ""}],
        ],
    },
    {"annotation_id": "two.txt", "evidences": [], "docids": None},
    {
        "annotation_id": "q1",
        "query": "is it red ?",
        "docids": ["three"],
        "evidences": [[{"docid": "three", "start_token": 0, "end_token": 1}]],
    },
    {
        "annotation_id": "q2",
        "query": "is it blue ?",
        "docids": ["three"],
        "evidences": [[{"docid": "three", "start_token": 1, "end_token": 2}]],
    },
]


@pytest.fixture
def documents(tmp_path):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "one.txt").write_text("a truly dull\nand bleak film")
    (tmp_path / "docs" / "two.txt").write_text("nothing here")
    (tmp_path / "docs" / "three").write_text("red and blue")
    (tmp_path / "secret").write_text("not a document")


def test_eraser(rationales, documents):
    found = rationales("".join(json.dumps(line) + "\n" for line in ERASER), "eraser")
    text = {"sentence": "A truly dull and bleak film"}
    assert salient(found.words(None, text, "NEG"), text) == ["truly", "dull", "bleak"]
    assert not any(word.salient for word in found.words(None, {"s": "nothing here"}, "NEG"))
    assert found.words(None, {"s": "not known"}, "NEG") is None
    for query, word in (("is it red ?", "red"), ("is it blue ?", "and")):
        # Whichever of the two comes first.
        for texts in ({"q": query, "d": "red and blue"}, {"d": "red and blue", "q": query}):
            assert salient(found.words(None, texts, "True"), texts) == [word]
    assert found.words(None, {"d": "red and blue"}, "True") is None


def test_spans(rationales):
    found = rationales(
        '{"id": 7, "spans": [[2, 10]]}\n'
        '{"id": "pair", "spans": {"hypothesis": [[0, 1], [4, 7]], "premise": []}}\n',
        "spans",
    )
    text = {"sentence": "a charming mess"}
    assert salient(found.words(7, text, "positive"), text) == ["charming"]
    assert found.words("7", text, "positive") is found.words(None, text, "positive") is None
    pair = {"premise": "it is", "hypothesis": "it was dull"}
    assert salient(found.words("pair", pair, "x"), pair) == ["it", "was"]
    assert [word.text for word in found.words("pair", pair, "x")] == [0, 0, 1, 1, 1]


SENTIMENT = "Sentiment\tText\tbatch_id\nNegative\tA dull film .\t1\nPositive\tA bright, kind film .\t1\n"
NLI = (
    "sentence1\tsentence2\tgold_label\n"
    "A boy kicks .\tA boy plays .\tneutral\n"
    "A boy kicks .\tA girl plays .\tcontradiction\n"
    "A boy sleeps .\tA boy plays .\tcontradiction\n"
)


def test_counterfactuals(rationales):
    found = rationales(SENTIMENT, "counterfactual")
    for text, changed in (("a dull  film .", ["dull"]), ("A bright, kind film .", ["bright,", "kind"])):
        assert salient(found.words(None, {"s": text}, "Negative"), {"s": text}) == changed
    # What is only in one of the two is changed there, and nothing is in the other.
    inserted = "Sentiment\tText\tbatch_id\nPositive\tA good film\t1\nNegative\tA not good film\t1\n"
    found = rationales(inserted, "counterfactual", "inserted")
    for text, changed in (("A good film", []), ("A not good film", ["not"])):
        assert salient(found.words(None, {"s": text}, "Negative"), {"s": text}) == changed
    found = rationales(NLI, "counterfactual", "nli")
    pair = {"premise": "A boy kicks .", "hypothesis": "A boy plays ."}
    # Of the original what either edit changed, of an edit its own.
    assert salient(found.words(None, pair, "neutral"), pair) == ["kicks", "boy"]
    edited = {"premise": "A boy kicks .", "hypothesis": "A girl plays ."}
    assert salient(found.words(None, edited, "neutral"), edited) == ["girl"]
    assert found.words(None, {"s": "A boy kicks ."}, "neutral") is None


def test_planted_words():
    text = {"s": "a Zeroa zeroa-like film onea"}
    found = PlantedWords(["zeroa", "onea"]).words(None, text, "negative")
    assert salient(found, text) == ["Zeroa", "onea"]


@pytest.mark.parametrize(
    "form, good, bad, wanted",
    [
        ("sst_trees", "(3 (2 a) (4 joy))", "no tree", "a tree such as .* there is 'no tree'"),
        ("eraser", json.dumps(ERASER[0]), "[]", "annotation_id and evidences"),
        ("eraser", json.dumps(ERASER[0]), '{"annotation_id": "a"}', "there is no 'evidences'"),
        (
            "eraser",
            json.dumps(ERASER[0]),
            json.dumps({"annotation_id": "none.txt", "evidences": []}),
            "no document 'none.txt'",
        ),
        (
            "eraser",
            json.dumps(ERASER[0]),
            json.dumps({"annotation_id": "../secret", "evidences": []}),
            "document '../secret'",
        ),
        (
            "eraser",
            json.dumps(ERASER[0]),
            json.dumps(ERASER[0]).replace('"end_token": 5', '"end_token": 50'),
            "tokens 4 to 50 of 'one.txt', which has 6",
        ),
        (
            "eraser",
            json.dumps(ERASER[0]),
            json.dumps(ERASER[0]).replace("truly dull", "truly red"),
            "tokens 1 to 3 of 'one.txt' are not 'truly red'",
        ),
        ("spans", '{"id": 1, "spans": []}', '{"id": 2}', "there is no 'spans'"),
        ("spans", '{"id": 1, "spans": []}', '{"id": 2, "spans": [[3, 1]]}', r"span \[3, 1\]"),
        ("spans", '{"id": 1, "spans": []}', '{"id": 2, "spans": [["a", 1]]}', r"span \['a', 1\]"),
        ("spans", '{"id": 1, "spans": []}', '{"id": 2, "spans": 3}', "is wanted"),
        ("spans", '{"id": 1, "spans": []}', '{"id"', "is wanted"),
    ],
)
def test_bad_lines_are_told_and_the_good_ones_stay(rationales, documents, caplog, form, good, bad, wanted):
    rationales(f"{good}\n\n{bad}\n{good}\n", form)
    (told,) = [record.getMessage() for record in caplog.records]
    assert "file, line 3: " in told and re.search(wanted, told)
    with pytest.raises(ConfigurationError, match="no line of .* is of the form"):
        rationales(bad, form)


@pytest.mark.parametrize(
    "spans, problem",
    [
        ([[2, 40]], r"span \[2, 40\]"),
        ([[1, 2]], r"span \[1, 2\]"),
        ({"premise": [[0, 1]]}, "field 'premise'"),
    ],
)
def test_spans_outside_their_text(rationales, caplog, spans, problem):
    found = rationales(
        json.dumps({"id": 1, "spans": []}) + "\n" + json.dumps({"id": 7, "spans": spans}), "spans"
    )
    for _ in range(2):
        assert found.words(7, {"sentence": "a charming mess"}, "positive") is None
    (told,) = [record.getMessage() for record in caplog.records]
    assert "file, line 2: spans within the texts of 7 (sentence) are wanted" in told
    assert re.search(problem, told)


def test_mistakes(rationales, caplog, tmp_path):
    with pytest.raises(ConfigurationError, match="no file"):
        Rationales(str(tmp_path / "none"))
    with pytest.raises(ConfigurationError, match="format must be one of sst_trees, eraser, .*; got 'trees'"):
        rationales(TREES, "trees")
    with pytest.raises(ConfigurationError, match="line 1: the columns sentiment, text, batch_id or .* 'a'|a"):
        rationales("a\tb\n", "counterfactual")
    with pytest.raises(ConfigurationError, match="no text of .* has an edit with another label"):
        rationales(SENTIMENT.replace("Negative", "Positive"), "counterfactual")
    assert not caplog.records
    rationales(SENTIMENT + "Negative\tonly two\n", "counterfactual")
    assert "line 4: 3 columns are wanted; there are 2" in caplog.text
    (tmp_path / "latin").write_bytes("(3 (2 caf\xe9))\n".encode("latin-1"))
    with pytest.raises(ConfigurationError, match="is not UTF-8"):
        Rationales(str(tmp_path / "latin"))


@pytest.mark.skipif(not DATA.exists(), reason="the data sets are not in the repository")
def test_the_files_as_published(caplog):
    Rationales(str(DATA / "eraser_movies" / "test.jsonl"), "eraser")
    eraser = Rationales(str(DATA / "eraser_movies" / "val.jsonl"), "eraser")
    line = json.loads((DATA / "eraser_movies" / "val.jsonl").read_text().splitlines()[0])
    text = (DATA / "eraser_movies" / "docs" / line["annotation_id"]).read_text()
    found = eraser.words(None, {"sentence": " ".join(text.split())}, "NEG")
    evidence = {word for group in line["evidences"] for each in group for word in each["text"].split()}
    assert set(salient(found, {"s": " ".join(text.split())})) == evidence
    Rationales(str(DATA / "cad" / "sentiment" / "combined" / "paired" / "dev_paired.tsv"), "counterfactual")
    nli = Rationales(str(DATA / "cad" / "NLI" / "all_combined" / "dev.tsv"), "counterfactual")
    pair = {
        "premise": "The little boy in jean shorts kicks the soccer ball.",
        "hypothesis": "A little boy is playing cricket.",
    }
    assert salient(nli.words(None, pair, "contradiction"), pair) == ["cricket."]
    assert not caplog.records
