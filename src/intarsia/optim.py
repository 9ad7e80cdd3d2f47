"""Optimisation: parameter groups, the learning rate as a function of progress, and the average of the weights."""

import math
from collections.abc import Callable, Sequence

import torch
from torch import nn

from intarsia.settings import OptimSettings

_PLATEAU_PATIENCE = 2  # validations without a better score before the rate is halved
_AVERAGED_SHARE = 16  # the average reaches back over about 1/16 of the steps so far


def make_optimizer(model: nn.Module, settings: OptimSettings) -> torch.optim.AdamW:
    """AdamW; weight decay on matrices and kernels only, not on biases and normalisation."""
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": settings.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=settings.lr, fused=True)


def learning_rate(settings: OptimSettings, progress: float, val_scores: Sequence[float]) -> float:
    """The rate at `progress` (0 at the start, 1 at the end): a warm-up, then the schedule.

    Args:
        settings: the highest rate, the share of the warm-up, the schedule's name.
        progress: share of the steps or of the time budget that is behind us.
        val_scores: mIoU of the validations so far; only "plateau" looks at them.
    """
    warmup = 0.0 if settings.schedule == "one_cycle" else settings.warmup  # one cycle is its own warm-up
    if progress < warmup:
        return settings.lr * max(progress / warmup, 1e-3)
    after = min((progress - warmup) / (1 - warmup), 1.0)
    return settings.lr * SCHEDULES[settings.schedule](after, val_scores)


def one_cycle(progress: float, val_scores: Sequence[float] = ()) -> float:
    """Up from 1/25 over the first 30 %, down to 1e-4: Smith, Topin, "Super-Convergence" (2018), cosine arms."""
    if progress < 0.3:
        return _cosine_between(0.04, 1.0, progress / 0.3)
    return _cosine_between(1.0, 1e-4, (progress - 0.3) / 0.7)


def cosine(progress: float, val_scores: Sequence[float] = ()) -> float:
    """Half a cosine from 1 to 0: Loshchilov, Hutter, "SGDR" (2017), without restarts."""
    return _cosine_between(1.0, 0.0, progress)


def poly(progress: float, val_scores: Sequence[float] = ()) -> float:
    """(1 - progress)^0.9, as DeepLab has it: Chen et al. (2017)."""
    return math.pow(1 - progress, 0.9)


def plateau(progress: float, val_scores: Sequence[float]) -> float:
    """Halved each time that 2 validations in a row bring no better score."""
    best, since, factor = -math.inf, 0, 1.0
    for score in val_scores:
        since = 0 if score > best else since + 1
        best = max(best, score)
        if since == _PLATEAU_PATIENCE:
            factor, since = factor / 2, 0
    return factor


Schedule = Callable[[float, Sequence[float]], float]
"""(share of the training after the warm-up, validation scores so far) -> factor of the highest rate."""

SCHEDULES: dict[str, Schedule] = {
    "cosine": cosine,
    "poly": poly,
    "one_cycle": one_cycle,
    "plateau": plateau,
}


@torch.no_grad()
def update_average(average: nn.Module, model: nn.Module, step: int) -> None:
    """Moves `average` towards `model` by (n + 1) / (step + n), with n = 16.

    Polynomial-decay averaging (Shamir, Zhang 2013): it forgets the first steps by itself and reaches back over a
    fixed share of the training however long that is. Buffers (statistics of BatchNorm) are averaged alike.

    Args:
        average: a copy of the model.
        model: after optimizer step number `step`.
        step: 1 for the first step, which makes both equal.
    """
    amount = (_AVERAGED_SHARE + 1) / (step + _AVERAGED_SHARE)
    means, values = [], []
    for mean, value in zip(average.state_dict().values(), model.state_dict().values(), strict=True):
        if mean.is_floating_point():
            means.append(mean)
            values.append(value)
        else:
            mean.copy_(value)
    torch._foreach_lerp_(means, values, amount)


def _cosine_between(start: float, end: float, share: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * share)) / 2
