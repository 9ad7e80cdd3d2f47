"""No data: in floats, what a raster does not know is NaN, also where its file names a number for it.

Whole numbers of 8 and 16 bits have no NaN: they stay as they are, in training and in prediction.
"""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from tifffile import TiffPage

NODATA = 42113
"""The tag by which GDAL names a number, as text."""


def nodata_of(page: "TiffPage") -> float | None:
    """The number that stands for no data in a page of a TIFF; None where it names none."""
    try:
        return float(str(page.tags.valueof(NODATA, default="")).strip(" \0").replace(",", "."))
    except ValueError:
        return None


def fill_with_nodata(page: "TiffPage") -> None:
    """Has tifffile put nodata into blocks that a file of floats leaves out, also where it takes it for no float.

    That is so of float32's least number as GDAL writes it, -3.4028234663852886e+38: it would put 0 there.
    """
    number = nodata_of(page)
    if number is not None and page.dtype is not None and page.dtype.kind == "f":
        with np.errstate(over="ignore"):
            page.nodata = page.dtype.type(number).item()


def as_floats(stored: NDArray[Any], nodata: float | None) -> NDArray[np.float32]:
    """Numbers of any dtype as float32, with NaN for the one that stands for no data."""
    with np.errstate(over="ignore"):  # as if the number were written in the file's own dtype
        floats = stored.astype(np.float32, copy=False)
        return floats if nodata is None else np.where(stored == nodata, np.float32(np.nan), floats)


def without_data(image: NDArray[Any]) -> NDArray[np.bool_] | None:
    """[H, W, bands] -> [H, W], true where all bands are NaN; None for whole numbers, which never are.

    Such a pixel counts for nothing: not in training, not in scores, and no prediction is made of it.
    """
    return np.isnan(image).all(axis=2) if image.dtype.kind == "f" else None
