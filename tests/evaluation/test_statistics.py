import itertools

import numpy
import pytest

from allennlp_layer_saliency.evaluation import statistics


def test_holm_by_hand():
    # In order .01 x 4, .02 x 3, .03 x 2, .04 x 1, never falling.
    assert statistics.holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert statistics.holm([0.5, 0.9]) == [1.0, 1.0]
    assert statistics.holm([]) == []


def test_permutation_test_against_all_sign_flips():
    numbers = numpy.random.default_rng(0)
    a, b = numbers.normal(0.5, 1, 9), numbers.normal(0, 1, 9)
    found = statistics.paired(a, b, seed=0)
    differences = a - b
    flipped = [abs(numpy.mean(differences * signs)) for signs in itertools.product((1, -1), repeat=9)]
    exact = numpy.mean([value >= abs(differences.mean()) - 1e-12 for value in flipped])
    assert found["p"] == pytest.approx(exact)
    assert found["difference"] == pytest.approx(differences.mean())
    assert found["effect_size"] == pytest.approx(differences.mean() / differences.std(ddof=1))
    assert found["low"] < found["difference"] < found["high"] and found["n"] == 9


def test_many_pairs_are_permuted_at_random_but_seeded():
    numbers = numpy.random.default_rng(1)
    a, b = numbers.normal(0.15, 1, 200), numpy.zeros(200)
    first = statistics.paired(a, b, seed=3)
    assert first == statistics.paired(a, b, seed=3)
    # Near the p of a t-test.
    from scipy import stats

    assert first["p"] == pytest.approx(stats.ttest_rel(a, b).pvalue, abs=0.02)


def test_degenerate_pairs():
    same = statistics.paired([1.0, 2.0], [1.0, 2.0], seed=0)
    assert same["p"] == 1.0 and same["difference"] == same["effect_size"] == 0.0
    assert statistics.paired([2.0, 3.0], [1.0, 2.0], seed=0)["effect_size"] is None
    alone = statistics.paired([2.0], [1.0], seed=0)
    assert alone["low"] is None and alone["p"] == 1.0


def test_intervals_cover():
    """Of 200 samples from a normal distribution some 95 % have its mean in their interval."""
    numbers = numpy.random.default_rng(2)
    covered = 0
    for _ in range(200):
        found = statistics.mean(numbers.normal(0, 1, 60), seed=0)
        covered += found["low"] <= 0 <= found["high"]
    assert 180 <= covered <= 198
    assert statistics.mean([3.0], seed=0) == {"mean": 3.0, "low": None, "high": None, "n": 1}
