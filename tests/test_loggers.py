"""Where numbers and pictures go beside the run folder: what a logger is told, and what TensorBoard reads back."""

import json
import math
import sys
from collections.abc import Mapping
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from intarsia.errors import MachineError
from intarsia.loggers import TensorBoard
from intarsia.runs import Run, read_metrics
from intarsia.training import train

SETTINGS: dict[str, dict[str, Any]] = {
    "train": {"size": (32, 32), "batch": 2, "steps": 12, "validations": 2, "device": "cpu", "precision": "fp32"},
    "model": {"name": "unet", "width": 4, "depth": 2, "stem": 1},
}
PICTURE = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)


class Recorder:
    """Writes down what it is told; raises when it is told of some step."""

    def __init__(self, raises_at: int | None = None) -> None:
        self.told: list[tuple[int, dict[str, float]]] = []
        self.pictures: list[tuple[int, str, tuple[int, ...]]] = []
        self.closed = 0
        self.raises_at = raises_at

    def scalars(self, step: int, numbers: Mapping[str, float]) -> None:
        if step == self.raises_at:
            raise ZeroDivisionError
        self.told.append((step, dict(numbers)))

    def picture(self, step: int, name: str, picture: Any) -> None:
        assert picture.dtype == np.uint8
        if step == self.raises_at:
            raise ZeroDivisionError
        self.pictures.append((step, name, picture.shape[2:]))

    def close(self) -> None:
        self.closed += 1


def test_numbers_are_told_by_kind_and_name(tmp_path: Path) -> None:
    one, two = Recorder(), Recorder()
    with Run(tmp_path, loggers=[one, two], stream=StringIO()) as run:
        run.record("train", step=5, loss=0.25, lr=1, note="a word", of_each={"a": 1.0}, none=None)
        run.picture("augmented", 0, PICTURE)
        assert one.closed == 0
    assert one.told == two.told == [(5, {"train/loss": 0.25, "train/lr": 1.0})]
    assert all(isinstance(number, float) for number in one.told[0][1].values())
    assert one.pictures == two.pictures == [(0, "augmented", (3,))]
    assert (one.closed, two.closed) == (1, 1)
    with Image.open(tmp_path / "augmented.png") as written:
        assert np.asarray(written).tolist() == PICTURE.tolist()


def test_a_run_that_does_not_write_tells_nobody(tmp_path: Path) -> None:
    """Of several processes that train together, all but the first."""
    recorder, said = Recorder(), StringIO()
    with Run(tmp_path, writes=False, loggers=[recorder], stream=said) as run:
        run.say("a line")
        run.say_once("kind", "another")
        run.status("a status")
        run.record("train", step=1, loss=1.0)
        run.picture("augmented", 0, PICTURE)
        run.rewind(0)
    assert list(tmp_path.iterdir()) == []
    assert said.getvalue() == ""
    assert (recorder.told, recorder.pictures, recorder.closed) == ([], [], 0)


def test_loggers_are_closed_after_an_error_too(tmp_path: Path) -> None:
    recorder = Recorder()
    with pytest.raises(ZeroDivisionError), Run(tmp_path, loggers=[recorder], stream=StringIO()):
        raise ZeroDivisionError
    assert recorder.closed == 1


def test_a_training_tells_what_it_writes(scenes: Path, tmp_path: Path) -> None:
    recorder = Recorder()
    train(scenes, tmp_path / "run", SETTINGS, loggers=[recorder])
    written = [
        (
            line["step"],
            {f"{line['kind']}/{name}": value for name, value in line.items() if name not in ("kind", "step")},
        )
        for line in read_metrics(tmp_path / "run")
    ]
    assert [step for step, _ in recorder.told] == [step for step, _ in written] == [6, 6, 10, 12, 12]
    for (_, told), (_, line) in zip(recorder.told, written, strict=True):
        assert told == {name: value for name, value in line.items() if isinstance(value, int | float)}
    learned, scored = recorder.told[0][1], recorder.told[1][1]
    assert set(learned) == {f"train/{name}" for name in ("epoch", "lr", "loss", "images_per_second", "waiting")}
    assert {"val/miou", "val/seconds", "val/pixel_accuracy", "val/mean_dice"} < set(scored)
    assert recorder.pictures == [(0, "augmented", (3,)), (6, "validation", (3,)), (12, "validation", (3,))]
    assert recorder.closed == 1


def test_a_training_that_fails_closes_its_loggers(scenes: Path, tmp_path: Path) -> None:
    recorder, failing = Recorder(), Recorder(raises_at=10)
    with pytest.raises(ZeroDivisionError):
        train(scenes, tmp_path / "run", SETTINGS, loggers=[recorder, failing])
    assert (recorder.closed, failing.closed) == (1, 1)
    assert recorder.told[-1][0] == 10


def test_numbers_that_are_not_there_are_not_told(tmp_path: Path) -> None:
    """A score without a counted pixel is None in metrics.jsonl."""
    recorder = Recorder()
    with Run(tmp_path, loggers=[recorder], stream=StringIO()) as run:
        run.record("val", step=1, miou=None, images=2)
    assert recorder.told == [(1, {"val/images": 2.0})]
    assert json.loads((tmp_path / "metrics.jsonl").read_text())["miou"] is None


def read_back(folder: Path) -> Any:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder))
    events.Reload()
    return events


def scalars(events: Any, tag: str) -> list[tuple[int, float]]:
    return [(event.step, event.value) for event in events.Scalars(tag)]


def test_tensorboard_reads_back_what_was_told(tmp_path: Path) -> None:
    board = TensorBoard(tmp_path)
    board.picture(0, "augmented", PICTURE)
    for step, loss in ((10, 0.75), (20, 0.5)):
        board.scalars(step, {"train/loss": loss, "train/lr": 1e-3})
    board.scalars(20, {"val/miou": math.nan})
    board.close()
    events = read_back(tmp_path)
    assert events.Tags()["scalars"] == ["train/loss", "train/lr", "val/miou"]
    assert scalars(events, "train/loss") == [(10, 0.75), (20, 0.5)]
    assert scalars(events, "train/lr") == [(step, pytest.approx(1e-3)) for step in (10, 20)]
    (shown,) = events.Images("augmented")
    with Image.open(BytesIO(shown.encoded_image_string)) as picture:
        assert np.asarray(picture).tolist() == PICTURE.tolist()
    assert shown.step == 0


def test_continued_later_events_of_the_earlier_start_are_hidden(tmp_path: Path) -> None:
    for start, losses in ((0, {10: 1.0, 20: 2.0, 30: 3.0}), (20, {30: 4.0, 40: 5.0})):
        board = TensorBoard(tmp_path, start)
        for step, loss in losses.items():
            board.scalars(step, {"train/loss": loss})
        board.close()
    assert scalars(read_back(tmp_path), "train/loss") == [(10, 1.0), (20, 2.0), (30, 4.0), (40, 5.0)]


def test_a_training_with_tensorboard_and_its_continuation(scenes: Path, tmp_path: Path) -> None:
    settings = SETTINGS | {"train": {**SETTINGS["train"], "tensorboard": True, "checkpoint_every": 3}}
    run = tmp_path / "run"
    with pytest.raises(ZeroDivisionError):  # at step 10, after a checkpoint at 9
        train(scenes, run, settings, loggers=[Recorder(raises_at=10)])
    train(scenes, run, settings, resume=True)
    events = read_back(run / "tensorboard")
    lines = read_metrics(run)
    for kind, name in (("train", "loss"), ("train", "lr"), ("val", "miou")):
        expected = [(line["step"], pytest.approx(line[name])) for line in lines if line["kind"] == kind]
        assert scalars(events, f"{kind}/{name}") == expected
        assert len(expected) >= 2
    assert events.Tags()["images"] == ["augmented", "validation"]
    assert [event.step for event in events.Images("validation")] == [6, 12]


def test_without_tensorboard_its_extra_is_named(
    scenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    settings = SETTINGS | {"train": {**SETTINGS["train"], "tensorboard": True}}
    with pytest.raises(MachineError, match=r"tensorboard is not installed.*pip install 'intarsia\[tensorboard\]'"):
        train(scenes, tmp_path / "run", settings)
    train(scenes, tmp_path / "run", SETTINGS)  # the folder is as good as new


def test_a_training_that_saved_nothing_can_be_started_again(scenes: Path, tmp_path: Path) -> None:
    """The event files that it left are no reason to refuse."""
    settings = SETTINGS | {"train": {**SETTINGS["train"], "tensorboard": True}}
    run = tmp_path / "run"
    with pytest.raises(ZeroDivisionError):
        train(scenes, run, settings, loggers=[Recorder(raises_at=0)])
    assert not (run / "checkpoints").exists()
    train(scenes, run, settings)
    lines = [line for line in read_metrics(run) if line["kind"] == "train"]
    expected = [(line["step"], pytest.approx(line["loss"])) for line in lines]
    assert scalars(read_back(run / "tensorboard"), "train/loss") == expected
