"""Objects of masks in strips against SciPy's labels, and by hand."""

import numpy as np
import pytest
from hypothesis import given, settings

from intarsia.objects.regions import Objects, Regions
from intarsia.objects.runs import connected
from intarsia.raster.contract import EvenScale, GlobeScale
from tests.objects.masks import cut_masks, masks, objects_of

STEEP = GlobeScale(latitude=89.0, height=-4.0, width=0.5)


def regions_of(strips, classes, **asked) -> Objects:
    regions = Regions(classes, **asked)
    for strip in strips:
        regions.add(strip)
    return regions.finish()


@given(cut_masks())
@settings(max_examples=150, deadline=None)
def test_objects_are_those_of_scipy(strips) -> None:
    mask = np.concatenate(strips)
    found = regions_of(strips, [1, 2], areas=STEEP.areas)
    expected = list(objects_of(mask, [1, 2]))
    assert len(found) == len(expected)
    of_rows = STEEP.areas(0, len(mask))
    for index, (kind, inside) in enumerate(expected):
        y, x = np.nonzero(inside)
        assert (found.classes[index], found.pixels[index]) == (kind, len(y))
        assert found.boxes[index].tolist() == [y.min(), x.min(), y.max() + 1, x.max() + 1]
        assert found.centroids[index] == pytest.approx((y.mean() + 0.5, x.mean() + 0.5))
        assert found.areas[index] == pytest.approx(of_rows[y].sum())


@given(masks(values=(0, 7, 255), longest=9))
@settings(max_examples=50, deadline=None)
def test_without_a_list_of_classes_all_are_looked_at_but_one(mask) -> None:
    found = regions_of([mask], None, besides=255)
    assert found.classes.tolist() == [kind for kind, _ in objects_of(mask, [0, 7])]


@pytest.mark.parametrize("height", [1, 2, 5, 400])
def test_noise_is_cut_into_strips_that_fit(height, monkeypatch) -> None:
    monkeypatch.setattr("intarsia.objects.runs._PIXELS_AT_ONCE", 1000)
    mask = np.random.default_rng(0).integers(0, 3, (400, 90)).astype(np.uint8)
    found = regions_of(np.split(mask, range(height, 400, height)), [1, 2])
    expected = [(kind, int(inside.sum())) for kind, inside in objects_of(mask, [1, 2])]
    assert list(zip(found.classes.tolist(), found.pixels.tolist(), strict=True)) == expected


def test_a_spiral_is_one_object() -> None:
    mask = np.zeros((41, 41), dtype=np.uint16)
    for ring in range(0, 20, 2):
        mask[ring, ring : 41 - ring] = mask[40 - ring, ring : 41 - ring] = 300
        mask[ring : 41 - ring, ring] = mask[ring : 41 - ring, 40 - ring] = 300
        mask[ring + 1, ring] = 0
        mask[ring + 2, ring + 1] = 300
    found = regions_of(mask[:, None], [300])
    assert len(found) == 1
    assert found.pixels.tolist() == [(mask == 300).sum()]


def test_pixels_that_touch_at_a_corner_are_two_objects() -> None:
    assert regions_of([np.eye(2, dtype=np.uint8)], [1]).pixels.tolist() == [1, 1]


def test_objects_of_equal_size_have_areas_that_are_equal_to_the_last_bit() -> None:
    mask = np.zeros((90, 30), dtype=np.uint8)
    mask[1:8, 1:8] = mask[40:41, :49] = mask[50:85, 3] = mask[50:64, 9] = mask[10:24, 5] = 1
    found = regions_of(np.split(mask, [3, 45, 60]), [1], areas=EvenScale(0.1, 0.3, "mm").areas)
    assert found.areas.tolist() == (found.pixels * (0.1 * 0.3)).tolist()


def test_a_table_of_objects() -> None:
    mask = np.zeros((6, 8), dtype=np.uint8)
    mask[1:4, 2:7] = 1
    found = regions_of([mask], [1], areas=EvenScale(2, 2, "m").areas)
    assert list(found.rows(["ground", "house"], "m")) == [
        {
            "id": 1,
            "class": "house",
            "pixels": 15,
            "area (m²)": 60.0,
            "x": 4.5,
            "y": 2.5,
            "top": 1,
            "left": 2,
            "bottom": 4,
            "right": 7,
            "diameter": pytest.approx(4.3702, abs=1e-4),
        }
    ]


@pytest.mark.parametrize("strips", [[], [np.zeros((0, 5), np.uint8)], [np.zeros((4, 5), np.uint8)]])
def test_nothing_gives_no_objects(strips) -> None:
    found = regions_of(strips, [1], areas=STEEP.areas, outlines=True)
    assert len(found) == len(found.outlines) == len(found.areas) == 0
    assert found.boxes.shape == (0, 4)


def test_all_nodes_of_a_path_find_its_lowest() -> None:
    order = np.random.default_rng(0).permutation(np.arange(1, 1000))
    root = connected(1001, order[:-1], order[1:])
    assert root.tolist() == [0, *[1] * 999, 1000]


def test_what_is_remembered_does_not_grow_with_the_height() -> None:
    """A comb: its teeth are pieces of their own until its back joins them."""
    regions = Regions([1])
    row = np.tile(np.array([1, 0], dtype=np.uint8), 10)[None]
    for _ in range(300):
        regions.add(row)
    assert regions._pieces.count == 10
    regions.add(np.ones_like(row))
    assert regions.finish().pixels.tolist() == [300 * 10 + 20]
