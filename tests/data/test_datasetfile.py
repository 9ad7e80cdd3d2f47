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
    assert (file.path, file.format, file.splits, file.ignore) == (".", "", {}, ())
    assert (file.encoding, file.snap, file.exclude, file.mend) == (None, 0, (), ())
    assert (file.names, file.labels()) == ((), None)


def test_names_alone_leave_the_values_to_the_masks(read):
    for text in ('classes = ["sky", "road"]', "[classes]\nsky = {}\nroad = {}"):
        file = read(text)
        assert file.names == ("sky", "road")
        assert file.labels() is None
    assert read("classes = {sky = 0, road = 1}").names == ()


@pytest.mark.parametrize(
    ("text", "names", "values"),
    [
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
        ("classes = {sky = 0}", (255,)),
        ("ignore = [11, 12]\nclasses = {sky = 0}", (11, 12, 255)),
        ("ignore = 11\nclasses = {sky = 0}", (11, 255)),
        ("ignore = [11, 255, 11]\nclasses = {sky = 0}", (11, 255)),
        ("[classes]\nbackground = 0\nobject = 255", ()),
        ('[classes]\nsky = "#000000"', ()),
        ('ignore = "#ffffff"\n[classes]\nsky = "#000000"', (0xFFFFFF,)),
    ],
)
def test_255_is_ignored_unless_it_is_a_class(read, text, ignore):
    assert read(text).labels().ignore == ignore


class TestColours:
    def test_classes_of_colours(self, read):
        labels = read('ignore = ["#000000"]\n[classes]\nroad = "#804080"\ncar = ["#00008e", "#0000E6"]').labels()
        assert labels.encoding == "colors"
        assert labels.values == ((0x804080,), (0x00008E, 0x0000E6))
        assert labels.colors == ((128, 64, 128), (0, 0, 142))
        assert labels.ignore == (0,)

    def test_another_colour_to_be_shown_in(self, read):
        labels = read('[classes]\nroad = {value = "#804080", color = "#102030"}').labels()
        assert (labels.values, labels.colors) == (((0x804080,),), ((16, 32, 48),))

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ('sky = 0\nroad = "#804080"', r"value 0: in these masks all values are colours such as #804080"),
            ('encoding = "values"\nroad = "#804080"', r"value #804080: .* all values are whole numbers"),
            ('encoding = "colors"\nroad = 3', r"value 3: .* all values are colours"),
            ('ignore = 11\nroad = "#804080"', r"value 11: .* all values are colours"),
            ('ignore = "#804080"\nroad = 3', r"value #804080: .* all values are whole numbers"),
            ('encoding = "colors"\nignore = 11', r"value 11: .* all values are colours"),
            ('encoding = "objects"\nignore = "#804080"', r"value #804080: .* all values are whole numbers"),
            ('road = "#804080"\ncar = "#804080"', r"Stored value #804080 has two meanings"),
            (
                'road = "#80408"',
                r"classes\.road\.value\.0 = #80408: a value is a whole number, or a colour written #rrggbb",
            ),
            (
                'road = "128, 64, 128"',
                r"classes\.road\.value\.0 = 128, 64, 128: a value is a whole number, or a colour written #rrggbb",
            ),
        ],
    )
    def test_what_is_no_colour_or_should_be_one(self, read, text, words):
        lines = text.split("\n")
        above = [line for line in lines if line.startswith(("encoding", "ignore"))]
        classes = [line for line in lines if line not in above]
        with pytest.raises(DataError, match=rf"dataset\.toml: {words}"):
            read("\n".join([*above, "[classes]", *classes]))


@pytest.mark.parametrize("encoding", ["values", "colors", "channels", "objects"])
def test_encoding_alone_or_with_classes(read, encoding):
    assert read(f'encoding = "{encoding}"').encoding == encoding
    value = '"#000000"' if encoding == "colors" else 0
    assert read(f'encoding = "{encoding}"\n[classes]\nsky = {value}').labels().encoding == encoding


@pytest.mark.parametrize("snap", [0, 0.5, 40, 442])
def test_snap(read, snap):
    assert read(f"snap = {snap}\n[classes]\nsky = 0").labels().snap == snap


def test_what_is_left_out_and_mended(read):
    file = read('exclude = ["train/0007", "b"]\nmend = ["resize", "exif"]\nformat = "folders"')
    assert (file.exclude, file.mend, file.format) == (("train/0007", "b"), ("resize", "exif"), "folders")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('encoding = "colours"', r"encoding = colours: .*'values', 'colors', 'channels' or 'objects'"),
        ("snap = -1", r"snap = -1: .*greater than or equal to 0"),
        ("snap = 443", r"snap = 443: .*less than or equal to 442"),
        ('snap = "near"', r"snap = near: .*number"),
        ('mend = ["rotate"]', r"mend\.0 = rotate: .*'exif' or 'resize'"),
        ('mend = "exif"', r"mend = exif: .*valid (tuple|list)"),
        ("exclude = [7]", r"exclude\.0 = 7: .*string"),
        ('format = "folder"', r"format = 'folder': is unknown\. Did you mean 'folders'\?"),
        ("[classes]\nsky = 0\nroad = {}", r"classes\.road has no value, but others do: give each one"),
        ("[classes]\nsky = []", r"classes\.sky\.value = \[\]: .*at least 1"),
        (
            '[classes]\nsky = "blue"',
            r"classes\.sky\.value\.0 = blue: a value is a whole number, or a colour written #rrggbb",
        ),
        ('ignore = "11"', r"ignore\.0 = 11: a value is a whole number, or a colour written #rrggbb"),
        ('ignore = ["void"]', r"ignore\.0 = void: a value is a whole number, or a colour written #rrggbb"),
        ('clases = ["sky"]', r"clases is unknown\. Did you mean 'classes'\?"),
        ("[classes]\nsky = {valeu = 1}", r"classes\.sky\.valeu is unknown\. Did you mean 'value'\?"),
        ('splits.train = {image = "a", masks = "b"}', r"splits\.train\.image is unknown\. Did you mean 'images'\?"),
        ('splits.train = {images = "a"}', r"splits\.train\.masks is missing"),
        ("splits.train = 3", r"splits\.train = 3: input should be a valid dictionary\.$"),
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
