"""Windows of TIFFs of every build are slices of the whole picture, as other libraries read it."""

import os
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from intarsia.data.read import read_image
from intarsia.errors import DataError
from intarsia.raster import tiff
from intarsia.raster.contract import Window
from intarsia.raster.tiff import TiffSource
from tests.raster.conftest import cut, numbers, windows

SIZE = (70, 93)
BUILDS = {
    "strips": {"rowsperstrip": 9},
    "one strip": {"rowsperstrip": 70},
    "tiles": {"tile": (32, 16)},
    "packed tiles": {"tile": (16, 32), "compression": "deflate", "predictor": True},
    "packed strips": {"rowsperstrip": 16, "compression": "lzw"},
    "zstd": {"tile": (48, 48), "compression": "zstd"},
    "big": {"tile": (32, 32), "bigtiff": True, "compression": "deflate"},
    "motorola": {"tile": (32, 32), "byteorder": ">", "compression": "lzw"},
    "plain motorola": {"rowsperstrip": 20, "byteorder": ">"},
}


def write(path: Path, array: np.ndarray, planar: bool = False, **build: object) -> Path:
    bands = array.shape[2]
    array = np.moveaxis(array, -1, 0) if planar else array
    options = {"photometric": "minisblack", "planarconfig": "separate" if planar else "contig"} if bands > 1 else {}
    tifffile.imwrite(path, array if bands > 1 else array.squeeze(), **options, **build)
    return path


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory):
    """A file of each build, made once."""
    folder = tmp_path_factory.mktemp("builds")
    made: dict[tuple[object, ...], tuple[Path, np.ndarray]] = {}

    def make(build: str, dtype: str, bands: int, planar: bool) -> tuple[Path, np.ndarray]:
        key = (build, dtype, bands, planar)
        if key not in made:
            array = numbers((*SIZE, bands), dtype)
            made[key] = write(folder / f"{len(made)}.tif", array, planar, **BUILDS[build]), array
        return made[key]

    return make


@given(
    build=st.sampled_from(sorted(BUILDS)),
    dtype=st.sampled_from(["uint8", "uint16", "float32", "int16"]),
    layout=st.sampled_from([(1, False), (3, False), (3, True), (5, False), (5, True)]),
    places=st.lists(windows(*SIZE), min_size=1, max_size=4),
    kept=st.sampled_from([0, 5000, 1 << 20]),
)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_window_is_a_slice(written, monkeypatch, build, dtype, layout, places, kept):
    path, array = written(build, dtype, *layout)
    monkeypatch.setattr(tiff, "KEPT_BYTES", kept)
    expected = array if dtype.startswith("uint") else array.astype(np.float32)
    with closing(TiffSource(path)) as source:
        assert (source.height, source.width, source.bands, source.dtype) == (*SIZE, layout[0], expected.dtype)
        for window in places:
            part = source.read(window)
            assert part.dtype == expected.dtype
            assert part.flags.c_contiguous
            assert np.array_equal(part, cut(expected, window))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK"])
@pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "tiff_adobe_deflate"])
def test_pixels_mean_what_they_mean_in_small_pictures(tmp_path, mode, compression, opened):
    image = Image.fromarray(numbers((*SIZE, 3), "uint8"))
    image.convert("RGBA" if "A" in mode else mode).convert(mode).save(tmp_path / "a.tif", compression=compression)
    whole = read_image(tmp_path / "a.tif")
    source = opened(TiffSource(tmp_path / "a.tif"))
    assert (source.bands, source.dtype) == (whole.shape[2], whole.dtype)
    window = Window(5, 9, 40, 50)
    assert np.array_equal(source.read(window), cut(whole, window))


@pytest.mark.parametrize(
    ("stored", "options"),
    [
        (numbers((*SIZE, 1), "uint8"), {"photometric": "miniswhite"}),
        (numbers((*SIZE, 4), "uint8"), {"photometric": "rgb", "extrasamples": ["assocalpha"]}),
        (numbers((*SIZE, 4), "uint16"), {"photometric": "rgb", "extrasamples": ["unassalpha"]}),
        (numbers((*SIZE, 4), "uint8"), {"photometric": "rgb", "extrasamples": ["unspecified"]}),
        (numbers((*SIZE, 3), "uint8"), {"photometric": "rgb", "compression": "jpeg", "tile": (32, 32)}),
        (numbers((*SIZE, 1), "float64"), {}),
        (numbers((*SIZE, 1), "int32"), {"tile": (16, 16)}),
    ],
)
def test_kinds_that_pillow_does_not_write(tmp_path, stored, options, opened):
    tifffile.imwrite(tmp_path / "a.tif", stored.squeeze(), **options)
    whole = read_image(tmp_path / "a.tif")
    source = opened(TiffSource(tmp_path / "a.tif"))
    assert (source.bands, source.dtype) == (whole.shape[2], whole.dtype)
    off = np.abs(source.read(Window(0, 0, *SIZE)).astype(float) - whole)
    assert off.max() <= (3 if "compression" in options else 0)  # two decoders of JPEG


def test_a_segment_is_decoded_once_for_windows_side_by_side(tmp_path, monkeypatch, opened):
    path = write(tmp_path / "a.tif", numbers((64, 256, 3), "uint8"), tile=(32, 32), compression="deflate")
    source = opened(TiffSource(path))
    read, decode = [], source._page.decode
    monkeypatch.setattr(
        source._page, "decode", lambda data, index, **more: read.append(index) or decode(data, index, **more)
    )
    for left in range(0, 256, 40):
        source.read(Window(10, left, 50, min(40, 256 - left)))
    assert sorted(read) == list(range(16))


def test_tiles_that_a_file_leaves_out_hold_nothing(tmp_path, opened):
    array = numbers((64, 64, 1), "uint8")
    tiles = [array[:32, :32, 0], None, None, array[32:, 32:, 0]]
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(iter(tiles), shape=(64, 64), dtype="uint8", tile=(32, 32), compression="deflate")
    source = opened(TiffSource(tmp_path / "a.tif"))
    expected = tifffile.imread(tmp_path / "a.tif")
    assert np.array_equal(source.read(Window(3, 4, 50, 60))[:, :, 0], expected[3:53, 4:64])
    assert not source.read(Window(0, 32, 32, 32)).any()


def spoil(path: Path, segment: int) -> None:
    """Overwrites the content of a tile or strip."""
    with tifffile.TiffFile(path) as file:
        page = file.pages.first
        offset, count = page.dataoffsets[segment], page.databytecounts[segment]
    with path.open("r+b") as stream:
        stream.seek(offset)
        stream.write(b"\xa5" * count)


@pytest.mark.parametrize(
    ("planar", "build", "words"),
    [
        (
            False,
            {"tile": (32, 32)},
            r"damaged: tile 6 of 9 \(rows 32 to 63, columns 64 to 95\) cannot be decoded: ",
        ),
        (False, {"rowsperstrip": 8}, r"damaged: strip 6 of 12 \(rows 40 to 47\) cannot be decoded: "),
        (True, {"tile": (64, 96)}, r"damaged: tile 6 of 6 \(rows 64 to 95, band 3\) cannot"),
    ],
)
def test_a_damaged_segment_is_named_and_the_others_are_read(tmp_path, planar, build, words, opened):
    array = numbers((96, 96, 3), "uint8")
    path = write(tmp_path / "a.tif", array, planar, compression="deflate", **build)
    spoil(path, 5)
    source = opened(TiffSource(path))
    assert np.array_equal(source.read(Window(0, 0, 30, 96)), array[:30])
    with pytest.raises(DataError, match=rf"a\.tif: {words}"):
        source.read(Window(0, 0, 96, 96))


@pytest.mark.parametrize(
    ("build", "words"),
    [
        ({"tile": (32, 32), "compression": "deflate"}, r"tile \d of 9 .* the file ends before it"),
        ({"rowsperstrip": 96}, r"row \d+ of 96 cannot be read: the file ends before it"),
    ],
)
def test_a_file_that_ends_early(tmp_path, build, words, opened):
    path = write(tmp_path / "a.tif", numbers((96, 96, 1), "uint8"), **build)
    os.truncate(path, path.stat().st_size * 2 // 3)
    source = opened(TiffSource(path))
    source.read(Window(0, 0, 10, 10))
    with pytest.raises(DataError, match=rf"a\.tif: damaged: {words}"):
        source.read(Window(0, 0, 96, 96))


@pytest.mark.parametrize("compression", ["lzw", "jpeg"])
def test_a_decoder_that_is_missing_is_named(tmp_path, request, opened, compression):
    path = write(tmp_path / "a.tif", numbers((64, 64, 1), "uint8"), tile=(32, 32), compression=compression)
    request.getfixturevalue("without_imagecodecs")
    source = opened(TiffSource(path))
    with pytest.raises(DataError, match=r"a\.tif: .*requires.*pip install intarsia\[codecs\]"):
        source.read(Window(0, 0, 9, 9))


def test_a_strip_too_large_to_decode_names_the_cure(tmp_path, monkeypatch):
    monkeypatch.setattr(tiff, "MOST_PIXELS", 5000)
    path = write(tmp_path / "a.tif", numbers((90, 90, 1), "uint8"), rowsperstrip=90, compression="deflate")
    with pytest.raises(DataError, match=r"a\.tif: one strip has 8,100 pixels.*at most 5,000.*TILED=YES"):
        TiffSource(path)
    plain = write(tmp_path / "plain.tif", numbers((90, 90, 1), "uint8"), rowsperstrip=90)
    TiffSource(plain).close()  # of these any row can be read


@pytest.mark.parametrize(
    ("array", "options", "words"),
    [
        (
            np.zeros((8, 8), np.uint8),
            {"extratags": [(274, 3, 1, 6, True)]},
            "stored turned.*orientation 6.*upright",
        ),
        (np.zeros((8, 8), np.complex64), {}, "samples of complex64: read are integers and floats"),
        (np.zeros((3, 8, 8), np.uint8), {"photometric": "minisblack"}, "holds 3 pages; a picture has one"),
        (np.zeros((16, 16, 16), np.uint8), {"volumetric": True, "tile": (16, 16, 16)}, "a volume of 16 layers"),
        (np.zeros((8, 8, 3), np.uint8), {"photometric": "cielab"}, "photometric CIELAB.*Save it as RGB"),
    ],
)
def test_what_is_refused(tmp_path, array, options, words):
    tifffile.imwrite(tmp_path / "a.tif", array, **options)
    with pytest.raises(DataError, match=rf"a\.tif: .*{words}"):
        TiffSource(tmp_path / "a.tif")


def test_what_is_no_tiff(tmp_path):
    (tmp_path / "a.tif").write_bytes(b"II*\0 and no more")
    with pytest.raises(DataError, match=r"a\.tif: is damaged"):
        TiffSource(tmp_path / "a.tif")
    with pytest.raises(DataError, match=r"gone\.tif: does not exist"):
        TiffSource(tmp_path / "gone.tif")


READ_ALL = """
import resource, sys
from intarsia.raster.contract import Window
from intarsia.raster.{module} import {name}
source = {name}(sys.argv[1])
source.read(Window(0, 0, 512, 512))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
total = 0
for top in range(0, source.height, 512):
    for left in range(0, source.width, 512):
        part = source.read(Window(top, left, min(512, source.height - top), min(512, source.width - left)))
        total += int(part.sum())
print(total, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


@pytest.mark.slow
@pytest.mark.parametrize(("module", "name"), [("tiff", "TiffSource"), ("geotiff", "GeoTiffSource")])
def test_memory_does_not_grow_with_the_picture(tmp_path, module, name):
    row = np.repeat(numbers((256, 12_000 // 8, 3), "uint8") // 16, 8, axis=1)
    tiles = (row[:, x : x + 256] for _ in range(0, 12_000, 256) for x in range(0, 12_000, 256))
    padded = (np.pad(tile, ((0, 0), (0, 256 - tile.shape[1]), (0, 0))) for tile in tiles)
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(padded, shape=(12_000, 12_000, 3), dtype="uint8", tile=(256, 256), compression="deflate")
    program = READ_ALL.format(module=module, name=name)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program, tmp_path / "a.tif"],
        capture_output=True,
        text=True,
        check=True,
    )
    total, grown = map(int, done.stdout.split())
    rows = np.resize(np.arange(256), 12_000)
    assert total == int(row.sum(axis=(1, 2), dtype=np.int64)[rows].sum())
    assert grown < 150  # MB; the picture has 432
