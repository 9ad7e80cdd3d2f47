"""One image of any size -> logits or classes, from whatever kind of array a person has at hand."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from intarsia.data.read import read_image
from intarsia.errors import DataError, MachineError, ModelFileError, SettingsError
from intarsia.evaluation import evaluate
from intarsia.inference import find_device
from intarsia.labels import Labels
from intarsia.loading import ENSEMBLE_FILE, Predictor, load, runs_in
from intarsia.modelfile import save_model
from intarsia.prediction import predict
from tests.conftest import touch, write_pair
from tests.small import noise, saved_model, small_model

SIZES = pytest.mark.parametrize("size", [(1, 1), (1, 500), (500, 1), (17, 33), (100, 37)], ids=str)


@pytest.fixture(scope="module")
def predictor(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    return load(saved_model(tmp_path_factory.mktemp("model") / "model.safetensors"), "cpu")


@SIZES
def test_classes_and_logits_have_the_images_size(predictor: Predictor, size: tuple[int, int]) -> None:
    image = noise(*size, 3)
    classes, logits = predictor.predict(image).mask, predictor.logits(image)
    assert (classes.shape, classes.dtype) == (size, np.uint8)
    assert (logits.shape, logits.dtype) == ((3, *size), np.float32)
    assert np.array_equal(classes, logits.argmax(axis=0))


def test_the_small_model_is_no_trivial_one(predictor: Predictor) -> None:
    assert np.unique(predictor.predict(noise(64, 64, 3)).mask).tolist() == [0, 1, 2]


def test_logits_are_those_of_the_saved_segmenter(predictor: Predictor) -> None:
    segmenter, _ = small_model()
    image = noise(21, 30, 3)
    expected = segmenter(torch.tensor(image).permute(2, 0, 1)[None])[0].detach()
    assert predictor.logits(image) == pytest.approx(expected.numpy(), rel=1e-3, abs=1e-3)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int64, np.float32, np.float64])
def test_the_type_of_the_numbers_does_not_matter(predictor: Predictor, dtype: type) -> None:
    image = noise(12, 10, 3)
    assert np.array_equal(predictor.predict(image.astype(dtype)).mask, predictor.predict(image).mask)


@pytest.mark.parametrize("bands", [1, 5])
def test_any_number_of_bands(bands: int, tmp_path: Path) -> None:
    own = load(saved_model(tmp_path / "model.safetensors", bands=bands), "cpu")
    assert own.predict(noise(9, 11, bands)).mask.shape == (9, 11)


def test_one_band_may_come_without_its_axis(tmp_path: Path) -> None:
    own = load(saved_model(tmp_path / "model.safetensors", bands=1), "cpu")
    assert np.array_equal(own.predict(noise(9, 11)).mask, own.predict(noise(9, 11)[:, :, None]).mask)


def test_flipped_and_read_only_arrays_are_as_good_as_any(predictor: Predictor) -> None:
    """OpenCV's BGR is turned with a negative stride; NumPy's view of a Pillow picture is read-only."""
    image = noise(12, 10, 3)
    for view in (image[..., ::-1], image[::-1], image[:, ::2], image.transpose(1, 0, 2)):
        assert np.array_equal(predictor.predict(view).mask, predictor.predict(view.copy()).mask)
    assert np.array_equal(predictor.predict(np.asarray(Image.fromarray(image))).mask, predictor.predict(image).mask)


@pytest.mark.parametrize("shape", [(5, 6), (5, 6, 1), (5, 6, 4), (2, 5, 6, 3), (0, 6, 3), (5, 0, 3), (6,)], ids=str)
def test_what_is_no_image_of_this_model_is_refused(predictor: Predictor, shape: tuple[int, ...]) -> None:
    with pytest.raises(DataError, match=r"Image of shape \(.*\): expected is \(height, width, 3\)"):
        predictor.predict(np.zeros(shape, dtype=np.uint8))


def test_more_than_255_classes_come_as_16_bit(tmp_path: Path) -> None:
    labels = Labels.of_values(range(300))
    own = load(saved_model(tmp_path / "model.safetensors", labels), "cpu")
    classes = own.predict(noise(64, 64, 3)).mask
    assert classes.dtype == np.uint16
    assert classes.max() > 255
    assert own.labels == labels


def test_prediction_leaves_no_graph_and_changes_nothing(predictor: Predictor) -> None:
    before = {name: tensor.clone() for name, tensor in predictor.segmenter.state_dict().items()}
    image = noise(8, 8, 3)
    kept = image.copy()
    predictor.predict(image)
    assert np.array_equal(image, kept)
    assert all(tensor.equal(before[name]) for name, tensor in predictor.segmenter.state_dict().items())


@pytest.mark.parametrize("name", ["toaster", "cpu:x", "cuda:99"])
def test_a_device_that_is_not_there_is_named(name: str) -> None:
    with pytest.raises(MachineError, match=rf"Device '{name}' cannot be used: .*Leave --device out, or say cpu"):
        find_device(name)


def test_a_device_by_name_or_the_fastest() -> None:
    assert find_device("cpu") == torch.device("cpu")
    assert find_device() == find_device(find_device().type)


def member(folder: Path, seed: int, labels: Labels | None = None, bands: int = 3) -> Path:
    """A run whose head is turned by a seed: no two agree everywhere."""
    segmenter, card = small_model(labels, bands)
    head = segmenter.get_submodule("network.head")
    with torch.no_grad():
        head.weight.copy_(torch.randn(head.weight.shape, generator=torch.Generator().manual_seed(seed)) * 2)
    folder.mkdir(parents=True)
    save_model(segmenter, card, folder / "model.safetensors")
    return folder


def listed(folder: Path, *names: str, folds: bool = True) -> Path:
    """A folder of runs that are all done."""
    (folder / ENSEMBLE_FILE).write_text(json.dumps({"runs": names, "folds": folds}))
    return folder


@pytest.fixture(scope="module")
def ensemble(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ensemble")
    for number in (1, 2, 3):
        member(folder / f"fold-{number}", number)
    return listed(folder, "fold-1", "fold-2", "fold-3")


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits.astype(np.float64) - logits.max(axis=0))
    return powers / powers.sum(axis=0)


@SIZES
def test_an_ensemble_gives_the_mean_of_the_probabilities(ensemble: Path, size: tuple[int, int]) -> None:
    image = noise(*size, 3)
    of_each = [softmax(load(ensemble / f"fold-{number}", "cpu").logits(image)) for number in (1, 2, 3)]
    together = load(ensemble, "cpu")
    logits = together.logits(image)
    assert (logits.shape, logits.dtype) == ((3, *size), np.float32)
    assert np.exp(logits) == pytest.approx(np.mean(of_each, axis=0), abs=1e-5)
    assert np.array_equal(together.predict(image).mask, logits.argmax(axis=0))


def test_its_members_do_not_agree_everywhere(ensemble: Path) -> None:
    """Nor is it one of them: else the test above would not say much."""
    image = noise(64, 64, 3)
    of_each = [load(ensemble / f"fold-{number}", "cpu").predict(image).mask for number in (1, 2, 3)]
    together = load(ensemble, "cpu").predict(image).mask
    assert all((one != together).any() for one in of_each)


def test_an_ensemble_of_one_is_that_one_up_to_a_constant(tmp_path: Path) -> None:
    run = member(tmp_path / "all" / "seed-4", 4)
    listed(tmp_path / "all", "seed-4", folds=False)
    image = noise(20, 30, 3)
    difference = load(tmp_path / "all", "cpu").logits(image) - load(run, "cpu").logits(image)
    assert np.ptp(difference, axis=0) == pytest.approx(np.zeros((20, 30)), abs=1e-4)
    assert np.exp(load(tmp_path / "all", "cpu").logits(image)).sum(axis=0) == pytest.approx(
        np.ones((20, 30)), abs=1e-5
    )


def test_a_class_that_no_member_believes_in_is_no_nan(tmp_path: Path) -> None:
    """A probability that is 0 in float32 has the logarithm -inf; the classes are those of the others."""
    segmenter, card = small_model()
    with torch.no_grad():
        segmenter.get_submodule("network.head").bias.copy_(torch.tensor([0.0, 5000.0, -5000.0]))
    (tmp_path / "fold-1").mkdir()
    save_model(segmenter, card, tmp_path / "fold-1" / "model.safetensors")
    together = load(listed(tmp_path, "fold-1"), "cpu")
    assert not np.isnan(together.logits(noise(9, 9, 3))).any()
    assert together.predict(noise(9, 9, 3)).mask.tolist() == [[1] * 9] * 9


OTHERS = {
    "more classes": {"labels": Labels.of_values([0, 1, 2, 3])},
    "other classes": {"labels": Labels.of_values([0, 1, 5])},
    "other bands": {"bands": 1},
}


@pytest.mark.parametrize("name", OTHERS)
def test_models_of_other_classes_or_bands_are_no_ensemble(name: str, tmp_path: Path) -> None:
    member(tmp_path / "fold-1", 1)
    member(tmp_path / "fold-2", 2, **OTHERS[name])
    listed(tmp_path, "fold-1", "fold-2")
    words = r"fold-2: has other classes or bands than .*fold-1: they are no ensemble"
    with pytest.raises(ModelFileError, match=words):
        load(tmp_path, "cpu")


def test_runs_are_found_where_there_are_any(tmp_path: Path) -> None:
    """Those that are listed when all are done: not the first folds of a training that was stopped."""
    touch(tmp_path, *(f"{name}/model.safetensors" for name in ("fold-1", "fold-2", "fold-3")))
    assert runs_in(tmp_path) == ([], False)
    listed(tmp_path, "fold-1", "fold-2")
    assert runs_in(tmp_path) == ([tmp_path / "fold-1", tmp_path / "fold-2"], True)
    assert runs_in(tmp_path / "fold-1" / "model.safetensors") == ([], False)
    assert runs_in(tmp_path / "gone") == ([], False)
    (tmp_path / ENSEMBLE_FILE).write_text("{}")
    with pytest.raises(ModelFileError, match=r"ensemble\.json: is damaged"):
        runs_in(tmp_path)


def test_a_folder_without_models_is_no_ensemble(tmp_path: Path) -> None:
    touch(tmp_path, "fold-1/last.safetensors")
    with pytest.raises(ModelFileError, match=str(tmp_path)):
        load(tmp_path, "cpu")


def test_a_damaged_member_is_named(tmp_path: Path) -> None:
    member(tmp_path / "fold-1", 1)
    touch(tmp_path, "fold-2/model.safetensors")
    listed(tmp_path, "fold-1", "fold-2")
    with pytest.raises(ModelFileError, match=r"fold-2.model\.safetensors.* is empty"):
        load(tmp_path, "cpu")


def test_predict_and_evaluate_take_an_ensemble(ensemble: Path, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    for number in range(3):
        write_pair(photos, f"{number}", noise(20, 33, 3, seed=number), noise(20, 33, seed=9 + number) % 3, "val")
    write_pair(photos, "only", noise(8, 8, 3), noise(8, 8) % 3, "train")
    predict(ensemble, photos / "images" / "val", tmp_path / "out", device="cpu")
    members = [load(ensemble / f"fold-{number}", "cpu") for number in (1, 2, 3)]
    confusion = np.zeros((3, 3), dtype=int)
    for path in sorted((photos / "images" / "val").iterdir()):
        image = read_image(path)
        expected = np.mean([softmax(one.logits(image)) for one in members], axis=0).argmax(axis=0)
        with Image.open(tmp_path / "out" / "masks" / path.name) as written:
            assert (np.asarray(written) != expected).mean() < 0.002, "but for ties in the last bits"
            got = np.asarray(written)
        with Image.open(photos / "masks" / "val" / path.name) as truth:
            np.add.at(confusion, (np.asarray(truth), got), 1)
    with pytest.raises(SettingsError, match="--split val: the ensemble of all folds was trained on these pictures"):
        evaluate(ensemble, photos, device="cpu")
    together = listed(tmp_path, *(str(ensemble / f"fold-{number}") for number in (1, 2, 3)), folds=False)
    scores = evaluate(together, photos, device="cpu")
    assert scores.confusion.tolist() == confusion.tolist()
