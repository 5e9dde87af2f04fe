"""Metrics on models whose answer is known."""

import itertools
import math
import random

import numpy
import pytest

from allennlp_layer_saliency.core import faithfulness as f

ALL = tuple(f.METRICS)


def bag_of_words(weights, bias=0.0):
    """log p(class) of a logistic model of the words that are left; class 1 is sigmoid(sum)."""

    def log_probabilities(taken):
        z = bias + sum(w for i, w in enumerate(weights) if i not in taken)
        return numpy.array([-math.log1p(math.exp(z)), -math.log1p(math.exp(-z))])

    return log_probabilities


def measured(ranking, model, metrics=ALL, gold=1):
    explained = int(model(frozenset()).argmax())
    predictions = {
        taken: f.Prediction(float(model(taken)[explained]), int(model(taken).argmax()))
        for taken in f.perturbations(ranking, metrics)
    }
    return f.measure(f.Outcome(ranking, predictions, gold), metrics)


def test_ranking():
    assert f.ranked([0.1, 0.5, 0.5, -2.0, 0.1, 9.0], [0, 1, 2, 3, 4]) == [1, 2, 0, 4, 3]
    assert f.ranked([0.0] * 4, [2, 3, 1]) == [1, 2, 3]


@pytest.mark.parametrize(
    "share, tokens, wanted",
    [
        (1, 1, 1),
        (1, 49, 1),
        (50, 1, 1),
        (50, 3, 2),
        (50, 5, 3),
        (10, 25, 3),
        (10, 24, 2),
        (20, 7, 1),
    ]
    + [(5, 30, 2), (100, 7, 7), (1, 150, 2), (1, 149, 1)],
)
def test_counts_are_rounded_half_up(share, tokens, wanted):
    assert f.count(share, tokens) == wanted


def test_by_hand():
    """Four words; p is .5 plus .1 for each of the words 0 to 3 that is left, in their order .4 .3 .2 .1"""
    gains = [0.2, 0.1, 0.05, 0.05]

    def model(taken):
        p = 0.5 + sum(g for i, g in enumerate(gains) if i not in taken)
        return numpy.log([1 - p, p])

    found = measured([0, 1, 2, 3], model)
    # Of 4 words, 1, 5, 10 and 20 % are one word, 50 % are two.
    assert found["comprehensiveness"] == pytest.approx((4 * 0.2 + 0.3) / 5)
    assert found["comprehensiveness@50"] == pytest.approx(0.3)
    assert found["sufficiency"] == pytest.approx((4 * 0.2 + 0.1) / 5)
    assert found["log_odds"] == pytest.approx(math.log(0.7 / 0.9))
    # 10 to 30 % are one word, 40 to 60 two, 70 and 80 three, 90 and 100 four.
    after = [0.7, 0.7, 0.7, 0.6, 0.6, 0.6, 0.55, 0.55, 0.5, 0.5]
    assert [found[f"deletion_auc@{r}"] for r in f.RATIOS] == pytest.approx(after)
    points = [0.9, *after]
    area = sum((a + b) / 2 * 0.1 for a, b in zip(points, points[1:]))
    assert found["deletion_auc"] == pytest.approx(area)
    after = [0.7, 0.7, 0.7, 0.8, 0.8, 0.8, 0.85, 0.85, 0.9, 0.9]
    points = [0.5, *after]
    area = sum((a + b) / 2 * 0.1 for a, b in zip(points, points[1:]))
    assert found["insertion_auc"] == pytest.approx(area)
    # Without all of them both classes are equally likely; then the first is predicted.
    assert measured([0, 1, 2, 3], model, gold=1)["accuracy_after_deletion"] == pytest.approx(0.8)
    assert measured([0, 1, 2, 3], model, gold=0)["accuracy_after_deletion"] == pytest.approx(0.2)


def plain(scores, model, gold):
    """method.md once more: masks as lists, loops, no sharing of code."""
    n = len(scores)
    order = sorted(range(n), key=lambda i: (-scores[i], i))

    def p(keep, c):
        return math.exp(model({i for i in range(n) if not keep[i]})[c])

    c = max((0, 1), key=lambda c: p([True] * n, c))

    def top(percent):
        k = max(1, math.floor(percent / 100 * n + 0.5 + 1e-9))
        return [i in order[:k] for i in range(n)]

    def without(percent):
        return [not t for t in top(percent)]

    base = p([True] * n, c)
    comprehensiveness = [base - p(without(k), c) for k in (1, 5, 10, 20, 50)]
    sufficiency = [base - p(top(k), c) for k in (1, 5, 10, 20, 50)]
    deletion = [base] + [p(without(k), c) for k in range(10, 101, 10)]
    insertion = [p([False] * n, c)] + [p(top(k), c) for k in range(10, 101, 10)]
    right = [p(without(k), gold) > 0.5 for k in range(10, 101, 10)]
    return {
        "comprehensiveness": sum(comprehensiveness) / 5,
        "sufficiency": sum(sufficiency) / 5,
        "log_odds": math.log(p(without(20), c) / base),
        "deletion_auc": float(numpy.mean((numpy.array(deletion)[1:] + deletion[:-1]) / 2)),
        "insertion_auc": float(numpy.mean((numpy.array(insertion)[1:] + insertion[:-1]) / 2)),
        "accuracy_after_deletion": sum(right) / 10,
    }


@pytest.mark.parametrize("n", [1, 2, 3, 7, 10, 23, 40])
def test_against_a_plain_version(n):
    numbers = random.Random(n)
    for _ in range(5):
        model = bag_of_words([numbers.gauss(0, 1) for _ in range(n)], 0.1)
        scores = [numbers.choice([-1, 0, 0.5, numbers.random()]) for _ in range(n)]
        gold = numbers.choice([0, 1])
        found = measured(f.ranked(scores, range(n)), model, gold=gold)
        for metric, value in plain(scores, model, gold).items():
            assert found[metric] == pytest.approx(value, abs=1e-9), metric


def test_a_perfect_ranking_is_best_and_its_reverse_worst():
    """Of all rankings of six words of a linear model."""
    weights = [0.3, -1.0, 2.0, 0.9, -0.2, 0.6]
    model = bag_of_words(weights)
    perfect = f.ranked(weights, range(6))
    at_best, at_worst = measured(perfect, model), measured(perfect[::-1], model)
    everything = [measured(list(order), model) for order in itertools.permutations(range(6))]
    for metric in ALL:
        better = min if f.METRICS[metric].lower_is_better else max
        worse = max if f.METRICS[metric].lower_is_better else min
        values = [found[metric] for found in everything]
        assert at_best[metric] == pytest.approx(better(values)), metric
        assert at_worst[metric] == pytest.approx(worse(values)), metric
        assert min(values) < sum(values) / len(values) < max(values)


def test_one_token():
    model = bag_of_words([2.0])
    found = measured([0], model)
    p, p_without = 1 / (1 + math.exp(-2.0)), 0.5
    assert found["comprehensiveness"] == pytest.approx(p - p_without)
    assert found["sufficiency"] == 0.0
    assert found["deletion_auc"] == pytest.approx(0.05 * p + 0.95 * p_without)


def test_a_probability_of_one_gives_finite_numbers():
    found = measured([0, 1, 2], bag_of_words([400.0, 1.0, 2.0], -1.0))
    assert all(math.isfinite(value) for value in found.values())
    assert found["comprehensiveness@50"] == pytest.approx(1 / (1 + math.e))


def test_mistakes():
    with pytest.raises(ValueError, match="needs gold labels"):
        measured([0], bag_of_words([1.0]), gold=None)
    with pytest.raises(KeyError):
        list(f.perturbations([0], ["aopc"]))
