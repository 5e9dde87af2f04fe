import dataclasses
import math

import pytest
import torch

from allennlp_layer_saliency.core import aggregation
from allennlp_layer_saliency.core.paths import (
    Baseline,
    LayerState,
    integrated_gradients,
    quadrature,
    smooth_gradient,
)


def state(hidden, power=2, copies=3, ids=None, mask=None, calls=None):
    """A layer below y = sum of h to a power and, as a second target, its negative."""
    hidden = torch.tensor(hidden)
    mask = torch.ones(hidden.shape[:2], dtype=torch.bool) if mask is None else mask
    ids = torch.arange(mask.numel()).reshape(mask.shape) if ids is None else ids

    def resume(states, gradients):
        if calls is not None:
            calls.append((len(states) // len(hidden), gradients))
        y = (states**power).sum((1, 2))
        d = power * states ** (power - 1)
        return torch.stack([y, -y]), [d, -d] if gradients else []

    return LayerState(
        hidden_states=hidden,
        token_ids=ids,
        mask=mask,
        scores=resume(hidden, False)[0],
        gradients=[],
        resume=resume,
        expect_finite=lambda values, message: None,
        masked=lambda: Baseline(torch.zeros_like(hidden)),
        copies=copies,
    )


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
    *steps, baseline = calls[1:]  # the first call is the fixture's own
    assert sum(n for n, _ in steps) == 5 and max(n for n, _ in steps) <= copies
    assert len(steps) == math.ceil(5 / copies) and baseline == (1, False)


def test_padding_stays_where_it_is():
    mask = torch.tensor([[True, False], [True, True]])
    hidden = torch.tensor(H) * mask.unsqueeze(-1)
    first, _ = integrated_gradients(state(hidden.tolist(), mask=mask), Baseline(B), 3)
    assert first.weights[0].tolist() == [pytest.approx(3.0), 0.0]
    first, _ = smooth_gradient(state(hidden.tolist(), mask=mask), aggregation.gradient_x_input, 3, 0.5, 0)
    assert first.weights[0, 1] == 0


def test_a_latin_hypercube_takes_each_position_to_each_midpoint_once():
    # Where positions do not interact, that is the midpoint rule.
    latin, _ = integrated_gradients(state(H, power=4, copies=2), Baseline(B), 5, "latin-hypercube")
    midpoint, _ = integrated_gradients(state(H, power=4), Baseline(B), 5, "midpoint")
    assert torch.allclose(latin.weights, midpoint.weights)
    assert torch.allclose(latin.completeness_gap, midpoint.completeness_gap, atol=1e-4)


def test_in_a_latin_hypercube_neighbours_are_at_points_of_their_own():
    seen = []

    def resume(states, gradients):
        seen.extend(states[..., 0])
        return torch.zeros(1, len(states)), [torch.ones_like(states)] if gradients else []

    at = dataclasses.replace(
        state([[[1.0]] * 6]), scores=torch.zeros(1, 1), resume=resume, token_ids=torch.arange(6).unsqueeze(0)
    )
    integrated_gradients(at, Baseline(torch.zeros(1, 6, 1)), 4, "latin-hypercube")
    points = torch.stack(seen[:4])
    assert torch.equal(points.sort(0).values, torch.tensor([0.125, 0.375, 0.625, 0.875]).repeat(6, 1).T)
    assert len({tuple(order) for order in points.T.tolist()}) > 2


def test_a_latin_hypercube_depends_on_the_seed_and_the_instance_only():
    mask = torch.tensor([[True, False], [True, True]])

    def weights(hidden, ids, mask=None, baseline=B, seed=0):
        at = state(hidden, ids=torch.tensor(ids), mask=mask)
        # Positions that interact: y = (the sum of all)^3.
        at = dataclasses.replace(at, resume=lambda states, gradients: _cubed(states, gradients))
        return integrated_gradients(at, Baseline(baseline), 3, "latin-hypercube", seed)[0].weights

    both = weights(H, [[5, 6], [7, 8]])
    assert torch.allclose(weights(H[:1], [[5, 6]], baseline=B[:1]), both[:1])
    assert torch.allclose(weights(H[::-1], [[7, 8], [5, 6]], baseline=B.flip(0)), both.flip(0))
    assert any(not torch.allclose(weights(H, [[5, 6], [7, 8]], seed=seed), both) for seed in (1, 2, 3))
    hidden = (torch.tensor(H) * mask.unsqueeze(-1)).tolist()
    padded = weights(hidden, [[5, 0], [7, 8]], mask=mask, baseline=B * mask.unsqueeze(-1))
    alone = weights([hidden[0][:1]], [[5]], baseline=B[:1, :1])
    assert padded[0].tolist() == pytest.approx([alone[0, 0].item(), 0.0])
    assert torch.allclose(padded[1], both[1])


def _cubed(states, gradients):
    total = states.sum((1, 2))
    d = (3 * total**2).reshape(-1, 1, 1).expand_as(states)
    return torch.stack([total**3, -(total**3)]), [d, -d] if gradients else []


def test_rules():
    assert quadrature(2, "midpoint") == [(0.25, 0.5), (0.75, 0.5)]
    points, weights = zip(*quadrature(2, "gauss-legendre"))
    half = 1 / (2 * math.sqrt(3))
    assert points == pytest.approx([0.5 - half, 0.5 + half]) and weights == pytest.approx([0.5] * 2)
    with pytest.raises(ValueError, match="steps must be at least 1; got 0"):
        quadrature(0, "midpoint")
    with pytest.raises(ValueError, match="rule must be one of"):
        quadrature(1, "simpson")


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
