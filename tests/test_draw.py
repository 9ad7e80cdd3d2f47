"""Pictures for people: exact colours, sizes that follow from the parts, and nothing too small or too long."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from intarsia.draw import (
    IGNORED_COLOR,
    color_mask,
    contact_sheet,
    curves,
    overlay,
    panel,
    rgb,
    triptych,
    write_mask,
    write_picture,
)
from intarsia.errors import MachineError
from intarsia.labels import Labels
from tests.small import noise

LABELS = Labels(("road", "car"), ((10, 20, 30), (200, 0, 100)), ((0,), (1,)))
SIZES = pytest.mark.parametrize("size", [(1, 1), (1, 5000), (5000, 1), (2, 3), (300, 200), (4, 1)], ids=str)
GAP, CAPTION = 8, 22


def mask_like(image: np.ndarray) -> np.ndarray:
    return np.array([0, 1, 255], dtype=np.uint8)[image[:, :, 0] % 3]


def test_masks_are_coloured_exactly() -> None:
    mask = np.array([[0, 1, 255], [1, 0, 17]], dtype=np.uint8)
    road, car = LABELS.colors
    assert color_mask(mask, LABELS).tolist() == [
        [list(road), list(car), list(IGNORED_COLOR)],
        [list(car), list(road), list(IGNORED_COLOR)],
    ]


@pytest.mark.parametrize("dtype", [np.uint8, np.int64])
def test_many_classes_are_coloured_with_the_wide_ignore_index(dtype: type) -> None:
    labels = Labels.of_values(range(300))
    mask = np.array([[0, 255, 299, 65535]])
    picture = color_mask(mask if dtype is np.int64 else mask.astype(np.uint16), labels)
    assert picture[0].tolist() == [list(c) for c in (labels.colors[0], labels.colors[255], labels.colors[299])] + [
        list(IGNORED_COLOR)
    ]


@SIZES
def test_an_overlay_is_half_image_half_class_and_leaves_ignored_pixels(size: tuple[int, int]) -> None:
    image = noise(*size, 3)
    mask = mask_like(image)
    tinted = overlay(image, mask, LABELS)
    expected = (image.astype(float) + color_mask(mask, LABELS)) / 2
    ignored = mask == 255
    assert np.array_equal(tinted[ignored], image[ignored])
    assert np.abs(tinted[~ignored] - expected[~ignored]).max(initial=0) <= 0.5


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (np.array([[[7]]], np.uint8), [[[7, 7, 7]]]),
        (np.array([[[7, 9]]], np.uint8), [[[7, 7, 7]]]),
        (np.array([[[1, 2, 3]]], np.uint8), [[[1, 2, 3]]]),
        (np.array([[[1, 2, 3, 4, 5]]], np.uint8), [[[1, 2, 3]]]),
        (np.array([[[500], [500]]], np.uint16), [[[0] * 3, [0] * 3]]),
    ],
    ids=["grey", "two bands", "colour", "five bands", "constant 16-bit"],
)
def test_any_image_can_be_shown(image: np.ndarray, expected: list) -> None:
    assert rgb(image).tolist() == expected


@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_what_is_not_8_bit_is_stretched_between_its_percentiles(dtype: type) -> None:
    image = np.linspace(0, 1000, 101).astype(dtype).reshape(1, 101, 1)
    shown = rgb(image)[0, :, 0]
    assert (shown[:2].max(), shown[-2:].min()) == (0, 255)
    assert shown[50] in (127, 128)
    assert (np.diff(shown.astype(int)) >= 0).all()


@pytest.mark.parametrize("size", [(300, 200), (640, 640), (350, 640)], ids=str)
def test_a_triptych_is_three_pictures_wide(size: tuple[int, int]) -> None:
    image = noise(*size, 3)
    mask = mask_like(image)
    sheet = triptych(image, mask, LABELS)
    height, width = size
    scale = 320 // max(size) or 1
    assert sheet.shape[1] == 3 * width * scale + 4 * GAP
    top = CAPTION + GAP // 2
    parts = [sheet[top : top + height, GAP * (n + 1) + width * n :][:, :width] for n in range(3)]
    for part, expected in zip(parts, (image, color_mask(mask, LABELS), overlay(image, mask, LABELS)), strict=True):
        assert np.array_equal(part, expected)


@SIZES
def test_a_triptych_of_any_size_stays_readable(size: tuple[int, int]) -> None:
    image = noise(*size, 3)
    height, width, bands = triptych(image, mask_like(image), LABELS).shape
    assert bands == 3
    assert 120 < width <= 3 * 640 + 4 * GAP
    assert 50 < height <= 640 + 200


def test_small_pictures_are_enlarged_in_whole_squares() -> None:
    image = noise(2, 3, 3)
    sheet = triptych(image, np.zeros((2, 3), np.uint8), LABELS)
    top = CAPTION + GAP // 2
    assert np.array_equal(sheet[top : top + 212, GAP : GAP + 318], image.repeat(106, axis=0).repeat(106, axis=1))


def test_the_legend_names_what_occurs_in_its_colour() -> None:
    image = noise(200, 400, 3) // 2
    only_road = triptych(image, np.zeros((200, 400), np.uint8), LABELS)
    legend = only_road[CAPTION + GAP + 200 :].reshape(-1, 3).tolist()
    assert list(LABELS.colors[0]) in legend
    assert list(LABELS.colors[1]) not in legend


def test_a_long_legend_wraps() -> None:
    labels = Labels.of_values(range(40), names=[f"a rather long name {number}" for number in range(40)])
    image = noise(100, 150, 3)
    few, many = (panel([{"image": image}], labels, shown=np.arange(number)) for number in (1, 40))
    assert few.shape[1] == many.shape[1] == 150 + 2 * GAP
    assert many.shape[0] - few.shape[0] == 39 * CAPTION
    assert panel([{"image": image}], labels).shape == many.shape


def test_a_panel_has_rows_of_their_own_height_under_common_columns() -> None:
    rows = [
        {"one": noise(200, 300, 3), "two": noise(200, 310, 3)},
        {"one": noise(250, 190, 3), "two": noise(160, 320, 3)},
    ]
    sheet = panel(rows, LABELS)
    assert sheet.shape == (CAPTION + 200 + 250 + 3 * GAP + CAPTION, 300 + 320 + 3 * GAP, 3)
    left, top = GAP + 300 + GAP, CAPTION + GAP // 2 + 200 + GAP
    assert np.array_equal(sheet[top : top + 160, left : left + 320], rows[1]["two"])


@pytest.mark.parametrize(("pairs", "rows"), [(1, 1), (4, 1), (5, 2), (16, 4)])
def test_a_contact_sheet_has_four_pairs_in_a_row(pairs: int, rows: int) -> None:
    samples = [(noise(120, 170, 3, seed=n), np.zeros((120, 170), np.uint8)) for n in range(pairs)]
    sheet = contact_sheet(samples, LABELS)
    assert sheet.shape == (CAPTION + rows * (120 + GAP) + GAP + CAPTION, 8 * 170 + 9 * GAP, 3)
    top = CAPTION + GAP // 2
    assert np.array_equal(sheet[top : top + 120, GAP : GAP + 170], samples[0][0])


@pytest.mark.parametrize(
    "history",
    [
        [],
        [{"kind": "train", "step": 10, "loss": 1.0, "lr": 0.1}],
        [{"kind": "val", "step": 10, "miou": None}, {"kind": "val", "step": 20, "miou": 0.5}],
    ],
    ids=["empty", "before the first validation", "a score that is none"],
)
def test_curves_can_be_drawn_of_any_history(history: list[dict], tmp_path: Path) -> None:
    curves(history, tmp_path / "curves.png")
    with Image.open(tmp_path / "curves.png") as picture:
        assert picture.width > 3 * picture.height / 2


def test_a_written_mask_holds_indices_and_shows_colours(tmp_path: Path) -> None:
    mask = np.array([[0, 1], [255, 1]], dtype=np.int64)
    write_mask(mask, LABELS, tmp_path / "mask.png")
    with Image.open(tmp_path / "mask.png") as file:
        assert file.mode == "P"
        assert np.array_equal(np.asarray(file), mask)
        assert np.array_equal(np.asarray(file.convert("RGB")), color_mask(mask, LABELS))


def test_a_picture_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(MachineError, match=r"gone/picture\.png: cannot be written"):
        write_picture(noise(2, 2, 3), tmp_path / "gone" / "picture.png")


def test_what_is_no_number_or_not_known_does_not_darken_the_rest() -> None:
    image = noise(40, 50, 1).astype(np.float32)
    expected = rgb(image[5:])
    known = np.ones((40, 50), bool)
    known[:5] = False
    for hole in (np.nan, np.inf, -9999):
        image[:5] = hole
        assert np.array_equal(rgb(image, known)[5:], expected)
    assert not rgb(np.full((2, 2, 1), np.nan)).any()
