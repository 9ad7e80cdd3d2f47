"""A picture of any size -> logits of all its pixels, block after block, in memory that does not grow with it.

Tiles are asked for row by row, from left to right. Of a row of tiles only what fades into the next row is kept.

Legend: C classes, h and w of a tile.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from intarsia.networks.ensemble import Model
from intarsia.tiles import Span, Window, rising, spans

_PROBE = 128  # side of the picture on which a model's memory is measured


@dataclass(frozen=True)
class Tiling:
    """Tiles that cover a picture.

    Attributes:
        rows: of tiles, from top to bottom.
        columns: of tiles, from left to right.
    """

    rows: list[Span]
    columns: list[Span]

    @classmethod
    def of(cls, height: int, width: int, tile: int, overlap: int, step: int) -> "Tiling":
        """Square tiles; see `tiles.spans`."""
        return cls(spans(height, tile, overlap, step), spans(width, tile, overlap, step))

    @property
    def whole(self) -> bool:
        """Whether there is but one tile, the picture itself."""
        return len(self.rows) == len(self.columns) == 1

    @property
    def tile(self) -> tuple[int, int]:
        """(height, width) of the tiles; those at the far edges may be smaller."""
        return self.rows[0].stop, self.columns[0].stop

    @property
    def windows(self) -> Iterator[Window]:
        """What the network sees, in the order in which it must be asked."""
        for row in self.rows:
            for column in self.columns:
                yield Window(row.start, column.start, row.stop - row.start, column.stop - column.start)


class Block(NamedTuple):
    """A part of a picture whose logits are final; the blocks of a picture cover each of its pixels once.

    Attributes:
        window: where it lies.
        logits: [C, height, width] float32.
    """

    window: Window
    logits: Tensor


@torch.no_grad()
def blended(answers: Iterable[Tensor], tiling: Tiling) -> Iterator[Block]:
    """The logits of overlapping tiles, made one: where two overlap, one fades into the other.

    Args:
        answers: [C, h, w] logits of each of the tiling's windows, in their order; they are written into.
        tiling: where they lie.

    Yields:
        Blocks, row after row of tiles, from left to right.
    """
    rest = iter(answers)
    above: list[Tensor | None] = [None] * len(tiling.columns)  # what fades out at the foot of the last row of tiles
    for row in tiling.rows:
        left: Tensor | None = None  # what fades out at the right of the last tile
        for number, column in enumerate(tiling.columns):
            logits = _contribution(next(rest), row, column)
            if left is not None:
                logits[:, :, : column.fade_in] += left
            width = column.last - column.first - column.fade_out
            left = logits[:, :, width:].clone() if column.fade_out else None
            block = logits[:, :, :width]
            if (carried := above[number]) is not None:
                block[:, : row.fade_in] += carried
            height = row.last - row.first - row.fade_out
            above[number] = block[:, height:].clone() if row.fade_out else None
            yield Block(Window(row.first, column.first, height, width), block[:, :height])


def _contribution(logits: Tensor, row: Span, column: Span) -> Tensor:
    """What a tile gives to the picture: [C, h, w] of the network -> [C, rows, columns], weighed where it fades."""
    part = logits[
        :, row.first - row.start : row.last - row.start, column.first - column.start : column.last - column.start
    ]
    _, height, width = part.shape
    part[:, : row.fade_in] *= _rising(row.fade_in, part)[:, None]
    part[:, height - row.fade_out :] *= 1 - _rising(row.fade_out, part)[:, None]
    part[:, :, : column.fade_in] *= _rising(column.fade_in, part)
    part[:, :, width - column.fade_out :] *= 1 - _rising(column.fade_out, part)
    return part


def _rising(length: int, like: Tensor) -> Tensor:
    return torch.from_numpy(rising(length)).to(like.device)


def bytes_per_pixel(model: Model) -> int:
    """Memory that a model takes for each pixel of a picture, at most: as if all its layers' outputs were kept.

    Measured on a small picture.
    """
    side = math.ceil(_PROBE / model.step) * model.step
    taken = 0

    def count(module: nn.Module, given: object, answer: object) -> None:
        nonlocal taken
        if isinstance(answer, Tensor) and not any(module.children()):
            taken += answer.numel() * answer.element_size()

    hooks = [module.register_forward_hook(count) for module in model.modules()]
    try:
        with torch.no_grad():
            picture = torch.zeros(1, model.bands, side, side, dtype=torch.uint8, device=model.mean.device)
            logits = model(picture)
    finally:
        for hook in hooks:
            hook.remove()
    return -int(-(taken + 3 * 4 * logits.numel()) // side**2)
