"""Losses: logits [B, C, H, W] and target [B, H, W] (int64 class indices) -> a scalar.

All of them leave out pixels whose target is `ignore_index`, weigh classes by `weight` [C], compute in float32
whatever autocast says, and are 0 with a gradient of 0 (not NaN) where every pixel is ignored.
"""

import math
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
    logits: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    ignore_index: int = IGNORE,
    label_smoothing: float = 0.0,
) -> Tensor:
    """Mean of -log p of the true class over the counted pixels, each weighted by its class.

    `label_smoothing` is the share of each target that is spread evenly over all classes (Szegedy et al.,
    "Rethinking the Inception Architecture", 2016), weighted as in torch's own: class c of the spread part by its
    own weight, the sum over pixels divided by the weights of the true classes.
    """
    return _cross_entropy(_log_softmax(logits), target, weight, ignore_index, label_smoothing)


def ohem(
    logits: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    ignore_index: int = IGNORE,
    threshold: float = 0.7,
    share: float = 1 / 16,
    label_smoothing: float = 0.0,
) -> Tensor:
    """`cross_entropy` over the hardest pixels: online hard example mining.

    Shrivastava, Gupta, Girshick: "Training Region-based Object Detectors with Online Hard Example Mining" (2016),
    in the form for pixels: those whose true class has a probability below `threshold`, but at least this share of
    the counted pixels of the batch; of pixels as hard as the last of these, all.
    """
    log_p = _log_softmax(logits)
    true, pixel_weight = _true_class(log_p, target, weight, ignore_index)
    hard = _hardest(true.detach().exp(), target != ignore_index, threshold, share)
    losses = -true * pixel_weight
    if label_smoothing:
        losses = (1 - label_smoothing) * losses + label_smoothing * _of_every_class(log_p, weight)
    return (losses * hard).sum() / _at_least_something((pixel_weight * hard).sum())


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
    label_smoothing: float = 0.0,
) -> Tensor:
    """`cross_entropy` + dice_weight * `dice`, from one softmax."""
    log_p = _log_softmax(logits)
    loss = _cross_entropy(log_p, target, weight, ignore_index, label_smoothing)
    return loss + dice_weight * _dice(log_p, target, weight, ignore_index) if dice_weight else loss


def lovasz(logits: Tensor, target: Tensor, weight: Tensor | None = None, ignore_index: int = IGNORE) -> Tensor:
    """Lovász-Softmax, a convex stand-in for 1 - IoU, over the batch as one picture.

    Berman, Triki, Blaschko: "The Lovász-Softmax loss: a tractable surrogate for the optimization of the
    intersection-over-union measure" (2018); mean over the classes in the target, weighted by `weight`.
    """
    return _lovasz(_log_softmax(logits), target, weight, ignore_index)


def cross_entropy_lovasz(
    logits: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    ignore_index: int = IGNORE,
    lovasz_weight: float = 1.0,
    label_smoothing: float = 0.0,
) -> Tensor:
    """`cross_entropy` + lovasz_weight * `lovasz`, from one softmax."""
    log_p = _log_softmax(logits)
    loss = _cross_entropy(log_p, target, weight, ignore_index, label_smoothing)
    return loss + lovasz_weight * _lovasz(log_p, target, weight, ignore_index)


def boundary(
    logits: Tensor, target: Tensor, weight: Tensor | None = None, ignore_index: int = IGNORE, width: int = 2
) -> Tensor:
    """1 - F1 of the soft boundaries of predicted and true areas, over the batch as one picture.

    Bokhovkin, Burnaev: "Boundary Loss for Remote Sensing Imagery Semantic Segmentation" (2019). The boundary of a
    class is those of its pixels that have another class among their eight neighbours (theta_0 = 3); it is met where
    the other boundary is at most `width` pixels away (theta = 2 width + 1). Precision and recall have 1 added above
    and below the line. Neither the picture's edge nor an ignored pixel makes a boundary. Mean over the classes with
    a boundary in the target, weighted by `weight`.
    """
    return _boundary(_log_softmax(logits), target, weight, ignore_index, width)


def cross_entropy_boundary(
    logits: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    ignore_index: int = IGNORE,
    boundary_weight: float = 1.0,
    width: int = 2,
    label_smoothing: float = 0.0,
) -> Tensor:
    """`cross_entropy` + boundary_weight * `boundary`, from one softmax."""
    log_p = _log_softmax(logits)
    loss = _cross_entropy(log_p, target, weight, ignore_index, label_smoothing)
    return loss + boundary_weight * _boundary(log_p, target, weight, ignore_index, width)


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
    """The loss of the main head, and of the auxiliary ones with their weight, halved from each to the next.

    Lee, Xie, Gallagher, Zhang, Tu: "Deeply-Supervised Nets" (2015); halving as in Isensee et al., "nnU-Net" (2021).

    Args:
        loss: of logits [B, C, h, w] and target [B, h, w].
        heads: as `Segmenter.heads` gives them; one with logits [B, C] has `presence` as its loss.
        auxiliary_weight: of the first auxiliary head; the k-th has auxiliary_weight / 2^(k-1).
        ignore_index: what counts for nothing.
    """
    (logits, target), *auxiliary = heads
    total = loss(logits, target)
    for place, (logits, target) in enumerate(auxiliary):
        part = loss(logits, target) if logits.ndim == 4 else presence(logits, target, ignore_index)
        total = total + auxiliary_weight / 2**place * part
    return total


def counted_weight(target: Tensor, weight: Tensor | None, ignore_index: int) -> Tensor:
    """How much a target [B, H, W] counts in a mean loss: its counted pixels, each by its class's weight."""
    counted = target != ignore_index
    if weight is None:
        return counted.sum().float()
    return weight[target.clamp(max=len(weight) - 1)].mul(counted).sum()


LOSSES: dict[str, Callable[[LossSettings], Callable[..., Tensor]]] = {
    "ce": lambda settings: partial(cross_entropy, label_smoothing=settings.label_smoothing),
    "ohem": lambda settings: partial(
        ohem,
        threshold=settings.ohem_threshold,
        share=settings.ohem_share,
        label_smoothing=settings.label_smoothing,
    ),
    "focal": lambda settings: partial(focal, gamma=settings.focal_gamma),
    "dice": lambda settings: dice,
    "tversky": lambda settings: partial(tversky, alpha=settings.tversky_alpha),
    "lovasz": lambda settings: lovasz,
    "ce+dice": lambda settings: partial(
        cross_entropy_dice, dice_weight=settings.dice_weight, label_smoothing=settings.label_smoothing
    ),
    "ce+lovasz": lambda settings: partial(
        cross_entropy_lovasz, lovasz_weight=settings.lovasz_weight, label_smoothing=settings.label_smoothing
    ),
    "ce+boundary": lambda settings: partial(
        cross_entropy_boundary,
        boundary_weight=settings.boundary_weight,
        width=settings.boundary_width,
        label_smoothing=settings.label_smoothing,
    ),
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


def _cross_entropy(
    log_p: Tensor, target: Tensor, weight: Tensor | None, ignore_index: int, label_smoothing: float
) -> Tensor:
    total = F.nll_loss(log_p, target, weight, ignore_index=ignore_index, reduction="sum")
    if label_smoothing:
        spread = (_of_every_class(log_p, weight) * (target != ignore_index)).sum()
        total = (1 - label_smoothing) * total + label_smoothing * spread
    return total / _at_least_something(counted_weight(target, weight, ignore_index).to(total.dtype))


def _of_every_class(log_p: Tensor, weight: Tensor | None) -> Tensor:
    """[B, H, W]: mean over the classes of -log p, each times its weight."""
    return -(log_p if weight is None else log_p * weight.view(-1, 1, 1)).mean(dim=1)


def _hardest(true: Tensor, counted: Tensor, threshold: float, share: float) -> Tensor:
    """Where the counted pixels [B, H, W] are whose true class has a low probability. Nothing waits for the GPU."""
    true = torch.where(counted, true, 2.0)  # the ignored ones stand last
    lowest = true.flatten().topk(math.ceil(share * true.numel()), largest=False).values
    last = (share * counted.sum()).ceil().long().clamp(1, len(lowest)) - 1
    return counted & ((true < threshold) | (true <= lowest.gather(0, last.view(1))))


def _dice(log_p: Tensor, target: Tensor, weight: Tensor | None, ignore_index: int, smooth: float = 1.0) -> Tensor:
    hit, predicted, present = _overlap(log_p, target, ignore_index)
    return _mean_over_present(1 - (2 * hit + smooth) / (predicted + present + smooth), present, weight)


def _lovasz(log_p: Tensor, target: Tensor, weight: Tensor | None, ignore_index: int) -> Tensor:
    counted = target != ignore_index
    target, p = target[counted], log_p.exp().movedim(1, 3)[counted]  # [N], [N, C]
    present = torch.bincount(target, minlength=p.shape[1])
    losses = [
        _lovasz_extension(p[:, c], target == c) if pixels else p[:0, c].sum()
        for c, pixels in enumerate(present.tolist())
    ]
    return _mean_over_present(torch.stack(losses), present, weight)


def _lovasz_extension(p: Tensor, true: Tensor) -> Tensor:
    """For one class, p and true [N]: the Lovász extension of 1 - IoU at the errors of all pixels.

    Algorithm 1 of the paper, with the differences between successive values of 1 - IoU written out: among millions
    of pixels float32 loses them when it subtracts.
    """
    errors, order = (true.to(p.dtype) - p).abs().sort(descending=True)
    true = true[order]
    found = true.cumsum(0)
    wrong = torch.arange(1, len(p) + 1, device=p.device)
    both, either = found[-1] - found, found[-1] + wrong - found  # with the first `wrong` pixels wrong
    steps = torch.where(true, 1 / either, both / (either * (either - 1).clamp(min=1)))
    return (errors * steps).sum()


def _boundary(log_p: Tensor, target: Tensor, weight: Tensor | None, ignore_index: int, width: int) -> Tensor:
    classes = log_p.shape[1]
    counted = (target != ignore_index).unsqueeze(1)
    truth = F.one_hot(target.clamp(max=classes - 1), classes).movedim(3, 1).to(log_p.dtype)
    drawn, predicted = _edges(truth, counted), _edges(log_p.exp(), counted)
    near_drawn, near_predicted = (
        F.max_pool2d(edges, 2 * width + 1, stride=1, padding=width) for edges in (drawn, predicted)
    )
    over_all = (0, 2, 3)
    precision = ((predicted * near_drawn).sum(over_all) + 1) / (predicted.sum(over_all) + 1)
    recall = ((drawn * near_predicted).sum(over_all) + 1) / (drawn.sum(over_all) + 1)
    losses = 1 - 2 * precision * recall / (precision + recall)
    return _mean_over_present(losses, drawn.sum(over_all), weight)


def _edges(p: Tensor, counted: Tensor) -> Tensor:
    """The soft inner boundary of each class: how much more the eight neighbours are outside than the pixel is."""
    outside = (1 - p) * counted
    return (F.max_pool2d(outside, kernel_size=3, stride=1, padding=1) - outside) * counted


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
