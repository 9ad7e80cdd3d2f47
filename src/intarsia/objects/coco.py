"""Objects as COCO annotations: a record for each picture, and one file of all.

Category ids are class indices + 1, as COCO's own count from 1. An object without holes is a list of polygons; one
with holes is run lengths (RLE), because COCO's polygons cannot leave anything out. `iscrowd` is 0 in both.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from pycocotools import mask as cocomask

from intarsia.errors import DataError
from intarsia.objects.regions import Objects

MOST_PIXELS = (1 << 32) - 1
"""Of a picture with objects that have holes: COCO's run lengths are 32-bit numbers."""

_FINEST = 5  # decimal places of a pixel that are written


def record(objects: Objects, file_name: str, height: int, width: int) -> dict[str, Any]:
    """What COCO says of one picture, without ids.

    Args:
        objects: with outlines, which may have been simplified.
        file_name: of the picture.
        height: of the picture in pixels.
        width: of the picture in pixels.

    Raises:
        DataError: the picture has more pixels than run lengths can count, and an object has holes.
    """
    assert objects.outlines is not None, "outlines are asked for with Regions(outlines=True)"
    annotations = []
    for index, outline in enumerate(objects.outlines):
        top, left, bottom, right = objects.boxes[index].tolist()
        annotations.append(
            {
                "category_id": int(objects.classes[index]) + 1,
                "bbox": [left, top, right - left, bottom - top],
                "area": int(objects.pixels[index]),
                "segmentation": segmentation(outline, height, width),
                "iscrowd": 0,
            }
        )
    return {"file_name": file_name, "height": height, "width": width, "annotations": annotations}


def joined(records: Iterable[dict[str, Any]], names: Sequence[str]) -> dict[str, Any]:
    """One COCO file from the records of pictures, whatever order they come in; ids count from 1.

    Args:
        records: of distinct file names.
        names: of the classes, by class index.
    """
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for picture in sorted(records, key=lambda picture: str(picture["file_name"])):
        image = {"id": len(images) + 1, **{key: picture[key] for key in ("file_name", "height", "width")}}
        images.append(image)
        for annotation in picture["annotations"]:
            annotations.append({"id": len(annotations) + 1, "image_id": image["id"], **annotation})
    categories = [{"id": index + 1, "name": name} for index, name in enumerate(names)]
    return {"images": images, "annotations": annotations, "categories": categories}


def segmentation(
    outline: shapely.Polygon | shapely.MultiPolygon, height: int, width: int
) -> list[list[float]] | dict[str, Any]:
    """Polygons [x1, y1, x2, y2, ...] of an outline, or compressed run lengths where it has holes.

    Raises:
        DataError: as `record`.
    """
    parts = shapely.get_parts(outline)
    if not shapely.get_num_interior_rings(parts).any():
        return [_flat(shapely.get_coordinates(part)[:-1]) for part in parts]
    if height * width > MOST_PIXELS:
        raise DataError(
            f"A picture of {height}x{width} pixels has more than COCO's run lengths can count, which objects with "
            "holes need. Write GeoJSON instead."
        )
    plain = {"counts": run_lengths(outline, height, width).tolist(), "size": [height, width]}
    packed = cocomask.frPyObjects(plain, height, width)
    return {"size": [height, width], "counts": packed["counts"].decode("ascii")}


def run_lengths(outline: shapely.Polygon | shapely.MultiPolygon, height: int, width: int) -> NDArray[np.int64]:
    """[N] pixels outside, inside, outside, ... down the columns of a picture, one after the other.

    A pixel is inside when its centre is (even-odd rule); an outline along pixel edges comes back exactly.
    """
    points, rings = shapely.get_coordinates(shapely.get_rings(shapely.get_parts(outline)), return_index=True)
    within = np.flatnonzero(rings[1:] == rings[:-1])
    (x1, y1), (x2, y2) = points[within].T, points[within + 1].T
    first, last = (np.clip(np.ceil(x - 0.5), 0, width).astype(np.int64) for x in (np.fmin(x1, x2), np.fmax(x1, x2)))
    edges = np.repeat(np.arange(len(within)), last - first)  # each once for each column whose middle it crosses
    columns = np.arange(len(edges)) + np.repeat(first - (np.cumsum(last - first) - (last - first)), last - first)
    slopes = (y2[edges] - y1[edges]) / (x2[edges] - x1[edges])
    crossings = y1[edges] + (columns + 0.5 - x1[edges]) * slopes
    rows = np.clip(np.ceil(crossings - 0.5), 0, height).astype(np.int64)
    changes, times = np.unique(columns * height + rows, return_counts=True)
    return np.asarray(np.diff(changes[times % 2 == 1], prepend=0, append=height * width))


def _flat(points: NDArray[np.float64]) -> list[float]:
    whole = (points == points.round()).all()  # 3, not 3.0
    flat: list[Any] = (points.astype(np.int64) if whole else points.round(_FINEST)).ravel().tolist()
    return flat
