"""Supervisely: projects of several datasets, each kind of object, and files that say something wrong."""

import base64
import shutil
import zlib

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from intarsia.data.formats import open_format, supervisely
from intarsia.data.formats.supervisely import PixelPolygon
from intarsia.data.index import find_dataset, open_dataset
from intarsia.data.pairs import read_pair
from intarsia.errors import DataError
from tests.data.formats.annotated import (
    assert_scenes,
    corners,
    drawn,
    supervisely_bitmap,
    supervisely_scene,
    supervisely_shape,
    write_json,
    write_supervisely,
)
from tests.data.formats.annotated import supervisely as content_of
from tests.data.formats.layouts import HEIGHT, NAMES, WIDTH, names, save, scene, strays, write

CLASSES = {"classes": [{"title": "road", "color": "#804080"}, {"title": "car"}, {"title": "never drawn"}]}


def write_set(root, dataset="my set", of=NAMES):
    write_json(root / "meta.json", CLASSES)
    for name in of:
        save(root / dataset / f"img/{name}.jpg", scene(name)[0])
        write_json(root / dataset / f"ann/{name}.jpg.json", supervisely_scene(name))
    return root


def one(root, *objects):
    """The mask of a picture with some objects."""
    write_set(root, of="a")
    write_json(root / "my set/ann/a.jpg.json", content_of(*objects))
    return drawn(open_format(root))["my set/a"]


def filled(where, value=1):
    expected = np.zeros((HEIGHT, WIDTH))
    expected[where] = value
    return expected


def test_datasets_that_are_splits(tmp_path):
    write_supervisely(tmp_path)
    dataset = find_dataset(tmp_path)
    assert dataset.format == "supervisely"
    assert_scenes(dataset)
    assert dataset.labels.colors[1:] == ((128, 64, 128), (0, 0, 142))
    image, mask = read_pair(dataset.splits["train"][1], dataset.labels)
    assert image.shape == (HEIGHT, WIDTH, 3)
    np.testing.assert_array_equal(mask, scene("b")[1])
    assert dataset.splits["val"][0].files == (tmp_path / "val/img/d.jpg", tmp_path / "val/ann/d.jpg.json")


def test_datasets_that_are_no_splits(tmp_path):
    for name in ("day", "night", "day/datasets/early"):
        write_set(tmp_path, name, of="ab")
    dataset = open_format(tmp_path)
    assert names(dataset) == {"train": ["day/a", "day/b", "day/early/a", "day/early/b", "night/a", "night/b"]}
    np.testing.assert_array_equal(drawn(dataset)["night/b"], scene("b")[1])
    assert dataset.labels.names == ("background", "road", "car", "never drawn")
    assert dataset.labels.colors[1] == (128, 64, 128)
    assert set(open_dataset(tmp_path).splits) == {"train", "val"}


def test_datasets_beside_and_below_splits(tmp_path):
    for name in ("train/datasets/day", "train", "Validation", "odd"):
        write_set(tmp_path, name, of="a")
    dataset = open_format(tmp_path)
    assert names(dataset) == {"train": ["a", "day/a"], "val": ["a"]}
    assert strays(dataset, tmp_path) == [("unpaired", ["odd/img/a.jpg"])]


def test_a_project_of_one_dataset_without_a_folder(tmp_path):
    write_set(tmp_path, ".")
    assert names(open_format(tmp_path)) == {"train": list(NAMES)}


def test_annotations_named_without_the_images_suffix(tmp_path):
    write_set(tmp_path)
    for name in NAMES:
        (tmp_path / f"my set/ann/{name}.jpg.json").rename(tmp_path / f"my set/ann/{name}.json")
    dataset = open_format(tmp_path)
    assert [pair.image.name for pair in dataset.splits["train"]] == [f"{name}.jpg" for name in NAMES]
    assert names(dataset) == {"train": [f"my set/{name}" for name in NAMES]}


@pytest.mark.parametrize("name", ["my picture", "häuser", "two\nlines", "1:2?", "a.b", "名前"])
def test_names_of_files(tmp_path, name):
    write_set(tmp_path, of="")
    save(tmp_path / f"set/img/{name}.jpg", scene("a")[0])
    write_json(tmp_path / f"set/ann/{name}.jpg.json", supervisely_scene("a"))
    assert list(drawn(open_format(tmp_path))) == [f"set/{name}"]


# --- shapes ------------------------------------------------------------------------------------------------------


def test_the_border_of_a_polygon_belongs_to_it(tmp_path):
    shape = supervisely_shape("road", "polygon", corners(1, 1, 4, 3))
    np.testing.assert_array_equal(one(tmp_path, shape), filled(np.s_[1:4, 1:5]))


def test_a_hole_and_its_border(tmp_path):
    shape = supervisely_shape("road", "polygon", corners(0, 0, 7, 5), [corners(2, 2, 4, 3)])
    expected = filled(np.s_[:])
    expected[2:4, 2:5] = 0
    np.testing.assert_array_equal(one(tmp_path, shape), expected)


def test_coordinates_between_pixels(tmp_path):
    shape = supervisely_shape("road", "polygon", corners(1.9, 1.5, 4.2, 3.99))
    np.testing.assert_array_equal(one(tmp_path, shape), filled(np.s_[1:4, 1:5]))


def test_rectangles(tmp_path):
    shape = supervisely_shape("car", "rectangle", [[5, 3], [2, 1]])
    np.testing.assert_array_equal(one(tmp_path, shape), filled(np.s_[1:4, 2:6], 2))


@pytest.mark.parametrize("origin", [[5, 3], [[5, 3]]])
def test_bitmaps(tmp_path, origin):
    inside = np.array([[1, 0, 1, 1], [0, 1, 1, 1]])
    expected = filled(np.s_[3:5, 5:8], 2)
    expected[3, 6] = expected[4, 5] = 0
    np.testing.assert_array_equal(one(tmp_path, supervisely_bitmap("car", inside, origin)), expected)


def test_an_object_that_does_not_say_its_kind(tmp_path):
    road, car = supervisely_scene("a")["objects"]
    del road["geometryType"], car["geometryType"]
    np.testing.assert_array_equal(one(tmp_path, road, car), scene("a")[1])


def test_later_objects_are_on_top(tmp_path):
    below = supervisely_shape("car", "rectangle", [[0, 0], [7, 5]])
    above = supervisely_shape("road", "rectangle", [[0, 0], [3, 5]])
    np.testing.assert_array_equal(one(tmp_path, below, above), [[1] * 4 + [2] * 4] * HEIGHT)


corner = st.tuples(st.integers(-3, 14), st.integers(-3, 12))


@given(st.lists(corner, min_size=3, max_size=7), st.lists(corner, min_size=3, max_size=5))
def test_polygons_are_those_of_opencv(exterior, hole):
    rings = [np.array(points, dtype=np.int32) for points in (exterior, hole)]
    expected = np.zeros((10, 12), dtype=np.uint8)
    cv2.fillPoly(expected, rings[:1], 1)
    cv2.fillPoly(expected, rings[1:], 0)
    canvas = np.zeros((10, 12), dtype=np.uint16)
    PixelPolygon(1, rings[0], (rings[1],))(canvas)
    np.testing.assert_array_equal(canvas, expected)


@pytest.mark.parametrize("shift", [-100, 100, -(10**8), 10**8])
def test_polygons_beyond_the_canvas(shift):
    canvas = np.zeros((10, 12), dtype=np.uint16)
    triangle = np.array([[0, 0], [9, 0], [9, 9]], dtype=np.int32)
    PixelPolygon(1, triangle + shift)(canvas)
    assert not canvas.any()
    whole = np.array(corners(-1e8, -1e8, 1e8, 1e8)).astype(np.int32)
    PixelPolygon(1, whole)(canvas)
    assert canvas.all()


PACKED = base64.b64encode(zlib.compress(b"x")).decode()
USELESS = {
    "point": supervisely_shape("car", "point", [[1, 1]]),
    "line": supervisely_shape("car", "line", [[1, 1], [2, 2], [3, 1]]),
    "graph": {"classTitle": "car", "geometryType": "graph", "nodes": {}},
    "polygon of two": supervisely_shape("car", "polygon", [[1, 1], [2, 2]]),
    "rectangle of three": supervisely_shape("car", "rectangle", [[1, 1], [2, 2], [3, 3]]),
    "texts": supervisely_shape("car", "polygon", [["a", "b"]] * 3),
    "far away": supervisely_shape("car", "polygon", [[1, 1], [1e9, 1], [2, 2]]),
    "a broken hole": supervisely_shape("car", "polygon", corners(0, 0, 5, 5), [5]),
    "no points": {"classTitle": "car", "geometryType": "polygon", "points": None},
    "points of a list": {"classTitle": "car", "geometryType": "polygon", "points": [[1, 1]]},
    "no bitmap": {"classTitle": "car", "geometryType": "bitmap"},
    "a bitmap without data": {"classTitle": "car", "geometryType": "bitmap", "bitmap": {"origin": [1, 1]}},
    "no origin": {"classTitle": "car", "geometryType": "bitmap", "bitmap": {"data": PACKED}},
    "two origins": {
        "classTitle": "car",
        "geometryType": "bitmap",
        "bitmap": {"data": PACKED, "origin": [1, 1, 2, 2]},
    },
    "no base64": {"classTitle": "car", "geometryType": "bitmap", "bitmap": {"data": "ü", "origin": [1, 1]}},
    "not packed": {"classTitle": "car", "geometryType": "bitmap", "bitmap": {"data": "AAAA", "origin": [1, 1]}},
}


@pytest.mark.parametrize("shape", USELESS.values(), ids=USELESS)
def test_objects_that_enclose_nothing_are_left_out(tmp_path, shape):
    write_set(tmp_path, of="a")
    road = supervisely_shape("road", "rectangle", [[0, 0], [7, 5]])
    write_json(tmp_path / "my set/ann/a.jpg.json", content_of(road, shape))
    dataset = open_format(tmp_path)
    assert strays(dataset, tmp_path) == [("bad-shape", ["my set/ann/a.jpg.json"])]
    kind = shape["geometryType"]
    about = f"1 annotation without a usable shape, for example objects.1 of a.jpg.json ({kind})"
    assert dataset.strays[0].about == about
    assert (drawn(dataset)["my set/a"] == 1).all()


def test_a_damaged_bitmap_is_an_error_of_its_pair(tmp_path):
    bitmap = {"classTitle": "car", "geometryType": "bitmap", "bitmap": {"data": PACKED, "origin": [1, 1]}}
    with pytest.raises(DataError, match=r"a\.jpg\.json: a piece of mask cannot be decoded as PNG"):
        one(tmp_path, bitmap)


def test_a_bitmap_is_not_unpacked_without_end(tmp_path, monkeypatch):
    monkeypatch.setattr(supervisely, "_MOST_BYTES", 20)
    with pytest.raises(DataError, match=r"a\.jpg\.json: a piece of mask cannot be decoded as PNG"):
        one(tmp_path, supervisely_bitmap("car", np.ones((2, 2)), [0, 0]))


def test_an_image_without_objects_is_all_background(tmp_path):
    assert not one(tmp_path).any()


# --- what is missing or too much ---------------------------------------------------------------------------------


def test_what_has_no_partner(tmp_path):
    write_set(tmp_path)
    (tmp_path / "my set/img/b.jpg").unlink()
    (tmp_path / "my set/ann/c.jpg.json").unlink()
    write_json(tmp_path / "my set/img_info/a.jpg.json", {"name": "a.jpg"})
    dataset = open_format(tmp_path)
    assert names(dataset) == {"train": ["my set/a", "my set/d"]}
    assert strays(dataset, tmp_path) == [
        ("missing-image", ["my set/img/b.jpg"]),
        ("unpaired", ["my set/img/c.jpg"]),
    ]


def test_two_annotations_of_one_picture(tmp_path):
    write_set(tmp_path)
    shutil.copy(tmp_path / "my set/ann/a.jpg.json", tmp_path / "my set/ann/a.json")
    dataset = find_dataset(tmp_path)
    assert strays(dataset, tmp_path) == [("ambiguous", ["my set/img/a.jpg"])]


def test_no_picture_at_all(tmp_path):
    write_set(tmp_path)
    shutil.rmtree(tmp_path / "my set/img")
    with pytest.raises(DataError, match=r"none of its 4 images is there, for example .*my set/img/a\.jpg"):
        open_format(tmp_path)


def test_no_annotation_at_all(tmp_path):
    write_json(tmp_path / "meta.json", CLASSES)
    (tmp_path / "set/ann").mkdir(parents=True)
    with pytest.raises(DataError, match=r"none of its 0 images is there\."):
        open_format(tmp_path)


# --- files that say something wrong ------------------------------------------------------------------------------

WRONG = {
    "a list": ([], r"the file is \[\]: input should be a valid dictionary\."),
    "no size": ({"objects": []}, "size is missing"),
    "a height of text": (
        content_of() | {"size": {"height": "tall", "width": 8}},
        r"size\.height is 'tall': input sh",
    ),
    "objects that are none": (
        content_of() | {"objects": {"a": 1}},
        r"objects is \{'a': 1\}: input should be a valid",
    ),
    "an object that is a list": (content_of() | {"objects": [[]]}, r"objects\.0 is \[\]: input should be a valid"),
    "an object without a class": (content_of({"points": {}}), r"objects\.0\.classTitle is missing"),
    "an unknown class": (
        content_of({"classTitle": "raod"}),
        r"has an object of class 'raod', which meta\.json does not have\. Did you mean 'road'\?",
    ),
}


@pytest.mark.parametrize(("content", "message"), WRONG.values(), ids=WRONG)
def test_wrong_contents_name_file_and_key(tmp_path, content, message):
    write_set(tmp_path)
    write_json(tmp_path / "my set/ann/b.jpg.json", content)
    with pytest.raises(DataError, match=rf"b\.jpg\.json: {message}"):
        open_format(tmp_path)


@pytest.mark.parametrize("content", ["", "{", "\xff"])
def test_files_that_are_no_json(tmp_path, content):
    write_set(tmp_path)
    (tmp_path / "my set/ann/b.jpg.json").write_bytes(content.encode("latin-1"))
    with pytest.raises(DataError, match=r"b\.jpg\.json: is not "):
        open_format(tmp_path)


def test_wrong_classes(tmp_path):
    write_set(tmp_path)
    write(tmp_path / "meta.json", '{"classes": [{"name": "road"}]}')
    with pytest.raises(DataError, match=r"meta\.json: classes\.0\.title is missing"):
        open_format(tmp_path)


def test_what_is_not_supervisely_is_not_recognised(tmp_path):
    write_set(tmp_path)
    assert supervisely.recognise(tmp_path)
    assert not supervisely.recognise(tmp_path / "my set")
    shutil.rmtree(tmp_path / "my set")
    assert not supervisely.recognise(tmp_path)
    write(tmp_path / "other/ann/a.json", "{}")
    write(tmp_path / "meta.json", '{"names": []}')
    for path in (tmp_path, tmp_path / "meta.json", tmp_path / "none"):
        assert not supervisely.recognise(path)
