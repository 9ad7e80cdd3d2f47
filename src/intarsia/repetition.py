"""The same training several times: with other seeds, or with other parts of the data held out."""

import hashlib
import json
import math
import statistics
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from signal import Signals

from intarsia.data.augment import Transform
from intarsia.data.index import scene_of
from intarsia.data.pairs import Dataset, Pair
from intarsia.distributed import joined
from intarsia.errors import DataError, SettingsError
from intarsia.files import write_whole
from intarsia.loading import ENSEMBLE_FILE
from intarsia.metrics import Scores
from intarsia.preparation import Given, as_settings, open_for_training
from intarsia.settings import Settings
from intarsia.training import Training, train


@dataclass(frozen=True)
class Repetition:
    """What several trainings gave.

    Attributes:
        folder: holds a run folder for each: seed-0, seed-1, ... or fold-1, ...; `load` takes it as an ensemble.
        trainings: one for each; fewer where a signal ended it.
        pooled: of folds, the scores over all pairs, each judged by the one model that has not seen it; else None.
    """

    folder: Path
    trainings: tuple[Training, ...]
    pooled: Scores | None = None

    @property
    def mious(self) -> tuple[float, ...]:
        """Validation mIoU of each best model."""
        return tuple(one.scores.miou for one in self.trainings if one.scores)

    @property
    def mean(self) -> float:
        """Mean of `mious`; NaN where there are none."""
        return statistics.fmean(self.mious) if self.mious else math.nan

    @property
    def spread(self) -> float:
        """Standard deviation of `mious`, with n - 1; NaN below two."""
        return statistics.stdev(self.mious) if len(self.mious) > 1 else math.nan

    @property
    def stopped_by(self) -> Signals | None:
        """The signal that ended it early."""
        return self.trainings[-1].stopped_by if self.trainings else None


def train_seeds(
    data: str | Path | Dataset,
    out: str | Path,
    settings: Given = None,
    *,
    seeds: int = 3,
    model: str | None = None,
    resume: bool = False,
    transform: Transform | None = None,
) -> Repetition:
    """Trains with several seeds, from `train.seed` on: how much of a score is luck.

    Arguments are those of `train`, but for `seeds`, their number; a module of your own would go on with the weights
    of the training before, so give the name of a network.

    Raises:
        SettingsError: as `train`; or fewer than two seeds.
    """
    if seeds < 2:
        raise SettingsError(f"--seeds {seeds}: give 2 or more.")
    base = as_settings(settings, model)

    def one(number: int) -> tuple[str, str | Path | Dataset, Settings]:
        seed = base.train.seed + number
        return f"seed-{seed}", data, base.model_copy(update={"train": base.train.model_copy(update={"seed": seed})})

    return _repeated(Path(out), seeds, one, resume=resume, transform=transform)


def train_folds(
    data: str | Path | Dataset,
    out: str | Path,
    settings: Given = None,
    *,
    folds: int = 5,
    model: str | None = None,
    resume: bool = False,
    transform: Transform | None = None,
) -> Repetition:
    """Cross-validation: train and val pooled and dealt into folds, of which each is held out once.

    Scenes stay together (`data.scene_separator`); which pair is in which fold depends on the names alone. Arguments
    are those of `train`, but for `folds`, their number.

    Raises:
        SettingsError: as `train`; or fewer than two folds.
        DataError: there are fewer scenes than folds.
    """
    if folds < 2:
        raise SettingsError(f"--folds {folds}: give 2 or more.")
    base = as_settings(settings, model)
    dataset = data if isinstance(data, Dataset) else open_for_training(Path(data), base)
    parts = deal(dataset, folds, base.data.scene_separator)

    def one(number: int) -> tuple[str, Dataset, Settings]:
        learned = tuple(pair for place, part in enumerate(parts) if place != number for pair in part)
        splits = {"train": learned, "val": parts[number]}
        return f"fold-{number + 1}", replace(dataset, splits=splits, drawn=False), base

    done = _repeated(Path(out), folds, one, resume=resume, transform=transform)
    if len(done.trainings) < folds or not all(training.scores for training in done.trainings):
        return done
    return replace(done, pooled=_pooled([training.scores for training in done.trainings if training.scores]))


def deal(dataset: Dataset, folds: int, scene_separator: str = "") -> list[tuple[Pair, ...]]:
    """Train and val in so many parts, nearly equal in scenes, by a hash of the scenes' names.

    Raises:
        DataError: there are fewer scenes than folds.
    """
    pairs = [pair for split in ("train", "val") if split in dataset.splits for pair in dataset.split(split)]
    scenes = {scene_of(pair.name, scene_separator) for pair in pairs}
    if len(scenes) < folds:
        raise DataError(f"{dataset.root}: {len(scenes)} scenes cannot be dealt into {folds} folds. Give fewer.")
    in_order = sorted(scenes, key=lambda scene: hashlib.sha256(scene.encode()).digest())
    fold_of = {scene: place % folds for place, scene in enumerate(in_order)}
    return [
        tuple(pair for pair in pairs if fold_of[scene_of(pair.name, scene_separator)] == fold)
        for fold in range(folds)
    ]


def _repeated(
    out: Path,
    times: int,
    one: Callable[[int], tuple[str, str | Path | Dataset, Settings]],
    *,
    resume: bool,
    transform: Transform | None,
) -> Repetition:
    trainings: list[Training] = []
    with joined() as world:
        world.alone(lambda: None if resume else _refuse_in_use(out))
        for number in range(times):
            name, data, settings = one(number)
            trainings.append(train(data, out / name, settings, resume=resume, transform=transform))
            if trainings[-1].stopped_by:
                return Repetition(out, tuple(trainings))
        names = [training.folder.name for training in trainings]
        listed = {"runs": names, "folds": names[0].startswith("fold")}
        world.alone(lambda: write_whole(out / ENSEMBLE_FILE, json.dumps(listed).encode()))
    return Repetition(out, tuple(trainings))


def _refuse_in_use(out: Path) -> None:
    if out.is_dir() and any(out.iterdir()):
        raise SettingsError(f"{out}: is not empty. Give another --out, or continue what is there with --resume.")


def _pooled(scores: list[Scores]) -> Scores:
    """One confusion matrix over all folds."""
    return Scores(
        scores[0].names,
        sum((one.confusion for one in scores[1:]), start=scores[0].confusion),
        sum(one.images for one in scores),
        sum(one.ignored_pixels for one in scores),
    )
