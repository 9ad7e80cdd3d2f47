"""TIFFs of any size: only the tiles or strips that a window touches are decoded."""

import math
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from intarsia.data.nodata import fill_with_nodata, without_data
from intarsia.data.read import MOST_PIXELS, decoding
from intarsia.errors import DataError
from intarsia.raster.contract import Georeference, Scale, Window
from intarsia.raster.samples import full_pages, samples_of

KEPT_BYTES = 64 << 20  # of decoded segments: windows side by side and one below the other share them


class TiffSource:
    """A `Source` of the first page of a TIFF: tiled or in strips, classic or BigTIFF, whatever tifffile decodes.

    Memory: the segments that a window touches, and `KEPT_BYTES` of those that others touched before.

    Args:
        path: of the file.
        note: what should be told of it.

    Raises:
        DataError: no TIFF, damaged, several pictures, turned, or of segments too large to decode.
    """

    in_memory = False
    georeference: Georeference | None = None
    scale: Scale | None = None

    def __init__(self, path: str | Path, note: str = "") -> None:
        import tifffile  # a sixth of a second, and most pictures are no TIFF

        self.path = Path(path)
        self.note = note
        with decoding(self.path):
            self._file = tifffile.TiffFile(self.path)
        try:
            with decoding(self.path):
                self._begin()
        except BaseException:
            self.close()
            raise

    def _begin(self) -> None:
        page = self._page = self._file.pages.first
        if len(self._file.pages) > 1 and (number := len(full_pages(self._file))) > 1:
            raise DataError(f"{self.path}: holds {number} pages; a picture has one.")
        self._samples = samples_of(page, self.path)
        fill_with_nodata(page)
        self.height, self.width = int(page.imagelength), int(page.imagewidth)
        self.bands, self.dtype = self._samples.bands, self._samples.dtype
        self._kept: OrderedDict[int, NDArray[Any]] = OrderedDict()
        self._kept_bytes = 0
        self._planes = self._samples.stored if page.planarconfig == 2 and self._samples.stored > 1 else 1
        if page.is_tiled:
            self._segment = (int(page.tilelength), int(page.tilewidth))
        else:
            self._segment = (min(int(page.rowsperstrip), self.height), self.width)
        self._down = math.ceil(self.height / self._segment[0])
        self._across = math.ceil(self.width / self._segment[1])
        self._plain = page.is_memmappable and not page.is_tiled
        pixels = self._segment[0] * self._segment[1]
        if pixels > MOST_PIXELS and not self._plain:
            raise DataError(
                f"{self.path}: one {self._kind} has {pixels:,} pixels and can only be decoded whole, and at most "
                f"{MOST_PIXELS:,} are. Rewrite the file in tiles, for instance with `gdal_translate -co "
                "TILED=YES -co COMPRESS=DEFLATE`."
            )

    @property
    def _kind(self) -> str:
        return "tile" if self._page.is_tiled else "strip"

    def read(self, window: Window) -> NDArray[Any]:
        """See `Source`."""
        with decoding(self.path):
            raw = self._stored_rows(window) if self._plain else self._assembled(window)
        return np.ascontiguousarray(self._samples.convert(raw))

    def _stored_rows(self, window: Window) -> NDArray[Any]:
        """[h, w, stored] of a file without compression, whose rows follow each other: no segment is decoded."""
        stored = self._samples.stored
        together = 1 if self._planes > 1 else stored
        order = np.dtype(self._page.dtype).newbyteorder(self._file.byteorder)
        raw = np.empty((window.height, window.width, stored), order)
        size = window.width * together * order.itemsize
        handle, start = self._file.filehandle, int(self._page.dataoffsets[0])
        for plane in range(self._planes):
            for y in range(window.height):
                position = (plane * self.height + window.top + y) * self.width + window.left
                handle.seek(start + position * together * order.itemsize)
                row = handle.read(size)
                if len(row) < size:
                    where = f"row {window.top + y} of {self.height}"
                    raise DataError(f"{self.path}: damaged: {where} cannot be read: the file ends before it.")
                raw[y, :, plane : plane + together] = np.frombuffer(row, order).reshape(-1, together)
        return raw.astype(order.newbyteorder("="), copy=False)

    def _assembled(self, window: Window) -> NDArray[Any]:
        """[h, w, stored] out of decoded segments."""
        height, width = self._segment
        raw = np.empty((window.height, window.width, self._samples.stored), self._page.dtype)
        together = self._samples.stored // self._planes
        for plane in range(self._planes):
            bands = slice(plane * together, (plane + 1) * together)
            for row in range(window.top // height, -(-(window.top + window.height) // height)):
                y, rows, from_rows = _overlap(row * height, height, window.top, window.height)
                for column in range(window.left // width, -(-(window.left + window.width) // width)):
                    x, columns, from_columns = _overlap(column * width, width, window.left, window.width)
                    segment = self._decoded((plane * self._down + row) * self._across + column)
                    part = segment[from_rows, from_columns]
                    if part.shape[:2] != (rows, columns):
                        raise self._damaged((plane * self._down + row) * self._across + column, "it is too small")
                    raw[y : y + rows, x : x + columns, bands] = part
        return raw

    def _decoded(self, index: int) -> NDArray[Any]:
        """[h, w, samples] of a segment; a file may leave out those that hold nothing but nodata."""
        if index in self._kept:
            self._kept.move_to_end(index)
            return self._kept[index]
        page, handle = self._page, self._file.filehandle
        try:
            offset, count = int(page.dataoffsets[index]), int(page.databytecounts[index])
            if offset + count > handle.size:
                raise EOFError("the file ends before it")
            handle.seek(offset)
            content = handle.read(count) if count else None
            segment = page.decode(content, index, jpegtables=page.jpegtables)[0]
        except Exception as error:  # decoders raise almost anything
            if isinstance(error, MemoryError) or "'imagecodecs'" in str(error):
                raise  # nothing is damaged: there is no memory, or no decoder
            raise self._damaged(index, str(error) or type(error).__name__) from None
        if segment is None:
            together = self._samples.stored // self._planes
            return np.full((*self._segment, together), page.nodata, page.dtype)
        self._keep(index, segment[0])
        return np.asarray(segment[0])

    def _keep(self, index: int, segment: NDArray[Any]) -> None:
        self._kept[index] = segment
        self._kept_bytes += segment.nbytes
        while self._kept_bytes > KEPT_BYTES and len(self._kept) > 1:
            self._kept_bytes -= self._kept.popitem(last=False)[1].nbytes

    def _damaged(self, index: int, reason: str) -> DataError:
        plane, place = divmod(index, self._down * self._across)
        row, column = divmod(place, self._across)
        top, left = row * self._segment[0], column * self._segment[1]
        where = f"rows {top} to {min(top + self._segment[0], self.height) - 1}"
        if self._across > 1:
            where += f", columns {left} to {min(left + self._segment[1], self.width) - 1}"
        if self._planes > 1:
            where += f", band {plane + 1}"
        number = f"{self._kind} {index + 1} of {self._planes * self._down * self._across}"
        return DataError(f"{self.path}: damaged: {number} ({where}) cannot be decoded: {reason.rstrip('.')}.")

    def without_data(self, window: Window) -> NDArray[np.bool_] | None:
        """See `Source`: all bands are NaN."""
        return without_data(self.read(window)) if self.dtype.kind == "f" else None

    def close(self) -> None:
        """See `Source`."""
        self._file.close()
        self._kept = OrderedDict()


def _overlap(start: int, length: int, wanted: int, number: int) -> tuple[int, int, slice]:
    """Along one axis: (first wanted pixel that a segment covers, how many it covers, where they are in it)."""
    first, last = max(start, wanted), min(start + length, wanted + number)
    return first - wanted, last - first, slice(first - start, last - start)
