import dataclasses

import pytest
import torch

from allennlp_layer_saliency.core.marginals import with_marginals
from allennlp_layer_saliency.core.paths import Baseline, Weights
from tests.core.states import layer_state, noted

# y of a text is a function of which positions are there: each has a worth, and each pair of them.
WORTH = torch.tensor([[3.0, 1.0, 2.0, 0.5, 4.0], [1.0, 5.0, 2.0, 0.0, 0.0]])
PAIRS = torch.tensor([[0, 0, 6.0, 0, 0], [0, 0, 0, 3.0, 0], [0, 0, 0, 0, -7.0], [0] * 5, [0] * 5])
MASK = torch.tensor([[True] * 5, [True, True, True, False, False]])


def value(states, worth):
    there = states.squeeze(-1)
    return (there * worth).sum(1) + torch.einsum("bi,ij,bj->b", there, PAIRS, there)


def state(copies=4, rows=(0, 1), sizes=None):
    """As a second target, the negative."""
    rows = list(rows)
    hidden = MASK[rows].float().unsqueeze(-1)

    def resume(states, gradients):
        assert not gradients
        if sizes is not None:
            sizes.append(len(states) // len(rows))
        y = value(states, WORTH[rows].repeat(len(states) // len(rows), 1))
        return torch.stack([y, -y]), []

    return layer_state(hidden, MASK[rows], resume, copies)


def baseline(rows=2):
    return Baseline(torch.zeros(rows, 5, 1))


FIRST = torch.tensor([[5.0, 4.0, 3.0, 2.0, 1.0], [3.0, 2.0, 1.0, 0.0, 0.0]])
FOUND = [Weights(each, torch.tensor([0.5, 0.25])) for each in (FIRST, -FIRST)]


def plainly(row, weights, sign, count, fixed=()):
    """The same for one text, set by set."""

    def y(present):
        there = torch.tensor([[[float(i in present or i in fixed)] for i in range(5)]])
        return sign * float(value(there, WORTH[[row]]))

    everything = {i for i in range(5) if MASK[row, i]}
    largest = sorted(everything - set(fixed), key=lambda i: -weights[i])[:count]
    found = list(weights)
    for i in largest:
        first, last = y({i}) - y(set()), y(everything) - y(everything - {i})
        found[i] = (first + weights[i] + last) / 3
    return found, y(everything) - y(set()) - sum(found)


def test_by_hand():
    # Position 0 is worth 3, and 6 more beside position 2; position 1 worth 1, and 3 more beside position 3.
    first, _ = with_marginals(state(), baseline(), FOUND, 2)
    assert first.weights[0].tolist() == pytest.approx([(3 + 5 + 9) / 3, (1 + 4 + 4) / 3, 3.0, 2.0, 1.0])
    # y of all is 10.5 + 2, and of none 0.
    assert first.completeness_gap[0].item() == pytest.approx(12.5 - 17 / 3 - 3 - 6)


@pytest.mark.parametrize("count", [1, 3, 9])
@pytest.mark.parametrize("copies", [1, 4, 100])
def test_as_plainly(count, copies):
    found = with_marginals(state(copies), baseline(), FOUND, count)
    for target, sign in enumerate((1, -1)):
        for row in range(2):
            weights, gap = plainly(row, FOUND[target].weights[row].tolist(), sign, count)
            assert found[target].weights[row].tolist() == pytest.approx(weights)
            assert found[target].completeness_gap[row].item() == pytest.approx(gap, rel=1e-4)


def test_what_stays_at_the_baseline_keeps_its_weight():
    # Of the first text position 0 is there either way, and of the second position 1.
    states = torch.zeros(2, 5, 1)
    states[0, 0] = states[1, 1] = 1.0
    first, _ = with_marginals(state(), Baseline(states), FOUND, 4)
    for row, fixed in enumerate((0, 1)):
        weights, gap = plainly(row, FIRST[row].tolist(), 1, 4, {fixed})
        assert first.weights[row].tolist() == pytest.approx(weights)
        assert first.completeness_gap[row].item() == pytest.approx(gap, rel=1e-4)
        assert first.weights[row, fixed] == FIRST[row, fixed]


def test_two_forward_passes_for_each_and_one_for_the_baseline_where_it_is_not_known():
    sizes = []
    at = state(copies=100, sizes=sizes)
    del sizes[:]
    with_marginals(at, baseline(), FOUND[:1], 3)
    assert sizes == [1, 6]
    del sizes[:]
    with_marginals(at, Baseline(torch.zeros(2, 5, 1), torch.zeros(2, 2)), FOUND[:1], 3)
    assert sizes == [6]
    at = state(copies=4, sizes=sizes)
    del sizes[:]
    with_marginals(at, baseline(), FOUND[:1], 3)
    assert sizes == [1, 4, 2]


def test_batched_equals_single():
    both, _ = with_marginals(state(), baseline(), FOUND, 3)
    for row in range(2):
        own = [Weights(found.weights[[row]]) for found in FOUND]
        single, _ = with_marginals(state(rows=[row]), baseline(1), own, 3)
        assert torch.equal(single.weights[0], both.weights[row])


def test_where_all_contributions_are_the_same_nothing_changes():
    at = state()
    own = WORTH * MASK
    at = dataclasses.replace(
        at, scores=own.sum(1).unsqueeze(0), resume=lambda states, _: (_additive(states).unsqueeze(0), [])
    )
    (found,) = with_marginals(at, baseline(), [Weights(own, torch.ones(2))], 5)
    assert torch.allclose(found.weights, own)
    assert torch.allclose(found.completeness_gap, torch.zeros(2), atol=1e-6)
    # Of what was never to add up no gap is told.
    assert with_marginals(at, baseline(), [Weights(own)], 5)[0].completeness_gap is None


def _additive(states):
    return (states.squeeze(-1) * WORTH.repeat(len(states) // 2, 1)).sum(1)


def test_scores_must_be_finite():
    messages = []
    at = state()
    lost = torch.full((2, 2), float("nan"))
    at = dataclasses.replace(
        at, expect_finite=noted(messages), resume=lambda states, _: (lost.repeat(1, len(states) // 2), [])
    )
    with_marginals(at, Baseline(torch.zeros(2, 5, 1), torch.zeros(2, 2)), FOUND[:1], 1)
    assert messages == ["the model gives NaN or infinite scores for a part of this input"]


def test_none_asked_for_nothing_done():
    assert with_marginals(state(), baseline(), FOUND, 0) is FOUND
