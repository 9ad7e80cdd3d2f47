"""What the samples of a TIFF mean: raw values become the bands that `read_image` gives for the same file."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from intarsia.data.nodata import as_floats, nodata_of
from intarsia.errors import DataError

if TYPE_CHECKING:
    from tifffile import TiffFile, TiffPage

ORIENTATION = 274  # the tag
PLACE_TAGS = frozenset({33550, 33922, 34264, 34735})  # of GeoTIFF: pixel scale, tie points, matrix, keys

CMYK = 5  # photometric interpretations
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, _YCBCR = 0, 1, 2, 3, 6
_JPEG = (6, 7)  # compressions
_ASSOCIATED, _UNASSOCIATED = 1, 2  # alpha, in ExtraSamples
_REDUCED, _MASK = 1, 4  # bits of NewSubfileType: a smaller copy, a mask of another page


@dataclass(frozen=True)
class Samples:
    """How raw samples become bands.

    Attributes:
        stored: samples of a pixel in the file.
        bands: what they become: without alpha, palettes as 3 colours.
        dtype: of the bands: uint8, uint16, or float32 with NaN for the number that stands for no data.
        convert: [h, w, stored] as in the file -> [h, w, bands].
    """

    stored: int
    bands: int
    dtype: np.dtype[Any]
    convert: Callable[[NDArray[Any]], NDArray[Any]]


def samples_of(page: "TiffPage", path: Path) -> Samples:
    """What the samples of a page mean.

    Raises:
        DataError: nothing that can be read as bands, or the page is turned, or a volume.
    """
    stored = int(page.samplesperpixel)
    alpha = int(page.extrasamples[-1:] in [(_ASSOCIATED,), (_UNASSOCIATED,)])
    if page.dtype is None or page.dtype.kind not in "buif":
        found = page.dtype or f"{page.bitspersample} bits of format {page.sampleformat}"
        raise DataError(f"{path}: samples of {found}: read are integers and floats.")
    if page.imagedepth > 1:
        raise DataError(f"{path}: a volume of {page.imagedepth} layers: a picture has height, width, bands.")
    if page.tags.valueof(ORIENTATION, default=1) in range(2, 9):
        raise DataError(
            f"{path}: is stored turned (orientation {page.tags.valueof(ORIENTATION)}) and too large to be turned, "
            "or has a place. Rewrite it upright."
        )
    if page.dtype not in (np.bool_, np.uint8) or stored > 4 or 0 in page.extrasamples:  # as in data.read
        kept = stored - alpha
        if page.dtype not in (np.uint8, np.uint16):
            nodata = nodata_of(page)
            return Samples(stored, kept, np.dtype(np.float32), lambda raw: as_floats(raw[:, :, :kept], nodata))
        dtype = page.dtype.newbyteorder("=")
        return Samples(stored, kept, dtype, lambda raw: raw[:, :, :kept].astype(dtype, copy=False))
    return _of_bytes(page, stored, alpha, path)


def _of_bytes(page: "TiffPage", stored: int, alpha: int, path: Path) -> Samples:
    """Of at most 8 bits: as Pillow gives them."""
    byte, photometric = np.dtype(np.uint8), int(page.photometric)
    associated = page.extrasamples[-1:] == (_ASSOCIATED,)
    if photometric == _PALETTE and page.colormap is not None:
        table = np.ascontiguousarray((page.colormap // 256).T.astype(np.uint8))
        return Samples(stored, 3, byte, lambda raw: table[raw[:, :, 0].astype(np.uint8)])
    if photometric in (_WHITE_IS_ZERO, _BLACK_IS_ZERO):
        white = 255 if photometric == _WHITE_IS_ZERO else 0
        steps, kept = 255 // ((1 << page.bitspersample) - 1), stored - alpha
        return Samples(stored, kept, byte, lambda raw: raw[:, :, :kept].astype(np.uint8) * np.uint8(steps) ^ white)
    if photometric == _RGB and stored == 4 and associated:
        return Samples(stored, 3, byte, lambda raw: _by_pillow(raw, "RGBa"))
    if (photometric == _RGB and stored >= 3) or (photometric == _YCBCR and page.compression in _JPEG):
        return Samples(stored, 3, byte, lambda raw: raw[:, :, :3])
    if photometric == CMYK and stored == 4:
        return Samples(stored, 3, byte, lambda raw: _by_pillow(raw, "CMYK"))
    raise DataError(
        f"{path}: pixels of {stored} samples, photometric {getattr(page.photometric, 'name', photometric)}: such a "
        "TIFF is not read in parts. Save it as RGB."
    )


def _by_pillow(raw: NDArray[Any], stored: str) -> NDArray[Any]:
    """[h, w, 4] of one of Pillow's raw modes -> [h, w, 3]."""
    size, mode = (raw.shape[1], raw.shape[0]), stored.upper()
    return np.array(Image.frombytes(mode, size, np.ascontiguousarray(raw).tobytes(), "raw", stored).convert("RGB"))


def full_pages(tiff: "TiffFile") -> "list[TiffPage]":
    """The pages that are pictures of their own: no smaller copy of another one, no mask of it."""
    pages = cast("Iterable[TiffPage]", tiff.pages)
    return [page for page in pages if not page.subfiletype & (_REDUCED | _MASK)]
