"""Bad input gets a clear line (what, where, what to do), its exit code, and loses nothing."""

import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.cli.conftest import SMALL


@pytest.fixture
def refused(intarsia):
    """Runs a command that must fail: its exit code, and the message, which is no traceback."""

    def run(*arguments: object) -> tuple[int, str]:
        code, _, err = intarsia(*arguments)
        assert "Traceback" not in err
        return code, err

    return run


def _mask(photos: Path, split: str = "train") -> Path:
    return sorted((photos / "masks" / split).iterdir())[0]


def _image(photos: Path) -> Path:
    return sorted((photos / "images" / "train").iterdir())[0]


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


SPOILED_DATA = {
    "truncated PNG": (lambda photos: _truncate(_image(photos)), ["scene_0001.png", "damaged"]),
    "web page": (
        lambda photos: _image(photos).write_text("<html>not found</html>"),
        ["scene_0001.png", "web page"],
    ),
    "zero bytes": (lambda photos: _image(photos).write_bytes(b""), ["scene_0001.png", "empty"]),
    "mask of another size": (
        lambda photos: Image.open(_mask(photos)).resize((32, 32), 0).save(_mask(photos)),
        ["scene_0001.png", "32x32", "48x64"],
    ),
    "unknown value": (
        lambda photos: Image.new("L", (64, 48), 77).save(_mask(photos)),
        ["scene_0001.png", "77", "3,072 pixels", "--ignore 77"],
    ),
    "colour mask": (
        lambda photos: Image.new("RGB", (64, 48), "#804080").save(_mask(photos)),
        ["scene_0001.png", "colours", "index PNG"],
    ),
    "ambiguous": (
        lambda photos: shutil.copy(_image(photos), _image(photos).with_suffix(".jpg")),
        ["scene_0001.jpg", "scene_0001.png", "two images"],
    ),
    "no masks": (lambda photos: shutil.rmtree(photos / "masks"), ["no masks", "NAME_mask.png"]),
}


@pytest.mark.parametrize("trouble", SPOILED_DATA)
def test_train_refuses_spoiled_data(refused, own_photos, tmp_path, trouble):
    spoil, words = SPOILED_DATA[trouble]
    spoil(own_photos)
    code, message = refused("train", own_photos, "--out", tmp_path / "run", "--steps", "1", *SMALL)
    assert code == 3
    assert all(word in message for word in words), message


def test_truncated_jpeg(refused, own_photos, tmp_path):
    image = _image(own_photos)
    Image.open(image).save(image.with_suffix(".jpg"))
    image.unlink()
    _truncate(image.with_suffix(".jpg"))
    code, message = refused("train", own_photos, "--out", tmp_path / "run", "--steps", "1", *SMALL)
    assert (code, "scene_0001.jpg: is damaged" in message) == (3, True)


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="file names are text there")
def test_odd_file_names_are_no_trouble(intarsia, own_photos, tmp_path):
    for name in (os.fsdecode(b"\xff"), "line\nbreak", "-rf", "[bold]x", "写真", "a b"):
        shutil.copy(_image(own_photos), own_photos / "images" / "train" / f"{name}.png")
        shutil.copy(_mask(own_photos), own_photos / "masks" / "train" / f"{name}.png")
    shutil.copy(_image(own_photos), own_photos / "images" / "train" / os.fsdecode(b"\xfe.png"))
    code, out, err = intarsia("check", own_photos)
    assert (code, err) == (0, "")
    assert "[bold]x" in out
    code, _, err = intarsia("train", own_photos, "--out", tmp_path / "run", "--steps", "1", *SMALL)
    assert code == 0, err
    assert "\\udcfe.png (unpaired)" in (tmp_path / "run" / "log.txt").read_text(encoding="utf-8")


def test_missing_path(refused, tmp_path):
    code, message = refused("train", tmp_path / "nowhere")
    assert (code, "nowhere: does not exist" in message) == (3, True)


def test_empty_folder(refused, tmp_path):
    (tmp_path / "data").mkdir()
    code, message = refused("train", tmp_path / "data")
    assert (code, "holds no pictures" in message) == (3, True)


def test_single_pair(refused, tmp_path):
    for folder in ("images", "masks"):
        (tmp_path / "data" / folder).mkdir(parents=True)
        Image.new("L", (8, 8)).save(tmp_path / "data" / folder / "a.png")
    code, message = refused("train", tmp_path / "data", "--out", tmp_path / "run")
    assert (code, "at least 2" in message) == (3, True)


def test_an_undeclared_stray_names_the_mend(refused, own_photos, tmp_path):
    (own_photos / "dataset.toml").unlink()
    stored = np.array(Image.open(_mask(own_photos)))
    stored[0, 0] = 11
    Image.fromarray(stored).save(_mask(own_photos))
    code, message = refused("train", own_photos, "--out", tmp_path / "run", "--steps", "1", *SMALL)
    assert code == 3
    assert "scene_0001.png: value 11 (1 pixel)" in message
    assert "--ignore 11" in message
    assert "[classes]" in message


def test_undeclared_gaps_are_a_warning(intarsia, own_photos, tmp_path):
    (own_photos / "dataset.toml").unlink()
    Image.new("L", (64, 48), 11).save(_mask(own_photos))
    code, _, err = intarsia("train", own_photos, "--out", tmp_path / "run", "--steps", "1", *SMALL)
    assert code == 0, err
    assert "Mask values 0, 1, 2, 3, 11 do not run from 0 without a gap: taken for 5 classes" in err


def test_class_nowhere_in_train_is_a_warning(intarsia, own_photos, tmp_path):
    with (own_photos / "dataset.toml").open("a") as file:
        file.write("unicorn = 9\n")
    code, _, err = intarsia("train", own_photos, "--out", tmp_path / "run", "--steps", "1", *SMALL)
    assert code == 0
    assert "unicorn" in err.partition("cannot be learned")[2]


def test_fewer_pairs_than_a_batch(intarsia, own_photos, tmp_path):
    for path in sorted((own_photos / "images" / "train").iterdir())[2:]:
        path.unlink()
        (own_photos / "masks" / "train" / path.name).unlink()
    code, _, err = intarsia("train", own_photos, "--out", tmp_path / "run", "--steps", "2", *SMALL)
    assert code == 0, err


def test_batch_of_one_with_batchnorm(intarsia, refused, own_photos, tmp_path):
    small = ["--model", "unet", "--steps", "2", "--batch", "1", "model.width=8", "model.depth=2", "model.stem=1"]
    assert intarsia("train", own_photos, "--out", tmp_path / "a", "--size", "16,16", *small)[0] == 0
    code, message = refused("train", own_photos, "--out", tmp_path / "b", "--size", "4,4", *small)
    assert (code, "model.norm=group" in message) == (2, True)
    assert (
        intarsia("train", own_photos, "--out", tmp_path / "c", "--size", "4,4", *small, "model.norm=group")[0] == 0
    )


def test_unwritable_output(refused, photos, tmp_path):
    (tmp_path / "file").write_text("")
    code, message = refused("train", photos, "--out", tmp_path / "file" / "run", "--steps", "1", *SMALL)
    assert (code, "cannot be written" in message) == (5, True)


def test_output_holds_another_run(refused, photos, trained):
    before = {path: path.read_bytes() for path in trained.rglob("*") if path.is_file()}
    code, message = refused("train", photos, "--out", trained, "--steps", "1", *SMALL)
    assert (code, "another run" in message, "--resume" in message) == (2, True, True)
    assert {path: path.read_bytes() for path in trained.rglob("*") if path.is_file()} == before


def test_output_holds_other_files(refused, photos, tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    code, message = refused("train", photos, "--out", tmp_path, "--steps", "1", *SMALL)
    assert (code, "not empty" in message) == (2, True)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--model", "unett"], ["unett", "Did you mean 'unet'?"]),
        (["optim.lrr=1"], ["optim.lrr", "optim.lr"]),
        (["optimm.lr=1"], ["optimm", "optim"]),
        (["lr=1"], ["section.key=value"]),
        (["optim.lr=-1"], ["optim.lr = -1", "greater than 0"]),
        (["model.up=sideways"], ["model.up", "bilinear"]),
        (["--budget", "soon"], ["train.budget = soon"]),
        (["--budget", "1m", "--epochs", "3"], ["budget and epochs", "only one"]),
        (["--size", "0,64"], ["train.size", "0"]),
        (["loss.name=dize"], ["dize", "dice"]),
        (["--config", "missing.toml"], ["missing.toml"]),
        (["--resume"], ["--out"]),
        (["--batch", "many"], ["--batch", "valid integer"]),
    ],
)
def test_settings_out_of_order(refused, photos, tmp_path, monkeypatch, arguments, words):
    monkeypatch.chdir(tmp_path)
    code, message = refused("train", photos, *arguments)
    assert code == 2
    assert all(word in message for word in words), message


def test_device_that_is_not_there(refused, photos, tmp_path):
    code, message = refused("train", photos, "--out", tmp_path / "run", "--device", "cuda:77")
    assert (code, "cuda:77" in message) == (5, True)


def _other_network(trained: Path, path: Path) -> None:
    from safetensors.torch import load_file, save_file

    save_file({"other": torch.zeros(3)}, path)
    assert load_file(path)


SPOILED_MODELS = {
    "empty": (lambda trained, path: path.write_bytes(b""), "is empty"),
    "truncated": (
        lambda trained, path: path.write_bytes((trained / "model.safetensors").read_bytes()[:5000]),
        "truncated",
    ),
    "a pickle": (lambda trained, path: torch.save({"a": torch.zeros(1)}, path), "pickle"),
    "another program's": (_other_network, "not written by Intarsia"),
}


@pytest.mark.parametrize("trouble", SPOILED_MODELS)
def test_model_files_that_are_none(refused, photos, trained, tmp_path, trouble):
    spoil, words = SPOILED_MODELS[trouble]
    path = tmp_path / "model.safetensors"
    spoil(trained, path)
    code, message = refused("evaluate", path, photos)
    assert code == 4
    assert words in message
    assert str(path) in message


def test_model_that_does_not_exist(refused, photos, tmp_path):
    code, message = refused("predict", tmp_path / "no-run", photos, "--out", tmp_path / "out")
    assert (code, "does not exist" in message) == (4, True)


def test_predict_does_the_rest(intarsia, trained, tmp_path):
    (tmp_path / "in").mkdir()
    Image.new("RGB", (20, 10)).save(tmp_path / "in" / "good.png")
    (tmp_path / "in" / "bad.jpg").write_text("<html>")
    code, out, err = intarsia("predict", trained, tmp_path / "in", "--out", tmp_path / "out")
    assert code == 3
    assert "bad.jpg" in err
    assert "1 images predicted" in out or "1 image predicted" in out
    assert (tmp_path / "out" / "masks" / "good.png").is_file()


def test_predict_refuses_unknown_outputs(refused, trained, photos, tmp_path):
    code, message = refused("predict", trained, photos, "--out", tmp_path, "--save", "mask")
    assert (code, "Did you mean 'masks'?" in message) == (2, True)


def test_evaluate_names_the_splits_there_are(refused, trained, photos):
    code, message = refused("evaluate", trained, photos, "--split", "validation")
    assert (code, "train, val, test" in message) == (3, True)


def test_a_refused_start_leaves_the_folder_usable(intarsia, refused, photos, tmp_path):
    command = ("train", photos, "--out", tmp_path / "run", "--steps", "1", *SMALL)
    assert refused(*command, "loss.name=focl")[0] == 2
    assert refused(*command, "--size", "4,4", "--batch", "1")[0] == 2
    assert intarsia(*command)[0] == 0


def test_a_settings_file_of_ones_own_is_not_taken_for_a_run(refused, photos, tmp_path):
    own = tmp_path / "mine" / "settings.toml"
    own.parent.mkdir()
    own.write_text("[train]\nsteps = 1\n")
    code, message = refused("train", photos, "--out", own.parent, "--config", own)
    assert (code, "no run: it holds settings.toml" in message) == (2, True)
    assert own.read_text() == "[train]\nsteps = 1\n"


def test_a_run_that_saved_nothing_can_be_started_again(intarsia, photos, tmp_path):
    (tmp_path / "run").mkdir()
    for name in ("settings.toml", "log.txt", "metrics.jsonl"):
        (tmp_path / "run" / name).write_text("")
    assert intarsia("train", photos, "--out", tmp_path / "run", "--steps", "1", *SMALL)[0] == 0


def test_resume_with_other_data_is_refused(intarsia, refused, own_photos, tmp_path):
    command = ("train", own_photos, "--out", tmp_path / "run", "--steps", "2", *SMALL)
    assert intarsia(*command)[0] == 0
    shutil.copy(_image(own_photos), own_photos / "images" / "train" / "new.png")
    shutil.copy(_mask(own_photos), own_photos / "masks" / "train" / "new.png")
    code, message = refused(*command, "--resume")
    assert (code, "other data" in message) == (2, True)


def test_demo_refuses_a_folder_in_use(refused, own_photos):
    before = (own_photos / "dataset.toml").read_text()
    code, message = refused("demo", "--out", own_photos)
    assert (code, "not empty" in message) == (2, True)
    assert (own_photos / "dataset.toml").read_text() == before


def test_out_of_memory_is_told_in_a_line(refused, photos, tmp_path, monkeypatch):
    def exhausted(*arguments: object, **options: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB")

    monkeypatch.setattr("intarsia.training.Segmenter.heads", exhausted, raising=False)
    code, message = refused("train", photos, "--out", tmp_path / "run", "--steps", "1", *SMALL)
    assert (code, "train.batch" in message) == (5, True)


@pytest.mark.parametrize("command", ["check", "predict"])
def test_out_of_memory_while_decoding_is_no_damaged_picture(refused, trained, own_photos, monkeypatch, command):
    def exhausted(*arguments: object) -> None:
        raise MemoryError

    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", exhausted)
    out = own_photos / "results"
    inputs = [own_photos] if command == "check" else [trained, own_photos / "images", "--out", out]
    code, message = refused(command, *inputs)
    assert code == 5
    assert "does not fit into memory" in message
    assert "damaged" not in message


def test_settings_file_of_a_run_takes_another_length(intarsia, photos, trained, tmp_path):
    config = trained / "settings.toml"
    code, _, err = intarsia("train", photos, "--config", config, "--out", tmp_path / "run", "--epochs", "0.2")
    assert code == 0, err
    assert "for 1 steps" in err
