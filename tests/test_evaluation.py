"""Scores against an independent count over the very files that `predict` wrote."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from intarsia.data.index import open_dataset
from intarsia.errors import DataError
from intarsia.evaluation import evaluate
from intarsia.labels import Labels
from intarsia.loading import Predictor, load
from intarsia.prediction import predict
from intarsia.settings import DataSettings
from tests.conftest import write_pair
from tests.small import noise, saved_model, small_model

LABELS = Labels(("road", "car", "sky"), ((1, 1, 1), (2, 2, 2), (3, 3, 3)), ((10,), (20, 21), (40,)), (30, 255))
SIZES = [(20, 30), (17, 33), (1, 40), (31, 1)]


def street(folder: Path, values: tuple[int, ...] = (10, 20, 21, 30, 255), split: str = "val") -> Path:
    """Pairs of noise: masks hold `values`; the third class occurs in no mask unless a value says so."""
    for number, size in enumerate(SIZES):
        mask = np.array(values, dtype=np.uint8)[noise(*size, seed=100 + number) % len(values)]
        write_pair(folder, f"{number}", noise(*size, 3, seed=number), mask, split)
    write_pair(folder, "only", noise(8, 8, 3), np.full((8, 8), values[0], dtype=np.uint8), "train")
    return folder


def counted(truth_folder: Path, mask_folder: Path, class_of: dict[int, int], classes: int) -> dict[str, object]:
    """Everything by plain counting over PNG files."""
    confusion = np.zeros((classes, classes), dtype=int)
    ignored = 0
    for path in sorted(truth_folder.glob("*.png")):
        with Image.open(path) as truth, Image.open(mask_folder / path.name) as guess:
            for value, predicted in zip(np.asarray(truth).flat, np.asarray(guess).flat, strict=True):
                if value in class_of:
                    confusion[class_of[value], predicted] += 1
                else:
                    ignored += 1
    iou: list[float | None] = []
    for c in range(classes):
        union = confusion[c].sum() + confusion[:, c].sum() - confusion[c, c]
        iou.append(confusion[c, c] / union if union else None)
    present = [score for score in iou if score is not None]
    return {
        "confusion": confusion.tolist(),
        "iou": iou,
        "miou": sum(present) / len(present),
        "accuracy": confusion.trace() / confusion.sum(),
        "ignored": ignored,
    }


@pytest.fixture(scope="module")
def predictor(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    return load(saved_model(tmp_path_factory.mktemp("model") / "model.safetensors", LABELS), "cpu")


def test_scores_equal_a_count_over_the_files_that_predict_wrote(predictor: Predictor, tmp_path: Path) -> None:
    data = street(tmp_path / "data")
    seen: list[tuple[int, int]] = []
    scores = evaluate(predictor, data, progress=lambda *counts: seen.append(counts))
    predict(predictor, data / "images/val", tmp_path / "out")
    expected = counted(data / "masks/val", tmp_path / "out/masks", {10: 0, 20: 1, 21: 1, 40: 2}, 3)
    plain = scores.to_dict()
    assert plain["confusion"] == expected["confusion"]
    assert plain["class_iou"] == dict(zip(LABELS.names, expected["iou"], strict=True))
    assert plain["miou"] == pytest.approx(expected["miou"], abs=1e-12)
    assert plain["pixel_accuracy"] == expected["accuracy"]
    assert plain["ignored_pixels"] == expected["ignored"] > 0
    assert plain["images"] == len(SIZES)
    assert plain["pixels"] + plain["ignored_pixels"] == sum(height * width for height, width in SIZES)
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_a_path_or_a_predictor_a_folder_or_a_dataset(tmp_path: Path) -> None:
    model, data = saved_model(tmp_path / "model.safetensors", LABELS), street(tmp_path / "data")
    expected = evaluate(load(model, "cpu"), open_dataset(data)).to_dict()
    assert evaluate(model, data, device="cpu").to_dict() == expected
    assert evaluate(str(model), str(data), "val", device="cpu").to_dict() == expected


def test_a_drawn_split_is_drawn_as_it_was_for_training(tmp_path: Path) -> None:
    for scene in range(12):
        for view in range(2):
            write_pair(tmp_path, f"s{scene}_{view}", noise(8, 8, 3), np.full((8, 8), 10, dtype=np.uint8))
    segmenter, card = small_model(LABELS)
    data = DataSettings(val_share=0.5, scene_separator="_")
    scores = evaluate(Predictor(segmenter, replace(card, data=data)), tmp_path)
    drawn = open_dataset(tmp_path, val_share=0.5, scene_separator="_")
    assert scores.images == len(drawn.splits["val"])
    assert scores.images != len(open_dataset(tmp_path).splits["val"])


def test_a_split_that_is_not_there_is_named(predictor: Predictor, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"has no split 'test'; it has train, val"):
        evaluate(predictor, street(tmp_path), "test")


def test_a_value_without_a_meaning_is_named_with_its_file(predictor: Predictor, tmp_path: Path) -> None:
    street(tmp_path)
    write_pair(tmp_path, "9", noise(4, 4, 3), np.full((4, 4), 77, dtype=np.uint8), "val")
    with pytest.raises(DataError, match=r"9\.png: Mask value 77 \(16 pixels\): neither a class nor ignored"):
        evaluate(predictor, tmp_path)


def test_a_mask_of_another_size_is_named(predictor: Predictor, tmp_path: Path) -> None:
    street(tmp_path)
    write_pair(tmp_path, "9", noise(4, 6, 3), np.full((6, 4), 10, dtype=np.uint8), "val")
    with pytest.raises(DataError, match=r"9\.png: mask of 6x4 .* image of 4x6: the two must have one size"):
        evaluate(predictor, tmp_path)


def test_other_class_names_are_refused(predictor: Predictor, tmp_path: Path) -> None:
    street(tmp_path)
    (tmp_path / "dataset.toml").write_text("[classes]\nroad = 10\ncar = [20, 21]\nlorry = 30\n")
    with pytest.raises(DataError, match=r"declares other classes .*: missing sky, unknown lorry"):
        evaluate(predictor, tmp_path)


def test_the_same_names_may_have_other_values_in_another_order(predictor: Predictor, tmp_path: Path) -> None:
    mine, theirs = street(tmp_path / "mine"), street(tmp_path / "theirs", values=(3, 1, 1, 99, 255))
    (theirs / "dataset.toml").write_text("ignore = [99]\n[classes]\ncar = 1\nsky = 2\nroad = 3\n")
    assert evaluate(predictor, theirs).to_dict() == evaluate(predictor, mine).to_dict()


def test_what_the_training_ignored_stays_ignored_in_a_declared_dataset(tmp_path: Path) -> None:
    """`train DATA --ignore 30` and then `evaluate RUN DATA`, where DATA declares its classes."""
    segmenter, card = small_model(LABELS)
    own = Predictor(segmenter, replace(card, data=DataSettings(ignore=(30,))))
    plain = street(tmp_path / "plain")
    declared = street(tmp_path / "declared")
    (declared / "dataset.toml").write_text("[classes]\nroad = 10\ncar = [20, 21]\nsky = 40\n")
    assert evaluate(own, declared).to_dict() == evaluate(own, plain).to_dict()
    as_class = street(tmp_path / "as_class")
    (as_class / "dataset.toml").write_text("[classes]\nroad = 10\ncar = [20, 21]\nsky = 30\n")
    assert evaluate(own, as_class).confusion[2].sum() > 0


def test_more_than_255_classes_are_scored(tmp_path: Path) -> None:
    own = load(saved_model(tmp_path / "model.safetensors", Labels.of_values(range(300))), "cpu")
    mask = (noise(12, 12).astype(np.uint16) * 7) % 300
    mask[0] = 65535
    own = Predictor(own.segmenter, replace(own.card, labels=replace(own.labels, ignore=(65535,))))
    write_pair(tmp_path, "wide", noise(12, 12, 3), mask, "val")
    scores = evaluate(own, tmp_path)
    predicted = own.predict(noise(12, 12, 3)).mask
    assert scores.ignored_pixels == 12
    assert scores.confusion.trace() == (predicted[1:] == mask[1:]).sum()
    assert np.array_equal(scores.confusion.sum(axis=1), np.bincount(mask[1:].ravel(), minlength=300))
