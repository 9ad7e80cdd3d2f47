"""Whatever the file is, the right reader opens it."""

import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image

from intarsia.data.read import IMAGE_SUFFIXES, read_image
from intarsia.errors import DataError, MachineError, SettingsError
from intarsia.raster import opening
from intarsia.raster.contract import Window
from intarsia.raster.frames import Stack
from intarsia.raster.geotiff import GeoTiffSource
from intarsia.raster.opening import SUFFIXES, open_source, pixels_of
from intarsia.raster.pictures import Decoded
from intarsia.raster.slides import SlideSource
from intarsia.raster.tiff import TiffSource
from intarsia.raster.writers import open_writer
from tests.raster.conftest import cut, numbers
from tests.raster.test_slides import LEVELS, write_slide
from tests.raster.test_writers import UTM

ADDRESSES = [
    *("http://example.org/a.tif", "https://example.org/a.tif", "s3://bucket/a.tif", "gs://bucket/a.tif"),
    *("/vsicurl/http://example.org/a.tif", "/vsizip/a.zip/b.tif", "/vsimem/a.tif", "HTTPS://example.org/a"),
    *("http:/example.org/a.tif", "ftp://example.org/a.png", "file:///a.png", "zip://a.zip!a.tif"),
]


def placed(path: Path, array: np.ndarray) -> Path:
    """A GeoTIFF."""
    bands = array.shape[2]
    writer = open_writer(path, *array.shape[:2], bands=bands, dtype=array.dtype, georeference=UTM)
    writer.write(array)
    writer.close()
    return path


class TestTheRightReader:
    def test_pictures_are_decoded(self, tmp_path, opened):
        array = numbers((30, 40, 3), "uint8")
        Image.fromarray(array).save(tmp_path / "a.png")
        tifffile.imwrite(tmp_path / "a.tif", array, photometric="rgb", extratags=[(274, 3, 1, 6, True)])
        for name in ("a.png", "a.tif"):
            source = opened(open_source(tmp_path / name))
            assert isinstance(source, Decoded)
            assert source.in_memory
            assert (source.georeference, source.scale, source.note) == (None, None, "")
            whole = read_image(tmp_path / name)  # the TIFF is turned
            assert (source.height, source.width, source.bands) == whole.shape
            window = Window(3, 4, 20, 20)
            assert np.array_equal(source.read(window), cut(whole, window))
            assert source.without_data(window) is None

    def test_large_tiffs_are_read_in_parts(self, tmp_path, opened, monkeypatch):
        tifffile.imwrite(tmp_path / "a.tif", numbers((30, 40, 3), "uint8"), tile=(16, 16), photometric="rgb")
        monkeypatch.setattr(opening, "LARGE_BYTES", 1000)
        source = opened(open_source(tmp_path / "a.tif"))
        assert isinstance(source, TiffSource)
        assert not source.in_memory

    def test_no_number_of_pixels_is_too_large(self, tmp_path, opened):
        """More than Pillow reads: tiles that are left out take no space."""
        tiles = iter([np.ones((256, 256), np.uint8), *[None] * (100 * 100 - 1)])
        with tifffile.TiffWriter(tmp_path / "a.tif") as file:
            file.write(tiles, shape=(25_600, 25_600), dtype="uint8", tile=(256, 256), compression="deflate")
        source = opened(open_source(tmp_path / "a.tif"))
        assert isinstance(source, TiffSource)
        assert not source.read(Window(25_000, 25_000, 600, 600)).any()

    def test_bits_count_as_bytes(self, tmp_path, opened, monkeypatch):
        Image.fromarray(numbers((100, 100), "uint8") > 99).save(tmp_path / "a.tif")
        monkeypatch.setattr(opening, "LARGE_BYTES", 9000)
        source = opened(open_source(tmp_path / "a.tif"))
        assert isinstance(source, TiffSource)
        assert np.array_equal(source.read(Window(0, 0, 100, 100)), read_image(tmp_path / "a.tif"))

    def test_geotiffs_have_their_place(self, tmp_path, opened):
        source = opened(open_source(placed(tmp_path / "a.tif", numbers((30, 40, 3), "uint8"))))
        assert isinstance(source, GeoTiffSource)
        assert source.georeference.transform == UTM.transform
        assert source.scale.unit == "m"
        assert source.note == ""

    def test_geotiffs_are_read_without_their_place_where_rasterio_is_missing(self, tmp_path, opened, monkeypatch):
        array = numbers((30, 40, 3), "uint8")
        path = placed(tmp_path / "a.tif", array)
        monkeypatch.setitem(sys.modules, "rasterio", None)
        source = opened(open_source(path))
        assert source.georeference is None
        assert source.note.startswith(
            f"{path}: its place on earth, and which whole numbers are no data, are not read."
        )
        assert source.note.endswith("pip install 'intarsia[geo]'")
        assert np.array_equal(source.read(Window(0, 0, 30, 40)), array)

    @pytest.mark.parametrize("kind", [Decoded, TiffSource, GeoTiffSource])
    def test_nothing_is_known_where_all_bands_are_no_numbers(self, tmp_path, opened, monkeypatch, kind):
        array = numbers((30, 40, 3), "float32")
        array[5:9, 5:9] = np.nan
        array[:, 20, 1] = np.nan
        if kind is GeoTiffSource:
            placed(tmp_path / "a.tif", array)
        else:
            tifffile.imwrite(tmp_path / "a.tif", array, photometric="minisblack", planarconfig="contig")
        monkeypatch.setattr(opening, "LARGE_BYTES", 0 if kind is TiffSource else 1 << 20)
        source = opened(open_source(tmp_path / "a.tif"))
        assert isinstance(source, kind)
        window = Window(2, 3, 20, 30)
        assert np.array_equal(source.without_data(window), cut(np.isnan(array).all(axis=2), window))

    def test_smaller_copies_beside_it_are_no_pages(self, tmp_path, opened, monkeypatch):
        path = write_slide(tmp_path / "a.tif", LEVELS)
        for hidden in (False, True):
            if hidden:
                monkeypatch.setitem(sys.modules, "rasterio", None)
            source = opened(open_source(path))
            assert np.array_equal(source.read(Window(5, 5, 100, 100)), LEVELS[0][5:105, 5:105])
            assert source.note == ""

    @pytest.mark.parametrize("options", [{"level": 1}, {"mpp": 0.5}])
    def test_slides(self, tmp_path, opened, options):
        path = write_slide(tmp_path / "a.tif", LEVELS)
        source = opened(open_source(path, **options))
        assert isinstance(source, SlideSource)
        assert (source.height, source.width) == LEVELS[1].shape[:2]
        renamed = path.rename(tmp_path / "a.svs")
        assert opened(open_source(renamed, 3)).height == LEVELS[0].shape[0]

    def test_a_slide_without_openslide(self, tmp_path, monkeypatch):
        path = write_slide(tmp_path / "a.svs", LEVELS)
        monkeypatch.setitem(sys.modules, "openslide", None)
        with pytest.raises(MachineError, match=r"'intarsia\[slides\]'"):
            open_source(path)


class TestPixels:
    @pytest.mark.parametrize("bands", [1, 3, 4, 5, 12])
    @pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32", "float64"])
    def test_of_what_is_decoded_whole(self, tmp_path, opened, caplog, dtype, bands):
        array = numbers((30, 40, bands), dtype)
        together = "contig" if bands > 1 else None
        tifffile.imwrite(tmp_path / "a.tif", array, photometric="minisblack", planarconfig=together)
        assert pixels_of(tmp_path / "a.tif") == 30 * 40
        assert opened(open_source(tmp_path / "a.tif")).in_memory
        assert not caplog.records

    @pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp", "a.bmp"])
    def test_of_other_pictures(self, tmp_path, name):
        Image.fromarray(numbers((30, 40, 3), "uint8")).save(tmp_path / name)
        assert pixels_of(tmp_path / name) == 30 * 40

    @pytest.mark.parametrize("kind", ["placed", "large", "slide", "copies", "without rasterio"])
    def test_of_what_is_read_in_windows_none_wait(self, tmp_path, opened, monkeypatch, kind):
        path = tmp_path / ("a.svs" if kind == "slide" else "a.tif")
        if kind in ("slide", "copies"):
            write_slide(path, LEVELS)
        else:
            placed(path, numbers((30, 40, 3), "uint8"))
        if kind == "large":
            tifffile.imwrite(path, numbers((30, 40, 3), "uint8"), photometric="rgb")
            monkeypatch.setattr(opening, "LARGE_BYTES", 1000)
        if kind == "without rasterio":
            monkeypatch.setitem(sys.modules, "rasterio", None)
        assert pixels_of(path) == 0
        assert not opened(open_source(path)).in_memory

    @pytest.mark.parametrize("content", [b"", b"hello", b"II*\0", b"II*\0\x08\0\0\0\xff\xff"], ids=repr)
    def test_of_what_is_no_picture_none_wait(self, tmp_path, content):
        (tmp_path / "a.tif").write_bytes(content)
        assert pixels_of(tmp_path / "a.tif") == 0
        assert pixels_of(tmp_path / "gone.tif") == 0


class TestBands:
    @pytest.mark.parametrize("kind", ["png", "placed", "large"])
    def test_grey_and_colour_become_each_other(self, tmp_path, opened, monkeypatch, kind):
        for found, wanted in ((1, 3), (3, 1)):
            array = numbers((30, 40, found), "uint8")
            path = tmp_path / f"{found}.{'png' if kind == 'png' else 'tif'}"
            if kind == "placed":
                placed(path, array)
            else:
                Image.fromarray(array.squeeze()).save(path)
            monkeypatch.setattr(opening, "LARGE_BYTES", 0 if kind == "large" else 1 << 20)
            source = opened(open_source(path, wanted))
            grey = cv2.cvtColor(array, cv2.COLOR_RGB2GRAY)[:, :, None] if found == 3 else None
            expected = np.repeat(array, 3, axis=2) if grey is None else grey
            assert (source.bands, source.dtype, source.path) == (wanted, np.uint8, path)
            window = Window(2, 3, 20, 30)
            assert np.array_equal(source.read(window), cut(expected, window))
            assert (source.georeference is not None) == (kind == "placed")
            assert source.in_memory == (kind == "png")
            assert source.without_data(window) is None

    @pytest.mark.parametrize("large", [False, True])
    def test_other_bands_are_refused(self, tmp_path, monkeypatch, large):
        array = numbers((16, 16, 5), "uint16")
        tifffile.imwrite(tmp_path / "x.tif", array, photometric="minisblack", planarconfig="contig")
        monkeypatch.setattr(opening, "LARGE_BYTES", 0 if large else 1 << 20)
        with pytest.raises(DataError, match=r"x\.tif: 5 bands, but 3 are expected"):
            open_source(tmp_path / "x.tif", 3)


class TestRefused:
    @pytest.mark.parametrize("address", ADDRESSES)
    def test_addresses(self, address):
        with pytest.raises(DataError, match=r"is no file here\. Download it first"):
            open_source(address)

    def test_a_vrt_named_tif_is_told_what_it_is(self, tmp_path):
        (tmp_path / "a.tif").write_text('<VRTDataset rasterXSize="8" rasterYSize="8"></VRTDataset>')
        with pytest.raises(
            DataError, match=r"a\.tif: is a GDAL VRT, which only points at other files.*gdal_translate"
        ):
            open_source(tmp_path / "a.tif")

    @pytest.mark.parametrize(("options", "words"), [({"level": 1}, "level=1"), ({"mpp": 0.5}, r"mpp=0\.5")])
    def test_levels_of_what_is_no_slide(self, tmp_path, options, words):
        Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
        with pytest.raises(SettingsError, match=rf"a\.png: {words}: is no slide"):
            open_source(tmp_path / "a.png", **options)

    def test_levels_of_a_tiff_in_strips(self, tmp_path):
        tifffile.imwrite(tmp_path / "a.tif", numbers((64, 64), "uint8"))
        with pytest.raises(SettingsError, match=r"a\.tif: level=1: is no slide"):
            open_source(tmp_path / "a.tif", level=1)

    def test_what_is_not_there_or_no_picture(self, tmp_path):
        with pytest.raises(DataError, match=r"gone\.tif: does not exist"):
            open_source(tmp_path / "gone.tif")
        with pytest.raises(DataError, match="is a folder"):
            open_source(tmp_path)
        (tmp_path / "a.tif").write_text("hello")
        with pytest.raises(DataError, match=r"a\.tif: is not a picture"):
            open_source(tmp_path / "a.tif")


@pytest.mark.parametrize("kind", [TiffSource, Stack])
def test_full_memory_is_no_damage(tmp_path, opened, monkeypatch, kind):
    def exhausted(*arguments: object, **options: object) -> None:
        raise MemoryError("Unable to allocate 9 GiB")

    path, pages = tmp_path / "a.tif", (4,) if kind is Stack else ()
    array = np.zeros((*pages, 20, 30), np.uint16)
    tifffile.imwrite(path, array, compression="deflate", photometric="minisblack")
    monkeypatch.setattr("tifffile.TiffPage.decode", exhausted)
    with pytest.raises(MemoryError, match=r"a\.tif: Unable to allocate 9 GiB$"):
        next(iter(Stack(path))) if kind is Stack else opened(TiffSource(path)).read(Window(0, 0, 9, 9))


def test_a_name_with_a_colon_is_a_file(tmp_path, opened, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (8, 8)).save(tmp_path / "12:30 photo.png")
    assert opened(open_source("12:30 photo.png")).height == 8


def test_suffixes():
    assert IMAGE_SUFFIXES < SUFFIXES
    assert {".svs", ".ndpi", ".mrxs", ".mp4", ".webm", ".tif"} <= SUFFIXES


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="no list of open files here")
def test_files_are_closed_where_opening_fails(tmp_path):
    placed(tmp_path / "a.tif", numbers((16, 16, 5), "uint8"))
    before = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(DataError):
        open_source(tmp_path / "a.tif", 3)
    assert len(list(Path("/proc/self/fd").iterdir())) == before
