"""Lengths with their units: the size of a pixel, the spacing of a stack."""

import math
import re
from dataclasses import dataclass
from fractions import Fraction

from intarsia.errors import SettingsError
from intarsia.raster.contract import EvenScale

_METRES = {
    "nm": Fraction(1, 10**9),
    "µm": Fraction(1, 10**6),
    "mm": Fraction(1, 1000),
    "cm": Fraction(1, 100),
    "dm": Fraction(1, 10),
    "m": Fraction(1),
    "km": Fraction(1000),
    "in": Fraction(254, 10_000),
    "ft": Fraction(3048, 10_000),
    "yd": Fraction(9144, 10_000),
    "mi": Fraction(1_609_344, 1000),
}
_ALSO = {"um": "µm", "μm": "µm", "micron": "µm", "microns": "µm"}  # the Greek letter too
_LENGTH = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*(\D*)")


@dataclass(frozen=True)
class Spacing:
    """What a voxel of a stack of pictures measures.

    Attributes:
        depth: from a picture to the next, in `unit`.
        height: of a pixel.
        width: of a pixel.
        unit: of length.
    """

    depth: float
    height: float
    width: float
    unit: str

    @property
    def scale(self) -> EvenScale:
        """Of each picture."""
        return EvenScale(self.height, self.width, self.unit)


def pixel_size(text: str) -> EvenScale:
    """`0.5mm`, or height and width as `0.5mm,0.6mm`; in the unit of the first.

    Raises:
        SettingsError: not one or two positive lengths with units.
    """
    lengths = text.split(",")
    if len(lengths) > 2:
        raise SettingsError(f"Pixel size {text!r}: {len(lengths)} lengths; say one, as 0.5mm, or height,width.")
    (height, unit), (width, other) = (_length(one, f"Pixel size {text!r}") for one in (lengths[0], lengths[-1]))
    return EvenScale(float(height), float(width * _METRES[other] / _METRES[unit]), unit)


def spacing(text: str) -> Spacing:
    """`2mm,0.5mm,0.5mm`: from picture to picture, a pixel's height, its width; in the unit of the first.

    Raises:
        SettingsError: not three positive lengths with units.
    """
    lengths = text.split(",")
    if len(lengths) != 3:
        raise SettingsError(f"Spacing {text!r}: say three lengths, depth,height,width, as 2mm,0.5mm,0.5mm.")
    depth, height, width = (_length(one, f"Spacing {text!r}") for one in lengths)
    unit = depth[1]
    first, second, third = (float(number * _METRES[own] / _METRES[unit]) for number, own in (depth, height, width))
    return Spacing(first, second, third, unit)


def ratio(unit: str, other: str) -> float | None:
    """How many of the `other` unit of length one `unit` is; None where either is unknown and they differ."""
    unit, other = _ALSO.get(unit, unit), _ALSO.get(other, other)
    if unit == other:
        return 1.0
    if unit not in _METRES or other not in _METRES:
        return None
    return float(_METRES[unit] / _METRES[other])


def short(number: float) -> float:
    """Twelve significant digits, for people: 0.08, not 0.08000000000000002."""
    return float(f"{number:.12g}")


def _length(text: str, where: str) -> tuple[Fraction, str]:
    """A positive number, and its unit as it is written here."""
    text = text.strip()
    match = _LENGTH.fullmatch(text)
    if match is None:
        raise SettingsError(f"{where}: {text!r} is no length; say a number and a unit, as 0.5mm.")
    number, unit = match.groups()
    unit = _ALSO.get(unit.strip(), unit.strip())
    if not unit:
        raise SettingsError(f"{where}: {text!r} has no unit; say {text}mm, or whichever is meant.")
    if unit not in _METRES:
        raise SettingsError(f"{where}: unknown unit {unit!r}. Known: {', '.join(_METRES)}, um.")
    if not 0 < float(number) < math.inf:
        raise SettingsError(f"{where}: {text!r} is no length of a pixel; say a number above 0.")
    return Fraction(number), unit
