"""g: from hidden states and gradients to one weight per position (step 4 of Algorithm 1).

Shapes throughout: `hidden_states` h_l and `gradients` D_l are (batch, positions, hidden), `mask` is
(batch, positions), true at real positions; weights s are (batch, positions), 0 at padding.
"""

import torch
from torch import Tensor


def gradient_norm(gradients: Tensor, mask: Tensor, p: int = 2) -> Tensor:
    """
    s_n = ||D_n||_p (Simonyan et al., 2014; Li et al., 2016).

    # Raises

    `ValueError`
        If `p` is neither 1 nor 2.
    """
    if p not in (1, 2):
        raise ValueError(f"gradient-norm knows p = 1 and p = 2, not {p!r}")
    return gradients.norm(p=p, dim=-1) * mask


def gradient_x_input(hidden_states: Tensor, gradients: Tensor, mask: Tensor) -> Tensor:
    """s_n = sum_k D_nk h_nk (Denil et al., 2014; Shrikumar et al., 2017)."""
    return (hidden_states * gradients).sum(-1) * mask


def grad_cam(hidden_states: Tensor, gradients: Tensor, mask: Tensor, relu: bool = True) -> Tensor:
    """
    s_n = ReLU(sum_k alpha_k h_nk), alpha_k the mean of D_nk over the real positions (Selvaraju et
    al., 2017, with positions instead of pixels).
    """
    real = mask.unsqueeze(-1).to(gradients.dtype)
    # Shape: (batch, 1, hidden)
    alpha = (gradients * real).sum(1, keepdim=True) / real.sum(1, keepdim=True).clamp(min=1)
    weights = (hidden_states * alpha).sum(-1)
    return (torch.relu(weights) if relu else weights) * mask
