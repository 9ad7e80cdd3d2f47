"""What is measured of a pair, against numbers by hand and other ways to the same number."""

import cv2
import numpy as np
import pytest

from intarsia.data.check.features import (
    FLIPS,
    Alignment,
    alignment,
    difference_hash,
    neighbours,
    small_mask,
    small_picture,
    surroundings,
    thumbnail,
)


def test_surroundings_by_hand():
    stored = np.array([[0, 0, 0, 0, 0], [0, 7, 0, 0, 0], [0, 0, 0, 0, 0], [0, 0, 0, 0, 9]], np.uint8)
    speckles, inside = surroundings(stored)
    assert speckles == 1
    assert inside.tolist() == [[False, False, True], [False, True, True]]


@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (2, 2), (2, 9)])
def test_surroundings_of_masks_without_an_inside(shape):
    assert surroundings(np.zeros(shape, np.uint8))[0] == 0


def test_neighbours_count_every_border_once():
    stored = np.array([[0, 0, 5], [0, 9, 5]], np.uint8)
    touching = neighbours(stored, np.array([0, 5, 9])).tolist()
    assert touching == [[0, 1, 1], [0, 2, 2], [1, 2, 1]]


def test_a_small_mask_takes_the_middles_of_its_cells():
    stored = np.arange(36, dtype=np.uint8).reshape(6, 6)
    assert small_mask(stored, (2, 2)).tolist() == [[7, 10], [25, 28]]
    assert np.array_equal(small_mask(stored, (6, 6)), stored)


@pytest.mark.parametrize(("bands", "dtype"), [(1, np.uint8), (3, np.uint8), (4, np.uint16), (7, np.float32)])
def test_small_pictures_of_any_kind_are_grey_and_stretched(bands, dtype):
    rng = np.random.default_rng(0)
    picture = small_picture((rng.random((300, 200, bands)) * 200).astype(dtype))
    assert picture.shape == (128, 85)
    assert (picture.min(), picture.max()) == (0, 1)
    constant = small_picture(np.full((3, 500, bands), 9, dtype))
    assert constant.shape == (1, 128)
    assert not constant.any()


def test_the_hash_stays_where_light_changes_and_differs_where_the_picture_does():
    rng = np.random.default_rng(0)
    one, other = (cv2.resize(rng.random((12, 16, 3), np.float32), (320, 240)) * 200 for _ in range(2))
    hashes = [
        difference_hash(thumbnail(small_picture(picture.astype(np.uint8))))
        for picture in (one, one * 0.8 + 30, other)
    ]
    assert (hashes[0] ^ hashes[1]).bit_count() <= 3
    assert (hashes[0] ^ hashes[2]).bit_count() > 16


def scene() -> tuple[np.ndarray, np.ndarray]:
    """A small picture of areas with their own greys, and their mask; neither symmetric."""
    rng = np.random.default_rng(1)
    hills = cv2.resize(rng.random((6, 8), np.float32), (126, 90), interpolation=cv2.INTER_CUBIC)
    mask = np.digitize(hills, [0.2, 0.4, 0.6, 0.8]).astype(np.uint8)
    greys = np.array([0.1, 0.9, 0.4, 0.65, 0.25], np.float32)
    return greys[mask] + rng.normal(0, 0.02, mask.shape).astype(np.float32), mask


def test_a_sound_mask_lies_best_as_it_is():
    aligned = alignment(*scene())
    assert aligned is not None
    assert aligned.as_is > max(aligned.flipped, aligned.shifted) + 0.3


@pytest.mark.parametrize(
    ("turn", "flip"),
    [
        (lambda mask: mask[:, ::-1], "left-right"),
        (lambda mask: mask[::-1], "top-bottom"),
        (lambda mask: mask[::-1, ::-1], "half a turn"),
    ],
)
def test_a_mirrored_mask_lies_better_mirrored_back(turn, flip):
    picture, mask = scene()
    aligned = alignment(picture, np.ascontiguousarray(turn(mask)))
    assert aligned is not None
    assert aligned.flipped > aligned.as_is + 0.3
    assert aligned.flip_name == flip


def test_a_shifted_mask_lies_better_shifted_back():
    picture, mask = scene()
    aligned = alignment(picture, np.roll(mask, (9, -6), axis=(0, 1)))
    assert aligned is not None
    assert aligned.shifted > aligned.as_is + 0.3
    assert (aligned.down * 126, aligned.right * 126) == pytest.approx((-9, 6), abs=1)


def test_nothing_is_said_without_borders_or_edges():
    picture, mask = scene()
    assert alignment(picture, np.zeros_like(mask)) is None
    assert alignment(np.zeros_like(picture), mask) is None


def test_alignments_are_packed_in_24_bytes():
    one = Alignment(0.5, 0.25, FLIPS.index("half a turn"), -0.75, 0.125, -0.0625)
    assert len(one.packed()) == 24
    assert Alignment.unpacked(one.packed()) == one
