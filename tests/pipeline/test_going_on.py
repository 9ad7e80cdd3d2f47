"""The same call again: what is finished stays, and only what is finished counts as that."""

import json
import os
import shutil
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from intarsia.errors import MachineError, SettingsError
from intarsia.loading import Predictor, load
from intarsia.pipeline.records import FOLDER
from intarsia.prediction import MANIFEST, Prediction, predict
from intarsia.raster.video import VideoWriter
from tests.small import noise, saved_model


@pytest.fixture(scope="module")
def predictor(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    return load(saved_model(tmp_path_factory.mktemp("model") / "model.safetensors"), "cpu")


def write_photo(path: Path, seed: int = 0, size: tuple[int, int] = (20, 30)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(noise(*size, 3, seed=seed)).save(path)
    return path


def told(done: Prediction) -> tuple[list[str], list[str]]:
    """What was predicted, and what was there already."""
    return list(map(str, done.written)), list(map(str, done.finished))


def test_a_picture_that_was_changed_is_predicted_again(predictor: Predictor, tmp_path: Path) -> None:
    for seed in range(3):
        write_photo(tmp_path / "in" / f"{seed}.png", seed)
    predict(predictor, tmp_path / "in", tmp_path / "out")
    before = (tmp_path / "out/masks/1.png").read_bytes()
    write_photo(tmp_path / "in" / "1.png", seed=7)
    assert told(predict(predictor, tmp_path / "in", tmp_path / "out")) == (["1"], ["0", "2"])
    assert (tmp_path / "out/masks/1.png").read_bytes() != before
    assert told(predict(predictor, tmp_path / "in", tmp_path / "out")) == ([], ["0", "1", "2"])


def test_an_output_of_the_picture_as_it_was_is_made_again(predictor: Predictor, tmp_path: Path) -> None:
    photo, out = write_photo(tmp_path / "a.png"), tmp_path / "out"
    predict(predictor, photo, out, save=["masks"])
    write_photo(photo, seed=7)
    predict(predictor, photo, out, save=["overlays"])
    assert told(predict(predictor, photo, out, save=["overlays"])) == ([], ["a"])
    assert told(predict(predictor, photo, out, save=["masks"])) == (["a"], [])
    assert told(predict(predictor, photo, out, save=["masks", "overlays"])) == ([], ["a"])


def test_another_folders_picture_of_the_same_name_is_refused(predictor: Predictor, tmp_path: Path) -> None:
    """Neither are the first one's results taken for its own, nor are they overwritten."""
    first, second = write_photo(tmp_path / "mon/a.png"), write_photo(tmp_path / "tue/a.png", seed=1)
    predict(predictor, first.parent, tmp_path / "out")
    kept = (tmp_path / "out/masks/a.png").read_bytes()
    words = rf"^--out .*out: holds results of {first}, which those of {second} would overwrite\. Choose another fo"
    with pytest.raises(SettingsError, match=words):
        predict(predictor, second.parent, tmp_path / "out")
    assert (tmp_path / "out/masks/a.png").read_bytes() == kept
    (tmp_path / "out/masks/a.png").unlink()
    assert told(predict(predictor, second.parent, tmp_path / "out")) == (["a"], [])


@pytest.mark.parametrize("content", [b"", b"[]", b'{"model": "x"}', b'{"options": 3}', b"\xff"], ids=str)
def test_a_manifest_that_is_none_is_refused(content: bytes, predictor: Predictor, tmp_path: Path) -> None:
    photo = write_photo(tmp_path / "a.png")
    predict(predictor, photo, tmp_path / "out")
    (tmp_path / "out" / MANIFEST).write_bytes(content)
    with pytest.raises(SettingsError, match=r"holds results of another model\. Choose another folder, or rem"):
        predict(predictor, photo, tmp_path / "out")


def test_a_folder_that_was_moved_is_finished_all_the_same(predictor: Predictor, tmp_path: Path) -> None:
    write_photo(tmp_path / "in/a.png")
    predict(predictor, tmp_path / "in", tmp_path / "out")
    (tmp_path / "in").rename(tmp_path / "moved")
    (tmp_path / "out").rename(tmp_path / "results")
    assert told(predict(predictor, tmp_path / "moved", tmp_path / "results")) == ([], ["a"])


def test_a_result_that_was_removed_is_made_again(predictor: Predictor, tmp_path: Path) -> None:
    write_photo(tmp_path / "in/a.png")
    write_photo(tmp_path / "in/b.png")
    predict(predictor, tmp_path / "in", tmp_path / "out")
    (tmp_path / "out/masks/b.png").unlink()
    assert told(predict(predictor, tmp_path / "in", tmp_path / "out")) == (["b"], ["a"])
    shutil.rmtree(tmp_path / "out" / FOLDER)  # results without a record may be anybody's
    assert told(predict(predictor, tmp_path / "in", tmp_path / "out")) == (["a", "b"], [])


def test_a_finished_picture_that_is_gone_is_told_once(predictor: Predictor, tmp_path: Path) -> None:
    """In a batch with one that is not finished: all of the batch are read."""
    for name in "ab":
        write_photo(tmp_path / "in" / f"{name}.png")
    predict(predictor, tmp_path / "in", tmp_path / "out")
    kept = (tmp_path / "in/a.png").stat()
    (tmp_path / "in/a.png").write_bytes(b"x" * kept.st_size)
    os.utime(tmp_path / "in/a.png", ns=(kept.st_atime_ns, kept.st_mtime_ns))
    (tmp_path / "out/masks/b.png").unlink()
    done = predict(predictor, tmp_path / "in", tmp_path / "out", {"batch": 8})
    assert told(done) == (["b"], [])
    assert [path.name for path, _ in done.failed] == ["a.png"]


def damaged_stack(folder: Path) -> Path:
    path = folder / "a.tif"
    pages = np.stack([noise(20, 30, seed=seed) for seed in range(4)])
    tifffile.imwrite(path, pages[..., None].repeat(3, axis=3), compression="deflate", photometric="rgb")
    with tifffile.TiffFile(path) as file:
        offset, count = file.pages[2].dataoffsets[0], file.pages[2].databytecounts[0]
    with path.open("r+b") as stream:
        stream.seek(offset)
        stream.write(b"\xa5" * count)
    return path


def damaged_video(folder: Path) -> Path:
    path = folder / "a.mp4"
    film = VideoWriter(path, Fraction(10))
    for number in range(60):
        film.write(np.random.default_rng(number).integers(0, 256, (40, 60, 3), dtype=np.uint8))
    film.close()
    os.truncate(path, path.stat().st_size * 7 // 10)
    return path


@pytest.mark.parametrize("make", [damaged_stack, damaged_video], ids=["stack", "video"])
def test_damaged_frames_are_told_every_time_and_predicted_once(
    make: Callable[[Path], Path], predictor: Predictor, tmp_path: Path
) -> None:
    inputs = [make(tmp_path), write_photo(tmp_path / "b.png")]
    first = predict(predictor, inputs, tmp_path / "out", save=["masks", "overlays"])
    ((path, message),) = first.failed
    assert path == inputs[0]
    assert "damaged after" in message
    before = {file: file.stat().st_mtime_ns for file in (tmp_path / "out").glob("*/a*/*.png")}
    assert len(before) >= 2
    second = predict(predictor, inputs, tmp_path / "out", save=["masks", "overlays"])
    assert second.failed == first.failed
    assert told(second) == ([], ["b"])
    assert {file: file.stat().st_mtime_ns for file in before} == before


def test_whoever_goes_on_takes_the_tiles_of_whoever_began(
    predictor: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a machine with more memory, or another process of torchrun."""
    write_photo(tmp_path / "in/a.png", size=(1100, 1200))
    with monkeypatch.context() as little:
        little.setattr("intarsia.inference.memory_of", lambda device: 1)
        done = predict(predictor, tmp_path / "in", tmp_path / "out")
    assert json.loads((tmp_path / "out" / MANIFEST).read_bytes())["pixels_in_one_piece"] == 1
    mask = (tmp_path / "out/masks/a.png").read_bytes()
    whole = predict(predictor, tmp_path / "in", tmp_path / "whole")
    assert (tmp_path / "whole/masks/a.png").read_bytes() != mask
    (tmp_path / "out/masks/a.png").unlink()
    assert predict(predictor, tmp_path / "in", tmp_path / "out").written == done.written == whole.written
    assert (tmp_path / "out/masks/a.png").read_bytes() == mask


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch, predictor: Predictor) -> None:
    """A network that asks for more memory than any machine has, as torch tells of it on a CPU."""
    layer = predictor.segmenter.get_submodule("network.head")
    forward = layer.forward

    def greedy(features: torch.Tensor) -> torch.Tensor:
        return torch.empty(1 << 55) if features.shape[-1] == 40 else forward(features)

    monkeypatch.setattr(layer, "forward", greedy)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, r"^30x40 pixels do not fit into .* of cpu in one piece: .*allocate.* a smaller tile, such as --tile"),
        ({"batch": 2}, r"^2 pictures or tiles of 30x40 pixels do not fit into .* of cpu at once: .*--batch 1\.$"),
    ],
    ids=["one", "two"],
)
def test_full_memory_is_told_with_the_cure(
    options: dict[str, int], words: str, full: None, predictor: Predictor, tmp_path: Path
) -> None:
    for name in "ab":
        write_photo(tmp_path / "in" / f"{name}.png", size=(30, 40))
    with pytest.raises(MachineError, match=words):
        predict(predictor, tmp_path / "in", tmp_path / "out", options)
