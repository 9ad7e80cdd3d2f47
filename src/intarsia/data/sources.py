"""Where a mask comes from: one file, several files of one class or object each, or shapes in an annotation file."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from intarsia.data.read import MOST_PIXELS, read_mask
from intarsia.errors import DataError
from intarsia.labels import Encoding

Draw = Callable[[NDArray[np.uint16]], None]
"""Draws one shape into a canvas [H, W] of stored values; see `data.shapes`."""


@dataclass(frozen=True, slots=True)
class Layers:
    """Several two-valued mask files: one for each class, or one for each object.

    Attributes:
        parts: (file, stored value of its pixels that are not 0); where they overlap, the later one is on top.
            Pixels in none have the value 0.
    """

    parts: tuple[tuple[Path, int], ...]

    @property
    def path(self) -> Path:
        """What to name in messages."""
        return self.parts[0][0] if len(self.parts) == 1 else self.parts[0][0].parent


@dataclass(frozen=True, slots=True, eq=False)
class Shapes:
    """Shapes that an annotation file describes.

    Attributes:
        path: the annotation file.
        shapes: drawn in order, later ones on top.
        size: (height, width) that the annotation file says of the image; None when it says nothing.
        base: the stored value of pixels outside all shapes.
    """

    path: Path
    shapes: Sequence[Draw]
    size: tuple[int, int] | None = None
    base: int = 0


MaskSource = Path | Layers | Shapes


def path_of(source: MaskSource) -> Path:
    """The file to name in messages."""
    return source if isinstance(source, Path) else source.path


def files_of(source: MaskSource) -> tuple[Path, ...]:
    """All files that the mask is made of."""
    if isinstance(source, Layers):
        return tuple(path for path, _ in source.parts)
    return (path_of(source),)


def read_source(
    source: MaskSource, image_size: tuple[int, int], encoding: Encoding = "values", *, lossy: bool = False
) -> NDArray[Any]:
    """[H, W] stored values of a mask, whatever it comes from.

    Args:
        source: where it comes from.
        image_size: (height, width) of the image, for shapes whose annotation file does not say it.
        encoding: what the pixels of a mask file are.
        lossy: accept JPEG.

    Raises:
        DataError: as `read_mask`; layers of different sizes; shapes that cannot be drawn.
    """
    if isinstance(source, Path):
        return read_mask(source, encoding, lossy=lossy)
    stored = _stack(source) if isinstance(source, Layers) else _draw(source, source.size or image_size)
    return (stored != 0).astype(np.uint8) if encoding == "objects" else stored


def _draw(source: Shapes, size: tuple[int, int]) -> NDArray[np.uint16]:
    if size[0] * size[1] > MOST_PIXELS:
        raise DataError(
            f"{source.path}: names a picture of {size[0]}x{size[1]}: at most {MOST_PIXELS:,} are drawn."
        )
    canvas = np.full(size, source.base, dtype=np.uint16)
    try:
        for draw in source.shapes:
            draw(canvas)
    except DataError as error:
        raise DataError(f"{source.path}: {error}") from None
    return canvas


def _stack(source: Layers) -> NDArray[np.uint16]:
    canvas: NDArray[np.uint16] | None = None
    for path, value in source.parts:
        inside = read_mask(path, "objects")
        if canvas is None:
            canvas = np.zeros(inside.shape, dtype=np.uint16)
        if inside.shape != canvas.shape:
            raise DataError(
                f"{path}: mask of {inside.shape[0]}x{inside.shape[1]} (height x width), but "
                f"{source.parts[0][0].name} of the same image has {canvas.shape[0]}x{canvas.shape[1]}."
            )
        canvas[inside != 0] = value
    assert canvas is not None, "layers are never empty"
    return canvas
