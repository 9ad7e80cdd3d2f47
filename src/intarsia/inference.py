"""Inference: one image of any size -> logits or class indices, in float32, the same for all who ask.

Training's validation, evaluate and predict all pass through here, so that a score belongs to what predict writes.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import chain, groupby, islice
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from intarsia.ahead import mapped
from intarsia.cores import CORES, threads_for
from intarsia.data.dataset import to_tensor
from intarsia.errors import MachineError, first_line
from intarsia.memory import is_out_of_memory, memory_of
from intarsia.networks.ensemble import Model
from intarsia.tiles import Window, fitting
from intarsia.tiling import Block, Tiling, blended, bytes_per_pixel

_TILE = 1024  # pixels a side, where nothing is said
_SMALLEST_TILE = 256
_LARGEST_WHOLE = 16_000_000  # pixels of a picture that is predicted in one piece, where memory allows
_SHARE = 4  # of the memory, the part that a picture may take, if all layers' outputs were kept

A = TypeVar("A", NDArray[Any], Tensor)


def predict_logits(model: Model, image: NDArray[Any]) -> Tensor:
    """Logits of one image, in one piece.

    Args:
        model: in eval mode, on any device.
        image: [H, W, bands] uint8, uint16 or float32, raw values.

    Returns:
        [C, H, W] float32, on the model's device.
    """
    return predict_batch(model, image[None])[0]


@torch.no_grad()  # not inference_mode: some networks keep tensors (BEiT), and may be trained on with them
def predict_batch(model: Model, images: NDArray[Any]) -> Tensor:
    """[B, H, W, bands] -> [B, C, H, W]; see `predict_logits`."""
    device = model.mean.device
    images = np.require(images, requirements=("C", "W"))  # torch takes neither flipped nor read-only arrays
    try:
        logits: Tensor = model(to_tensor(images).to(device))
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise MachineError(_does_not_fit(images.shape, device, error)) from None
    return logits


def _does_not_fit(shape: tuple[int, ...], device: torch.device, error: BaseException) -> str:
    number, height, width, _ = shape
    reason = first_line(error)
    other = "" if device.type == "cpu" else ", or say --device cpu"
    if number > 1:
        return (
            f"{number} pictures or tiles of {height}x{width} pixels do not fit into the memory of {device} at "
            f"once: {reason}. Give --batch 1{other}."
        )
    smaller = max(_SMALLEST_TILE, min(_TILE, max(height, width) // 2))
    return (
        f"{height}x{width} pixels do not fit into the memory of {device} in one piece: {reason}. Give a smaller "
        f"tile, such as --tile {smaller}{other}."
    )


def predict_classes(model: Model, image: NDArray[Any]) -> Tensor:
    """[H, W] int64 class indices of one image of any size; arguments as for `predict_logits`.

    In one piece where it fits, else in tiles; see `tiling_for`.
    """
    height, width = image.shape[:2]
    if height * width <= _TILE**2:
        return predict_logits(model, image).argmax(dim=0)
    classes = torch.empty(height, width, dtype=torch.int64, device=model.mean.device)
    tiling = tiling_for(model, height, width)
    for window, logits in predict_blocks(model, (cut(image, window) for window in tiling.windows), tiling):
        cut(classes, window)[:] = logits.argmax(dim=0)
    return classes


def cut(image: A, window: Window) -> A:
    """The part of an array or tensor [H, W, ...] that lies in a window."""
    return image[window.top : window.top + window.height, window.left : window.left + window.width]


def predict_blocks(
    model: Model, pixels: Iterable[NDArray[Any]], tiling: Tiling, batch: int = 1, threads: int = 1
) -> Iterator[Block]:
    """Logits of a picture of any size, in blocks; memory grows with the tiles, not with the picture.

    Args:
        model: in eval mode, on any device.
        pixels: [h, w, bands] raw values of the tiling's windows, in their order.
        tiling: which windows; see `tiling_for`.
        batch: tiles that the network sees at once.
        threads: that ask it; see `several_at_once`.
    """
    batches = _batches(pixels, batch)
    if threads == 1:
        return blended(chain.from_iterable(predict_batch(model, images) for images in batches), tiling)
    answers = mapped(lambda images: predict_batch(model, images), batches, threads, threads)
    return blended(chain.from_iterable(answers), tiling)


def _batches(pixels: Iterable[NDArray[Any]], most: int) -> Iterator[NDArray[Any]]:
    """[B, h, w, bands] of arrays [h, w, bands] in order: those of one shape that follow each other go together."""
    for _, alike in groupby(pixels, key=lambda array: array.shape):
        while waiting := list(islice(alike, most)):
            yield np.stack(waiting)


@contextmanager
def several_at_once(model: Model, *, alone: bool = False) -> Iterator[int]:
    """The number of threads that may ask a model at the same time, each about pictures of its own.

    On a CPU as many as torch has (8 at most, which share what there is, see `cores`): none waits for the others at
    the end of every layer, which takes a fifth less time. Elsewhere one.

    Args:
        model: that is asked.
        alone: one in any case.
    """
    threads = 1 if alone else _askers(model)
    with CORES.shared(threads):
        yield threads


def _askers(model: Model) -> int:
    return threads_for(CORES.number()) if model.mean.device.type == "cpu" else 1


def tiling_for(
    model: Model,
    height: int,
    width: int,
    tile: int | None = None,
    overlap: int | None = None,
    least: int = 0,
    fitting_in: int | None = None,
) -> Tiling:
    """The tiles for a picture.

    Where no tile is given: the whole picture, if it has no more than 1024 x 1024 pixels, or, where no overlap is
    given either, no more than 16 million that fit into memory (see `pixels_that_fit`); else tiles of 1024 pixels a
    side, or of `least` where that is more, or of half and half again until they fit.

    Args:
        model: that will be asked.
        height: of the picture.
        width: of the picture.
        tile: side in pixels, rounded up to what the network works in; None to choose.
        overlap: in pixels; None for an eighth of the tile.
        least: side of the pictures that the model was trained on.
        fitting_in: see `pixels_that_fit`; None to find out.

    Raises:
        SettingsError: see `tiles.fitting`.
    """
    chosen = tile is None
    if tile is None:
        whole = max(height, width)
        if height * width <= _TILE**2:
            return Tiling.of(height, width, whole, 0, 1)
        pixels = pixels_that_fit(model) if fitting_in is None else fitting_in
        if overlap is None and height * width <= min(pixels, _LARGEST_WHOLE):
            return Tiling.of(height, width, whole, 0, 1)
        tile = chosen_tile(model, least, pixels)
    tile, between = fitting(tile, overlap, model.step, chosen=chosen)
    return Tiling.of(height, width, tile, between, model.step)


def largest_tile(least: int) -> int:
    """Side of the tiles that are chosen where memory allows; `least` as for `tiling_for`."""
    return max(_TILE, least)


def chosen_tile(model: Model, least: int, pixels: int) -> int:
    """Side of the tiles that are chosen where so many pixels fit into memory; see `tiling_for`."""
    tile = largest_tile(least)
    while tile**2 > pixels and tile // 2 >= max(_SMALLEST_TILE, model.step):
        tile //= 2
    return tile


def pixels_that_fit(model: Model) -> int:
    """Pixels of the largest picture or tile that is predicted in one piece.

    It depends on the machine and not on what else runs there, so that the same command gives the same tiles: those
    for which all layers' outputs would fill a quarter of the device's memory. Layers free theirs as they go: with
    our own networks about a sixteenth is taken.
    """
    return max(memory_of(model.mean.device) // _SHARE // bytes_per_pixel(model), 1)


def find_device(name: str | None = None) -> torch.device:
    """The device of this name, or the fastest there is.

    Raises:
        MachineError: this machine or this build of torch has no such device.
    """
    if name is None:
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = first_line(error)
        raise MachineError(f"Device {name!r} cannot be used: {reason}. Leave --device out, or say cpu.") from None
    return device
