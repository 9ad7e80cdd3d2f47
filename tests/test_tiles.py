"""Tiles along an axis: all of it is covered, weights add up to one, and cut edges count for nothing."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from intarsia.errors import SettingsError
from intarsia.tiles import fitting, rising, spans


@st.composite
def plans(draw: st.DrawFn) -> tuple[int, int, int, int]:
    step = draw(st.integers(1, 16))
    tile = step * draw(st.integers(1, 12))
    overlap = step * draw(st.integers(0, tile // step - 1))
    return draw(st.integers(1, 400)), tile, overlap, step


def weights(length: int, plan: list) -> np.ndarray:
    """[tiles, length]: how much each tile counts for each pixel."""
    counts = np.zeros((len(plan), length))
    for row, span in zip(counts, plan, strict=True):
        own = np.ones(span.last - span.first)
        own[: span.fade_in] = rising(span.fade_in)
        own[len(own) - span.fade_out :] -= rising(span.fade_out)
        row[span.first : span.last] = own
    return counts


@given(plans())
def test_the_weights_of_all_tiles_add_up_to_one(case: tuple[int, int, int, int]) -> None:
    length, tile, overlap, step = case
    plan = spans(length, tile, overlap, step)
    counts = weights(length, plan)
    assert counts.sum(axis=0) == pytest.approx(np.ones(length), abs=1e-6)
    assert (counts >= 0).all()
    assert ((counts > 0).sum(axis=0) <= 2).all()


@given(plans())
def test_tiles_begin_with_the_networks_steps_and_see_what_they_give(case: tuple[int, int, int, int]) -> None:
    length, tile, overlap, step = case
    plan = spans(length, tile, overlap, step)
    assert [span.start % step for span in plan] == [0] * len(plan)
    assert all(span.stop - span.start <= tile for span in plan)
    assert all(span.start <= span.first < span.last <= span.stop for span in plan)
    assert (plan[0].start, plan[-1].stop, plan[-1].last) == (0, length, length)
    for one, other in pairwise(plan):
        assert one.stop - other.start >= overlap
        assert (other.first, one.last) == (one.last - one.fade_out, other.first + other.fade_in)


@given(plans())
def test_what_lies_near_a_cut_edge_counts_for_nothing(case: tuple[int, int, int, int]) -> None:
    length, tile, overlap, step = case
    for span in spans(length, tile, overlap, step):
        if span.start:
            assert span.first - span.start >= overlap // 4
        if span.stop < length:
            assert span.stop - span.last >= overlap // 4


@given(plans())
def test_there_are_no_more_tiles_than_needed(case: tuple[int, int, int, int]) -> None:
    length, tile, overlap, step = case
    fewest = 1 if length <= tile else -(-(length - overlap) // (tile - overlap))
    assert fewest <= len(spans(length, tile, overlap, step)) <= fewest + 1


def test_a_picture_of_a_tile_is_one() -> None:
    for length in (1, 63, 64):
        (span,) = spans(length, 64, 16, 32)
        assert (span.start, span.stop, span.fade_in, span.fade_out) == (0, length, 0, 0)


def test_the_weight_rises_evenly_around_its_middle() -> None:
    weight = rising(8)
    assert (np.diff(weight) > 0).all()
    assert weight + weight[::-1] == pytest.approx(np.ones(8), abs=1e-6)


def test_tiles_are_rounded_up_to_the_networks_steps() -> None:
    assert fitting(512, None, 32) == (512, 64)
    assert fitting(500, 33, 32) == (512, 64)
    assert fitting(512, 0, 32) == (512, 0)
    assert fitting(32, None, 32) == (32, 0)
    assert fitting(1024, None, 1120, chosen=True) == (1120, 0)


@pytest.mark.parametrize(
    ("tile", "overlap", "words"),
    [
        (0, 0, r"--tile 0: is smaller than what this network works in\. The least is 32\."),
        (-64, None, r"--tile -64: is smaller"),
        (31, 0, r"The least is 32"),
        (64, -1, r"--overlap -1: must be 0 or more"),
        (64, 64, r"--overlap 64 with --tile 64: the tiles would not move on"),
        (64, 33, r"in steps of 32 pixels, as this network works: 64 and 64\)\. Give a tile at least twice"),
    ],
)
def test_tiles_that_do_not_fit_are_refused(tile: int, overlap: int | None, words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        fitting(tile, overlap, 32)
