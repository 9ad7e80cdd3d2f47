"""Writing pictures of any size from top to bottom; the suffix says the format."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from intarsia.errors import SettingsError
from intarsia.raster.contract import Georeference, RowWriter
from intarsia.raster.pngrows import MOST_SIDE, PngWriter
from intarsia.raster.tiffrows import TiffWriter, nodata_tag, place_tags

WRITTEN_SUFFIXES = (".png", ".tif", ".tiff")


def open_writer(
    path: str | Path,
    height: int,
    width: int,
    *,
    bands: int | None = None,
    dtype: DTypeLike,
    palette: NDArray[np.uint8] | None = None,
    georeference: Georeference | None = None,
    nodata: float | None = None,
) -> RowWriter:
    """Begins a picture file.

    Args:
        path: PNG (8-bit grey, palette or RGB, 16-bit grey) or TIFF (any numbers and bands, with its place).
        height: in rows.
        width: in columns.
        bands: of a pixel, when rows are [h, width, bands]; None for rows [h, width].
        dtype: of the values.
        palette: [N, 3] colours, of indices uint8 or, in TIFF, uint16.
        georeference: written into a TIFF, which needs rasterio; a PNG has no place for it.
        nodata: the value that means that there are no data, written into a TIFF; a PNG has no place for it.

    Raises:
        SettingsError: another suffix, or what the format cannot hold.
        MachineError: the file cannot be made, or rasterio is missing.
    """
    path, dtype = Path(path), np.dtype(dtype)
    assert height > 0, "a picture has rows"
    assert width > 0, "a picture has columns"
    suffix = path.suffix.lower()
    if suffix not in WRITTEN_SUFFIXES:
        raise SettingsError(f"{path}: pictures are written as {', '.join(WRITTEN_SUFFIXES)}.")
    if palette is not None:
        assert dtype in (np.uint8, np.uint16) and bands in (None, 1), "palettes are of indices"  # noqa: PT018
        palette = np.ascontiguousarray(palette, dtype=np.uint8)
    if suffix == ".png":
        return _png(path, height, width, bands, dtype, palette)
    if dtype.kind not in "uif" or dtype.itemsize > 8:
        raise SettingsError(f"{path}: a TIFF of {dtype}: accepted are integers and floats of 8 to 64 bits.")
    tags = place_tags(georeference) if georeference is not None else []
    if nodata is not None:
        tags.append(nodata_tag(nodata))
    return TiffWriter(path, height, width, bands=bands, dtype=dtype, palette=palette, tags=tags)


def _png(
    path: Path,
    height: int,
    width: int,
    bands: int | None,
    dtype: np.dtype[Any],
    palette: NDArray[np.uint8] | None,
) -> PngWriter:
    one = bands in (None, 1)
    fits = (one or bands == 3) if dtype == np.uint8 else (dtype == np.uint16 and one and palette is None)
    if not fits or (palette is not None and len(palette) > 256):
        what = f"{bands or 1} bands of {dtype}" + (f" with {len(palette)} colours" if palette is not None else "")
        raise SettingsError(f"{path}: a PNG does not hold {what}. Choose a name that ends in .tif.")
    if max(height, width) > MOST_SIDE:
        raise SettingsError(f"{path}: {height}x{width} is too large for a PNG. Choose a name that ends in .tif.")
    return PngWriter(path, height, width, bands=bands, dtype=dtype, palette=palette)
