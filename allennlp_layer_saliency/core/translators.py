"""
Affine maps in front of an LM head, one for each layer, fitted without labels: the tuned lens (Belrose et al.,
2023, arXiv 2303.08112) for a fine-tuned model.
"""

from typing import Any, Callable, List, NamedTuple, Optional

import torch
from torch import Tensor

from allennlp_layer_saliency.core.decoding import Decoder

# Positions of a step, and of a chunk that is only looked at; steps between two looks at what is held out.
BATCH, CHUNK, LOOK = 256, 512, 20
# Looks without a better loss after which fitting stops.
PATIENCE = 3
# Of the ridge regression, as a share of the states' mean variance.
PENALTY = 1e-3
# What the fit starts from is tried with these factors: a regression's states are shorter than those that it
# regresses to, and a head without a norm of its own makes too little of them.
SCALES = (1.0, 2.0, 4.0, 8.0)
LEARNING_RATE = 1e-3


class Translator(NamedTuple):
    """
    h -> h A^T + b.

    # Parameters

    weight : `torch.Tensor`
        A. Shape: (hidden, hidden).
    bias : `torch.Tensor`
        b. Shape: (hidden,).
    """

    weight: Tensor
    bias: Tensor

    def translated(self, hidden_states: Tensor) -> Tensor:
        weight, bias = (each.to(hidden_states.device) for each in self)
        return torch.nn.functional.linear(hidden_states.to(weight.dtype), weight, bias)

    @classmethod
    def identity(cls, size: int, device: Optional[torch.device] = None) -> "Translator":
        return cls(torch.eye(size, device=device), torch.zeros(size, device=device))


class Positions(NamedTuple):
    """
    What a translator is fitted to, or looked at with.

    # Parameters

    states : `torch.Tensor`
        A layer's. Shape: (positions, hidden).
    pieces : `torch.Tensor`
        The word pieces that the head is to name there. Shape: (positions,).
    pretrained : `torch.Tensor`, optional
        The pre-trained model's last hidden states there. Shape: (positions, hidden).
    """

    states: Tensor
    pieces: Tensor
    pretrained: Optional[Tensor] = None

    def at(self, chosen: Any) -> "Positions":
        pretrained = None if self.pretrained is None else self.pretrained[chosen]
        return Positions(self.states[chosen], self.pieces[chosen], pretrained)


class Fitted(NamedTuple):
    """
    # Parameters

    translator : `Translator`
    losses : `List[float]`
        Of the held-out positions, in nats: with the identity, with what the fitting starts from, and at each
        look from then on. The translator is that of the smallest.
    """

    translator: Translator
    losses: List[float]


def ridge(states: Tensor, targets: Tensor, penalty: float = PENALTY) -> Translator:
    """
    The affine map from states to targets of the smallest squared error, with a penalty on the map's distance
    from none: A = C_ts (C_ss + λ I)^-1, of centred states s and targets t.

    # Parameters

    states, targets : `torch.Tensor`
        Shape: (positions, hidden).
    penalty : `float`
        λ, as a share of the states' mean variance.
    """
    s, t = states.double(), targets.double()
    s_mean, t_mean = s.mean(0), t.mean(0)
    s, t = s - s_mean, t - t_mean
    covariance = s.t() @ s
    # Not 0, even for states that are all the same.
    shift = penalty * covariance.diagonal().mean() + 1e-9
    covariance.diagonal().add_(shift)
    weight = torch.linalg.solve(covariance, s.t() @ t).t()
    return Translator(weight.float(), (t_mean - s_mean @ weight.t()).float())


def loss(decoder: Decoder, translator: Translator, at: Positions, share: float) -> Tensor:
    """
    What is minimised, for each position in nats: (1 - share) times -log P[t], of the own piece t, plus share
    times the cross-entropy to the pre-trained model's distribution there. Shape: (positions,).
    """
    log_probabilities = decoder.logits(translator.translated(at.states)).float().log_softmax(-1)
    total = log_probabilities.new_zeros(len(at.states))
    if share < 1:
        total = total - (1 - share) * log_probabilities.gather(1, at.pieces.unsqueeze(1)).squeeze(1)
    if share > 0:
        assert at.pretrained is not None
        with torch.no_grad():
            wanted = decoder.logits(at.pretrained).float().softmax(-1)
        total = total - share * torch.einsum("pv,pv->p", wanted, log_probabilities)
    return total


def fit(
    decoder: Decoder,
    train: Positions,
    held_out: Positions,
    readable: Tensor,
    share: float = 0.0,
    steps: int = 100,
    seed: int = 0,
    progress: Callable[[int], Any] = lambda steps: None,
) -> Fitted:
    """
    Fit a layer's translator: from the best of the identity and of regressions to states that the head reads,
    each times some factors, by Adam on batches drawn by the seed, until the loss of the held-out positions
    no longer falls.

    # Parameters

    decoder : `Decoder`
        The base head, which stays as it is.
    train, held_out : `Positions`
    readable : `torch.Tensor`
        States of the training positions that the base head reads well, such as the embeddings'; the
        pre-trained model's, where there are such, are tried too. Shape: (positions, hidden).
    share : `float`
        As of `loss`.
    steps : `int`
        At most so many.
    seed : `int`
    progress : `Callable[[int], Any]`
        Called with the number of steps that are done, or not needed.

    # Raises

    `ValueError`
        If the head gives NaN or infinite logits.
    """
    device = train.states.device
    starts = [Translator.identity(train.states.size(1), device)]
    for states in [readable] if train.pretrained is None else [readable, train.pretrained]:
        regression = ridge(train.states, states)
        starts += [Translator(regression.weight * scale, regression.bias * scale) for scale in SCALES]
    of_starts = [_mean_loss(decoder, start, held_out, share) for start in starts]
    best = starts[of_starts.index(min(of_starts))]
    losses = [of_starts[0], min(of_starts)]
    parameters = [each.clone().requires_grad_() for each in best]
    optimiser = torch.optim.Adam(parameters, lr=LEARNING_RATE)
    generator = torch.Generator().manual_seed(seed)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: 1 - step / (steps + 1))
    without = 0
    order: Tensor = torch.zeros(0, dtype=torch.long)
    for step in range(1, steps + 1):
        if len(order) < min(BATCH, len(train.states)):
            order = torch.cat([order, torch.randperm(len(train.states), generator=generator)])
        chosen, order = order[:BATCH].to(device), order[BATCH:]
        optimiser.zero_grad()
        loss(decoder, Translator(*parameters), train.at(chosen), share).mean().backward()
        optimiser.step()
        schedule.step()
        if step % LOOK == 0 or step == steps:
            now = Translator(*(each.detach().clone() for each in parameters))
            losses.append(_mean_loss(decoder, now, held_out, share))
            if losses[-1] < min(losses[:-1]):
                best, without = now, 0
            else:
                without += 1
            progress(step % LOOK or LOOK)
            if without == PATIENCE:
                progress(steps - step)
                break
    return Fitted(best, losses)


def _mean_loss(decoder: Decoder, translator: Translator, at: Positions, share: float) -> float:
    with torch.no_grad():
        parts = [
            loss(decoder, translator, at.at(slice(start, start + CHUNK)), share)
            for start in range(0, len(at.states), CHUNK)
        ]
    found = float(torch.cat(parts).mean())
    if found != found or found == float("inf"):
        raise ValueError("the LM head gives NaN or infinite logits")
    return found
