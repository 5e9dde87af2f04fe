import math
from typing import Any, Callable, Dict, Iterable, Optional, Tuple, Union

import torch


class AdamW(torch.optim.Optimizer):
    """
    Adam with decoupled weight decay (Loshchilov & Hutter, 2019), as transformers had it until 4.49.

    torch's own divides the epsilon by another bias correction, decays weights before the step instead of
    after it, and always corrects the bias.

    # Parameters

    params : `Union[Iterable[torch.Tensor], Iterable[Dict[str, Any]]]`
    lr : `float`
    betas : `Tuple[float, float]`
        Decay of the running means of the gradient and of its square.
    eps : `float`
        Added to the denominator.
    weight_decay : `float`
    correct_bias : `bool`
        Whether the running means are corrected for having started at 0.
    """

    def __init__(
        self,
        params: Union[Iterable[torch.Tensor], Iterable[Dict[str, Any]]],
        lr: float = 1e-3,
        betas: Tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-6,
        weight_decay: float = 0.0,
        correct_bias: bool = True,
    ) -> None:
        if lr < 0 or eps < 0 or not all(0 <= beta < 1 for beta in betas):
            raise ValueError(
                f"lr and eps must be 0 or more, and betas from 0 to below 1; got {lr}, {eps}, {betas}"
            )
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "correct_bias": correct_bias,
        }
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(self, closure: Optional[Callable[[], float]] = None) -> Optional[float]:  # type: ignore[override]
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    _update(parameter, self.state[parameter], group)
        return loss


def _update(parameter: torch.Tensor, state: Dict[str, Any], group: Dict[str, Any]) -> None:
    gradient = parameter.grad
    if not state:
        state.update(step=0, exp_avg=torch.zeros_like(parameter), exp_avg_sq=torch.zeros_like(parameter))
    state["step"] += 1
    first, second = group["betas"]
    mean = state["exp_avg"].lerp_(gradient, 1 - first)
    square = state["exp_avg_sq"].mul_(second).addcmul_(gradient, gradient, value=1 - second)
    rate = group["lr"]
    if group["correct_bias"]:
        rate *= math.sqrt(1 - second ** state["step"]) / (1 - first ** state["step"])
    parameter.addcdiv_(mean, square.sqrt().add_(group["eps"]), value=-rate)
    parameter.mul_(1 - group["lr"] * group["weight_decay"])
