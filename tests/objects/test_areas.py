"""Measurements by hand, against NumPy, over strips and over pictures."""

import csv
import io
import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from intarsia.objects.areas import Measurements, Measuring, Sizes, totals
from intarsia.objects.units import pixel_size, spacing
from intarsia.raster.contract import EvenScale, GlobeScale
from tests.objects.masks import cut_masks
from tests.objects.test_regions import regions_of

NAMES = ("ground", "house", "water")


def measured(strips, scale=None, depth=None) -> Measurements:
    measuring = Measuring(NAMES, scale)
    for strip in strips:
        measuring.add(strip)
    objects = regions_of(strips, [1, 2], areas=scale.areas if scale else None)
    return measuring.finish(objects, [1, 2], depth)


def a_planted_square() -> np.ndarray:
    """20x30 pixels of house with one pixel of water in it, and a row that is ignored."""
    mask = np.zeros((100, 100), dtype=np.uint8)
    mask[10:30, 40:70] = 1
    mask[20, 50] = 2
    mask[99] = 255
    return mask


def test_a_planted_square() -> None:
    found = measured(np.split(a_planted_square(), [7, 20, 21]), pixel_size("0.5m,20cm"))
    assert found.pixels.tolist() == [9900 - 600, 599, 1]
    assert found.ignored_pixels == 100
    assert found.shares.tolist() == [9300 / 9900, 599 / 9900, 1 / 9900]
    assert found.areas.tolist() == pytest.approx([930, 59.9, 0.1])
    ground, house, water = found.rows()
    assert house == {
        "class": "house",
        "pixels": 599,
        "share": 599 / 9900,
        "area": pytest.approx(59.9),
        "area_unit": "m²",
        "volume": None,
        "volume_unit": None,
        "objects": 1,
        **{f"object_pixels_{name}": 599 for name in ("min", "p5", "p25", "p50", "p75", "p95", "max", "mean")},
        **{
            f"object_area_{name}": pytest.approx(59.9)
            for name in ("min", "p5", "p25", "p50", "p75", "p95", "max", "mean")
        },
    }
    assert ground["objects"] is ground["object_pixels_mean"] is None  # the background's were not counted
    assert list(ground) == list(house) == list(water)


def test_the_height_of_the_row_counts_on_the_globe() -> None:
    globe = GlobeScale(latitude=60.0, height=-1.0, width=1.0)
    found = measured([a_planted_square()], globe)
    rows = globe.areas(0, 100)
    assert found.areas[1] == pytest.approx(rows[10:30].sum() * 30 - rows[20])
    assert found.areas[2] == found.object_areas[2].values[0] == pytest.approx(rows[20])
    assert found.areas.sum() == pytest.approx(rows[:99].sum() * 100)


@given(cut_masks(values=(0, 1, 2, 255)))
@settings(max_examples=60, deadline=None)
def test_measurements_do_not_depend_on_the_strips(strips) -> None:
    mask = np.concatenate(strips)
    found, whole = (
        measured(strips, EvenScale(0.1, 0.3, "mm"), 0.7),
        measured([mask], EvenScale(0.1, 0.3, "mm"), 0.7),
    )
    assert found.to_dict() == whole.to_dict()
    assert found.pixels.tolist() == [(mask == index).sum() for index in range(3)]
    assert found.areas.tolist() == pytest.approx((found.pixels * 0.03).tolist())
    for index in (1, 2):
        assert found.object_pixels[index].values @ found.object_pixels[index].counts == found.pixels[index]


@given(st.lists(st.integers(1, 50), min_size=1, max_size=40), st.floats(0, 100))
@settings(max_examples=100, deadline=None)
def test_percentiles_are_those_of_numpy(sizes, percent) -> None:
    found = Sizes.joined([Sizes.of(np.array(sizes[:3])), Sizes.of(np.array(sizes[3:], dtype=np.int64))])
    assert len(found) == len(sizes)
    assert found.percentile(percent) == pytest.approx(np.percentile(sizes, percent))
    summary = found.summary()
    assert (summary["min"], summary["max"], summary["mean"]) == (
        min(sizes),
        max(sizes),
        pytest.approx(np.mean(sizes)),
    )


def test_totals_are_those_of_one_large_picture() -> None:
    generator = np.random.default_rng(0)
    masks = [generator.integers(0, 3, (20, 30)).astype(np.uint8) for _ in range(3)]
    apart = np.full((1, 30), 255, dtype=np.uint8)
    scale = EvenScale(2, 2, "mm")
    together = totals([measured([mask], scale) for mask in masks])
    whole = measured([masks[0], apart, masks[1], apart, masks[2]], scale)
    assert together.to_dict() == replace(whole, ignored_pixels=0).to_dict()


def test_totals_are_in_the_unit_of_the_first() -> None:
    mask = a_planted_square()
    both = totals([measured([mask], pixel_size("1m")), measured([mask], pixel_size("50cm"))])
    assert both.unit == "m"
    assert both.areas.tolist() == pytest.approx([9300 * 1.25, 599 * 1.25, 1.25])
    assert both.object_areas[1].values.tolist() == pytest.approx([599 / 4, 599])
    assert both.object_pixels[1].values.tolist() == [599]
    assert both.object_pixels[1].counts.tolist() == [2]


@pytest.mark.parametrize("other", [None, EvenScale(1, 1, "parsec")], ids=["no scale", "another unit"])
def test_there_is_no_total_area_where_one_is_unknown(other) -> None:
    mask = a_planted_square()
    both = totals([measured([mask], pixel_size("1m")), measured([mask], other)])
    assert both.areas is both.volumes is None
    assert both.unit == ""
    assert both.object_areas == (None, None, None)
    assert both.pixels.tolist() == [18600, 1198, 2]
    assert len(both.object_pixels[1]) == 2


def test_the_volume_of_a_stack() -> None:
    voxel = spacing("2mm,0.5mm,0.5mm")
    slices = [measured([a_planted_square()], voxel.scale, voxel.depth) for _ in range(10)]
    stack = totals(slices)
    assert stack.volumes.tolist() == pytest.approx([93000 * 0.5, 5990 * 0.5, 10 * 0.5])
    assert next(stack.rows())["volume_unit"] == "mm³"
    assert totals([*slices, measured([a_planted_square()], voxel.scale)]).volumes is None


@pytest.mark.parametrize("scale", [None, EvenScale(1, 3, "µm"), GlobeScale(60.0, -1.0, 1.0)])
def test_json_gives_them_back(scale) -> None:
    found = measured([a_planted_square()], scale, 2.0 if scale else None)
    read = Measurements.from_dict(json.loads(json.dumps(found.to_dict())))
    assert read.to_dict() == found.to_dict()
    assert totals([read, read]).to_dict() == totals([found, found]).to_dict()


def test_rows_are_a_table() -> None:
    found = measured([np.zeros((2, 2), np.uint8)])
    text = io.StringIO()
    writer = csv.DictWriter(text, next(found.rows()).keys())
    writer.writeheader()
    writer.writerows(found.rows())
    ground, house, _ = csv.DictReader(io.StringIO(text.getvalue()))
    assert (ground["pixels"], ground["share"], ground["area"], ground["objects"]) == ("4", "1.0", "", "")
    assert list(map(repr, measured([a_planted_square()]).object_pixels[1].summary().values()))[::7] == [
        "599",
        "599.0",
    ]
    assert (house["pixels"], house["share"], house["objects"], house["object_pixels_p50"]) == ("0", "0.0", "0", "")


def test_of_nothing_there_is_nothing_to_say() -> None:
    found = measured([np.full((3, 3), 255, np.uint8)], EvenScale(1, 1, "m"))
    assert [row["share"] for row in found.rows()] == [None] * 3
    assert measured([], EvenScale(1, 1, "m")).areas.tolist() == [0, 0, 0]
