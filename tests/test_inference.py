"""One image of any size -> logits or classes, from whatever kind of array a person has at hand."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from intarsia.errors import DataError, MachineError
from intarsia.inference import Predictor, find_device, load
from intarsia.labels import Labels
from tests.small import noise, saved_model, small_model

SIZES = pytest.mark.parametrize("size", [(1, 1), (1, 500), (500, 1), (17, 33), (100, 37)], ids=str)


@pytest.fixture(scope="module")
def predictor(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    return load(saved_model(tmp_path_factory.mktemp("model") / "model.safetensors"), "cpu")


@SIZES
def test_classes_and_logits_have_the_images_size(predictor: Predictor, size: tuple[int, int]) -> None:
    image = noise(*size, 3)
    classes, logits = predictor.predict(image), predictor.logits(image)
    assert (classes.shape, classes.dtype) == (size, np.uint8)
    assert (logits.shape, logits.dtype) == ((3, *size), np.float32)
    assert np.array_equal(classes, logits.argmax(axis=0))


def test_the_small_model_is_no_trivial_one(predictor: Predictor) -> None:
    assert np.unique(predictor.predict(noise(64, 64, 3))).tolist() == [0, 1, 2]


def test_logits_are_those_of_the_saved_segmenter(predictor: Predictor) -> None:
    segmenter, _ = small_model()
    image = noise(21, 30, 3)
    expected = segmenter(torch.tensor(image).permute(2, 0, 1)[None])[0].detach()
    assert predictor.logits(image) == pytest.approx(expected.numpy(), rel=1e-3, abs=1e-3)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int64, np.float32, np.float64])
def test_the_type_of_the_numbers_does_not_matter(predictor: Predictor, dtype: type) -> None:
    image = noise(12, 10, 3)
    assert np.array_equal(predictor.predict(image.astype(dtype)), predictor.predict(image))


@pytest.mark.parametrize("bands", [1, 5])
def test_any_number_of_bands(bands: int, tmp_path: Path) -> None:
    own = load(saved_model(tmp_path / "model.safetensors", bands=bands), "cpu")
    assert own.predict(noise(9, 11, bands)).shape == (9, 11)


def test_one_band_may_come_without_its_axis(tmp_path: Path) -> None:
    own = load(saved_model(tmp_path / "model.safetensors", bands=1), "cpu")
    assert np.array_equal(own.predict(noise(9, 11)), own.predict(noise(9, 11)[:, :, None]))


def test_flipped_and_read_only_arrays_are_as_good_as_any(predictor: Predictor) -> None:
    """OpenCV's BGR is turned with a negative stride; NumPy's view of a Pillow picture is read-only."""
    image = noise(12, 10, 3)
    for view in (image[..., ::-1], image[::-1], image[:, ::2], image.transpose(1, 0, 2)):
        assert np.array_equal(predictor.predict(view), predictor.predict(view.copy()))
    assert np.array_equal(predictor.predict(np.asarray(Image.fromarray(image))), predictor.predict(image))


@pytest.mark.parametrize("shape", [(5, 6), (5, 6, 1), (5, 6, 4), (2, 5, 6, 3), (0, 6, 3), (5, 0, 3), (6,)], ids=str)
def test_what_is_no_image_of_this_model_is_refused(predictor: Predictor, shape: tuple[int, ...]) -> None:
    with pytest.raises(DataError, match=r"Image of shape \(.*\): expected is \(height, width, 3\)"):
        predictor.predict(np.zeros(shape, dtype=np.uint8))


def test_more_than_255_classes_come_as_16_bit(tmp_path: Path) -> None:
    labels = Labels.of_values(range(300))
    own = load(saved_model(tmp_path / "model.safetensors", labels), "cpu")
    classes = own.predict(noise(64, 64, 3))
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
