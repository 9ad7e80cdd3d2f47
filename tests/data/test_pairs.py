"""Reading a pair: indices out of whatever the mask is, mends where they are allowed, and what is refused."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image

from intarsia.data.pairs import Dataset, Pair, Stray, fit_mask, read_pair, same_shape
from intarsia.data.read import turned_upright
from intarsia.data.sources import Layers
from intarsia.errors import DataError
from intarsia.labels import Labels
from tests.conftest import write_pair

IMAGE = np.random.default_rng(0).integers(0, 256, (6, 9, 3), dtype=np.uint8)
MASK = np.random.default_rng(1).integers(0, 4, (6, 9), dtype=np.uint8)
LABELS = Labels.of_values([0, 1, 2, 3])


def exif(turn: int) -> Image.Exif:
    """The header of a picture that is to be turned."""
    header = Image.Exif()
    header[ExifTags.Base.Orientation] = turn
    return header


class TestReadPair:
    def test_image_and_class_indices(self, tmp_path):
        pair = write_pair(tmp_path, "a", IMAGE, MASK * 10)
        image, mask = read_pair(pair, Labels.of_values([30, 20, 10, 0]))
        assert np.array_equal(image, IMAGE)
        assert mask.dtype == np.uint8
        assert np.array_equal(mask, 3 - MASK)

    def test_the_bands_that_are_asked_for(self, tmp_path):
        pair = write_pair(tmp_path, "a", IMAGE[:, :, 0], MASK)
        assert read_pair(pair, LABELS)[0].shape == (6, 9, 1)
        assert np.array_equal(read_pair(pair, LABELS, 3)[0], np.dstack([IMAGE[:, :, 0]] * 3))

    @pytest.mark.parametrize("bands", [1, 3, 5])
    def test_ignored_is_where_no_band_has_data(self, tmp_path, bands):
        pixels = np.repeat(IMAGE[:, :, :1], bands, axis=2).astype(np.float32)
        pixels[:2] = np.nan
        pixels[3, :, 0] = np.nan  # of one band alone
        pair = replace(write_pair(tmp_path, "a", IMAGE, MASK), image=tmp_path / "a.tif")
        layout = {"planarconfig": "contig"} if bands > 1 else {}
        tifffile.imwrite(pair.image, pixels.squeeze(), photometric="minisblack", **layout)
        expected = MASK.copy()
        expected[:2] = 255
        if bands == 1:
            expected[3] = 255
        image, mask = read_pair(pair, LABELS)
        assert np.array_equal(image, pixels, equal_nan=True)
        assert np.array_equal(mask, expected)
        assert mask.dtype == np.uint8

    def test_colours(self, tmp_path):
        colors = [(0, 0, 0), (128, 64, 128), (0, 0, 142), (255, 255, 255)]
        pair = write_pair(tmp_path, "a", IMAGE, np.array(colors, np.uint8)[MASK])
        assert np.array_equal(read_pair(pair, Labels.of_colors(colors))[1], MASK)
        ignoring = read_pair(pair, Labels.of_colors(colors[:3], colors[3:]))[1]
        assert np.array_equal(ignoring, np.where(MASK == 3, 255, MASK))

    def test_objects(self, tmp_path):
        pair = write_pair(tmp_path, "a", IMAGE, MASK.astype(np.uint16) * 1000)
        labels = replace(Labels.of_values([0, 1]), encoding="objects")
        assert np.array_equal(read_pair(pair, labels)[1], MASK != 0)

    def test_layers(self, tmp_path):
        pair = write_pair(tmp_path, "a", IMAGE, (MASK == 2).astype(np.uint8))
        pair = replace(pair, mask=Layers(((pair.mask, 3),)))
        assert np.array_equal(read_pair(pair, LABELS)[1], np.where(MASK == 2, 3, 0))

    def test_jpeg_masks_take_the_nearest_class_where_that_was_said(self, tmp_path):
        coarse = np.kron(MASK % 2, np.ones((8, 8), np.uint8))
        pair = write_pair(tmp_path, "a", np.zeros((*coarse.shape, 3), np.uint8), coarse)
        path = pair.mask.with_suffix(".jpg")
        Image.fromarray(coarse * 255).save(path, quality=60)
        pair, labels = replace(pair, mask=path), Labels.of_values([0, 255])
        with pytest.raises(DataError, match=r"a\.jpg: a JPEG mask"):
            read_pair(pair, labels)
        assert np.array_equal(read_pair(pair, replace(labels, snap=127))[1], coarse)

    def test_a_value_without_a_meaning_is_named_with_its_file(self, tmp_path):
        pair = write_pair(tmp_path, "a", IMAGE, np.full((6, 9), 7, np.uint8))
        with pytest.raises(
            DataError, match=rf"{pair.mask}: Mask value 7 \(54 pixels\): neither a class nor ignored"
        ):
            read_pair(pair, LABELS)
        layers = replace(pair, mask=Layers(((pair.mask, 9),)))
        with pytest.raises(DataError, match=rf"{pair.mask}: Mask value 9 \(54 pixels\)"):
            read_pair(layers, LABELS)

    @pytest.mark.parametrize(
        ("size", "words"),
        [
            ((6, 8), r"image of 6x9: the two must have one size\.$"),
            (
                (9, 6),
                r"image of 6x9: .*It is turned by a quarter: was the mask drawn before the picture was rotated\?$",
            ),
        ],
    )
    def test_sizes_that_differ_are_refused(self, tmp_path, size, words):
        pair = write_pair(tmp_path, "a", IMAGE, np.zeros(size, np.uint8))
        with pytest.raises(
            DataError, match=rf"{pair.mask}: mask of {size[0]}x{size[1]} \(height x width\), {words}"
        ):
            read_pair(pair, LABELS)

    @pytest.mark.parametrize("turn", range(1, 9))
    def test_masks_that_were_drawn_before_the_picture_was_turned(self, tmp_path, turn):
        pair = write_pair(tmp_path, "a", IMAGE, MASK)
        Image.fromarray(IMAGE).save(pair.image, exif=exif(turn))
        image, mask = read_pair(replace(pair, mends=("exif",)), LABELS)
        assert np.array_equal(image, turned_upright(IMAGE, turn))
        assert np.array_equal(mask, turned_upright(MASK, turn))
        if turn >= 5:
            with pytest.raises(DataError, match="turned by a quarter"):
                read_pair(pair, LABELS)


class TestFitMask:
    @pytest.fixture
    def turned(self, tmp_path):
        """An image in each orientation, and a mask file that is upright or has an orientation of its own."""

        def write(turn: int, own: int = 1, mends: tuple[str, ...] = ("exif",)) -> Pair:
            pair = write_pair(tmp_path, "a", IMAGE, MASK)
            Image.fromarray(IMAGE).save(pair.image, exif=exif(turn))
            Image.fromarray(MASK).save(pair.mask, exif=exif(own))
            return replace(pair, mends=mends)

        return write

    @pytest.mark.parametrize("turn", range(1, 9))
    def test_exif(self, turned, turn):
        upright = turned_upright(MASK, turn)
        assert np.array_equal(fit_mask(MASK, upright.shape, turned(turn)), upright)

    @pytest.mark.parametrize("turn", range(5, 9))
    def test_a_quarter_turn_is_not_made_twice(self, turned, turn):
        upright = turned_upright(MASK, turn)
        assert np.array_equal(fit_mask(upright, upright.shape, turned(turn)), upright)

    @pytest.mark.parametrize("turn", range(2, 9))
    def test_a_mask_with_an_orientation_of_its_own_is_upright_already(self, turned, turn):
        upright = turned_upright(MASK, turn)
        assert np.array_equal(fit_mask(upright, upright.shape, turned(turn, own=turn)), upright)

    @pytest.mark.parametrize("turn", range(2, 9))
    def test_nothing_is_done_unasked(self, turned, turn):
        upright = turned_upright(MASK, turn)
        for mends in ((), ("resize",)):
            assert np.array_equal(fit_mask(MASK, upright.shape, turned(turn, mends=mends)), MASK)

    @pytest.mark.parametrize("mends", [("exif", "resize"), ("resize", "exif")])
    def test_a_mask_is_turned_before_it_is_resampled(self, turned, mends):
        fitted = fit_mask(MASK, (18, 12), turned(6, mends=mends))
        assert np.array_equal(fitted, np.kron(turned_upright(MASK, 6), np.ones((2, 2), np.uint8)))

    @given(
        size=st.tuples(st.integers(1, 12), st.integers(1, 12)),
        factor=st.sampled_from([(1, 2), (1, 3), (2, 1), (3, 1), (3, 2)]),
        kind=st.sampled_from([(np.uint8, 1), (np.uint16, 400), (np.uint32, 110_000)]),
    )
    @settings(max_examples=80, deadline=None)
    def test_resize_takes_the_pixel_in_which_each_centre_lies(self, size, factor, kind):
        dtype, step = kind
        stored = (np.arange(size[0] * size[1]).reshape(size) * step).astype(dtype)
        height, width = (max(side * factor[0] // factor[1], 1) for side in size)
        fitted = fit_mask(stored, (height, width), Pair("a", Path("a"), Path("a"), ("resize",)))
        if not same_shape(size, (height, width)):
            assert fitted is stored
            return
        assert fitted.dtype == dtype
        rows, columns = np.divmod(fitted // step, size[1])
        for found, length, before in ((rows, height, size[0]), (columns.T, width, size[1])):
            centres = (np.arange(length) + 0.5) * before / length
            assert (np.abs(found.astype(int) + 0.5 - centres[:, None]) <= 0.5).all()  # on a border either will do

    @pytest.mark.parametrize("size", [(6, 10), (9, 6), (12, 17)])
    def test_another_shape_stays_as_it_is(self, size):
        fitted = fit_mask(MASK, size, Pair("a", Path("a"), Path("a"), ("resize",)))
        assert (fitted.shape == size) == same_shape(MASK.shape, size)
        assert fitted is MASK


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ((6, 9), (12, 18), True),
        ((100, 150), (51, 76), True),
        ((100, 150), (150, 100), False),
        ((100, 100), (100, 103), False),
        ((100, 100), (100, 101), True),
    ],
)
def test_same_shape(one, other, same):
    assert same_shape(one, other) is same
    assert same_shape(other, one) is same


class TestDataset:
    PAIR = Pair("a", Path("a.png"), Layers(((Path("b.png"), 1), (Path("c.png"), 2))))

    def test_a_pair_knows_its_files(self):
        assert self.PAIR.files == (Path("a.png"), Path("b.png"), Path("c.png"))

    def test_splits(self):
        dataset = Dataset(Path("photos"), {"train": (self.PAIR,), "val": ()})
        assert dataset.split("train") == (self.PAIR,)
        assert dataset.only("train", "test").splits == {"train": (self.PAIR,)}
        with pytest.raises(DataError, match="photos: has no split 'test'; it has train, val"):
            dataset.split("test")

    def test_unpaired_files_of_all_strays(self):
        strays = (
            Stray("unpaired", (Path("x"), Path("y"))),
            Stray("junk", (Path("z"),)),
            Stray("unpaired", (Path("w"),)),
        )
        assert Dataset(Path("photos"), {}, strays=strays).unpaired == (Path("x"), Path("y"), Path("w"))
