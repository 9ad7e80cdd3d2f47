"""Optimisation: parameter groups, the learning rate as a function of progress, and the average of the weights."""

import math
import re
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from intarsia.settings import OptimSettings
from intarsia.sharding import own_part

_PLATEAU_PATIENCE = 2  # validations without a better score before the rate is halved
_NUMBERED = re.compile(r"\d+|\w*(layer|stage|block)s?_?\d+")
_AVERAGED_SHARE = 16  # the average reaches back over about 1/16 of the steps so far


def make_optimizer(model: nn.Module, settings: OptimSettings, encoder: tuple[str, ...] = ()) -> torch.optim.AdamW:
    """AdamW; weight decay on matrices and kernels only, not on biases and normalisation.

    Each group has a `factor`, its share of the learning rate: `settings.encoder_rate` in the encoder, and there
    `settings.layer_decay` once more for each block that follows (Clark et al., "ELECTRA", 2020, for fine-tuning).

    Args:
        model: whose parameters are learned.
        settings: resolved.
        encoder: how the names of the encoder's parameters begin.
    """
    factors = rate_factors([name for name, _ in model.named_parameters()], settings, encoder)
    groups: dict[tuple[float, float], dict[str, Any]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            decay = settings.weight_decay if parameter.ndim > 1 else 0.0
            group = {"params": [], "weight_decay": decay, "factor": factors[name]}
            groups.setdefault((factors[name], decay), group)["params"].append(parameter)
    return torch.optim.AdamW(list(groups.values()), lr=settings.lr or 0.0, fused=True)


def rate_factors(names: Sequence[str], settings: OptimSettings, encoder: tuple[str, ...]) -> dict[str, float]:
    """Share of the learning rate for each parameter, by its name.

    A block is told by the first two numbers in a name (`layer3.1` of `encoder.layer3.1.conv1.weight`); what has
    none is the stem. Their order is that of their appearance.
    """
    inside = [name for name in names if encoder and name.startswith(encoder)]
    blocks = list(dict.fromkeys(_block_of(name) for name in inside))
    last = len(blocks) - 1
    rate = 1.0 if settings.encoder_rate is None else settings.encoder_rate
    of_block = {block: rate * settings.layer_decay ** (last - place) for place, block in enumerate(blocks)}
    return dict.fromkeys(names, 1.0) | {name: of_block[_block_of(name)] for name in inside}


def set_training(model: nn.Module, settings: OptimSettings, encoder: tuple[str, ...], step: int) -> None:
    """Puts a model into training mode, with its encoder as the settings want it at this step.

    Args:
        model: whose encoder's parameters and modules have names that begin as `encoder` says.
        settings: resolved; `freeze` says until when the encoder stays as it is, `freeze_norm` keeps the statistics
            of its BatchNorm for ever.
        encoder: how these names begin.
        step: number of optimizer steps done.
    """
    model.train()
    if not encoder:
        return
    frozen = settings.freeze == "always" or step < settings.freeze
    if settings.freeze:
        for name, parameter in model.named_parameters():
            if name.startswith(encoder):
                parameter.requires_grad_(not frozen)
    if frozen or settings.freeze_norm:
        for name, module in model.named_modules():
            if f"{name}.".startswith(encoder) and (frozen or isinstance(module, nn.modules.batchnorm._BatchNorm)):
                module.training = False


def _block_of(name: str) -> tuple[str, ...]:
    """The part of a name that says its block: up to the second number; nothing for the stem."""
    parts = name.split(".")
    numbered = [place for place, part in enumerate(parts) if _NUMBERED.fullmatch(part)]
    return tuple(parts[: numbered[:2][-1] + 1]) if numbered else ()


def learning_rate(settings: OptimSettings, progress: float, val_scores: Sequence[float]) -> float:
    """The rate at `progress` (0 at the start, 1 at the end): a warm-up, then the schedule.

    Args:
        settings: the highest rate, the share of the warm-up, the schedule's name.
        progress: share of the steps or of the time budget that is behind us.
        val_scores: mIoU of the validations so far; only "plateau" looks at them.
    """
    warmup = 0.0 if settings.schedule == "one_cycle" else settings.warmup  # one cycle is its own warm-up
    assert settings.lr is not None
    if progress < warmup:
        return settings.lr * max(progress / warmup, 1e-3)
    after = min((progress - warmup) / (1 - warmup), 1.0)
    return settings.lr * SCHEDULES[settings.schedule](after, val_scores)


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Gives every group its share of the learning rate."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group["factor"]


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
    for one, other in zip(average.state_dict().values(), model.state_dict().values(), strict=True):
        mean, value = own_part(one), own_part(other)
        if mean.is_floating_point():
            means.append(mean)
            values.append(value)
        else:
            mean.copy_(value)
    torch._foreach_lerp_(means, values, amount)


def _cosine_between(start: float, end: float, share: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * share)) / 2
