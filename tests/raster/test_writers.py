"""What is written row by row, other libraries read as it was."""

import os
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import rasterio
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from rasterio.crs import CRS

from intarsia.errors import MachineError, SettingsError
from intarsia.raster import tiffrows
from intarsia.raster.contract import Georeference, RowWriter
from intarsia.raster.tiffrows import needs_big, packed_directory
from intarsia.raster.writers import open_writer
from tests.raster.conftest import numbers

PALETTE = numbers((5, 3), "uint8")
UTM = Georeference(CRS.from_epsg(32632).to_wkt(), (0.5, 0.0, 500_000.25, 0.0, -0.5, 5_300_000.0))


def write(writer: RowWriter, array: np.ndarray, strips: list[int]) -> None:
    """Writes strips of these heights over and over, and the rest."""
    top = 0
    while top < len(array):
        for height in strips:
            writer.write(array[top : top + height])
            top += height
    writer.close()


heights = st.lists(st.integers(0, 40), min_size=1, max_size=6).filter(any)


@given(
    size=st.tuples(st.integers(1, 90), st.integers(1, 90)),
    kind=st.sampled_from(["grey", "palette", "wide", "colours"]),
    strips=heights,
)
@settings(max_examples=80, deadline=None)
def test_a_png_in_any_strips(tmp_path_factory, size, kind, strips):
    path = tmp_path_factory.getbasetemp() / "any.png"
    dtype, bands = ("uint16" if kind == "wide" else "uint8"), (3 if kind == "colours" else None)
    array = numbers(size if bands is None else (*size, bands), dtype)
    palette = PALETTE if kind == "palette" else None
    array = array % len(PALETTE) if kind == "palette" else array
    write(open_writer(path, *size, bands=bands, dtype=dtype, palette=palette), array, strips)
    with Image.open(path) as image:
        assert image.mode == {"grey": "L", "palette": "P", "wide": "I;16", "colours": "RGB"}[kind]
        image.load()
        assert np.array_equal(np.asarray(image), array)
        if kind == "palette":
            assert np.array_equal(np.asarray(image.convert("RGB")), PALETTE[array])
    seen = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    expected = PALETTE[array] if kind == "palette" else array
    assert np.array_equal(seen[:, :, ::-1] if seen.ndim == 3 else seen, expected)


@given(
    size=st.tuples(st.integers(1, 600), st.integers(1, 600)),
    dtype=st.sampled_from(["uint8", "uint16", "int32", "float32", "float64"]),
    bands=st.sampled_from([None, 1, 2, 3, 4, 21]),
    strips=st.lists(st.integers(0, 400), min_size=1, max_size=4).filter(any),
    big=st.booleans(),
)
@settings(max_examples=40, deadline=None)
def test_a_tiff_in_any_strips(tmp_path_factory, size, dtype, bands, strips, big):
    path = tmp_path_factory.getbasetemp() / "any.tif"
    array = numbers(size if bands is None else (*size, bands), dtype)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tiffrows, "needs_big", lambda size: big)
        write(open_writer(path, *size, bands=bands, dtype=dtype, nodata=7), array, strips)
    with tifffile.TiffFile(path) as file:
        assert file.is_bigtiff == big
        assert file.pages.first.is_tiled
        assert file.pages.first.compression == 8
        assert file.pages.first.nodata == 7
        assert np.array_equal(file.asarray().reshape(array.shape), array)
    with pytest.warns(rasterio.errors.NotGeoreferencedWarning):
        file = rasterio.open(path)
    with file:
        assert file.nodata == 7
        assert np.array_equal(np.moveaxis(file.read(), 0, -1).reshape(array.shape), array)


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_a_palette_in_a_tiff(tmp_path, dtype):
    array = numbers((300, 270), "uint8").astype(dtype) % len(PALETTE)
    write(open_writer(tmp_path / "a.tif", 300, 270, dtype=dtype, palette=PALETTE), array, [77])
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        assert np.array_equal(file.asarray(), array)
        assert np.array_equal(file.pages.first.colormap.T[: len(PALETTE)] // 257, PALETTE)
    if dtype == "uint8":
        with Image.open(tmp_path / "a.tif") as image:
            assert np.array_equal(np.asarray(image.convert("RGB")), PALETTE[array])


def test_colours_are_colours_and_bands_are_bands(tmp_path):
    for bands, photometric in ((3, 2), (4, 1), (2, 1)):
        array = numbers((20, 20, bands), "uint8")
        write(open_writer(tmp_path / "a.tif", 20, 20, bands=bands, dtype="uint8"), array, [20])
        with tifffile.TiffFile(tmp_path / "a.tif") as file:
            assert file.pages.first.photometric == photometric
            assert set(file.pages.first.extrasamples) <= {0}


PLACES = {
    "metres": UTM,
    "feet": Georeference(CRS.from_epsg(2263).to_wkt(), (1.0, 0.0, 987_000.0, 0.0, -1.0, 213_000.0)),
    "degrees": Georeference(CRS.from_epsg(4326).to_wkt(), (1e-5, 0.0, 8.123456789, 0.0, -2e-5, 47.987654321)),
    "web": Georeference(CRS.from_epsg(3857).to_wkt(), (0.3, 0.0, 900_000.0, 0.0, -0.3, 6_000_000.0)),
    "rotated": Georeference(CRS.from_epsg(25833).to_wkt(), (0.4, 0.3, 400_000.0, 0.3, -0.4, 5_800_000.0)),
    "own": Georeference(
        CRS.from_proj4("+proj=aea +lat_1=20 +lat_2=60 +lat_0=40 +lon_0=-96 +datum=NAD83 +units=m").to_wkt(),
        (30.0, 0.0, -2e6, 0.0, -30.0, 3e6),
    ),
    "no system": Georeference("", (2.0, 0.0, 100.0, 0.0, -2.0, 50.0)),
}


@pytest.mark.parametrize("place", PLACES.values(), ids=list(PLACES))
def test_a_place_is_written_as_gdal_writes_it(tmp_path, place):
    array = numbers((300, 200), "uint8") % len(PALETTE)
    writer = open_writer(
        tmp_path / "a.tif", 300, 200, dtype="uint8", palette=PALETTE, georeference=place, nodata=255
    )
    write(writer, array, [64])
    profile = {"driver": "GTiff", "height": 300, "width": 200, "count": 1, "dtype": "uint8", "nodata": 255}
    where = {"crs": place.crs or None, "transform": rasterio.Affine(*place.transform)}
    with rasterio.open(tmp_path / "gdal.tif", "w", **profile, **where) as file:
        file.write(array, 1)
    with rasterio.open(tmp_path / "a.tif") as ours, rasterio.open(tmp_path / "gdal.tif") as theirs:
        assert ours.crs == theirs.crs
        assert ours.transform == theirs.transform == where["transform"]
        assert ours.shape == theirs.shape == (300, 200)
        assert ours.nodata == 255
        assert ours.colormap(1)[1][:3] == tuple(PALETTE[1])
        assert np.array_equal(ours.read(1), array)


def test_where_a_big_tiff_begins():
    assert not needs_big((1 << 32) - 1)
    assert needs_big(1 << 32)


def test_positions_beyond_32_bits_fit_into_the_directory_of_a_big_tiff():
    at = 5 << 32
    packed = packed_directory([(256, 4, [7]), (324, 16, [at, at + 9])], at, big=True)
    assert packed[:8] == (2).to_bytes(8, "little")
    values_at = int.from_bytes(packed[8 + 20 + 12 : 8 + 20 + 20], "little") - at
    assert np.frombuffer(packed[values_at : values_at + 16], "<u8").tolist() == [at, at + 9]


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("a.jpg", {"dtype": "uint8"}, r"written as \.png, \.tif, \.tiff"),
        ("a.png", {"dtype": "float32"}, r"a PNG does not hold 1 bands of float32.*\.tif"),
        ("a.png", {"dtype": "uint16", "bands": 3}, "does not hold 3 bands of uint16"),
        ("a.png", {"dtype": "uint8", "bands": 2}, "does not hold 2 bands"),
        ("a.png", {"dtype": "uint16", "palette": PALETTE}, "uint16 with 5 colours"),
        ("a.tif", {"dtype": "complex64"}, "a TIFF of complex64"),
    ],
)
def test_what_a_format_does_not_hold(tmp_path, name, options, words):
    with pytest.raises(SettingsError, match=words):
        open_writer(tmp_path / name, 8, 8, **options)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
class TestUnfinished:
    def test_the_name_comes_last(self, tmp_path, name):
        (tmp_path / name).write_bytes(b"old")
        writer = open_writer(tmp_path / name, 300, 8, dtype="uint8")
        writer.write(np.zeros((300, 8), np.uint8))
        assert (tmp_path / name).read_bytes() == b"old"
        writer.close()
        writer.close()
        writer.discard()
        assert [path.name for path in tmp_path.iterdir()] == [name]
        assert (tmp_path / name).read_bytes() != b"old"

    def test_given_up_nothing_is_left(self, tmp_path, name):
        writer = open_writer(tmp_path / name, 300, 8, dtype="uint8")
        writer.write(np.zeros((100, 8), np.uint8))
        writer.discard()
        writer.discard()
        assert not list(tmp_path.iterdir())

    def test_rows_that_are_missing_or_wrong_are_our_own_mistake(self, tmp_path, name):
        writer = open_writer(tmp_path / name, 10, 8, dtype="uint8")
        with pytest.raises(AssertionError):
            writer.write(np.zeros((1, 9), np.uint8))
        writer.write(np.zeros((9, 8), np.uint8))
        with pytest.raises(AssertionError):
            writer.write(np.zeros((2, 8), np.uint8))
        with pytest.raises(AssertionError, match="1 rows are missing"):
            writer.close()
        assert not list(tmp_path.iterdir())

    def test_a_full_disk(self, small_disk, name):
        writer = open_writer(small_disk / name, 6000, 1000, dtype="uint8")
        with pytest.raises(MachineError, match=rf"{name}: cannot be written: the disk is full.*free: [\d,]+ bytes"):
            write(writer, numbers((6000, 1000), "uint8"), [100])
        assert not list(small_disk.iterdir())

    def test_a_folder_that_is_not_there(self, tmp_path, name):
        with pytest.raises(MachineError, match=rf"gone/{name}: cannot be written: its folder does not exist"):
            open_writer(tmp_path / "gone" / name, 8, 8, dtype="uint8")

    @pytest.mark.parametrize("fault", ["fsync", "replace"])
    def test_a_fault_at_the_end(self, tmp_path, monkeypatch, name, fault):
        def fail(*_: object) -> None:
            raise OSError(28, os.strerror(28))

        writer = open_writer(tmp_path / name, 8, 8, dtype="uint8")
        monkeypatch.setattr(*((os, "fsync") if fault == "fsync" else (type(tmp_path), "replace")), fail)
        with pytest.raises(MachineError, match="the disk is full"):
            write(writer, np.zeros((8, 8), np.uint8), [8])
        assert not list(tmp_path.iterdir())


def test_a_place_needs_rasterio(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "rasterio", None)
    with pytest.raises(MachineError, match=r"rasterio is not installed.*pip install 'intarsia\[geo\]'"):
        open_writer(tmp_path / "a.tif", 8, 8, dtype="uint8", georeference=UTM)
    assert not list(tmp_path.iterdir())
