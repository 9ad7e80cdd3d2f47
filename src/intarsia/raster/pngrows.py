"""PNG, row by row: index masks of any size in constant memory."""

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from intarsia.raster.unfinished import Unfinished

MOST_SIDE = (1 << 31) - 1
_LEVEL = 3
_BYTES_AT_ONCE = 32 << 20  # of rows: their copies, and chunks, stay small
_GREY, _RGB, _PALETTE = 0, 2, 3  # colour types
_NO_FILTER, _UP = 0, 2


class PngWriter:
    """A `RowWriter` of PNG.

    Args:
        path: to write.
        height: in rows.
        width: in columns.
        bands: 3 for RGB; None for one band.
        dtype: uint8, or uint16 for one band without a palette.
        palette: [N <= 256, 3] uint8 colours of the indices.

    Raises:
        MachineError: the file cannot be made.
    """

    def __init__(
        self,
        path: Path,
        height: int,
        width: int,
        *,
        bands: int | None,
        dtype: np.dtype[Any],
        palette: NDArray[np.uint8] | None,
    ) -> None:
        self._shape = (width,) if bands is None else (width, bands)
        self._left = height
        self._stored = dtype.newbyteorder(">")
        color = _PALETTE if palette is not None else _GREY if bands in (None, 1) else _RGB
        self._filter = _NO_FILTER if palette is not None else _UP
        self._above = np.zeros((1, width * (bands or 1) * dtype.itemsize), np.uint8)
        self._deflate = zlib.compressobj(_LEVEL)
        self._file = Unfinished(path)
        with self._file.or_nothing():
            self._file.add(b"\x89PNG\r\n\x1a\n")
            self._chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8 * dtype.itemsize, color, 0, 0, 0))
            if palette is not None:
                colors = np.zeros((256, 3), np.uint8)  # for every index that 8 bits can be
                colors[: len(palette)] = palette
                self._chunk(b"PLTE", colors.tobytes())

    def _chunk(self, kind: bytes, content: bytes) -> None:
        self._file.add(struct.pack(">I", len(content)) + kind)
        self._file.add(content)
        self._file.add(struct.pack(">I", zlib.crc32(content, zlib.crc32(kind))))

    def write(self, rows: NDArray[Any]) -> None:
        """See `RowWriter`."""
        assert rows.shape[1:] == self._shape, f"rows of {rows.shape[1:]}, expected {self._shape}"
        assert len(rows) <= self._left, "more rows than the picture has"
        self._left -= len(rows)
        at_once = max(1, _BYTES_AT_ONCE // self._above.size)
        for top in range(0, len(rows), at_once):
            self._pack(rows[top : top + at_once])

    def _pack(self, rows: NDArray[Any]) -> None:
        values = np.ascontiguousarray(rows, dtype=self._stored).view(np.uint8).reshape(len(rows), -1)
        lines = np.empty((len(rows), 1 + values.shape[1]), np.uint8)
        lines[:, 0] = self._filter
        if self._filter == _UP:
            np.subtract(values, np.concatenate([self._above, values[:-1]]), out=lines[:, 1:])
            self._above = values[-1:].copy()
        else:
            lines[:, 1:] = values
        with self._file.or_nothing():
            if packed := self._deflate.compress(lines.data):
                self._chunk(b"IDAT", packed)

    def close(self) -> None:
        """See `RowWriter`."""
        if self._file.finished:
            return
        with self._file.or_nothing():
            assert self._left == 0, f"{self._left} rows are missing"
            self._chunk(b"IDAT", self._deflate.flush())
            self._chunk(b"IEND", b"")
            self._file.finish()

    def discard(self) -> None:
        """See `RowWriter`."""
        self._file.discard()
