"""Opening a picture of whatever kind: the one place that knows them all."""

import re
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from intarsia.data.nodata import NODATA
from intarsia.data.read import IMAGE_SUFFIXES, decoding, with_bands
from intarsia.data.signatures import TIFF_STARTS
from intarsia.errors import DataError, SettingsError
from intarsia.raster.contract import Source, Window
from intarsia.raster.geotiff import GeoTiffSource
from intarsia.raster.pictures import Decoded
from intarsia.raster.samples import PLACE_TAGS, full_pages
from intarsia.raster.slides import SLIDE_SUFFIXES, SlideSource, vendor
from intarsia.raster.tiff import TiffSource
from intarsia.raster.video import VIDEO_SUFFIXES

SUFFIXES = IMAGE_SUFFIXES | SLIDE_SUFFIXES | VIDEO_SUFFIXES
"""Of all files that prediction reads."""

LARGE_BYTES = 128 << 20  # a TIFF that takes more is read window by window

_REMOTE = re.compile(r"[a-z][a-z0-9+.-]+:/|/vsi|(s3|gs|https?):", re.IGNORECASE)
_NO_PLACE = (
    "its place on earth, and which whole numbers are no data, are not read. Install what does: pip install "
    "'intarsia[geo]'"
)


def open_source(
    path: str | Path, bands: int | None = None, *, level: int | None = None, mpp: float | None = None
) -> Source:
    """Opens a picture of any kind and size.

    Slides and large TIFFs are read window by window; a GeoTIFF too, with its place, where rasterio is installed,
    and otherwise without, which its `note` says. All else is decoded whole.

    Args:
        path: of a file here.
        bands: wanted; grey becomes 3 equal bands and colour becomes grey (1) where needed. None keeps the file's.
        level: of a slide's pyramid; 0 is the finest.
        mpp: wanted µm a pixel of a slide.

    Raises:
        DataError: no file here, no picture, damaged, or other bands than wanted.
        SettingsError: a level or mpp of what is no slide, or one that the slide does not have.
        MachineError: a slide, and openslide is not installed.
    """
    refuse_remote(path)
    path = Path(path)
    source = _opened(path, level, mpp)
    try:
        return source if bands is None else with_other_bands(source, bands)
    except BaseException:
        source.close()
        raise


def pixels_of(path: Path) -> int:
    """Pixels of a picture, as its header says; 0 where `open_source` does not decode it whole, or it is damaged."""
    if path.suffix.lower() in SLIDE_SUFFIXES:
        return 0
    try:
        with decoding(path), path.open("rb") as file:
            if file.read(4) in TIFF_STARTS:
                return _reader_of_tiff(path)[1]
            with Image.open(file) as picture:
                return picture.width * picture.height
    except DataError:  # whoever opens the picture tells what is wrong
        return 0


def with_other_bands(source: Source, bands: int) -> Source:
    """The same picture with so many bands: grey becomes 3 equal ones, and colour becomes grey.

    Raises:
        DataError: other bands than these.
    """
    return source if bands == source.bands else _Banded(source, bands)


def refuse_remote(path: str | Path) -> None:
    """Nothing is fetched, and no library is asked to.

    Raises:
        DataError: the path names something on a network.
    """
    if _REMOTE.match(str(path)) and not Path(path).exists():
        raise DataError(f"{path}: is no file here. Download it first.")


def _opened(path: Path, level: int | None, mpp: float | None) -> Source:
    with decoding(path), path.open("rb") as file:
        start = file.read(512)
    tiff = start.startswith(TIFF_STARTS)
    wanted = level is not None or mpp is not None
    if path.suffix.lower() in SLIDE_SUFFIXES or (tiff and wanted and vendor(path)):
        return SlideSource(path, level=level, mpp=mpp)
    if wanted:
        option = f"mpp={mpp:g}" if level is None else f"level={level}"
        raise SettingsError(f"{path}: {option}: is no slide; other pictures have one size. Leave it out.")
    if start.lstrip().startswith(b"<VRTDataset"):
        raise DataError(
            f"{path}: is a GDAL VRT, which only points at other files. Write it as one GeoTIFF: `gdal_translate "
            f"{path.name} whole.tif`."
        )
    reader = _reader_of_tiff(path)[0] if tiff else Decoded.of_file
    return reader(path)


def _reader_of_tiff(path: Path) -> tuple[Callable[[Path], Source], int]:
    """What opens a TIFF, and how many pixels it decodes at once: all of them, or 0 where it reads windows."""
    import tifffile  # a sixth of a second, and most pictures are no TIFF

    with decoding(path), tifffile.TiffFile(path) as tiff:
        page = tiff.pages.first
        told = not (PLACE_TAGS | {NODATA}).isdisjoint(page.tags.keys())
        several = len(tiff.pages) > 1
        scanned = several and (page.is_svs or page.is_scn or page.is_ndpi or page.is_bif or page.is_philips)
        copies = several and len(full_pages(tiff)) == 1  # beside smaller ones of itself
        pixels = page.imagelength * page.imagewidth
        large = pixels * page.samplesperpixel * max(8, page.bitspersample) // 8 > LARGE_BYTES
    if scanned:
        return SlideSource, 0
    if told or copies:
        if find_spec("rasterio") is not None:
            return GeoTiffSource, 0
        return partial(TiffSource, note=f"{path}: {_NO_PLACE}" if told else ""), 0
    return (TiffSource, 0) if large else (Decoded.of_file, pixels)


class _Banded:
    """A `Source` with other bands than the file has, as `with_bands` makes them."""

    def __init__(self, source: Source, bands: int) -> None:
        self._source = source
        self.bands = bands
        self.path = source.path
        self._adapted(np.zeros((1, 1, source.bands), source.dtype))
        self.note = source.note
        self.height, self.width, self.dtype = source.height, source.width, source.dtype
        self.georeference, self.scale, self.in_memory = source.georeference, source.scale, source.in_memory

    def _adapted(self, image: NDArray[Any]) -> NDArray[Any]:
        return with_bands(image, self.bands, self.path)

    def read(self, window: Window) -> NDArray[Any]:
        """See `Source`."""
        return self._adapted(self._source.read(window))

    def without_data(self, window: Window) -> NDArray[np.bool_] | None:
        """See `Source`."""
        return self._source.without_data(window)

    def close(self) -> None:
        """See `Source`."""
        self._source.close()
