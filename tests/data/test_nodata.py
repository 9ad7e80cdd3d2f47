"""The number that stands for no data is NaN, whichever reader opens the file; GDAL is the witness."""

import logging
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import rasterio
import tifffile

from intarsia.data.nodata import as_floats, nodata_of, without_data
from intarsia.data.read import read_image
from intarsia.raster.contract import Window
from intarsia.raster.geotiff import GeoTiffSource
from intarsia.raster.opening import open_source
from intarsia.raster.tiff import TiffSource
from tests.raster.conftest import cut, numbers

LEAST = float(np.finfo(np.float32).min)
SIZE = (40, 50)
WINDOW = Window(3, 5, 30, 41)
PLACED = {"driver": "GTiff", "photometric": "minisblack", "transform": rasterio.Affine(2, 0, 0, 0, -2, 0)}


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("-9999", -9999),
        ("-9999.0 ", -9999),
        ("1e+38", 1e38),
        ("-3.4028234663852886e+38", LEAST),
        ("0,5", 0.5),
        ("nan", np.nan),
        ("-nan", np.nan),
        ("inf", np.inf),
        ("none", None),
        ("", None),
    ],
)
def test_the_number_that_a_file_names(tmp_path: Path, text: str, number: float | None) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.zeros((4, 5), np.float32), extratags=[(42113, "s", 0, text, True)])
    with tifffile.TiffFile(path) as tiff:
        found = nodata_of(tiff.pages.first)
    assert found == (None if number is None else pytest.approx(number, rel=0, nan_ok=True))


@pytest.mark.parametrize(("dtype", "text"), [("float32", "-3.4028234663852886e+38"), ("uint8", "-9999")])
def test_a_number_that_tifffile_cannot_cast_is_no_news(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, dtype: str, text: str
) -> None:
    path, array = tmp_path / "a.tif", np.ones((4, 5), dtype)
    array[0] = LEAST if dtype == "float32" else 0
    tifffile.imwrite(path, array, extratags=[(42113, "s", 0, text, True)])
    image = read_image(path)
    with closing(open_source(path)) as source, closing(TiffSource(path)) as other:
        assert np.array_equal(source.read(Window(0, 0, 4, 5)), image, equal_nan=dtype == "float32")
        assert np.array_equal(other.read(Window(0, 0, 4, 5)), image, equal_nan=dtype == "float32")
    assert np.isnan(image[0]).all() == (dtype == "float32")
    assert not caplog.records


def test_other_warnings_of_tifffile_are_heard(caplog: pytest.LogCaptureFixture) -> None:
    logging.getLogger("tifffile").warning("OME series is missing 2 frames. Missing data are zeroed")
    assert len(caplog.records) == 1


def test_a_file_that_names_none(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((4, 5), np.float32))
    with tifffile.TiffFile(tmp_path / "a.tif") as tiff:
        assert nodata_of(tiff.pages.first) is None


@pytest.mark.parametrize(
    ("stored", "nodata", "expected"),
    [
        (np.array([0.1, 0.5], np.float32), 0.1, [np.nan, 0.5]),
        (np.array([-1e308, 7.0]), -1e308, [np.nan, 7]),
        (np.array([LEAST, 7.0], np.float32), LEAST, [np.nan, 7]),
        (np.array([-(2**63), 7]), -(2.0**63), [np.nan, 7]),
        (np.array([-9999, 7], np.int16), -9999, [np.nan, 7]),
        (np.array([-9999, 7], np.int16), 1e38, [-9999, 7]),
        (np.array([0, 7], np.uint32), np.nan, [0, 7]),
        (np.array([np.nan, 7.0], np.float16), 7, [np.nan, np.nan]),
        (np.array([0, 7], np.int32), None, [0, 7]),
    ],
)
def test_numbers_of_any_kind(stored: np.ndarray, nodata: float | None, expected: list[float]) -> None:
    before = stored.copy()
    floats = as_floats(stored, nodata)
    assert floats.dtype == np.float32
    assert np.array_equal(floats, np.array(expected, np.float32), equal_nan=True)
    assert np.array_equal(stored, before, equal_nan=True), "it is not ours"


def test_nothing_is_known_where_all_bands_are_nan() -> None:
    image = np.array([[[1, 2], [np.nan, 2], [np.nan, np.nan]]], np.float32)
    assert without_data(image).tolist() == [[False, False, True]]
    assert without_data(image.astype(np.float64)).tolist() == [[False, False, True]]
    assert without_data(np.zeros((1, 1, 1), np.uint16)) is None


@pytest.mark.parametrize("bands", [1, 3, 5])
@pytest.mark.parametrize("build", [{}, {"tiled": True, "blockxsize": 16, "blockysize": 16, "compress": "deflate"}])
@pytest.mark.parametrize(
    ("dtype", "nodata"),
    [
        ("float32", -9999),
        ("float32", 1e38),
        ("float32", LEAST),
        ("float32", np.nan),
        ("float64", -1e308),
        ("int16", -9999),
        ("int32", -(2**31)),
        ("uint32", 2**32 - 1),
        ("uint8", 7),
        ("uint16", 7),
    ],
)
def test_every_reader_gives_the_same(
    tmp_path: Path, dtype: str, nodata: float, build: dict[str, object], bands: int
) -> None:
    path, array = tmp_path / "a.tif", (numbers((*SIZE, bands), "uint8") % 99).astype(dtype)
    array[:7] = array[:, :4, 0] = nodata
    profile = {"height": SIZE[0], "width": SIZE[1], "count": bands, "dtype": dtype, "nodata": nodata, **build}
    with rasterio.open(path, "w", **PLACED, **profile) as file:
        file.write(np.moveaxis(array, -1, 0))
    with rasterio.open(path) as file:
        masked = np.moveaxis(file.read(masked=True), 0, -1)
        nowhere = file.dataset_mask() == 0
    whole = dtype in ("uint8", "uint16")
    expected = array if whole else np.where(masked.mask, np.nan, masked.data).astype(np.float32)
    image = read_image(path)
    assert image.dtype == expected.dtype
    assert np.array_equal(image, expected, equal_nan=not whole)
    for kind in (TiffSource, GeoTiffSource):
        with closing(kind(path)) as source:
            assert source.dtype == image.dtype
            assert np.array_equal(source.read(WINDOW), cut(image, WINDOW), equal_nan=not whole)
            missing = source.without_data(WINDOW)
            if whole and kind is TiffSource:
                assert missing is None
            else:
                assert np.array_equal(missing, cut(nowhere, WINDOW))


@pytest.mark.parametrize("nodata", [-9999, 1e38, LEAST])
def test_blocks_that_a_file_leaves_out_are_no_data(tmp_path: Path, nodata: float) -> None:
    path = tmp_path / "a.tif"
    profile = {"height": 64, "width": 64, "count": 1, "dtype": "float32", "nodata": nodata}
    tiles = {"tiled": True, "blockxsize": 32, "blockysize": 32, "sparse_ok": True, "compress": "deflate"}
    with rasterio.open(path, "w", **PLACED, **profile, **tiles) as file:
        file.write(np.full((32, 32), 5, np.float32), 1, window=rasterio.windows.Window(0, 32, 32, 32))
    expected = np.full((64, 64, 1), np.nan, np.float32)
    expected[32:, :32] = 5
    assert np.array_equal(read_image(path), expected, equal_nan=True)
    for kind in (TiffSource, GeoTiffSource):
        with closing(kind(path)) as source:
            assert np.array_equal(source.read(Window(0, 0, 64, 64)), expected, equal_nan=True)
