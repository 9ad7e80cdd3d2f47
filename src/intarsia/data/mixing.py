"""Mixing: a training pair made of several, each varied and of the training size already.

What is taken from another pair, image and mask alike, lies where it lay there: nothing is resampled or blended.
Every random number comes from the generator that is handed in.

Shapes: image [H, W, bands], mask [H, W] of class indices, the same in all pairs that are mixed.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from intarsia.data.augment import Image, Mask
from intarsia.settings import AugmentSettings


@dataclass(frozen=True)
class Mixing:
    """Which of the mixes a pair goes through: mosaic, then cutmix, then copy_paste, each with its probability.

    Attributes:
        settings: the probabilities.
        rare: the classes that `copy_paste` pastes, as `weights.rare_classes` gives them.
    """

    settings: AugmentSettings
    rare: tuple[int, ...] = ()

    def __call__(
        self, image: Image, mask: Mask, partner: Callable[[], tuple[Image, Mask]], rng: np.random.Generator
    ) -> tuple[Image, Mask]:
        """Mixes one pair with as many partners as it needs.

        Args:
            image: [H, W, bands].
            mask: [H, W].
            partner: draws another pair; called only where one is needed.
            rng: the sample's own generator.
        """
        settings = self.settings
        in_mosaic, cut, pasted = rng.random(3) < (settings.mosaic, settings.cutmix, settings.copy_paste)
        if in_mosaic:
            image, mask = mosaic([(image, mask), partner(), partner(), partner()], rng)
        if cut:
            image, mask = cutmix((image, mask), partner(), rng)
        if pasted:
            image, mask = copy_paste((image, mask), partner(), self.rare, rng)
        return image, mask


def cutmix(pair: tuple[Image, Mask], other: tuple[Image, Mask], rng: np.random.Generator) -> tuple[Image, Mask]:
    """Puts a rectangle of another pair into a pair.

    Yun et al.: "CutMix: Regularization Strategy to Train Strong Classifiers with Localizable Features" (2019), with
    the mask cut like the image: the rectangle has the picture's proportions and a share of its area that is uniform
    in 0..1; its centre lies anywhere, and what sticks out is cut off.
    """
    height, width = pair[1].shape
    side = np.sqrt(rng.random())
    rows, columns = (_span(rng.uniform(0, length), side * length) for length in (height, width))
    inside = np.zeros((height, width), dtype=bool)
    inside[rows, columns] = True
    return _replaced(pair, other, inside)


def mosaic(pairs: Sequence[tuple[Image, Mask]], rng: np.random.Generator) -> tuple[Image, Mask]:
    """Four pairs around a random centre, which lies in the middle half of the height and of the width.

    After Bochkovskiy, Wang, Liao: "YOLOv4" (2020). Top left, top right, bottom left, bottom right.
    """
    height, width = pairs[0][1].shape
    row, column = (round(rng.uniform(0.25, 0.75) * length) for length in (height, width))
    right, below = np.arange(width) >= column, np.arange(height)[:, None] >= row
    mixed = pairs[0]
    for other, inside in zip(pairs[1:], (right & ~below, ~right & below, right & below), strict=True):
        mixed = _replaced(mixed, other, inside)
    return mixed


def copy_paste(
    pair: tuple[Image, Mask], other: tuple[Image, Mask], classes: Sequence[int], rng: np.random.Generator
) -> tuple[Image, Mask]:
    """Pastes connected areas of some classes of another pair: one up to all of them, as many as drawn evenly.

    Ghiasi et al.: "Simple Copy-Paste is a Strong Data Augmentation Method for Instance Segmentation" (2021), which
    found that blending the edges adds nothing. Areas are connected by sides or corners. Where the other pair has
    none of these classes, the pair stays as it is.
    """
    areas, number = np.zeros(other[1].shape, dtype=np.int32), 0
    for one in classes:
        found, numbered = cv2.connectedComponents((other[1] == one).astype(np.uint8))  # 0 is what lies around them
        areas += np.where(numbered > 0, numbered + number, 0).astype(np.int32)
        number += found - 1
    if not number:
        return pair
    drawn = rng.permutation(number) < rng.integers(1, number + 1)
    return _replaced(pair, other, np.concatenate([[False], drawn])[areas])


def _span(centre: float, length: float) -> slice:
    """From `length` / 2 before a centre to as far behind it; the picture's end cuts it off."""
    return slice(max(round(centre - length / 2), 0), round(centre + length / 2))


def _replaced(pair: tuple[Image, Mask], other: tuple[Image, Mask], inside: NDArray[np.bool_]) -> tuple[Image, Mask]:
    """The other pair inside, the pair itself outside; both are left as they are."""
    return np.where(inside[:, :, None], other[0], pair[0]), np.where(inside, other[1], pair[1])
