"""Augmentation: image and mask move as one, and only the image changes its light."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from intarsia.data.augment import Augment, photometry, pixel_of, random_affine, sample_generator, warp
from intarsia.settings import AugmentSettings

STILL = {
    "scale": (1, 1),
    "rotate": 0,
    "shift": 0,
    "flip_horizontal": 0,
    "flip_vertical": 0,
}
DARK = dict.fromkeys(("brightness", "contrast", "gamma", "saturation", "noise", "blur"), 0)
GEOMETRY_ONLY = AugmentSettings(**DARK)
IGNORE = 255


def picture(size: tuple[int, int], bands: int = 3, dtype: str = "uint8", seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 200, (*size, bands)).astype(dtype)


def checkers(size: tuple[int, int], side: int = 8) -> np.ndarray:
    rows, columns = np.indices(size) // side
    return ((rows + 2 * columns) % 3).astype(np.uint8)


def matrix(source, target, seed=0, **changes) -> np.ndarray:
    return random_affine(np.random.default_rng(seed), source, target, AugmentSettings(**STILL | DARK | changes))


class TestGeometry:
    @pytest.mark.parametrize("bands", [1, 3, 4, 5, 9])
    @pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
    def test_standing_still_changes_nothing(self, bands, dtype):
        image, mask = picture((13, 17), bands, dtype), checkers((13, 17), 3)
        augment = Augment(AugmentSettings(**STILL | DARK), (13, 17), IGNORE)
        same_image, same_mask = augment(image, mask, np.random.default_rng(1))
        assert same_image.dtype == dtype
        assert np.array_equal(same_image, image)
        assert np.array_equal(same_mask, mask)

    @pytest.mark.parametrize(("top", "left"), [(0, 0), (3, 5), (5, 9)])
    def test_a_whole_shift_is_the_exact_crop(self, top, left):
        image, mask = picture((13, 17), 5), checkers((13, 17), 3)
        shift = np.array([[1, 0, left], [0, 1, top]], dtype=np.float64)
        crop, crop_mask = warp(image, mask, shift, (8, 8), IGNORE)
        assert np.array_equal(crop, image[top : top + 8, left : left + 8])
        assert np.array_equal(crop_mask, mask[top : top + 8, left : left + 8])

    @pytest.mark.parametrize(
        ("changes", "flipped"),
        [
            ({"flip_horizontal": 1}, (slice(None), slice(None, None, -1))),
            ({"flip_vertical": 1}, (slice(None, None, -1), slice(None))),
            ({"flip_horizontal": 1, "flip_vertical": 1}, (slice(None, None, -1), slice(None, None, -1))),
        ],
    )
    def test_flips_are_exact(self, changes, flipped):
        image, mask = picture((12, 15)), checkers((12, 15), 3)
        turned = warp(image, mask, matrix((12, 15), (12, 15), **changes), (12, 15), IGNORE)
        assert np.array_equal(turned[0], image[flipped])
        assert np.array_equal(turned[1], mask[flipped])

    @pytest.mark.parametrize("seed", range(20))
    def test_the_matrix_is_flip_then_rotation_then_zoom_about_the_middle(self, seed):
        """Composed by hand from four homogeneous matrices, but for where the view's centre fell."""
        source, target = (90, 120), (48, 64)
        drawn = matrix(source, target, seed, scale=(0.5, 2), rotate=30, flip_horizontal=0.5, flip_vertical=0.5)
        rng = np.random.default_rng(seed)
        zoom = np.exp(rng.uniform(np.log(0.5), np.log(2)))
        angle = np.radians(rng.uniform(-30, 30))
        flip_x, flip_y = (-1 if rng.random() < 0.5 else 1 for _ in range(2))
        to_middle = np.array([[1, 0, -31.5], [0, 1, -23.5], [0, 0, 1]])
        flip = np.diag([flip_x, flip_y, 1])
        rotation = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
        composed = np.diag([1 / zoom, 1 / zoom, 1]) @ rotation @ flip @ to_middle
        assert drawn[:, :2] == pytest.approx(composed[:2, :2])
        centre = drawn @ [31.5, 23.5, 1]
        assert composed @ [31.5, 23.5, 1] == pytest.approx([0, 0, 1])
        for middle, at, extent, side in zip((59.5, 44.5), centre, (120, 90), (64, 48), strict=True):
            assert abs(at - middle) <= abs(extent - side / zoom) / 2 + 1e-9

    @pytest.mark.parametrize("seed", range(10))
    def test_without_rotation_a_smaller_view_stays_inside(self, seed):
        drawn = matrix((90, 120), (48, 64), seed, scale=(1, 2))
        corners = drawn @ np.array([[-0.5, -0.5, 1], [63.5, 47.5, 1]]).T
        assert (corners >= -0.5 - 1e-9).all()
        assert (corners[0] <= 119.5 + 1e-9).all()
        assert (corners[1] <= 89.5 + 1e-9).all()

    @pytest.mark.parametrize("seed", range(10))
    def test_a_smaller_picture_lies_whole_inside_the_view(self, seed):
        image, mask = np.full((20, 30, 3), 200, np.uint8), np.zeros((20, 30), np.uint8)
        warped, warped_mask = warp(image, mask, matrix((20, 30), (48, 64), seed), (48, 64), IGNORE)
        assert (warped_mask == 0).sum() == 20 * 30
        assert (warped[warped_mask == IGNORE] == 0).sum() > 0.9 * 3 * (48 * 64 - 20 * 30)
        assert abs(warped.sum() / 200 / 3 - 20 * 30) < 1

    @pytest.mark.parametrize("seed", range(12))
    def test_image_and_mask_stay_aligned(self, seed):
        """Stripes drawn into both; half a pixel apart, they would differ in 6 pixels of 100."""
        stripes = np.indices((96, 128))[seed % 2] // 8 % 2
        augment = Augment(AugmentSettings(**DARK, rotate=45, flip_vertical=0.5), (64, 80), IGNORE)
        image, mask = np.repeat(stripes[:, :, None] * 200, 3, axis=2).astype(np.uint8), stripes.astype(np.uint8)
        warped, warped_mask = augment(image, mask, np.random.default_rng(seed))
        inside = cv2.erode((warped_mask != IGNORE).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
        assert inside.sum() > 500
        assert ((warped[:, :, 0] > 100) == warped_mask)[inside].mean() > 0.99

    @given(
        seed=st.integers(0, 2**32),
        source=st.tuples(st.integers(1, 40), st.integers(1, 40)),
        target=st.tuples(st.integers(1, 40), st.integers(1, 40)),
        wide=st.booleans(),
    )
    @hypothesis_settings(deadline=None)
    def test_a_mask_gets_no_value_it_did_not_have(self, seed, source, target, wide):
        rng = np.random.default_rng(seed)
        values, ignore = (
            (np.array([3, 300, 60000], np.uint16), 65535) if wide else (np.array([2, 9], np.uint8), 255)
        )
        mask = rng.choice(values, source)
        settings = AugmentSettings(scale=(0.1, 10), rotate=180, shift=1, flip_vertical=0.5)
        image, warped = Augment(settings, target, ignore)(picture(source), mask, rng)
        assert image.shape == (*target, 3)
        assert warped.shape == target
        assert warped.dtype == mask.dtype
        assert set(np.unique(warped)) <= {*values, ignore}

    @pytest.mark.parametrize(("ignore", "dtype"), [(255, np.uint8), (65535, np.uint16)])
    def test_padding_is_0_in_the_image_and_ignored_in_the_mask(self, ignore, dtype):
        away = np.array([[1.0, 0, 100], [0, 1, 0]])
        image, mask = warp(picture((8, 8), 5) + 1, np.ones((8, 8), dtype), away, (8, 8), ignore)
        assert (image == 0).all()
        assert mask.dtype == dtype
        assert (mask == ignore).all()

    @pytest.mark.parametrize("bands", [1, 3, 5])
    @pytest.mark.parametrize("seed", range(4))
    def test_padding_of_floats_is_no_data_and_nothing_of_it_is_mixed_in(self, bands, seed):
        image, mask = np.full((20, 30, bands), 280, np.float32), np.zeros((20, 30), np.uint8)
        steps = matrix((20, 30), (48, 64), seed, rotate=30, scale=(1, 2))
        warped, warped_mask = warp(image, mask, steps, (48, 64), IGNORE)
        within = warped_mask == 0
        assert 0 < within.sum() < 48 * 64
        assert np.isnan(warped[~within]).all()
        assert warped[within] == pytest.approx(280)


class TestRandomness:
    def test_it_depends_on_seed_epoch_and_index_alone(self):
        augment = Augment(AugmentSettings(), (16, 16), IGNORE)
        image, mask = picture((24, 24)), checkers((24, 24))
        first, again = (augment(image, mask, sample_generator(1, 2, 3)) for _ in range(2))
        assert np.array_equal(first[0], again[0])
        assert np.array_equal(first[1], again[1])

    def test_every_seed_epoch_and_index_differs(self):
        numbers = {
            sample_generator(*key).integers(2**62)
            for key in np.ndindex(6, 6, 6)  # (1, 0, 0), (0, 1, 0) and (0, 0, 1) among them
        }
        assert len(numbers) == 6**3

    def test_inputs_are_left_alone(self):
        image, mask = picture((24, 24)), checkers((24, 24))
        before = image.copy(), mask.copy()
        for index in range(5):
            Augment(AugmentSettings(), (24, 24), IGNORE)(image, mask, sample_generator(0, 0, index))
        assert np.array_equal(image, before[0])
        assert np.array_equal(mask, before[1])

    def test_switching_photometry_off_does_not_move_the_geometry(self):
        image, mask = picture((24, 24)), checkers((24, 24))
        with_light, without = (
            Augment(settings, (16, 16), IGNORE)(image, mask, sample_generator(0, 0, 0))
            for settings in (AugmentSettings(), GEOMETRY_ONLY)
        )
        assert np.array_equal(with_light[1], without[1])
        assert not np.array_equal(with_light[0], without[0])


def rare_mask(size: tuple[int, int] = (60, 80)) -> np.ndarray:
    """Class 0, with 12 pixels of class 1 and 100 of class 2 near a corner, and some that are ignored."""
    mask = np.zeros(size, np.uint8)
    mask[2:5, 3:7], mask[40:50, 60:70], mask[20:22] = 1, 2, IGNORE
    return mask


class TestRareClasses:
    def views(self, share: float, rare: tuple[int, ...], size: tuple[int, int], number: int = 400) -> np.ndarray:
        """The class at the middle of each of many views, of the pair with turns, zooms and flips."""
        settings = AugmentSettings(**DARK, rare_share=share, rotate=30, scale=(0.5, 2), flip_vertical=0.5)
        augment, mask = Augment(settings, size, IGNORE, rare), rare_mask()
        image = np.repeat(mask[:, :, None], 3, axis=2)
        masks = [augment(image, mask, sample_generator(0, 0, index))[1] for index in range(number)]
        return np.array([one[size[0] // 2, size[1] // 2] for one in masks])

    @pytest.mark.parametrize("size", [(32, 48), (33, 47)])
    @pytest.mark.parametrize("share", [0.25, 1.0])
    def test_the_share_of_views_is_centred_on_a_rare_class(self, share, size):
        """0.2 % of the pixels are of class 1 and 2 % of class 2: by chance they are hardly ever in the middle."""
        middles = self.views(share, (1, 2), size)
        centred = (middles == 1).mean(), (middles == 2).mean()
        spread = 3 * np.sqrt(share / 2 * (1 - share / 2) / 400)
        assert centred == pytest.approx((share / 2, share / 2), abs=spread + 0.02 * (1 - share))
        assert share < 1 or set(middles) == {1, 2}

    def test_one_class_alone_and_one_that_is_not_there(self):
        assert set(self.views(1.0, (2,), (32, 48))) == {2}
        assert set(self.views(1.0, (1, 7), (32, 48))) == {1}

    def test_where_nothing_is_rare_views_lie_as_they_do_without(self):
        mask = rare_mask()
        assert pixel_of((), mask, np.random.default_rng(0)) is None
        assert pixel_of((7,), mask, np.random.default_rng(0)) is None
        middles = self.views(1.0, (7,), (32, 48))
        assert (middles == 0).mean() > 0.8

    def test_every_pixel_of_the_class_is_drawn_alike(self):
        rng, mask = np.random.default_rng(0), rare_mask()
        drawn = [pixel_of((1,), mask, rng) for _ in range(1200)]
        pixels, times = np.unique(drawn, axis=0, return_counts=True)
        assert pixels.tolist() == [[row, column] for row in range(2, 5) for column in range(3, 7)]
        assert times.min() > 70
        assert times.max() < 130

    def test_the_pixel_only_moves_the_view(self):
        plain, centred = (
            random_affine(np.random.default_rng(3), (60, 80), (32, 48), AugmentSettings(), pixel)
            for pixel in (None, (7, 61))
        )
        assert np.array_equal(plain[:, :2], centred[:, :2])
        assert centred @ [24, 16, 1] == pytest.approx([61, 7])

    def test_a_share_of_0_changes_nothing_whatever_is_rare(self):
        image, mask = picture((60, 80)), rare_mask()
        for index in range(5):
            plain, other = (
                Augment(AugmentSettings(), (32, 48), IGNORE, rare)(image, mask, sample_generator(0, 0, index))
                for rare in ((), (1, 2))
            )
            assert all(np.array_equal(one, same) for one, same in zip(plain, other, strict=True))


def only(**settings: float) -> AugmentSettings:
    return AugmentSettings(**DARK | settings)


class TestPhotometry:
    @pytest.mark.parametrize("bands", [1, 3, 4, 5])
    @pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
    def test_every_dtype_and_number_of_bands(self, dtype, bands):
        image = picture((12, 14), bands, dtype)
        strong = AugmentSettings(brightness=0.5, contrast=0.5, gamma=0.5, saturation=1, noise=0.1, blur=3)
        results = [photometry(image, np.random.default_rng(seed), strong) for seed in range(4)]
        assert {(result.shape, result.dtype) for result in results} == {(image.shape, image.dtype)}
        assert all(np.isfinite(result).all() for result in results)
        assert not any(np.array_equal(result, image) for result in results)

    @pytest.mark.parametrize("bands", [1, 3, 5])
    @pytest.mark.parametrize("last", [{"blur": 3}, {"noise": 0.1}])
    def test_what_is_no_number_stays_none_and_changes_nothing_far_from_it(self, bands, last):
        image = picture((60, 70), bands, "float32")
        image[0, 0] = 250  # the largest, and no part of the hole
        holed = image.copy()
        holed[20:30, 20:30] = np.nan
        ranges = only(brightness=0.5, contrast=0.5, gamma=0.5, saturation=1, **last)
        seen = np.zeros((60, 70), dtype=bool)
        seen[8:42, 8:42] = True  # at a blur of 3 pixels, from 12 pixels away
        for seed in range(8):
            whole, result = (photometry(one, np.random.default_rng(seed), ranges) for one in (image, holed))
            assert np.array_equal(np.isnan(result), np.isnan(holed))
            assert result[~seen] == pytest.approx(whole[~seen], rel=1e-5)

    @pytest.mark.parametrize("bands", [1, 3, 5])
    def test_blur_is_of_numbers_alone(self, bands):
        image = np.full((40, 50, bands), 280, np.float32)
        image[np.random.default_rng(0).random(image.shape) < 0.3] = np.nan
        blurred = photometry(image, np.random.default_rng(0), only(blur=5))
        assert np.array_equal(np.isnan(blurred), np.isnan(image))
        assert blurred[~np.isnan(image)] == pytest.approx(280, rel=1e-5)

    def test_what_is_no_number_is_warped_with_its_edge(self):
        image, mask = picture((60, 80), 4, "float32"), checkers((60, 80))
        holed = image.copy()
        holed[20:30, 20:30] = np.nan
        for seed in range(8):
            steps = matrix((60, 80), (50, 50), seed, rotate=30, scale=(0.8, 1.5), flip_horizontal=0.5)
            whole, result = (warp(one, mask, steps, (50, 50), IGNORE)[0] for one in (image, holed))
            y, x = np.indices((50, 50))
            column, row = np.einsum("ij,jhw->ihw", steps, np.stack([x, y, np.ones_like(x)]))
            inside = (row > 20) & (row < 29) & (column > 20) & (column < 29)
            outside = (row < 18) | (row > 31) | (column < 18) | (column > 31)
            assert np.isnan(result[inside]).all()
            assert np.array_equal(result[outside], whole[outside], equal_nan=True)

    @pytest.mark.parametrize("bands", [1, 3, 4, 5])
    def test_bands_of_floats_vary_alike_in_whatever_units(self, bands):
        shares, units = picture((20, 30), bands, "float32"), np.float32([900, 20, -3, 0.5, 1e-6])[:bands]
        shares[3:5, 4:6] = np.nan
        ranges = only(brightness=0.5, contrast=0.5, saturation=1, noise=0.1, blur=2)
        for seed in range(8):
            pictures = shares, shares * units
            plain, scaled = (photometry(one, np.random.default_rng(seed), ranges) for one in pictures)
            assert scaled.dtype == np.float32
            assert scaled / units == pytest.approx(plain, rel=1e-4, abs=1e-3, nan_ok=True)

    def test_a_small_band_beside_a_large_one_is_not_drowned(self):
        image = np.dstack([np.full((20, 30), 900), np.indices((20, 30))[1] / 60]).astype(np.float32)
        for seed in range(8):
            varied = photometry(image, np.random.default_rng(seed), AugmentSettings(blur=0))[:, :, 1]
            assert np.corrcoef(varied.ravel(), image[:, :, 1].ravel())[0, 1] > 0.98
            assert np.abs(varied - image[:, :, 1]).max() < 0.2

    def test_nothing_is_made_of_a_picture_without_a_number(self):
        image = np.full((6, 7, 1), np.nan, dtype=np.float32)
        assert np.isnan(photometry(image, np.random.default_rng(0), only(brightness=0.5, noise=0.1))).all()

    @pytest.mark.parametrize("seed", range(5))
    @pytest.mark.parametrize(("dtype", "white"), [("uint8", 255), ("uint16", 65535)])
    def test_tones_follow_the_formula(self, dtype, white, seed):
        image = np.linspace(0, white, 48).astype(dtype).reshape(4, 4, 3)
        toned = photometry(image, np.random.default_rng(seed), only(brightness=0.3, contrast=0.5, gamma=0.4))
        brightness, contrast, gamma, _ = np.random.default_rng(seed).uniform(-1, 1, 4) * (0.3, 0.5, 0.4, 0)
        lit = np.clip((image / white - 0.5) * (1 + contrast) + 0.5 + brightness, 0, 1)
        assert np.abs(toned - lit ** (1 + gamma) * white).max() <= 0.5 + 1e-6

    @pytest.mark.parametrize("seed", range(5))
    def test_saturation_moves_colours_from_or_to_the_luma(self, seed):
        image = picture((6, 6))
        saturated = photometry(image, np.random.default_rng(seed), only(saturation=0.8))
        amount = 1 + 0.8 * np.random.default_rng(seed).uniform(-1, 1, 4)[3]
        luma = (image @ np.array([0.299, 0.587, 0.114]))[:, :, None]  # ITU-R BT.601
        assert (
            np.abs(saturated - np.clip(luma + amount * (image - luma), 0, 255)).max() < 0.7
        )  # OpenCV counts in 1/1024

    @pytest.mark.parametrize("bands", [1, 5])
    def test_saturation_needs_three_bands(self, bands):
        image = picture((6, 6), bands)
        assert np.array_equal(photometry(image, np.random.default_rng(0), only(saturation=1)), image)

    @pytest.mark.parametrize("seed", range(3))
    @pytest.mark.parametrize(("dtype", "white"), [("uint8", 255), ("uint16", 65535), ("float32", 0.5)])
    def test_noise_has_the_deviation_drawn(self, dtype, white, seed):
        image = np.full((200, 200, 3), white / 2 if dtype != "float32" else white, dtype)
        noise = photometry(image, np.random.default_rng(seed), only(noise=0.1)) - image.astype(np.float64)
        rng = np.random.default_rng(seed)
        rng.uniform(size=4)
        deviation = max(rng.uniform(-1, 1, 2)[1], 0) * 0.1 * white
        assert noise.std() == pytest.approx(
            np.hypot(deviation, 0.29 * (dtype == "uint8" and deviation > 0)), rel=0.02
        )
        assert abs(noise.mean()) <= 0.02 * deviation + 0.3 * (dtype != "float32")

    def test_noise_repeats_where_the_image_is_larger_than_the_bank(self):
        image = np.full((1, 2**20 + 5000, 1), 128, np.uint8)
        noisy = photometry(image, np.random.default_rng(0), only(noise=0.5)).ravel()
        assert noisy.std() > 5
        assert np.array_equal(noisy[2**20 :], noisy[:5000])

    @pytest.mark.parametrize("bands", [1, 3, 5])
    def test_blur_smooths_every_band(self, bands):
        image = picture((40, 40), bands)
        blurred = photometry(image, np.random.default_rng(0), only(blur=5))
        assert (blurred.std(axis=(0, 1)) < 0.4 * image.std(axis=(0, 1))).all()
        assert np.abs(blurred.mean(axis=(0, 1)) - image.mean(axis=(0, 1))).max() < 3

    def test_nothing_asked_for_is_nothing_done(self):
        image = picture((6, 6))
        assert np.array_equal(photometry(image, np.random.default_rng(0), only()), image)
