"""Decoding: one image file or one mask file -> one array, strictly.

What a decoder would hide is refused: truncated files, 16-bit colours read as 8-bit, palettes turned into
colours, several frames of which only the first is seen.
"""

import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from intarsia.data.nodata import as_floats, fill_with_nodata, nodata_of
from intarsia.data.signatures import TIFF_STARTS, what_it_is
from intarsia.errors import DataError
from intarsia.labels import Encoding

if TYPE_CHECKING:
    from tifffile import TiffFile

# For the whole process: files are decoded in threads, where filters cannot be set for a while only.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)  # large, but below Pillow's limit
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")  # e.g. damaged EXIF beside sound pixels
logging.getLogger("tifffile").addFilter(lambda record: "GDAL_NODATA" not in str(record.msg))  # `nodata` reads it

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp", ".bmp"})
MASK_SUFFIXES = frozenset({".png", ".tif", ".tiff", ".bmp", ".webp", ".gif", ".jpg", ".jpeg"})
MOST_PIXELS = 178_956_970  # of one picture; Pillow's own limit, taken for TIFF too

_IMAGE_FORMATS = ("PNG", "JPEG", "TIFF", "WEBP", "BMP")
_MASK_FORMATS = (*_IMAGE_FORMATS, "GIF")
_GREY_MODES = ("1", "L", "I;16", "I;16B")
_INDEX_MODES = ("1", "L", "P", "I;16", "I;16B", "I", "F")
_GREY_STEPS = {2: 85, 4: 17}  # Pillow spreads grey PNGs of 2 and 4 bits over 0..255
_ALPHA = (1, 2)  # TIFF's ExtraSamples: associated and unassociated alpha
_TURNS = range(1, 9)  # EXIF orientations; in those from 5 on, rows and columns are swapped
_ROWS_REVERSED, _COLUMNS_REVERSED = (3, 4, 7, 8), (2, 3, 6, 7)  # once they are swapped
_PACKING = np.array([1 << 16, 1 << 8, 1], dtype=np.uint32)


def read_image(path: str | Path, bands: int | None = None) -> NDArray[Any]:
    """Decodes one image, upright (EXIF orientation applied).

    Args:
        path: PNG, JPEG, TIFF, WebP or BMP.
        bands: wanted number of bands: grey becomes 3 equal bands and colour becomes grey (1) where needed.
            None keeps the file's own: 1 for grey, 3 for colour and palettes, all of a multi-band TIFF.

    Returns:
        [H, W, bands], uint8 or uint16 as stored, or float32, NaN where the file says no data. Alpha is dropped.

    Raises:
        DataError: missing, not an image, damaged, 16-bit colours outside TIFF, or other bands than wanted.
    """
    path = Path(path)
    with decoding(path):
        image = _read_tiff(path) if _needs_tifffile(path) else _read_with_pillow(path)
    return with_bands(image, bands, path)


class Undecodable(DataError):
    """A file that cannot be decoded; `finding` is what `intarsia check` calls it."""

    def __init__(self, message: str, finding: str = "undecodable") -> None:
        super().__init__(message)
        self.finding = finding


@dataclass(frozen=True)
class MaskPixels:
    """A mask file as it is, before anybody says what its numbers mean.

    Attributes:
        array: [H, W] uint8 or uint16 (palette indices stay indices, 1-bit becomes 0 and 1), or [H, W, bands].
        palette: [N, 3] RGB colours of the indices.
        lossy: whether the file's compression changes values (JPEG).
        bits: of a band in the file: 1, 2, 4, 8 or 16.
    """

    array: NDArray[Any]
    palette: NDArray[np.uint8] | None = None
    lossy: bool = False
    bits: int = 8

    def colors(self) -> NDArray[np.uint32]:
        """[H, W] the colour of each pixel as 0xRRGGBB; grey values as grey colours."""
        array = self.array
        if array.ndim == 2:
            grey = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, axis=1)
            table = grey if self.palette is None else self.palette
            packed = table.astype(np.uint32) @ _PACKING
            return np.asarray(packed[np.minimum(array, len(packed) - 1)])
        red, green, blue = (array[:, :, band].astype(np.uint32) for band in range(3))
        return np.asarray(red << 16 | green << 8 | blue, dtype=np.uint32)


def decode_mask(path: str | Path) -> MaskPixels:
    """Decodes one mask file, upright (EXIF orientation applied).

    Alpha is dropped, unless it is all that varies: then it is the mask, one band of values as stored.

    Args:
        path: PNG, TIFF, BMP, GIF, WebP, or a JPEG, whose values are only near those that were drawn.

    Raises:
        DataError: missing, damaged, several frames, or with values outside 0..65535.
    """
    path = Path(path)
    with decoding(path):
        if _needs_tifffile(path):
            array = _stored(_tiff_array(path, _drawn)[0], path)
            return MaskPixels(array[:, :, 0] if array.shape[2] == 1 else array, bits=8 * array.dtype.itemsize)
        with _opened(path, _MASK_FORMATS) as file:
            _refuse_frames(file, path)
            lossy = file.format in ("JPEG", "MPO")
            png_bits = _png_bit_depth(path) if file.format == "PNG" else 0
            if png_bits == 16 and file.mode not in _GREY_MODES:
                raise DataError(f"{path}: a PNG mask with 16-bit colours. Save it as an index PNG.")
            file.load()
            upright = _upright(file)
        if upright.mode not in _INDEX_MODES:
            if not upright.has_transparency_data:
                return MaskPixels(np.array(upright.convert("RGB")), lossy=lossy)
            array = _drawn(np.array(upright.convert("RGBA")))
            return MaskPixels(array[:, :, 0] if array.shape[2] == 1 else array, lossy=lossy)
        palette = upright.getpalette("RGB") if upright.mode == "P" else None
        colors = np.array(palette, dtype=np.uint8).reshape(-1, 3) if palette else None
        stored = np.array(upright)
        if png_bits and upright.mode == "L":
            stored //= _GREY_STEPS.get(png_bits, 1)
    bits = 1 if stored.dtype == np.bool_ else png_bits or 8 * stored.dtype.itemsize
    return MaskPixels(_stored(stored, path), colors, lossy, min(bits, 16))


def read_mask(path: str | Path, encoding: Encoding = "values", *, lossy: bool = False) -> NDArray[Any]:
    """Decodes one mask to stored values: the numbers that `Labels` gives a meaning to.

    Args:
        path: a PNG, TIFF, BMP or GIF.
        encoding: what its pixels are; see `labels.Encoding`.
        lossy: accept JPEG too, whose values are only near those that were drawn.

    Returns:
        [H, W] stored values, uint8 or uint16; uint32 colours 0xRRGGBB.

    Raises:
        DataError: missing, damaged, lossy, another encoding, or with values outside 0..65535.
    """
    path = Path(path)
    pixels = decode_mask(path)
    if pixels.lossy and not lossy:
        raise DataError(
            f"{path}: a JPEG mask: JPEG changes values near edges. Save masks as PNG, or let "
            "`intarsia check --fix` say how far its values may be off."
        )
    return stored_values(pixels, encoding, path)


def stored_values(pixels: MaskPixels, encoding: Encoding, path: Path) -> NDArray[Any]:
    """[H, W] stored values of a decoded mask.

    Raises:
        DataError: it has bands where one is expected, or one where bands are.
    """
    array = pixels.array
    if encoding == "colors":
        if array.ndim == 3 and array.shape[2] != 3:
            raise DataError(f"{path}: mask of {array.shape[2]} bands: expected three, of colours.")
        return pixels.colors()
    if encoding == "channels":
        if array.ndim == 2:
            raise DataError(f"{path}: mask of one band: expected one for each class.")
        last = array.shape[2] - (array[:, :, ::-1] != 0).argmax(axis=2)
        return np.where((array != 0).any(axis=2), last, 0).astype(np.uint8)
    if array.ndim == 3:
        if not (array[:, :, :1] == array).all():
            raise DataError(
                f"{path}: mask in colours ({array.shape[2]} bands): expected one band of class values. "
                "`intarsia check --fix` finds out what they mean; or save it as an index PNG (grey or palette, one "
                "value for each class)."
            )
        array = np.ascontiguousarray(array[:, :, 0])
    return (array != 0).astype(np.uint8) if encoding == "objects" else array


def _drawn(array: NDArray[Any]) -> NDArray[Any]:
    """[H, W, bands], the last of them alpha -> alpha [H, W, 1] where nothing else varies, or all but alpha."""
    varies = (array != array[:1, :1]).any(axis=(0, 1))
    alone = varies[-1] and not varies[:-1].any()
    return np.ascontiguousarray(array[:, :, -1:] if alone else array[:, :, :-1])


def _stored(array: NDArray[Any], path: Path) -> NDArray[Any]:
    """As uint8 or uint16, whatever integers or whole floats they are."""
    if array.dtype in (np.uint8, np.uint16):
        return array
    if array.dtype == np.bool_:
        return array.astype(np.uint8)
    if array.dtype.kind == "f" and not (np.isfinite(array).all() and (array == np.round(array)).all()):
        raise DataError(f"{path}: mask of floating-point numbers: expected whole class values. Save it as PNG.")
    if array.size and (array.min() < 0 or array.max() > np.iinfo(np.uint16).max):
        raise DataError(f"{path}: mask values {array.min():g}..{array.max():g}: accepted are 0..65535.")
    return array.astype(np.uint16)


@contextmanager
def decoding(path: Path) -> Iterator[None]:
    """Turns whatever a decoder raises into a `DataError` that names the file.

    Raises:
        MemoryError: memory is full, which is no fault of the file; it is named all the same.
    """
    try:
        yield
    except DataError:
        raise
    except MemoryError as error:
        raise MemoryError(f"{path}: {str(error) or 'does not fit into memory'}") from None
    except FileNotFoundError:
        raise Undecodable(f"{path}: does not exist.", "missing-file") from None
    except IsADirectoryError:
        raise DataError(f"{path}: is a folder, not a picture.") from None
    except PermissionError:
        raise Undecodable(f"{path}: may not be read (permissions).", "unreadable") from None
    except UnidentifiedImageError:
        what = f"{path}: is not a picture, whatever its name says: {what_it_is(path)}."
        raise Undecodable(what, "empty-file" if path.stat().st_size == 0 else "no-picture") from None
    except Image.DecompressionBombError as error:
        raise Undecodable(f"{path}: {error}".rstrip(".") + ".", "too-large") from None
    except Exception as error:  # decoders raise almost anything on damaged input
        reason = str(error) or type(error).__name__
        if "'imagecodecs'" in reason:
            raise DataError(
                f"{path}: {reason.rstrip('.')}. Install it with `pip install intarsia[codecs]`, or save the file "
                "uncompressed."
            ) from None
        what = f"{path}: is damaged and cannot be decoded: {reason.rstrip('.')}."
        raise Undecodable(what, "truncated" if "truncated" in reason.lower() else "damaged") from None


@contextmanager
def _opened(path: Path, formats: tuple[str, ...]) -> Iterator[Image.Image]:
    """As a stream: given a path, Pillow 13 scrambles uncompressed one-band TIFFs that are turned by a quarter."""
    with path.open("rb") as stream, Image.open(stream, formats=formats) as file:
        yield file


def _refuse_frames(file: Image.Image, path: Path) -> None:
    frames = getattr(file, "n_frames", 1)
    if frames > 1 and file.format != "MPO":  # a JPEG with a preview behind it: the first frame is the picture
        raise DataError(f"{path}: holds {frames} frames; a picture has one. Save each frame as its own file.")


def _upright(file: Image.Image) -> Image.Image:
    turned = file.getexif().get(ExifTags.Base.Orientation, 1) != 1
    return ImageOps.exif_transpose(file) if turned else file


def orientation(path: Path) -> int:
    """The EXIF orientation of a picture, 1 (upright) to 8; only its header is read.

    Raises:
        DataError: no picture.
    """
    with decoding(path):
        if _needs_tifffile(path):
            import tifffile  # as in _needs_tifffile

            with tifffile.TiffFile(path) as tiff:
                return _turn_of(tiff)
        with _opened(path, _MASK_FORMATS) as file:
            turn = file.getexif().get(ExifTags.Base.Orientation, 1)
    return turn if turn in _TURNS else 1


def turned_upright(array: NDArray[Any], turn: int) -> NDArray[Any]:
    """[H, W, ...] as stored, with EXIF orientation `turn` -> upright."""
    if turn >= 5:  # rows and columns are swapped
        array = array.swapaxes(0, 1)
    array = array[::-1] if turn in _ROWS_REVERSED else array
    return np.ascontiguousarray(array[:, ::-1] if turn in _COLUMNS_REVERSED else array)


def _read_with_pillow(path: Path) -> NDArray[Any]:
    with _opened(path, _IMAGE_FORMATS) as file:
        _refuse_frames(file, path)
        if file.format == "PNG" and file.mode not in _GREY_MODES and _png_bit_depth(path) == 16:
            raise DataError(
                f"{path}: a PNG with 16-bit colours: decoders cut it to 8 bits without a word. Save it as TIFF "
                "to keep the bits, or as 8-bit PNG."
            )
        file.load()
        upright = _upright(file)
    if upright.mode in ("L", "RGB", "I;16"):
        array = np.array(upright)
    elif upright.mode == "I;16B":
        array = np.array(upright).astype(np.uint16)
    elif upright.mode in ("1", "LA"):
        array = np.array(upright.convert("L"))
    else:
        array = np.array(upright.convert("RGB"))
    return array[:, :, None] if array.ndim == 2 else array


def _png_bit_depth(path: Path) -> int:
    with path.open("rb") as file:
        return file.read(25)[24]  # 8 bytes signature; IHDR: length, name, width, height (4 each), bit depth


def _needs_tifffile(path: Path) -> bool:
    """Whether `path` is a TIFF with other than 1-bit or 8-bit pixels, or with bands that are no colours."""
    with path.open("rb") as file:
        if file.read(4) not in TIFF_STARTS:
            return False
    import tifffile  # a sixth of a second, and most pictures are no TIFF

    with tifffile.TiffFile(path) as tiff:
        page = tiff.pages.first
        if page.imagelength * page.imagewidth > MOST_PIXELS:
            size = f"{page.imagelength}x{page.imagewidth}"
            raise Undecodable(f"{path}: a picture of {size}: at most {MOST_PIXELS:,} pixels are read.", "too-large")
        if page.tilelength * page.tilewidth > MOST_PIXELS:
            what = f"is damaged, or has tiles of {page.tilelength}x{page.tilewidth}"
            raise Undecodable(f"{path}: {what}: at most {MOST_PIXELS:,} pixels are decoded at once.", "damaged")
        plain = page.dtype in (np.bool_, np.uint8) and page.samplesperpixel <= 4
        return not plain or 0 in page.extrasamples  # bands of a meaning of their own


def _read_tiff(path: Path) -> NDArray[Any]:
    """[H, W, bands]: uint8 and uint16 as stored, everything else as float32, NaN where there are no data."""
    array, nodata = _tiff_array(path, lambda bands: bands[:, :, :-1])
    return array if array.dtype in (np.uint8, np.uint16) else as_floats(array, nodata)


def _tiff_array(
    path: Path, without_alpha: Callable[[NDArray[Any]], NDArray[Any]]
) -> tuple[NDArray[Any], float | None]:
    """[H, W, bands] of the file's own dtype, what has alpha as `without_alpha` leaves it; and its nodata number."""
    import tifffile  # a sixth of a second, and most pictures are no TIFF

    with tifffile.TiffFile(path) as tiff:
        if len(tiff.pages) > 1 and len(tiff.series) > 1:
            raise DataError(f"{path}: holds {len(tiff.pages)} pages; a picture has one.")
        series = tiff.series[0]
        fill_with_nodata(tiff.pages.first)
        array, axes = series.asarray(), series.axes
        has_alpha = tiff.pages.first.extrasamples[-1:] in [(kind,) for kind in _ALPHA]
        turn, nodata = _turn_of(tiff), nodata_of(tiff.pages.first)
    if array.ndim == 2:
        array = array[:, :, None]
    elif array.ndim == 3:
        if axes[0] == "S" or (axes[-1] != "S" and array.shape[0] < array.shape[2]):  # one band after the other
            array = np.moveaxis(array, 0, -1)
        if has_alpha:
            array = without_alpha(array)
    else:
        raise DataError(
            f"{path}: an array of {array.ndim} dimensions ({axes}): a picture has height, width, bands."
        )
    return turned_upright(array, turn), nodata


def _turn_of(tiff: "TiffFile") -> int:
    turn = tiff.pages.first.tags.valueof(ExifTags.Base.Orientation, default=1)
    return turn if turn in _TURNS else 1


def with_bands(image: NDArray[Any], bands: int | None, path: Path) -> NDArray[Any]:
    """[H, W, found] -> [H, W, bands] as in `read_image`; a `DataError` where there is no way."""
    found = image.shape[2]
    if bands is None or bands == found:
        return image
    if found == 1 and bands == 3:
        return np.repeat(image, 3, axis=2)
    if found == 3 and bands == 1:
        return cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[:, :, None]
    raise DataError(f"{path}: {found} bands, but {bands} are expected.")
