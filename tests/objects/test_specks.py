"""Specks against a slow search, against GDAL where the rules agree, and by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.features import sieve

from intarsia.objects.specks import Specks, without_specks
from tests.objects.masks import cut_masks, masks, objects_of

FOUR = ((0, 1), (1, 0), (0, -1), (-1, 0))


def in_strips(strips, smallest: int) -> np.ndarray:
    specks = Specks(smallest)
    for strip in strips:
        specks.add(strip)
    specks.decide()
    return np.concatenate([specks.cleaned(strip) for strip in strips])


def slowly(mask: np.ndarray, smallest: int) -> np.ndarray:
    """The rule word for word: all objects are looked for again after each speck."""
    mask = mask.copy()
    alone: set[int] = set()  # first pixels of specks without neighbours
    while True:
        found = list(objects_of(mask, [kind for kind in np.unique(mask) if kind != 255]))
        number = np.full(mask.shape, -1)
        for index, (_, inside) in enumerate(found):
            number[inside] = index
        specks = sorted((int(inside.sum()), index) for index, (_, inside) in enumerate(found))
        specks = [one for one in specks if one[0] < smallest and np.flatnonzero(found[one[1]][1])[0] not in alone]
        if not specks:
            return mask
        speck = specks[0][1]
        borders: dict[int, int] = {}
        for y, x in np.argwhere(number == speck):
            for dy, dx in FOUR:
                if 0 <= y + dy < mask.shape[0] and 0 <= x + dx < mask.shape[1]:
                    other = int(number[y + dy, x + dx])
                    if other not in (-1, speck):
                        borders[other] = borders.get(other, 0) + 1
        if borders:
            best = min(borders, key=lambda other: (-borders[other], found[other][0], other))
            mask[number == speck] = found[best][0]
        else:
            alone.add(int(np.flatnonzero(found[speck][1])[0]))


@given(cut_masks(values=(0, 1, 2, 255), longest=8), st.integers(1, 9))
@settings(max_examples=80, deadline=None)
def test_specks_are_settled_by_the_rule_however_the_mask_is_cut(strips, smallest) -> None:
    mask = np.concatenate(strips)
    cleaned = in_strips(strips, smallest)
    assert cleaned.dtype == mask.dtype
    assert np.array_equal(cleaned, slowly(mask, smallest))
    assert np.array_equal(cleaned, without_specks(mask, smallest))


@given(masks(values=(0, 1, 2), longest=14), st.integers(2, 30))
@settings(max_examples=80, deadline=None)
def test_nothing_small_is_left(mask, smallest) -> None:
    cleaned = without_specks(mask, smallest)
    sizes = [int(inside.sum()) for _, inside in objects_of(cleaned, [0, 1, 2])]
    assert len(sizes) == 1 or min(sizes) >= smallest
    assert np.array_equal(without_specks(cleaned, smallest), cleaned)


def test_specks_that_lie_alone_go_as_in_gdal() -> None:
    mask = np.repeat(np.repeat(np.random.default_rng(0).integers(0, 3, (8, 8)), 12, 0), 12, 1).astype(np.uint8)
    for y, x in np.random.default_rng(1).integers(0, 8, (40, 2)) * 12 + 5:  # in the middle of blocks
        mask[y : y + 2, x : x + 3] = 3
    expected = sieve(mask, 10, connectivity=4)
    assert (expected == 3).sum() == 0 < (mask == 3).sum()
    assert np.array_equal(without_specks(mask, 10), expected)


@pytest.mark.parametrize(
    ("before", "smallest", "after"),
    [
        (["11111", "11011", "11111"], 2, ["11111", "11111", "11111"]),  # a hole
        (["00000", "00100", "00000"], 2, ["00000", "00000", "00000"]),  # a speck
        (["00000", "00100", "00000"], 1, ["00000", "00100", "00000"]),
        (["00222", "00122", "00222"], 2, ["00222", "00222", "00222"]),  # the longest border: 3 of 4
        (["0012", "0012"], 3, ["0000", "0000"]),  # of equal ones the lower class; what grows is no speck any more
        (["000", "1?2", "000"], 2, ["000", "0?0", "000"]),  # what is ignored stays, and is no neighbour
        (["?1?", "???", "000"], 4, ["?1?", "???", "000"]),  # without neighbours
        (["1212", "2121"], 5, ["2222", "2222"]),  # specks beside specks: the first takes what is around it
    ],
)
def test_by_hand(before, smallest, after) -> None:
    def mask(rows: list[str]) -> np.ndarray:
        return np.array([[255 if letter == "?" else int(letter) for letter in row] for row in rows], np.uint8)

    assert without_specks(mask(before), smallest).tolist() == mask(after).tolist()


def test_many_borders_are_summed_up_on_the_way(monkeypatch) -> None:
    mask = np.random.default_rng(0).integers(0, 3, (120, 90)).astype(np.uint8)
    expected = without_specks(mask, 6)
    monkeypatch.setattr("intarsia.objects.specks._BORDERS_AT_ONCE", 100)
    assert np.array_equal(in_strips(np.split(mask, range(7, 120, 7)), 6), expected)


def test_wide_masks_with_their_own_ignore_index() -> None:
    mask = np.full((4, 4), 300, dtype=np.uint16)
    mask[1, 1], mask[3, 3] = 65535, 255
    cleaned = without_specks(mask, 2, ignore_index=65535)
    assert cleaned.dtype == np.uint16
    assert (cleaned[1, 1], cleaned[3, 3]) == (65535, 300)


def test_both_passes_go_over_the_same_strips() -> None:
    mask = np.zeros((6, 4), dtype=np.uint8)
    specks = Specks(2)
    specks.add(mask)
    specks.decide()
    with pytest.raises(AssertionError, match="the same strips"):
        specks.cleaned(mask[:3])
