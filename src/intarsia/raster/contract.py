"""What a picture of any size is, to those who read and write it; every kind of file is a file in this folder.

Windows and rows are in pixels, from the top left corner. Rows are written top to bottom, each once.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from intarsia.tiles import Window as Window

# GRS 80 and WGS 84 agree in these to within a tenth of a millimetre.
_EQUATOR = 6_378_137.0  # metres
_ECCENTRICITY_SQUARED = 0.006_694_379_990_14


class Scale(Protocol):
    """What a pixel measures."""

    @property
    def unit(self) -> str:
        """Of length: m, mm, µm, ..."""

    def areas(self, top: int, bottom: int) -> NDArray[np.float64]:
        """Area of one pixel in each of the rows from `top` to before `bottom`, in unit²: [bottom - top]."""


@dataclass(frozen=True)
class EvenScale:
    """A `Scale` that is the same in the whole picture.

    Attributes:
        height: of a pixel, in `unit`.
        width: of a pixel, in `unit`.
        unit: of length.
    """

    height: float
    width: float
    unit: str

    def areas(self, top: int, bottom: int) -> NDArray[np.float64]:
        """See `Scale`."""
        return np.full(bottom - top, self.height * self.width)


@dataclass(frozen=True)
class GlobeScale:
    """A `Scale` of pixels that are degrees of longitude and latitude, on the WGS 84 ellipsoid, in metres.

    Attributes:
        latitude: of the upper edge of the first row, in degrees.
        height: of a pixel in degrees of latitude; negative where rows go south, as they do in most files.
        width: of a pixel in degrees of longitude.
    """

    latitude: float
    height: float
    width: float
    unit: str = "m"

    def areas(self, top: int, bottom: int) -> NDArray[np.float64]:
        """See `Scale`; what lies beyond a pole has none."""
        edges = np.clip(self.latitude + self.height * np.arange(top, bottom + 1), -90, 90)
        return _belts(np.radians(edges)) * math.radians(abs(self.width))


@dataclass(frozen=True)
class WebMercatorScale:
    """A `Scale` of pixels of web maps (EPSG:3857), whose metres are true at the equator only.

    Attributes:
        y: of the upper edge of the first row, in metres of the map.
        height: of a pixel in metres of the map; negative where rows go south.
        width: of a pixel in metres of the map.
    """

    y: float
    height: float
    width: float
    unit: str = "m"

    def areas(self, top: int, bottom: int) -> NDArray[np.float64]:
        """See `Scale`. Snyder (1987), Map Projections, formula 7-4 with the radius of the equator."""
        edges = np.arctan(np.sinh((self.y + self.height * np.arange(top, bottom + 1)) / _EQUATOR))
        return _belts(edges) * abs(self.width) / _EQUATOR


def _belts(edges: NDArray[np.float64]) -> NDArray[np.float64]:
    """[N] area between each two of N + 1 parallels, in m² a radian of longitude.

    Exact: Snyder (1987), Map Projections, formula 3-12.
    """
    e = math.sqrt(_ECCENTRICITY_SQUARED)
    sine = np.sin(edges)
    q = (1 - e * e) * (sine / (1 - (e * sine) ** 2) + np.arctanh(e * sine) / e)
    return np.asarray(np.abs(np.diff(q)) * _EQUATOR**2 / 2)


@dataclass(frozen=True)
class Georeference:
    """Where a picture lies.

    Attributes:
        crs: the coordinate reference system as WKT; empty where the file names none.
        transform: a, b, c, d, e, f of x = a * column + b * row + c and y = d * column + e * row + f.
    """

    crs: str
    transform: tuple[float, float, float, float, float, float]


class Source(Protocol):
    """A picture that is read window by window.

    A source belongs to the thread that opened it. `close` frees the file.
    """

    path: Path
    height: int
    width: int
    bands: int
    dtype: np.dtype[Any]
    """uint8, uint16 or float32: what `read` gives."""
    georeference: Georeference | None
    scale: Scale | None
    in_memory: bool
    """Whether the whole picture is decoded already, so that a window costs nothing."""
    note: str
    """What should be told of it once, such as a place that could not be read; mostly empty."""

    def read(self, window: Window) -> NDArray[Any]:
        """[height, width, bands] raw values of a window that lies within the picture.

        Raises:
            DataError: the file is damaged there.
        """

    def without_data(self, window: Window) -> NDArray[np.bool_] | None:
        """[height, width], true where there are no data: all bands are NaN, or the file says so.

        None for nowhere.
        """

    def close(self) -> None:
        """Frees the file; nothing can be read any more."""


class RowWriter(Protocol):
    """A picture file that is written from top to bottom, in memory that does not grow with the picture.

    Under its name the file appears when it is finished.
    """

    def write(self, rows: NDArray[Any]) -> None:
        """The next rows, [h, width] or [h, width, bands], of any number h.

        Raises:
            MachineError: the disk is full, or may not be written to.
        """

    def close(self) -> None:
        """Finishes the file and gives it its name; all rows must have been written.

        Raises:
            MachineError: the disk is full, or may not be written to.
        """

    def discard(self) -> None:
        """Gives up, and leaves nothing behind; without effect after `close`."""
