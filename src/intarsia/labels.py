"""Labels: what the numbers in a mask mean.

A *stored value* is what a mask file holds (say 0 and 255, or the colour #804080); a *class index* is what the
network learns (0 and 1). Between the two stands one look-up table, made here, and nothing else ever changes a
mask's values.
"""

import colorsys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from intarsia.errors import DataError

IGNORE = 255  # the index of pixels that count for nothing: no loss, no score
IGNORE_WIDE = 65535  # the same where there are more than 255 classes
STORED_VALUES = 1 << 16  # masks hold 8 or 16 bits
STORED_COLORS = 1 << 24  # or 3 bands of 8: the value of a colour is 0xRRGGBB
_UNKNOWN = 65534  # in the look-up table: nobody said what this value means
_COUNTED_BY_OPENCV = 1 << 24  # pixels: its histograms are floats, which count exactly up to here
_SNAPPED_AT_ONCE = 1 << 12  # colours whose distances are held in memory together

Color = tuple[int, int, int]
Encoding = Literal["values", "colors", "channels", "objects"]
"""What a mask file's pixels are.

`values`: one band of stored values. `colors`: three bands, a colour for each class. `channels`: a band for each
class, value b + 1 where band b is the last that is not 0, and 0 where none is. `objects`: object numbers, of which
only 0 and not 0 count: values 0 and 1.
"""


@dataclass(frozen=True)
class Labels:
    """Class names and colours, and how stored mask values map to class indices.

    Attributes:
        names: one name for each class; the position is the class index.
        colors: one RGB colour for each class, 0..255.
        values: for each class, the stored values (0..65535, colours 0..0xFFFFFF) that mean it.
        ignore: the stored values that count for nothing.
        encoding: what a mask file's pixels are.
        snap: a stored value without a meaning takes that of the nearest value that has one, at most this far
            away; in colours, the Euclidean distance in RGB. 0 takes none.
    """

    names: tuple[str, ...]
    colors: tuple[Color, ...]
    values: tuple[tuple[int, ...], ...]
    ignore: tuple[int, ...] = (IGNORE,)
    encoding: Encoding = "values"
    snap: float = 0

    def __post_init__(self) -> None:
        if not self.names:
            raise DataError("No classes: at least one class is needed.")
        if not len(self.names) == len(self.colors) == len(self.values):
            raise DataError(
                f"{len(self.names)} class names, {len(self.colors)} colours and {len(self.values)} values: "
                "each class needs one of each."
            )
        if twice := _repeated(self.names):
            raise DataError(f"Class names must differ: {twice[0]!r} stands twice.")
        stored = [value for values in self.values for value in values] + list(self.ignore)
        if outside := [value for value in stored if not 0 <= value < self._stored_values]:
            raise DataError(f"Stored value {outside[0]} of a class: accepted are 0..{self._stored_values - 1}.")
        if twice := _repeated(stored):
            raise DataError(
                f"Stored value {self.written(twice[0])} has two meanings: a value is one class, or ignored "
                "(--ignore, or ignore in the dataset file)."
            )

    @classmethod
    def of_values(cls, values: Sequence[int], ignore: Sequence[int] = (), names: Sequence[str] = ()) -> "Labels":
        """One class for each stored value, named by the value unless `names` are given; 255 is ignored too."""
        names = names or [f"class {value}" for value in values]
        ignore = tuple(dict.fromkeys([*ignore, *(() if IGNORE in values else (IGNORE,))]))
        return cls(tuple(names), distinct_colors(len(values)), tuple((value,) for value in values), ignore)

    @classmethod
    def of_colors(
        cls, colors: Sequence[Color], ignore: Sequence[Color] = (), names: Sequence[str] = ()
    ) -> "Labels":
        """One class for each colour of colour masks, named by it unless `names` are given."""
        names = names or [f"class {index}" for index in range(len(colors))]
        values = tuple((packed(color),) for color in colors)
        return cls(tuple(names), tuple(colors), values, tuple(packed(color) for color in ignore), "colors")

    def __len__(self) -> int:
        return len(self.names)

    @property
    def ignore_index(self) -> int:
        """The index that ignored pixels have in index masks: 255, or 65535 above 255 classes."""
        return IGNORE if len(self) <= IGNORE else IGNORE_WIDE

    @property
    def mask_dtype(self) -> type[np.uint8 | np.uint16]:
        """The dtype of index masks."""
        return np.uint8 if self.ignore_index == IGNORE else np.uint16

    @property
    def _stored_values(self) -> int:
        return STORED_COLORS if self.encoding == "colors" else STORED_VALUES

    @cached_property
    def _class_of(self) -> NDArray[np.uint16]:
        """Class index of each stored value; `_UNKNOWN` where nobody said what the value means."""
        table = np.full(self._stored_values, _UNKNOWN, dtype=np.uint16)
        table[list(self.ignore)] = self.ignore_index
        for index, values in enumerate(self.values):
            table[list(values)] = index
        return table

    def written(self, value: int) -> str:
        """A stored value as people write it: 7, or #804080."""
        return f"#{value:06x}" if self.encoding == "colors" else str(value)

    def classes_of(self, values: NDArray[Any]) -> NDArray[np.int64]:
        """[N] class index of each of N stored values; the ignore index where ignored, -1 without a meaning."""
        classes: NDArray[np.int64] = self._class_of[values].astype(np.int64)
        classes[classes == _UNKNOWN] = -1
        if self.snap and (classes < 0).any():
            classes[classes < 0] = self._nearest(values[classes < 0])
        return classes

    def _nearest(self, values: NDArray[Any]) -> NDArray[np.int64]:
        """[N] as `classes_of`, from the nearest of the values that mean something."""
        known = np.flatnonzero(self._class_of != _UNKNOWN)
        nearest = np.empty(len(values), dtype=np.int64)
        for start in range(0, len(values), _SNAPPED_AT_ONCE):
            part = slice(start, start + _SNAPPED_AT_ONCE)
            differences = self._point(values[part])[:, None] - self._point(known)[None]
            distances = np.sqrt((differences**2).sum(axis=2))
            found = self._class_of[known[distances.argmin(axis=1)]].astype(np.int64)
            nearest[part] = np.where(distances.min(axis=1) <= self.snap, found, -1)
        return nearest

    def _point(self, values: NDArray[Any]) -> NDArray[np.float32]:
        """[N, 3] red, green, blue, or [N, 1]: where distances are measured."""
        shifts = (16, 8, 0) if self.encoding == "colors" else (0,)
        mask = 0xFF if self.encoding == "colors" else 0xFFFF
        return np.stack([values.astype(np.int64) >> shift & mask for shift in shifts], axis=1).astype(np.float32)

    def unknown(self, values: NDArray[Any], pixels: NDArray[Any]) -> dict[int, int]:
        """The stored values that are neither a class nor ignored, with their pixel counts.

        Args:
            values: [N] distinct stored values.
            pixels: [N] pixels of each.
        """
        without = self.classes_of(values) < 0
        return {int(value): int(count) for value, count in zip(values[without], pixels[without], strict=True)}

    def encode(self, stored: NDArray[Any]) -> NDArray[Any]:
        """Stored values [H, W] of an unsigned dtype -> class indices [H, W] of `mask_dtype`.

        Raises:
            DataError: a value is neither a class nor ignored, nor near enough to one.
        """
        encoded = self._class_of[stored]
        without = encoded == _UNKNOWN
        if without.any():
            values, position, pixels = np.unique(stored[without], return_inverse=True, return_counts=True)
            if unknown := self.unknown(values, pixels):
                counts = {self.written(value): count for value, count in unknown.items()}
                raise DataError(f"Mask value {listing_of_counts(counts)}: neither a class nor ignored.")
            encoded[without] = self.classes_of(values)[position]
        indices: NDArray[Any] = encoded.astype(self.mask_dtype)
        return indices

    def count(self, values: NDArray[Any], pixels: NDArray[Any]) -> NDArray[np.int64]:
        """[C] pixels of each class, from stored values and their pixels as in `unknown`."""
        classes = self.classes_of(values)
        known = (classes >= 0) & (classes != self.ignore_index)
        counts = np.bincount(classes[known], weights=pixels[known], minlength=len(self))
        return np.asarray(counts, dtype=np.int64)

    def ignoring(self, values: Sequence[int]) -> "Labels":
        """With values that count for nothing: taken out of their classes; a class that is left without any goes."""
        left = [tuple(value for value in own if value not in values) for own in self.values]
        kept = [index for index, own in enumerate(left) if own]
        return replace(
            self,
            names=tuple(self.names[index] for index in kept),
            colors=tuple(self.colors[index] for index in kept),
            values=tuple(left[index] for index in kept),
            ignore=tuple(dict.fromkeys((*self.ignore, *values))),
        )

    def ordered(self, names: Sequence[str]) -> "Labels":
        """The same classes in another order."""
        order = [self.names.index(name) for name in names]
        return replace(
            self,
            names=tuple(names),
            colors=tuple(self.colors[index] for index in order),
            values=tuple(self.values[index] for index in order),
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain lists and numbers, for JSON."""
        return {
            "names": list(self.names),
            "colors": [list(color) for color in self.colors],
            "values": [list(values) for values in self.values],
            "ignore": list(self.ignore),
            "encoding": self.encoding,
            "snap": self.snap,
        }

    @classmethod
    def from_dict(cls, plain: dict[str, Any]) -> "Labels":
        """The opposite of `to_dict`."""
        return cls(
            names=tuple(plain["names"]),
            colors=tuple((int(r), int(g), int(b)) for r, g, b in plain["colors"]),
            values=tuple(tuple(values) for values in plain["values"]),
            ignore=tuple(plain["ignore"]),
            encoding=plain["encoding"],
            snap=plain["snap"],
        )


def packed(color: Color) -> int:
    """The stored value of a colour: 0xRRGGBB."""
    red, green, blue = color
    return red << 16 | green << 8 | blue


def unpacked(value: int) -> Color:
    """The opposite of `packed`."""
    return value >> 16, value >> 8 & 255, value & 255


def listing_of_counts(unknown: Mapping[str, int], most: int = 5) -> str:
    """`7 (120 pixels), 9 (1 pixel)` and so on, for messages."""
    parts = [f"{value} ({count:,} pixel{'s' * (count != 1)})" for value, count in list(unknown.items())[:most]]
    more = f" and {len(unknown) - most} more values" if len(unknown) > most else ""
    return ", ".join(parts) + more


def count_values(stored: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Distinct values [N] of an array of any shape and unsigned dtype, ascending, and the pixels [N] of each."""
    if stored.dtype == np.uint8 and stored.ndim == 2 and stored.size < _COUNTED_BY_OPENCV:
        pixels = cv2.calcHist([np.ascontiguousarray(stored)], [0], None, [256], [0, 256]).ravel().astype(np.int64)
        values = np.flatnonzero(pixels)
        return values, pixels[values]
    if not stored.size:
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    flat = stored.ravel()  # masks are made of runs: sorting one entry for each is far quicker than sorting all
    starts = np.concatenate(([0], np.flatnonzero(flat[1:] != flat[:-1]) + 1))
    lengths = np.diff(np.append(starts, flat.size))
    values, position = np.unique(flat[starts], return_inverse=True)
    return values.astype(np.int64), np.bincount(position, weights=lengths).astype(np.int64)


def distinct_colors(number: int) -> tuple[Color, ...]:
    """`number` RGB colours that are easy to tell apart: a hand-picked dozen, then golden-angle hues."""
    colors = list(_FIRST_COLORS[:number])
    for position in range(len(colors), number):
        hue = position * 0.618034 % 1.0  # steps of the golden angle never come close to an earlier hue soon
        lightness = (0.45, 0.6, 0.75)[position % 3]
        red, green, blue = colorsys.hls_to_rgb(hue, lightness, 0.65)
        colors.append((round(red * 255), round(green * 255), round(blue * 255)))
    return tuple(colors)


_FIRST_COLORS: tuple[Color, ...] = (
    (68, 84, 106),  # slate
    (230, 159, 0),  # orange
    (86, 180, 233),  # sky
    (0, 158, 115),  # green
    (204, 121, 167),  # pink
    (240, 228, 66),  # yellow
    (213, 94, 0),  # vermilion
    (0, 114, 178),  # blue
    (148, 103, 189),  # violet
    (140, 86, 75),  # brown
    (23, 190, 207),  # cyan
    (188, 189, 34),  # olive
)


def _repeated(items: Sequence[Any]) -> list[Any]:
    seen: set[Any] = set()
    return [item for item in items if item in seen or seen.add(item)]  # type: ignore[func-returns-value]
