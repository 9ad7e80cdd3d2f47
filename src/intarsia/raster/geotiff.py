"""GeoTIFFs, through GDAL: windows of any size, with the place on earth and what is no data.

GDAL may open far more than a file of its name: only its GeoTIFF reader is let near a path, and no file beside it
is looked at (world files, .aux.xml, .ovr, .msk).
"""

import math
import warnings
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from intarsia.data.nodata import without_data
from intarsia.data.read import decoding
from intarsia.errors import DataError
from intarsia.extras import needed
from intarsia.raster.contract import EvenScale, Georeference, GlobeScale, Scale, WebMercatorScale, Window
from intarsia.raster.samples import CMYK, full_pages, samples_of

CACHE_BYTES = 64 << 20  # of decoded blocks, for the whole process
_DEGREE = math.pi / 180


class GeoTiffSource:
    """A `Source` of a TIFF that GDAL reads, with `georeference`, `scale` and what is no data.

    Raises:
        DataError: no GeoTIFF but something else that GDAL reads, damaged, several pictures, turned.
        MachineError: rasterio is not installed.
    """

    in_memory = False
    note = ""

    def __init__(self, path: str | Path) -> None:
        self._rasterio = needed("rasterio", "geo")
        needed("rasterio.windows", "geo")
        import tifffile  # a sixth of a second, and most pictures are no TIFF

        self.path = Path(path)
        with decoding(self.path), tifffile.TiffFile(self.path) as tiff:
            if (number := len(full_pages(tiff))) > 1:
                raise DataError(f"{self.path}: holds {number} pages; a picture has one.")
            self._samples = samples_of(tiff.pages.first, self.path)
            if tiff.pages.first.photometric == CMYK and self._samples.bands == 3:  # GDAL gives RGB and alpha
                self._samples = replace(self._samples, convert=lambda raw: raw[:, :, :3])
        warnings.filterwarnings("ignore", category=self._rasterio.errors.NotGeoreferencedWarning)
        with decoding(self.path), alone(self._rasterio):
            self._dataset = self._rasterio.open(self.path.absolute(), driver="GTiff", sharing=False)
        self.height, self.width = self._dataset.height, self._dataset.width
        self.bands, self.dtype = self._samples.bands, self._samples.dtype
        if self._dataset.count != self._samples.stored:
            found = f"{self._dataset.count} bands, where its header says {self._samples.stored}"
            self.close()
            raise DataError(f"{self.path}: GDAL reads {found}. Save it with another compression.")
        transform = tuple(self._dataset.transform)[:6]
        crs = self._dataset.crs
        placed = crs or not self._dataset.transform.is_identity
        self.georeference = Georeference(crs.to_wkt() if crs else "", transform) if placed else None
        self.scale = scale_of(crs, transform) if crs else None
        flags = self._rasterio.enums.MaskFlags
        seen = [[flags.all_valid], *([[flags.nodata]] if self.dtype.kind == "f" else [])]  # that is NaN then
        self._masked = any(kinds not in seen for kinds in self._dataset.mask_flag_enums)

    def read(self, window: Window) -> NDArray[Any]:
        """See `Source`."""
        planes = self._part(window, self._dataset.read)
        return np.ascontiguousarray(self._samples.convert(np.moveaxis(planes, 0, -1)))

    def without_data(self, window: Window) -> NDArray[np.bool_] | None:
        """See `Source`: all bands are NaN or nodata, alpha is 0, or a mask within the file says so."""
        missing = without_data(self.read(window)) if self.dtype.kind == "f" else None
        if not self._masked:
            return missing
        told: NDArray[np.bool_] = self._part(window, self._dataset.dataset_mask) == 0
        return told if missing is None else told | missing

    def _part(self, window: Window, read: Any) -> NDArray[Any]:  # noqa: ANN401  a method of rasterio's
        part = self._rasterio.windows.Window(window.left, window.top, window.width, window.height)
        try:
            with alone(self._rasterio):
                return np.asarray(read(window=part))
        except (self._rasterio.errors.RasterioError, OSError) as error:
            rows = f"rows {window.top} to {window.top + window.height - 1}"
            columns = f"columns {window.left} to {window.left + window.width - 1}"
            reason = str(error.__cause__ or error).rstrip(".")
            raise DataError(f"{self.path}: damaged: {rows}, {columns} cannot be decoded: {reason}.") from None

    def close(self) -> None:
        """See `Source`."""
        self._dataset.close()


def alone(rasterio: Any) -> AbstractContextManager[Any]:  # noqa: ANN401  an optional module
    """GDAL, which looks at no file but the one that it is given, and keeps few blocks."""
    environment: AbstractContextManager[Any] = rasterio.Env(
        GDAL_DISABLE_READDIR_ON_OPEN="EMPTY_DIR",
        GDAL_PAM_ENABLED="NO",  # .aux.xml
        GDAL_CACHEMAX=CACHE_BYTES,
    )
    return environment


def scale_of(crs: Any, transform: tuple[float, ...]) -> Scale | None:  # noqa: ANN401  rasterio's CRS
    """What a pixel measures.

    Args:
        crs: a `rasterio.crs.CRS`.
        transform: a, b, c, d, e, f as in `Georeference`.

    Returns:
        In metres; None where a coordinate is no length and no angle, or where degrees are not along the rows.
    """
    a, b, _, d, e, f = transform
    even = b == d == 0
    if crs.is_geographic:
        degree = crs.units_factor[1] / _DEGREE
        return GlobeScale(f * degree, e * degree, a * degree) if even else None
    if not crs.is_projected:
        return None
    metres = crs.linear_units_factor[1]
    if even and crs.to_epsg() == 3857:
        return WebMercatorScale(f, e, a)
    height = math.hypot(b, e)
    return EvenScale(height * metres, abs(a * e - b * d) / height * metres, "m")
