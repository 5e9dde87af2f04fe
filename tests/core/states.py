"""A layer's state for tests, of which most is what they are not about."""

import torch

from allennlp_layer_saliency.core.paths import Baseline, LayerState


def layer_state(hidden, mask, resume, copies, ids=None):
    """A layer below `resume`, whose masked input is 0."""
    return LayerState(
        hidden_states=hidden,
        token_ids=torch.arange(mask.numel()).reshape(mask.shape) if ids is None else ids,
        mask=mask,
        scores=resume(hidden, False)[0],
        gradients=[],
        resume=resume,
        expect_finite=lambda values, message: None,
        masked=lambda: Baseline(torch.zeros_like(hidden)),
        copies=copies,
    )


def noted(messages):
    """An `expect_finite` that notes what it would say."""

    def expect_finite(values, message):
        if not torch.isfinite(values).all():
            messages.append(message)

    return expect_finite
