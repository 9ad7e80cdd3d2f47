"""Several pictures in one file: videos, and stacks of pages in a TIFF."""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from intarsia.data.read import MOST_PIXELS, decoding
from intarsia.errors import DataError
from intarsia.raster.samples import full_pages, samples_of
from intarsia.raster.video import VIDEO_SUFFIXES, Video

if TYPE_CHECKING:
    from tifffile import TiffPage

_TIFF_SUFFIXES = frozenset({".tif", ".tiff"})


class Frames(Protocol):
    """Pictures of one size that come one after the other; each iteration begins at the first."""

    path: Path
    rate: Fraction | None
    """Frames a second; None where there is no time."""
    count: int | None
    """Of frames; None where the file does not tell."""

    def __iter__(self) -> Iterator[NDArray[Any]]:
        """[H, W, bands] each, raw values, one at a time in memory.

        Raises:
            DataError: the file is damaged from here on.
        """


class Stack:
    """`Frames` of a TIFF of several pages of the same size.

    Raises:
        DataError: one page, pages of several kinds, damaged, or pages too large to decode.
    """

    rate: Fraction | None = None

    def __init__(self, path: str | Path) -> None:
        import tifffile  # a sixth of a second, and most pictures are no TIFF

        self.path = Path(path)
        self._open = tifffile.TiffFile
        with decoding(self.path), self._open(self.path) as tiff:
            pages = full_pages(tiff)
            kinds = {(page.shape, page.dtype) for page in pages}
            if len(pages) < 2 or len(kinds) > 1:
                what = "one page" if len(pages) < 2 else f"pages of {len(kinds)} sizes or kinds of numbers"
                raise DataError(f"{self.path}: holds {what}: a stack has several that are alike.")
            if (pixels := pages[0].imagelength * pages[0].imagewidth) > MOST_PIXELS:
                raise DataError(f"{self.path}: pages of {pixels:,} pixels: at most {MOST_PIXELS:,} are read.")
            self.count: int | None = len(pages)

    def __iter__(self) -> Iterator[NDArray[Any]]:
        """See `Frames`."""
        with decoding(self.path):
            tiff = self._open(self.path)
        with tiff:
            for number, page in enumerate(full_pages(tiff)):
                with decoding(self.path):
                    frame = self._decoded(page, number)
                yield frame

    def _decoded(self, page: "TiffPage", number: int) -> NDArray[Any]:
        samples = samples_of(page, self.path)
        try:
            raw = page.asarray()
        except Exception as error:  # decoders raise almost anything
            if isinstance(error, MemoryError) or "'imagecodecs'" in str(error):
                raise  # nothing is damaged: there is no memory, or no decoder
            where = f"damaged after page {number} of {self.count}"
            raise DataError(f"{self.path}: {where}: {str(error).rstrip('.')}.") from None
        if raw.ndim == 2:
            raw = raw[:, :, None]
        elif page.planarconfig == 2:
            raw = np.moveaxis(raw, 0, -1)
        return np.ascontiguousarray(samples.convert(raw))


def open_frames(path: str | Path) -> Frames:
    """Opens what `is_frames` says are frames.

    Raises:
        DataError: no frames, damaged.
        MachineError: a video, and PyAV is not installed.
    """
    return Video(path) if Path(path).suffix.lower() in VIDEO_SUFFIXES else Stack(path)


def is_frames(path: str | Path, bands: int | None = None) -> bool:
    """Whether a file is a video by its suffix, or a TIFF of several pages that are alike; only headers are read.

    Args:
        path: of the file.
        bands: that a picture has. A TIFF of so many one-band pages is one picture, as `read_image` reads it.

    Returns:
        False for what is no such file, or cannot be read at all.
    """
    path = Path(path)
    if path.suffix.lower() in VIDEO_SUFFIXES:
        return True
    if path.suffix.lower() not in _TIFF_SUFFIXES:
        return False
    try:
        stack = Stack(path)
        return not (stack.count == bands and _pages_are_bands(path))
    except DataError:
        return False


def _pages_are_bands(path: Path) -> bool:
    """As `read_image` has it: of one sample that is no byte, and of one series."""
    import tifffile  # as in Stack

    with decoding(path), tifffile.TiffFile(path) as tiff:
        page = tiff.pages.first
        return page.samplesperpixel == 1 and page.dtype not in (np.bool_, np.uint8) and len(tiff.series) == 1
