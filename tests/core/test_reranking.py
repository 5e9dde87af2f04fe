import dataclasses
import itertools

import pytest
import torch

from allennlp_layer_saliency.core.paths import Baseline, LayerState, Weights
from allennlp_layer_saliency.core.reranking import reranked

# y of a text is a function of which positions are there: each has a worth, and each pair of them.
WORTH = torch.tensor([[3.0, 1.0, 2.0, 0.5, 4.0], [1.0, 5.0, 2.0, 0.0, 0.0]])
PAIRS = torch.tensor([[0, 0, 6.0, 0, 0], [0, 0, 0, 3.0, 0], [0, 0, 0, 0, -7.0], [0] * 5, [0] * 5])
MASK = torch.tensor([[True] * 5, [True, True, True, False, False]])
BASELINE = Baseline(torch.zeros(2, 5, 1))


def value(states, worth):
    there = states.squeeze(-1)
    return (there * worth).sum(1) + torch.einsum("bi,ij,bj->b", there, PAIRS, there)


def state(copies=4, rows=(0, 1), sizes=None):
    rows = list(rows)
    hidden = MASK[rows].float().unsqueeze(-1)

    def resume(states, gradients):
        assert not gradients
        if sizes is not None:
            sizes.append(len(states) // len(rows))
        y = value(states, WORTH[rows].repeat(len(states) // len(rows), 1))
        return torch.stack([y, -y]), []

    return LayerState(
        hidden_states=hidden,
        token_ids=torch.arange(5).expand(len(rows), 5),
        mask=MASK[rows],
        scores=resume(hidden, False)[0],
        gradients=[],
        resume=resume,
        expect_finite=lambda values, message: None,
        masked=lambda: BASELINE,
        copies=copies,
    )


FIRST = torch.tensor([[5.0, 4.0, 3.0, 2.0, 1.0], [3.0, 2.0, 1.0, 0.0, 0.0]])
FOUND = [Weights(FIRST, torch.tensor([0.5, 0.25])), Weights(-FIRST)]


def plainly(row, weights, sign, ranks, window, fixed=()):
    """The same for one text, set by set."""

    def y(present):
        there = torch.tensor([[[float(i in present)] for i in range(5)]])
        return sign * float(value(there, WORTH[[row]]))

    everything = {i for i in range(5) if MASK[row, i]}
    free = sorted(everything - set(fixed), key=lambda i: -weights[i])
    in_order = [weights[i] for i in free]
    done = []
    for _ in range(min(ranks, len(free))):
        tried = free[:window]
        best = max(tried, key=lambda i: y({*done, i, *fixed}) - y(everything - {*done, i}))
        done.append(best)
        free.remove(best)
    new = list(weights)
    for position, weight in zip(done + free, in_order):
        new[position] = weight
    return new


def test_by_hand():
    # Rank 1, of 0 and 1: y({0}) - y(all but 0) = 3 - (1+2+.5+4+3-7) = -.5; of 1: 1 - (3+2+.5+4+6-7) = -7.5.
    # Rank 2, of 1 and 2: y({0,1}) - y({2,3,4}) = 4 - (-.5); y({0,2}) - y({1,3,4}) = 11 - 8.5 = 2.5.
    found = reranked(state(rows=[0]), Baseline(torch.zeros(1, 5, 1)), [Weights(FIRST[:1])], 2, 2)
    assert found[0].weights.tolist() == [[5.0, 4.0, 3.0, 2.0, 1.0]]
    # Rank 1, of 0, 1 and 2: 2 - (3+1+.5+4+3) = -9.5. Rank 2, of 1, 2 and 3, again 1: y({0,3}) = 3.5 less
    # y({1,2,4}) = 0. Rank 3, of 2, 3 and 4: y({0,1,2}) = 12 less 4.5; y({0,1,3}) = 7.5 less y({2,4}) = -1;
    # y({0,1,4}) = 8 less y({2,3}) = 2.5.
    found = reranked(state(rows=[0]), Baseline(torch.zeros(1, 5, 1)), [Weights(FIRST[:1])], 3, 3)
    assert found[0].weights.tolist() == [[5.0, 4.0, 2.0, 3.0, 1.0]]


@pytest.mark.parametrize("ranks, window", itertools.product([1, 2, 3, 9], [2, 3, 9]))
def test_as_set_by_set(ranks, window):
    found = reranked(state(), BASELINE, FOUND, ranks, window)
    for weights, before, sign in zip(found, FOUND, (1, -1)):
        for row in range(2):
            wanted = plainly(row, before.weights[row].tolist(), sign, ranks, window)
            assert weights.weights[row].tolist() == wanted


def test_what_is_at_the_baseline_keeps_its_weight():
    baseline = Baseline(torch.tensor([[[1.0], [0.0], [0.0], [0.0], [0.0]]] * 2))
    (found,) = reranked(state(), baseline, FOUND[:1], 4, 5)
    for row in range(2):
        assert found.weights[row].tolist() == plainly(row, FIRST[row].tolist(), 1, 4, 5, fixed=[0])


def test_the_gap_and_the_sum_stay():
    first, second = reranked(state(), BASELINE, FOUND, 4, 3)
    assert first.completeness_gap is FOUND[0].completeness_gap and second.completeness_gap is None
    assert first.weights.sort(1).values.tolist() == FIRST.sort(1).values.tolist()


def test_no_ranks_no_passes():
    sizes = []
    at = state(sizes=sizes)
    del sizes[:]
    assert [w.weights.tolist() for w in reranked(at, BASELINE, FOUND, 0, 3)] == [
        w.weights.tolist() for w in FOUND
    ]
    assert not sizes


def test_a_rank_without_a_choice_is_not_asked_for():
    sizes = []
    at = state(sizes=sizes, copies=100)
    del sizes[:]
    reranked(at, BASELINE, FOUND[:1], 9, 3)
    assert sizes == [6, 6, 6, 4]


def test_the_batch_and_the_copies_that_fit_change_nothing():
    together = reranked(state(copies=1), BASELINE, FOUND[:1], 4, 3)[0].weights
    swapped = reranked(state(rows=[1, 0]), BASELINE, [Weights(FIRST[[1, 0]])], 4, 3)[0].weights
    assert together.tolist() == swapped[[1, 0]].tolist()
    for row in range(2):
        at = dataclasses.replace(state(rows=[row]), copies=3)
        alone = reranked(at, Baseline(torch.zeros(1, 5, 1)), [Weights(FIRST[[row]])], 4, 3)[0].weights
        assert alone.tolist() == together[[row]].tolist()


def test_equal_ones_stay_in_order():
    at = dataclasses.replace(state(), resume=lambda states, gradients: (torch.zeros(2, len(states)), []))
    assert reranked(at, BASELINE, FOUND[:1], 4, 3)[0].weights.tolist() == FIRST.tolist()


@pytest.mark.parametrize("more, wanted", [(1e-5, [5.0, 4.0, 3.0]), (1e-3, [4.0, 5.0, 3.0])])
def test_nearly_equal_ones_stay_in_order(more, wanted):
    # The gains are 1 - (1 + more - 3) = 3 - more and 1 + more - (1 - 3) = 3 + more.
    worth = torch.tensor([1.0, 1.0 + more, -3.0])
    at = dataclasses.replace(
        state(rows=[0]),
        hidden_states=torch.ones(1, 3, 1),
        mask=torch.ones(1, 3, dtype=torch.bool),
        resume=lambda states, gradients: ((states.squeeze(-1) * worth).sum(1).unsqueeze(0), []),
    )
    found = reranked(at, Baseline(torch.zeros(1, 3, 1)), [Weights(torch.tensor([[5.0, 4.0, 3.0]]))], 1, 2)
    assert found[0].weights.tolist() == [wanted]
