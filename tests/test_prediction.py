"""Predicting files and folders with a real model file: what is written, where, and what is refused."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import ExifTags, Image

from intarsia.draw import IGNORED_COLOR
from intarsia.errors import DataError, MachineError, SettingsError
from intarsia.inputs import find_images
from intarsia.labels import Labels
from intarsia.loading import Predictor, load
from intarsia.pipeline import framewise
from intarsia.pipeline.records import FOLDER
from intarsia.prediction import MANIFEST, predict
from intarsia.raster.video import VideoWriter
from tests.small import noise, saved_model


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved_model(tmp_path_factory.mktemp("model") / "model.safetensors")


@pytest.fixture(scope="module")
def predictor(model: Path) -> Predictor:
    return load(model, "cpu")


DRAWN = ("masks", "overlays", "triptychs")


def write_photo(path: Path, *shape: int, seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(noise(*(shape or (10, 12)), 3, seed=seed)).save(path)
    return path


def written(folder: Path) -> set[str]:
    files = {path.relative_to(folder) for path in folder.rglob("*") if path.is_file()}
    return {path.as_posix() for path in files if path.parts[0] not in (MANIFEST, FOLDER)}


def read_index(path: Path) -> np.ndarray:
    with Image.open(path) as file:
        return np.asarray(file)


def test_folders_keep_their_structure(model: Path, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    for name in ("a.png", "day/b.jpg", "day/night/c.TIFF", "dotted.name.bmp"):
        write_photo(photos / name)
    (photos / "notes.txt").write_text("no picture")
    write_photo(photos / ".thumbnails" / "hidden.png")
    seen: list[tuple[int, int]] = []
    done = predict(model, photos, tmp_path / "out", device="cpu", progress=lambda *counts: seen.append(counts))
    names = ["a", "day/b", "day/night/c", "dotted.name"]
    assert written(tmp_path / "out") == {f"masks/{name}.png" for name in names}
    assert done.out == tmp_path / "out"
    assert done.written == tuple(map(Path, names))
    assert done.failed == ()
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_files_and_folders_may_be_mixed(predictor: Predictor, tmp_path: Path) -> None:
    one, other = write_photo(tmp_path / "x" / "one.png"), write_photo(tmp_path / "y" / "deep" / "other.png")
    done = predict(predictor, [one, str(other.parents[1]), one], str(tmp_path / "out"))
    assert done.written == (Path("one"), Path("deep/other"))
    assert written(tmp_path / "out") == {"masks/one.png", "masks/deep/other.png"}


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (17, 33), (1000, 37)], ids=str)
@pytest.mark.parametrize("save", [("masks",), DRAWN], ids="+".join)
def test_masks_have_the_size_of_any_picture(
    predictor: Predictor, size: tuple[int, int], save: tuple[str, ...], tmp_path: Path
) -> None:
    photo = write_photo(tmp_path / "photo.png", *size)
    predict(predictor, photo, tmp_path / "out", save=save)
    mask = read_index(tmp_path / "out/masks/photo.png")
    assert mask.shape == size
    assert np.array_equal(mask, predictor.predict(noise(*size, 3)).mask)
    assert written(tmp_path / "out") == {f"{name}/photo.png" for name in save}


RGB = noise(14, 22, 3)
KINDS: dict[str, tuple[Callable[[], Image.Image], np.ndarray]] = {
    "grey": (lambda: Image.fromarray(RGB[:, :, 0]), RGB[:, :, :1].repeat(3, axis=2)),
    "RGBA": (lambda: Image.fromarray(np.dstack([RGB, RGB[:, :, 0]])), RGB),
    "palette": (
        lambda: Image.fromarray(RGB).quantize(16),
        np.asarray(Image.fromarray(RGB).quantize(16).convert("RGB")),
    ),
    "1 bit": (
        lambda: Image.fromarray(RGB[:, :, 0] > 127),
        (RGB[:, :, :1] > 127).repeat(3, axis=2).astype(np.uint8) * 255,
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_picture_is_predicted_as_the_colours_that_it_shows(
    kind: str, predictor: Predictor, tmp_path: Path
) -> None:
    make, shown = KINDS[kind]
    make().save(tmp_path / "photo.png")
    predict(predictor, tmp_path / "photo.png", tmp_path / "out")
    assert np.array_equal(read_index(tmp_path / "out/masks/photo.png"), predictor.predict(shown).mask)


@pytest.mark.parametrize(
    ("orientation", "turn"), [(3, lambda a: a[::-1, ::-1]), (6, lambda a: np.rot90(a, -1)), (8, np.rot90)]
)
def test_a_rotated_photo_gets_a_mask_of_its_upright_size(
    orientation: int, turn: Callable[[np.ndarray], np.ndarray], predictor: Predictor, tmp_path: Path
) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    Image.fromarray(RGB).save(tmp_path / "photo.png", exif=exif)
    predict(predictor, tmp_path / "photo.png", tmp_path / "out", save=["masks", "overlays"])
    upright = turn(RGB)
    mask = read_index(tmp_path / "out/masks/photo.png")
    assert np.array_equal(mask, predictor.predict(upright).mask)
    assert read_index(tmp_path / "out/overlays/photo.png").shape == upright.shape


def test_masks_are_index_pngs_with_the_classes_colours(predictor: Predictor, tmp_path: Path) -> None:
    predict(predictor, write_photo(tmp_path / "photo.png", 40, 50), tmp_path / "out")
    with Image.open(tmp_path / "out/masks/photo.png") as mask:
        assert (mask.mode, mask.info.get("transparency")) == ("P", None)
        palette = np.reshape(mask.getpalette(), (-1, 3))
        shown = np.asarray(mask.convert("RGB"))
    colors = np.array(predictor.labels.colors)
    assert palette[:3].tolist() == colors.tolist()
    assert palette[255].tolist() == list(IGNORED_COLOR)
    assert np.array_equal(shown, colors[predictor.predict(noise(40, 50, 3)).mask])


def test_more_than_255_classes_are_written_as_16_bit(tmp_path: Path) -> None:
    own = load(saved_model(tmp_path / "model.safetensors", Labels.of_values(range(300))), "cpu")
    predict(own, write_photo(tmp_path / "photo.png", 64, 64), tmp_path / "out", save=DRAWN)
    with Image.open(tmp_path / "out/masks/photo.png") as mask:
        assert mask.mode == "I;16"
        assert np.array_equal(np.asarray(mask), own.predict(noise(64, 64, 3)).mask)
        assert np.asarray(mask).max() > 255


def test_overlays_and_triptychs_are_pictures(predictor: Predictor, tmp_path: Path) -> None:
    predict(
        predictor, write_photo(tmp_path / "photo.png", 400, 360), tmp_path / "out", save=["overlays", "triptychs"]
    )
    assert read_index(tmp_path / "out/overlays/photo.png").shape == (400, 360, 3)
    height, width, bands = read_index(tmp_path / "out/triptychs/photo.png").shape
    assert (width, bands) == (3 * 360 + 4 * 8, 3)
    assert height > 400
    assert not (tmp_path / "out/masks").exists()


def test_an_output_may_be_named_alone_but_none_is_refused(predictor: Predictor, tmp_path: Path) -> None:
    photo = write_photo(tmp_path / "photo.png")
    predict(predictor, photo, tmp_path / "out", save="overlays")
    assert written(tmp_path / "out") == {"overlays/photo.png"}
    with pytest.raises(SettingsError, match=r"^--save: names nothing\. Known: masks, overlays, "):
        predict(predictor, photo, tmp_path / "none", save=[])
    assert not (tmp_path / "none").exists()


def test_one_unreadable_file_is_named_and_the_rest_is_done(predictor: Predictor, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    for name in ("a.png", "c.png"):
        write_photo(photos / name)
    content = write_photo(photos / "b.png", 60, 60).read_bytes()
    (photos / "b.png").write_bytes(content[: len(content) // 2])
    (photos / "d.jpg").write_text("<html>not found</html>")
    done = predict(predictor, photos, tmp_path / "out")
    assert done.written == (Path("a"), Path("c"))
    assert [path.name for path, _ in done.failed] == ["b.png", "d.jpg"]
    assert "b.png: is damaged and cannot be decoded" in done.failed[0][1]
    assert "d.jpg: is not a picture" in done.failed[1][1]
    assert written(tmp_path / "out") == {"masks/a.png", "masks/c.png"}


@pytest.mark.parametrize("names", [("a/x.png", "b/x.png"), ("a/x.png", "a/x.jpg")], ids="-".join)
def test_two_images_with_one_result_are_refused(
    names: tuple[str, str], predictor: Predictor, tmp_path: Path
) -> None:
    paths = [write_photo(tmp_path / name) for name in names]
    with pytest.raises(DataError, match=r"x\.\w+ and .*x\.\w+: both would be written as x\. Predict one apart"):
        predict(predictor, paths, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_unknown_output_offers_the_nearest(predictor: Predictor, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"--save overlay: is unknown\. Did you mean 'overlays'\?"):
        predict(predictor, write_photo(tmp_path / "photo.png"), tmp_path / "out", save=["masks", "overlay"])
    assert not (tmp_path / "out").exists()


def test_earlier_results_inside_the_input_are_not_predicted_again(predictor: Predictor, tmp_path: Path) -> None:
    write_photo(tmp_path / "photo.png")
    first, second = (predict(predictor, tmp_path, tmp_path / "out", save=DRAWN) for _ in range(2))
    assert (first.written, first.finished) == ((Path("photo"),), ())
    assert (second.written, second.finished) == ((), (Path("photo"),))


def test_a_call_that_failed_does_not_block_its_folder(predictor: Predictor, tmp_path: Path) -> None:
    photo = write_photo(tmp_path / "photo.png")
    with pytest.raises(SettingsError, match=r"level=1: is no slide"):
        predict(predictor, photo, tmp_path / "out", {"level": 1})
    assert predict(predictor, photo, tmp_path / "out").written == (Path("photo"),)
    with pytest.raises(SettingsError, match=r"--out .*: holds results of other options \(tta: False, not True\)"):
        predict(predictor, photo, tmp_path / "out", {"tta": True})


def test_a_video_that_is_interrupted_is_not_finished(
    predictor: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its overlays would else be taken for whole by the next call."""
    film = VideoWriter(tmp_path / "film.mp4", Fraction(10))
    for number in range(20):
        film.write(noise(40, 52, 3, seed=number))
    film.close()
    whole, frames = framewise.write_answers, []

    def interrupted(*arguments: Any) -> Any:
        frames.append(arguments)
        if len(frames) == 12:
            raise KeyboardInterrupt
        return whole(*arguments)

    monkeypatch.setattr(framewise, "write_answers", interrupted)
    with pytest.raises(KeyboardInterrupt):
        predict(predictor, tmp_path / "film.mp4", tmp_path / "out", save=["masks", "overlays"])
    assert written(tmp_path / "out") == set()
    monkeypatch.setattr(framewise, "write_answers", whole)
    assert predict(predictor, tmp_path / "film.mp4", tmp_path / "out", save=["masks", "overlays"]).written
    assert len(written(tmp_path / "out")) == 21


def test_only_what_is_ours_is_tidied(predictor: Predictor, tmp_path: Path) -> None:
    """`--out .`, beside a training that saves a checkpoint."""
    others = [tmp_path / "runs" / "first" / ".state.pt.77.tmp", tmp_path / "else" / ".mine.tmp" / "a"]
    own = tmp_path / "masks" / "day" / ".a.png.9-abcdef.tmp"
    for path in (*others, own):
        path.parent.mkdir(parents=True)
        path.touch()
    predict(predictor, write_photo(tmp_path / "photo.png"), tmp_path)
    assert [path.exists() for path in (*others, own)] == [True, True, False]


def test_other_peoples_files_are_not_overwritten(predictor: Predictor, tmp_path: Path) -> None:
    """`--out data` with a picture from elsewhere, and the truth in `data/masks`."""
    truth = write_photo(tmp_path / "data" / "masks" / "photo.png")
    kept = truth.read_bytes()
    with pytest.raises(SettingsError, match=r"data/masks holds files that predict did not write"):
        predict(predictor, write_photo(tmp_path / "photo.png"), tmp_path / "data")
    assert truth.read_bytes() == kept


@pytest.mark.parametrize("out", [".", "..", "../.."])
def test_an_output_folder_around_the_input_is_refused(out: str, predictor: Predictor, tmp_path: Path) -> None:
    """`--out data` with `data/images` would write over the truth in `data/masks`."""
    photos = write_photo(tmp_path / "data" / "images" / "photo.png").parent
    with pytest.raises(
        SettingsError, match=r"--out .*: holds the input folder .*images\. Choose one beside or below"
    ):
        predict(predictor, photos, photos / out)


@pytest.mark.parametrize(
    ("inputs", "words"),
    [(["missing"], r"missing: does not exist"), (["."], r"No images in .*Read are \.avi, \.bif, \.bmp, \.jpeg")],
)
def test_without_images_it_says_so(inputs: list[str], words: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=words):
        find_images([tmp_path / name for name in inputs], tmp_path / "out")


def test_an_output_folder_that_cannot_be_made_is_named(predictor: Predictor, tmp_path: Path) -> None:
    photo = write_photo(tmp_path / "photo.png")
    with pytest.raises(MachineError, match=r"photo\.png/out: cannot be written: a part of this path is a file"):
        predict(predictor, photo, photo / "out")
