"""Mixing: what lies where, what comes from whom, and that image and mask stay together."""

import cv2
import numpy as np
import pytest

from intarsia.data.mixing import Mixing, copy_paste, cutmix, mosaic
from intarsia.settings import AugmentSettings

SIZE = (24, 36)
EVERY_DTYPE = pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
SEEDS = pytest.mark.parametrize("seed", range(10))


def plain(value: int, bands: int = 3, dtype: str = "uint8") -> tuple[np.ndarray, np.ndarray]:
    """Image and mask that hold one value throughout."""
    return np.full((*SIZE, bands), value, dtype), np.full(SIZE, value, np.uint8)


def noisy(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """An image whose every pixel is its own, and a mask that follows from it."""
    image = np.random.default_rng(seed).integers(0, 256, (*SIZE, 3)).astype(np.uint8)
    return image, image[:, :, 0] % 5


def blobs() -> tuple[np.ndarray, np.ndarray]:
    """Of class 1 two areas, one of them joined by a corner alone; of class 2 one; class 3 is common."""
    image, mask = np.full((*SIZE, 3), 100, np.uint8), np.full(SIZE, 3, np.uint8)
    mask[2:4, 2:4], mask[4:6, 4:6], mask[2:4, 20:24], mask[15:20, 10:30] = 1, 1, 1, 2
    return image + mask[:, :, None], mask


class TestCutmix:
    @SEEDS
    def test_a_rectangle_of_the_other_pair_lies_in_the_pair(self, seed):
        one, other = noisy(0), noisy(1)
        image, mask = cutmix(one, other, np.random.default_rng(seed))
        rng = np.random.default_rng(seed)  # by hand, from the paper's formulas
        side = np.sqrt(rng.random())
        middle_row, middle_column = rng.uniform(0, SIZE[0]), rng.uniform(0, SIZE[1])
        top, bottom = (round(middle_row + sign * side * SIZE[0] / 2) for sign in (-1, 1))
        left, right = (round(middle_column + sign * side * SIZE[1] / 2) for sign in (-1, 1))
        expected, expected_mask = one[0].copy(), one[1].copy()
        box = slice(max(top, 0), bottom), slice(max(left, 0), right)
        expected[box], expected_mask[box] = other[0][box], other[1][box]
        assert np.array_equal(image, expected)
        assert np.array_equal(mask, expected_mask)

    def test_the_share_that_is_replaced_is_that_of_a_uniform_area_with_what_sticks_out_cut_off(self):
        rng = np.random.default_rng(0)
        shares = [(cutmix(plain(0), plain(1), rng)[1] == 1).mean() for _ in range(3000)]
        draws = np.random.default_rng(1)
        side, at = np.sqrt(draws.random((100_000, 1))), draws.random((100_000, 2))
        kept = np.clip(at + side / 2, 0, 1) - np.clip(at - side / 2, 0, 1)
        assert np.mean(shares) == pytest.approx(kept.prod(axis=1).mean(), abs=0.015)


class TestMosaic:
    @SEEDS
    def test_four_quarters_around_a_point_in_the_middle_half(self, seed):
        _, mask = mosaic([plain(number) for number in range(4)], np.random.default_rng(seed))
        row, column = int((mask[:, 0] == 0).sum()), int((mask[0] == 0).sum())
        assert SIZE[0] / 4 <= row <= 3 * SIZE[0] / 4
        assert SIZE[1] / 4 <= column <= 3 * SIZE[1] / 4
        expected = np.empty(SIZE, np.uint8)
        expected[:row, :column], expected[:row, column:], expected[row:, :column], expected[row:, column:] = range(
            4
        )
        assert np.array_equal(mask, expected)

    @SEEDS
    def test_each_shows_what_it_has_there(self, seed):
        pairs = [noisy(number) for number in range(4)]
        image, mask = mosaic(pairs, np.random.default_rng(seed))
        _, owner = mosaic([plain(number) for number in range(4)], np.random.default_rng(seed))
        for number, (one, its_mask) in enumerate(pairs):
            assert np.array_equal(image[owner == number], one[owner == number])
            assert np.array_equal(mask[owner == number], its_mask[owner == number])


class TestCopyPaste:
    def test_with_one_area_it_is_pasted_as_it_lies(self):
        one, other = noisy(0), blobs()
        image, mask = copy_paste(one, other, (2,), np.random.default_rng(0))
        inside = other[1] == 2
        assert np.array_equal(image, np.where(inside[:, :, None], other[0], one[0]))
        assert np.array_equal(mask, np.where(inside, 2, one[1]))

    def test_areas_are_whole_and_as_many_as_drawn(self):
        """Of three areas, one, two or three are pasted, each as often as the others."""
        one, other = plain(9), blobs()
        rng, pasted = np.random.default_rng(0), []
        for _ in range(600):
            image, mask = copy_paste(one, other, (1, 2), rng)
            areas = [(2, 2), (2, 20), (15, 10)]
            flags = [int(mask[at] != 9) for at in areas]
            whole = cv2.connectedComponents((mask != 9).astype(np.uint8))[0] - 1
            assert whole == sum(flags)
            assert (mask != 9).sum() == np.dot(flags, [8, 8, 100])
            assert np.array_equal(image[mask != 9], other[0][mask != 9])
            assert (image[mask == 9] == 9).all()
            pasted.append(flags)
        assert np.bincount(np.sum(pasted, axis=1), minlength=4) / 600 == pytest.approx([0, *[1 / 3] * 3], abs=0.06)
        assert np.mean(pasted, axis=0) == pytest.approx([2 / 3] * 3, abs=0.06)

    @pytest.mark.parametrize("classes", [(), (7,)])
    def test_without_such_areas_the_pair_stays(self, classes):
        one = noisy(0)
        assert copy_paste(one, blobs(), classes, np.random.default_rng(0)) is one


class TestMixing:
    def mixed(self, numbers: list[int], rare: tuple[int, ...] = (), **chances: float):
        """The pair 0 with partners 1, 2, ...; the numbers of the partners that were asked for are put down."""

        def partner() -> tuple[np.ndarray, np.ndarray]:
            numbers.append(len(numbers) + 1)
            return plain(numbers[-1])

        return Mixing(AugmentSettings(**chances), rare)(*plain(0), partner, np.random.default_rng(5))

    def test_nothing_asked_for_is_nothing_done(self):
        numbers: list[int] = []
        image, mask = self.mixed(numbers)
        assert (numbers, image.max(), mask.max()) == ([], 0, 0)

    @pytest.mark.parametrize(
        ("chances", "partners"),
        [
            ({"mosaic": 1}, 3),
            ({"cutmix": 1}, 1),
            ({"copy_paste": 1}, 1),
            ({"mosaic": 1, "cutmix": 1, "copy_paste": 1}, 5),
        ],
    )
    def test_partners_are_asked_for_where_they_are_needed(self, chances, partners):
        numbers: list[int] = []
        image, mask = self.mixed(numbers, rare=(partners,), **chances)
        assert numbers == list(range(1, partners + 1))
        assert np.array_equal(image[:, :, 0], mask)
        if "copy_paste" in chances:  # the last partner is one rare area from edge to edge
            assert (mask == partners).all()

    @pytest.mark.parametrize("name", ["mosaic", "cutmix", "copy_paste"])
    def test_each_happens_as_often_as_its_probability_says(self, name):
        mixing, rng, times = Mixing(AugmentSettings(**{name: 0.3}), (1,)), np.random.default_rng(0), []
        for _ in range(500):
            asked: list[int] = []
            mixing(*plain(0), lambda asked=asked: asked.append(1) or plain(1), rng)
            times.append(bool(asked))
        assert np.mean(times) == pytest.approx(0.3, abs=0.06)

    @EVERY_DTYPE
    @pytest.mark.parametrize("bands", [1, 3, 5])
    def test_every_dtype_and_number_of_bands_and_inputs_are_left_alone(self, dtype, bands):
        pairs = [plain(number, bands, dtype) for number in range(6)]
        partners = iter(pairs[1:])
        settings = AugmentSettings(mosaic=1, cutmix=1, copy_paste=1)
        image, mask = Mixing(settings, (5,))(*pairs[0], lambda: next(partners), np.random.default_rng(0))
        assert (image.shape, image.dtype) == ((*SIZE, bands), dtype)
        assert (mask.shape, mask.dtype) == (SIZE, np.uint8)
        for number, (one, its_mask) in enumerate(pairs):
            assert (one == number).all()
            assert (its_mask == number).all()
