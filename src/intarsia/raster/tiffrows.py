"""TIFF, row by row: tiles of 256x256, deflated; masks, probabilities and any number of bands, with their place.

Tiles are written as they become full and the directory at the end, so that memory holds one row of tiles, and
whether the file must be a BigTIFF is known when all of it is there.
"""

import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from intarsia.data.nodata import NODATA
from intarsia.extras import needed
from intarsia.raster.contract import Georeference
from intarsia.raster.geotiff import alone
from intarsia.raster.samples import PLACE_TAGS
from intarsia.raster.unfinished import Unfinished

TILE = 256
_LEVEL = 3
_HEADER = 16  # bytes, of a BigTIFF; a classic one leaves the last eight empty
_BYTE, _ASCII, _SHORT, _LONG, _DOUBLE, _LONG8 = 1, 2, 3, 4, 12, 16  # types of tags
_FORMATS = {_BYTE: "B", _ASCII: "B", _SHORT: "H", _LONG: "I", _DOUBLE: "d", _LONG8: "Q"}
_DEFLATE = 8
_BLACK_IS_ZERO, _RGB, _PALETTE = 1, 2, 3
_SAMPLE_FORMATS = {"u": 1, "i": 2, "f": 3}
_SIDEWAYS = 2  # the predictor that stores differences to the pixel on the left

Tag = tuple[int, int, Sequence[Any] | bytes]
"""(number, type, values)."""


def needs_big(size: int) -> bool:
    """Whether a file of `size` bytes must be a BigTIFF: classic ones count positions in 32 bits."""
    return size >= 1 << 32


class TiffWriter:
    """A `RowWriter` of TIFF.

    Args:
        path: to write.
        height: in rows.
        width: in columns.
        bands: of a pixel, interleaved; None for one.
        dtype: of whatever numbers, of 8 to 64 bits.
        palette: [N, 3] uint8 colours of uint8 or uint16 indices.
        tags: of the place, as `place_tags` makes them, and more.

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
        palette: NDArray[np.uint8] | None = None,
        tags: Sequence[Tag] = (),
    ) -> None:
        self._size = height, width
        self._shape = (width,) if bands is None else (width, bands)
        self._bands = bands or 1
        self._dtype = dtype.newbyteorder("<")
        self._palette = palette
        self._tags = list(tags)
        self._predicted = dtype.kind in "ui" and palette is None
        self._across = -(-width // TILE)
        self._rows = np.zeros((TILE, self._across * TILE, self._bands), self._dtype)  # of tiles
        self._filled = self._written = 0
        self._offsets: list[int] = []
        self._counts: list[int] = []
        self._file = Unfinished(path)
        with self._file.or_nothing():
            self._file.add(bytes(_HEADER))

    def write(self, rows: NDArray[Any]) -> None:
        """See `RowWriter`."""
        assert rows.shape[1:] == self._shape, f"rows of {rows.shape[1:]}, expected {self._shape}"
        assert self._written + len(rows) <= self._size[0], "more rows than the picture has"
        rows = rows.reshape(len(rows), self._size[1], self._bands)
        while len(rows):
            taken = rows[: TILE - self._filled]
            self._rows[self._filled : self._filled + len(taken), : self._size[1]] = taken
            self._filled += len(taken)
            self._written += len(taken)
            rows = rows[len(taken) :]
            if self._filled == TILE or self._written == self._size[0]:
                self._flush()

    def _flush(self) -> None:
        self._rows[self._filled :] = 0
        self._filled = 0
        with self._file.or_nothing():
            for left in range(0, self._across * TILE, TILE):
                tile = self._rows[:, left : left + TILE]
                if self._predicted:
                    tile = np.concatenate([tile[:, :1], np.diff(tile, axis=1)], axis=1)
                packed = zlib.compress(np.ascontiguousarray(tile).tobytes(), _LEVEL)
                self._offsets.append(self._file.add(packed))
                self._counts.append(len(packed))

    def close(self) -> None:
        """See `RowWriter`."""
        if self._file.finished:
            return
        with self._file.or_nothing():
            assert self._written == self._size[0], f"{self._size[0] - self._written} rows are missing"
            tags = self._directory()
            at = self._file.add(b"")
            directory_size = 8 * sum(len(values) for *_, values in tags) + 100 * len(tags)  # at the most
            big = needs_big(at + directory_size)
            at += -at % 16
            self._file.add(bytes(at - self._file.add(b"")))
            self._file.add(packed_directory(tags, at, big=big))
            self._file.finish(
                struct.pack("<2sHHHQ", b"II", 43, 8, 0, at) if big else struct.pack("<2sHI", b"II", 42, at)
            )

    def _directory(self) -> list[Tag]:
        height, width = self._size
        bits = 8 * self._dtype.itemsize
        colors = self._bands == 3 and self._dtype == np.uint8
        photometric = _PALETTE if self._palette is not None else _RGB if colors else _BLACK_IS_ZERO
        further = self._bands - (3 if colors else 1)
        tags: list[Tag] = [
            (256, _LONG, [width]),
            (257, _LONG, [height]),
            (258, _SHORT, [bits] * self._bands),
            (259, _SHORT, [_DEFLATE]),
            (262, _SHORT, [photometric]),
            (277, _SHORT, [self._bands]),
            (284, _SHORT, [1]),  # bands interleaved
            (322, _SHORT, [TILE]),
            (323, _SHORT, [TILE]),
            (324, _LONG8, self._offsets),
            (325, _LONG, self._counts),
            (339, _SHORT, [_SAMPLE_FORMATS[self._dtype.kind]] * self._bands),
        ]
        if self._predicted:
            tags.append((317, _SHORT, [_SIDEWAYS]))
        if further:
            tags.append((338, _SHORT, [0] * further))  # bands of a meaning of their own, no alpha
        if self._palette is not None:
            table = np.zeros((1 << bits, 3), np.uint16)
            table[: len(self._palette)] = self._palette.astype(np.uint16) * 257  # 255 becomes 65535
            tags.append((320, _SHORT, table.T.ravel().tolist()))
        return sorted([*tags, *self._tags], key=lambda tag: tag[0])

    def discard(self) -> None:
        """See `RowWriter`."""
        self._file.discard()


def packed_directory(tags: Sequence[Tag], at: int, *, big: bool) -> bytes:
    """An image file directory that lies at `at`, with the values of its tags behind it; no other follows."""
    count, entry, inline = ("<Q", "<HHQ", 8) if big else ("<H", "<HHI", 4)
    pointer = "<Q" if big else "<I"
    values_at = at + struct.calcsize(count) + len(tags) * (struct.calcsize(entry) + inline) + inline
    entries, behind = struct.pack(count, len(tags)), b""
    for number, kind, values in tags:
        fitting = _LONG if kind == _LONG8 and not big else kind
        packed = struct.pack(f"<{len(values)}{_FORMATS[fitting]}", *values)
        entries += struct.pack(entry, number, fitting, len(values))
        if len(packed) <= inline:
            entries += packed.ljust(inline, b"\0")
            continue
        behind += bytes(-(values_at + len(behind)) % 8)
        entries += struct.pack(pointer, values_at + len(behind))
        behind += packed
    return entries + struct.pack(pointer, 0) + behind


def nodata_tag(nodata: float) -> Tag:
    """As GDAL writes it."""
    return NODATA, _ASCII, (f"{nodata:.17g}" if nodata % 1 else f"{nodata:.0f}").encode() + b"\0"


def place_tags(georeference: Georeference) -> list[Tag]:
    """What a GeoTIFF says of its place, as GDAL words it.

    Raises:
        MachineError: rasterio is not installed.
    """
    rasterio = needed("rasterio", "geo")
    needed("rasterio.io", "geo")
    import tifffile  # a sixth of a second

    with alone(rasterio), rasterio.io.MemoryFile() as memory:
        options = {"driver": "GTiff", "height": 1, "width": 1, "count": 1, "dtype": "uint8"}
        transform = rasterio.Affine(*georeference.transform)
        with memory.open(**options, crs=georeference.crs or None, transform=transform):
            pass
        with tifffile.TiffFile(memory) as tiff:
            found = [tag for tag in tiff.pages.first.tags.values() if tag.code in PLACE_TAGS | {34736, 34737}]
            return [(tag.code, int(tag.dtype), _values(tag.value)) for tag in found]


def _values(value: Any) -> Sequence[Any]:  # noqa: ANN401  of a tag
    if isinstance(value, str):
        return value.encode() + b"\0"
    return value if isinstance(value, tuple | list) else (value,)
