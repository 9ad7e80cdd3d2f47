"""Each layout is recognised by its own format alone, and by none where it only looks alike."""

import os

import pytest

from intarsia.data.formats import FORMATS, open_format
from tests.data.formats.layouts import SAMPLES, save, scene, write, write_folders


def recognisers(path):
    return [name for name, format in FORMATS.items() if name != "folders" and format.recognise(path)]


@pytest.mark.parametrize("sample", SAMPLES)
def test_one_format_alone_recognises_a_layout(tmp_path, sample):
    name, writer = SAMPLES[sample]
    writer(tmp_path)
    assert recognisers(tmp_path) == ([name] if name != "folders" else [])
    assert open_format(tmp_path).format == name


@pytest.mark.parametrize("name", FORMATS)
def test_recognisers_never_raise(tmp_path, name):
    """Nothing, a file, a pipe, a broken link, folders that look promising but are empty or files."""
    os.mkfifo(tmp_path / "pipe.csv")
    os.mkfifo(tmp_path / "pipe.yaml")
    (tmp_path / "link").symlink_to("nowhere")
    (tmp_path / "loop").symlink_to(".")
    write(tmp_path / "picture.png", "no picture")
    write(tmp_path / "odd.csv", "image,mask\n\0")
    write(tmp_path / "odd.json", "{")
    write(tmp_path / "JPEGImages")
    write(tmp_path / "images/trimaps")
    for folder in (
        "SegmentationClass",
        "train",
        "masks/train",
        "annotations/trimaps",
        "gtFine",
        "leftImg8bit/train",
    ):
        (tmp_path / folder).mkdir(parents=True)
    for path in (tmp_path, tmp_path / "none", *tmp_path.iterdir()):
        assert FORMATS[name].recognise(path) in (True, False)


PLAIN = {
    "nested": ["images/day/a.png", "images/night/a.png", "masks/day/a.png", "masks/night/a.png"],
    "nested splits of masks": ["images/a.png", "images/b.png", "masks/train/a.png", "masks/val/b.png"],
    "one folder of masks": ["images/a.png", "images/b.png", "masks/png/a.png", "masks/png/b.png"],
    "masks beside folders": ["images/a.png", "images/b.png", "masks/a.png", "masks/x/a.png", "masks/y/b.png"],
    "folders of other names": ["images/a.png", "masks/x/c.png", "masks/y/d.png"],
    "one ending": ["images/a.png", "images/b.png", "masks/a_P.png", "masks/b_P.png"],
    "plain endings": [
        f"{one}.png" for name in "ab" for one in (f"images/{name}", f"masks/{name}_mask", f"masks/{name}_gt")
    ],
    "numbers": [
        f"{kind}.png" for name in "ab" for kind in (f"images/{name}", f"masks/{name}_1", f"masks/{name}_2")
    ],
    "own names": [
        f"{one}.png" for name in "ab" for one in (f"images/{name}", *(f"masks/{name}{x}" for x in ("", "_x", "_y")))
    ],
    "an ending for each": ["images/a.png", "images/b.png", "masks/a_x.png", "masks/b_y.png"],
    "splits": ["train/images/a.png", "train/masks/a.png", "val/images/b.png", "val/masks/b.png"],
    "detection beside": ["images/a.png", "masks/a.png", "JPEGImages/a.jpg", "Annotations/a.png"],
}


@pytest.mark.parametrize("files", PLAIN.values(), ids=PLAIN)
def test_plain_layouts_stay_plain(tmp_path, files):
    for file in files:
        save(tmp_path / file, scene("a")[0])
    assert recognisers(tmp_path) == []


@pytest.mark.parametrize(
    "text",
    [
        "image,mask\na.png,cat\n",
        "filename,label\na.jpg,dog\n",
        "image\na.png\n",
        "a,b\na.png,b.png\n",
        "image,mask\n",
        "image,mask\na.png\n",
    ],
)
def test_other_tables_are_no_lists_of_pairs(tmp_path, text):
    write_folders(tmp_path)
    write(tmp_path / "table.csv", text)
    assert recognisers(tmp_path) == []
    assert recognisers(tmp_path / "table.csv") == []
