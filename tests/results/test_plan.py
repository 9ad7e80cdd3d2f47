"""What options mean for a model: objects, thresholds, scales, notes."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from intarsia.errors import SettingsError
from intarsia.labels import Labels
from intarsia.networks.ensemble import Averaged
from intarsia.options import make_options
from intarsia.prediction import predict
from intarsia.raster.contract import EvenScale, Georeference
from intarsia.raster.pictures import Decoded
from intarsia.results.plan import Plan, Subject, foreground
from tests.results.known import THREE, TWO, predictor


def plan(labels: Labels = THREE, size: tuple[int, int] = (8, 8), **options: Any) -> Plan:
    return predictor(labels, size=size).plan(options)


def named(*names: str) -> Labels:
    return Labels.of_values(range(len(names)), names=names)


@pytest.mark.parametrize(
    ("names", "things"),
    [
        (("background", "a", "b"), [1, 2]),
        (("a", "Void", "BG"), [0]),
        (("_background_", "a"), [1]),
        (("a", "b"), [0, 1]),
        (("background",), [0]),
        (("background", "other"), [0, 1]),
    ],
    ids=lambda value: "-".join(map(str, value)),
)
def test_the_background_is_no_thing(names: tuple[str, ...], things: list[int]) -> None:
    assert foreground(named(*names)) == things
    assert plan(named(*names)).objects == tuple(things)


def test_classes_are_chosen_by_name_each_once() -> None:
    assert plan(classes=["wood", "background"]).objects == (2, 0)
    assert plan(classes="wood").objects == (2,)
    assert plan(classes=["wood", "field", "wood"]).objects == (2, 1)
    with pytest.raises(
        SettingsError, match=r"^--classes wod: the model has no such class\. Did you mean 'wood'\?$"
    ):
        plan(classes=["field", "wod"])


def test_thresholds_by_class() -> None:
    assert plan().thresholds == {}
    assert plan(threshold={"wood": 0.3, "field": 0.9}).thresholds == {2: 0.3, 1: 0.9}
    with pytest.raises(
        SettingsError, match=r"^--threshold crak: the model has no such class\. Did you mean 'crack'\?"
    ):
        plan(TWO, threshold={"crak": 0.3})


@pytest.mark.parametrize(("names", "index"), [(("background", "crack"), 1), (("crack", "bg"), 0), (("a", "b"), 1)])
def test_a_number_alone_is_that_of_the_thing_of_two(names: tuple[str, str], index: int) -> None:
    assert plan(named(*names), threshold=0.25).thresholds == {index: 0.25}
    assert plan(named(*names), threshold={"": "0.25"}).thresholds == {index: 0.25}
    assert plan(named(*names), threshold=1).thresholds == {index: 1.0}


def test_a_number_alone_says_nothing_of_three() -> None:
    words = r"^--threshold 0\.25: the model has 3 classes\. Say which one: --threshold wood=0\.25\.$"
    with pytest.raises(SettingsError, match=words):
        plan(threshold=0.25)


def test_a_number_alone_beside_one_of_a_class_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"^--threshold 0\.25: .*background"):
        plan(TWO, threshold={"": 0.25, "background": 0.5})


def test_a_threshold_moves_the_border() -> None:
    """The model's probability of `crack` at 0..10 of the first band, by hand: 1 / (1 + e^(5 - x))."""
    ramp = np.arange(11, dtype=np.uint8)[None]
    chance = 1 / (1 + np.exp(5.0 - ramp))
    for threshold in (0.02, 0.3, 0.9):
        mask = predictor(TWO).predict(ramp, {"threshold": threshold}).mask
        assert mask.tolist() == (chance >= threshold).astype(int).tolist()


def test_the_scale_that_is_given_goes_before_the_pictures_own() -> None:
    source = Decoded(np.zeros((4, 5), np.uint8))
    assert plan().scale_of(source) is None
    source.scale = EvenScale(3, 3, "m")
    assert plan().scale_of(source) == EvenScale(3, 3, "m")
    assert plan(pixel_size="0.5mm").scale_of(source) == EvenScale(0.5, 0.5, "mm")
    assert plan(pixel_size="0.5mm").depth is None
    stack = plan(spacing="2mm,500um,0.6mm")
    assert (stack.scale_of(source), stack.depth) == (EvenScale(0.5, 0.6, "mm"), 2.0)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"pixel_size": "0.5"}, r"Pixel size '0\.5': '0\.5' has no unit"),
        ({"pixel_size": "wide"}, r"Pixel size 'wide': 'wide' is no length"),
        ({"pixel_size": "0mm"}, r"Pixel size '0mm'"),
        ({"spacing": "2mm,1mm"}, r"Spacing '2mm,1mm': say three lengths"),
        ({"spacing": "2mm,1mm,1"}, r"Spacing '2mm,1mm,1': '1' has no unit"),
    ],
    ids=str,
)
def test_what_is_no_length_is_refused_before_anything_is_read(options: dict[str, str], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        plan(**options)


def note(size: tuple[int, int], tile: int | None, picture: tuple[int, int] = (200, 300)) -> str:
    own = plan(size=size, tile=tile)
    return own.note_of(own.tiling(Decoded(np.zeros(picture, np.uint8))))


@pytest.mark.parametrize("tile", [None, 64, 100])
def test_nothing_is_said_of_tiles_of_the_size_that_was_learned(tile: int | None) -> None:
    assert note((48, 64), tile) == ""


def test_smaller_tiles_are_told() -> None:
    words = "Tiles of 62 pixels: the model has learned from pictures of 64 pixels, and sees less around each."
    assert note((48, 64), 62) == words


def test_tiles_that_little_memory_makes_small_are_told_too() -> None:
    own = replace(plan(size=(1500, 1500)), fits=800**2)
    told = own.note_of(own.tiling(Decoded(np.zeros((2000, 2000), np.uint8))))
    assert told.startswith("Tiles of 750 pixels: the model has learned from pictures of 1500 pixels")
    assert told.endswith("Memory allows no larger ones; --tile sets another size.")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"tile": 1}, r"^--tile 1: is smaller than what this network works in\. The least is 2\.$"),
        ({"tile": 64, "overlap": 64}, r"^--overlap 64 with --tile 64: the tiles would not move on"),
        (
            {"overlap": 1023},
            r"^--overlap 1023: is too much for tiles of 1024 pixels, which are chosen where no --tile is given\. "
            r"Give an overlap of at most 1022, or --tile 2048\.$",
        ),
        ({"overlap": 1600, "size": (1600, 1200)}, r"^--overlap 1600: .* of 1600 .* at most 1598, or --tile 3200"),
    ],
    ids=str,
)
def test_tiles_that_cannot_be_are_refused_before_anything_is_written(options: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        plan(**options)


def test_tiles_of_a_picture() -> None:
    source = Decoded(np.zeros((100, 60), np.uint8))
    assert plan().tiling(source).whole
    tiling = plan(tile=31, overlap=5).tiling(source)
    assert {(window.height, window.width) for window in tiling.windows} <= {(32, 32)}
    assert len(tiling.rows) == 4


def test_an_overlap_alone_is_that_of_the_tiles_that_are_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    own = plan(overlap=600)
    large = Decoded(np.zeros((1100, 1872), np.uint8))
    assert [(row.start, row.stop) for row in own.tiling(large).columns] == [(0, 1024), (424, 1448), (848, 1872)]
    monkeypatch.setattr("intarsia.inference.memory_of", lambda device: 1)
    for picture in (large, Decoded(np.zeros((100, 60), np.uint8))):
        with pytest.raises(
            SettingsError, match=r"^--overlap 600: .* tiles of 256 .* at most 254, or --tile 1200\.$"
        ):
            plan(overlap=600).tiling(picture)
    assert plan(overlap=254).room == 1


def test_the_overlap_is_that_of_tiles_that_whoever_began_has_chosen() -> None:
    own = plan(overlap=600)
    assert replace(own, fits=1024**2).room == 1024**2
    with pytest.raises(SettingsError, match=r"^--overlap 600: is too much for tiles of 512 pixels"):
        _ = replace(own, fits=1024**2 - 1).room


def test_an_overlap_that_memory_has_no_tiles_for_is_refused_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("intarsia.inference.memory_of", lambda device: 1)
    Image.fromarray(np.zeros((20, 30), np.uint8)).save(tmp_path / "a.png")
    with pytest.raises(SettingsError, match=r"^--overlap 600: is too much for tiles of 256 pixels"):
        predict(predictor(), tmp_path / "a.png", tmp_path / "out", {"overlap": 600})
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["prediction.json"]
    assert predict(predictor(), tmp_path / "a.png", tmp_path / "out", {"overlap": 254}).written


def test_tta_asks_the_same_model_in_several_ways() -> None:
    own = predictor()
    asked = own.plan({"tta": True}).model
    assert isinstance(asked, Averaged)
    assert asked.model is own.segmenter
    assert not asked.training
    assert own.plan().model is own.segmenter


def test_a_subject_knows_where_its_results_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = Decoded(np.zeros((4, 5), np.uint8))
    one = Subject(source, Plan.of(predictor().plan().model, THREE, make_options({})), Path("day/a.b"), tmp_path)  # type: ignore[arg-type]
    assert one.path("masks", ".png") == tmp_path / "masks/day/a.b.png"
    assert (tmp_path / "masks/day").is_dir()
    assert one.raster_suffix == ".png"
    monkeypatch.setattr("intarsia.results.plan.MOST_PIXELS", 19)
    assert one.raster_suffix == ".tif"
    monkeypatch.undo()
    source.georeference = Georeference("", (1, 0, 0, 0, -1, 0))
    assert one.raster_suffix == ".tif"
