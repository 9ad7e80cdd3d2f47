"""Rasters with borders that hold no data, the whole way: check, train, evaluate, predict."""

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
from PIL import Image
from rasterio.crs import CRS
from safetensors.torch import load_file

import intarsia
from intarsia.runs import read_metrics

BANDS, SIZE = 4, (48, 64)
NODATA = -9999.0
MEANS, SPREAD = np.array([400, -300, 0, 900]), np.array([300, 200, 250, 350])
SETTINGS = {
    "train": {"steps": 40, "size": (32, 32), "batch": 2, "validations": 1, "device": "cpu", "precision": "fp32"},
    "model": {"name": "unet", "width": 4, "depth": 2, "stem": 1, "up": "bilinear"},
    "augment": {"mosaic": 0.5, "cutmix": 0.5, "noise": 0.02, "blur": 1},
    "optim": {"lr": 0.01},
}

Fill = Callable[[np.ndarray], np.ndarray]


def write(path: Path, array: np.ndarray, nodata: float | None) -> None:
    """A GeoTIFF [H, W, bands]."""
    path.parent.mkdir(parents=True, exist_ok=True)
    profile = {"height": array.shape[0], "width": array.shape[1], "count": array.shape[2], "dtype": array.dtype}
    place = {"crs": CRS.from_epsg(32632), "transform": rasterio.Affine(2, 0, 500_000, 0, -2, 5_300_000)}
    with rasterio.open(path, "w", driver="GTiff", nodata=nodata, **profile, **place) as file:
        file.write(np.moveaxis(array, -1, 0))


def scene(number: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Image [H, W, bands], mask [H, W] and what has data [H, W] of a picture that lies askew in its frame."""
    rng = np.random.default_rng(number)
    rows, columns = np.indices(SIZE)
    mask = rng.integers(0, 2, (6, 8)).astype(np.uint8)[rows // 8, columns // 8]
    image = MEANS + SPREAD * (rng.normal(0, 0.2, (*SIZE, BANDS)) + 2 * mask[:, :, None] - 1)
    return image.astype(np.float32), mask, (columns > 9 + rows // 4) & (rows < 44 - columns // 20)


def dataset(root: Path, nodata: float | None, border: float) -> Path:
    """Six training and two validation pairs whose border holds a number."""
    for number in range(8):
        image, mask, known = scene(number)
        image[~known] = border
        image[20:23, 40:43, 2] = border  # of one band alone
        split = "train" if number < 6 else "val"
        write(root / f"images/{split}/{number}.tif", image, nodata)
        path = root / f"masks/{split}/{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(mask).save(path)
    return root


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The border holds the number that each file names."""
    return dataset(tmp_path_factory.mktemp("told") / "data", NODATA, NODATA)


@pytest.fixture(scope="module")
def run(told: Path) -> Path:
    return intarsia.train(told, told.parent / "run", SETTINGS).folder


def test_the_border_counts_for_nothing(told: Path, run: Path) -> None:
    scenes = [scene(number) for number in range(6)]
    numbers = np.concatenate([image[known] for image, _, known in scenes]).astype(np.float64)
    seen = intarsia.check(told)
    assert seen.ok
    assert [finding.id for finding in seen.findings] == ["encoding"]
    assert seen.mean == pytest.approx(numbers.mean(axis=0), abs=3)  # a few pixels of one band are missing
    assert seen.std == pytest.approx(numbers.std(axis=0), abs=3)
    assert seen.counts["train"].tolist() == np.sum([np.bincount(mask[k]) for _, mask, k in scenes], axis=0).tolist()
    losses = [line["loss"] for line in read_metrics(run) if line["kind"] == "train"]
    assert losses
    assert all(0 < loss < 5 for loss in losses)


def test_nan_trains_to_the_same_weights(run: Path, tmp_path: Path) -> None:
    nan = dataset(tmp_path / "data", None, np.nan)
    weights = [
        load_file(folder / "model.safetensors")
        for folder in (run, intarsia.train(nan, tmp_path / "run", SETTINGS).folder)
    ]
    assert weights[0].keys() == weights[1].keys()
    assert all(weights[0][name].equal(weights[1][name]) for name in weights[0])


@pytest.mark.parametrize("installed", [True, False])
def test_the_border_is_seen_as_the_mean_and_nothing_is_predicted_there(
    told: Path, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, installed: bool
) -> None:
    image, _, known = scene(7)
    model = intarsia.load(run, "cpu")
    mean = model.segmenter.mean.flatten().numpy()
    image[~known] = mean
    image[20:23, 40:43, 2] = mean[2]
    expected = model.predict(image)
    if not installed:
        monkeypatch.setitem(sys.modules, "rasterio", None)
    path, options, save = told / "images/val/7.tif", {"float_probabilities": True}, ["masks", "probabilities"]
    intarsia.predict(model, path, tmp_path / "out", options, save=save)
    masks = list((tmp_path / "out/masks").iterdir())
    assert len(masks) == 1
    mask = np.array(Image.open(masks[0]))
    assert np.array_equal(mask, np.where(known, expected.mask, 255))
    assert set(np.unique(mask)) == {0, 1, 255}
    probabilities = intarsia.read_image(tmp_path / "out/probabilities/7.tif")
    assert np.allclose(probabilities[known], np.moveaxis(expected.probabilities, 0, -1)[known], atol=1e-6)
    assert not probabilities[~known].any()


def test_scores_are_of_what_has_data(told: Path, run: Path, tmp_path: Path) -> None:
    scores = intarsia.evaluate(run, told, device="cpu").to_dict()
    intarsia.predict(run, told / "images/val", tmp_path / "out", save=["masks"], device="cpu")
    hits = pixels = 0
    for number in (6, 7):
        _, mask, known = scene(number)
        with rasterio.open(tmp_path / f"out/masks/{number}.tif") as file:
            predicted = file.read(1)
        assert (predicted[~known] == 255).all()
        hits, pixels = hits + int((predicted == mask)[known].sum()), pixels + int(known.sum())
    assert scores["miou"] > 0.7, "it has learned in spite of the border"
    assert scores["pixel_accuracy"] == pytest.approx(hits / pixels, rel=1e-12)
    assert (scores["pixels"], scores["ignored_pixels"]) == (pixels, 2 * SIZE[0] * SIZE[1] - pixels)
