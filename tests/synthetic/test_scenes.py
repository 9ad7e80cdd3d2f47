"""The drawn scenes: exact, repeatable, and as imbalanced as the street."""

import tomllib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from intarsia.synthetic.scenes import CLASSES, COLORS, draw_scene, write_scenes

BANDS = {
    "background": (0.55, 0.70),
    "road": (0.25, 0.40),
    "vehicle": (0.03, 0.08),
    "pedestrian": (0.005, 0.015),
}


@pytest.fixture(scope="module")
def scenes() -> list[tuple[np.ndarray, np.ndarray]]:
    return [draw_scene(np.random.default_rng([0, 0, number])) for number in range(60)]


@pytest.mark.parametrize("size", [(192, 256), (64, 64), (97, 131), (240, 160), (384, 640)])
def test_a_scene_has_the_size_asked_for(size: tuple[int, int]) -> None:
    image, mask = draw_scene(np.random.default_rng(3), size)
    assert image.shape == (*size, 3)
    assert mask.shape == size
    assert image.dtype == mask.dtype == np.uint8
    assert mask.max() < len(CLASSES)


def test_the_same_generator_draws_the_same_scene_and_another_another() -> None:
    first, again, other = (draw_scene(np.random.default_rng([0, 0, number])) for number in (7, 7, 8))
    assert np.array_equal(first[0], again[0])
    assert np.array_equal(first[1], again[1])
    assert not np.array_equal(first[0], other[0])


def test_class_shares_are_those_of_a_street(scenes: list[tuple[np.ndarray, np.ndarray]]) -> None:
    counts = sum(np.bincount(mask.ravel(), minlength=len(CLASSES)) for _, mask in scenes)
    for name, share in zip(CLASSES, counts / counts.sum(), strict=True):
        low, high = BANDS[name]
        assert low < share < high, f"{name}: {share:.4f} of the pixels, expected {low} to {high}"


def test_the_road_lies_on_the_ground_and_looks_unlike_the_sky(
    scenes: list[tuple[np.ndarray, np.ndarray]],
) -> None:
    contrasts = []
    for image, mask in scenes:
        assert (mask[: len(mask) // 3] != CLASSES.index("road")).all()
        sky, road = image[:12].reshape(-1, 3).mean(axis=0), image[mask == CLASSES.index("road")].mean(axis=0)
        contrasts.append(np.abs(sky - road).max())
    assert np.median(contrasts) > 50


def test_the_image_changes_where_the_mask_does(scenes: list[tuple[np.ndarray, np.ndarray]]) -> None:
    """Colour steps across class borders are several times those elsewhere, and one pixel off they shrink."""

    def step_at_borders(image: np.ndarray, mask: np.ndarray) -> float:
        steps = np.abs(np.diff(image.astype(float), axis=1)).mean(axis=2)
        return float(steps[np.diff(mask.astype(int), axis=1) != 0].mean() / steps.mean())

    exact = np.mean([step_at_borders(image, mask) for image, mask in scenes])
    for shift in (-2, 2):
        moved = np.mean([step_at_borders(image, np.roll(mask, shift, axis=1)) for image, mask in scenes])
        assert exact > 1.5 * moved
    assert exact > 3


def test_files_are_written_as_described(tmp_path: Path) -> None:
    folder = write_scenes(tmp_path / "demo", {"train": 2, "val": 1}, size=(96, 128), seed=5)
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.*"))
    assert names == [
        "dataset.toml",
        "images/train/scene_0001.png",
        "images/train/scene_0002.png",
        "images/val/scene_0001.png",
        "masks/train/scene_0001.png",
        "masks/train/scene_0002.png",
        "masks/val/scene_0001.png",
    ]
    image, mask = draw_scene(np.random.default_rng([5, 1, 1]), (96, 128))
    with Image.open(folder / "images/val/scene_0001.png") as stored:
        assert stored.mode == "RGB"
        assert np.array_equal(np.asarray(stored), image)
    with Image.open(folder / "masks/val/scene_0001.png") as stored:
        assert stored.mode == "P"
        assert np.array_equal(np.asarray(stored), mask)
        assert stored.getpalette()[:12] == [channel for color in COLORS for channel in color]


def test_the_dataset_file_names_the_classes(tmp_path: Path) -> None:
    write_scenes(tmp_path, {"train": 1}, size=(32, 32))
    classes = tomllib.loads((tmp_path / "dataset.toml").read_text(encoding="utf-8"))["classes"]
    assert list(classes) == list(CLASSES)
    assert [entry["value"] for entry in classes.values()] == [0, 1, 2, 3]
    assert classes["background"]["color"] == "#20242c"


def test_the_same_seed_writes_the_same_bytes(tmp_path: Path) -> None:
    one, two = (write_scenes(tmp_path / name, {"train": 2}, size=(48, 64)) for name in ("one", "two"))
    for path in one.rglob("*.*"):
        assert path.read_bytes() == (two / path.relative_to(one)).read_bytes()
