"""Augmentation: one warp for image and mask, then light on the image alone.

All geometry (zoom, shift, rotation, flips, crop to the training size) is composed into ONE affine matrix and
applied once: the image linearly and padded with 0, or NaN in floats, the mask by nearest neighbour and padded with
the ignore index. Photometry is a look-up table and never sees the mask. Every random number comes from the
generator that is handed in, which `sample_generator` makes from (seed, epoch, index) alone, so that results do not
depend on the number of workers. What makes one pair of several is in `mixing`.

Shapes: image [H, W, bands], mask [H, W] of class indices; sizes are (height, width).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from intarsia.settings import AugmentSettings

Image = NDArray[Any]
Mask = NDArray[Any]
Transform = Callable[[Image, Mask, np.random.Generator], tuple[Image, Mask]]
"""Anything that varies a pair: (image, mask, generator) -> (image, mask), both of the training size."""

_OPENCV_BANDS = 4  # OpenCV warps at most this many bands at once
_NOISE_LENGTH = 1 << 20
_NOISE_UNIT = 64  # one standard deviation in the noise bank


def sample_generator(seed: int, epoch: int, index: int, further: int = 0, partner: int = 0) -> np.random.Generator:
    """The source of all randomness of one sample.

    Args:
        seed: of the training.
        epoch: number of the pass over the pairs.
        index: of the pair.
        further: tells apart samples of one pair in an epoch.
        partner: from 1 on, for another pair that is mixed into the sample.
    """
    key = (seed, epoch, index)
    if partner:
        return np.random.default_rng((*key, further, partner))
    return np.random.default_rng((*key, further) if further else key)


@dataclass(frozen=True)
class Augment:
    """The built-in `Transform`.

    Attributes:
        settings: the ranges.
        size: (height, width) of the results.
        ignore_index: what the mask is padded with.
        rare: classes that `settings.rare_share` of the views is centred on, as `weights.rare_classes` gives them.
    """

    settings: AugmentSettings
    size: tuple[int, int]
    ignore_index: int
    rare: tuple[int, ...] = ()

    def __call__(self, image: Image, mask: Mask, rng: np.random.Generator) -> tuple[Image, Mask]:
        """Varies one pair; `image` uint8, uint16 or float32."""
        height, width = image.shape[:2]
        share = self.settings.rare_share
        pixel = pixel_of(self.rare, mask, rng) if share and rng.random() < share else None
        matrix = random_affine(rng, (height, width), self.size, self.settings, pixel)
        warped_image, warped_mask = warp(image, mask, matrix, self.size, self.ignore_index)
        return photometry(warped_image, rng, self.settings), warped_mask


def pixel_of(classes: Sequence[int], mask: Mask, rng: np.random.Generator) -> tuple[int, int] | None:
    """(row, column) of any pixel of a class that is drawn evenly from those in the mask; None if there is none."""
    for one in rng.permutation(classes).tolist():
        places = np.flatnonzero(mask == one)
        if len(places):
            row, column = divmod(int(places[rng.integers(len(places))]), mask.shape[1])
            return row, column
    return None


def random_affine(
    rng: np.random.Generator,
    source: tuple[int, int],
    target: tuple[int, int],
    settings: AugmentSettings,
    pixel: tuple[int, int] | None = None,
) -> NDArray[np.float64]:
    """Draws the matrix [2, 3] that takes a pixel (x, y) of the result to its place in the source.

    The view is a rotated rectangle of target / zoom pixels. Where it is smaller than the source it lies anywhere
    inside, where it is larger the source lies anywhere inside it; then it is shifted by `settings.shift`. Or, where
    a pixel (row, column) of the source is given, that one is at (height // 2, width // 2) of the result.
    """
    low, high = settings.scale
    zoom = np.exp(rng.uniform(np.log(low), np.log(high)))
    angle = np.deg2rad(rng.uniform(-settings.rotate, settings.rotate))
    mirror_x = -1.0 if rng.random() < settings.flip_horizontal else 1.0
    mirror_y = -1.0 if rng.random() < settings.flip_vertical else 1.0
    view = np.array([target[1], target[0]]) / zoom  # (x, y) from here on, as OpenCV has it
    extent = np.array([source[1], source[0]], dtype=np.float64)
    slack = np.abs(extent - view) / 2
    centre = extent / 2 + rng.uniform(-1, 1, 2) * slack + rng.uniform(-1, 1, 2) * settings.shift * view

    cos, sin = np.cos(angle) / zoom, np.sin(angle) / zoom
    turn = np.array([[cos * mirror_x, -sin * mirror_y], [sin * mirror_x, cos * mirror_y]])
    if pixel is not None:
        return np.column_stack([turn, np.array(pixel[::-1]) - turn @ np.array([target[1] // 2, target[0] // 2])])
    middle = np.array([target[1] - 1, target[0] - 1]) / 2  # pixel centres have whole coordinates
    return np.column_stack([turn, centre - 0.5 - turn @ middle])


def warp(
    image: Image, mask: Mask, matrix: NDArray[np.float64], size: tuple[int, int], ignore_index: int
) -> tuple[Image, Mask]:
    """Applies a matrix of `random_affine`: image linear, mask nearest.

    The mask is padded with `ignore_index`, the image with 0; with NaN where it is of floats, in which 0 may be far
    from all there is (temperatures in kelvin).
    """
    target = (size[1], size[0])
    inverse = cv2.WARP_INVERSE_MAP
    bands, floats = image.shape[2], image.dtype == np.float32
    beyond = cv2.BORDER_REPLICATE if floats else cv2.BORDER_CONSTANT
    if bands == 3:  # OpenCV warps four bands in half the time of three
        image = cv2.cvtColor(image, cv2.COLOR_RGB2RGBA)
    parts = [
        cv2.warpAffine(part, matrix, target, flags=cv2.INTER_LINEAR | inverse, borderMode=beyond)
        for part in (image[:, :, start : start + _OPENCV_BANDS] for start in range(0, bands, _OPENCV_BANDS))
    ]
    warped_image = np.concatenate([np.atleast_3d(part) for part in parts], axis=2) if len(parts) > 1 else parts[0]
    if bands == 3:
        warped_image = cv2.cvtColor(warped_image, cv2.COLOR_RGBA2RGB)
    if floats:
        within = np.ones(mask.shape, np.uint8)
        warped_image[cv2.warpAffine(within, matrix, target, flags=cv2.INTER_NEAREST | inverse) == 0] = np.nan
    warped_mask = cv2.warpAffine(
        mask,
        matrix,
        target,
        flags=cv2.INTER_NEAREST | inverse,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=ignore_index,
    )
    return warped_image.reshape(*size, -1), warped_mask


def photometry(image: Image, rng: np.random.Generator, settings: AugmentSettings) -> Image:
    """Brightness, contrast, gamma, saturation, blur and noise; the units of `settings` are shares of white.

    Args:
        image: [H, W, bands] uint8 or uint16 (white is the dtype's largest value), or float32 (white is each band's
            own value of the largest magnitude, as bands may be of unlike units; NaN stays NaN).
        rng: drawn from in a fixed order, whatever is switched off.
        settings: the ranges.
    """
    brightness, contrast, gamma, saturation = rng.uniform(-1, 1, 4) * (
        settings.brightness,
        settings.contrast,
        settings.gamma,
        settings.saturation,
    )
    sigma, deviation = rng.uniform(-1, 1, 2) * (settings.blur, settings.noise)  # none for half of the images
    white = _white(image)
    image = _tone(image, white, brightness, 1 + contrast, 1 + gamma)
    if image.shape[2] == 3 and saturation:
        image = _saturate(image, white, 1 + saturation)
    if sigma > 0.3:  # below, the kernel is a single pixel
        image = _blur(image, sigma)
    if deviation > 0:
        start = int(rng.integers(_NOISE_LENGTH))
        image = _add_noise(image, float(deviation) * white, start)
    return image


def _white(image: Image) -> NDArray[Any]:
    """[bands] of floats, [1] of whole numbers."""
    if image.dtype != np.float32:
        return np.array([np.iinfo(image.dtype).max], np.float64)
    high, low = (side.reduce(side.reduce(image, axis=0), axis=0) for side in (np.fmax, np.fmin))  # NaN is neither
    white = np.where(high >= -low, high, low)
    return np.where(np.isfinite(white) & (white != 0), white, np.float32(1))


def _tone(image: Image, white: NDArray[Any], brightness: float, contrast: float, gamma: float) -> Image:
    """((x - 1/2) * contrast + 1/2 + brightness) ** gamma, with x and the result in 0..1 of white.

    Floats may lie outside of 0..1, and stay there: without gamma.
    """
    if image.dtype == np.float32:
        added = white * np.float32((1 - contrast) / 2 + brightness)
        return image * np.float32(contrast) + np.tile(added, image.shape[1]).reshape(image.shape[1:])
    most = int(white[0])
    ramp = np.linspace(0, 1, most + 1)
    table = np.clip((ramp - 0.5) * contrast + 0.5 + brightness, 0, 1) ** gamma * most
    if image.dtype == np.uint8:
        return cv2.LUT(image, table.round().astype(np.uint8)).reshape(image.shape)
    tone: Image = table.round().astype(np.uint16)[image]
    return tone


def _saturate(image: Image, white: NDArray[Any], amount: float) -> Image:
    """Moves every colour away from (amount > 1) or towards its grey: the ITU-R BT.601 luma, of shares of white."""
    luma = np.array([0.299, 0.587, 0.114])
    matrix = amount * np.eye(3) + (1 - amount) * luma
    return cv2.transform(image, matrix * np.divide.outer(white, white))


def _blur(image: Image, sigma: float) -> Image:
    """Gaussian; NaN stays where it is and weighs nothing, so that the means are of numbers."""
    missing = np.isnan(image) if image.dtype == np.float32 else None
    if missing is None or not missing.any():
        return cv2.GaussianBlur(image, (0, 0), sigma).reshape(image.shape)
    parts = np.where(missing, np.float32(0), image), (~missing).astype(np.float32)
    sums, weights = (cv2.GaussianBlur(part, (0, 0), sigma).reshape(image.shape) for part in parts)
    weights[missing] = np.nan
    blurred: Image = sums / weights
    return blurred


def _add_noise(image: Image, deviation: NDArray[Any], start: int) -> Image:
    """Adds normal noise, taken from a bank at `start`: 20 times faster than drawing it anew.

    `deviation` is [bands] for floats, [1] for whole numbers.
    """
    bank = _noise_bank()
    repeats = -(-(start + image.size) // bank.size)
    noise = (np.tile(bank, repeats) if repeats > 1 else bank)[start : start + image.size]
    amount = deviation / _NOISE_UNIT
    if image.dtype == np.float32:
        amounts = np.tile(amount, image.shape[1]).reshape(image.shape[1:])
        noisy: Image = image + noise.reshape(image.shape) * amounts
        return noisy
    depth = {np.dtype(np.uint8): cv2.CV_8U, np.dtype(np.uint16): cv2.CV_16U}[image.dtype]
    flat = image.reshape(image.shape[0], -1)
    return cv2.addWeighted(flat, 1.0, noise.reshape(flat.shape), amount[0], 0.0, dtype=depth).reshape(image.shape)


@cache
def _noise_bank() -> NDArray[np.int16]:
    return (np.random.default_rng(0).standard_normal(_NOISE_LENGTH) * _NOISE_UNIT).round().astype(np.int16)
