import json
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from intarsia import checkpoint
from intarsia.runs import read_metrics
from intarsia.training import train
from tests.cli.conftest import SMALL

RUN_FILES = {
    "settings.toml",
    "log.txt",
    "metrics.jsonl",
    "augmented.png",
    "curves.png",
    "validation.png",
    "model.safetensors",
    "last.safetensors",
    "checkpoints",
}
CONTRACT = {
    "miou",
    "class_iou",
    "pixel_accuracy",
    "frequency_weighted_iou",
    "mean_dice",
    "images",
    "pixels",
    "ignored_pixels",
}


def test_train_leaves_a_whole_run_folder(trained):
    assert {path.name for path in trained.iterdir()} == RUN_FILES
    lines = [json.loads(line) for line in (trained / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if line["kind"] == "val"] == [1, 2]


def test_evaluate_counts_what_predict_wrote(intarsia, trained, photos, tmp_path):
    code, out, _ = intarsia("evaluate", trained, photos, "--json")
    scores = json.loads(out)
    assert code == 0
    assert set(scores) >= CONTRACT
    assert intarsia("predict", trained, photos / "images" / "val", "--out", tmp_path)[0] == 0
    confusion = np.zeros((4, 4), dtype=np.int64)
    for path in sorted((photos / "masks" / "val").iterdir()):
        predicted = np.asarray(Image.open(tmp_path / "masks" / path.name))
        np.add.at(confusion, (np.asarray(Image.open(path)), predicted), 1)
    hit = np.diag(confusion)
    iou = hit / (confusion.sum(0) + confusion.sum(1) - hit)
    assert scores["miou"] == pytest.approx(iou.mean(), abs=1e-12)
    assert scores["pixel_accuracy"] == pytest.approx(hit.sum() / confusion.sum(), abs=1e-12)
    assert scores["pixels"] == confusion.sum()


def test_evaluate_shows_a_table(intarsia, trained, photos):
    code, out, _ = intarsia("evaluate", trained, photos, "--split", "test")
    assert code == 0
    assert all(name in out for name in ("background", "road", "vehicle", "pedestrian", "mIoU", "2 images"))


def test_predict_saves_what_is_asked(intarsia, trained, photos, tmp_path):
    code, out, _ = intarsia(
        "predict", trained, photos / "images", "--out", tmp_path, "--save", "masks,overlays,triptychs"
    )
    assert code == 0
    assert "16 images" in out
    for kind in ("masks", "overlays", "triptychs"):
        assert (tmp_path / kind / "val" / "scene_0001.png").is_file()


def test_version(intarsia):
    assert intarsia("--version")[1].startswith("intarsia ")


def test_help_names_every_command(intarsia):
    code, out, _ = intarsia("--help")
    assert code == 0
    assert all(command in out for command in ("demo", "train", "evaluate", "predict"))


def test_ctrl_c_saves_and_other_settings_do_not_resume(intarsia, photos, tmp_path):
    run = tmp_path / "run"
    command = ("train", photos, "--out", run, "--steps", "400", "train.checkpoint_every=1", *SMALL)
    process = subprocess.Popen(
        [sys.executable, "-m", "intarsia", *map(str, command)],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    _wait_for(run / "checkpoints" / "step-00000002")
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGINT
    assert "--resume" in err
    assert (run / "model.safetensors").is_file()

    code, _, err = intarsia(*command, "--resume", "optim.lr=0.5")
    assert code == 2
    assert "optim.lr: 0.001 -> 0.5" in err


SLOW_IMPORT = """
import time
print("importing", flush=True)
try:
    time.sleep(20)
except BaseException:  # as libraries do around what is optional
    pass
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_a_signal_within_an_import_is_not_swallowed(number, tmp_path):
    (tmp_path / "typer_extra.py").write_text(SLOW_IMPORT)
    program = (
        "import sys, intarsia.cli as cli; cli.app = lambda *a, **k: __import__('typer_extra'); cli.main(['check'])"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "importing\n"
    process.send_signal(number)
    _, err = process.communicate(timeout=10)
    assert process.returncode == 128 + number
    assert err == ("interrupted\n" if number == signal.SIGINT else "")


def test_sigterm_saves_and_exits_143(photos, tmp_path):
    run = tmp_path / "run"
    command = ["train", str(photos), "--out", str(run), "--budget", "5m", *SMALL]
    process = subprocess.Popen([sys.executable, "-m", "intarsia", *command], stderr=subprocess.PIPE)
    _wait_for(run / "augmented.png")
    time.sleep(0.5)
    process.terminate()
    process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM
    assert list((run / "checkpoints").glob("step-*/manifest.json"))


def test_resumed_training_ends_as_if_it_had_never_stopped(photos, tmp_path, monkeypatch):
    settings = {
        "train": {"steps": 6, "size": (48, 64), "batch": 4, "checkpoint_every": 1, "validations": 2},
        "model": {"name": "unet", "width": 8, "depth": 2, "stem": 1, "dropout": 0.2},
    }
    whole = train(photos, tmp_path / "whole", settings)
    saved = checkpoint.save_checkpoint

    def save_and_interrupt(run: Path, content: Mapping[str, Any], keep: int) -> None:
        saved(run, content, keep)
        if content["position"]["step"] == 2:
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr("intarsia.training.save_checkpoint", save_and_interrupt)
        with pytest.raises(KeyboardInterrupt):
            train(photos, tmp_path / "parts", settings)
    continued = train(photos, tmp_path / "parts", settings, resume=True)
    assert continued.steps == 6
    assert [line["step"] for line in read_metrics(continued.folder)] == [
        line["step"] for line in read_metrics(whole.folder)
    ]
    first, second = (checkpoint.newest_checkpoint(run.folder).content["average"] for run in (whole, continued))
    for name, tensor in first.items():
        assert torch.equal(tensor, second[name]), name


def test_budget_ends_in_time(photos, tmp_path):
    training = train(photos, tmp_path / "run", {"train": {"budget": "8s", "size": (48, 64), "batch": 4}})
    assert training.scores is not None
    assert training.steps > 1


def test_odd_pictures_come_back_at_their_size(intarsia, trained, tmp_path):
    sizes = {"dot": (1, 1), "line": (1, 500), "odd": (17, 33), "tall": (1000, 37)}
    modes = ("RGB", "L", "RGBA", "P")
    (tmp_path / "in").mkdir()
    for name, (height, width) in sizes.items():
        for mode in modes:
            Image.new(mode, (width, height)).save(tmp_path / "in" / f"{name}_{mode}.png")
    code, _, err = intarsia(
        "predict", trained, tmp_path / "in", "--out", tmp_path / "out", "--save", "masks,triptychs"
    )
    assert code == 0, err
    for name, (height, width) in sizes.items():
        for mode in modes:
            with Image.open(tmp_path / "out" / "masks" / f"{name}_{mode}.png") as mask:
                assert mask.size == (width, height)


def _wait_for(path: Path, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not path.exists():
        assert time.monotonic() < end, f"{path} was not written"
        time.sleep(0.05)


def test_resume_needs_nothing_but_the_folder(intarsia, photos, tmp_path):
    """Settings that are left out are those of the run, also where they are not the usual ones."""
    run = tmp_path / "run"
    unusual = [
        "--ignore",
        "3",
        "--seed",
        "3",
        "loss.name=ce",
        "optim.accumulate=2",
        "train.keep=5",
        "train.on_nonfinite=skip",
    ]
    assert intarsia("train", photos, "--out", run, "--steps", "3", *SMALL, *unusual)[0] == 0
    before = (run / "settings.toml").read_text()
    code, _, err = intarsia("train", photos, "--out", run, "--resume")
    assert code == 0, err
    assert (run / "settings.toml").read_text() == before
    code, _, err = intarsia("train", photos, "--out", run, "--resume", "--seed", "4")
    assert (code, "train.seed: 3 -> 4" in err) == (2, True)
