"""The values of many masks together, and the peaks among them where noise lies around."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from intarsia.data.check.records import MaskRecord

_PEAK = 1e-4  # share of all pixels that a value must have inside areas to be a class among noise
_INNER = 0.05  # share of a value's pixels inside areas below which it lies between others
_BETWEEN = 0.001  # share of all pixels that may have such values without being called noise
_MOST_PEAKS = 256
_STRAY_MASKS = 0.02  # share of the masks; a value in no more of them,
_STRAY_PIXELS = 0.001  # and with no larger share of the pixels, is a stray


@dataclass(frozen=True)
class Tally:
    """The values of many masks together.

    Attributes:
        values: [N] ascending.
        pixels: [N] pixels of each.
        masks: [N] masks that hold each.
        inner: [N] pixels of each that lie inside an area of it.
        total: pixels of all masks, those of values that were not kept too.
        lossy: whether some of them are JPEG.
    """

    values: NDArray[np.int64]
    pixels: NDArray[np.int64]
    masks: NDArray[np.int64]
    inner: NDArray[np.int64]
    total: int
    lossy: bool

    @classmethod
    def of(cls, records: Sequence[MaskRecord], sizes: Sequence[tuple[int, int]], *, as_colors: bool) -> "Tally":
        """Adds up records; with `as_colors`, by the colours that values stand for."""
        parts = [record.colors if as_colors else record.values for record in records]
        values, position = np.unique(np.concatenate(parts), return_inverse=True)
        pixels = np.bincount(position, weights=np.concatenate([record.pixels for record in records]))
        inner = np.bincount(position, weights=np.concatenate([record.inner for record in records]))
        return cls(
            values,
            pixels.astype(np.int64),
            np.bincount(position),
            inner.astype(np.int64),
            sum(height * width for height, width in sizes),
            any(record.lossy for record in records),
        )

    def without(self, ignored: Sequence[int]) -> "Tally":
        """Leaves values out."""
        kept = ~np.isin(self.values, list(ignored))
        return self._only(kept)

    def noisy(self, fewest: int) -> bool:
        """Whether some masks are JPEG, or at least `fewest` values fill no area, as anti-aliasing leaves them.

        The lowest and the highest value are not counted: they lie between no others.
        """
        between = self.inner < _INNER * self.pixels
        between[[0, -1]] = False
        several = int(between.sum()) >= fewest
        return self.lossy or (several and int(self.pixels[between].sum()) > _BETWEEN * self.total)

    @property
    def stray(self) -> NDArray[np.bool_]:
        """[N] values that hardly occur: in a mask or two, with a few pixels."""
        few = self.masks <= max(1, _STRAY_MASKS * int(self.masks.max(initial=0)))
        return few & (self.pixels <= _STRAY_PIXELS * self.total)

    def peaks(self, points: NDArray[np.float64], spacing: float) -> list[int]:
        """Positions of the values that fill areas, each at least `spacing` from any that fills larger ones.

        Args:
            points: [N, D] where values lie, to measure distances.
            spacing: the least distance.
        """
        found: list[int] = []
        for index in np.argsort(-self.inner).tolist():
            if self.inner[index] < max(1, _PEAK * self.total) or len(found) > _MOST_PEAKS:
                break
            if all(np.linalg.norm(points[index] - points[other]) >= spacing for other in found):
                found.append(index)
        return sorted(found)

    def share_off(self, points: NDArray[np.float64], classes: NDArray[np.float64], near: float) -> float:
        """Share of the pixels whose value is farther than `near` from those of all classes.

        Args:
            points: [N, D] where values lie.
            classes: [C, D] where those of the classes lie.
            near: the distance.
        """
        distances = np.stack([np.linalg.norm(points - own, axis=1) for own in classes])
        return 1 - int(self.pixels[distances.min(axis=0) <= near].sum()) / self.total

    def _only(self, kept: NDArray[np.bool_]) -> "Tally":
        return replace(
            self, values=self.values[kept], pixels=self.pixels[kept], masks=self.masks[kept], inner=self.inner[kept]
        )
