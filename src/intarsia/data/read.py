"""Decoding: one image file or one mask file -> one array, strictly.

What a decoder would hide is refused: truncated files, 16-bit colours read as 8-bit, palettes turned into
colours, several frames of which only the first is seen.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from intarsia.errors import DataError

# For the whole process: files are decoded in threads, where filters cannot be set for a while only.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)  # large, but below Pillow's limit
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")  # e.g. damaged EXIF beside sound pixels

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp", ".bmp"})
MASK_SUFFIXES = frozenset({".png", ".tif", ".tiff", ".bmp", ".webp", ".gif", ".jpg", ".jpeg"})  # JPEG: to refuse it

_IMAGE_FORMATS = ("PNG", "JPEG", "TIFF", "WEBP", "BMP")
_MASK_FORMATS = (*_IMAGE_FORMATS, "GIF")
_TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_GREY_MODES = ("1", "L", "I;16", "I;16B")
_INDEX_MODES = ("1", "L", "P", "I;16", "I;16B", "I")
_GREY_STEPS = {2: 85, 4: 17}  # Pillow spreads grey PNGs of 2 and 4 bits over 0..255
_ALPHA = (1, 2)  # TIFF's ExtraSamples: associated and unassociated alpha


def read_image(path: str | Path, bands: int | None = None) -> NDArray[Any]:
    """Decodes one image, upright (EXIF orientation applied).

    Args:
        path: PNG, JPEG, TIFF, WebP or BMP.
        bands: wanted number of bands: grey becomes 3 equal bands and colour becomes grey (1) where needed.
            None keeps the file's own: 1 for grey, 3 for colour and palettes, all of a multi-band TIFF.

    Returns:
        [H, W, bands], uint8 or uint16 or float32 as stored. Alpha is dropped.

    Raises:
        DataError: missing, not an image, damaged, 16-bit colours outside TIFF, or other bands than wanted.
    """
    path = Path(path)
    with _decoding(path):
        image = _read_tiff(path) if _needs_tifffile(path) else _read_with_pillow(path)
    return _with_bands(image, bands, path)


def read_mask(path: str | Path) -> NDArray[Any]:
    """Decodes one mask as the numbers that it stores: palette indices stay indices, 1-bit becomes 0 and 1.

    Args:
        path: a single-band PNG, TIFF, BMP or GIF.

    Returns:
        [H, W] stored values, uint8, or uint16 where the file has 16 bits.

    Raises:
        DataError: missing, damaged, in colours, lossy, or with values outside 0..65535.
    """
    path = Path(path)
    with _decoding(path), Image.open(path, formats=_MASK_FORMATS) as file:
        if file.format == "JPEG":
            raise DataError(f"{path}: a JPEG mask: JPEG changes values near edges. Save masks as PNG.")
        if file.mode == "F":
            raise DataError(f"{path}: mask of floating-point numbers: expected whole class values. Save it as PNG.")
        if file.mode not in _INDEX_MODES:
            raise DataError(
                f"{path}: mask in colours (mode {file.mode}): expected one band of class values. Save it as an "
                "index PNG (grey or palette, one value for each class)."
            )
        _refuse_frames(file, path)
        file.load()
        stored = np.array(_upright(file))
        if file.format == "PNG" and file.mode == "L":
            stored //= _GREY_STEPS.get(_png_bit_depth(path), 1)
    if stored.dtype == np.bool_:
        return stored.astype(np.uint8)
    if stored.dtype in (np.uint8, np.uint16):
        return stored
    if stored.size and (stored.min() < 0 or stored.max() > np.iinfo(np.uint16).max):
        raise DataError(f"{path}: mask values {stored.min()}..{stored.max()}: accepted are 0..65535.")
    return stored.astype(np.uint16)


@contextmanager
def _decoding(path: Path) -> Iterator[None]:
    """Turns whatever a decoder raises into a `DataError` that names the file."""
    try:
        yield
    except DataError:
        raise
    except FileNotFoundError:
        raise DataError(f"{path}: does not exist.") from None
    except IsADirectoryError:
        raise DataError(f"{path}: is a folder, not a picture.") from None
    except PermissionError:
        raise DataError(f"{path}: may not be read (permissions).") from None
    except UnidentifiedImageError:
        raise DataError(f"{path}: is not a picture, whatever its name says: {_what_it_is(path)}.") from None
    except Image.DecompressionBombError as error:
        raise DataError(f"{path}: {error}".rstrip(".") + ".") from None
    except Exception as error:  # decoders raise almost anything on damaged input
        reason = str(error) or type(error).__name__
        if "'imagecodecs'" in reason:
            raise DataError(
                f"{path}: {reason.rstrip('.')}. Install it with `pip install intarsia[codecs]`, or save the file "
                "uncompressed."
            ) from None
        raise DataError(f"{path}: is damaged and cannot be decoded: {reason}.") from None


def _what_it_is(path: Path) -> str:
    start = path.read_bytes()[:512]
    if not start:
        return "the file is empty"
    text = start.lstrip().lower()
    if text.startswith((b"<!doctype html", b"<html")):
        return "it holds a web page (HTML); the download went wrong"
    if text.startswith(b"version https://git-lfs"):
        return "it is a Git LFS pointer; run `git lfs pull`"
    return f"it starts with the bytes {start[:8].hex(' ')}"


def _refuse_frames(file: Image.Image, path: Path) -> None:
    frames = getattr(file, "n_frames", 1)
    if frames > 1 and file.format != "MPO":  # a JPEG with a preview behind it: the first frame is the picture
        raise DataError(f"{path}: holds {frames} frames; a picture has one. Save each frame as its own file.")


def _upright(file: Image.Image) -> Image.Image:
    turned = file.getexif().get(ExifTags.Base.Orientation, 1) != 1
    return ImageOps.exif_transpose(file) if turned else file


def _read_with_pillow(path: Path) -> NDArray[Any]:
    with Image.open(path, formats=_IMAGE_FORMATS) as file:
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
        header = file.read(25)
    return header[24]  # PNG: 8 bytes signature, then IHDR: length, name, width, height (4 each), bit depth


def _needs_tifffile(path: Path) -> bool:
    """Whether `path` is a TIFF with other than 1-bit or 8-bit grey, palette or RGB(A) pixels."""
    with path.open("rb") as file:
        if file.read(4) not in _TIFF_STARTS:
            return False
    with tifffile.TiffFile(path) as tiff:
        page = tiff.pages.first
        plain = page.dtype in (np.bool_, np.uint8) and page.samplesperpixel in (1, 3, 4)
        return not plain or page.extrasamples == (0,)


def _read_tiff(path: Path) -> NDArray[Any]:
    with tifffile.TiffFile(path) as tiff:
        if len(tiff.pages) > 1 and len(tiff.series) > 1:
            raise DataError(f"{path}: holds {len(tiff.pages)} pages; a picture has one.")
        series = tiff.series[0]
        array, axes = series.asarray(), series.axes
        has_alpha = tiff.pages.first.extrasamples[-1:] in [(kind,) for kind in _ALPHA]
    if array.ndim == 2:
        array = array[:, :, None]
    elif array.ndim == 3:
        if axes[0] == "S" or (axes[-1] != "S" and array.shape[0] < array.shape[2]):  # one band after the other
            array = np.moveaxis(array, 0, -1)
        if has_alpha:
            array = array[:, :, :-1]
    else:
        raise DataError(
            f"{path}: an array of {array.ndim} dimensions ({axes}): a picture has height, width, bands."
        )
    if array.dtype not in (np.uint8, np.uint16):
        array = array.astype(np.float32)
    return np.ascontiguousarray(array)


def _with_bands(image: NDArray[Any], bands: int | None, path: Path) -> NDArray[Any]:
    found = image.shape[2]
    if bands is None or bands == found:
        return image
    if found == 1 and bands == 3:
        return np.repeat(image, 3, axis=2)
    if found == 3 and bands == 1:
        return cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[:, :, None]
    raise DataError(f"{path}: {found} bands, but {bands} are expected.")
