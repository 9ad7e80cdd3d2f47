"""CVAT for images 1.1: subsets, each kind of shape, and files that say something wrong."""

import re

import numpy as np
import pytest

from intarsia.data.formats import cvat, open_format
from intarsia.data.index import find_dataset, open_dataset
from intarsia.data.pairs import read_pair
from intarsia.errors import DataError
from tests.data.formats.annotated import assert_scenes, cvat_image, cvat_label, drawn, write_cvat
from tests.data.formats.annotated import cvat as content_of
from tests.data.formats.layouts import HEIGHT, NAMES, WIDTH, names, save, scene, strays, write

LABELS = cvat_label("road") + cvat_label("car", "#00008e")


def write_set(root, images=None, labels=LABELS, folder="images", of=NAMES):
    for name in of:
        save(root / folder / f"{name}.jpg", scene(name)[0])
    images = "".join(map(cvat_image, of)) if images is None else images
    write(root / "annotations.xml", content_of(images, labels))
    return root


def one(root, shapes):
    """The mask of a picture with some shapes."""
    return drawn(open_format(write_set(root, cvat_image("a", shapes), of="a")))["a"]


def filled(where, value=1):
    expected = np.zeros((HEIGHT, WIDTH))
    expected[where] = value
    return expected


def test_subsets_are_splits(tmp_path):
    write_cvat(tmp_path)
    dataset = find_dataset(tmp_path)
    assert dataset.format == "cvat"
    assert_scenes(dataset)
    assert dataset.labels.colors[1:] == ((128, 64, 128), (0, 0, 142))
    image, mask = read_pair(dataset.splits["train"][1], dataset.labels)
    assert image.shape == (HEIGHT, WIDTH, 3)
    np.testing.assert_array_equal(mask, scene("b")[1])
    assert dataset.splits["val"][0].image == tmp_path / "images/Validation/d.jpg"


@pytest.mark.parametrize("folder", ["images", "."])
@pytest.mark.parametrize("file", ["", "annotations.xml"])
def test_a_task_without_subsets(tmp_path, folder, file):
    write_set(tmp_path, folder=folder)
    dataset = open_format(tmp_path / file)
    assert names(dataset) == {"train": list(NAMES)}
    np.testing.assert_array_equal(drawn(dataset)["c"], scene("c")[1])
    assert dataset.strays == ()
    assert dataset.root == tmp_path / file
    assert set(open_dataset(tmp_path / file).splits) == {"train", "val"}


def test_subsets_that_are_no_splits(tmp_path):
    images = cvat_image("a", subset="day") + cvat_image("a", subset="night") + cvat_image("b", subset="day")
    for subset in ("day", "night"):
        save(tmp_path / f"images/{subset}/a.jpg", scene("a")[0])
    write_set(tmp_path, images, of="b")
    dataset = open_format(tmp_path)
    assert names(dataset) == {"train": ["b", "day/a", "night/a"]}
    assert dataset.strays == ()


def test_other_subsets_beside_splits_are_left_out(tmp_path):
    images = cvat_image("a", subset="train") + cvat_image("b", subset="odd") + cvat_image("c")
    dataset = open_format(write_set(tmp_path, images))
    assert names(dataset) == {"train": ["a"]}
    assert strays(dataset, tmp_path) == [
        ("unpaired", ["images/b.jpg", "images/c.jpg"]),
        ("unpaired", ["images/d.jpg"]),
    ]


@pytest.mark.parametrize("name", ["my picture", "straße/häuser", "a.b", "名前", "R&amp;D", "two&#10;lines"])
def test_names_of_pictures(tmp_path, name):
    plain = name.replace("&amp;", "&").replace("&#10;", "\n")
    save(tmp_path / f"images/{plain}.jpg", scene("a")[0])
    write(tmp_path / "annotations.xml", content_of(cvat_image("a", file=f"{name}.jpg")))
    assert list(drawn(open_format(tmp_path))) == [plain]


# --- labels ------------------------------------------------------------------------------------------------------


def test_labels_without_a_declaration_are_sorted(tmp_path):
    dataset = open_format(write_set(tmp_path, labels=""))
    assert dataset.labels.names == ("background", "car", "road")
    np.testing.assert_array_equal(drawn(dataset)["a"], np.array([0, 2, 1])[scene("a")[1]])


def test_labels_that_cannot_fill_pixels_are_no_classes(tmp_path):
    part = "<label><name>knee</name><parent>body</parent></label>"
    odd = cvat_label("lane", kind="polyline") + cvat_label("body", kind="skeleton") + part + cvat_label("new", "")
    dataset = open_format(write_set(tmp_path, labels=odd + LABELS + cvat_label("background", "#010203")))
    assert dataset.labels.names == ("background", "new", "road", "car")
    assert dataset.labels.colors[0] == (1, 2, 3)
    np.testing.assert_array_equal(drawn(dataset)["a"], np.array([0, 2, 3])[scene("a")[1]])


def test_a_label_that_is_not_declared(tmp_path):
    write_set(tmp_path, labels=cvat_label("road") + cvat_label("cart"))
    with pytest.raises(DataError, match=r"annotations\.xml: image 'a\.jpg': has a shape of label 'car', .*cart"):
        open_format(tmp_path)


def test_a_shape_without_a_label(tmp_path):
    for labels in ("", LABELS):
        with pytest.raises(DataError, match=r"image 'a\.jpg': has a shape without a label"):
            open_format(write_set(tmp_path, cvat_image("a", '<box xtl="1"/>'), labels=labels))


# --- shapes ------------------------------------------------------------------------------------------------------


def test_polygons_and_boxes(tmp_path):
    polygon = '<polygon label="road" points="1.00,1.00;4.00,1.00;4.00,3.00;1.00,3.00"/>'
    np.testing.assert_array_equal(one(tmp_path, polygon), filled(np.s_[1:3, 1:4]))
    box = '<box label="car" xtl="0.6" ytl="0.6" xbr="2.6" ybr="1.4"/>'
    np.testing.assert_array_equal(one(tmp_path, box), filled(np.s_[1:1, 1:3], 2))
    box = '<box label="car" xtl="0.6" ytl="0.4" xbr="2.6" ybr="1.6"/>'
    np.testing.assert_array_equal(one(tmp_path, box), filled(np.s_[0:2, 1:3], 2))


def test_a_turned_box(tmp_path):
    lying = '<box label="car" xtl="1" ytl="2" xbr="5" ybr="4" rotation="90.00"/>'
    np.testing.assert_array_equal(one(tmp_path, lying), filled(np.s_[1:5, 2:4], 2))


def test_ellipses(tmp_path):
    shape = '<ellipse label="car" cx="4.00" cy="3.00" rx="3.00" ry="1.20" rotation="90.00"/>'
    y, x = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    expected = ((x - 4) / 1.2) ** 2 + ((y - 3) / 3) ** 2 < 1
    np.testing.assert_array_equal(one(tmp_path, shape), expected * 2)
    assert expected.sum() == 12


def test_masks(tmp_path):
    shape = '<mask label="car" rle="0, 2, 2, 1, 1" left="5" top="2" width="3" height="2" z_order="0"/>'
    expected = np.zeros((HEIGHT, WIDTH))
    expected[2:4, 5:8] = [[2, 2, 0], [0, 2, 0]]
    np.testing.assert_array_equal(one(tmp_path, shape), expected)


def test_z_order_comes_before_the_order_in_the_file(tmp_path):
    def box(label, left, z):
        return f'<box label="{label}" xtl="{left}" ytl="0" xbr="{left + 4}" ybr="6" z_order="{z}"/>'

    masks = one(tmp_path, box("car", 1, 10) + box("road", 0, 9) + box("road", 3, -1) + box("car", 4, -1))
    np.testing.assert_array_equal(masks, [[1, 2, 2, 2, 2, 2, 2, 2]] * HEIGHT)
    masks = one(tmp_path, box("car", 1, 0) + box("road", 0, 0))
    np.testing.assert_array_equal(masks, [[1, 1, 1, 1, 2, 0, 0, 0]] * HEIGHT)


USELESS = {
    "polyline": '<polyline label="lane" points="1,1;2,2;3,1"/>',
    "points": '<points label="lane" points="1,1;2,2;3,1"/>',
    "cuboid": '<cuboid label="car" xtl1="1"/>',
    "skeleton": '<skeleton label="body"><points label="knee" points="1,1"/></skeleton>',
    "polygon of two": '<polygon label="car" points="1,1;2,2"/>',
    "polygon of nothing": '<polygon label="car" points=""/>',
    "polygon without points": '<polygon label="car"/>',
    "polygon of texts": '<polygon label="car" points="a,b;c,d;e,f"/>',
    "odd polygon": '<polygon label="car" points="1,1;2,2;3"/>',
    "endless polygon": '<polygon label="car" points="1,1;2,2;1,inf"/>',
    "box of texts": '<box label="car" xtl="a" ytl="1" xbr="3" ybr="3"/>',
    "half a box": '<box label="car" xtl="1" ytl="1" xbr="3"/>',
    "turned without end": '<box label="car" xtl="1" ytl="1" xbr="3" ybr="3" rotation="inf"/>',
    "half an ellipse": '<ellipse label="car" cx="1" cy="1" rx="3"/>',
    "mask too short": '<mask label="car" rle="1, 2" left="0" top="0" width="2" height="2"/>',
    "mask of texts": '<mask label="car" rle="1, b" left="0" top="0" width="1" height="1"/>',
    "mask without end": '<mask label="car" rle="4" left="0" top="0" width="nan" height="inf"/>',
    "mask of nothing": '<mask label="car" rle="" left="0" top="0" width="0" height="0"/>',
    "z_order of text": '<box label="car" xtl="1" ytl="1" xbr="3" ybr="3" z_order="top"/>',
}


@pytest.mark.parametrize("shape", USELESS.values(), ids=USELESS)
def test_shapes_that_fill_no_pixels_are_left_out(tmp_path, shape):
    road = '<box label="road" xtl="0" ytl="0" xbr="8" ybr="6"/>'
    dataset = open_format(write_set(tmp_path, cvat_image("a", road + shape + '<tag label="rain"/>'), of="a"))
    assert strays(dataset, tmp_path) == [("bad-shape", ["annotations.xml"])]
    kind = shape.split(" ")[0].removeprefix("<")
    assert dataset.strays[0].about == f"1 annotation without a usable shape, for example a {kind} of a.jpg"
    np.testing.assert_array_equal(drawn(dataset)["a"], filled(np.s_[:]))


def test_images_without_shapes_are_all_background(tmp_path):
    assert not one(tmp_path, " ").any()


# --- what is missing or too much ---------------------------------------------------------------------------------


def test_images_that_are_missing_become_strays(tmp_path):
    write_set(tmp_path)
    (tmp_path / "images/b.jpg").unlink()
    save(tmp_path / "images/new.png", scene("a")[0])
    dataset = open_format(tmp_path)
    assert names(dataset) == {"train": ["a", "c", "d"]}
    assert strays(dataset, tmp_path) == [("missing-image", ["images/b.jpg"]), ("unpaired", ["images/new.png"])]


def test_no_image_at_all_is_an_error(tmp_path):
    write_set(tmp_path, folder="elsewhere")
    with pytest.raises(DataError, match=r"none of its 4 images is there, for example .*images/a\.jpg"):
        open_format(tmp_path)


def test_two_entries_of_one_picture_are_left_out(tmp_path):
    write_set(tmp_path, cvat_image("a") + cvat_image("b") + cvat_image("a"))
    dataset = find_dataset(tmp_path)
    assert strays(dataset, tmp_path)[0] == ("ambiguous", ["images/a.jpg"])
    assert names(dataset) == {"train": ["b"]}
    with pytest.raises(DataError, match=r"2 entries of one picture among the annotations"):
        open_dataset(tmp_path)


@pytest.mark.parametrize("name", ["/etc/a.jpg", "../a.jpg", "C:\\a.jpg", "b/../../a.jpg"])
def test_paths_that_lead_elsewhere_are_refused(tmp_path, name):
    with pytest.raises(DataError, match=r"annotations\.xml: names the file '.*': expected a path below its folder"):
        open_format(write_set(tmp_path, cvat_image("a", file=name)))
    with pytest.raises(DataError, match=r"annotations\.xml: names the file '.*': expected a path below its folder"):
        open_format(write_set(tmp_path, cvat_image("a", subset=name.removesuffix("/a.jpg") + "/../..")))


# --- files that say something wrong ------------------------------------------------------------------------------

IMAGE = cvat_image("a")
WRONG = {
    "nothing": ("", "is not valid XML: no element found"),
    "no XML": ("{}", r"is not valid XML: not well-formed \(invalid token\) \(line 1, column 1\)"),
    "open": ("<annotations>\n<meta>", r"is not valid XML: no element found \(line 2, column 7\)"),
    "another root": ("<annotation></annotation>", "starts with <annotation>: expected the <annotations> of CVAT"),
    "no images": (content_of(""), "lists no images"),
    "a video": (
        content_of('<track id="0" label="car"></track>'),
        "is of a video. Export it as `CVAT for",
    ),
    "no height": (
        content_of(IMAGE.replace("height", "tall")),
        "image 'a.jpg': height='', width='8': expected",
    ),
    "a width of text": (
        content_of(IMAGE.replace('"8"', '"wide"')),
        "image 'a.jpg': height='6', width='wide': expected",
    ),
    "a width of zero": (content_of(IMAGE.replace('"8"', '"0"')), "image 'a.jpg': height='6', width='0': expected"),
    "a number of 5000 digits": (
        content_of(IMAGE.replace('"8"', f'"{"8" * 5000}"')),
        "image 'a.jpg': height='6', width='8{20}':",
    ),
    "no name": (content_of(IMAGE.replace("name=", "called=")), "names the file ''"),
}


@pytest.mark.parametrize(("content", "message"), WRONG.values(), ids=WRONG)
def test_wrong_contents_name_file_and_place(tmp_path, content, message):
    write_set(tmp_path)
    write(tmp_path / "annotations.xml", content)
    with pytest.raises(DataError, match=rf"annotations\.xml: {message}"):
        cvat.open_cvat(tmp_path)


def test_entities_are_refused_before_they_grow(tmp_path):
    entities = '<!ENTITY a "aaaaaaaaaa">' + "".join(
        f'<!ENTITY {name} "{f"&{before};" * 10}">' for before, name in zip("abcdefgh", "bcdefghi", strict=True)
    )
    write(tmp_path / "annotations.xml", f"<!DOCTYPE annotations [{entities}]>\n<annotations>&i;</annotations>")
    with pytest.raises(DataError, match="has a document type"):
        open_format(tmp_path)


def test_what_is_not_cvat_is_not_recognised(tmp_path):
    write(tmp_path / "a.xml", "<annotation><filename>a.jpg</filename></annotation>")
    (tmp_path / "annotations.xml").mkdir()
    for path in (
        tmp_path,
        tmp_path / "a.xml",
        tmp_path / "annotations.xml",
        tmp_path / "none.xml",
        tmp_path / "none",
    ):
        assert not cvat.recognise(path)
    write(tmp_path / "b.xml", content_of(""))
    assert cvat.recognise(tmp_path / "b.xml")


def test_a_wrong_attribute_anywhere_is_an_error_that_names_the_file_or_none(tmp_path):
    shapes = (
        '<box label="car" xtl="1" ytl="1" xbr="3" ybr="3" rotation="5" z_order="1"/>'
        '<polygon label="road" points="1,1;4,1;4,3"/><ellipse label="car" cx="4" cy="3" rx="3" ry="2"/>'
        '<mask label="car" rle="0, 2, 2" left="5" top="2" width="2" height="2"/>'
    )
    write_set(tmp_path, cvat_image("a", shapes, subset="train"), of="a")
    content = (tmp_path / "annotations.xml").read_text()
    refused = 0
    for found in re.finditer('="([^"]*)"', content[content.index("<image") :]):
        for junk in ("", "junk", "-1", "3.5", "nan", "1e400", "9" * 5000, "../a.jpg", ";,;", "&#9;"):
            start = content.index("<image") + found.start(1)
            write(tmp_path / "annotations.xml", content[:start] + junk + content[start + len(found[1]) :])
            try:
                drawn(open_format(tmp_path))
            except DataError as error:
                message = str(error)
                refused += 1
            else:
                continue
            assert message.startswith(str(tmp_path))
            assert "\n" not in message
    assert refused > 20
