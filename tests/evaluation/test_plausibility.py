import pytest
from allennlp.common.checks import ConfigurationError

from allennlp_layer_saliency.evaluation.plausibility import (
    Rationales,
    Word,
    measure,
    salient,
    word_scores,
)

TREES = """\
(3 (2 (2 A) (4 charming)) (2 (2 -LRB- ) (1 mess)))
(1 (2 It) (1 (2 's) (0 dull\\/bleak)))
"""


@pytest.fixture
def rationales(tmp_path):
    path = tmp_path / "trees.txt"
    path.write_text(TREES.replace("-LRB- )", "-LRB-)"))
    return Rationales(str(path))


def test_words_are_found_whatever_capitals_and_white_space(rationales):
    assert rationales.words("a  charming ( mess") == [
        Word(0, 1, 2),
        Word(3, 11, 4),
        Word(12, 13, 2),
        Word(14, 18, 1),
    ]
    assert rationales.words("It's dull/bleak")[1:] == [Word(2, 4, 2), Word(5, 15, 0)]
    assert rationales.words("another text") is None


def test_salient_words(rationales):
    words = rationales.words("a charming ( mess")
    assert salient(words, "positive") == salient(words, "1") == [False, True, False, False]
    assert salient(words, "negative") == [False, False, False, True]
    with pytest.raises(ConfigurationError, match="the model predicts 'World'"):
        salient(words, "World")


def test_a_word_scores_its_largest_piece():
    words = [Word(0, 4, 2), Word(5, 9, 2), Word(10, 12, 2)]
    offsets = [None, [0, 2], [2, 4], [4, 9], None]
    assert word_scores(words, [9.0, 0.1, 0.3, -0.2, 9.0], offsets) == [0.3, -0.2, None]


def test_by_hand():
    found = measure([0.9, 0.1, 0.8, 0.3], [True, True, False, False])
    # Ranked: salient, not, not, salient. Precision is 1 at the first and 1/2 at the second.
    assert found["auprc"] == pytest.approx((1 + 0.5) / 2)
    assert found["token_f1"] == 0.5 and found["iou"] == pytest.approx(1 / 3)
    perfect = measure([0.9, 0.8, 0.1, 0.3], [True, True, False, False])
    assert perfect == {"auprc": 1.0, "token_f1": 1.0, "iou": 1.0}
    # Ties are taken by position for the sets, and as one threshold for the curve.
    tied = measure([0.5] * 4, [False, True, True, False])
    assert tied == {"auprc": 0.5, "token_f1": 0.5, "iou": pytest.approx(1 / 3)}


def test_mistakes(tmp_path):
    with pytest.raises(ConfigurationError, match="no file"):
        Rationales(str(tmp_path / "none"))
    path = tmp_path / "trees.txt"
    path.write_text("(3 (2 a) (4 joy))\nno tree\n")
    with pytest.raises(ConfigurationError, match="line 2: a tree is wanted"):
        Rationales(str(path))
    with pytest.raises(ConfigurationError, match="format must be"):
        Rationales(str(path), "eraser")


def test_letters_that_are_two_in_lower_case(tmp_path):
    path = tmp_path / "trees.txt"
    path.write_text("(3 (2 \u0130stanbul) (4 joy))\n", encoding="utf-8")
    words = Rationales(str(path)).words("\u0130stanbul joy")
    assert words == [Word(0, 8, 2), Word(9, 12, 4)]
