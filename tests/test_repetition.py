"""The same training several times: how pairs are dealt, and what comes together at the end."""

import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import load_file

from intarsia.data.index import open_dataset
from intarsia.data.pairs import Dataset, Pair
from intarsia.errors import DataError, SettingsError
from intarsia.evaluation import evaluate
from intarsia.loading import load, runs_in
from intarsia.repetition import Repetition, deal, train_folds, train_seeds
from intarsia.synthetic.scenes import write_scenes
from intarsia.training import train

SETTINGS: dict[str, dict[str, Any]] = {
    "train": {"size": (32, 32), "batch": 2, "steps": 2, "validations": 1, "device": "cpu", "precision": "fp32"},
    "model": {"name": "unet", "width": 4, "depth": 2, "stem": 1},
}


def dataset(train: Sequence[str], val: Sequence[str] = ()) -> Dataset:
    """Pairs without files."""
    splits = {"train": train, "val": val} if val else {"train": train}
    return Dataset(
        Path("photos"),
        {
            split: tuple(Pair(name, Path(split, f"{name}.png"), Path(split, f"{name}-mask.png")) for name in names)
            for split, names in splits.items()
        },
    )


def names(parts: list[tuple[Pair, ...]]) -> list[list[str]]:
    return [[pair.name for pair in part] for part in parts]


STREETS = [f"street{scene}_{frame}" for scene in range(11) for frame in range(scene % 4 + 1)]


@pytest.mark.parametrize("folds", [2, 3, 5, 11])
@pytest.mark.parametrize("separator", ["", "_"])
def test_every_pair_is_dealt_exactly_once(folds: int, separator: str) -> None:
    given = dataset(STREETS[3:], STREETS[:3])
    parts = deal(given, folds, separator)
    assert len(parts) == folds
    assert Counter(pair for part in parts for pair in part) == Counter(
        pair for split in given.splits.values() for pair in split
    )


def test_scenes_stay_together_and_are_spread_evenly() -> None:
    scenes = [{name.split("_")[0] for name in part} for part in names(deal(dataset(STREETS), 4, "_"))]
    assert sum(map(len, scenes)) == len(set().union(*scenes)) == 11
    assert sorted(map(len, scenes)) == [2, 3, 3, 3]


def test_folders_are_a_part_of_the_scene() -> None:
    """As when a val split is drawn."""
    scenes = [f"{city}/street_{frame}" for city in ("ulm", "bonn") for frame in range(3)]
    assert sorted(map(len, deal(dataset(scenes), 2, "_"))) == [3, 3]


def test_where_a_pair_comes_depends_on_names_alone() -> None:
    expected = [set(part) for part in names(deal(dataset(STREETS), 3, "_"))]
    turned = deal(dataset(STREETS[::-1][:20], STREETS[::-1][20:]), 3, "_")
    assert [set(part) for part in names(turned)] == expected


def test_it_is_the_same_on_every_machine() -> None:
    """The order of SHA-256 of the names, taken by turns."""
    order = sorted("abcde", key=lambda name: hashlib.sha256(name.encode()).hexdigest())
    assert [set(part) for part in names(deal(dataset(list("abcde")), 2))] == [set(order[::2]), set(order[1::2])]


def test_another_picture_of_a_known_scene_moves_nothing() -> None:
    """It joins its scene. A new scene, however, may move all others."""
    before = names(deal(dataset(STREETS), 3, "_"))
    after = names(deal(dataset([*STREETS, "street0_99"]), 3, "_"))
    assert [[name for name in part if name != "street0_99"] for part in after] == before
    (home,) = [part for part in after if "street0_99" in part]
    assert "street0_0" in home


def test_pictures_of_one_name_in_train_and_val_are_one_scene() -> None:
    (part,) = [part for part in deal(dataset(["a", "b", "c"], ["a"]), 3) if len(part) > 1]
    assert [pair.image for pair in part] == [Path("train/a.png"), Path("val/a.png")]


@pytest.mark.parametrize(("folds", "separator", "scenes"), [(4, "", 3), (2, "_", 1)])
def test_too_few_scenes(folds: int, separator: str, scenes: int) -> None:
    with pytest.raises(DataError, match=f"photos: {scenes} scenes cannot be dealt into {folds} folds. Give fewer"):
        deal(dataset(["a_0", "a_1", "a_2"]), folds, separator)


def test_fewer_than_two_are_no_repetition(scenes: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="--seeds 1: give 2 or more"):
        train_seeds(scenes, tmp_path / "out", SETTINGS, seeds=1)
    with pytest.raises(SettingsError, match="--folds 0: give 2 or more"):
        train_folds(scenes, tmp_path / "out", SETTINGS, folds=0)
    assert not (tmp_path / "out").exists()


def test_a_folder_in_use_is_refused(scenes: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(SettingsError, match=r"is not empty\. Give another --out, or continue .* --resume"):
        train_seeds(scenes, tmp_path, SETTINGS, seeds=2)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def weights(folder: Path) -> dict[str, Any]:
    return {
        f"{path.parent.name}/{path.name}/{name}": tensor.tolist()
        for path in sorted(folder.glob("*/*.safetensors"))
        for name, tensor in load_file(path).items()
    }


@pytest.fixture(scope="module")
def seeds(scenes: Path, tmp_path_factory: pytest.TempPathFactory) -> Repetition:
    given = SETTINGS | {"train": {**SETTINGS["train"], "seed": 7}}
    return train_seeds(scenes, tmp_path_factory.mktemp("seeds") / "out", given, seeds=2)


@pytest.fixture(scope="module")
def folds(scenes: Path, tmp_path_factory: pytest.TempPathFactory) -> Repetition:
    return train_folds(scenes, tmp_path_factory.mktemp("folds") / "out", SETTINGS, folds=2)


def best_miou(run: Path) -> float:
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return max(line["miou"] for line in lines if line["kind"] == "val")


@pytest.mark.parametrize(("kind", "expected"), [("seeds", ["seed-7", "seed-8"]), ("folds", ["fold-1", "fold-2"])])
def test_a_run_for_each_and_their_mean_and_spread(
    kind: str, expected: list[str], request: pytest.FixtureRequest
) -> None:
    done: Repetition = request.getfixturevalue(kind)
    assert sorted(path.name for path in done.folder.iterdir()) == ["ensemble.json", *expected]
    assert [training.folder for training in done.trainings] == [done.folder / name for name in expected]
    mious = [best_miou(done.folder / name) for name in expected]
    assert mious[0] != mious[1]
    assert done.mious == pytest.approx(mious)
    assert done.mean == pytest.approx(np.mean(mious))
    assert done.spread == pytest.approx(np.std(mious, ddof=1))
    assert done.stopped_by is None
    assert runs_in(done.folder)[0] == [done.folder / name for name in expected]


def test_seeds_count_from_the_one_that_is_set(seeds: Repetition) -> None:
    told = [(training.folder / "settings.toml").read_text() for training in seeds.trainings]
    assert ["seed = 7 " in told[0], "seed = 8 " in told[1]] == [True, True]
    assert seeds.pooled is None


def test_each_seed_is_the_training_of_that_seed(seeds: Repetition, scenes: Path, tmp_path: Path) -> None:
    alone = train(scenes, tmp_path / "run", SETTINGS | {"train": {**SETTINGS["train"], "seed": 8}})
    expected = load_file(alone.folder / "model.safetensors")
    got = load_file(seeds.folder / "seed-8" / "model.safetensors")
    assert all(tensor.equal(got[name]) for name, tensor in expected.items())


def test_pooled_scores_are_of_all_pairs_each_by_the_model_that_has_not_seen_it(
    folds: Repetition, scenes: Path
) -> None:
    parts = deal(open_dataset(scenes), 2)
    confusion = np.zeros((4, 4), dtype=np.int64)
    for part, training in zip(parts, folds.trainings, strict=True):
        held_out = Dataset(scenes, {"val": part}, open_dataset(scenes).labels)
        scored = evaluate(load(training.folder, "cpu"), held_out)
        assert scored.images == len(part)
        confusion += scored.confusion
    assert folds.pooled.confusion.tolist() == confusion.tolist()
    assert confusion.sum() + folds.pooled.ignored_pixels == 10 * 48 * 64
    assert folds.pooled.images == 10
    hits = np.diag(confusion)
    iou = hits / (confusion.sum(axis=0) + confusion.sum(axis=1) - hits)
    assert folds.pooled.miou == pytest.approx(iou.mean())


def test_folds_are_not_said_to_be_drawn(tmp_path: Path) -> None:
    """Without a val split one would be drawn; here it is only more pairs to deal."""
    alone = write_scenes(tmp_path / "photos", {"train": 5}, (32, 32))
    done = train_folds(alone, tmp_path / "out", SETTINGS, folds=2)
    assert done.pooled.images == 5
    for training in done.trainings:
        said = (training.folder / "log.txt").read_text()
        assert "pairs to train" in said
        assert "drawn from train" not in said


def test_resumed_the_finished_ones_are_left_alone(folds: Repetition, scenes: Path, tmp_path: Path) -> None:
    """And what is missing is trained."""
    folder = shutil.copytree(folds.folder, tmp_path / "out")
    before = weights(folder)
    shutil.rmtree(folder / "fold-2")
    done = train_folds(scenes, folder, SETTINGS, folds=2, resume=True)
    assert weights(folder) == before
    assert done.mious == folds.mious
    assert done.pooled.to_dict() == folds.pooled.to_dict()
    validations = (folder / "fold-1" / "metrics.jsonl").read_text().count('"val"')
    assert validations == 1, "nothing was done again"


def test_resumed_with_another_number_of_folds_is_refused(folds: Repetition, scenes: Path) -> None:
    with pytest.raises(SettingsError, match="fold-1: was trained on other data"):
        train_folds(scenes, folds.folder, SETTINGS, folds=3, resume=True)


def test_without_trainings_there_is_no_mean() -> None:
    nothing = Repetition(Path("out"), ())
    assert np.isnan(nothing.mean)
    assert np.isnan(nothing.spread)
    assert nothing.stopped_by is None


def test_one_training_has_a_mean_and_no_spread(seeds: Repetition) -> None:
    one = Repetition(seeds.folder, seeds.trainings[:1])
    assert one.mean == seeds.mious[0]
    assert np.isnan(one.spread)
