"""What a report shows: every class if possible, every split, the gravest first, and small pictures of anything."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from intarsia.data.check.features import Alignment
from intarsia.data.check.inspection import Inspection, inspect
from intarsia.data.check.looks import Look
from intarsia.data.index import find_dataset
from intarsia.draw import IGNORED_COLOR, MARK_COLOR, marked, outlined
from intarsia.exhibits import UNKNOWN, doubtful, is_wide, moved, samples, troubled, twins, view
from intarsia.labels import Labels
from tests.conftest import write_pair
from tests.small import noise

LABELS = Labels(("road", "car"), ((10, 20, 30), (200, 0, 100)), ((0,), (7,)))


def inspected(root: Path) -> Inspection:
    return inspect(find_dataset(root))


def a_look(folder: Path, image: np.ndarray, mask: np.ndarray) -> Look:
    """The only training pair of a new dataset."""
    write_pair(folder, "a", image, mask, "train")
    return inspected(folder).looks[0]


def test_every_class_is_seen_however_rare(tmp_path: Path) -> None:
    for number in range(40):
        mask = np.zeros((20, 20), np.uint8)
        mask[:10] = 1 + number % 2
        if number in (5, 7):
            mask[:, :10] = np.arange(20)[:, None] // 5 + 6  # the most classes, but the same ones
        if number in (3, 17, 31):
            mask[15:18, 15:18] = {3: 3, 17: 4, 31: 5}[number]
        write_pair(tmp_path, f"{number:02}", noise(20, 20, 3, seed=number), mask, "val" if number > 30 else "train")
    chosen = samples(inspected(tmp_path), 5)
    assert {"03", "17", "31"} <= {look.pair.name for look in chosen}
    assert [look.split for look in chosen] == ["train"] * 3 + ["val"] * 2


def test_samples_are_spread_over_splits_and_names(tmp_path: Path) -> None:
    for split, number in (("train", 30), ("val", 9), ("test", 2)):
        for place in range(number):
            mask = np.arange(64, dtype=np.uint8).reshape(8, 8) // 32
            write_pair(tmp_path, f"{place:02}", noise(8, 8, 3, seed=place + number * 100), mask, split)
    chosen = samples(inspected(tmp_path), 12)
    assert [look.split for look in chosen] == ["train"] * 7 + ["val"] * 3 + ["test"] * 2
    names = [int(look.pair.name) for look in chosen if look.split == "train"]
    assert max(np.diff([0, *names, 29])) <= 12


def test_there_may_be_fewer_pairs_than_samples(tmp_path: Path) -> None:
    for split in ("train", "val"):
        write_pair(tmp_path, "a", noise(8, 8, 3), np.arange(64, dtype=np.uint8).reshape(8, 8) // 32, split)
    assert len(samples(inspected(tmp_path), 12)) == 2


def test_twins_of_each_kind_come_in_turn_and_of_a_series_one_first(tmp_path: Path) -> None:
    masks = np.arange(64, dtype=np.uint8).reshape(8, 8) // 32

    def add(name: str, seed: int, split: str, mask: np.ndarray = masks) -> None:
        write_pair(tmp_path, name, noise(32, 32, 3, seed=seed), mask.repeat(4, 0).repeat(4, 1), split)

    for name in ("series1", "series2", "series3"):
        add(name, 1, "train")
    for name in ("twin1", "twin2"):
        add(name, 2, "train")
    add("leak", 3, "train")
    add("leak", 3, "val")
    add("quarrel1", 4, "train")
    add("quarrel2", 4, "train", masks * masks.T)
    shown = [(finding.id, one.pair.name, other.pair.name) for finding, one, other in twins(inspected(tmp_path))]
    assert shown[:4] == [
        ("leak", "leak", "leak"),
        ("contradiction", "quarrel1", "quarrel2"),
        ("duplicates", "series1", "series2"),
        ("duplicates", "twin1", "twin2"),
    ]
    assert len(shown) == 6


def test_troubled_masks_are_few_of_each_kind_the_gravest_first(tmp_path: Path) -> None:
    for number in range(12):
        mask = np.arange(400, dtype=np.uint8).reshape(20, 20) // 200
        mask = mask[:, :7] if number < 5 else mask
        if number == 8:
            mask[3, 3] = 1
        write_pair(tmp_path, f"{number:02}", noise(20, 20, 3, seed=number), mask, "val" if number > 9 else "train")
    shown = [(finding.id, look.pair.name) for finding, look in troubled(inspected(tmp_path), 2)]
    assert shown == [("size-differs", "00"), ("size-differs", "01"), ("speckle", "08")]


def test_named_misalignments_come_first(tmp_path: Path) -> None:
    rows, columns = np.mgrid[:96, :96]
    for number in range(16):
        generator = np.random.default_rng(number)
        y, x, radius = *generator.integers(25, 45, 2), generator.integers(12, 20)
        mask = ((rows - y) ** 2 + (columns - x) ** 2 < radius**2).astype(np.uint8)
        image = np.repeat((mask * 150 + 50)[:, :, None], 3, 2) + generator.integers(
            0, 20, (96, 96, 1), dtype=np.uint8
        )
        mask = np.ascontiguousarray(mask[::-1, ::-1]) if number == 4 else mask
        write_pair(tmp_path, f"{number:02}", image, mask, "val" if number > 12 else "train")
    shown = doubtful(inspected(tmp_path), 3)
    assert [(shown[0][0].pair.name, shown[0][1])] == [("04", True)]
    assert [named for _, named in shown[1:]] == [False, False]


def test_a_view_is_small_and_keeps_its_classes(tmp_path: Path) -> None:
    mask = np.zeros((1200, 900), np.uint8)
    mask[700:] = 7
    seen = view(a_look(tmp_path, noise(1200, 900, 3), mask), LABELS)
    height, width = seen.image.shape[:2]
    assert seen.size == seen.mask_size == (1200, 900)
    assert height / width == pytest.approx(4 / 3, abs=0.01)
    assert height * width == pytest.approx(280 * 280, rel=0.02)
    assert seen.mask.shape == (height, width)
    assert seen.classes == [0, 1]
    assert (seen.colored[0, 0].tolist(), seen.colored[-1, 0].tolist()) == ([10, 20, 30], [200, 0, 100])
    assert seen.over_image.shape == seen.image.shape


@pytest.mark.parametrize("size", [(1, 3000), (3000, 1), (1, 1), (400, 9000)], ids=str)
def test_a_view_of_any_shape_is_small(tmp_path: Path, size: tuple[int, int]) -> None:
    mask = np.zeros(size, np.uint8)
    mask.flat[::2] = 7
    seen = view(a_look(tmp_path, noise(*size, 3), mask), LABELS)
    assert 1 <= min(seen.image.shape[:2]) <= max(seen.image.shape[:2]) <= 640
    assert is_wide(seen.size) == (size[1] > 2.5 * size[0])


def test_values_without_a_meaning_are_marked_even_where_one_pixel_would_be_lost(tmp_path: Path) -> None:
    mask = np.zeros((1000, 1000), np.uint8)
    mask[501, 503] = 99
    mask[:100] = 7
    look = a_look(tmp_path, noise(1000, 1000, 3), mask)
    seen = view(look, LABELS, "unknown-values")
    assert seen.spots is not None
    spot = np.argwhere(seen.spots).mean(axis=0) / seen.spots.shape
    assert spot == pytest.approx([0.5, 0.5], abs=0.01)
    assert (seen.explained == MARK_COLOR).all(axis=2).sum() >= seen.spots.sum() > 0
    assert view(look, LABELS).spots is None


@pytest.mark.parametrize("other", [0, 255])
def test_only_the_class_of_a_few_pixels_is_marked(tmp_path: Path, other: int) -> None:
    mask = np.full((50, 50), other, np.uint8)
    mask[10:12, 20:22] = 7
    mask[0] = 255
    seen = view(a_look(tmp_path, noise(50, 50, 3), mask), LABELS, "small-objects")
    assert seen.spots is not None
    assert np.argwhere(seen.spots).tolist() == [[10, 20], [10, 21], [11, 20], [11, 21]]


def test_values_without_a_meaning_look_ignored(tmp_path: Path) -> None:
    mask = np.full((20, 20), 99, np.uint8)
    mask[:10] = 7
    seen = view(a_look(tmp_path, noise(20, 20, 3), mask), LABELS)
    assert seen.mask[15, 15] == UNKNOWN
    assert tuple(seen.colored[15, 15]) == IGNORED_COLOR
    assert seen.classes == [1]


def test_without_classes_a_mask_is_shown_as_it_is(tmp_path: Path) -> None:
    grey = np.array([[0, 0, 3, 3], [6, 6, 6, 6]], np.uint8).repeat(8, 0)
    seen = view(a_look(tmp_path / "grey", noise(16, 4, 3), grey), None)
    assert [int(value) for value in np.unique(seen.over_image)] == [0, 127, 255]
    colors = np.zeros((16, 4, 3), np.uint8)
    colors[:8] = (200, 30, 60)
    seen = view(a_look(tmp_path / "colors", noise(16, 4, 3), colors), None)
    assert (seen.over_image == colors).all()


def test_a_mask_of_another_kind_is_shown_as_it_is(tmp_path: Path) -> None:
    colors = np.zeros((16, 16, 3), np.uint8)
    colors[:8] = (200, 30, 60)
    seen = view(a_look(tmp_path, noise(16, 16, 3), colors), LABELS)
    assert seen.labels is None
    assert (seen.colored == colors).all()


def test_borders_move_as_it_is_said() -> None:
    mask = np.zeros((40, 60), np.uint8)
    mask[5:10, 20:30] = 1

    def where(alignment: Alignment) -> list[int]:
        rows, columns = np.nonzero(moved(mask, alignment))
        return [int(number) for number in (rows.min(), rows.max(), columns.min(), columns.max())]

    assert where(Alignment(0, 2, 0, 1, 0, 0)) == [5, 9, 30, 39]
    assert where(Alignment(0, 2, 1, 1, 0, 0)) == [30, 34, 20, 29]
    assert where(Alignment(0, 2, 2, 1, 0, 0)) == [30, 34, 30, 39]
    assert where(Alignment(0, 1, 0, 2, 0.2, -0.1)) == [17, 21, 14, 23]


def test_outlines_lie_on_the_borders_only() -> None:
    mask = np.zeros((20, 20), np.uint8)
    mask[10:] = 1
    image = np.full((20, 20, 3), 100, np.uint8)
    drawn = outlined(image, mask)
    assert len(np.unique(drawn[10].reshape(-1, 3), axis=0)) == 1
    assert (drawn[10] != image[10]).any()
    assert (drawn[:9] == 100).all()
    assert (drawn[12:] == 100).all()
    assert (outlined(image, np.zeros_like(mask)) == image).all()
    assert image.max() == 100


def test_marks_stand_out_from_a_faded_image() -> None:
    image = noise(20, 20, 3)
    chosen = np.zeros((20, 20), bool)
    chosen[5, 5] = True
    drawn = marked(image, chosen)
    assert (drawn == MARK_COLOR).all(axis=2).sum() == 9
    rest = drawn[10:]
    assert (rest == rest[:, :, :1]).all()
    assert rest.min() >= 96


def test_pictures_of_any_depth_can_be_shown(tmp_path: Path) -> None:
    mask = np.arange(64, dtype=np.uint8).reshape(8, 8) // 32
    for kind, pixels in (("16", noise(8, 8).astype(np.uint16) * 200), ("8", noise(8, 8))):
        folder = tmp_path / kind
        write_pair(folder, "a", noise(8, 8, 3), mask, "train")
        Image.fromarray(pixels).save(folder / "images" / "train" / "a.png")
        seen = view(inspected(folder).looks[0], None)
        assert seen.image.shape == (8, 8, 3)
        assert seen.image.dtype == np.uint8
