"""Losses: logits [B, C, H, W] and target [B, H, W] (int64 class indices) -> a scalar.

All of them leave out pixels whose target is `ignore_index`, weigh classes by `weight` [C], compute in float32
whatever autocast says, and are 0 with a gradient of 0 (not NaN) where every pixel is ignored.
"""

from collections.abc import Callable, Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from intarsia.errors import SettingsError, did_you_mean
from intarsia.labels import IGNORE
from intarsia.settings import LossSettings

Loss = Callable[[Tensor, Tensor], Tensor]


def cross_entropy(
    logits: Tensor, target: Tensor, weight: Tensor | None = None, ignore_index: int = IGNORE
) -> Tensor:
    """Mean of -log p of the true class over the counted pixels, each weighted by its class."""
    return _cross_entropy(_log_softmax(logits), target, weight, ignore_index)


def dice(
    logits: Tensor, target: Tensor, weight: Tensor | None = None, ignore_index: int = IGNORE, smooth: float = 1.0
) -> Tensor:
    """Soft Dice loss, 1 - 2 |P*T| / (|P| + |T|), over the batch as one picture.

    Milletari, Navab, Ahmadi: "V-Net" (2016), with |P| instead of |P|^2; mean over the classes in the target,
    weighted by `weight`.
    """
    return _dice(_log_softmax(logits), target, weight, ignore_index, smooth)


def cross_entropy_dice(
    logits: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    ignore_index: int = IGNORE,
    dice_weight: float = 1.0,
) -> Tensor:
    """`cross_entropy` + dice_weight * `dice`, from one softmax."""
    log_p = _log_softmax(logits)
    loss = _cross_entropy(log_p, target, weight, ignore_index)
    return loss + dice_weight * _dice(log_p, target, weight, ignore_index) if dice_weight else loss


def focal(
    logits: Tensor, target: Tensor, weight: Tensor | None = None, ignore_index: int = IGNORE, gamma: float = 2.0
) -> Tensor:
    """Mean of -(1 - p)^gamma log p of the true class: Lin et al., "Focal Loss" (2017)."""
    true, pixel_weight = _true_class(_log_softmax(logits), target, weight, ignore_index)
    unsure = (1 - true.exp()).clamp(min=1e-7)  # at 0 the gradient of unsure^gamma is infinite for gamma < 1
    losses = -(unsure**gamma) * true
    return (losses * pixel_weight).sum() / _at_least_something(pixel_weight.sum())


def tversky(
    logits: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    ignore_index: int = IGNORE,
    alpha: float = 0.3,
    smooth: float = 1.0,
) -> Tensor:
    """1 - TP / (TP + alpha FP + (1 - alpha) FN), mean over classes in the target.

    Salehi, Erdogmus, Gholipour: "Tversky loss function for image segmentation" (2017); alpha = 0.5 is Dice.
    """
    hit, predicted, present = _overlap(_log_softmax(logits), target, ignore_index)
    index = (hit + smooth) / (hit + alpha * (predicted - hit) + (1 - alpha) * (present - hit) + smooth)
    return _mean_over_present(1 - index, present, weight)


def presence(logits: Tensor, target: Tensor, ignore_index: int = IGNORE) -> Tensor:
    """Which classes occur in a picture at all: binary cross-entropy, mean over pictures and classes.

    For an auxiliary head that judges whole pictures: Zhang et al., "Context Encoding for Semantic
    Segmentation" (2018).

    Args:
        logits: [B, C].
        target: [B, H, W] class indices.
        ignore_index: what counts for nothing.
    """
    classes = logits.shape[1]
    counted = torch.where(target == ignore_index, classes, target).flatten(1)
    occurs = torch.zeros(len(logits), classes + 1, device=logits.device).scatter_(1, counted, 1.0)[:, :classes]
    return F.binary_cross_entropy_with_logits(logits.float(), occurs)


def of_all_heads(
    loss: Loss, heads: Sequence[tuple[Tensor, Tensor]], auxiliary_weight: float, ignore_index: int
) -> Tensor:
    """The loss of the main head, and of the auxiliary ones with their weight.

    Args:
        loss: of logits [B, C, h, w] and target [B, h, w].
        heads: as `Segmenter.heads` gives them; one with logits [B, C] has `presence` as its loss.
        auxiliary_weight: of each head but the first.
        ignore_index: what counts for nothing.
    """
    (logits, target), *auxiliary = heads
    total = loss(logits, target)
    for logits, target in auxiliary:
        part = loss(logits, target) if logits.ndim == 4 else presence(logits, target, ignore_index)
        total = total + auxiliary_weight * part
    return total


def counted_weight(target: Tensor, weight: Tensor | None, ignore_index: int) -> Tensor:
    """How much a target [B, H, W] counts in a mean loss: its counted pixels, each by its class's weight."""
    counted = target != ignore_index
    if weight is None:
        return counted.sum().float()
    return weight[target.clamp(max=len(weight) - 1)].mul(counted).sum()


LOSSES: dict[str, Callable[[LossSettings], Callable[..., Tensor]]] = {
    "ce": lambda settings: cross_entropy,
    "dice": lambda settings: dice,
    "ce+dice": lambda settings: partial(cross_entropy_dice, dice_weight=settings.dice_weight),
    "focal": lambda settings: partial(focal, gamma=settings.focal_gamma),
    "tversky": lambda settings: partial(tversky, alpha=settings.tversky_alpha),
}


def make_loss(settings: LossSettings, weight: Tensor | None, ignore_index: int) -> Loss:
    """The loss that the settings name.

    Raises:
        SettingsError: there is no such loss; the nearest name is offered.
    """
    return partial(find_loss(settings), weight=weight, ignore_index=ignore_index)


def find_loss(settings: LossSettings) -> Callable[..., Tensor]:
    """The function behind `settings.name`, with its own settings filled in.

    Raises:
        SettingsError: there is no such loss; the nearest name is offered.
    """
    if settings.name not in LOSSES:
        raise SettingsError(f"loss.name = {settings.name!r} is unknown. {did_you_mean(settings.name, LOSSES)}")
    return LOSSES[settings.name](settings)


def _log_softmax(logits: Tensor) -> Tensor:
    with torch.autocast(logits.device.type, enabled=False):
        return F.log_softmax(logits.float(), dim=1)


def _cross_entropy(log_p: Tensor, target: Tensor, weight: Tensor | None, ignore_index: int) -> Tensor:
    total = F.nll_loss(log_p, target, weight, ignore_index=ignore_index, reduction="sum")
    counted = target != ignore_index
    if weight is None:
        return total / _at_least_something(counted.sum().to(total.dtype))
    return total / _at_least_something(weight[target.clamp(max=len(weight) - 1)].mul(counted).sum())


def _dice(log_p: Tensor, target: Tensor, weight: Tensor | None, ignore_index: int, smooth: float = 1.0) -> Tensor:
    hit, predicted, present = _overlap(log_p, target, ignore_index)
    return _mean_over_present(1 - (2 * hit + smooth) / (predicted + present + smooth), present, weight)


def _overlap(log_p: Tensor, target: Tensor, ignore_index: int) -> tuple[Tensor, Tensor, Tensor]:
    """For each class [C], over the counted pixels: sum of p where it is true, sum of p, number of pixels."""
    classes = log_p.shape[1]
    counted = target != ignore_index
    p = log_p.exp() * counted.unsqueeze(1)
    index = target.clamp(max=classes - 1)
    true = p.gather(1, index.unsqueeze(1)).flatten()  # [B*H*W]
    hit = torch.zeros(classes, device=p.device).index_add(0, index.flatten(), true)
    present = torch.bincount(index[counted], minlength=classes).to(p.dtype)
    return hit, p.sum(dim=(0, 2, 3)), present


def _mean_over_present(losses: Tensor, present: Tensor, weight: Tensor | None) -> Tensor:
    occurs = (present > 0).to(losses.dtype) * (1 if weight is None else weight)
    return (losses * occurs).sum() / _at_least_something(occurs.sum())


def _true_class(log_p: Tensor, target: Tensor, weight: Tensor | None, ignore_index: int) -> tuple[Tensor, Tensor]:
    """Log-probability of the true class [B, H, W], and each pixel's weight (0 where ignored)."""
    counted = (target != ignore_index).to(log_p.dtype)
    index = target.clamp(max=log_p.shape[1] - 1)
    true = log_p.gather(1, index.unsqueeze(1)).squeeze(1)
    return true, counted if weight is None else counted * weight[index]


def _at_least_something(total: Tensor) -> Tensor:
    """The total, or 1 where it is 0: a sum of nothing divided by it is 0."""
    return torch.where(total > 0, total, torch.ones_like(total))
