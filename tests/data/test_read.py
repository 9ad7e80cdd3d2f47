"""Decoding: exact where it can be, refused where a decoder would hide something."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image, ImageOps

from intarsia.data.read import (
    Undecodable,
    decode_mask,
    orientation,
    read_image,
    read_mask,
    stored_values,
    turned_upright,
)
from intarsia.errors import DataError

RNG = np.random.default_rng(0)
COLOURS = RNG.integers(0, 256, (6, 9, 3), dtype=np.uint8)
INDICES = np.array([[0, 1, 2], [255, 7, 1]], dtype=np.uint8)


def write_png(path: Path, depth: int, colour_type: int, size: tuple[int, int], rows: list[bytes]) -> Path:
    """A PNG by the letter of its specification, for what no library writes."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", size[1], size[0], depth, colour_type, 0, 0, 0)
    pixels = zlib.compress(b"".join(b"\0" + row for row in rows))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b""))
    return path


def palette_image(indices: np.ndarray) -> Image.Image:
    image = Image.fromarray(indices)
    image.putpalette(RNG.integers(0, 256, 768, dtype=np.uint8).tobytes())
    return image


class TestMask:
    def test_grey_keeps_its_values(self, tmp_path):
        Image.fromarray(INDICES).save(tmp_path / "mask.png")
        mask = read_mask(tmp_path / "mask.png")
        assert mask.dtype == np.uint8
        assert np.array_equal(mask, INDICES)

    @pytest.mark.parametrize(
        ("suffix", "options"),
        [
            ("png", {}),
            ("png", {"transparency": 0}),
            ("png", {"transparency": bytes([0, 128, 255])}),
            ("tif", {}),
            ("bmp", {}),
            ("gif", {"optimize": False}),
            ("gif", {"optimize": False, "transparency": 0}),
        ],
    )
    def test_palette_indices_stay_indices(self, tmp_path, suffix, options):
        path = tmp_path / f"mask.{suffix}"
        palette_image(INDICES).save(path, **options)
        assert np.array_equal(read_mask(path), INDICES)

    @pytest.mark.parametrize("suffix", ["png", "tif", "bmp"])
    def test_one_bit_becomes_0_and_1(self, tmp_path, suffix):
        bits = INDICES % 2 == 1
        Image.fromarray(bits).save(tmp_path / f"mask.{suffix}")
        mask = read_mask(tmp_path / f"mask.{suffix}")
        assert mask.dtype == np.uint8
        assert np.array_equal(mask, bits)

    @pytest.mark.parametrize(("depth", "row"), [(2, bytes([0b00_01_10_11])), (4, bytes([0x01, 0x23]))])
    def test_grey_of_few_bits_is_not_spread_over_255(self, tmp_path, depth, row):
        path = write_png(tmp_path / "mask.png", depth, 0, (1, 4), [row])
        assert read_mask(path).tolist() == [[0, 1, 2, 3]]

    @pytest.mark.parametrize("suffix", ["png", "tif"])
    def test_sixteen_bits_stay(self, tmp_path, suffix):
        stored = np.array([[0, 1, 256], [300, 65535, 7]], dtype=np.uint16)
        Image.fromarray(stored).save(tmp_path / f"mask.{suffix}")
        mask = read_mask(tmp_path / f"mask.{suffix}")
        assert mask.dtype == np.uint16
        assert np.array_equal(mask, stored)

    @pytest.mark.parametrize("order", ["<", ">"])
    def test_byte_order_of_a_tiff(self, tmp_path, order):
        stored = np.array([[1, 256], [300, 65535]], dtype=np.uint16)
        tifffile.imwrite(tmp_path / "mask.tif", stored, byteorder=order)
        assert np.array_equal(read_mask(tmp_path / "mask.tif"), stored)

    def test_thirty_two_bits_are_taken_when_the_values_fit(self, tmp_path):
        tifffile.imwrite(tmp_path / "mask.tif", np.array([[0, 65535]], dtype=np.int32))
        mask = read_mask(tmp_path / "mask.tif")
        assert mask.dtype == np.uint16
        assert mask.tolist() == [[0, 65535]]

    @given(
        stored=st.sampled_from([np.uint8, np.uint16]).flatmap(
            lambda dtype: arrays.arrays(dtype, arrays.array_shapes(min_dims=2, max_dims=2, max_side=12))
        )
    )
    @settings(max_examples=60, deadline=None)
    def test_any_array_reads_back_identical(self, tmp_path_factory, stored):
        path = tmp_path_factory.getbasetemp() / "any.png"
        Image.fromarray(stored).save(path)
        mask = read_mask(path)
        assert mask.dtype == stored.dtype
        assert np.array_equal(mask, stored)

    @pytest.mark.parametrize("orientation", range(1, 9))
    def test_orientation_turns_the_mask_like_the_image(self, tmp_path, orientation):
        exif = Image.Exif()
        exif[0x0112] = orientation
        for name in ("image", "mask"):
            Image.fromarray(INDICES).save(tmp_path / f"{name}.png", exif=exif)
        assert np.array_equal(read_mask(tmp_path / "mask.png"), read_image(tmp_path / "image.png")[:, :, 0])

    @pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA"])
    @pytest.mark.parametrize("suffix", ["png", "tif", "webp"])
    def test_grey_saved_as_colours_is_grey(self, tmp_path, suffix, mode):
        Image.fromarray(INDICES).convert(mode).save(tmp_path / f"mask.{suffix}", lossless=True)
        mask = read_mask(tmp_path / f"mask.{suffix}")
        assert mask.dtype == np.uint8
        assert np.array_equal(mask, INDICES)

    @pytest.mark.parametrize("mode", ["RGBA", "LA"])
    @pytest.mark.parametrize("suffix", ["png", "tif"])
    def test_alpha_is_the_mask_where_nothing_else_varies(self, tmp_path, suffix, mode):
        image = Image.new(mode, INDICES.shape[::-1], (200, 10, 30, 0)[-len(mode) :])
        image.putalpha(Image.fromarray(INDICES))
        image.save(tmp_path / f"mask.{suffix}")
        mask = decode_mask(tmp_path / f"mask.{suffix}").array
        assert mask.dtype == np.uint8
        assert np.array_equal(mask, INDICES)

    @pytest.mark.parametrize("colours", [1, 3])
    @pytest.mark.parametrize("varies", ["alpha", "both", "none"])
    def test_alpha_of_a_wide_tiff(self, tmp_path, colours, varies):
        wide = INDICES.astype(np.uint16) * 200
        bands = np.full((*wide.shape, colours + 1), 7, np.uint16)
        if varies != "none":
            bands[:, :, -1] = wide
        if varies == "both":
            bands[:, :, 0] = wide.max() - wide
        tifffile.imwrite(
            tmp_path / "mask.tif",
            bands,
            photometric="rgb" if colours == 3 else "minisblack",
            planarconfig="contig",
            extrasamples=["unassalpha"],
        )
        expected = wide if varies == "alpha" else bands[:, :, :-1].squeeze()
        assert np.array_equal(decode_mask(tmp_path / "mask.tif").array, expected)

    def test_alpha_is_dropped_where_colours_vary_too(self, tmp_path):
        image = Image.fromarray(COLOURS)
        image.putalpha(Image.fromarray(COLOURS[:, :, 0]))
        image.save(tmp_path / "mask.png")
        assert np.array_equal(decode_mask(tmp_path / "mask.png").array, COLOURS)

    @pytest.mark.parametrize("encoding", ["values", "objects"])
    @pytest.mark.parametrize("mode", ["RGB", "RGBA"])
    def test_colours_are_refused_where_values_are_expected(self, tmp_path, mode, encoding):
        Image.fromarray(COLOURS).convert(mode).save(tmp_path / "mask.png")
        with pytest.raises(DataError, match=r"mask\.png: mask in colours \(3 bands\).*check --fix.*index PNG"):
            read_mask(tmp_path / "mask.png", encoding)

    def test_jpeg_is_refused_whatever_its_name(self, tmp_path):
        Image.new("L", (8, 8)).save(tmp_path / "mask.png", "JPEG")
        with pytest.raises(DataError, match=r"mask\.png: a JPEG mask.*Save masks as PNG.*check --fix"):
            read_mask(tmp_path / "mask.png")

    def test_jpeg_is_read_where_values_may_be_off(self, tmp_path):
        Image.new("L", (8, 8), 200).save(tmp_path / "mask.jpg")
        assert np.array_equal(read_mask(tmp_path / "mask.jpg", lossy=True), np.full((8, 8), 200))

    @pytest.mark.parametrize(("dtype", "values"), [("int32", [0, 65536]), ("int32", [-1, 2]), ("int16", [-1, 2])])
    def test_values_beyond_16_bits_are_refused(self, tmp_path, dtype, values):
        tifffile.imwrite(tmp_path / "mask.tif", np.array([values], dtype=dtype))
        with pytest.raises(DataError, match=rf"mask\.tif: mask values {values[0]}\.\.{values[1]}.*0\.\.65535"):
            read_mask(tmp_path / "mask.tif")

    @pytest.mark.parametrize("value", [0.5, np.nan, np.inf])
    def test_fractions_are_refused(self, tmp_path, value):
        tifffile.imwrite(tmp_path / "mask.tif", np.array([[1, value]], np.float32))
        with pytest.raises(DataError, match=r"mask\.tif: .*floating-point.*whole class values"):
            read_mask(tmp_path / "mask.tif")

    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    def test_whole_floats_are_taken(self, tmp_path, dtype):
        tifffile.imwrite(tmp_path / "mask.tif", np.array([[0, 300]], dtype))
        mask = read_mask(tmp_path / "mask.tif")
        assert mask.dtype == np.uint16
        assert mask.tolist() == [[0, 300]]

    @pytest.mark.parametrize("colour_type", [2, 6])
    def test_png_with_16_bit_colours_is_refused(self, tmp_path, colour_type):
        row = bytes(2 * (3 if colour_type == 2 else 4))
        path = write_png(tmp_path / "mask.png", 16, colour_type, (1, 1), [row])
        with pytest.raises(DataError, match=r"mask\.png: .*16-bit colours.*index PNG"):
            read_mask(path)

    def test_an_empty_mask_file_says_which_finding_it_is(self, tmp_path):
        (tmp_path / "mask.png").touch()
        with pytest.raises(Undecodable) as raised:
            read_mask(tmp_path / "mask.png")
        assert raised.value.finding == "empty-file"


class TestDecodedMask:
    """What a file holds, before anybody says what it means."""

    @pytest.mark.parametrize(
        ("depth", "row", "values"),
        [
            (1, [0b0110_0000], [0, 1, 1, 0]),
            (2, [0b00_01_10_11], [0, 1, 2, 3]),
            (4, [0x01, 0xF3], [0, 1, 15, 3]),
            (8, [0, 1, 200, 255], [0, 1, 200, 255]),
            (16, [0, 1, 1, 0, 2, 0, 255, 255], [1, 256, 512, 65535]),
        ],
    )
    def test_bits_of_grey_pngs(self, tmp_path, depth, row, values):
        pixels = decode_mask(write_png(tmp_path / "mask.png", depth, 0, (1, 4), [bytes(row)]))
        assert (pixels.bits, pixels.lossy, pixels.palette) == (depth, False, None)
        assert pixels.array.tolist() == [values]

    @pytest.mark.parametrize(("dtype", "bits"), [("uint8", 8), ("uint16", 16), ("int32", 16), ("float32", 16)])
    def test_bits_of_tiffs(self, tmp_path, dtype, bits):
        tifffile.imwrite(tmp_path / "mask.tif", np.array([[3, 4]], dtype))
        assert decode_mask(tmp_path / "mask.tif").bits == bits

    @pytest.mark.parametrize("suffix", ["png", "gif", "bmp", "tif"])
    def test_a_palette_comes_along(self, tmp_path, suffix):
        image = palette_image(INDICES)
        image.save(tmp_path / f"mask.{suffix}", optimize=False)
        pixels = decode_mask(tmp_path / f"mask.{suffix}")
        assert np.array_equal(pixels.array, INDICES)
        assert np.array_equal(pixels.palette[INDICES], image.convert("RGB"))
        red, green, blue = np.moveaxis(np.asarray(image.convert("RGB")).astype(int), 2, 0)
        assert np.array_equal(pixels.colors(), red * 65536 + green * 256 + blue)

    def test_an_index_beyond_a_short_palette_has_its_last_colour(self, tmp_path):
        image = Image.fromarray(np.array([[0, 1, 9]], np.uint8))
        image.putpalette([10, 20, 30, 40, 50, 60])
        image.save(tmp_path / "mask.png", bits=8)
        assert decode_mask(tmp_path / "mask.png").colors().tolist()[0][:2] == [0x0A141E, 0x28323C]

    def test_colours_of_grey_and_of_three_bands(self, tmp_path):
        Image.fromarray(INDICES).save(tmp_path / "grey.png")
        assert decode_mask(tmp_path / "grey.png").colors()[1].tolist() == [0xFFFFFF, 0x070707, 0x010101]
        Image.fromarray(COLOURS).save(tmp_path / "colours.png")
        expected = COLOURS.astype(np.uint32) @ [65536, 256, 1]
        assert np.array_equal(decode_mask(tmp_path / "colours.png").colors(), expected)

    @pytest.mark.parametrize(("mode", "options"), [("L", {}), ("RGB", {"quality": 95}), ("CMYK", {})])
    def test_a_jpeg_is_lossy(self, tmp_path, mode, options):
        Image.new(mode, (8, 8)).save(tmp_path / "mask.jpg", **options)
        pixels = decode_mask(tmp_path / "mask.jpg")
        assert pixels.lossy
        assert pixels.array.shape == ((8, 8) if mode == "L" else (8, 8, 3))


class TestEncodings:
    def test_colours(self, tmp_path):
        Image.fromarray(COLOURS).save(tmp_path / "mask.png")
        stored = read_mask(tmp_path / "mask.png", "colors")
        assert stored.dtype == np.uint32
        assert np.array_equal(stored, COLOURS.astype(np.uint32) @ [65536, 256, 1])

    def test_a_palette_shows_its_colours(self, tmp_path):
        image = palette_image(INDICES)
        image.save(tmp_path / "mask.png")
        expected = np.asarray(image.convert("RGB")).astype(np.uint32) @ [65536, 256, 1]
        assert np.array_equal(read_mask(tmp_path / "mask.png", "colors"), expected)

    def test_objects_are_there_or_not(self, tmp_path):
        stored = np.array([[0, 1, 300], [2, 0, 65535]], np.uint16)
        Image.fromarray(stored).save(tmp_path / "mask.png")
        assert read_mask(tmp_path / "mask.png", "objects").tolist() == [[0, 1, 1], [1, 0, 1]]

    @given(
        bands=st.sampled_from([np.uint8, np.uint16]).flatmap(
            lambda dtype: arrays.arrays(
                dtype,
                st.tuples(st.integers(1, 4), st.integers(1, 4), st.integers(2, 7)),
                elements=st.sampled_from([0, 0, 1, 255]),
            )
        )
    )
    @settings(max_examples=50, deadline=None)
    def test_channels_name_the_last_band_that_is_set(self, tmp_path_factory, bands):
        path = tmp_path_factory.getbasetemp() / "bands.tif"
        tifffile.imwrite(path, bands, photometric="minisblack", planarconfig="contig")
        expected = [[max((b + 1 for b, v in enumerate(pixel) if v), default=0) for pixel in row] for row in bands]
        assert read_mask(path, "channels").tolist() == expected

    def test_other_bands_than_the_encoding_has_are_refused(self, tmp_path):
        tifffile.imwrite(
            tmp_path / "mask.tif", np.zeros((4, 5, 6), np.uint8), photometric="minisblack", planarconfig="contig"
        )
        pixels = decode_mask(tmp_path / "mask.tif")
        with pytest.raises(DataError, match=r"mask\.tif: mask of 6 bands: expected three, of colours"):
            stored_values(pixels, "colors", tmp_path / "mask.tif")
        Image.fromarray(INDICES).save(tmp_path / "mask.png")
        with pytest.raises(DataError, match=r"mask\.png: mask of one band: expected one for each class"):
            read_mask(tmp_path / "mask.png", "channels")


class TestUpright:
    @pytest.mark.parametrize("turn", range(1, 9))
    @pytest.mark.parametrize("shape", [(2, 3), (2, 3, 4)])
    def test_turning_is_pillows(self, turn, shape):
        array = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)
        exif = Image.Exif()
        exif[0x0112] = turn
        image = Image.fromarray(array, "RGBA" if len(shape) == 3 else None)
        image.info["exif"] = exif.tobytes()
        assert np.array_equal(turned_upright(array, turn), ImageOps.exif_transpose(image))

    @pytest.mark.parametrize("turn", [*range(1, 9), 0, 9])
    @pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp"])
    def test_orientation_is_in_the_header(self, tmp_path, suffix, turn):
        exif = Image.Exif()
        exif[0x0112] = turn
        Image.fromarray(COLOURS).save(tmp_path / f"image.{suffix}", exif=exif)
        assert orientation(tmp_path / f"image.{suffix}") == (turn if 1 <= turn <= 8 else 1)

    @pytest.mark.parametrize("turn", range(1, 9))
    @pytest.mark.parametrize(
        ("dtype", "bands", "options"),
        [
            ("uint8", 1, {}),  # in one piece, uncompressed: Pillow 13 scrambles these when given a path
            ("uint8", 1, {"rowsperstrip": 1}),
            ("uint8", 3, {"photometric": "rgb"}),
            ("uint16", 1, {}),
            ("float32", 5, {"photometric": "minisblack", "planarconfig": "contig"}),
        ],
    )
    def test_tiffs_of_every_kind_are_turned(self, tmp_path, turn, dtype, bands, options):
        stored = np.arange(4 * 6 * bands, dtype=dtype).reshape(4, 6, bands)
        path = tmp_path / "image.tif"
        tifffile.imwrite(path, stored.squeeze(), extratags=[(0x0112, 3, 1, turn, True)], **options)
        assert orientation(path) == turn
        assert np.array_equal(read_image(path), turned_upright(stored, turn))
        if bands == 1 and dtype != "float32":
            assert np.array_equal(read_mask(path), turned_upright(stored[:, :, 0], turn))

    def test_what_has_no_header(self, tmp_path):
        (tmp_path / "fake.png").write_text("hello")
        with pytest.raises(DataError, match=r"fake\.png: is not a picture"):
            orientation(tmp_path / "fake.png")


class TestImage:
    def test_colours_as_stored(self, tmp_path):
        Image.fromarray(COLOURS).save(tmp_path / "image.png")
        image = read_image(tmp_path / "image.png")
        assert image.dtype == np.uint8
        assert np.array_equal(image, COLOURS)

    @pytest.mark.parametrize("suffix", ["png", "jpg"])
    @pytest.mark.parametrize("orientation", range(1, 9))
    def test_orientation_is_applied(self, tmp_path, orientation, suffix):
        path = tmp_path / f"image.{suffix}"
        exif = Image.Exif()
        exif[0x0112] = orientation
        Image.fromarray(COLOURS).save(path, exif=exif)
        with Image.open(path) as file:
            upright = np.asarray(ImageOps.exif_transpose(file))
        assert upright.shape == ((6, 9, 3) if orientation < 5 else (9, 6, 3))
        assert np.array_equal(read_image(path), upright)

    @pytest.mark.parametrize(
        ("mode", "suffix"),
        [
            *(("RGBA", "png"), ("RGBA", "tif"), ("RGBA", "webp"), ("LA", "png"), ("LA", "tif"), ("L", "png")),
            *(("L", "jpg"), ("1", "png"), ("1", "tif"), ("P", "png"), ("CMYK", "tif"), ("CMYK", "jpg")),
        ],
    )
    def test_every_mode_becomes_three_bands(self, tmp_path, mode, suffix):
        path = tmp_path / f"image.{suffix}"
        options = {"compression": "tiff_lzw"} if suffix == "tif" else {"lossless": True}
        Image.fromarray(COLOURS).convert(mode).save(path, **options)
        with Image.open(path) as file:
            expected = np.asarray(file.convert("RGB"))
        image = read_image(path, 3)
        assert image.dtype == np.uint8
        assert np.array_equal(image, expected)

    def test_one_band_is_the_luma(self, tmp_path):
        Image.fromarray(COLOURS).save(tmp_path / "image.png")
        grey = read_image(tmp_path / "image.png", 1)
        assert grey.shape == (6, 9, 1)
        luma = COLOURS @ np.array([0.299, 0.587, 0.114])  # ITU-R BT.601
        assert np.abs(grey[:, :, 0] - luma).max() <= 0.51

    def test_grey_of_16_bits_stays(self, tmp_path):
        stored = np.array([[0, 300], [65535, 7]], dtype=np.uint16)
        Image.fromarray(stored).save(tmp_path / "image.png")
        image = read_image(tmp_path / "image.png", 3)
        assert image.dtype == np.uint16
        assert np.array_equal(image, np.dstack([stored] * 3))

    @pytest.mark.parametrize("byteorder", ["<", ">"])
    @pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
    @pytest.mark.parametrize("size", [(7, 9), (7, 3), (3, 7), (1, 1)])
    @pytest.mark.parametrize("number", [2, 3, 4, 5])
    def test_bands_planar_or_interleaved(self, tmp_path, number, size, dtype, byteorder):
        bands = RNG.uniform(0, 250, (*size, number)).astype(dtype)
        options = {"photometric": "minisblack", "byteorder": byteorder}
        tifffile.imwrite(tmp_path / "interleaved.tif", bands, planarconfig="contig", **options)
        tifffile.imwrite(tmp_path / "planar.tif", np.moveaxis(bands, -1, 0), planarconfig="separate", **options)
        for name in ("interleaved", "planar"):
            image = read_image(tmp_path / f"{name}.tif", number)
            assert image.dtype == dtype
            assert np.array_equal(image, bands)

    @pytest.mark.parametrize(("dtype", "read_as"), [("int16", "float32"), ("float64", "float32"), ("uint16",) * 2])
    def test_one_band_of_other_numbers(self, tmp_path, dtype, read_as):
        stored = np.array([[1, 2], [300, 4]], dtype=dtype)
        tifffile.imwrite(tmp_path / "image.tif", stored)
        image = read_image(tmp_path / "image.tif")
        assert image.dtype == read_as
        assert np.array_equal(image[:, :, 0], stored)

    @pytest.mark.parametrize("dtype", ["uint8", "uint16"])
    def test_alpha_of_a_tiff_is_dropped(self, tmp_path, dtype):
        stored = RNG.integers(0, 200, (5, 6, 4)).astype(dtype)
        tifffile.imwrite(tmp_path / "image.tif", stored, photometric="rgb", extrasamples=["unassalpha"])
        assert np.array_equal(read_image(tmp_path / "image.tif"), stored[:, :, :3])

    @pytest.mark.parametrize("colour_type", [2, 6])
    def test_png_with_16_bit_colours_is_refused(self, tmp_path, colour_type):
        row = bytes(2 * (3 if colour_type == 2 else 4))
        path = write_png(tmp_path / "image.png", 16, colour_type, (1, 1), [row])
        with pytest.raises(DataError, match=r"image\.png: .*16-bit colours.*Save it as TIFF"):
            read_image(path)

    def test_other_bands_than_wanted_are_refused(self, tmp_path):
        Image.fromarray(COLOURS).save(tmp_path / "image.png")
        with pytest.raises(DataError, match=r"image\.png: 3 bands, but 5 are expected"):
            read_image(tmp_path / "image.png", 5)

    @pytest.mark.usefixtures("without_imagecodecs")
    def test_compression_beyond_pillow_names_the_extra(self, tmp_path):
        Image.fromarray(COLOURS[:, :, 0].astype(np.uint16)).save(tmp_path / "image.tif", compression="tiff_lzw")
        with pytest.raises(DataError, match=r"image\.tif: .*intarsia\[codecs\]"):
            read_image(tmp_path / "image.tif")


@pytest.mark.parametrize("read", [read_image, read_mask])
class TestUnreadable:
    @pytest.mark.parametrize(
        ("content", "words"),
        [
            (b"", "the file is empty"),
            (b"  <!DOCTYPE html><html>404</html>", "web page.*download went wrong"),
            (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer.*git lfs pull"),
            (b"hello", "starts with the bytes 68 65 6c 6c 6f"),
        ],
    )
    @pytest.mark.parametrize("suffix", ["jpg", "png", "tif"])
    def test_what_is_no_picture(self, tmp_path, read, suffix, content, words):
        path = tmp_path / f"fake.{suffix}"
        path.write_bytes(content)
        with pytest.raises(DataError, match=rf"fake\.{suffix}: is not a picture.*{words}"):
            read(path)

    @pytest.mark.parametrize("kept", [0.95, 0.5])
    def test_truncated_png(self, tmp_path, read, kept):
        path = tmp_path / "cut.png"
        Image.fromarray(RNG.integers(0, 256, (64, 64), dtype=np.uint8)).save(path)
        path.write_bytes(path.read_bytes()[: int(path.stat().st_size * kept)])
        with pytest.raises(Undecodable, match=r"cut\.png: is damaged.*truncated") as raised:
            read(path)
        assert raised.value.finding == "truncated"

    def test_several_frames(self, tmp_path, read):
        frames = [Image.fromarray(INDICES), Image.fromarray(INDICES.T.copy()).resize((3, 2))]
        frames[0].save(tmp_path / "frames.tif", save_all=True, append_images=frames[1:])
        with pytest.raises(DataError, match=r"frames\.tif: holds 2 frames.*its own file"):
            read(tmp_path / "frames.tif")

    def test_what_is_not_there(self, tmp_path, read):
        with pytest.raises(DataError, match=r"gone\.png: does not exist"):
            read(tmp_path / "gone.png")
        with pytest.raises(DataError, match="is a folder"):
            read(tmp_path)


@pytest.mark.parametrize("kept", [0.98, 0.5])
def test_truncated_jpeg(tmp_path, kept):
    path = tmp_path / "cut.jpg"
    Image.fromarray(RNG.integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * kept)])
    with pytest.raises(DataError, match=r"cut\.jpg: is damaged"):
        read_image(path)


def test_truncated_float_tiff(tmp_path):
    path = tmp_path / "cut.tif"
    tifffile.imwrite(path, RNG.random((16, 16, 5)), photometric="minisblack", planarconfig="contig")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(DataError, match=r"cut\.tif: is damaged"):
        read_image(path)


@pytest.mark.parametrize(
    ("suffix", "decoder"), [("png", "PIL.ImageFile.ImageFile.load"), ("tif", "tifffile.TiffPageSeries.asarray")]
)
@pytest.mark.parametrize(("told", "words"), [("Unable to allocate 9 GiB",) * 2, ("", "does not fit into memory")])
@pytest.mark.parametrize("read", [read_image, read_mask])
def test_full_memory_is_no_damage(tmp_path, monkeypatch, suffix, decoder, told, words, read):
    def exhausted(*arguments: object, **options: object) -> None:
        raise MemoryError(told)

    path = tmp_path / f"sound.{suffix}"
    Image.fromarray(INDICES.astype(np.uint16)).save(path)
    assert read(path).any()
    monkeypatch.setattr(decoder, exhausted)
    with pytest.raises(MemoryError, match=rf"sound\.{suffix}: {words}$"):
        read(path)


def test_tiles_that_no_memory_holds_are_damage(tmp_path):
    path = tmp_path / "tiles.tif"
    tifffile.imwrite(path, RNG.random((64, 64)), tile=(32, 32), compression="deflate")
    with tifffile.TiffFile(path, mode="r+") as file:
        file.pages.first.tags["TileLength"].overwrite(60_000, dtype="I")
        file.pages.first.tags["TileWidth"].overwrite(60_000, dtype="I")
    with pytest.raises(Undecodable, match=r"tiles\.tif: is damaged, or has tiles of 60000x60000") as raised:
        read_image(path)
    assert raised.value.finding == "damaged"


def test_pages_of_a_float_tiff_are_refused(tmp_path):
    with tifffile.TiffWriter(tmp_path / "pages.tif") as file:
        file.write(np.zeros((4, 4), np.float32))
        file.write(np.zeros((2, 4), np.float32))
    with pytest.raises(DataError, match=r"pages\.tif: holds 2 pages"):
        read_image(tmp_path / "pages.tif")


def test_frames_of_a_gif_mask_are_refused(tmp_path):
    frames = [palette_image(INDICES), palette_image(INDICES[::-1].copy())]
    frames[0].save(tmp_path / "frames.gif", save_all=True, append_images=frames[1:])
    with pytest.raises(DataError, match=r"frames\.gif: holds 2 frames"):
        read_mask(tmp_path / "frames.gif")
