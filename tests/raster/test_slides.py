"""Pyramids, at a level and at a size of pixel."""

import ctypes
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings

from intarsia.errors import DataError, MachineError, SettingsError
from intarsia.raster import slides
from intarsia.raster.contract import EvenScale, Window
from intarsia.raster.slides import SlideSource, vendor
from tests.raster.conftest import cut, numbers, windows

SIZE = (600, 840)
MPP = 0.25
FINEST = np.repeat(np.repeat(numbers((75, 105, 3), "uint8"), 8, axis=0), 8, axis=1)
FINEST[::3] //= 2


def halved(array: np.ndarray) -> np.ndarray:
    """[H, W, 3] -> half the size."""
    height, width = array.shape[0] // 2 * 2, array.shape[1] // 2 * 2
    parts = array[:height, :width].reshape(height // 2, 2, width // 2, 2, 3).astype(float)
    return parts.mean(axis=(1, 3)).round().astype(np.uint8)


LEVELS = [FINEST, halved(FINEST), halved(halved(FINEST))]


def write_slide(path: Path, levels: list[np.ndarray], mpp: float | None = MPP) -> Path:
    """A pyramid as openslide's generic-tiff knows it: the levels are pages in tiles."""
    with tifffile.TiffWriter(path) as file:
        for number, level in enumerate(levels):
            resolution = (1e4 / (mpp * 2**number),) * 2 if mpp else (1, 1)
            file.write(
                level,
                tile=(64, 64),
                photometric="rgb",
                compression="deflate",
                resolution=resolution,
                resolutionunit="centimeter" if mpp else "none",
                subfiletype=int(number > 0),
                metadata=None,
            )
    return path


@pytest.fixture(scope="module")
def slide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three levels, 0.25, 0.5 and 1 µm a pixel."""
    return write_slide(tmp_path_factory.mktemp("slide") / "slide.tif", LEVELS)


@pytest.mark.parametrize("level", [None, 0, 1, 2])
def test_a_level_is_read_as_it_is(slide, opened, level):
    source = opened(SlideSource(slide, level=level))
    expected = LEVELS[level or 0]
    assert (source.height, source.width, source.bands) == expected.shape
    assert source.dtype == np.uint8
    size = MPP * 2 ** (level or 0)
    assert source.scale == EvenScale(pytest.approx(size, rel=1e-4), pytest.approx(size, rel=1e-4), "µm")
    window = Window(11, 20, 100, 120)
    assert np.array_equal(source.read(window), cut(expected, window))


@pytest.mark.parametrize(("mpp", "level"), [(0.25, 0), (0.2501, 0), (0.5, 1), (0.497, 1), (1.0, 2), (1.004, 2)])
def test_a_level_that_is_near_is_taken_as_it_is(slide, opened, mpp, level):
    source = opened(SlideSource(slide, mpp=mpp))
    assert np.array_equal(source.read(Window(0, 0, source.height, source.width)), LEVELS[level])
    assert source.scale.height == pytest.approx(MPP * 2**level, rel=1e-4)


def test_between_levels_pixels_are_means_of_the_finer_one(slide, opened):
    source = opened(SlideSource(slide, mpp=0.75))
    assert (source.height, source.width) == (200, 280)
    assert source.scale == EvenScale(0.75, 0.75, "µm")
    read = source.read(Window(0, 0, 200, 280)).astype(float)
    grid = np.kron(LEVELS[1], np.ones((2, 2, 1)))  # half pixels: three of them make one
    means = grid[:600, :840].reshape(200, 3, 280, 3, 3).mean(axis=(1, 3))
    assert np.abs(read - means).max() <= 0.6


@given(window=windows(181, 254))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_resized_windows_have_no_seams(slide, opened, window):
    source = opened(SlideSource(slide, mpp=0.8264))
    assert (source.height, source.width) == (181, 254)
    assert np.array_equal(source.read(window), cut(source.read(Window(0, 0, 181, 254)), window))


def test_coarser_than_all_levels(slide, opened):
    source = opened(SlideSource(slide, mpp=4.0))
    assert (source.height, source.width) == (37, 52)
    read = source.read(Window(0, 0, 37, 52)).astype(float)
    means = LEVELS[2][:148, :208].reshape(37, 4, 52, 4, 3).mean(axis=(1, 3))
    assert np.abs(read - means).max() <= 1.5


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"level": 3}, r"slide\.tif: level=3: accepted are 0\.\.2"),
        ({"level": -1}, r"level=-1: accepted are 0\.\.2"),
        ({"mpp": 0.1}, r"mpp=0\.1: its finest level has 0\.25; nothing finer"),
        ({"mpp": 0}, r"mpp=0: accepted are µm a pixel, above 0"),
        ({"mpp": float("nan")}, "mpp=nan"),
        ({"level": 1, "mpp": 1.0}, "level=1 and mpp=1: give one"),
    ],
)
def test_what_a_slide_does_not_have(slide, options, words):
    with pytest.raises(SettingsError, match=words):
        SlideSource(slide, **options)


def test_a_slide_that_does_not_tell_its_size_of_pixel(tmp_path, opened):
    path = write_slide(tmp_path / "a.tif", LEVELS, mpp=None)
    assert opened(SlideSource(path, level=1)).scale is None
    with pytest.raises(DataError, match=r"a\.tif: does not tell its µm a pixel.*level=0"):
        SlideSource(path, mpp=1.0)


def test_a_damaged_tile_is_told(tmp_path, opened):
    path = write_slide(tmp_path / "a.tif", LEVELS)
    with tifffile.TiffFile(path) as file:
        offset, count = file.pages.first.dataoffsets[30], file.pages.first.databytecounts[30]
    with path.open("r+b") as stream:
        stream.seek(offset)
        stream.write(b"\xa5" * count)
    source = opened(SlideSource(path))
    source.read(Window(0, 0, 64, 64))
    with pytest.raises(DataError, match=r"a\.tif: damaged: rows 100 to 299 of level 0 cannot be decoded: "):
        source.read(Window(100, 0, 200, 840))
    assert np.array_equal(source.read(Window(400, 0, 64, 64)), FINEST[400:464, :64])


@pytest.mark.parametrize("bigtiff", [False, True])
@pytest.mark.parametrize("byteorder", ["<", ">"])
def test_damaged_sizes_do_not_end_the_process(tmp_path, byteorder, bigtiff):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, FINEST, tile=(64, 64), photometric="rgb", byteorder=byteorder, bigtiff=bigtiff)
    with tifffile.TiffFile(path) as file:
        tag, side = (file.pages.first.tags[number] for number in (324, 322))
    with path.open("r+b") as stream:
        stream.seek(tag.offset + (4 if byteorder == "<" else 4 + 4 * bigtiff))
        stream.write(np.array([3_000_000_000], f"{byteorder}u4").tobytes())
    with pytest.raises(DataError, match=r"a\.tif: is damaged: its tag 324 has 3,000,000,000 values"):
        SlideSource(path)
    tifffile.imwrite(path, FINEST, tile=(64, 64), photometric="rgb", byteorder=byteorder, bigtiff=bigtiff)
    with path.open("r+b") as stream:
        stream.seek(side.valueoffset)
        stream.write(np.array([3_000_000_000], f"{byteorder}u4").tobytes())
    with pytest.raises(DataError, match=r"a\.tif: is damaged, or has tiles of [\d,]+ pixels: at most 16,384"):
        SlideSource(path)


def test_what_is_a_slide(slide, tmp_path):
    assert vendor(slide) == "generic-tiff"
    (tmp_path / "a.svs").write_text("hello")
    with pytest.raises(DataError, match=r"a\.svs: is no slide"):
        SlideSource(tmp_path / "a.svs")
    with pytest.raises(DataError, match=r"gone\.svs: does not exist"):
        SlideSource(tmp_path / "gone.svs")


def test_openslide_is_named_where_it_is_missing(slide, monkeypatch):
    monkeypatch.setitem(sys.modules, "openslide", None)
    with pytest.raises(MachineError, match=r"openslide is not installed.*'intarsia\[slides\]'"):
        SlideSource(slide)
    monkeypatch.undo()
    monkeypatch.setattr(slides, "needed", lambda *_: ctypes.CDLL("no-such-library.so"))
    with pytest.raises(MachineError, match=r"openslide cannot be loaded: no-such-library.*'intarsia\[slides\]'"):
        SlideSource(slide)
