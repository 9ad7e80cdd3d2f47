"""Touching objects: discs are counted right, what is one object stays one, ids and tables agree."""

import cv2
import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from scipy import ndimage

from intarsia.objects.instances import label_objects, split_touching
from intarsia.raster.contract import EvenScale
from tests.objects.masks import masks, objects_of

SIDE = 300


def oblique(angle: float, centre: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates along an angle and across it."""
    y, x = np.mgrid[:SIDE, :SIDE] + 0.5
    y, x = y - centre[0], x - centre[1]
    return x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)


def blobs(places: list[tuple[float, float, float]], side: int = SIDE) -> np.ndarray:
    y, x = np.mgrid[:side, :side] + 0.5
    return np.any([(y - v) ** 2 + (x - u) ** 2 <= radius**2 for v, u, radius in places], axis=0)


def pair_of(generator: np.random.Generator, radii: tuple[float, float], distance: float) -> np.ndarray:
    angle, centre = generator.uniform(0, np.pi), SIDE / 2 + generator.uniform(-0.5, 0.5, 2)
    step = distance / 2 * np.array([np.sin(angle), np.cos(angle)])
    return blobs([(*(centre - step), radii[0]), (*(centre + step), radii[1])])


@pytest.mark.parametrize("distance", [1.3, 1.6, 1.9])
def test_two_equal_discs_are_two(distance) -> None:
    generator = np.random.default_rng(0)
    for radius in generator.uniform(10, 60, 12):
        mask = pair_of(generator, (radius, radius), distance * radius)
        assert split_touching(mask).max() == 2


def test_small_discs_are_told_apart_when_they_hardly_touch() -> None:
    generator = np.random.default_rng(1)
    assert all(split_touching(pair_of(generator, (5, 5), 9.2)).max() == 2 for _ in range(12))


def test_unequal_discs_are_two() -> None:
    generator = np.random.default_rng(2)
    for radius in generator.uniform(18, 60, 12):
        assert split_touching(pair_of(generator, (radius, radius * 0.6), 1.3 * radius)).max() == 2


def test_the_parts_are_the_discs() -> None:
    ids = split_touching(blobs([(150, 100, 50), (150, 180, 50)]))
    left, right = blobs([(150, 100, 50)]), blobs([(150, 180, 50)])
    columns = np.arange(SIDE) + 0.5
    assert np.array_equal(ids == ids[150, 100], left & (columns < 140.1) | left & ~right)
    assert {ids[150, 100], ids[150, 180]} == {1, 2}


@pytest.mark.parametrize("shape", ["ellipse", "rectangle", "ring", "line"])
def test_what_is_one_object_stays_one(shape) -> None:
    generator = np.random.default_rng(3)
    for _ in range(25):
        long = generator.uniform(10, 120)
        broad = max(2, long * generator.uniform(0.05, 1))
        along, across = oblique(generator.uniform(0, np.pi), SIDE / 2 + generator.uniform(-0.5, 0.5, 2))
        if shape == "ellipse":
            mask = (along / long) ** 2 + (across / broad) ** 2 <= 1
        elif shape == "rectangle":
            mask = (abs(along) <= long) & (abs(across) <= broad)
        elif shape == "ring":
            outer = generator.uniform(20, 120)
            radius = np.hypot(along, across)
            mask = (radius <= outer) & (radius > outer - generator.uniform(2, 15))
        else:
            drawn = np.zeros((SIDE, SIDE), dtype=np.uint8)
            start, end = generator.integers(20, SIDE - 20, (2, 2)).tolist()
            cv2.line(drawn, start, end, 1, int(generator.integers(1, 9)))
            mask = drawn > 0
        _, connected = ndimage.label(mask)
        assert split_touching(mask).max() == connected


def test_many_discs_are_counted_right() -> None:
    """Centres at least 1.5 mean radii apart, so that no disc is hidden by others."""
    generator = np.random.default_rng(4)
    drawn = counted = 0
    for _ in range(8):
        places: list[tuple[float, float, float]] = []
        for v, u, radius in zip(*generator.uniform(0, 400, (2, 300)), generator.uniform(9, 25, 300), strict=True):
            if all(np.hypot(v - y, u - x) > 0.75 * (radius + other) + 3 for y, x, other in places):
                places.append((v, u, radius))
        drawn += len(places)
        counted += int(split_touching(blobs(places, 400)).max())
    assert drawn > 500
    assert counted == pytest.approx(drawn, rel=0.04)


def test_h_decides() -> None:
    mask = blobs([(150, 100, 50), (150, 165, 50)])  # the lower peak rises by 12 of 50 pixels
    assert [split_touching(mask, h).max() for h in (5, 11, 13, 40)] == [2, 2, 1, 1]


@pytest.mark.parametrize("value", [False, True])
def test_all_or_nothing(value) -> None:
    ids = split_touching(np.full((5, 7), value))
    assert ids.dtype == np.int32
    assert np.array_equal(ids, np.full((5, 7), int(value)))


def test_a_disc_that_the_edge_cuts_stays_one() -> None:
    mask = blobs([(0, 150, 60), (150, 299, 40)])
    assert split_touching(mask).max() == 2


@pytest.mark.parametrize("touching", [False, True])
@given(mask=masks(values=(0, 1, 2), longest=14))
@settings(max_examples=60, deadline=None)
def test_ids_and_their_table(touching, mask) -> None:
    labelled = label_objects(mask, [1, 2], touching=touching, areas=EvenScale(2, 3, "m").areas, outlines=True)
    ids, objects = labelled.ids, labelled.objects
    assert np.array_equal(ids > 0, mask > 0)
    assert np.unique(ids[ids > 0]).tolist() == list(range(1, len(objects) + 1))
    first = [int(np.flatnonzero(ids == index + 1)[0]) for index in range(len(objects))]
    assert first == sorted(first)
    for index in range(len(objects)):
        inside = ids == index + 1
        assert ndimage.label(inside)[1] == 1
        assert set(mask[inside]) == {objects.classes[index]}
        assert objects.pixels[index] == inside.sum() == objects.outlines[index].area
        assert objects.areas[index] == 6 * inside.sum()
    assert shapely.is_valid(objects.outlines).all()
    if not touching:
        assert len(objects) == len(list(objects_of(mask, [1, 2])))


def test_touching_objects_of_two_classes_have_ids_of_their_own() -> None:
    mask = np.zeros((SIDE, SIDE), dtype=np.uint8)
    mask[blobs([(80, 60, 30), (80, 105, 30)])] = 1
    mask[blobs([(200, 60, 30), (40, 200, 30)])] = 4
    labelled = label_objects(mask, [1, 4], touching=True)
    assert labelled.objects.classes.tolist() == [4, 1, 1, 4]
    assert label_objects(mask, [1, 4]).objects.classes.tolist() == [4, 1, 4]
