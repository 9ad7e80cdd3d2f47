"""COCO: its layouts, its shapes as pycocotools draws them, and files that say something wrong."""

import json
import re
import shutil

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pycocotools import mask as cocomask

from intarsia.data.formats import coco, open_format
from intarsia.data.index import find_dataset, open_dataset
from intarsia.data.pairs import read_pair
from intarsia.data.sources import Shapes, read_source
from intarsia.errors import DataError
from tests.data.formats.annotated import (
    assert_scenes,
    drawn,
    write_coco,
    write_json,
    write_roboflow,
)
from tests.data.formats.annotated import (
    coco as content_of,
)
from tests.data.formats.layouts import HEIGHT, NAMES, WIDTH, names, save, scene, strays, write

SQUARE = [1.0, 1.0, 4.0, 1.0, 4.0, 4.0, 1.0, 4.0]


@pytest.fixture
def lone(tmp_path):
    """Writes a lone file beside images/ with all scenes; a change may be made to what it says."""

    def write_lone(change=lambda content: None, name="annotations.json"):
        for one in NAMES:
            save(tmp_path / f"images/{one}.jpg", scene(one)[0])
        content = content_of(NAMES)
        change(content)
        return write_json(tmp_path / name, content)

    return write_lone


def test_coco_2017(tmp_path):
    write_coco(tmp_path)
    dataset = find_dataset(tmp_path)
    assert dataset.format == "coco"
    assert_scenes(dataset)
    image, mask = read_pair(dataset.splits["val"][0], dataset.labels)
    assert image.shape == (HEIGHT, WIDTH, 3)
    np.testing.assert_array_equal(mask, scene("d")[1])
    assert dataset.splits["val"][0].files == (
        tmp_path / "val2017/d.jpg",
        tmp_path / "annotations/instances_val2017.json",
    )


def test_roboflow(tmp_path):
    write_roboflow(tmp_path)
    assert_scenes(find_dataset(tmp_path))


@pytest.mark.parametrize("given_as", ["folder", "file"])
@pytest.mark.parametrize("name", ["annotations.json", "_annotations.coco.json", "result.json", "my set.JSON"])
def test_a_lone_file_beside_images(lone, name, given_as):
    file = lone(name=name)
    path = file if given_as == "file" else file.parent
    dataset = open_format(path)
    assert names(dataset) == {"train": list(NAMES)}
    np.testing.assert_array_equal(drawn(dataset)["c"], scene("c")[1])
    assert set(open_dataset(path).splits) == {"train", "val"}
    assert dataset.root == path


PLACES = {
    "beside the file": ("set.json", "", ""),
    "in images": ("set.json", "images", ""),
    "named with their folder": ("set.json", "", "images/"),
    "named with a backslash": ("set.json", "", "images\\"),
    "of CVAT": ("annotations/instances_default.json", "images", ""),
    "of CVAT, in a folder": ("annotations/instances_default.json", "images/default", ""),
    "beside annotations": ("annotations/train.json", "train", ""),
    "images, then split": ("annotations/train.json", "images/train", ""),
    "the split's other name": ("annotations/instances_train.json", "images/training", ""),
    "split, then images": ("train/annotations.json", "train/images", ""),
    "COCO's own": ("annotations/instances_train2017.json", "images/train2017", ""),
}


@pytest.mark.parametrize(("file", "folder", "prefix"), PLACES.values(), ids=PLACES)
def test_where_images_may_be(tmp_path, file, folder, prefix):
    for name in "ab":
        save(tmp_path / folder / prefix.replace("\\", "/") / f"{name}.jpg", scene(name)[0])
    write_json(tmp_path / file, content_of("ab", prefix))
    dataset = open_format(tmp_path)
    assert [pair.image.name for pair in dataset.splits["train"]] == ["a.jpg", "b.jpg"]
    assert [pair.name for pair in dataset.splits["train"]] == [prefix.replace("\\", "/") + one for one in "ab"]
    assert dataset.strays == ()


def test_two_splits_that_share_a_folder_of_images(tmp_path):
    for name in NAMES:
        save(tmp_path / f"images/{name}.jpg", scene(name)[0])
    write_json(tmp_path / "train.json", content_of("abc"))
    write_json(tmp_path / "val.json", content_of("d"))
    write_json(tmp_path / "all.json", content_of(NAMES))
    dataset = open_format(tmp_path)
    assert names(dataset) == {"train": ["a", "b", "c"], "val": ["d"]}
    assert strays(dataset, tmp_path) == [("unpaired", ["all.json"])]
    assert "no split" in dataset.strays[0].about


def test_the_split_of_a_lone_file_is_in_its_name(tmp_path):
    write_coco(tmp_path)
    assert names(open_format(tmp_path / "annotations/instances_val2017.json")) == {"val": ["d"]}


def test_two_files_for_one_split_are_refused(tmp_path, lone):
    lone()
    write_json(tmp_path / "more.json", content_of("ab"))
    with pytest.raises(DataError, match=r"two annotation files for no split: .*annotations\.json and .*more\.json"):
        open_format(tmp_path)
    for name in ("annotations.json", "more.json"):
        (tmp_path / name).rename(tmp_path / f"train_{name}")
    with pytest.raises(DataError, match="two annotation files for train"):
        open_format(tmp_path)


def test_splits_need_not_have_the_same_categories(tmp_path):
    write_coco(tmp_path)
    content = content_of("d")
    content["categories"] = [{"id": 3, "name": "road"}, {"id": 4, "name": "tram"}, {"id": 7, "name": "car"}]
    content["annotations"][0]["category_id"], content["annotations"][1]["category_id"] = 7, 3
    write_json(tmp_path / "annotations/instances_val2017.json", content)
    dataset = open_format(tmp_path)
    assert dataset.labels.names == ("background", "road", "car", "tram")
    np.testing.assert_array_equal(drawn(dataset, "val")["d"], scene("d")[1])


# --- classes -----------------------------------------------------------------------------------------------------


def test_a_declared_background_is_the_background(lone):
    def change(content):
        content["categories"] = [
            {"id": 7, "name": "road"},
            {"id": 0, "name": "Background"},
            {"id": 3, "name": "car"},
            {"id": 90, "name": "never drawn"},
        ]
        content["annotations"][0]["category_id"] = 0

    dataset = open_format(lone(change))
    assert dataset.labels.names == ("Background", "road", "car", "never drawn")
    assert dataset.labels.values == ((0,), (1,), (2,), (3,))
    expected = scene("a")[1]
    expected[expected == 2] = 0
    np.testing.assert_array_equal(drawn(dataset)["a"], expected)


def test_categories_of_one_name_are_one_class(lone):
    def change(content):
        content["categories"].append({"id": 8, "name": "road", "supercategory": ["odd"]})
        content["annotations"][1]["category_id"] = 8

    dataset = open_format(lone(change))
    assert dataset.labels.names == ("background", "road", "car")
    np.testing.assert_array_equal(drawn(dataset)["a"], scene("a")[1])


def test_a_heading_that_has_annotations_is_a_class(lone):
    def change(content):
        content["categories"].append({"id": 1, "name": "vehicle", "supercategory": "none"})
        content["annotations"][-1]["category_id"] = 1

    assert open_format(lone(change)).labels.names == ("background", "road", "car", "vehicle")
    assert open_format(lone()).labels.names == ("background", "road", "car")


def test_ids_may_be_texts(lone):
    def change(content):
        for one in content["images"]:
            one["id"] = str(one["id"])
        for one in content["annotations"]:
            one["image_id"] = str(one["image_id"])

    np.testing.assert_array_equal(drawn(open_format(lone(change)))["b"], scene("b")[1])


# --- shapes ------------------------------------------------------------------------------------------------------


def one_object(root, segmentation, size=(HEIGHT, WIDTH), **more):
    """The mask of a picture with one annotation."""
    save(root / "a.png", np.zeros((*size, 3), dtype=np.uint8))
    content = {
        "images": [{"id": 1, "file_name": "a.png", "height": size[0], "width": size[1]}],
        "annotations": [{"id": 5, "image_id": 1, "category_id": 1, "segmentation": segmentation, **more}],
        "categories": [{"id": 1, "name": "thing"}],
    }
    dataset = open_format(write_json(root / "set.json", content))
    (pair,) = dataset.splits["train"]
    return read_source(pair.mask, size)


points = st.lists(st.tuples(st.floats(-9, 29), st.floats(-9, 29)), min_size=3, max_size=8)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # inside pycocotools
@given(st.lists(points, min_size=1, max_size=3), st.sampled_from([1, 2, 6]), st.integers(1, 20), st.integers(1, 20))
def test_polygons_are_those_of_pycocotools(polygons, digits, height, width):
    flat = [[round(one, digits) for point in polygon for one in point] for polygon in polygons]
    expected = cocomask.decode(cocomask.merge(cocomask.frPyObjects(flat, height, width)))
    _, shape = coco._shape(json.loads(json.dumps(flat)), 9, (height, width))
    canvas = np.zeros((height, width), dtype=np.uint16)
    shape(canvas)
    np.testing.assert_array_equal(canvas, expected * 9)


@given(hnp.arrays(np.uint8, st.tuples(st.integers(1, 12), st.integers(1, 12)), elements=st.integers(0, 1)))
def test_run_lengths_are_those_of_pycocotools(mask):
    encoded = cocomask.encode(np.asfortranarray(mask))
    counts = coco._uncompressed(encoded["counts"].decode())
    size = list(mask.shape)
    for written in (counts.tolist(), encoded["counts"].decode()):
        area, shape = coco._shape({"counts": written, "size": size}, 3, mask.shape)
        canvas = np.zeros(mask.shape, dtype=np.uint16)
        shape(canvas)
        np.testing.assert_array_equal(canvas, mask * 3)
        assert area == mask.sum()


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=30))
def test_compressed_run_lengths_of_any_size(counts):
    size = (1, max(sum(counts), 1))
    encoded = cocomask.frPyObjects({"counts": counts, "size": list(size)}, *size)
    np.testing.assert_array_equal(coco._uncompressed(encoded["counts"].decode()), counts)


def test_crowds_are_drawn(tmp_path):
    mask = scene("b")[1] == 2
    encoded = cocomask.encode(np.asfortranarray(mask.astype(np.uint8)))
    crowd = {"counts": encoded["counts"].decode(), "size": [HEIGHT, WIDTH]}
    np.testing.assert_array_equal(one_object(tmp_path, crowd, iscrowd=1), mask)


def test_an_object_of_several_polygons(tmp_path):
    mask = one_object(tmp_path, [[0, 0, 2, 0, 2, 2, 0, 2], [4, 3, 8, 3, 8, 6, 4, 6], [1, 1]])
    expected = np.zeros((HEIGHT, WIDTH))
    expected[:2, :2] = expected[3:, 4:] = 1
    np.testing.assert_array_equal(mask, expected)


def test_of_two_objects_the_smaller_is_on_top_whatever_the_order(lone):
    large = [0, 0, 8, 0, 8, 6, 0, 6]
    medium = {"counts": [0, 36, 12], "size": [HEIGHT, WIDTH]}  # the six columns on the left

    def change(content):
        content["annotations"] = [
            {"id": 1, "image_id": 11, "category_id": 3, "segmentation": [SQUARE], "area": 1e9},
            {"id": 2, "image_id": 11, "category_id": 7, "segmentation": medium},
            {"id": 3, "image_id": 11, "category_id": 3, "segmentation": [large]},
        ]

    expected = np.full((HEIGHT, WIDTH), 2)
    expected[:, :6] = 1
    expected[1:4, 1:4] = 2
    np.testing.assert_array_equal(drawn(open_format(lone(change)))["a"], expected)


def test_of_two_objects_of_one_size_the_later_is_on_top(lone):
    def change(content):
        content["annotations"] = [
            {"id": 1, "image_id": 11, "category_id": category, "segmentation": [SQUARE]}
            for category in (3, 7, 3, 7)
        ]

    assert drawn(open_format(lone(change)))["a"][2, 2] == 1


def test_images_without_annotations_are_all_background(lone):
    def change(content):
        content["annotations"] = [one for one in content["annotations"] if one["image_id"] != 12]

    masks = drawn(open_format(lone(change)))
    assert list(masks) == list(NAMES)
    assert not masks["b"].any()
    assert masks["b"].shape == (HEIGHT, WIDTH)


UNUSABLE = {
    "nothing": None,
    "no polygon": [],
    "an empty polygon": [[]],
    "one point": [[1, 1]],
    "two points": [[1, 1, 5, 5]],
    "an odd number": [[1, 1, 5, 5, 1]],
    "texts": [["a", "b", "c", "d", "e", "f"]],
    "numbers": [1, 1, 5, 1, 5, 5],
    "pairs": [[1, 1], [5, 1], [5, 5]],
    "far away": [[1, 1, 1e12, 1, 5, 5]],
    "a border of kilometres": [[0, 0, 9e7, 9e7] * 50],
    "a text": "no polygon",
    "no counts": {"size": [HEIGHT, WIDTH]},
    "no size": {"counts": [48]},
    "another size": {"counts": [48], "size": [WIDTH, HEIGHT]},
    "too few": {"counts": [40], "size": [HEIGHT, WIDTH]},
    "negative": {"counts": [-1, 49], "size": [HEIGHT, WIDTH]},
    "no text of counts": {"counts": "~~ü", "size": [HEIGHT, WIDTH]},
    "an open text": {"counts": "PQ", "size": [HEIGHT, WIDTH]},
    "an endless number": {"counts": "P" * 40 + "0", "size": [HEIGHT, WIDTH]},
    "half a letter": {"counts": "\ud800", "size": [HEIGHT, WIDTH]},
    "no letters": {"counts": "", "size": [HEIGHT, WIDTH]},
}


@pytest.mark.parametrize("segmentation", UNUSABLE.values(), ids=UNUSABLE)
def test_annotations_without_a_usable_shape_are_left_out(tmp_path, lone, segmentation):
    def change(content):
        content["annotations"][2]["segmentation"] = segmentation

    dataset = open_format(lone(change))
    assert strays(dataset, tmp_path) == [("bad-shape", ["annotations.json"])]
    assert dataset.strays[0].about == "1 annotation without a usable shape, for example id 3"
    np.testing.assert_array_equal(drawn(dataset)["b"], np.minimum(scene("b")[1], 1))


def test_several_unusable_shapes_are_counted(lone):
    def change(content):
        del content["annotations"][4]["segmentation"]
        content["annotations"][6] = {"image_id": 14, "category_id": 3, "bbox": [1, 2, 3, 4]}

    (stray,) = open_format(lone(change)).strays
    assert stray.about == "2 annotations without a usable shape, for example id 5"


def test_bounding_boxes_alone_are_refused(lone):
    def change(content):
        for one in content["annotations"]:
            one["segmentation"] = []

    with pytest.raises(
        DataError, match=r"none of its 8 annotations has a usable segmentation. Bounding boxes alone"
    ):
        open_format(lone(change))


# --- what is missing or too much ---------------------------------------------------------------------------------


def test_images_that_are_missing_become_strays(tmp_path, lone):
    file = lone()
    (tmp_path / "images/b.jpg").unlink()
    save(tmp_path / "images/new.png", scene("a")[0])
    dataset = open_format(file)
    assert names(dataset) == {"train": ["a", "c", "d"]}
    assert strays(dataset, tmp_path) == [("missing-image", ["images/b.jpg"]), ("unpaired", ["images/new.png"])]
    assert dataset.strays[0].about == "1 picture of the annotations not found"


def test_no_image_at_all_is_an_error(tmp_path, lone):
    file = lone()
    shutil.rmtree(tmp_path / "images")
    with pytest.raises(DataError, match=r"none of its 4 images is there, for example 'a.jpg'. Looked in "):
        open_format(file)


def test_few_of_many_images(tmp_path):
    def entry(number):
        return {"id": number, "file_name": f"{number}.png", "height": HEIGHT, "width": WIDTH}

    save(tmp_path / "images/777.png", scene("a")[0])
    content = {"images": [entry(number) for number in range(1000)], "annotations": [], "categories": []}
    dataset = open_format(write_json(tmp_path / "set.json", content))
    assert names(dataset) == {"train": ["777"]}
    assert len(dataset.strays[0].paths) == 999


def test_annotations_of_unknown_images_become_strays(tmp_path, lone):
    def change(content):
        content["annotations"][0]["image_id"] = content["annotations"][2]["image_id"] = 99

    dataset = open_format(lone(change))
    assert strays(dataset, tmp_path) == [("missing-image", ["annotations.json"])]
    assert dataset.strays[0].about == "2 annotations of images that the file does not list, for example 99"


def test_two_entries_of_one_picture_are_left_out(tmp_path, lone):
    def change(content):
        content["images"][1]["file_name"] = "./a.jpg"

    dataset = find_dataset(lone(change))
    assert [pair.name for pairs in dataset.splits.values() for pair in pairs if pair.name in "ab"] == []
    found = strays(dataset, tmp_path)
    assert found == [("ambiguous", ["images/a.jpg"]), ("unpaired", ["images/b.jpg"])]
    with pytest.raises(DataError, match=r"2 entries of one picture among the annotations"):
        open_dataset(tmp_path)


def test_pictures_of_one_name_and_two_suffixes(tmp_path):
    for suffix in ("jpg", "png"):
        save(tmp_path / f"a.{suffix}", scene("a")[0])
    save(tmp_path / "b.x.png", scene("b")[0])
    content = content_of("abc")
    for entry, name in zip(content["images"], ("a.jpg", "a.png", "b.x.png"), strict=True):
        entry["file_name"] = name
    write_json(tmp_path / "set.json", content)
    assert names(open_format(tmp_path)) == {"train": ["a.jpg", "a.png", "b.x"]}


@pytest.mark.parametrize("name", ["my picture.jpg", "straße/häuser.jpg", "two\nlines.jpg", "1:2?.png", "名前.png"])
def test_names_of_pictures(tmp_path, name):
    save(tmp_path / "images" / name, scene("a")[0])
    content = content_of("a")
    content["images"][0]["file_name"] = name
    dataset = open_format(write_json(tmp_path / "set.json", content))
    assert [pair.image for pair in dataset.splits["train"]] == [tmp_path / "images" / name]
    np.testing.assert_array_equal(drawn(dataset)[name[: name.rindex(".")]], scene("a")[1])


@pytest.mark.parametrize("name", ["/etc/a.jpg", "../a.jpg", "b/../../a.jpg", "C:\\a.jpg", "..\\a.jpg", "."])
def test_paths_that_lead_elsewhere_are_refused(tmp_path, lone, name):
    save(tmp_path.parent / "a.jpg", scene("a")[0])

    def change(content):
        content["images"][0]["file_name"] = name

    with pytest.raises(
        DataError, match=r"annotations\.json: names the file '.*': expected a path below its folder"
    ):
        open_format(lone(change))


@pytest.mark.parametrize("name", ["a\0b.jpg", "x" * 5000 + ".jpg", "http://example.org/a.jpg"])
def test_names_that_no_file_has_are_missing_images(lone, name):
    def change(content):
        content["images"][0]["file_name"] = name

    assert "missing-image" in [stray.finding for stray in open_format(lone(change)).strays]


# --- files that say something wrong ------------------------------------------------------------------------------

WRONG = {
    "no list of images": (
        lambda content: content.update(images={"id": 1}),
        "images is {'id': 1}: input should be a",
    ),
    "no images": (lambda content: content.pop("images"), "images is missing"),
    "no annotations": (lambda content: content.pop("annotations"), "annotations is missing"),
    "no categories": (lambda content: content.pop("categories"), "categories is missing"),
    "an image that is a list": (
        lambda content: content["images"].insert(1, []),
        r"images\.1 is \[\]: input should",
    ),
    "an image without a name": (
        lambda content: content["images"][2].pop("file_name"),
        r"images\.2\.file_name is miss",
    ),
    "a height of text": (
        lambda content: content["images"][0].update(height="tall"),
        r"images\.0\.height is 'tall': input should be a valid integer",
    ),
    "a width of nothing": (lambda content: content["images"][0].update(width=0), r"images\.0\.width is 0: input"),
    "an id that is a list": (
        lambda content: content["annotations"][0].update(image_id=[1]),
        r"annotations\.0\.image_id is \[1\]: input should be a whole number or a text",
    ),
    "an annotation that is null": (
        lambda content: content["annotations"].append(None),
        r"annotations\.8 is None: input should be a valid dictionary\.",
    ),
    "a name that is a number": (
        lambda content: content["categories"][0].update(name=5),
        r"categories\.0\.name is 5: input should be a valid string",
    ),
    "half a letter": (
        lambda content: content["categories"][0].update(name="\ud800"),
        r"categories\.0\.name is '\\ud800': input should be a name",
    ),
    "a blank name": (lambda content: content["images"][0].update(file_name=" "), r"images\.0\.file_name is ' ': "),
    "an unknown category": (
        lambda content: content["annotations"][0].update(category_id=99),
        "annotation 1: category_id is 99, the id of no category",
    ),
    "two images of one id": (
        lambda content: content["images"][0].update(id=12),
        "two of its image entries have one",
    ),
    "two categories of one id": (
        lambda content: content["categories"][0].update(id=3),
        "two of its category entries",
    ),
    "nothing": (lambda content: [content[key].clear() for key in ("images", "annotations")], "lists no images"),
}


@pytest.mark.parametrize(("change", "message"), WRONG.values(), ids=WRONG)
def test_wrong_contents_name_file_and_key(lone, change, message):
    with pytest.raises(DataError, match=rf"annotations\.json: {message}"):
        open_format(lone(change))


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '"images"', '{"images": [' * 10])
def test_files_that_are_no_coco(tmp_path, content):
    write(tmp_path / "set.json", content)
    with pytest.raises(DataError, match=r"set\.json: "):
        coco.open_coco(tmp_path / "set.json")


@pytest.mark.parametrize("content", ["", "{}", '{"image": []}'])
@pytest.mark.parametrize(
    ("write_set", "file"),
    [(write_coco, "annotations/instances_val2017.json"), (write_roboflow, "valid/_annotations.coco.json")],
)
def test_the_file_of_a_split_that_is_no_coco_is_not_passed_over(tmp_path, write_set, file, content):
    write_set(tmp_path)
    assert (tmp_path / file).is_file()
    write(tmp_path / file, content)
    with pytest.raises(DataError, match=re.escape(str(tmp_path / file))):
        find_dataset(tmp_path)


def test_other_json_beside_the_files_of_splits_is_passed_over(tmp_path):
    write_roboflow(tmp_path)
    write(tmp_path / "train/export.json", "{}")
    write(tmp_path / "train/train_numbers.json", "{}")
    assert_scenes(find_dataset(tmp_path))


def test_a_file_with_a_long_beginning_is_that_of_its_split(tmp_path):
    write_coco(tmp_path)
    file = tmp_path / "annotations/instances_val2017.json"
    write(file, json.dumps({"info": "x" * 10_000, **json.loads(file.read_text())}))
    assert_scenes(find_dataset(tmp_path))


def test_a_folder_without_any(tmp_path):
    write(tmp_path / "set.json", "{}")
    with pytest.raises(DataError, match="holds no JSON file of images, annotations and categories"):
        coco.open_coco(tmp_path)


def test_what_is_no_coco_is_not_recognised(tmp_path):
    write(tmp_path / "a.json", '{"shapes": [], "imagePath": "a.jpg"}')
    write(tmp_path / "b.json", '{"image": [], "my annotations": 3}')
    (tmp_path / "c.json").mkdir()
    write(tmp_path / "annotations/panoptic_val2017.json", json.dumps(content_of("a")))
    for path in (tmp_path, tmp_path / "a.json", tmp_path / "c.json", tmp_path / "none.json", tmp_path / "none"):
        assert not coco.recognise(path)
    for number in range(30):
        write(tmp_path / f"many/{number}.json", json.dumps(content_of("a")))
    assert not coco.recognise(tmp_path / "many")
    assert coco.recognise(tmp_path / "many/3.json")


def test_a_size_that_is_not_the_images_is_said(lone):
    def change(content):
        content["images"][0].update(height=WIDTH, width=HEIGHT)

    dataset = open_format(lone(change))
    with pytest.raises(DataError, match=r"annotations\.json: mask of 8x6 .*image of 6x8.*turned by a quarter"):
        read_pair(dataset.splits["train"][0], dataset.labels)


def test_masks_survive_the_way_to_another_process(lone):
    import pickle

    (pair, *_) = open_format(lone()).splits["train"]
    copy = pickle.loads(pickle.dumps(pair))  # noqa: S301 - our own
    assert isinstance(copy.mask, Shapes)
    np.testing.assert_array_equal(read_source(copy.mask, (1, 1)), scene("a")[1])
