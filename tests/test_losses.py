"""Losses against torch's own cross-entropy and against plain NumPy."""

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from intarsia.errors import SettingsError
from intarsia.losses import (
    LOSSES,
    cross_entropy,
    cross_entropy_dice,
    dice,
    focal,
    make_loss,
    of_all_heads,
    presence,
    tversky,
)
from intarsia.settings import LossSettings

WEIGHT = torch.tensor([0.5, 1.0, 2.0, 4.0])
WEIGHTS = pytest.mark.parametrize("weight", [None, WEIGHT], ids=["unweighted", "weighted"])
EVERY_LOSS = pytest.mark.parametrize("name", LOSSES)


def named(name: str, weight: Tensor | None = None, ignore_index: int = 255) -> Callable[[Tensor, Tensor], Tensor]:
    return make_loss(LossSettings(name=name), weight, ignore_index)


def batch(ignored: float = 0.2, classes: int = 4) -> tuple[Tensor, Tensor]:
    """Logits [2, C, 5, 7] and a target in which class 2 does not occur and a share is ignored."""
    random = torch.Generator().manual_seed(1)
    logits = 2 * torch.randn(2, classes, 5, 7, generator=random)
    target = torch.randint(classes, (2, 5, 7), generator=random)
    target[target == 2] = 3
    target[torch.rand(2, 5, 7, generator=random) < ignored] = 255
    return logits, target


def counted(logits: Tensor, target: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities [N, C] and classes [N] of the pixels that count, in float64."""
    flat = logits.double().permute(0, 2, 3, 1).reshape(-1, logits.shape[1]).numpy()
    exp = np.exp(flat - flat.max(axis=1, keepdims=True))
    truth = target.reshape(-1).numpy()
    return (exp / exp.sum(axis=1, keepdims=True))[truth != 255], truth[truth != 255]


def numpy_overlap_loss(logits: Tensor, target: Tensor, weight: Tensor | None, index: Callable) -> float:
    """Weighted mean over the classes in the target of 1 - index(true and false positives, false negatives)."""
    p, truth = counted(logits, target)
    losses, weights = [], []
    for c in np.unique(truth):
        is_c = truth == c
        losses.append(1 - index(p[is_c, c].sum(), p[~is_c, c].sum(), (1 - p[is_c, c]).sum()))
        weights.append(1.0 if weight is None else float(weight[c]))
    return float(np.average(losses, weights=weights))


def numpy_focal(logits: Tensor, target: Tensor, weight: Tensor | None, gamma: float) -> float:
    p, truth = counted(logits, target)
    true = p[np.arange(len(truth)), truth]
    weights = np.ones(len(truth)) if weight is None else weight.numpy()[truth]
    return float(np.average(-((1 - true) ** gamma) * np.log(true), weights=weights))


@WEIGHTS
def test_cross_entropy_is_torchs(weight: Tensor | None) -> None:
    logits, target = batch()
    expected = F.cross_entropy(logits, target, weight, ignore_index=255)
    assert cross_entropy(logits, target, weight).item() == pytest.approx(expected.item(), rel=1e-6)


@WEIGHTS
@pytest.mark.parametrize("smooth", [0.0, 1.0])
def test_dice_is_that_of_numpy(weight: Tensor | None, smooth: float) -> None:
    logits, target = batch()
    expected = numpy_overlap_loss(
        logits, target, weight, lambda tp, fp, fn: (2 * tp + smooth) / (2 * tp + fp + fn + smooth)
    )
    assert dice(logits, target, weight, smooth=smooth).item() == pytest.approx(expected, rel=1e-5)


@WEIGHTS
@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
def test_tversky_is_that_of_numpy(weight: Tensor | None, alpha: float) -> None:
    logits, target = batch()
    expected = numpy_overlap_loss(
        logits, target, weight, lambda tp, fp, fn: (tp + 1) / (tp + alpha * fp + (1 - alpha) * fn + 1)
    )
    assert tversky(logits, target, weight, alpha=alpha).item() == pytest.approx(expected, rel=1e-5)


@WEIGHTS
@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0])
def test_focal_is_that_of_numpy(weight: Tensor | None, gamma: float) -> None:
    logits, target = batch()
    assert focal(logits, target, weight, gamma=gamma).item() == pytest.approx(
        numpy_focal(logits, target, weight, gamma), rel=1e-5
    )


@WEIGHTS
@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_cross_entropy_dice_is_their_sum(weight: Tensor | None, share: float) -> None:
    logits, target = batch()
    expected = cross_entropy(logits, target, weight) + share * dice(logits, target, weight)
    assert cross_entropy_dice(logits, target, weight, dice_weight=share).item() == pytest.approx(expected.item())


def test_tversky_with_alpha_one_half_is_dice_with_twice_the_smoothing() -> None:
    logits, target = batch()
    assert tversky(logits, target, alpha=0.5, smooth=0.5).item() == pytest.approx(
        dice(logits, target, smooth=1.0).item(), rel=1e-6
    )


@pytest.mark.parametrize(
    ("settings", "function"),
    [
        (LossSettings(name="ce"), cross_entropy),
        (LossSettings(name="dice"), dice),
        (LossSettings(name="ce+dice", dice_weight=0.3), partial(cross_entropy_dice, dice_weight=0.3)),
        (LossSettings(name="focal", focal_gamma=1.5), partial(focal, gamma=1.5)),
        (LossSettings(name="tversky", tversky_alpha=0.7), partial(tversky, alpha=0.7)),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_settings_reach_the_loss(settings: LossSettings, function: Callable[..., Tensor]) -> None:
    logits, target = batch()
    assert make_loss(settings, WEIGHT, 255)(logits, target).equal(function(logits, target, WEIGHT))


def test_the_settings_above_cover_every_loss() -> None:
    assert set(LOSSES) == {"ce", "dice", "ce+dice", "focal", "tversky"}


def test_a_misspelt_loss_offers_the_nearest() -> None:
    with pytest.raises(SettingsError, match=r"loss\.name = 'tversy' is unknown\. Did you mean 'tversky'\?"):
        named("tversy")


@EVERY_LOSS
@WEIGHTS
def test_when_everything_is_ignored_loss_and_gradient_are_zero(name: str, weight: Tensor | None) -> None:
    logits, target = batch(ignored=1.1)
    loss = named(name, weight)(logits.requires_grad_(), target)
    loss.backward()
    assert loss.item() == 0
    assert not logits.grad.count_nonzero()


@EVERY_LOSS
@WEIGHTS
def test_ignored_pixels_have_no_gradient_and_the_others_do(name: str, weight: Tensor | None) -> None:
    logits, target = batch()
    named(name, weight)(logits.requires_grad_(), target).backward()
    moved = logits.grad.abs().sum(dim=1) > 0
    assert moved.equal(target != 255)


@EVERY_LOSS
def test_ignored_pixels_do_not_count(name: str) -> None:
    logits, target = batch()
    before = named(name)(logits, target)
    logits.permute(0, 2, 3, 1)[target == 255] = 50 * torch.randn(4)
    assert named(name)(logits, target).item() == pytest.approx(before.item(), rel=1e-6)


@EVERY_LOSS
def test_under_autocast_the_loss_is_computed_in_float32(name: str) -> None:
    logits, target = batch()
    low = logits.bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        loss = named(name, WEIGHT)(low, target)
    assert loss.dtype == torch.float32
    assert loss.equal(named(name, WEIGHT)(low.float(), target))


@pytest.mark.parametrize("function", [dice, tversky])
def test_a_class_that_is_absent_from_the_target_does_not_count_in_overlap(function: Callable) -> None:
    """Class 2 occurs nowhere: what is predicted of it changes only what is left for the others."""
    logits, target = batch()
    probability = torch.softmax(logits, dim=1)
    without = torch.where((torch.arange(4) == 2).view(1, 4, 1, 1), 1e-30, probability).log()
    others = without.clone()
    others[:, 2] = -1e4
    assert function(without, target).item() == pytest.approx(function(others, target).item(), rel=1e-6)
    loss = function(logits, target, torch.tensor([1.0, 1.0, 1e6, 1.0]))
    assert loss.item() == pytest.approx(function(logits, target).item(), rel=1e-6)


@EVERY_LOSS
def test_a_perfect_prediction_costs_nothing_and_a_wrong_one_much(name: str) -> None:
    _, target = batch()
    right = 40.0 * F.one_hot(target % 255 % 4, 4).permute(0, 3, 1, 2)
    assert named(name)(right, target).item() == pytest.approx(0, abs=1e-5)
    assert named(name)(-right, target).item() > 0.5


@EVERY_LOSS
@pytest.mark.parametrize("gamma", [0.5, 2.0])
@pytest.mark.parametrize("size", [1e4, -1e4])
def test_huge_logits_stay_finite(name: str, gamma: float, size: float) -> None:
    logits, target = batch()
    logits = (size * logits.sign()).requires_grad_()
    loss = make_loss(LossSettings(name=name, focal_gamma=gamma), WEIGHT, 255)(logits, target)
    loss.backward()
    assert loss.isfinite()
    assert logits.grad.isfinite().all()


@EVERY_LOSS
def test_three_hundred_classes_with_the_wide_ignore_index(name: str) -> None:
    random = torch.Generator().manual_seed(0)
    logits = torch.randn(1, 300, 8, 8, generator=random).requires_grad_()
    target = torch.randint(250, 300, (1, 8, 8), generator=random)
    target[0, 0] = 65535
    loss = named(name, torch.ones(300), ignore_index=65535)
    loss(logits, target).backward()
    assert loss(logits, target).item() == pytest.approx(loss(logits[:, :, 1:], target[:, 1:]).item(), rel=1e-6)
    assert not logits.grad[:, :, 0].count_nonzero()
    assert logits.grad[:, :, 1:].count_nonzero()


def test_presence_is_the_mean_binary_cross_entropy_by_hand() -> None:
    logits = torch.tensor([[0.3, -1.2, 2.0]])
    target = torch.tensor([[[0, 0, 255], [2, 2, 255]]])
    p = 1 / (1 + np.exp(-logits.double().numpy()[0]))
    expected = -(np.log(p[0]) + np.log(1 - p[1]) + np.log(p[2])) / 3
    assert presence(logits, target).item() == pytest.approx(expected)


def test_presence_of_a_picture_that_is_all_ignored_says_that_nothing_is_there() -> None:
    loss = presence(torch.zeros(1, 4), torch.full((1, 3, 3), 65535), ignore_index=65535)
    assert loss.item() == pytest.approx(np.log(2))


def test_auxiliary_heads_count_with_their_weight() -> None:
    logits, target = batch()
    loss = named("ce")
    labels = torch.randn(2, 4)
    heads = [(logits, target), (logits * 2, target), (labels, target)]
    expected = loss(logits, target) + 0.4 * loss(logits * 2, target) + 0.4 * presence(labels, target)
    torch.testing.assert_close(of_all_heads(loss, heads, 0.4, 255), expected)
    assert of_all_heads(loss, heads[:1], 0.4, 255).equal(loss(logits, target))
