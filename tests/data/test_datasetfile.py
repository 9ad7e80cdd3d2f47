"""The dataset file: classes in each of their forms, and one clear line for what is wrong."""

import pytest

from intarsia.data.datasetfile import read_dataset_file
from intarsia.errors import DataError
from intarsia.labels import Labels, distinct_colors

SKY_ROAD_CAR = ("sky", "road", "car")


@pytest.fixture
def read(tmp_path):
    def write_and_read(text: str):
        (tmp_path / "dataset.toml").write_text(text, encoding="utf-8")
        return read_dataset_file(tmp_path / "dataset.toml")

    return write_and_read


def test_nothing_needs_to_be_said(read):
    file = read("")
    assert (file.path, file.splits, file.ignore, file.labels()) == (".", {}, (), None)


@pytest.mark.parametrize(
    ("text", "names", "values"),
    [
        ('classes = ["sky", "road"]', ("sky", "road"), ((0,), (1,))),
        ("classes = {sky = 3, road = 1}", ("sky", "road"), ((3,), (1,))),
        ("[classes]\nsky = 300\nroad = {value = 7}\ncar = {value = [8, 9]}", SKY_ROAD_CAR, ((300,), (7,), (8, 9))),
        ("[classes]\nroad = [8, 9]", ("road",), ((8, 9),)),
        ("[classes.sky]\nvalue = 0", ("sky",), ((0,),)),
    ],
)
def test_classes_in_each_form(read, text, names, values):
    assert read(text).labels() == Labels(names, distinct_colors(len(names)), values)


def test_colors(read):
    labels = read('[classes]\nsky = 0\nroad = {value = 1, color = "#804080"}').labels()
    assert labels.colors == (distinct_colors(1)[0], (128, 64, 128))


@pytest.mark.parametrize(
    ("text", "ignore"),
    [
        ('classes = ["sky"]', (255,)),
        ('ignore = [11, 12]\nclasses = ["sky"]', (11, 12, 255)),
        ('ignore = 11\nclasses = ["sky"]', (11, 255)),
        ("[classes]\nbackground = 0\nobject = 255", ()),
    ],
)
def test_255_is_ignored_unless_it_is_a_class(read, text, ignore):
    assert read(text).labels().ignore == ignore


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('clases = ["sky"]', r"clases is unknown\. Did you mean 'classes'\?"),
        ("[classes]\nsky = {valeu = 1}", r"classes\.sky\.valeu is unknown\. Did you mean 'value'\?"),
        ('splits.train = {image = "a", masks = "b"}', r"splits\.train\.image is unknown\. Did you mean 'images'\?"),
        ('splits.train = {images = "a"}', r"splits\.train\.masks is missing"),
        ('splits.dev = {images = "a", masks = "b"}', r"splits\.dev.* = dev: .*'train', 'val' or 'test'"),
        ('[classes]\nsky = {value = 0, color = "red"}', r"classes\.sky\.color = red: .*#rrggbb"),
        ('[classes]\nsky = {value = 0, color = "#12345678"}', r"classes\.sky\.color = #12345678: .*#rrggbb"),
        ("[classes]\nsky = 0\nroad = 0", r"Stored value 0 has two meanings"),
        ("ignore = [3]\nclasses = {sky = 3}", r"Stored value 3 has two meanings"),
        ('classes = ["sky", "sky"]', r"Class names must differ: 'sky' stands twice"),
        ("[classes]\nsky = -1", r"classes\.sky\.value\.0 = -1: .*greater than or equal to 0"),
        ("[classes]\nsky = 65536", r"classes\.sky\.value\.0 = 65536: .*65535"),
        ("[classes]\nsky = 1.0", r"classes\.sky\.value = 1\.0"),
        ("[classes]\nsky = true", r"classes\.sky\.value\.0 = True: .*integer"),
        ("[classes]\nsky = {value = []}", r"classes\.sky\.value = \[\]: .*at least 1"),
        ("ignore = [70000]", r"ignore\.0 = 70000: .*65535"),
        ("classes = 3", r"classes = 3"),
        ("classes = [", r"is not valid TOML"),
        ("[classes]\nsky = 0\nsky = 1", r"is not valid TOML: .*overwrite"),
    ],
)
def test_what_is_wrong_is_named(read, text, words):
    with pytest.raises(DataError, match=rf"dataset\.toml: {words}"):
        read(text)
