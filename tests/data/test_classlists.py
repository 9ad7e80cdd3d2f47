"""Class lists: every form is read, and what is wrong with one is said with its line."""

import re

import pytest
from PIL import Image

from intarsia.data.classlists import find_class_list
from intarsia.data.index import find_dataset
from intarsia.errors import DataError
from intarsia.labels import packed

SKY, ROAD = (128, 128, 128), (128, 64, 128)
FORMS = {
    "labelmap.txt": "# label:color_rgb:parts:actions\nbackground:0,0,0::\nsky:128,128,128::\na:b:128,64,128:x:\n",
    "label_colors.txt": "0 0 0\t\tbackground\n128 128 128\tsky\n128 64 128 a:b\n",
    "class_dict.csv": "name,r,g,b\nbackground,0,0,0\nsky,128,128,128\na:b,128,64,128\n",
    "label_class_dict.csv": "name;r;g;b\nbackground;0;0;0\nsky;128;128;128\na:b;128;64;128\n",
    "class_dict_seg.csv": "name, r, g, b\nbackground, 0, 0, 0\nsky, 128, 128, 128\na:b, 128, 64, 128\n",
}


@pytest.mark.parametrize("name", FORMS)
def test_lists_with_colours(tmp_path, name):
    (tmp_path / name).write_text(FORMS[name].replace("\n", "\r\n"))
    found = find_class_list(tmp_path)
    assert found.path == tmp_path / name
    assert found.names == ("background", "sky", "a:b")
    assert found.colors == {"background": (0, 0, 0), "sky": SKY, "a:b": ROAD}


@pytest.mark.parametrize("name", ["classes.txt", "labels.txt", "class_names.txt", "labelmap.txt"])
def test_lists_of_names(tmp_path, name):
    (tmp_path / name).write_text("\ufeff__ignore__\n_background_\ntraffic light\n\nStraße\n", encoding="utf-8")
    found = find_class_list(tmp_path)
    assert found.names == ("_background_", "traffic light", "Straße")
    assert found.colors == {}


def test_names_by_their_number(tmp_path):
    (tmp_path / "id2label.json").write_text('{"10": "car", "2": "Straße", "0": "sky"}', encoding="utf-8")
    found = find_class_list(tmp_path)
    assert found.names == ("sky", "Straße", "car")
    assert found.values == (0, 2, 10)
    assert found.colors == {}


@pytest.mark.parametrize(
    "content", ["[]", "{", '{"road": 1}', '{"0": 1}', '{"0": "\\ud800"}', f'{{"{"9" * 5000}": "a"}}', '{"-1": "a"}']
)
def test_names_by_their_number_that_cannot_be_used(tmp_path, content):
    (tmp_path / "id2label.json").write_text(content)
    with pytest.raises(
        DataError, match=r"id2label\.json: (expected the name of each class, as in|is not valid JSON)"
    ):
        find_class_list(tmp_path)


def test_a_labelmap_may_leave_colours_out(tmp_path):
    (tmp_path / "labelmap.txt").write_text("background:0,0,0::\nroad:::\n")
    found = find_class_list(tmp_path)
    assert found.names == ("background", "road")
    assert found.colors == {"background": (0, 0, 0)}


def test_no_list_and_lists_of_other_things(tmp_path):
    assert find_class_list(tmp_path) is None
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels.txt").write_text("images/a.png\nimages/b.JPG\n")
    (tmp_path / "classes.txt").write_text("\n")
    assert find_class_list(tmp_path) is None


def test_the_list_that_knows_more_counts(tmp_path):
    (tmp_path / "classes.txt").write_text("one\ntwo\n")
    (tmp_path / "labelmap.txt").write_text(FORMS["labelmap.txt"])
    assert find_class_list(tmp_path).path.name == "labelmap.txt"


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("labelmap.txt", "sky:1,2,3::\nroad:1,2\n", "line 2: 'road:1,2': expected name:red,green,blue"),
        ("labelmap.txt", "sky:1,2,300::\n", "line 1: colour '1,2,300': expected three numbers from 0 to 255"),
        ("labelmap.txt", "sky:1,2::\n", "line 1: colour '1,2'"),
        ("label_colors.txt", "0 0 0 sky\nroad 1 2 3\n", "line 2: 'road 1 2 3': expected red, green, blue and a"),
        ("label_colors.txt", "0 0 256 sky\n", "line 1: colour '0,0,256'"),
        ("class_dict.csv", "name,red\nsky,1\n", "has the columns name, red: expected name, r, g, b"),
        ("class_dict.csv", "", "has the columns none"),
        ("class_dict.csv", "name,r,g,b\nsky,1,2\n", "line 2: colour '1,2,'"),
        ("class_dict.csv", "name,r,g,b\n,1,2,3\n", "a class without a name"),
        ("classes.txt", "sky\nroad\nsky\n", "class 'sky' stands twice"),
        (
            "labelmap.txt",
            "#\nsky:1,2,3::\nroad:1,2,3::\n",
            "line 3: class 'road' has the colour 1,2,3 of class 'sky'",
        ),
        ("label_colors.txt", "1 2 3 sky\n\n1 2 3 road\n", "line 3: class 'road' has the colour 1,2,3 of"),
        ("class_dict.csv", "name,r,g,b\nsky,1,2,3\nroad,1,2,3\n", "line 3: class 'road' has the colour 1,2,3 of"),
    ],
)
def test_what_cannot_be_understood_is_said(tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=re.escape(f"{tmp_path / name}") + "[:,] " + re.escape(message)):
        find_class_list(tmp_path)


@pytest.mark.parametrize("mode", ["RGB", "P", "L", "I;16"])
def test_a_mask_tells_what_a_list_counts_by(tmp_path, mode):
    (tmp_path / "labelmap.txt").write_text("void:0,0,0::\nsky:128,128,128::\nroad:128,64,128::\n")
    Image.new(mode, (2, 2)).save(tmp_path / "mask.png")
    labels = find_class_list(tmp_path).labels(tmp_path / "mask.png")
    assert labels.names == ("sky", "road")
    assert labels.colors == (SKY, ROAD)
    in_colors = mode == "RGB"
    assert labels.encoding == ("colors" if in_colors else "values")
    assert labels.values == (((packed(SKY),), (packed(ROAD),)) if in_colors else ((1,), (2,)))
    assert labels.ignore == ((0,) if in_colors else (0, 255))


def test_a_mask_does_not_tell(tmp_path):
    (tmp_path / "classes.txt").write_text("sky\nroad\n")
    Image.new("RGB", (2, 2)).save(tmp_path / "colours.png")
    (tmp_path / "no.png").write_text("no picture")
    found = find_class_list(tmp_path)
    assert found.labels(tmp_path / "colours.png") is None
    assert found.labels(tmp_path / "no.png") is None
    assert found.labels(tmp_path / "none.png") is None


def write_folders(root, mode="L"):
    for folder in ("images", "masks"):
        (root / folder).mkdir()
        for name in "ab":
            Image.new(mode, (2, 2)).save(root / folder / f"{name}.png")


@pytest.mark.parametrize("mode", ["L", "P"])
def test_the_numbers_of_names_are_the_values_of_masks(tmp_path, mode):
    write_folders(tmp_path, mode)
    (tmp_path / "id2label.json").write_text('{"1": "road", "2": "car", "7": "person", "9": "void"}')
    labels = find_dataset(tmp_path).labels
    assert labels.names == ("road", "car", "person")
    assert labels.values == ((1,), (2,), (7,))
    assert labels.ignore == (9, 255)


@pytest.mark.parametrize(
    ("mode", "content"), [("L", '{"0": "road", "1": "car"}'), ("RGB", '{"1": "road", "2": "car"}')]
)
def test_numbers_that_tell_nothing_leave_the_masks_to_be_asked(tmp_path, mode, content):
    write_folders(tmp_path, mode)
    (tmp_path / "id2label.json").write_text(content)
    dataset = find_dataset(tmp_path)
    assert dataset.names == ("road", "car")
    assert dataset.labels is None


@pytest.mark.parametrize("content", ['{"1": "road", "01": "car"}', '{"1": "road", "99999": "car"}'])
def test_numbers_that_no_mask_can_hold(tmp_path, content):
    write_folders(tmp_path)
    (tmp_path / "id2label.json").write_text(content)
    with pytest.raises(DataError, match=r"id2label\.json: Stored value"):
        find_dataset(tmp_path)


def test_plain_folders_take_the_list_beside_them(tmp_path):
    write_folders(tmp_path)
    assert find_dataset(tmp_path).names == ()
    (tmp_path / "label_colors.txt").write_text(FORMS["label_colors.txt"])
    dataset = find_dataset(tmp_path)
    assert dataset.names == ("background", "sky", "a:b")
    assert dataset.known_colors["sky"] == SKY
    assert dataset.labels is None
