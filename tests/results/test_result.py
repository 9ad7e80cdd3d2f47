"""The answer in Python: of an array, a path, a list; what follows from its mask, and what from its logits."""

import csv
import json
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rasterio.features import rasterize

from intarsia import draw
from intarsia.errors import DataError, MachineError, SettingsError
from intarsia.labels import Labels
from intarsia.loading import Predictor
from intarsia.prediction import predict
from intarsia.raster.contract import EvenScale, Georeference
from intarsia.raster.pictures import Decoded
from intarsia.results.result import Result, answered
from intarsia.tiles import Window
from intarsia.tiling import Block
from tests.results.known import (
    HALF_METRES,
    NODATA,
    THREE,
    TWO,
    classes,
    picture,
    predictor,
    read,
    write_png,
    write_tiff,
)
from tests.small import noise, small_model

MASK = classes(37, 53)
TILED = {"tile": 16, "overlap": 4}
OPTIONS = pytest.mark.parametrize("options", [{}, TILED], ids=["whole", "tiled"])


def result(options: dict[str, Any] | None = None, mask: np.ndarray = MASK, labels: Labels = THREE) -> Result:
    return predictor(labels).predict(picture(mask), options)


@OPTIONS
def test_the_mask_is_the_result_as_an_array(options: dict[str, Any]) -> None:
    one = result(options)
    assert np.array_equal(one.mask, MASK)
    assert (one.mask.dtype, one.mask.shape) == (np.uint8, MASK.shape)
    assert np.array_equal(np.asarray(one), MASK)
    assert np.asarray(one, dtype=np.int64).dtype == np.int64
    assert np.asarray(one) is one.mask or np.shares_memory(np.asarray(one), one.mask)
    assert not np.shares_memory(np.array(one), one.mask)
    assert (one.labels, one.path, one.georeference, one.scale) == (THREE, Path(), None, None)
    assert "tensor" not in repr(one)


def test_of_an_array_a_path_and_a_list(tmp_path: Path) -> None:
    own = predictor()
    path = write_png(tmp_path / "a.png", picture(MASK))
    for image in (picture(MASK), picture(MASK)[:, :, None], path, str(path)):
        assert np.array_equal(own.predict(image).mask, MASK)
    several = own.predict([path, picture(MASK[:9]), str(path)])
    assert [one.mask.shape for one in several] == [(37, 53), (9, 53), (37, 53)]
    assert [one.path for one in several] == [path, Path(), path]
    assert own.predict([]) == []
    assert [one.mask.shape for one in own.predict(iter([path]))] == [(37, 53)]  # type: ignore[arg-type]


def test_a_path_that_is_no_picture_is_named(tmp_path: Path) -> None:
    for name in ("gone.png", "s3://bucket/gone.png"):
        with pytest.raises(DataError, match=r"gone\.png"):
            predictor().predict(name)
    with pytest.raises(SettingsError, match=r"^Option 'tiles' is unknown\. Did you mean 'tile'\?$"):
        predictor().predict(picture(MASK), {"tiles": 4})


@OPTIONS
def test_probabilities_add_up_to_one_and_confidence_and_entropy_follow(options: dict[str, Any]) -> None:
    own = Predictor(*small_model())
    image = noise(60, 50, 3)
    one = own.predict(image, {"tile": 32, "overlap": 16} if options else {})
    assert (one.probabilities.shape, one.probabilities.dtype) == ((3, 60, 50), np.float32)
    assert one.probabilities.sum(axis=0) == pytest.approx(np.ones((60, 50)), abs=1e-5)
    assert np.array_equal(one.probabilities.argmax(axis=0), one.mask)
    assert np.array_equal(one.confidence, one.probabilities.max(axis=0))
    exact = one.probabilities.astype(np.float64)
    nats = -(exact * np.log(np.maximum(exact, 1e-300))).sum(axis=0)
    assert one.entropy == pytest.approx(nats / np.log(3), abs=1e-5)
    assert (one.confidence.dtype, one.entropy.dtype) == (np.float32, np.float32)
    if not options:
        powers = np.exp(own.logits(image) - own.logits(image).max(axis=0))
        assert one.probabilities == pytest.approx(powers / powers.sum(axis=0), abs=1e-5)


def test_thresholds_move_the_mask_and_not_the_probabilities() -> None:
    ramp = np.arange(11, dtype=np.uint8)[None]
    plain, moved = (predictor(TWO).predict(ramp, {"threshold": limit}) for limit in (0.5, 0.02))
    assert plain.mask.sum() < moved.mask.sum()
    assert np.array_equal(plain.probabilities, moved.probabilities)


def test_with_tta_they_add_up_too() -> None:
    one = Predictor(*small_model()).predict(noise(40, 50, 3), {"tta": True})
    assert one.probabilities.sum(axis=0) == pytest.approx(np.ones((40, 50)), abs=1e-5)
    assert np.array_equal(one.probabilities.argmax(axis=0), one.mask)


@OPTIONS
def test_what_is_too_large_has_a_mask_and_says_how_to_get_the_rest(
    options: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = write_png(tmp_path / "a.png", picture(MASK))
    monkeypatch.setattr("intarsia.results.result._MOST_LOGITS", 4 * 3 * MASK.size - 1)
    for image, name in ((path, r"^.*a\.png: "), (picture(MASK), r"^The ")):
        one = predictor().predict(image, options)
        assert np.array_equal(one.mask, MASK)
        words = (
            name + r".*probabilities of 37x53 pixels and 3 classes do not fit into memory\. "
            r"intarsia\.predict\(\.\.\., save=\['probabilities'\]\) writes them piece by piece\.$"
        )
        for asked in ("probabilities", "confidence", "entropy"):
            with pytest.raises(MachineError, match=words):
                getattr(one, asked)
        assert one.areas().pixels.sum() == MASK.size
    monkeypatch.setattr("intarsia.results.result._MOST_LOGITS", 4 * 3 * MASK.size)
    assert predictor().predict(path, options).probabilities.shape == (3, *MASK.shape)


def test_an_overlay_is_what_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = picture(MASK)
    assert np.array_equal(result().overlay(), draw.overlay(image[:, :, None], MASK, THREE))
    path = write_png(tmp_path / "a.png", image)
    for most in (16_000_000, 300):
        monkeypatch.setattr("intarsia.results.outputs._MOST_DRAWN", most)
        predict(predictor(), path, tmp_path / f"out{most}", save=["overlays"])
        assert np.array_equal(predictor().predict(path).overlay(), read(tmp_path / f"out{most}/overlays/a.png"))
    one = predictor().predict(path)
    path.unlink()
    assert np.array_equal(one.mask, MASK)
    with pytest.raises(DataError, match=r"a\.png: "):
        one.overlay()


def burnt(collection: dict[str, Any], transform: Any = None) -> np.ndarray:
    drawn = [(one["geometry"], one["properties"]["class_index"] + 1) for one in collection["features"]]
    place = {} if transform is None else {"transform": transform}
    return np.asarray(rasterize(drawn, MASK.shape, dtype=np.uint8, **place))


@OPTIONS
def test_polygons_are_those_that_are_written(options: dict[str, Any], tmp_path: Path) -> None:
    array = picture(MASK)
    array[:9, :9] = NODATA
    path = write_tiff(tmp_path / "a.tif", array)
    one = predictor().predict(path, {**options, "classes": "wood"})
    predict(predictor(), path, tmp_path / "out", {**options, "classes": "wood"}, save=["polygons"])
    made = one.polygons()
    assert made == json.loads((tmp_path / "out/polygons/a.geojson").read_text())
    assert np.array_equal(burnt(made, HALF_METRES) > 0, one.mask == 2)
    assert (one.mask[:9, :9] == 255).all()
    assert one.scale == EvenScale(0.5, 0.5, "m")
    assert isinstance(one.georeference, Georeference)
    assert sum(len(str(feature)) for feature in one.polygons(tolerance=2)["features"]) < len(str(made))


def test_polygons_of_an_array_are_in_pixels() -> None:
    made = result().polygons()
    assert np.array_equal(burnt(made), np.where(MASK > 0, MASK + 1, 0))
    assert "crs" not in made


def test_areas_with_a_pixel_size() -> None:
    counts = np.bincount(MASK.ravel(), minlength=3)
    assert result().areas().areas is None
    measured = result().areas(pixel_size="0.5mm")
    assert (measured.unit, measured.areas.tolist()) == ("mm", (counts * 0.25).tolist())
    assert [row["area"] for row in measured.rows()] == (counts * 0.25).tolist()
    assert result().areas("2m,3m").areas.tolist() == (counts * 6).tolist()
    assert result({"pixel_size": "2m"}).areas().areas.tolist() == (counts * 4).tolist()
    assert result({"pixel_size": "2m"}).areas("1m").areas.tolist() == counts.tolist()
    assert result({"pixel_size": "2m"}).scale == EvenScale(2, 2, "m")
    with pytest.raises(SettingsError, match=r"'0\.5' has no unit"):
        result().areas("0.5")


def test_a_slice_of_a_stack_has_volumes() -> None:
    counts = np.bincount(MASK.ravel(), minlength=3)
    measured = result({"spacing": "4mm,0.5mm,0.5mm"}).areas()
    assert measured.volumes.tolist() == counts.tolist()
    assert result({"spacing": "4mm,0.5mm,0.5mm"}).areas("1m").volumes is None, "another scale: no depth is known"


def test_areas_are_those_that_are_written(tmp_path: Path) -> None:
    path = write_tiff(tmp_path / "a.tif", picture(MASK))
    predict(predictor(), path, tmp_path / "out", save=["areas"])
    assert predictor().predict(path).areas().to_dict() == json.loads((tmp_path / "out/areas/a.json").read_text())


@pytest.mark.parametrize("touching", [False, True])
def test_instances_are_those_that_are_written(touching: bool, tmp_path: Path) -> None:
    path = write_tiff(tmp_path / "a.tif", picture(MASK))
    predict(predictor(), path, tmp_path / "out", {"touching": touching}, save=["instances"])
    found = predictor().predict(path).instances(touching=touching)
    assert np.array_equal(found.ids, read(tmp_path / "out/instances/a.tif"))
    with (tmp_path / "out/instances/a.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["pixels"]) for row in rows] == found.objects.pixels.tolist()
    assert [float(row["area (m²)"]) for row in rows] == found.objects.areas.tolist()
    assert [THREE.names.index(row["class"]) for row in rows] == found.objects.classes.tolist()


def test_instances_follow_the_option() -> None:
    rows, columns = np.mgrid[:60, :80]
    mask = (((rows - 30) ** 2 + (columns - 25) ** 2 <= 200) | ((rows - 30) ** 2 + (columns - 50) ** 2 <= 200)) * 1
    one = result({"touching": True}, mask.astype(np.uint8), TWO)
    assert len(one.instances().objects) == 2
    assert len(one.instances(touching=False).objects) == 1
    assert len(result({}, mask.astype(np.uint8), TWO).instances().objects) == 1


def test_polygons_follow_the_option() -> None:
    wished = result({"tolerance": 2.0})
    assert wished.polygons() == result().polygons(tolerance=2.0) != result().polygons()
    assert wished.polygons(tolerance=0) == result().polygons()


def test_specks_are_gone_from_all_that_follows_from_the_mask() -> None:
    one = result({"min_area": 40})
    assert min(feature["properties"]["pixels"] for feature in one.polygons()["features"]) >= 40
    assert min(one.instances().objects.pixels) >= 40
    assert one.areas().pixels.tolist() == np.bincount(one.mask.ravel(), minlength=3).tolist()
    assert (one.mask != MASK).any()


def test_logits_of_what_is_too_large_are_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("intarsia.results.result._MOST_LOGITS", 0)
    source, plan = Decoded(picture(MASK)), predictor().plan()
    seen: list[weakref.ref[torch.Tensor]] = []

    def blocks() -> Iterator[Block]:
        for row in range(len(MASK)):
            logits = torch.nn.functional.one_hot(torch.from_numpy(MASK[row : row + 1].astype(np.int64)), 3)
            block = Block(Window(row, 0, 1, MASK.shape[1]), logits.permute(2, 0, 1).float())
            seen.append(weakref.ref(block.logits))
            yield block
            assert sum(one() is not None for one in seen) <= 2

    assert np.array_equal(answered(source, plan, blocks(), lambda: source).mask, MASK)
    assert len(seen) == len(MASK)
