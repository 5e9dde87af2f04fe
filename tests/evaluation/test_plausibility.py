import numpy
import pytest

from allennlp_layer_saliency.evaluation.known_words import Word
from allennlp_layer_saliency.evaluation.plausibility import measure, word_scores


def words(*salient, texts=None):
    return [Word(2 * i, 2 * i + 1, bool(s), texts[i] if texts else 0) for i, s in enumerate(salient)]


def test_a_word_scores_its_largest_piece():
    given = [Word(0, 4, True), Word(5, 9, True), Word(10, 12, True), Word(0, 4, True, 1)]
    offsets = [None, [0, 2], [2, 4], [4, 9], None, [0, 4]]
    scores = [9.0, 0.1, 0.3, -0.2, 9.0, 0.7]
    assert word_scores(given, scores, offsets, [None, 0, 0, 0, None, 1]) == [0.3, -0.2, None, 0.7]


def test_by_hand():
    found = measure([0.9, 0.1, 0.8, 0.3], words(1, 1, 0, 0))
    # Ranked: salient, not, not, salient. Precision is 1 at the first and 1/2 at the second.
    assert found["auprc"] == pytest.approx((1 + 0.5) / 2)
    assert found["token_f1"] == found["precision_at_k"] == 0.5 and found["iou"] == pytest.approx(1 / 3)
    assert found["mean_rank"] == (1 + 4) / 2
    # Two runs of one, of which the first shares half of its union with the run of two.
    assert found["iou_f1"] == pytest.approx(2 * 1 / (2 + 1))
    perfect = measure([0.9, 0.8, 0.1, 0.3], words(1, 1, 0, 0))
    assert perfect == {
        "auprc": 1.0,
        "token_f1": 1.0,
        "iou": 1.0,
        "iou_f1": 1.0,
        "precision_at_k": 1.0,
        "mean_rank": 1.5,
    }
    # Ties are taken by position for the sets, and as one threshold for the curve.
    tied = measure([0.5] * 4, words(0, 1, 1, 0))
    assert (tied["auprc"], tied["token_f1"], tied["mean_rank"]) == (0.5, 0.5, 2.5)
    assert tied["iou"] == pytest.approx(1 / 3)


def test_a_run_ends_with_its_text():
    assert measure([0.9, 0.8, 0.1], words(1, 0, 1, texts=[0, 0, 1]))["iou_f1"] == pytest.approx(2 * 1 / 3)
    # In one text the two are one run, of which each found run has half.
    found = measure([0.9, 0.1, 0.2, 0.8], words(0, 1, 1, 0))
    assert found["iou_f1"] == 0
    assert measure([0.9, 0.8, 0.1, 0.2], words(1, 1, 1, 1, texts=[0, 0, 1, 1]))["iou_f1"] == 1


def eraser_iou_f1(found, human):
    """As the benchmark's own scorer counts: spans by start and end, right from a half of the union on."""
    spans = []
    for flags in (found, human):
        starts = [i for i, f in enumerate(flags) if f and not (i and flags[i - 1])]
        spans.append(
            [(s, next((e for e in range(s, len(flags)) if not flags[e]), len(flags))) for s in starts]
        )
    right = 0
    for start, end in spans[0]:
        best = 0.0
        for other_start, other_end in spans[1]:
            shared = max(0, min(end, other_end) - max(start, other_start))
            best = max(best, shared / (end - start + other_end - other_start - shared))
        right += best >= 0.5
    precision, recall = right / len(spans[0]), right / len(spans[1])
    return 2 * precision * recall / (precision + recall) if right else 0.0


def test_against_a_plain_version():
    numbers = numpy.random.RandomState(0)
    for _ in range(200):
        scores = numbers.permutation(12) / 12
        human = numbers.rand(12) < 0.4
        if not human.any():
            continue
        k = int(human.sum())
        top = scores >= numpy.sort(scores)[-k]
        found = measure(scores.tolist(), words(*human))
        assert found["iou_f1"] == pytest.approx(eraser_iou_f1(top, human))
        assert found["precision_at_k"] == pytest.approx((top & human).sum() / k)
        ranks = [1 + (scores > score).sum() for score in scores[human]]
        assert found["mean_rank"] == pytest.approx(numpy.mean(ranks))
