"""Objects as GeoJSON, one polygon for each.

Coordinates are those of the picture's coordinate reference system. RFC 7946 knows longitude and latitude on WGS 84
only; for any other system the collection names it in the member `crs` of the GeoJSON of 2008, which GDAL and QGIS
read and most web maps ignore. A picture without a place has pixel coordinates, x to the right and y down: programs
of maps show it upside down.
"""

import json
import math
import re
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from intarsia.objects.regions import Objects
from intarsia.objects.units import short
from intarsia.raster.contract import Georeference

_FINEST = 5  # decimal places of a pixel's size that are written
_CODE = re.compile(r'(?:AUTHORITY|ID)\["(\w+)",\s*"?(\w+)"?\]\s*\]\s*$')  # of the whole system: it stands last
_OF_THE_STANDARD = (("EPSG", "4326"), ("OGC", "CRS84"))


def features(
    objects: Objects, names: Sequence[str], georeference: Georeference | None = None, unit: str = ""
) -> Iterator[dict[str, Any]]:
    """A GeoJSON feature of each object, in their order; ids count from 1.

    The outer ring runs counter-clockwise in the coordinates as numbers, holes run clockwise. Coordinates are
    rounded to less than a ten-thousandth of a pixel.

    Args:
        objects: with outlines, which may have been simplified.
        names: of the classes, by class index.
        georeference: where the picture lies; None for pixel coordinates.
        unit: of length; areas are in its square. Not used where the objects have no areas.
    """
    assert objects.outlines is not None, "outlines are asked for with Regions(outlines=True)"
    shapes = _coordinates(objects.outlines, georeference)
    for index, polygons in enumerate(shapes):
        kind = objects.classes[index]
        properties = {
            "class": names[kind],
            "class_index": int(kind),
            "id": index + 1,
            "pixels": int(objects.pixels[index]),
        }
        if objects.areas is not None:
            properties |= {"area": short(objects.areas[index]), "unit": f"{unit}²"}
        geometry = (
            {"type": "Polygon", "coordinates": polygons[0]}
            if len(polygons) == 1
            else {"type": "MultiPolygon", "coordinates": polygons}
        )
        yield {"type": "Feature", "properties": properties, "geometry": geometry}


def collection(
    objects: Objects, names: Sequence[str], georeference: Georeference | None = None, unit: str = ""
) -> dict[str, Any]:
    """All of `features` as a FeatureCollection."""
    return {**_head(georeference), "features": list(features(objects, names, georeference, unit))}


def lines(
    objects: Objects, names: Sequence[str], georeference: Georeference | None = None, unit: str = ""
) -> Iterator[str]:
    """The JSON text of `collection` in pieces, a line for each feature."""
    yield json.dumps(_head(georeference), ensure_ascii=False)[:-1] + ', "features": ['
    comma = "\n"
    for feature in features(objects, names, georeference, unit):
        yield comma + json.dumps(feature, ensure_ascii=False, separators=(",", ":"))
        comma = ",\n"
    yield "\n]}\n"


def crs_name(crs: str) -> str:
    """What `crs` calls a coordinate reference system: the URN of its code, else its WKT, which GDAL reads too.

    Args:
        crs: as WKT; empty for an unknown one.

    Returns:
        An empty text for longitude and latitude on WGS 84, which is the standard's own, and for an unknown one.
    """
    code = _CODE.search(crs)
    if code is None:
        return crs
    return "" if code.groups() in _OF_THE_STANDARD else f"urn:ogc:def:crs:{code[1]}::{code[2]}"


def _head(georeference: Georeference | None) -> dict[str, Any]:
    name = crs_name(georeference.crs) if georeference else ""
    return {
        "type": "FeatureCollection",
        **({"crs": {"type": "name", "properties": {"name": name}}} if name else {}),
    }


def _coordinates(outlines: NDArray[np.object_], georeference: Georeference | None) -> Iterator[list[Any]]:
    """Of each outline its polygons, as lists of rings of [x, y]."""
    if not len(outlines):
        return
    parts, owners = shapely.get_parts(outlines, return_index=True)
    _, points, (ring_ends, part_ends) = shapely.to_ragged_array(parts)
    points = _placed(points, georeference)
    outer = np.zeros(len(ring_ends) - 1, dtype=np.bool_)
    outer[part_ends[:-1]] = True
    numbers = np.repeat(np.arange(len(outer)), np.diff(ring_ends))
    turned = shapely.is_ccw(shapely.linearrings(points, indices=numbers)) != outer
    if (points == points.round()).all():
        points = points.astype(np.int64)  # 3, not 3.0
    last = np.searchsorted(owners, np.arange(len(outlines)), side="right")
    part = 0
    for end in last:
        polygons = []
        for first, after in zip(part_ends[part:end], part_ends[part + 1 : end + 1], strict=True):
            rings = [points[ring_ends[ring] : ring_ends[ring + 1]].tolist() for ring in range(first, after)]
            polygons.append([ring[::-1] if turned[first + number] else ring for number, ring in enumerate(rings)])
        part = int(end)
        yield polygons


def _placed(points: NDArray[np.float64], georeference: Georeference | None) -> NDArray[np.float64]:
    """[K, 2] pixel coordinates -> the picture's own, rounded."""
    size = 1.0
    if georeference:
        a, b, c, d, e, f = georeference.transform
        x, y = points.T
        points = np.stack([a * x + b * y + c, d * x + e * y + f], axis=1)
        size = min(math.hypot(a, d), math.hypot(b, e))
    places = max(0, _FINEST - math.floor(math.log10(size))) if size else 15
    return np.asarray(points.round(places) + 0.0)  # no -0.0
