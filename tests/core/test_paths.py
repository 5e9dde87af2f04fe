import dataclasses
import math

import numpy
import pytest
import torch

from allennlp_layer_saliency.core import aggregation
from allennlp_layer_saliency.core.paths import (
    EVENLY,
    PROBES,
    Baseline,
    _where_it_changes,
    expect_rule,
    integrated_gradients,
    quadrature,
    smooth_gradient,
)
from tests.core.states import layer_state, noted


def state(hidden, power=2, copies=3, ids=None, mask=None, calls=None):
    """A layer below y = sum of h to a power and, as a second target, its negative."""
    hidden = torch.tensor(hidden)
    mask = torch.ones(hidden.shape[:2], dtype=torch.bool) if mask is None else mask

    def resume(states, gradients):
        if calls is not None:
            calls.append((len(states) // len(hidden), gradients))
        y = (states**power).sum((1, 2))
        d = power * states ** (power - 1)
        return _of_two(y, d, gradients)

    return layer_state(hidden, mask, resume, copies, ids)


H = [[[1.0, 2.0], [3.0, -1.0]], [[0.5, 0.0], [2.0, 2.0]]]
B = torch.tensor([[[1.0, 1.0], [0.0, 1.0]], [[0.0, 0.0], [1.0, 0.0]]])


@pytest.mark.parametrize("rule", ["midpoint", "gauss-legendre"])
@pytest.mark.parametrize("steps", [1, 2, 7])
def test_a_gradient_that_is_linear_on_the_path_is_integrated_exactly(rule, steps):
    # s = h^2 - b^2, summed over hidden units.
    first, second = integrated_gradients(state(H), Baseline(B), steps, rule)
    wanted = [[3.0, 9.0], [0.25, 7.0]]
    assert first.weights.tolist() == [pytest.approx(row, rel=1e-5) for row in wanted]
    assert second.weights.tolist() == [pytest.approx([-value for value in row], rel=1e-5) for row in wanted]
    assert first.completeness_gap.tolist() == pytest.approx([0.0, 0.0], abs=1e-5)


def test_the_gap_is_what_the_rule_misses():
    # y = h^4 from 0 to 1: one midpoint step gives 4 * 0.5^3 = 0.5 of 1; two Gauss-Legendre steps all.
    at = state([[[1.0]]], power=4)
    zero = torch.zeros(1, 1, 1)
    midpoint, _ = integrated_gradients(at, Baseline(zero), 1, "midpoint")
    assert midpoint.weights.item() == pytest.approx(0.5)
    assert midpoint.completeness_gap.item() == pytest.approx(0.5)
    exact, _ = integrated_gradients(at, Baseline(zero), 2, "gauss-legendre")
    assert exact.weights.item() == pytest.approx(1.0)
    assert exact.completeness_gap.item() == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("copies", [1, 3, 5, 100])
def test_steps_go_through_in_batches(copies):
    calls = []
    at = state(H, power=4, copies=copies, calls=calls)
    first, _ = integrated_gradients(at, Baseline(B), 5, "midpoint")
    alone, _ = integrated_gradients(state(H, power=4, copies=1), Baseline(B), 5, "midpoint")
    assert torch.allclose(first.weights, alone.weights)
    baseline, *steps = calls[1:]  # the first call is the fixture's own
    assert sum(n for n, _ in steps) == 5 and max(n for n, _ in steps) <= copies
    assert len(steps) == math.ceil(5 / copies) and baseline == (1, False)


def test_padding_stays_where_it_is():
    mask = torch.tensor([[True, False], [True, True]])
    hidden = torch.tensor(H) * mask.unsqueeze(-1)
    first, _ = integrated_gradients(state(hidden.tolist(), mask=mask), Baseline(B), 3)
    assert first.weights[0].tolist() == [pytest.approx(3.0), 0.0]
    # Whatever the baseline has there.
    assert first.completeness_gap.tolist() == pytest.approx([0.0, 0.0], abs=1e-5)
    first, _ = smooth_gradient(state(hidden.tolist(), mask=mask), aggregation.gradient_x_input, 3, 0.5, 0)
    assert first.weights[0, 1] == 0


def _of_two(y, d, gradients):
    """The second target's score is the first's, negated."""
    if isinstance(gradients, bool):
        return torch.stack([y, -y]), [d, -d] if gradients else []
    sign = torch.tensor([(1.0, -1.0)[target] for target in gradients]).repeat_interleave(
        len(y) // len(gradients)
    )
    return (sign * y).unsqueeze(0), [sign.reshape(-1, 1, 1) * d]


def _points_and_shares(scores, steps, rule):
    """The same with an interpolation."""
    changes = numpy.abs(numpy.diff(scores))
    changes = (1 - EVENLY[rule]) * changes + EVENLY[rule] * changes.mean()
    cumulative = numpy.concatenate([[0], changes.cumsum()]) / changes.sum()
    ends = numpy.interp(numpy.linspace(0, 1, 2 * steps + 1), cumulative, numpy.linspace(0, 1, PROBES + 1))
    return ends[1::2], numpy.diff(ends[::2]) if rule == "adaptive" else [1 / steps] * steps


@pytest.mark.parametrize("rule", ["adaptive", "decision"])
@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize("copies", [1, 3, 100])
@pytest.mark.parametrize("steps", [1, 2, 5])
def test_points_lie_where_the_score_changes(steps, copies, known, rule):
    # y = the sum of (b + a (h - b))^4.
    difference = torch.tensor(H) - B
    baseline = Baseline(B, torch.stack([(B**4).sum((1, 2)), -(B**4).sum((1, 2))]) if known else None)
    found, negated = integrated_gradients(state(H, power=4, copies=copies), baseline, steps, rule)
    for i in range(2):
        h, b = torch.tensor(H)[i].numpy(), B[i].numpy()
        path = [((b + a / PROBES * (h - b)) ** 4).sum() for a in range(PROBES + 1)]
        at = zip(*_points_and_shares(path, steps, rule))
        mean = sum(share * 4 * (b + a * (h - b)) ** 3 for a, share in at)
        assert found.weights[i].tolist() == pytest.approx((difference[i].numpy() * mean).sum(1), rel=1e-4)
    assert torch.allclose(negated.weights, -found.weights)
    if rule == "decision":
        # What is not an integral leaves no gap to one.
        assert found.completeness_gap is None and negated.completeness_gap is None
        return
    gap = (torch.tensor(H) ** 4 - B**4).sum((1, 2)) - found.weights.sum(1)
    assert torch.allclose(found.completeness_gap, gap, atol=1e-4)
    assert torch.allclose(negated.completeness_gap, -gap, atol=1e-4)


def test_adaptive_points_by_hand():
    # Of 1, 4, 3, 0, 0 and their mean 1.6, half: 1.3, 2.8, 2.3, .8, .8, of which half, 4, is reached in the
    # second part, at (4 - 1.3) / 2.8 of it.
    probed = torch.tensor([0.0, 1.0, 5.0, 2.0, 2.0, 2.0]).reshape(6, 1, 1)
    points, lengths = _where_it_changes(probed, 1, 0.5)
    assert points.item() == pytest.approx((1 + 2.7 / 2.8) / 5) and lengths.item() == pytest.approx(1.0)


def test_adaptive_points_are_midpoints_where_the_score_changes_evenly_or_not_at_all():
    even = torch.linspace(0, 3, PROBES + 1).reshape(-1, 1, 1)
    for probed in (even, -even, torch.zeros_like(even), torch.full_like(even, 7.0)):
        points, lengths = _where_it_changes(probed, 3, 0.5)
        assert points.flatten().tolist() == pytest.approx([1 / 6, 1 / 2, 5 / 6])
        assert lengths.flatten().tolist() == pytest.approx([1 / 3] * 3)


def test_by_decision_each_part_counts_by_how_much_the_score_changes():
    # y = a^2 changes from 0 to 1 by (2 j + 1) / 25 in part j of 5, where its mean gradient is (2 j + 1) / 5.
    even = EVENLY["decision"]
    parts = [(2 * j + 1) / 5 for j in range(5)]
    wanted = sum(((1 - even) * part / 5 + even / 5) * part for part in parts)
    at = state([[[1.0]]], power=2)
    found = integrated_gradients(at, Baseline(torch.zeros(1, 1, 1)), 1000, "decision")[0]
    assert found.weights.item() == pytest.approx(wanted, rel=1e-4) and wanted > 1.2


def test_scores_on_the_way_must_be_finite():
    messages = []

    def resume(states, gradients):
        y = torch.where(states.sum((1, 2)) == 0, 0.0, float("nan"))
        return _of_two(y, torch.zeros_like(states), gradients)

    at = dataclasses.replace(state([[[1.0]]]), resume=resume, expect_finite=noted(messages))
    integrated_gradients(at, Baseline(torch.zeros(1, 1, 1)), 2, "midpoint")
    assert not messages
    integrated_gradients(at, Baseline(torch.zeros(1, 1, 1)), 2, "adaptive")
    assert messages == ["the model gives NaN or infinite scores on the way from the baseline to this input"]


def test_an_adaptive_point_finds_a_step_that_a_midpoint_misses():
    def resume(states, gradients):
        y = torch.sigmoid(40 * (states.sum((1, 2)) - 0.45))
        d = (40 * y * (1 - y)).reshape(-1, 1, 1).expand_as(states)
        return _of_two(y, d, gradients)

    hidden = [[[0.5], [1.0]]]
    one = dataclasses.replace(state(hidden), resume=resume, scores=torch.tensor([[1.0], [-1.0]]))
    baseline = Baseline(torch.zeros(1, 2, 1))
    weights = {
        rule: integrated_gradients(one, baseline, 1, rule)[0].weights.sum().item()
        for rule in ("midpoint", "adaptive")
    }
    assert weights["midpoint"] < 0.001 and weights["adaptive"] > 0.5


@pytest.mark.parametrize("rule", ["adaptive", "decision"])
def test_points_depend_on_the_instance_and_the_target_only(rule):
    mask = torch.tensor([[True, False], [True, True]])

    def weights(hidden, mask=None, baseline=B, targets=(1, 3)):
        """Positions that interact: y = (the sum of all) to a power, of each target its own."""

        def resume(states, gradients):
            total, size = states.sum((1, 2)), len(hidden)
            powers = torch.tensor([float(power) for power in targets])
            if not isinstance(gradients, bool):
                powers = powers[list(gradients)].repeat_interleave(size).unsqueeze(0)
            else:
                powers = powers.unsqueeze(1).expand(-1, len(states))
            d = powers * total ** (powers - 1)
            gradient = (
                [row.reshape(-1, 1, 1).expand_as(states) for row in d] if gradients is not False else []
            )
            return total**powers, gradient

        at = dataclasses.replace(state(hidden, mask=mask), resume=resume)
        at = dataclasses.replace(at, scores=resume(at.hidden_states, False)[0])
        return [found.weights for found in integrated_gradients(at, Baseline(baseline), 3, rule)]

    both = weights(H)
    for target, power in enumerate((1, 3)):
        assert torch.allclose(weights(H, targets=[power])[0], both[target])
        assert torch.allclose(weights(H[:1], baseline=B[:1])[target], both[target][:1])
        assert torch.allclose(weights(H[::-1], baseline=B.flip(0))[target], both[target].flip(0))
    hidden = (torch.tensor(H) * mask.unsqueeze(-1)).tolist()
    padded = weights(hidden, mask=mask, baseline=B * mask.unsqueeze(-1))[1]
    alone = weights([hidden[0][:1]], baseline=B[:1, :1])[1]
    assert padded[0].tolist() == pytest.approx([alone[0, 0].item(), 0.0])
    assert torch.allclose(padded[1], both[1][1])


def test_rules():
    assert quadrature(2, "midpoint") == [(0.25, 0.5), (0.75, 0.5)]
    points, weights = zip(*quadrature(2, "gauss-legendre"))
    half = 1 / (2 * math.sqrt(3))
    assert points == pytest.approx([0.5 - half, 0.5 + half]) and weights == pytest.approx([0.5] * 2)
    with pytest.raises(ValueError, match="steps must be at least 1; got 0"):
        expect_rule(0, "midpoint")
    with pytest.raises(
        ValueError, match="rule must be one of gauss-legendre, midpoint, adaptive, decision; got 'simpson'"
    ):
        expect_rule(1, "simpson")


def test_without_noise_it_is_g_itself():
    first, second = smooth_gradient(state(H), aggregation.gradient_x_input, 4, 0.0, 0)
    # h * 2h, summed over hidden units.
    assert first.weights.tolist() == [[10.0, 20.0], [0.5, 16.0]]
    assert torch.equal(second.weights, -first.weights)
    assert first.completeness_gap is None


def test_noise_has_the_size_that_is_asked_for():
    # E[(h + e) 2 (h + e)] = 2 h^2 + 2 var(e), for each of the hidden units.
    hidden = [[[2.0] * 50, [-2.0] * 50]]
    first, _ = smooth_gradient(state(hidden), aggregation.gradient_x_input, 400, 0.5, 0)
    # rms(h) = 2, so that var(e) = 1: 50 (2 * 4 + 2) = 500.
    assert first.weights.tolist()[0] == pytest.approx([500.0, 500.0], rel=0.02)


def test_noise_depends_on_the_seed_and_the_instance_only():
    def weights(hidden, ids, copies=3, seed=0):
        at = state(hidden, ids=torch.tensor(ids), copies=copies)
        return smooth_gradient(at, aggregation.gradient_x_input, 5, 0.3, seed)[0].weights

    both = weights(H, [[5, 6], [7, 8]])
    assert torch.allclose(weights(H[:1], [[5, 6]]), both[:1])
    assert torch.allclose(weights(H[::-1], [[7, 8], [5, 6]]), both.flip(0))
    assert torch.allclose(weights(H, [[5, 6], [7, 8]], copies=1), both)
    assert not torch.allclose(weights(H[:1], [[5, 9]]), both[:1])
    assert not torch.allclose(weights(H[:1], [[5, 6]], seed=1), both[:1])


def test_random_numbers_of_others_are_left_alone():
    before = torch.get_rng_state()
    smooth_gradient(state(H), aggregation.gradient_x_input, 2, 0.3, 0)
    assert torch.equal(torch.get_rng_state(), before)


def test_every_sample_is_aggregated_alone():
    """grad-cam of each noisy state, then their mean; here by hand from a single sample each."""
    calls = []

    def g(hidden_states, gradients, mask):
        calls.append(len(hidden_states))
        return aggregation.grad_cam(hidden_states, gradients, mask)

    first, _ = smooth_gradient(state(H, copies=2), g, 3, 0.3, 0)
    assert calls == [4, 4, 2, 2]  # two copies of two instances for each of two targets, then one
    assert first.weights.min() >= 0
