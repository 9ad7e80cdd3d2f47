"""From logits to answers: probabilities, classes, how sure the model is. Pure functions of [C, H, W] tensors."""

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from intarsia.errors import SettingsError, did_you_mean


def probabilities_of(logits: Tensor) -> Tensor:
    """[C, H, W] logits -> [C, H, W] float32 probabilities, which add up to 1 for each pixel."""
    return logits.float().softmax(dim=0)


def classes_of(logits: Tensor, thresholds: Mapping[int, float] | None = None) -> Tensor:
    """The class of each pixel.

    Args:
        logits: [C, H, W].
        thresholds: {class index: probability from which on a pixel is of it}. Of several classes that reach theirs,
            the one that exceeds it by the largest factor is taken; where none does, the likeliest of the classes
            without a threshold (of all, where each has one).

    Returns:
        [H, W] int64.
    """
    if not thresholds:
        return logits.argmax(dim=0)
    indices = list(thresholds)
    limits = torch.tensor([max(thresholds[index], 1e-6) for index in indices], device=logits.device)
    factors = probabilities_of(logits)[indices] / limits[:, None, None]
    factor, place = factors.max(dim=0)
    others = logits.clone()
    if len(indices) < len(logits):
        others[indices] = -torch.inf
    return torch.where(factor >= 1, torch.tensor(indices, device=logits.device)[place], others.argmax(dim=0))


def confidence_of(logits: Tensor) -> Tensor:
    """[H, W] float32: the largest probability of each pixel, 1/C to 1."""
    return probabilities_of(logits).amax(dim=0)


def entropy_of(logits: Tensor) -> Tensor:
    """[H, W] float32: Shannon's entropy over the classes by its largest value, log C: 0 (sure) to 1 (no idea)."""
    if len(logits) == 1:
        return torch.zeros(logits.shape[1:], device=logits.device)
    nats: Tensor = torch.special.entr(probabilities_of(logits)).sum(dim=0)
    return nats / math.log(len(logits))


def indices_of(names: Sequence[str], of: Sequence[str], option: str) -> list[int]:
    """The class indices of names.

    Raises:
        SettingsError: a name is no class of the model.
    """
    for name in names:
        if name not in of:
            raise SettingsError(f"{option} {name}: the model has no such class. {did_you_mean(name, of)}")
    return [of.index(name) for name in names]
