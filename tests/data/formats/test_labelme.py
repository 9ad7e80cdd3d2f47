"""labelme: where its files may lie, each kind of shape, and files that say something wrong."""

import base64
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from intarsia.data.formats import labelme, open_format
from intarsia.data.index import find_dataset, open_dataset
from intarsia.data.pairs import read_pair
from intarsia.errors import DataError
from tests.data.formats.annotated import assert_scenes, drawn, write_json, write_labelme
from tests.data.formats.annotated import labelme as content_of
from tests.data.formats.layouts import HEIGHT, NAMES, WIDTH, names, save, scene, strays, write


def write_set(root, image="{}.jpg", file="{}.json", told="{}.jpg", of=NAMES):
    for name in of:
        save(root / image.format(name), scene(name)[0])
        write_json(root / file.format(name), content_of(name, told.format(name)))


def write_one(root, *shapes, **more):
    save(root / "a.jpg", scene("a")[0])
    return write_json(root / "a.json", content_of("a", "a.jpg") | {"shapes": list(shapes)} | more)


def test_splits_and_a_list_of_labels(tmp_path):
    write_labelme(tmp_path)
    dataset = find_dataset(tmp_path)
    assert dataset.format == "labelme"
    assert_scenes(dataset)
    image, mask = read_pair(dataset.splits["train"][2], dataset.labels)
    assert image.shape == (HEIGHT, WIDTH, 3)
    np.testing.assert_array_equal(mask, scene("c")[1])
    assert dataset.splits["val"][0].files == (tmp_path / "val/d.jpg", tmp_path / "val/d.json")


PLACES = {
    "beside": ("{}.jpg", "{}.json", "{}.jpg"),
    "upper case": ("{}.JPG", "{}.JSON", "{}.JPG"),
    "with --output": ("images/{}.jpg", "labels/{}.json", "../images/{}.jpg"),
    "from Windows": ("images/{}.jpg", "labels/{}.json", "..\\images\\{}.jpg"),
    "of another computer": ("{}.jpg", "{}.json", "C:\\Users\\me\\{}.jpg"),
    "an absolute path": ("{}.jpg", "{}.json", "/home/me/{}.jpg"),
    "a path out of the folder": ("{}.jpg", "{}.json", "../../../{}.jpg"),
    "only the name": ("images/{}.png", "json/{}.json", "other {}.jpg"),
    "another folder of images": ("img/{}.png", "ann/{}.json", ""),
    "nothing said": ("{}.png", "{}.json", ""),
}


@pytest.mark.parametrize(("image", "file", "told"), PLACES.values(), ids=PLACES)
def test_where_image_and_file_may_be(tmp_path, image, file, told):
    for name in NAMES:
        save(tmp_path.parent / f"{name}.jpg", np.zeros((9, 9, 3), np.uint8))  # must not be taken
    write_set(tmp_path, image, file, told)
    dataset = open_format(tmp_path)
    assert names(dataset) == {"train": list(NAMES)}
    assert [pair.image for pair in dataset.splits["train"]] == [tmp_path / image.format(name) for name in NAMES]
    assert dataset.labels.names == ("background", "car", "road")
    np.testing.assert_array_equal(drawn(dataset)["b"], np.array([0, 2, 1])[scene("b")[1]])
    assert dataset.strays == ()
    assert set(open_dataset(tmp_path).splits) == {"train", "val"}


@pytest.mark.parametrize("told", ["photo.jpg", "/home/me/photo.jpg", "C:\\me\\photo.jpg", "../photo.jpg"])
def test_an_image_of_another_name_than_its_file(tmp_path, told):
    save(tmp_path / "photo.jpg", scene("a")[0])
    save(tmp_path / "other.jpg", scene("b")[0])
    write_json(tmp_path / "a.json", content_of("a", told))
    (pair,) = open_format(tmp_path).splits["train"]
    assert (pair.name, pair.image) == ("a", tmp_path / "photo.jpg")


@pytest.mark.parametrize(
    ("image", "file", "name"),
    [
        ("train/{}.jpg", "train/{}.json", "a"),
        ("images/train/{}.jpg", "labels/train/{}.json", "a"),
        ("train/images/{}.jpg", "train/labels/{}.json", "a"),
        ("training/day/{}.jpg", "training/day/{}.json", "day/a"),
        ("images/train/day/{}.jpg", "labels/train/day/{}.json", "day/a"),
        ("train/{}.jpg", "json/{}.json", "a"),
        ("day/{}.jpg", "day/{}.json", "day/a"),
    ],
)
def test_names_below_the_split(tmp_path, image, file, name):
    write_set(tmp_path, image, file, told="../" * file.count("/") + image, of="a")
    assert names(open_format(tmp_path)) == {"train": [name]}


def test_names_stay_unique(tmp_path):
    write_set(tmp_path, "x/{}.jpg", "x/{}.json", of="a")
    for folder in ("y", "z"):
        write_set(tmp_path, f"{folder}/img/{{}}.jpg", f"{folder}/ann/{{}}.json", "../img/{}.jpg", of="a")
        write_set(tmp_path, f"img/{folder}.jpg", f"{folder}/{{}}.json", f"../img/{folder}.jpg", of="a")
    assert names(open_format(tmp_path)) == {"train": ["x/a", "y/a", "y/ann/a", "z/a", "z/ann/a"]}


@pytest.mark.parametrize("name", ["my picture", "häuser", "two\nlines", "1:2?", "a.b", "名前"])
def test_names_of_files(tmp_path, name):
    save(tmp_path / f"{name}.jpg", scene("a")[0])
    write_json(tmp_path / f"{name}.json", content_of("a", f"{name}.jpg"))
    assert list(drawn(open_format(tmp_path))) == [name]


# --- labels ------------------------------------------------------------------------------------------------------


def test_what_is_ignored_and_what_is_background(tmp_path):
    write_one(
        tmp_path,
        {"label": "road", "points": [[0, 0], [8, 6]], "shape_type": "rectangle"},
        {"label": "__ignore__", "points": [[0, 0], [2, 6]], "shape_type": "rectangle"},
        {"label": "_background_", "points": [[6, 0], [8, 6]], "shape_type": "rectangle"},
    )
    dataset = open_format(tmp_path)
    assert dataset.labels.names == ("background", "road")
    assert dataset.labels.ignore == (255,)
    np.testing.assert_array_equal(drawn(dataset)["a"], [[255, 255, 1, 1, 1, 1, 0, 0]] * HEIGHT)


def test_what_is_ignored_among_more_than_255_classes(tmp_path):
    write(tmp_path / "labels.txt", "\n".join(f"label {number}" for number in range(300)))
    whole = {"points": [[0, 0], [8, 6]], "shape_type": "rectangle"}
    part = {"points": [[0, 0], [1, 6]], "shape_type": "rectangle"}
    write_one(tmp_path, {"label": "label 254", **whole}, {"label": "__ignore__", **part})
    dataset = open_format(tmp_path)
    _, mask = read_pair(dataset.splits["train"][0], dataset.labels)
    assert dataset.labels.names[mask[0, 1]] == "label 254"
    assert mask[0, 0] == dataset.labels.ignore_index


def test_a_label_that_the_list_has_not(tmp_path):
    write_labelme(tmp_path)
    content = content_of("b", "b.jpg")
    content["shapes"][0]["label"] = "raod"
    write_json(tmp_path / "train/b.json", content)
    message = r"train/b\.json: label 'raod' is not in labels\.txt\. Did you mean 'road'\? Rename it, or"
    with pytest.raises(DataError, match=message):
        open_format(tmp_path)


# --- shapes ------------------------------------------------------------------------------------------------------


def piece(array):
    held = BytesIO()
    Image.fromarray(array).save(held, format="PNG")
    return base64.b64encode(held.getvalue()).decode()


PIECE = np.array([[1, 0, 1], [1, 1, 0]], dtype=np.uint8)
SHAPES = {
    "polygon": ({"points": [[1, 1], [4, 1], [4, 3], [1, 3]], "shape_type": "polygon"}, np.s_[1:3, 1:4]),
    "no type": ({"points": [[1, 1], [4, 1], [4, 3], [1, 3]]}, np.s_[1:3, 1:4]),
    "rectangle": ({"points": [[4, 3], [1, 1]], "shape_type": "rectangle"}, np.s_[1:3, 1:4]),
    "rectangle of four": (
        {"points": [[1, 1], [4, 1], [4, 3], [1, 3]], "shape_type": "rectangle"},
        np.s_[1:3, 1:4],
    ),
    "turned": ({"points": [[1, 1], [4, 1], [4, 3], [1, 3]], "shape_type": "oriented_rectangle"}, np.s_[1:3, 1:4]),
    "circle": ({"points": [[4, 3], [5, 4]], "shape_type": "circle"}, np.s_[2:4, 3:5]),
}


@pytest.mark.parametrize(("shape", "where"), SHAPES.values(), ids=SHAPES)
def test_shapes(tmp_path, shape, where):
    write_one(tmp_path, {"label": "thing", **shape})
    expected = np.zeros((HEIGHT, WIDTH))
    expected[where] = 1
    np.testing.assert_array_equal(drawn(open_format(tmp_path))["a"], expected)


def test_a_circle_of_five_pixels(tmp_path):
    write_one(tmp_path, {"label": "thing", "points": [[3, 3], [3, 0.5]], "shape_type": "circle"})
    expected = np.zeros((HEIGHT, WIDTH))
    expected[1:5, 1:5] = 1
    expected[1:5:3, 1:5:3] = 1
    y, x = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    np.testing.assert_array_equal(drawn(open_format(tmp_path))["a"], np.hypot(x - 3, y - 3) < 2.5)


@pytest.mark.parametrize("points", [[[2, 3], [4, 4]], [[1.6, 3.4], [4.2, 4.2]], [[2, 3]]])
def test_masks(tmp_path, points):
    write_one(tmp_path, {"label": "thing", "points": points, "shape_type": "mask", "mask": piece(PIECE)})
    expected = np.zeros((HEIGHT, WIDTH))
    expected[3:5, 2:5] = PIECE
    np.testing.assert_array_equal(drawn(open_format(tmp_path))["a"], expected)


USELESS = {
    "line": {"points": [[0, 0], [5, 5]], "shape_type": "line"},
    "line strip": {"points": [[0, 0], [5, 5], [0, 5]], "shape_type": "linestrip"},
    "point": {"points": [[3, 3]], "shape_type": "point"},
    "points": {"points": [[3, 3], [4, 4], [5, 5]], "shape_type": "points"},
    "polygon of two": {"points": [[0, 0], [5, 5]], "shape_type": "polygon"},
    "rectangle of one": {"points": [[0, 0]], "shape_type": "rectangle"},
    "circle of three": {"points": [[0, 0], [1, 1], [2, 2]], "shape_type": "circle"},
    "no points": {"points": [], "shape_type": "polygon"},
    "nothing": {"shape_type": "polygon"},
    "texts": {"points": [["a", "b"]] * 3, "shape_type": "polygon"},
    "a dict": {"points": {"x": 1}, "shape_type": "polygon"},
    "not a number": {"points": [[0, 0], [float("nan"), 5], [5, 5]], "shape_type": "polygon"},
    "a mask without pixels": {"points": [[1, 1]], "shape_type": "mask"},
    "a mask of no base64": {"points": [[1, 1]], "shape_type": "mask", "mask": "ü?"},
    "a mask of numbers": {"points": [[1, 1]], "shape_type": "mask", "mask": [1, 0]},
    "something new": {"points": [[0, 0], [5, 5], [0, 5]], "shape_type": "spiral"},
}


@pytest.mark.parametrize("shape", USELESS.values(), ids=USELESS)
def test_shapes_that_enclose_nothing_are_left_out(tmp_path, shape):
    road = {"label": "road", "points": [[0, 0], [8, 6]], "shape_type": "rectangle"}
    write_one(tmp_path, road, {"label": "car", **shape})
    dataset = open_format(tmp_path)
    assert strays(dataset, tmp_path) == [("bad-shape", ["a.json"])]
    kind = shape["shape_type"]
    about = f"1 annotation without a usable shape, for example shapes.1 of a.json ({kind})"
    assert dataset.strays[0].about == about
    assert dataset.labels.names == ("background", "car", "road")
    assert (drawn(dataset)["a"] == 2).all()


def test_a_damaged_mask_is_an_error_of_its_pair(tmp_path):
    text = base64.b64encode(b"no png").decode()
    write_one(tmp_path, {"label": "car", "points": [[1, 1]], "shape_type": "mask", "mask": text})
    dataset = open_format(tmp_path)
    with pytest.raises(DataError, match=r"a\.json: a piece of mask cannot be decoded as PNG"):
        drawn(dataset)


def test_a_file_without_shapes_is_all_background(tmp_path):
    write_set(tmp_path)
    write_json(tmp_path / "b.json", content_of("b", "b.jpg") | {"shapes": []})
    masks = drawn(open_format(tmp_path))
    assert list(masks) == list(NAMES)
    assert not masks["b"].any()


@pytest.mark.parametrize("size", [{"imageHeight": None}, {"imageWidth": 0}, {"imageHeight": "6"}])
def test_a_size_that_says_nothing_is_the_images(tmp_path, size):
    write_set(tmp_path, of="a")
    write_json(tmp_path / "a.json", content_of("a", "a.jpg") | size)
    assert drawn(open_format(tmp_path))["a"].shape == (HEIGHT, WIDTH)


def test_a_size_that_is_not_the_images_is_said(tmp_path):
    write_set(tmp_path, of="a")
    write_json(tmp_path / "a.json", content_of("a", "a.jpg") | {"imageHeight": 12, "imageWidth": 16})
    dataset = open_format(tmp_path)
    with pytest.raises(DataError, match=r"a\.json: mask of 12x16 .*image of 6x8"):
        read_pair(dataset.splits["train"][0], dataset.labels)


# --- what is missing or too much ---------------------------------------------------------------------------------


def test_what_has_no_partner(tmp_path):
    write_set(tmp_path)
    (tmp_path / "b.jpg").unlink()
    (tmp_path / "c.json").unlink()
    write_json(tmp_path / "other.json", [1, 2])
    dataset = open_format(tmp_path)
    assert names(dataset) == {"train": ["a", "d"]}
    assert strays(dataset, tmp_path) == [
        ("unpaired", ["other.json"]),
        ("missing-image", ["b.json"]),
        ("unpaired", ["c.jpg"]),
    ]


def test_no_picture_at_all(tmp_path):
    write_set(tmp_path, image="elsewhere/x{}.gif")
    with pytest.raises(DataError, match=r"a\.json: its picture 'a\.jpg' is not there, nor is that of any other"):
        open_format(tmp_path)


def test_two_files_of_one_picture_are_left_out(tmp_path):
    write_set(tmp_path)
    write_json(tmp_path / "copy.json", content_of("a", "a.jpg"))
    dataset = find_dataset(tmp_path)
    assert strays(dataset, tmp_path) == [("ambiguous", ["a.json", "copy.json"])]
    assert sorted(pair.name for pairs in dataset.splits.values() for pair in pairs) == ["b", "c", "d"]
    with pytest.raises(DataError, match=r"a\.json and .*copy\.json: two annotation files of .*a\.jpg\. Remove or"):
        open_dataset(tmp_path)


def test_two_pictures_of_one_name(tmp_path):
    write_set(tmp_path)
    save(tmp_path / "a.png", scene("a")[0])
    dataset = open_format(tmp_path)  # the file says which
    assert strays(dataset, tmp_path) == [("unpaired", ["a.png"])]
    write_json(tmp_path / "a.json", content_of("a", ""))
    dataset = open_format(tmp_path)
    assert strays(dataset, tmp_path) == [("ambiguous", ["a.jpg", "a.png"])]
    assert names(dataset) == {"train": ["b", "c", "d"]}


# --- files that say something wrong ------------------------------------------------------------------------------

WRONG = {
    "shapes that are no list": (
        {"shapes": {"label": "x"}},
        r"shapes is \{'label': 'x'\}: input should",
    ),
    "a shape that is a list": ({"shapes": [[]]}, r"shapes\.0 is \[\]: input should be a valid dictionary"),
    "a shape without a label": ({"shapes": [{"points": []}]}, r"shapes\.0\.label is missing"),
    "a label that is a number": (
        {"shapes": [{"label": 3}]},
        r"shapes\.0\.label is 3: input should be",
    ),
    "a blank label": ({"shapes": [{"label": ""}]}, r"shapes\.0\.label is '': input should be a name"),
    "a type that is a number": (
        {"shapes": [{"label": "a", "shape_type": 3}]},
        r"shapes\.0\.shape_type is 3: ",
    ),
    "a path that is a list": (
        {"imagePath": ["a.jpg"]},
        r"imagePath is \['a\.jpg'\]: input should be a",
    ),
}


@pytest.mark.parametrize(("change", "message"), WRONG.values(), ids=WRONG)
def test_wrong_contents_name_file_and_key(tmp_path, change, message):
    write_set(tmp_path)
    write_json(tmp_path / "b.json", content_of("b", "b.jpg") | change)
    with pytest.raises(DataError, match=rf"b\.json: {message}"):
        open_format(tmp_path)


@pytest.mark.parametrize("content", ["", "{", '{"shapes": [}', "\xff"])
def test_files_that_are_no_json(tmp_path, content):
    write_set(tmp_path)
    (tmp_path / "b.json").write_bytes(content.encode("latin-1"))
    with pytest.raises(DataError, match=r"b\.json: is not "):
        open_format(tmp_path)


def test_a_folder_without_any(tmp_path):
    write(tmp_path / "set.json", "{}")
    with pytest.raises(DataError, match="holds no JSON file of labelme"):
        labelme.open_labelme(tmp_path)


def test_what_is_not_labelme_is_not_recognised(tmp_path):
    write(tmp_path / "a.json", '{"images": [], "annotations": []}')
    write(tmp_path / "b.json", "")
    (tmp_path / "c.json").mkdir()
    for path in (tmp_path, tmp_path / "a.json", tmp_path / "none"):
        assert not labelme.recognise(path)
    write(tmp_path / "labels/val/x.json", '{"version": "5.0", "imageData": "AAAA')
    assert labelme.recognise(tmp_path)
