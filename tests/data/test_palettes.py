"""Known palettes against what their own documents say."""

import pytest

from intarsia.data.palettes import (
    ADE20K_NAMES,
    CAMVID_NAMES,
    CITYSCAPES_IDS,
    PALETTES,
    VOC_NAMES,
    find_palette,
)
from intarsia.labels import packed


def test_the_voc_colours_are_those_of_the_development_kit():
    colors = PALETTES["voc"].colors
    assert list(colors) == list(VOC_NAMES)
    assert " ".join(f"{packed(color):06x}" for color in colors.values()) == (
        "000000 800000 008000 808000 000080 800080 008080 808080 400000 c00000 408000 c08000 400080 c00080 408080 "
        "c08080 004000 804000 00c000 80c000 004080"
    )


def test_class_counts_and_order():
    assert [len(PALETTES[name].colors) for name in ("voc", "cityscapes", "camvid")] == [21, 19, 31]
    assert [*CITYSCAPES_IDS.values()] == [7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33]
    assert list(PALETTES["cityscapes"].colors) == list(CITYSCAPES_IDS)
    assert len(set(ADE20K_NAMES)) == 150
    assert [ADE20K_NAMES[value - 1] for value in (1, 21, 76, 150)] == ["wall", "car", "swivel chair", "flag"]
    assert CAMVID_NAMES.index("bicyclist") == 10


@pytest.mark.parametrize("name", PALETTES)
def test_every_colour_means_one_thing(name):
    palette = PALETTES[name]
    labels = palette.labels()
    assert labels.names == tuple(palette.colors)
    assert labels.encoding == "colors"
    assert set(labels.ignore) == {packed(color) for color in palette.void.values()}


@pytest.mark.parametrize("name", PALETTES)
def test_a_palette_is_found_by_its_colours(name):
    palette = PALETTES[name]
    assert find_palette([*palette.colors.values(), *palette.void.values()]) is palette
    assert find_palette([*list(palette.colors.values())[-3:], (0, 0, 0)]) is palette


def test_the_smallest_palette_that_fits_is_taken():
    shared = set(PALETTES["voc"].colors.values()) & set(PALETTES["camvid"].colors.values()) - {(0, 0, 0)}
    assert len(shared) >= 3
    assert find_palette(shared) is PALETTES["voc"]
    assert find_palette({*shared, (64, 192, 0)}) is PALETTES["camvid"]


@pytest.mark.parametrize(
    "colors",
    [
        [],
        [(0, 0, 0), (128, 0, 0), (0, 128, 0)],
        [(128, 0, 0), (0, 128, 0), (128, 128, 0), (1, 2, 3)],
        [(128, 0, 0), (0, 128, 0), (244, 35, 232), (70, 70, 70)],
    ],
    ids=["none", "too few", "one of no palette", "of two palettes"],
)
def test_other_colours_are_of_no_palette(colors):
    assert find_palette(colors) is None
