"""GeoTIFFs: windows as rasterio reads the whole, where they lie, what a pixel measures, what is no data."""

import os
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import rasterio
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from rasterio.crs import CRS
from rasterio.enums import ColorInterp

from intarsia.data.read import read_image
from intarsia.errors import DataError
from intarsia.raster.contract import EvenScale, GlobeScale, WebMercatorScale, Window
from intarsia.raster.geotiff import GeoTiffSource
from intarsia.raster.writers import open_writer
from tests.raster.conftest import cut, numbers, windows

SIZE = (70, 93)
NORTH_UP = rasterio.Affine(0.5, 0, 500_000, 0, -0.25, 5_300_000)
FOOT = 1200 / 3937  # US survey foot in metres


def write(path: Path, array: np.ndarray, **options: object) -> Path:
    height, width, bands = array.shape
    profile = {"driver": "GTiff", "height": height, "width": width, "count": bands, "dtype": array.dtype}
    place = {"crs": CRS.from_epsg(32632), "transform": NORTH_UP}
    with rasterio.open(path, "w", **{**profile, **place, **options}) as file:
        file.write(np.moveaxis(array, -1, 0))
    return path


BUILDS = [
    {"tiled": True, "blockxsize": 32, "blockysize": 16, "compress": "deflate", "predictor": 2},
    {"compress": "lzw", "interleave": "band"},
    {"tiled": True, "blockxsize": 16, "blockysize": 16, "compress": "zstd", "interleave": "pixel"},
    {"blockysize": 7},
    {"bigtiff": "yes"},
]


@given(
    build=st.sampled_from(BUILDS),
    dtype=st.sampled_from(["uint8", "uint16", "int16"]),
    bands=st.sampled_from([1, 3, 5]),
    places=st.lists(windows(*SIZE), min_size=1, max_size=3),
)
@settings(max_examples=50, deadline=None)
def test_any_window_is_a_slice(tmp_path_factory, build, dtype, bands, places):
    array = numbers((*SIZE, bands), dtype)
    path = write(tmp_path_factory.getbasetemp() / "any.tif", array, photometric="minisblack", alpha="no", **build)
    expected = array if dtype.startswith("uint") else array.astype(np.float32)
    with closing(GeoTiffSource(path)) as source:
        assert (source.height, source.width, source.bands, source.dtype) == (*SIZE, bands, expected.dtype)
        for window in places:
            part = source.read(window)
            assert part.dtype == expected.dtype
            assert np.array_equal(part, cut(expected, window))
            missing = source.without_data(window)
            assert missing is None or not missing.any()


def test_the_place_goes_through_reading_and_writing(tmp_path, opened):
    path = write(tmp_path / "a.tif", numbers((*SIZE, 1), "uint8"), nodata=9)
    source = opened(GeoTiffSource(path))
    writer = open_writer(tmp_path / "b.tif", *SIZE, dtype="uint8", georeference=source.georeference, nodata=9)
    writer.write(source.read(Window(0, 0, *SIZE))[:, :, 0])
    writer.close()
    with rasterio.open(path) as first, rasterio.open(tmp_path / "b.tif") as second:
        assert second.crs == first.crs == CRS.from_epsg(32632)
        assert second.transform == first.transform == NORTH_UP
        assert (second.shape, second.nodata) == (first.shape, first.nodata)
        assert np.array_equal(second.read(), first.read())


@pytest.mark.parametrize(
    ("system", "transform", "expected"),
    [
        (32632, NORTH_UP, EvenScale(0.25, 0.5, "m")),
        (2263, rasterio.Affine(2, 0, 0, 0, -3, 0), EvenScale(3 * FOOT, 2 * FOOT, "m")),
        (32632, rasterio.Affine(3, 4, 0, 4, -3, 0), EvenScale(5.0, 5.0, "m")),
        (4326, rasterio.Affine(0.1, 0, 8, 0, -0.2, 50), GlobeScale(50, -0.2, 0.1)),
        (4326, rasterio.Affine(0.1, 0.1, 8, 0.1, -0.1, 50), None),
        (3857, rasterio.Affine(0.3, 0, 9e5, 0, -0.3, 6e6), WebMercatorScale(6e6, -0.3, 0.3)),
        (None, NORTH_UP, None),
    ],
)
def test_what_a_pixel_measures(tmp_path, opened, system, transform, expected):
    crs = CRS.from_epsg(system) if system else None
    source = opened(
        GeoTiffSource(write(tmp_path / "a.tif", numbers((8, 8, 1), "uint8"), crs=crs, transform=transform))
    )
    assert source.georeference.transform == tuple(transform)[:6]
    assert (CRS.from_wkt(source.georeference.crs) == crs) if crs else source.georeference.crs == ""
    if not isinstance(expected, EvenScale):
        assert source.scale == expected
        return
    assert source.scale.unit == "m"
    assert source.scale.areas(0, 2) == pytest.approx(expected.areas(0, 2))
    assert (source.scale.height, source.scale.width) == pytest.approx((expected.height, expected.width))


def test_grads_are_angles_too(tmp_path, opened):
    crs = CRS.from_epsg(4807)  # NTF (Paris), in grads
    transform = rasterio.Affine(0.1, 0, 2, 0, -0.1, 50)
    source = opened(
        GeoTiffSource(write(tmp_path / "a.tif", numbers((8, 8, 1), "uint8"), crs=crs, transform=transform))
    )
    assert isinstance(source.scale, GlobeScale)
    assert (source.scale.latitude, source.scale.width) == pytest.approx((45, 0.09))


class TestWithoutData:
    def test_a_value(self, tmp_path, opened):
        array = numbers((*SIZE, 3), "uint8") % 3
        source = opened(GeoTiffSource(write(tmp_path / "a.tif", array, nodata=0)))
        window = Window(3, 4, 50, 60)
        assert np.array_equal(source.without_data(window), cut((array == 0).all(axis=2), window))

    def test_no_number(self, tmp_path, opened):
        array = numbers((*SIZE, 1), "float32")
        array[5:9, 5:9] = np.nan
        source = opened(GeoTiffSource(write(tmp_path / "a.tif", array, nodata=np.nan)))
        assert np.array_equal(source.without_data(Window(0, 0, *SIZE)), np.isnan(array[:, :, 0]))

    def test_alpha_which_is_no_band(self, tmp_path, opened):
        array = numbers((*SIZE, 4), "uint8")
        array[:, :, 3] = np.where(array[:, :, 3] < 100, 0, 255)
        source = opened(GeoTiffSource(write(tmp_path / "a.tif", array, photometric="rgb", alpha="yes")))
        assert source.bands == 3
        assert np.array_equal(source.read(Window(0, 0, *SIZE)), array[:, :, :3])
        assert np.array_equal(source.without_data(Window(0, 0, *SIZE)), array[:, :, 3] == 0)

    def test_a_mask_within_the_file(self, tmp_path, opened):
        array, mask = numbers((*SIZE, 3), "uint8"), numbers(SIZE, "uint8") > 99
        with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
            path = write(tmp_path / "a.tif", array)
            with rasterio.open(path, "r+") as file:
                file.write_mask(mask)
        assert [one.name for one in tmp_path.iterdir()] == ["a.tif"]
        source = opened(GeoTiffSource(path))
        assert np.array_equal(source.without_data(Window(2, 2, 30, 30)), ~mask[2:32, 2:32])


def test_palettes_become_colours(tmp_path, opened):
    array, palette = numbers((*SIZE, 1), "uint8") % 4, numbers((4, 3), "uint8")
    path = write(tmp_path / "a.tif", array, photometric="palette")
    with rasterio.open(path, "r+") as file:
        file.write_colormap(1, {index: (*map(int, color), 255) for index, color in enumerate(palette)})
        file.colorinterp = [ColorInterp.palette]
    source = opened(GeoTiffSource(path))
    assert np.array_equal(source.read(Window(0, 0, *SIZE)), palette[array[:, :, 0]])


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK"])
def test_pixels_mean_what_they_mean_in_small_pictures(tmp_path, opened, mode):
    image = Image.fromarray(numbers((*SIZE, 3), "uint8"))
    image.convert("RGBA" if "A" in mode else mode).convert(mode).save(tmp_path / "a.tif", compression="tiff_lzw")
    whole = read_image(tmp_path / "a.tif")
    source = opened(GeoTiffSource(tmp_path / "a.tif"))
    assert (source.bands, source.dtype) == (whole.shape[2], whole.dtype)
    off = np.abs(source.read(Window(5, 9, 40, 50)).astype(int) - cut(whole, Window(5, 9, 40, 50)))
    assert off.max() <= (1 if mode == "CMYK" else 0)  # rounded by other libraries


@pytest.mark.parametrize("photometric", ["ycbcr", "rgb"])
def test_colours_of_jpeg(tmp_path, opened, photometric):
    rows, columns = np.mgrid[:128, :128]
    array = np.stack([rows * 2, columns, (rows + columns) // 2], axis=-1).astype(np.uint8)
    path = write(tmp_path / "a.tif", array, compress="jpeg", photometric=photometric, jpeg_quality=95, tiled=True)
    source = opened(GeoTiffSource(path))
    off = np.abs(source.read(Window(0, 0, 128, 128)).astype(int) - read_image(path))
    assert off.max() <= 4  # two decoders


def test_white_that_is_zero(tmp_path, opened):
    tifffile.imwrite(tmp_path / "a.tif", numbers(SIZE, "uint8"), photometric="miniswhite")
    source = opened(GeoTiffSource(tmp_path / "a.tif"))
    assert np.array_equal(source.read(Window(0, 0, *SIZE)), read_image(tmp_path / "a.tif"))


class TestNothingElseIsOpened:
    VRT = """<VRTDataset rasterXSize="8" rasterYSize="8"><VRTRasterBand dataType="Byte" band="1">
        <SimpleSource><SourceFilename relativeToVRT="0">/etc/hostname</SourceFilename></SimpleSource>
        </VRTRasterBand></VRTDataset>"""

    def test_a_vrt_of_another_name(self, tmp_path):
        (tmp_path / "a.tif").write_text(self.VRT)
        with pytest.raises(DataError, match=r"a\.tif: is"):
            GeoTiffSource(tmp_path / "a.tif")

    def test_files_beside_it(self, tmp_path, opened):
        tifffile.imwrite(tmp_path / "a.tif", numbers((64, 64), "uint8"))
        (tmp_path / "a.tfw").write_text("1\n0\n0\n-1\n100\n200\n")
        (tmp_path / "a.tif.aux.xml").write_text(
            '<PAMDataset><PAMRasterBand band="1"><NoDataValue>7</NoDataValue></PAMRasterBand></PAMDataset>'
        )
        tifffile.imwrite(tmp_path / "a.tif.msk", np.zeros((64, 64), np.uint8))
        source = opened(GeoTiffSource(tmp_path / "a.tif"))
        assert source.georeference is None
        assert source.without_data(Window(0, 0, 64, 64)) is None
        source.read(Window(0, 0, 64, 64))
        assert len(list(tmp_path.iterdir())) == 4

    def test_a_name_that_reads_like_an_address(self, tmp_path, opened, monkeypatch):
        (tmp_path / "zip:").mkdir()
        path = write(tmp_path / "zip:" / "a!b.tif", numbers((8, 8, 1), "uint8"))
        monkeypatch.chdir(tmp_path)
        assert opened(GeoTiffSource(path.relative_to(tmp_path))).height == 8


def test_a_damaged_block_is_told_with_its_window(tmp_path, opened):
    array = numbers((96, 96, 1), "uint8")
    path = write(tmp_path / "a.tif", array, tiled=True, blockxsize=32, blockysize=32, compress="deflate")
    with tifffile.TiffFile(path) as file:
        offset, count = file.pages.first.dataoffsets[4], file.pages.first.databytecounts[4]
    with path.open("r+b") as stream:
        stream.seek(offset)
        stream.write(b"\xa5" * count)
    source = opened(GeoTiffSource(path))
    assert np.array_equal(source.read(Window(0, 0, 32, 96)), array[:32])
    words = r"a\.tif: damaged: rows 20 to 59, columns 30 to 89 cannot be decoded: "
    with pytest.raises(DataError, match=words) as raised:
        source.read(Window(20, 30, 40, 60))
    assert "previous exception" not in str(raised.value)


def test_a_file_that_ends_early(tmp_path, opened):
    path = write(tmp_path / "a.tif", numbers((96, 96, 1), "uint8"))
    os.truncate(path, 4000)
    source = opened(GeoTiffSource(path))
    with pytest.raises(DataError, match=r"a\.tif: damaged: rows 0 to 95"):
        source.read(Window(0, 0, 96, 96))


def test_what_is_refused(tmp_path):
    tifffile.imwrite(tmp_path / "pages.tif", np.zeros((2, 16, 16), np.uint8))
    with pytest.raises(DataError, match=r"pages\.tif: holds 2 pages"):
        GeoTiffSource(tmp_path / "pages.tif")
    tifffile.imwrite(tmp_path / "turned.tif", np.zeros((16, 16), np.uint8), extratags=[(274, 3, 1, 6, True)])
    with pytest.raises(DataError, match=r"turned\.tif: is stored turned"):
        GeoTiffSource(tmp_path / "turned.tif")
    with pytest.raises(DataError, match=r"gone\.tif: does not exist"):
        GeoTiffSource(tmp_path / "gone.tif")
