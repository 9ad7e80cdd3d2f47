"""Whole slides: pyramids of microscopy pictures, at a level or at a size of pixel."""

import re
import struct
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from intarsia.data.read import decoding
from intarsia.data.signatures import TIFF_STARTS
from intarsia.errors import DataError, MachineError, SettingsError
from intarsia.extras import needed
from intarsia.raster.contract import EvenScale, Georeference, Scale, Window

SLIDE_SUFFIXES = frozenset({".svs", ".svslide", ".ndpi", ".mrxs", ".scn", ".vms", ".vmu", ".bif"})
NEAR = 0.01  # share by which a level may differ from the wanted size of pixel and still be taken as it is
_MOST_TAGS = 65535
_MOST_SIDE = 1 << 14  # pixels of a tile, along its height or width
_SHORT, _TILE = 3, (322, 323)
_BYTES_OF_TYPES = {
    3: 2,
    4: 4,
    5: 8,
    8: 2,
    9: 4,
    10: 8,
    11: 4,
    12: 8,
    13: 4,
    16: 8,
    17: 8,
    18: 8,
}  # in TIFF; others: 1
_WHITE = (255, 255, 255)
_GRID = (
    1 << 10
)  # edges of resized pixels lie on 1/1024 of a pixel: sums are whole numbers, and windows have no seams


class SlideSource:
    """A `Source` of one level of a slide, or between two levels; RGB over the slide's background colour.

    With `mpp`, the coarsest level that is not coarser is read, and where it differs by more than `NEAR`, each pixel
    is the mean of what it covers there: the same in whatever window it is read.

    Args:
        path: a slide, or a pyramidal TIFF in tiles.
        level: of the pyramid; 0 is the finest, and what is taken where neither is given.
        mpp: wanted µm a pixel.

    Raises:
        SettingsError: level and mpp are both given, or there is no such level, or none as fine as mpp.
        DataError: no slide, damaged, or mpp is wanted of a slide that does not tell its own.
        MachineError: openslide is not installed.
    """

    in_memory = False
    georeference: Georeference | None = None
    bands = 3
    dtype = np.dtype(np.uint8)
    note = ""

    def __init__(self, path: str | Path, *, level: int | None = None, mpp: float | None = None) -> None:
        self.path = Path(path)
        if level is not None and mpp is not None:
            raise SettingsError(f"{self.path}: level={level} and mpp={mpp:g}: give one of them.")
        if mpp is not None and not mpp > 0:
            raise SettingsError(f"{self.path}: mpp={mpp:g}: accepted are µm a pixel, above 0.")
        openslide = _library()
        with decoding(self.path):
            _refuse_what_ends_the_process(self.path)
            if vendor(self.path) is None:
                raise DataError(f"{self.path}: is no slide that openslide knows.")
            self._slide = openslide.OpenSlide(self.path)
        self._openslide = openslide
        try:
            self._begin(level, mpp)
        except BaseException:
            self.close()
            raise

    def _begin(self, level: int | None, mpp: float | None) -> None:
        properties = self._slide.properties
        written = re.fullmatch(r"#?([0-9a-fA-F]{6})", properties.get("openslide.background-color", ""))
        self._background = tuple(bytes.fromhex(written[1])) if written else _WHITE
        finest = _microns(properties.get("openslide.mpp-y")), _microns(properties.get("openslide.mpp-x"))
        self._level = self._level_for(mpp, finest) if mpp is not None else level or 0
        if not 0 <= self._level < self._slide.level_count:
            raise SettingsError(f"{self.path}: level={level}: accepted are 0..{self._slide.level_count - 1}.")
        width, height = self._slide.level_dimensions[self._level]
        self._size = height, width
        self._steps: tuple[float, float] | None = None  # pixels of the level that make one of ours: (down, across)
        own = [one and one * self._slide.level_downsamples[self._level] for one in finest]
        if mpp is not None and any(one and abs(mpp / one - 1) > NEAR for one in own):
            self._steps = tuple(max(1.0, mpp / one) if one else 1.0 for one in own)  # type: ignore[assignment]
            own = [mpp, mpp]
        down, across = self._steps or (1.0, 1.0)
        self.height, self.width = max(1, int(height / down)), max(1, int(width / across))
        self.scale: Scale | None = EvenScale(own[0], own[1], "µm") if own[0] and own[1] else None

    def _level_for(self, mpp: float, finest: tuple[float | None, float | None]) -> int:
        if finest[0] is None or finest[1] is None:
            raise DataError(
                f"{self.path}: does not tell its µm a pixel. Choose a level instead (level=0 is the finest)."
            )
        sizes = [max(finest[0], finest[1]) * times for times in self._slide.level_downsamples]
        fine = [level for level, size in enumerate(sizes) if size <= mpp * (1 + NEAR)]
        if not fine:
            raise SettingsError(
                f"{self.path}: mpp={mpp:g}: its finest level has {sizes[0]:g}; nothing finer is there."
            )
        return fine[-1]

    def read(self, window: Window) -> NDArray[Any]:
        """See `Source`."""
        if self._steps is None:
            return self._stored(window)
        rows = _edges(window.top, window.height, self._steps[0], self._size[0])
        columns = _edges(window.left, window.width, self._steps[1], self._size[1])
        top, left = int(rows[0]) // _GRID, int(columns[0]) // _GRID
        bottom, right = -(-int(rows[-1]) // _GRID), -(-int(columns[-1]) // _GRID)
        stored = self._stored(Window(top, left, bottom - top, right - left)).astype(np.int64)
        sums = _sums(_sums(stored, rows - top * _GRID, 0), columns - left * _GRID, 1)
        area = np.diff(rows)[:, None, None] * np.diff(columns)[None, :, None]
        return np.asarray((sums + area // 2) // area, dtype=np.uint8)

    def _stored(self, window: Window) -> NDArray[Any]:
        """[h, w, 3] of a window of the level."""
        times = self._slide.level_downsamples[self._level]
        corner = round(window.left * times), round(window.top * times)
        try:
            image = self._slide.read_region(corner, self._level, (window.width, window.height))
        except self._openslide.OpenSlideError as error:
            self._slide.close()
            self._slide = self._openslide.OpenSlide(self.path)  # after an error it reads nothing any more
            place = f"rows {window.top} to {window.top + window.height - 1} of level {self._level}"
            raise DataError(f"{self.path}: damaged: {place} cannot be decoded: {str(error).rstrip('.')}.") from None
        seen = np.asarray(image)
        if (seen[:, :, 3] == 255).all():
            return np.ascontiguousarray(seen[:, :, :3])
        alpha = seen[:, :, 3:].astype(np.uint32)
        behind = np.array(self._background, dtype=np.uint32)
        return np.asarray((seen[:, :, :3] * alpha + behind * (255 - alpha) + 127) // 255, dtype=np.uint8)

    def without_data(self, window: Window) -> NDArray[np.bool_] | None:
        """See `Source`: slides have a background instead."""
        return None

    def close(self) -> None:
        """See `Source`."""
        self._slide.close()


def vendor(path: Path) -> str | None:
    """Whose format a slide has, as openslide names it: `generic-tiff` for tiles of nobody's; None for no slide.

    Raises:
        MachineError: openslide is not installed.
    """
    found: str | None = _library().OpenSlide.detect_format(path)
    return found


def _refuse_what_ends_the_process(path: Path) -> None:
    """Damaged sizes in a TIFF: openslide would ask for as much memory, and where it gets none, all ends."""
    with path.open("rb") as file:
        start, size = file.read(16), path.stat().st_size
        if (
            not start.startswith(TIFF_STARTS) or path.suffix.lower() == ".ndpi"
        ):  # whose positions are of a kind of its own
            return
        order, big = "<" if start[:2] == b"II" else ">", b"+" in start[2:4]
        number, entry, pointer = (order + code for code in (("Q", "HHQ8s", "Q") if big else ("H", "HHI4s", "I")))
        (at,), seen = struct.unpack_from(pointer, start, 8 if big else 4), set[int]()
        while at and at not in seen:
            seen.add(at)
            file.seek(at)
            (tags,) = struct.unpack(number, file.read(struct.calcsize(number)))
            directory = file.read(min(tags, _MOST_TAGS) * struct.calcsize(entry))
            for tag, kind, values, content in struct.iter_unpack(entry, directory):
                if values * _BYTES_OF_TYPES.get(kind, 1) > size:
                    raise DataError(f"{path}: is damaged: its tag {tag} has {values:,} values, more than the file.")
                side = (
                    struct.unpack_from(order + ("H" if kind == _SHORT else "I"), content)[0] if tag in _TILE else 0
                )
                if side > _MOST_SIDE:
                    raise DataError(
                        f"{path}: is damaged, or has tiles of {side:,} pixels: at most {_MOST_SIDE:,} are read."
                    )
            (at,) = struct.unpack(pointer, file.read(struct.calcsize(pointer)))


def _library() -> Any:  # noqa: ANN401  an optional module
    try:
        return needed("openslide", "slides")
    except (ImportError, OSError) as error:  # it is there, but not the C library that it needs
        raise MachineError(
            f"openslide cannot be loaded: {str(error).rstrip('.')}. Install it: pip install 'intarsia[slides]'"
        ) from None


def _microns(text: str | None) -> float | None:
    try:
        microns = float(text or 0)
    except ValueError:
        return None
    return microns if 0 < microns < float("inf") else None


def _edges(start: int, number: int, step: float, most: int) -> NDArray[np.int64]:
    """[number + 1] where resized pixels begin and end along an axis, in 1/1024 of a stored pixel."""
    edges = np.rint(np.arange(start, start + number + 1) * (step * _GRID)).astype(np.int64)
    return np.asarray(np.minimum(edges, most * _GRID), dtype=np.int64)


def _sums(values: NDArray[np.int64], edges: NDArray[np.int64], axis: int) -> NDArray[np.int64]:
    """What lies between each two edges along an axis, in 1/1024."""
    whole, part = edges // _GRID, edges % _GRID
    before: NDArray[np.int64] = np.concatenate([np.zeros_like(values.take([0], axis)), values.cumsum(axis)], axis)
    shape = [1, 1, 1]
    shape[axis] = -1
    at = np.minimum(whole, values.shape[axis] - 1)  # at the end nothing of the next pixel is needed
    until = before.take(whole, axis) * _GRID + values.take(at, axis) * part.reshape(shape)
    return np.asarray(np.diff(until, axis=axis), dtype=np.int64)
