"""Outlines are valid, exact, and those of GDAL; rasterised again they give the mask back."""

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.features import rasterize, shapes
from shapely.geometry import shape

from intarsia.data.shapes import Polygon
from intarsia.objects.outlines import simplified
from tests.objects.masks import cut_masks, masks
from tests.objects.test_regions import regions_of


@given(cut_masks())
@settings(max_examples=200, deadline=None)
def test_outlines_are_valid_and_give_the_mask_back(strips) -> None:
    mask = np.concatenate(strips)
    found = regions_of(strips, [1, 2], outlines=True)
    assert shapely.is_valid(found.outlines).all()
    assert shapely.area(found.outlines).tolist() == found.pixels.tolist()
    drawn = np.zeros(mask.shape, dtype=np.uint16)
    for kind, outline in zip(found.classes, found.outlines, strict=True):
        assert outline.exterior.is_ccw  # a positive area in (x, y)
        assert not any(hole.is_ccw for hole in outline.interiors)
        rings = shapely.get_rings(outline)
        assert all(len(ring.coords) - 1 == len(set(ring.coords)) for ring in rings), "a ring meets itself"
        Polygon(int(kind), tuple(shapely.get_coordinates(ring)[:-1] for ring in rings))(drawn)
    assert np.array_equal(drawn, mask)
    if len(found):
        again = rasterize(list(zip(found.outlines, found.classes.tolist(), strict=True)), mask.shape, dtype="uint8")
        assert np.array_equal(again, mask)


@given(masks(values=(0, 1), longest=9))
@settings(max_examples=60, deadline=None)
def test_outlines_are_those_of_gdal(mask) -> None:
    expected = [shape(geometry) for geometry, _ in shapes(mask, mask=mask == 1, connectivity=4)]
    found = regions_of([mask], [1], outlines=True).outlines
    assert len(found) == len(expected)
    assert all(sum(one.equals(other) for other in expected) == 1 for one in found)


@given(cut_masks(longest=10))
@settings(max_examples=60, deadline=None)
def test_outlines_of_strips_are_those_of_the_whole(strips) -> None:
    whole = regions_of([np.concatenate(strips)], [1, 2], outlines=True)
    assert regions_of(strips, [1, 2], outlines=True).outlines.tolist() == whole.outlines.tolist()


def test_many_objects_are_made_in_portions(monkeypatch) -> None:
    mask = np.random.default_rng(0).integers(0, 3, (60, 70)).astype(np.uint8)
    whole = regions_of([mask], [1, 2], outlines=True).outlines.tolist()
    monkeypatch.setattr("intarsia.objects.outlines._CORNERS_AT_ONCE", 50)
    assert regions_of([mask], [1, 2], outlines=True).outlines.tolist() == whole


def test_a_corner_on_a_straight_line_is_left_out() -> None:
    mask = np.ones((7, 9), dtype=np.uint8)
    mask[2:4, 3:5] = 0
    (outline,) = regions_of(np.split(mask, 7), [1], outlines=True).outlines
    assert list(outline.exterior.coords) == [(0, 0), (9, 0), (9, 7), (0, 7), (0, 0)]
    assert [list(hole.coords) for hole in outline.interiors] == [[(3, 2), (3, 4), (5, 4), (5, 2), (3, 2)]]


def test_a_hole_may_touch_the_outside_at_a_corner() -> None:
    mask = np.array([[1, 1, 1], [1, 0, 1], [1, 1, 0]], dtype=np.uint8)
    (outline,) = regions_of([mask], [1], outlines=True).outlines
    assert outline.is_valid
    assert (outline.area, len(outline.interiors)) == (7, 1)


@given(masks(values=(0, 1), longest=14), st.sampled_from([0, 0.5, 1, 1.5, 3, 40]))
@settings(max_examples=100, deadline=None)
def test_simplified_outlines_are_valid_keep_holes_and_stay_near(mask, tolerance) -> None:
    for outline in regions_of([mask], [1], outlines=True).outlines:
        simple = simplified(outline, tolerance)
        assert simple.is_valid
        assert simple.geom_type in ("Polygon", "MultiPolygon")
        assert simple.area > 0
        assert shapely.get_num_coordinates(simple) <= shapely.get_num_coordinates(outline)
        assert shapely.hausdorff_distance(outline.boundary, simple.boundary) <= 2 * tolerance
        if simple.geom_type == "Polygon":
            assert len(simple.interiors) == len(outline.interiors)


def test_a_disc_needs_few_corners() -> None:
    y, x = np.mgrid[:101, :101] - 50
    (outline,) = regions_of([(y**2 + x**2 <= 45**2).astype(np.uint8)], [1], outlines=True).outlines
    simple = simplified(outline, 1)
    assert len(simple.exterior.coords) < 40 < 200 < len(outline.exterior.coords)
    assert simple.area == pytest.approx(outline.area, rel=0.03)


def test_what_a_simplification_breaks_is_mended(monkeypatch) -> None:
    """GEOS has not been seen to break one; if it does, the polygonal parts are kept."""
    bow = shapely.Polygon([(0, 0), (4, 4), (4, 0), (0, 4)])
    monkeypatch.setattr(shapely, "simplify", lambda *_, **__: bow)
    mended = simplified(shapely.box(0, 0, 4, 4), 1)
    assert mended.is_valid
    assert mended.area == pytest.approx(8)
    monkeypatch.setattr(shapely, "simplify", lambda *_, **__: shapely.Polygon())
    assert simplified(shapely.box(0, 0, 4, 4), 1).area == 16
