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
    boundary,
    cross_entropy,
    cross_entropy_boundary,
    cross_entropy_dice,
    cross_entropy_lovasz,
    dice,
    focal,
    lovasz,
    make_loss,
    of_all_heads,
    ohem,
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


def numpy_ohem(
    logits: Tensor, target: Tensor, weight: Tensor | None, threshold: float = 0.7, share: float = 1 / 16
) -> float:
    p, truth = counted(logits, target)
    true = p[np.arange(len(truth)), truth]
    number = max((true < threshold).sum(), int(np.ceil(share * len(true))))
    hard = np.argsort(true)[:number]
    weights = np.ones(len(truth)) if weight is None else weight.numpy()[truth]
    return float(np.average(-np.log(true[hard]), weights=weights[hard]))


def numpy_lovasz(logits: Tensor, target: Tensor, weight: Tensor | None) -> float:
    """By the definition: 1 - IoU of the sets that grow by one wrong pixel after the other, the worst one first."""
    p, truth = counted(logits, target)
    losses, weights = [], []
    for c in np.unique(truth):
        true = set(np.flatnonzero(truth == c))
        errors = np.abs((truth == c) - p[:, c])
        loss, before, wrong = 0.0, 0.0, set()
        for pixel in np.argsort(-errors):
            wrong.add(pixel)
            now = len(wrong) / len(true | wrong)
            loss, before = loss + errors[pixel] * (now - before), now
        losses.append(loss)
        weights.append(1.0 if weight is None else float(weight[c]))
    return float(np.average(losses, weights=weights))


def numpy_boundary(logits: Tensor, target: Tensor, weight: Tensor | None, width: int = 2) -> float:
    """Pixel by pixel, from the paper's formulas (2) to (6) with 1 added above and below each line."""
    p = torch.softmax(logits.double(), dim=1).numpy()
    counts = target.numpy() != 255

    def window(image: int, y: int, x: int, reach: int) -> list[tuple[int, int, int]]:
        _, height, broad = counts.shape
        rows = range(max(y - reach, 0), min(y + reach + 1, height))
        columns = range(max(x - reach, 0), min(x + reach + 1, broad))
        return [(image, row, column) for row in rows for column in columns]

    def edges(inside: np.ndarray) -> np.ndarray:
        found = np.zeros(counts.shape)
        for at in zip(*np.nonzero(counts), strict=True):
            found[at] = max(inside[at] - inside[near] for near in window(*at, 1) if counts[near])
        return found

    losses, weights = [], []
    for c in np.unique(target.numpy()[counts]):
        drawn, predicted = edges((target.numpy() == c).astype(float)), edges(p[:, c])
        if not drawn.any():
            continue
        near_drawn, near_predicted = (
            np.array([max(one[near] for near in window(*at, width)) for at in np.ndindex(one.shape)]).reshape(
                one.shape
            )
            for one in (drawn, predicted)
        )
        precision = ((predicted * near_drawn).sum() + 1) / (predicted.sum() + 1)
        recall = ((drawn * near_predicted).sum() + 1) / (drawn.sum() + 1)
        losses.append(1 - 2 * precision * recall / (precision + recall))
        weights.append(1.0 if weight is None else float(weight[c]))
    return float(np.average(losses, weights=weights))


@WEIGHTS
@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.9])
def test_cross_entropy_is_torchs(weight: Tensor | None, smoothing: float) -> None:
    logits, target = batch()
    total = F.cross_entropy(
        logits, target, weight, ignore_index=255, label_smoothing=smoothing, reduction="sum"
    ).item()
    truth = target[target != 255]
    expected = total / float(len(truth) if weight is None else weight[truth].sum())
    assert cross_entropy(logits, target, weight, label_smoothing=smoothing).item() == pytest.approx(
        expected, rel=1e-6
    )


@WEIGHTS
def test_without_label_smoothing_cross_entropy_is_torchs_mean(weight: Tensor | None) -> None:
    logits, target = batch()
    expected = F.cross_entropy(logits, target, weight, ignore_index=255)
    assert cross_entropy(logits, target, weight).item() == pytest.approx(expected.item(), rel=1e-6)


@WEIGHTS
@pytest.mark.parametrize("name", ["ohem", "ce+dice", "ce+lovasz", "ce+boundary"])
def test_label_smoothing_changes_no_more_than_the_cross_entropy(name: str, weight: Tensor | None) -> None:
    logits, target = batch()
    smoothed, plain = (
        make_loss(LossSettings(name=name, label_smoothing=smoothing, ohem_threshold=1.0), weight, 255)(
            logits, target
        )
        for smoothing in (0.2, 0.0)
    )
    expected = cross_entropy(logits, target, weight, label_smoothing=0.2) - cross_entropy(logits, target, weight)
    torch.testing.assert_close(smoothed - plain, expected, rtol=1e-4, atol=1e-6)


@WEIGHTS
@pytest.mark.parametrize(
    ("threshold", "share"), [(0.7, 1 / 16), (0.3, 1 / 16), (0.0, 0.3), (0.0, 0.01), (0.0, 1.0), (1.0, 0.1)]
)
def test_ohem_is_that_of_numpy(weight: Tensor | None, threshold: float, share: float) -> None:
    logits, target = batch()
    assert ohem(logits, target, weight, threshold=threshold, share=share).item() == pytest.approx(
        numpy_ohem(logits, target, weight, threshold, share), rel=1e-5
    )


def test_ohem_learns_from_the_hardest_pixels_alone() -> None:
    """Of ten pixels one is ignored and one is wrong: with a threshold, or with a share of nine, that one counts."""
    p = torch.tensor([0.9, 0.8, 0.95, 0.2, 0.9, 0.85, 0.99, 0.9, 0.9, 0.1]).view(1, 1, 2, 5)
    target = torch.zeros(1, 2, 5, dtype=torch.int64)
    target[0, 1, 4] = 255
    for threshold, share, number in [(0.5, 0.1, 1), (0.0, 0.1, 1), (0.0, 1 / 9, 1), (0.0, 0.2, 2), (0.82, 0.1, 2)]:
        logits = torch.cat([p, 1 - p], dim=1).log().requires_grad_()
        loss = ohem(logits, target, threshold=threshold, share=share)
        loss.backward()
        assert loss.item() == pytest.approx(-np.log([0.2, 0.8][:number]).mean(), rel=1e-5)
        moved = logits.grad.abs().sum(dim=(0, 1)).nonzero().tolist()
        assert moved == [[0, 1], [0, 3]][-number:]


@WEIGHTS
def test_lovasz_is_that_of_numpy(weight: Tensor | None) -> None:
    logits, target = batch()
    assert lovasz(logits, target, weight).item() == pytest.approx(numpy_lovasz(logits, target, weight), rel=1e-5)


def test_lovasz_of_three_pixels_by_hand() -> None:
    """Class 0 is wrong by 0.6 and 0.2 where it is, and by 0.3 where class 1 is: 1 - IoU grows 1/2, 2/3, 1."""
    p = torch.tensor([0.4, 0.8, 0.3]).view(1, 1, 1, 3)
    logits, target = torch.cat([p, 1 - p], dim=1).log(), torch.tensor([[[0, 0, 1]]])
    zero = 0.6 * 1 / 2 + 0.3 * (2 / 3 - 1 / 2) + 0.2 * (1 - 2 / 3)
    one = 0.6 * 1 / 2 + 0.3 * (1 - 1 / 2)  # of its own pixel and the two others: 1/2, 1, 1
    assert lovasz(logits, target).item() == pytest.approx((zero + one) / 2)
    assert lovasz(logits, target, torch.tensor([3.0, 1.0])).item() == pytest.approx((3 * zero + one) / 4)


def test_lovasz_of_a_hard_prediction_is_one_minus_the_mean_iou() -> None:
    _, target = batch(ignored=0)
    predicted = torch.roll(target, 1, dims=2)
    hard = 60.0 * F.one_hot(predicted, 4).permute(0, 3, 1, 2)
    ious = [
        ((predicted == c) & (target == c)).sum() / ((predicted == c) | (target == c)).sum()
        for c in target.unique().tolist()
    ]
    assert lovasz(hard, target).item() == pytest.approx(1 - torch.stack(ious).mean().item(), rel=1e-5)


def test_lovasz_keeps_its_steps_among_millions_of_pixels() -> None:
    """All pixels are of one class and equally wrong: each is one step of 1/n."""
    p = torch.full((1, 1, 2000, 2000), 0.25)
    logits = torch.cat([p, 1 - p], dim=1).log().requires_grad_()
    loss = lovasz(logits, torch.zeros(1, 2000, 2000, dtype=torch.int64))
    loss.backward()
    assert loss.item() == pytest.approx(0.75, rel=1e-4)
    expected = torch.full((2000, 2000), -0.25 * 0.75 / 4e6)
    torch.testing.assert_close(logits.grad[0, 0], expected, rtol=1e-4, atol=0)


@WEIGHTS
@pytest.mark.parametrize("width", [1, 2])
def test_boundary_is_that_of_numpy(weight: Tensor | None, width: int) -> None:
    logits, target = batch()
    target[1] = 0  # no boundary there
    assert boundary(logits, target, weight, width=width).item() == pytest.approx(
        numpy_boundary(logits, target, weight, width), rel=1e-5
    )


@pytest.mark.parametrize(("shift", "met"), [(0, True), (1, True), (2, True), (3, False), (-2, True), (-3, False)])
def test_boundaries_meet_up_to_their_width(shift: int, met: bool) -> None:
    """A vertical line through nine rows, predicted some columns aside: beyond two of them, 1 of 9 + 1 is met."""
    drawn, predicted = ((torch.arange(16) >= 8 + columns).long().expand(1, 9, 16) for columns in (0, shift))
    logits = 40.0 * F.one_hot(predicted, 2).permute(0, 3, 1, 2)
    assert boundary(logits, drawn, width=2).item() == pytest.approx(0.0 if met else 9 / 10, abs=1e-6)


def test_neither_ignored_pixels_nor_the_edge_of_the_picture_make_a_boundary() -> None:
    target = torch.zeros(1, 6, 8, dtype=torch.int64)
    target[0, 2:4, 3:5] = 255
    logits = torch.randn(1, 2, 6, 8)
    assert boundary(logits, target).item() == 0
    assert boundary(logits, target.fill_(1)).item() == 0


@pytest.mark.parametrize(
    ("loss", "reference"), [(ohem, numpy_ohem), (lovasz, numpy_lovasz), (boundary, numpy_boundary)]
)
def test_gradients_are_the_slopes_of_the_numpy_losses(loss: Callable, reference: Callable) -> None:
    logits, target = (part[:1, ..., :4, :5].clone() for part in batch())
    loss(logits.requires_grad_(), target, WEIGHT).backward()
    slopes, step = torch.zeros_like(logits), 1e-5
    with torch.no_grad():
        for at in np.ndindex(*logits.shape):
            above, below = logits.double(), logits.double()
            above[at] += step
            below[at] -= step
            slopes[at] = (reference(above, target, WEIGHT) - reference(below, target, WEIGHT)) / (2 * step)
    torch.testing.assert_close(logits.grad, slopes, rtol=1e-3, atol=1e-5)


@WEIGHTS
@pytest.mark.parametrize("share", [0.5, 1.0])
def test_cross_entropy_with_another_loss_is_their_sum(weight: Tensor | None, share: float) -> None:
    logits, target = batch()
    alone = cross_entropy(logits, target, weight)
    torch.testing.assert_close(
        cross_entropy_lovasz(logits, target, weight, lovasz_weight=share),
        alone + share * lovasz(logits, target, weight),
    )
    torch.testing.assert_close(
        cross_entropy_boundary(logits, target, weight, boundary_weight=share, width=3),
        alone + share * boundary(logits, target, weight, width=3),
    )


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
        (
            LossSettings(name="ohem", ohem_threshold=0.4, ohem_share=0.3),
            partial(ohem, threshold=0.4, share=0.3),
        ),
        (LossSettings(name="lovasz"), lovasz),
        (LossSettings(name="ce+lovasz", lovasz_weight=0.3), partial(cross_entropy_lovasz, lovasz_weight=0.3)),
        (
            LossSettings(name="ce+boundary", boundary_weight=0.3, boundary_width=1),
            partial(cross_entropy_boundary, boundary_weight=0.3, width=1),
        ),
        (LossSettings(name="ce", label_smoothing=0.1), partial(cross_entropy, label_smoothing=0.1)),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_settings_reach_the_loss(settings: LossSettings, function: Callable[..., Tensor]) -> None:
    logits, target = batch()
    assert make_loss(settings, WEIGHT, 255)(logits, target).equal(function(logits, target, WEIGHT))


def test_the_settings_above_cover_every_loss() -> None:
    combined = {"ce+dice", "ce+lovasz", "ce+boundary"}
    assert set(LOSSES) == {"ce", "ohem", "focal", "dice", "tversky", "lovasz"} | combined


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


@pytest.mark.parametrize("name", [name for name in LOSSES if name != "ohem"])
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


@pytest.mark.parametrize("function", [dice, tversky, lovasz])
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
    loss = make_loss(LossSettings(name=name, focal_gamma=gamma, label_smoothing=0.1), WEIGHT, 255)(logits, target)
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


def test_auxiliary_heads_count_with_their_weight_halved_from_each_to_the_next() -> None:
    logits, target = batch()
    loss = named("ce")
    labels = torch.randn(2, 4)
    heads = [(logits, target), (logits * 2, target), (labels, target), (logits * 3, target)]
    expected = [
        loss(logits, target),
        0.4 * loss(logits * 2, target),
        0.2 * presence(labels, target),
        0.1 * loss(logits * 3, target),
    ]
    for number in (1, 2, 3, 4):
        torch.testing.assert_close(of_all_heads(loss, heads[:number], 0.4, 255), sum(expected[:number]))
    assert of_all_heads(loss, heads[:1], 0.4, 255).equal(expected[0])
    assert of_all_heads(loss, heads[:2], 0.4, 255).equal(expected[0] + expected[1])
