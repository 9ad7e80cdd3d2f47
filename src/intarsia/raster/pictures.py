"""A picture in memory, as a source like any other."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from intarsia.data.nodata import without_data
from intarsia.data.read import read_image
from intarsia.raster.contract import Georeference, Scale, Window


class Decoded:
    """A `Source` around an array.

    Args:
        array: [H, W, bands] or [H, W] raw values, upright.
        path: of the file that it comes from, for messages.
        note: what should be told of it.
    """

    in_memory = True
    georeference: Georeference | None = None
    scale: Scale | None = None

    def __init__(self, array: NDArray[Any], path: str | Path = "", note: str = "") -> None:
        self._array = array if array.ndim == 3 else array[:, :, None]
        self.path = Path(path)
        self.note = note
        self.height, self.width, self.bands = self._array.shape
        self.dtype = self._array.dtype

    @classmethod
    def of_file(cls, path: str | Path) -> "Decoded":
        """As `read_image` decodes it, with the bands that it has.

        Raises:
            DataError: as `read_image`.
        """
        return cls(read_image(path), path)

    def read(self, window: Window) -> NDArray[Any]:
        """See `Source`: a view."""
        rows = slice(window.top, window.top + window.height)
        return self._array[rows, window.left : window.left + window.width]

    def without_data(self, window: Window) -> NDArray[np.bool_] | None:
        """See `Source`: all bands are NaN."""
        return without_data(self.read(window))

    def close(self) -> None:
        """See `Source`."""
        self._array = self._array[:0]
