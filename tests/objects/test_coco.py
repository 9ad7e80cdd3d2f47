"""COCO as pycocotools reads it, and as our own reader does."""

import json

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from PIL import Image
from pycocotools import mask as cocomask
from pycocotools.coco import COCO

from intarsia.data.index import open_dataset
from intarsia.data.sources import read_source
from intarsia.errors import DataError
from intarsia.objects import coco
from tests.objects.masks import cut_masks
from tests.objects.test_regions import regions_of

NAMES = ("ground", "house", "water")


def record_of(mask: np.ndarray, name: str = "a.png") -> dict:
    return coco.record(regions_of([mask], [1, 2], outlines=True), name, *mask.shape)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # inside pycocotools
@given(cut_masks())
@settings(max_examples=100, deadline=None)
def test_pycocotools_gives_the_mask_back(strips) -> None:
    mask = np.concatenate(strips)
    record = record_of(mask)
    drawn = np.zeros_like(mask)
    for annotation in json.loads(json.dumps(record))["annotations"]:
        shapes = annotation["segmentation"]
        packed = cocomask.merge(cocomask.frPyObjects(shapes, *mask.shape)) if isinstance(shapes, list) else shapes
        inside = cocomask.decode(packed)
        assert inside.sum() == annotation["area"]
        assert cocomask.toBbox(packed).tolist() == annotation["bbox"]
        drawn += inside * np.uint8(annotation["category_id"] - 1)
    assert np.array_equal(drawn, mask)


def test_an_object_with_a_hole_by_hand() -> None:
    mask = np.zeros((4, 5), dtype=np.uint8)
    mask[:3, 1:4] = 2
    mask[1, 2] = 0
    (annotation,) = record_of(mask)["annotations"]
    outline = regions_of([mask], [2], outlines=True).outlines[0]
    assert coco.run_lengths(outline, 4, 5).tolist() == [4, 3, 1, 1, 1, 1, 1, 3, 5]
    assert annotation == {
        "category_id": 3,
        "bbox": [1, 0, 3, 3],
        "area": 8,
        "segmentation": {"size": [4, 5], "counts": annotation["segmentation"]["counts"]},
        "iscrowd": 0,
    }


def test_columns_that_are_full_run_into_each_other() -> None:
    assert coco.run_lengths(shapely.box(1, 0, 3, 4), 4, 5).tolist() == [4, 8, 8]
    assert coco.run_lengths(shapely.box(0, 0, 5, 4), 4, 5).tolist() == [0, 20, 0]


def test_slanting_edges_take_the_pixels_whose_centres_are_inside() -> None:
    lengths = coco.run_lengths(shapely.Polygon([(0, 0), (4, 0), (0, 4)]), 4, 4)
    inside = np.repeat(np.arange(len(lengths)) % 2 == 1, lengths).reshape(4, 4).T
    y, x = np.mgrid[:4, :4] + 0.5
    assert np.array_equal(inside, x + y < 4)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # inside pycocotools
def test_files_of_pictures_are_joined_in_one_order(tmp_path) -> None:
    generator = np.random.default_rng(0)
    masks = {name: generator.integers(0, 3, (9, 11)).astype(np.uint8) for name in ("b.png", "a.png", "c.png")}
    records = [record_of(mask, name) for name, mask in masks.items()]
    joined = coco.joined(records, NAMES)
    assert coco.joined(records[::-1], NAMES) == joined
    assert [image["file_name"] for image in joined["images"]] == ["a.png", "b.png", "c.png"]
    assert [one["id"] for one in joined["annotations"]] == list(range(1, len(joined["annotations"]) + 1))
    assert joined["categories"] == [{"id": index + 1, "name": name} for index, name in enumerate(NAMES)]
    file = tmp_path / "all.json"
    file.write_text(json.dumps(joined))
    reader = COCO(file)
    for image in reader.loadImgs(reader.getImgIds()):
        drawn = np.zeros((9, 11), dtype=np.uint8)
        for annotation in reader.loadAnns(reader.getAnnIds(imgIds=image["id"])):
            drawn[reader.annToMask(annotation) == 1] = annotation["category_id"] - 1
        assert np.array_equal(drawn, masks[image["file_name"]])


def test_our_own_reader_gives_the_mask_back(tmp_path) -> None:
    mask = np.random.default_rng(1).choice([0, 1, 2], size=(30, 40), p=[0.2, 0.6, 0.2]).astype(np.uint8)
    (tmp_path / "images").mkdir()
    Image.fromarray(mask * 90).save(tmp_path / "images" / "a.png")
    record = coco.record(regions_of([mask], [0, 1, 2], outlines=True), "a.png", *mask.shape)
    (tmp_path / "annotations.json").write_text(json.dumps(coco.joined([record], NAMES)))
    dataset = open_dataset(tmp_path)
    ((pair,),) = dataset.splits.values()
    drawn = dataset.labels.encode(read_source(pair.mask, mask.shape))
    assert np.array_equal(np.array(dataset.labels.names)[drawn], np.array(NAMES)[mask])


def test_what_run_lengths_cannot_count_is_refused() -> None:
    ring = shapely.box(0, 0, 9, 9).difference(shapely.box(1, 1, 2, 2))
    with pytest.raises(DataError, match="100000x100000 pixels has more than COCO's run lengths can count"):
        coco.segmentation(ring, 100_000, 100_000)
    assert coco.segmentation(shapely.box(0, 0, 9, 9.25), 100_000, 100_000) == [
        [9.0, 0.0, 9.0, 9.25, 0.0, 9.25, 0.0, 0.0]
    ]
