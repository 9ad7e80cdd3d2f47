"""Labels: what the numbers in a mask mean.

A *stored value* is what a mask file holds (say 0 and 255); a *class index* is what the network learns (0 and 1).
Between the two stands one look-up table, made here, and nothing else ever changes a mask's values.
"""

import colorsys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from intarsia.errors import DataError

IGNORE = 255  # the index of pixels that count for nothing: no loss, no score
IGNORE_WIDE = 65535  # the same where there are more than 255 classes
STORED_VALUES = 65536  # masks hold 8 or 16 bits

Color = tuple[int, int, int]


@dataclass(frozen=True)
class Labels:
    """Class names and colours, and how stored mask values map to class indices.

    Attributes:
        names: one name for each class; the position is the class index.
        colors: one RGB colour for each class, 0..255.
        values: for each class, the stored values (0..65535) that mean it.
        ignore: the stored values that count for nothing.
    """

    names: tuple[str, ...]
    colors: tuple[Color, ...]
    values: tuple[tuple[int, ...], ...]
    ignore: tuple[int, ...] = (IGNORE,)

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
        if outside := [value for value in stored if not 0 <= value < STORED_VALUES]:
            raise DataError(f"Stored value {outside[0]} of a class: accepted are 0..{STORED_VALUES - 1}.")
        if twice := _repeated(stored):
            raise DataError(
                f"Stored value {twice[0]} has two meanings: a value is one class, or ignored (--ignore, or "
                "ignore in the dataset file)."
            )

    @classmethod
    def of_values(cls, values: Sequence[int], ignore: Sequence[int] = (), names: Sequence[str] = ()) -> "Labels":
        """One class for each stored value, named by the value unless `names` are given."""
        names = names or [f"class {value}" for value in values]
        ignore = tuple(dict.fromkeys([*ignore, *(() if IGNORE in values else (IGNORE,))]))
        return cls(tuple(names), distinct_colors(len(values)), tuple((value,) for value in values), ignore)

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

    @cached_property
    def _class_of(self) -> NDArray[np.int32]:
        """[65536] class index of each stored value; -1 where nobody said what the value means."""
        table = np.full(STORED_VALUES, -1, dtype=np.int32)
        table[list(self.ignore)] = self.ignore_index
        for index, values in enumerate(self.values):
            table[list(values)] = index
        return table

    @cached_property
    def _table(self) -> NDArray[Any]:
        return np.where(self._class_of < 0, self.ignore_index, self._class_of).astype(self.mask_dtype)

    def unknown(self, histogram: NDArray[np.int64]) -> dict[int, int]:
        """The stored values that are neither a class nor ignored, with their pixel counts.

        Args:
            histogram: [65536] pixel counts of the stored values, or a shorter one from value 0 on.
        """
        values = np.flatnonzero((histogram > 0) & (self._class_of[: len(histogram)] < 0))
        return {int(value): int(histogram[value]) for value in values}

    def encode(self, stored: NDArray[Any]) -> NDArray[Any]:
        """Stored values [H, W], uint8 or uint16 -> class indices [H, W] of `mask_dtype`.

        Raises:
            DataError: a value is neither a class nor ignored.
        """
        unknown = self.unknown(np.bincount(stored.ravel()))
        if unknown:
            raise DataError(f"Mask value {listing_of_counts(unknown)}: neither a class nor ignored.")
        encoded: NDArray[Any] = self._table[stored]
        return encoded

    def count(self, histogram: NDArray[np.int64]) -> NDArray[np.int64]:
        """[C] pixels of each class, from a histogram of stored values as in `unknown`."""
        padded = np.zeros(STORED_VALUES, dtype=np.int64)
        padded[: len(histogram)] = histogram
        return np.array([padded[list(values)].sum() for values in self.values], dtype=np.int64)

    def to_dict(self) -> dict[str, Any]:
        """Plain lists and numbers, for JSON."""
        return {
            "names": list(self.names),
            "colors": [list(color) for color in self.colors],
            "values": [list(values) for values in self.values],
            "ignore": list(self.ignore),
        }

    @classmethod
    def from_dict(cls, plain: dict[str, Any]) -> "Labels":
        """The opposite of `to_dict`."""
        return cls(
            names=tuple(plain["names"]),
            colors=tuple((int(r), int(g), int(b)) for r, g, b in plain["colors"]),
            values=tuple(tuple(values) for values in plain["values"]),
            ignore=tuple(plain["ignore"]),
        )


def listing_of_counts(unknown: dict[int, int], most: int = 5) -> str:
    """`7 (120 pixels), 9 (1 pixel)` and so on, for messages."""
    parts = [f"{value} ({count:,} pixel{'s' * (count != 1)})" for value, count in list(unknown.items())[:most]]
    more = f" and {len(unknown) - most} more values" if len(unknown) > most else ""
    return ", ".join(parts) + more


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
