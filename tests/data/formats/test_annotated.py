"""All formats of annotations together: each recognises its own alone, and none falls over what it reads."""

import copy
import json
import os

import pytest

from intarsia.data.formats import FORMATS, open_format
from intarsia.data.index import find_dataset
from intarsia.errors import DataError
from tests.data.formats.annotated import (
    ANNOTATED,
    coco,
    drawn,
    labelme,
    supervisely_scene,
    write_json,
    write_nnunet,
)
from tests.data.formats.layouts import save, scene, write


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("INTARSIA_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.mark.parametrize(("name", "writer"), ANNOTATED.values(), ids=ANNOTATED)
def test_one_format_alone_recognises_a_layout(tmp_path, name, writer):
    writer(tmp_path)
    found = [other for other, format in FORMATS.items() if other != "folders" and format.recognise(tmp_path)]
    assert found == [name]
    dataset = find_dataset(tmp_path)
    assert dataset.format == name
    assert dataset.root == tmp_path
    assert dataset.strays == ()
    for pairs in dataset.splits.values():
        assert [pair.name for pair in pairs] == sorted(pair.name for pair in pairs)


@pytest.mark.parametrize("name", sorted({name for name, _ in ANNOTATED.values()}))
def test_recognisers_never_raise(tmp_path, name):
    for file in ("pipe.json", "pipe.xml", "pipe.parquet", "sub/ann/pipe.json"):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        os.mkfifo(tmp_path / file)
    for folder in ("annotations.xml", "dataset.json", "imagesTr", "data/train.parquet", "annotations/train.json"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "meta.json").symlink_to("nowhere")
    (tmp_path / "loop").symlink_to(".")
    write(tmp_path / "train/odd.json", "\0\0")
    (tmp_path / "train/bytes.json").write_bytes(bytes(range(256)))
    for path in (tmp_path, tmp_path / "none", tmp_path / ("x" * 300), *tmp_path.rglob("*")):
        assert FORMATS[name].recognise(path) is False


# --- wrong values in every place ---------------------------------------------------------------------------------

JUNK = [None, True, -1, 3.5, 10**400, float("nan"), "junk", "\ud800", "../a.jpg", [], [1], [[]], {}, {"junk": 1}]


def places(content, place=()):
    """All keys and indices, at every depth."""
    entries = (
        content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    )
    for key, value in entries:
        yield (*place, key)
        yield from places(value, (*place, key))


def changed(content, place, value):
    """A copy with another value in one place; without it where the value is `...`."""
    content = copy.deepcopy(content)
    inner = content
    for key in place[:-1]:
        inner = inner[key]
    if value is ...:
        del inner[place[-1]]
    else:
        inner[place[-1]] = value
    return content


def write_one_coco(root):
    save(root / "a.jpg", scene("a")[0])
    content = coco("a")
    content["annotations"][0]["segmentation"] = {"counts": [0, 48], "size": [6, 8]}
    content["annotations"][1]["segmentation"] = [[0, 2, 8, 2, 8, 6]]
    return write_json(root / "set.json", content)


def write_one_labelme(root):
    save(root / "a.jpg", scene("a")[0])
    content = labelme("a", "a.jpg")
    content["shapes"].append({"label": "x", "points": [[1, 1]], "shape_type": "mask", "mask": "AAAA"})
    return write_json(root / "a.json", content)


def write_one_supervisely(root):
    save(root / "set/img/a.jpg", scene("a")[0])
    write_json(root / "meta.json", {"classes": [{"title": "road", "color": "#000000"}, {"title": "car"}]})
    return write_json(root / "set/ann/a.jpg.json", supervisely_scene("a"))


def write_classes_of_supervisely(root):
    write_one_supervisely(root)
    return root / "meta.json"


def write_one_nnunet(root):
    write_nnunet(root)
    return root / "dataset.json"


WRITERS = {
    "coco": write_one_coco,
    "labelme": write_one_labelme,
    "supervisely": write_one_supervisely,
    "supervisely, classes": write_classes_of_supervisely,
    "nnunet": write_one_nnunet,
}


def refusal(root, name):
    """What opening, and drawing all masks, ends with; an empty text where all goes well."""
    try:
        dataset = FORMATS[name].open(root)
        for split in dataset.splits if name != "nnunet" else ():
            drawn(dataset, split)
    except DataError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("what", WRITERS)
def test_a_wrong_value_anywhere_is_an_error_that_names_the_file_or_none(tmp_path, what):
    file = WRITERS[what](tmp_path)
    content = json.loads(file.read_text())
    name = what.split(",")[0]
    refused = 0
    for place in list(places(content)):
        for value in (..., *JUNK):
            write_json(file, changed(content, place, value))
            message = refusal(tmp_path, name)
            assert message.startswith(str(tmp_path)) or not message, (place, value)
            assert "\n" not in message, (place, value)
            refused += bool(message)
    assert refused > 20
    write_json(file, content)
    open_format(tmp_path)
