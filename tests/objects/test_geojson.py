"""GeoJSON: coordinates, orientation, names of coordinate systems, numbers."""

import json

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from rasterio.crs import CRS
from rasterio.features import rasterize
from shapely.geometry import shape

from intarsia.objects import geojson
from intarsia.objects.outlines import simplified
from intarsia.raster.contract import EvenScale, Georeference
from tests.objects.masks import cut_masks
from tests.objects.test_regions import regions_of

NAMES = ("ground", "Häuser", "water")
UTM = CRS.from_epsg(32633).to_wkt()
NORTH_UP = Georeference(UTM, (0.1, 0, 500_000.3, 0, -0.1, 4_000_000))
TURNED = Georeference(UTM, (0.3, 0.4, -7, 0.4, -0.3, 12))


def a_ring() -> np.ndarray:
    mask = np.zeros((5, 6), dtype=np.uint8)
    mask[1:4, 1:4] = 1
    mask[2, 2] = 0
    return mask


def test_pixel_coordinates_by_hand() -> None:
    found = regions_of([a_ring()], [1], outlines=True)
    assert geojson.collection(found, NAMES) == {
        "type": "FeatureCollection",
        "features": [
            {
                "type": "Feature",
                "properties": {"class": "Häuser", "class_index": 1, "id": 1, "pixels": 8},
                "geometry": {
                    "type": "Polygon",
                    "coordinates": [
                        [[1, 1], [4, 1], [4, 4], [1, 4], [1, 1]],
                        [[2, 2], [2, 3], [3, 3], [3, 2], [2, 2]],
                    ],
                },
            }
        ],
    }


def test_coordinates_of_the_source_are_short_and_areas_have_their_unit() -> None:
    found = regions_of([a_ring()], [1], outlines=True, areas=EvenScale(0.1, 0.1, "m").areas)
    (feature,) = geojson.features(found, NAMES, NORTH_UP, "m")
    assert feature["geometry"]["coordinates"][0] == [
        [500000.4, 3999999.9],
        [500000.4, 3999999.6],
        [500000.7, 3999999.6],
        [500000.7, 3999999.9],
        [500000.4, 3999999.9],
    ]
    assert feature["properties"] == {
        "class": "Häuser",
        "class_index": 1,
        "id": 1,
        "pixels": 8,
        "area": pytest.approx(0.08),
        "unit": "m²",
    }


@pytest.mark.parametrize("georeference", [None, NORTH_UP, TURNED], ids=["pixels", "north up", "turned"])
@given(strips=cut_masks())
@settings(max_examples=40, deadline=None)
def test_every_ring_runs_as_the_standard_asks(georeference, strips) -> None:
    found = regions_of(strips, [1, 2], outlines=True)
    text = "".join(geojson.lines(found, NAMES, georeference))
    read = json.loads(text)
    assert read == json.loads(json.dumps(geojson.collection(found, NAMES, georeference)))
    assert [one["properties"]["id"] for one in read["features"]] == list(range(1, len(found) + 1))
    a, b, _, d, e, _ = georeference.transform if georeference else (1, 0, 0, 0, 1, 0)
    for feature, pixels in zip(read["features"], found.pixels, strict=True):
        polygon = shape(feature["geometry"])
        assert polygon.is_valid
        assert polygon.area == pytest.approx(pixels * abs(a * e - b * d), rel=1e-3)
        assert polygon.exterior.is_ccw
        assert not any(hole.is_ccw for hole in polygon.interiors)


def test_rasterio_burns_it_where_it_was() -> None:
    mask = np.random.default_rng(0).integers(0, 3, (40, 50)).astype(np.uint8)
    found = regions_of([mask], [1, 2], outlines=True)
    read = geojson.collection(found, NAMES, NORTH_UP)
    a, b, c, d, e, f = NORTH_UP.transform
    burned = rasterize(
        [(feature["geometry"], feature["properties"]["class_index"]) for feature in read["features"]],
        mask.shape,
        transform=(a, b, c, d, e, f),
        dtype="uint8",
    )
    assert np.array_equal(burned, mask)


def test_simplified_outlines_of_several_parts_are_multipolygons() -> None:
    found = regions_of([a_ring()], [1], outlines=True)
    found.outlines[0] = shapely.MultiPolygon([shapely.box(0, 0, 1, 2), shapely.box(3, 3, 4.5, 5)])
    (feature,) = geojson.features(found, NAMES)
    assert feature["geometry"]["type"] == "MultiPolygon"
    assert shape(feature["geometry"]).equals(found.outlines[0])
    found.outlines[0] = simplified(regions_of([a_ring()], [1], outlines=True).outlines[0], 0.5)
    assert next(geojson.features(found, NAMES))["geometry"]["type"] == "Polygon"


@pytest.mark.parametrize(
    ("crs", "name"),
    [
        ("", ""),
        (UTM, "urn:ogc:def:crs:EPSG::32633"),
        (CRS.from_epsg(32633).to_wkt(version="WKT2_2019"), "urn:ogc:def:crs:EPSG::32633"),
        (CRS.from_epsg(3857).to_wkt(), "urn:ogc:def:crs:EPSG::3857"),
        (CRS.from_epsg(4258).to_wkt(), "urn:ogc:def:crs:EPSG::4258"),
        (CRS.from_epsg(4326).to_wkt(), ""),
        ('LOCAL_CS["of the mine",UNIT["metre",1,AUTHORITY["EPSG","9001"]]]',) * 2,
    ],
)
def test_names_of_coordinate_systems(crs, name) -> None:
    assert geojson.crs_name(crs) == name
    found = regions_of([a_ring()], [1], outlines=True)
    written = geojson.collection(found, NAMES, Georeference(crs, (1, 0, 0, 0, -1, 0)))
    assert written.get("crs") == ({"type": "name", "properties": {"name": name}} if name else None)


def test_no_objects_are_a_collection_too() -> None:
    found = regions_of([np.zeros((3, 3), np.uint8)], [1], outlines=True)
    assert json.loads("".join(geojson.lines(found, NAMES))) == {"type": "FeatureCollection", "features": []}
