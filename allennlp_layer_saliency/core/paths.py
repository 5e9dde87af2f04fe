"""g from gradients at other states than the layer's own: along a path, or around it.

Only the blocks above the layer run again, several states at a time.
"""

import hashlib
import random
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Callable, Iterable, Iterator, List, Optional, Sequence, Tuple, Union

import numpy
import torch
from torch import Tensor

RULES = ("gauss-legendre", "midpoint", "adaptive", "decision")

# Of the last two: into how many parts the path is cut to see where the score changes, and the share of the
# points that is spread evenly, whatever is seen.
PROBES = 5
EVENLY = {"adaptive": 0.5, "decision": 0.25}

# From h_l, D_l and the mask to s, as in `core.aggregation`.
Pointwise = Callable[[Tensor, Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Baseline:
    """
    Where a path to a layer's hidden state starts.

    # Parameters

    states : `torch.Tensor`
        b. Shape: (batch, positions, hidden).
    scores : `torch.Tensor`, optional
        y_c(b), where it is known already. Shape: (targets, batch).
    """

    states: Tensor
    scores: Optional[Tensor] = None


@dataclass(frozen=True)
class LayerState:
    """
    A layer of a batch, and the model above it.

    # Parameters

    hidden_states : `torch.Tensor`
        h_l, float32, 0 at padding. Shape: (batch, positions, hidden).
    token_ids, mask : `torch.Tensor`
        Shape: (batch, positions). The mask is true at real positions.
    scores : `torch.Tensor`
        y_c. Shape: (targets, batch).
    gradients : `List[torch.Tensor]`
        D_l of each target, shaped as `hidden_states`; empty where only other states' are wanted.
    resume : `Callable[[torch.Tensor, Union[bool, Sequence[int]]], Tuple[torch.Tensor, List[torch.Tensor]]]`
        From other states, of shape (copies * batch, positions, hidden), to y_c of shape (targets,
        copies * batch) and, if wanted, to each target's gradient, shaped as the states. Given a target for
        each copy, to that one's y_c and gradient alone, as if they were of one target.
    expect_finite : `Callable[[torch.Tensor, str], None]`
        Takes what must be finite, and what to say of it if it is not; whether it is is asked when all of
        the batch's layers are done.
    masked : `Callable[[], Baseline]`
        h_l of the same inputs with all but special tokens masked.
    copies : `int`
        How many copies of the batch may go through the model together.
    """

    hidden_states: Tensor
    token_ids: Tensor
    mask: Tensor
    scores: Tensor
    gradients: List[Tensor]
    resume: Callable[[Tensor, Union[bool, Sequence[int]]], Tuple[Tensor, List[Tensor]]]
    expect_finite: Callable[[Tensor, str], None]
    masked: Callable[[], Baseline]
    copies: int


@dataclass(frozen=True)
class Weights:
    """
    What an aggregation makes of a layer, for one explained score.

    # Parameters

    weights : `torch.Tensor`
        s. Shape: (batch, positions); 0 at padding.
    completeness_gap : `torch.Tensor`, optional
        y_c(h_l) - y_c(b) - sum_n s_n, where the weights are meant to add up to the difference. Shape:
        (batch,).
    """

    weights: Tensor
    completeness_gap: Optional[Tensor] = None


def scores_at(at: LayerState, baseline: Baseline) -> Tensor:
    """y_c(b), if need be by a forward pass. Shape: (targets, batch)."""
    if baseline.scores is not None:
        return baseline.scores
    return at.resume(baseline.states * at.mask.unsqueeze(-1), False)[0]


def scores_of(at: LayerState, states: Iterable[Tensor]) -> Tensor:
    """
    y_c of several copies of the batch, each made when its turn comes: all of them may be more than fit. Shape
    of each: (batch, positions, hidden); of the scores: (copies, targets, batch).
    """
    scores: List[Tensor] = []
    left = iter(states)
    while chunk := [state for _, state in zip(range(at.copies), left)]:
        scores += at.resume(torch.cat(chunk), False)[0].split(len(at.mask), dim=1)
    return torch.stack(scores)


def integrated_gradients(
    at: LayerState, baseline: Baseline, steps: int, rule: str = "gauss-legendre"
) -> List[Weights]:
    """
    s_n = sum_k (h_nk - b_nk) times the mean of D_nk along the straight path from b to h_l (Sundararajan
    et al., 2017).

    # Parameters

    at : `LayerState`
    baseline : `Baseline`
    steps : `int`
        Points on the path.
    rule : `str`
        Of quadrature, "gauss-legendre" or "midpoint"; or "adaptive": the midpoints of as many parts of the
        path, in each of which y_c changes as much, so far as forward passes at `PROBES` - 1 points between
        its ends tell (after Bhat & Raychowdhury, 2023). Each target has its own. By "decision" these count
        alike, so that each part of the path counts by how much y_c changes there (Walker et al., 2024).

    # Returns

    `List[Weights]`
        One for each target; with the completeness gap, but by "decision", whose mean is not the integral.
    """
    at_baseline = scores_at(at, baseline)
    difference = (at.hidden_states - baseline.states) * at.mask.unsqueeze(-1)
    if rule in EVENLY:
        probed = _probed(at, difference, at_baseline)
        points, lengths = _where_it_changes(probed, steps, EVENLY[rule])
        shares = torch.full_like(lengths, 1 / steps) if rule == "decision" else lengths
        means = _mean_by_target(at, difference, points, shares)
    else:
        means = _mean_of_all(at, difference, quadrature(steps, rule))
    weights = [(difference * mean).sum(-1) for mean in means]
    if rule == "decision":
        return [Weights(s) for s in weights]
    return [
        Weights(s, completeness_gap=y - y_b - s.sum(1)) for s, y, y_b in zip(weights, at.scores, at_baseline)
    ]


def _mean_of_all(at: LayerState, difference: Tensor, path: Sequence[Tuple[float, float]]) -> List[Tensor]:
    """For each target the mean of its gradient at the same points. Shaped as the difference."""
    means: List[Tensor] = []
    for start in range(0, len(path), at.copies):
        points, shares = zip(*path[start : start + at.copies])
        states = torch.cat([at.hidden_states + (point - 1) * difference for point in points])
        _, gradients = at.resume(states, True)
        parts = [
            sum(share * at_point for share, at_point in zip(shares, d.split(len(difference))))
            for d in gradients
        ]
        means = [mean + part for mean, part in zip(means, parts)] if means else parts
    return means


def _mean_by_target(at: LayerState, difference: Tensor, points: Tensor, shares: Tensor) -> List[Tensor]:
    """
    For each target the mean of its gradient at points of its own. Shape of points and shares: (steps,
    targets, batch).
    """
    means = [torch.zeros_like(difference) for _ in at.scores]
    path = [(step, target) for step in range(len(points)) for target in range(len(means))]
    for start in range(0, len(path), at.copies):
        chunk = path[start : start + at.copies]
        states = [
            at.hidden_states + (points[step, target].reshape(-1, 1, 1) - 1) * difference
            for step, target in chunk
        ]
        _, (gradients,) = at.resume(torch.cat(states), [target for _, target in chunk])
        for (step, target), gradient in zip(chunk, gradients.split(len(difference))):
            means[target] += shares[step, target].reshape(-1, 1, 1) * gradient
    return means


def _probed(at: LayerState, difference: Tensor, at_baseline: Tensor) -> Tensor:
    """y_c at the ends of `PROBES` equal parts of the path. Shape: (PROBES + 1, targets, batch)."""
    between = scores_of(at, (at.hidden_states + (i / PROBES - 1) * difference for i in range(1, PROBES)))
    probed = torch.cat([at_baseline.unsqueeze(0), between, at.scores.unsqueeze(0)])
    at.expect_finite(
        probed, "the model gives NaN or infinite scores on the way from the baseline to this input"
    )
    return probed


def _where_it_changes(probed: Tensor, steps: int, evenly: float) -> Tuple[Tensor, Tensor]:
    """
    From y_c at the ends of equal parts of the path to the midpoints of `steps` parts, in each of which it
    changes as much, a share of the points being spread evenly, and to these parts' lengths. Shape of each:
    (steps, targets, batch).
    """
    changes = (probed[1:] - probed[:-1]).float().abs()
    # Where nothing changes at all, evenly.
    changes = (1 - evenly) * changes + evenly * changes.mean(0).clamp(min=1e-30)
    changes = changes / changes.sum(0)
    # Of the change, what comes before each midpoint and each end of a part ...
    ends = []
    for i in range(2 * steps + 1):
        left = torch.full_like(changes[0], i / (2 * steps))
        place = torch.zeros_like(left)
        for change in changes:
            # ... and how much of the path that takes: of each probed part its share.
            place = place + (left / change).clamp(0, 1) / len(changes)
            left = left - change
        ends.append(place)
    return torch.stack(ends[1::2]), torch.stack(ends[2::2]) - torch.stack(ends[:-2:2])


def expect_rule(steps: int, rule: str) -> None:
    """
    # Raises

    `ValueError`
        On fewer than one step, or an unknown rule.
    """
    if steps < 1:
        raise ValueError(f"steps must be at least 1; got {steps}")
    if rule not in RULES:
        raise ValueError(f"rule must be one of {', '.join(RULES)}; got {rule!r}")


def quadrature(steps: int, rule: str) -> List[Tuple[float, float]]:
    """
    Points and weights of a rule, "gauss-legendre" or "midpoint", on the interval from 0 to 1: plain numbers,
    as a tensor of them would have to be copied to the device.
    """
    if rule == "midpoint":
        return [((i + 0.5) / steps, 1 / steps) for i in range(steps)]
    # On the interval from -1 to 1.
    points, weights = numpy.polynomial.legendre.leggauss(steps)
    return list(zip(((points + 1) / 2).tolist(), (weights / 2).tolist()))


def smooth_gradient(at: LayerState, g: Pointwise, samples: int, noise: float, seed: int) -> List[Weights]:
    """
    s = the mean of g over h_l plus Gaussian noise (Smilkov et al., 2017).

    The noise depends on the seed and on each instance's token ids only.

    # Parameters

    at : `LayerState`
    g : `Pointwise`
    samples : `int`
    noise : `float`
        Its standard deviation, as a share of the root mean square of an instance's h_l.
    seed : `int`

    # Returns

    `List[Weights]`
        One for each target.
    """
    real = at.mask.unsqueeze(-1)
    squares = (at.hidden_states**2 * real).sum((1, 2))
    count = real.sum((1, 2)) * at.hidden_states.size(2)
    deviation = noise * (squares / count).sqrt().reshape(-1, 1, 1)
    generators = [seeded(seed, ids[mask].tolist()) for ids, mask in zip(at.token_ids, at.mask)]
    sums: List[Tensor] = []
    for start in range(0, samples, at.copies):
        copies = min(at.copies, samples - start)
        drawn = [_noise(generators, at.hidden_states, at.mask) for _ in range(copies)]
        # Shape: (copies, batch, positions, hidden)
        states = at.hidden_states + deviation * torch.stack(drawn)
        _, gradients = at.resume(states.flatten(0, 1), True)
        mask = at.mask.repeat(copies, 1)
        parts = [g(states.flatten(0, 1), d, mask).reshape(copies, *at.mask.shape).sum(0) for d in gradients]
        sums = [total + part for total, part in zip(sums, parts)] if sums else parts
    return [Weights(total / samples) for total in sums]


def seeded(seed: int, tokens: Sequence[Union[int, str]]) -> torch.Generator:
    """Random numbers that depend on the seed and the tokens alone, whatever else is in the batch."""
    digest = hashlib.sha256(repr((seed, tokens)).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big", signed=True))


@contextmanager
def global_numbers_of(seed: int, number: int) -> Iterator[None]:
    """Global random numbers that depend on the seed and the text's number alone."""
    own = seeded(seed, [number]).initial_seed()
    states = random.getstate(), numpy.random.get_state()
    try:
        with torch.random.fork_rng():
            random.seed(own)
            numpy.random.seed(own % 2**32)
            torch.manual_seed(own)
            yield
    finally:
        random.setstate(states[0])
        numpy.random.set_state(states[1])


def _noise(generators: List[torch.Generator], hidden_states: Tensor, mask: Tensor) -> Tensor:
    """Standard normal at real positions, from each instance's generator. Shaped as `hidden_states`."""
    noise = torch.zeros_like(hidden_states)
    lengths = mask.sum(1).tolist()
    drawn = [
        torch.randn(length, hidden_states.size(2), generator=generator)
        for generator, length in zip(generators, lengths)
    ]
    noise[mask] = torch.cat(drawn).to(noise)
    return noise
