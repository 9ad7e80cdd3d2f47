"""The same call again: what is finished stays, and only what is finished counts as that."""

import os
import shutil
import threading
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from intarsia.errors import DataError, MachineError, SettingsError
from intarsia.loading import Predictor, load
from intarsia.pipeline.framewise import gathered
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


def test_files_of_one_size_and_time_are_told_apart_by_their_place(predictor: Predictor, tmp_path: Path) -> None:
    """Uncompressed frames of two cameras, unpacked from an archive."""
    left, right = (write_photo(tmp_path / name / "000123.bmp", seed=len(name)) for name in ("left", "right"))
    for path in (left, right):
        os.utime(path, ns=(0, 10**18))
    predict(predictor, left, tmp_path / "out")
    with pytest.raises(SettingsError, match=r"holds results of .*left/000123\.bmp, which those of .*right"):
        predict(predictor, right, tmp_path / "out")
    (tmp_path / "link").symlink_to(tmp_path / "left")  # another way to the same file
    assert told(predict(predictor, tmp_path / "link/000123.bmp", tmp_path / "out")) == ([], ["000123"])


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


def test_a_finished_picture_that_is_damaged_now_is_told_once(predictor: Predictor, tmp_path: Path) -> None:
    """In a batch with one that is not finished: all of the batch are read."""
    for number in range(64):
        write_photo(tmp_path / "in" / f"{number:02d}.png", size=(8, 9))
    predict(predictor, tmp_path / "in", tmp_path / "out", {"batch": 8})
    kept = (tmp_path / "in/08.png").stat()
    (tmp_path / "in/08.png").write_bytes(b"x" * kept.st_size)
    os.utime(tmp_path / "in/08.png", ns=(kept.st_atime_ns, kept.st_mtime_ns))
    (tmp_path / "out/masks/10.png").unlink()
    done = predict(predictor, tmp_path / "in", tmp_path / "out", {"batch": 8})
    assert list(map(str, done.written)) == ["09", *map(str, range(10, 16))]
    assert [path.name for path, _ in done.failed] == ["08.png"]
    assert len(done.finished) == 56


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
    ("width", "options", "words"),
    [
        (
            40,
            {},
            r"^30x40 pixels do not fit into .* of cpu in one piece: .*allocate.* such as --tile 256\.$",
        ),
        (
            80,
            {"tile": 40, "overlap": 0, "batch": 2},
            r"^2 pictures or tiles of 30x40 pixels do not fit into .* of cpu at once: .*--batch 1\.$",
        ),
    ],
    ids=["one", "two"],
)
def test_full_memory_is_told_with_the_cure(
    width: int, options: dict[str, int], words: str, full: None, predictor: Predictor, tmp_path: Path
) -> None:
    write_photo(tmp_path / "in" / "a.png", size=(30, width))
    with pytest.raises(MachineError, match=words):
        predict(predictor, tmp_path / "in", tmp_path / "out", options)


def test_full_memory_is_told_wherever_it_is_met(
    predictor: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a thread that writes, say, where probabilities are made of logits."""
    monkeypatch.setattr("intarsia.results.writing.classes_of", lambda logits, thresholds: torch.empty(1 << 55))
    words = r"^Memory is full: .*allocate.*\. Give a smaller --tile or --batch, or save fewer outputs at once\.$"
    with pytest.raises(MachineError, match=words):
        predict(predictor, write_photo(tmp_path / "a.png"), tmp_path / "out")


def stack(path: Path, frames: int = 6) -> Path:
    tifffile.imwrite(path, np.stack([noise(20, 30, 3, seed=seed) for seed in range(frames)]), photometric="rgb")
    return path


def test_frames_are_whole_or_not_there_while_they_are_replaced(
    predictor: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed while the older ones are removed: they have lost their name before."""
    path = stack(tmp_path / "a.tif")
    predict(predictor, path, tmp_path / "out")
    removed = []

    def killed(folder: Path, ignore_errors: bool = False) -> None:
        removed.append((folder.name, len(list((tmp_path / "out/masks/a").iterdir()))))
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("intarsia.pipeline.framewise.shutil.rmtree", killed)
        with pytest.raises(KeyboardInterrupt):
            predict(predictor, path, tmp_path / "out", save=["masks", "areas"])
    ((name, frames),) = removed
    assert (name.startswith(".a."), name.endswith(".tmp"), frames) == (True, True, 6)
    assert told(predict(predictor, path, tmp_path / "out", save=["masks", "areas"])) == (["a"], [])
    assert [found.name for found in (tmp_path / "out/masks").iterdir()] == ["a"]


def test_large_frames_are_decoded_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    frames = [np.zeros((10, 10, 1), np.uint8) for _ in range(11)]
    for most, sizes in ((1, [1] * 11), (100, [1] * 11), (350, [3, 3, 3, 2]), (10**9, [8, 3])):
        monkeypatch.setattr("intarsia.pipeline.framewise.MOST_DECODED", most)
        assert [len(portion) for portion in gathered(frames, 8)] == sizes
    assert list(gathered([], 8)) == []


def test_frames_before_a_damage_come_before_it() -> None:
    def damaged() -> Iterator[np.ndarray]:
        yield from [np.zeros((4, 4, 1), np.uint8)] * 3
        raise DataError("damaged")

    portions = gathered(damaged(), 2)
    assert [len(next(portions)), len(next(portions))] == [2, 1]
    with pytest.raises(DataError, match="damaged"):
        next(portions)


def test_a_folder_that_may_not_be_read_is_told(predictor: Predictor, tmp_path: Path) -> None:
    photo, out = write_photo(tmp_path / "a.png"), tmp_path / "out"
    predict(predictor, photo, out)
    (record,) = (out / FOLDER).glob("*.jsonl")
    for file in (out / MANIFEST, record):
        content = file.read_bytes()
        file.unlink()
        file.mkdir()  # root may read whatever is a file
        with pytest.raises(MachineError, match=rf"{file.name}: cannot be read: Is a directory\.$"):
            predict(predictor, photo, out)
        file.rmdir()
        file.write_bytes(content)
    assert told(predict(predictor, photo, out)) == ([], ["a"])


def test_what_a_killed_merge_leaves_is_swept_away(predictor: Predictor, tmp_path: Path) -> None:
    photo, out = write_photo(tmp_path / "a.png"), tmp_path / "out"
    predict(predictor, photo, out)
    (out / FOLDER / ".1-2.jsonl.1-2.tmp").touch()
    predict(predictor, photo, out)
    assert not list((out / FOLDER).glob(".*"))


def test_a_video_that_cannot_be_written_leaves_no_thread(
    predictor: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that compute the next frames end with the error, though it holds all that was going on."""
    film = VideoWriter(tmp_path / "a.mp4", Fraction(10))
    for number in range(6):
        film.write(noise(80, 96, 3, seed=number))
    film.close()

    def full(writer: VideoWriter, frame: np.ndarray) -> None:
        raise MachineError("the disk is full")

    monkeypatch.setattr(VideoWriter, "write", full)
    monkeypatch.setattr("intarsia.pipeline.workshop._MOST_WAITING", 1)
    with pytest.raises(MachineError, match="the disk is full") as raised:
        predict(predictor, tmp_path / "a.mp4", tmp_path / "out", save=["overlays"])
    assert raised.value.__traceback__ is not None
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("ahead")]
    assert not list((tmp_path / "out").rglob("*.mp4"))
