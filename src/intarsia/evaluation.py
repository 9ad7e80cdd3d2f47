"""Scoring a model on a split, at the original resolution of its files."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from intarsia import draw
from intarsia.data.index import open_dataset
from intarsia.data.pairs import Dataset, Pair, read_pair
from intarsia.errors import DataError, SettingsError, listing
from intarsia.inference import predict_classes
from intarsia.labels import Labels
from intarsia.loading import Predictor, load
from intarsia.metrics import Scores, confusion_matrix, scores_of
from intarsia.modelfile import ModelCard
from intarsia.networks.ensemble import Ensemble
from intarsia.networks.segmenter import Segmenter
from intarsia.options import PredictOptions

_PICTURES = 4

Progress = Callable[[int, int], None]
Ask = Callable[[NDArray[Any]], Tensor]


def evaluate(
    model: str | Path | Predictor,
    data: str | Path | Dataset,
    split: str = "val",
    options: Mapping[str, Any] | PredictOptions | None = None,
    *,
    device: str | None = None,
    progress: Progress = lambda done, total: None,
) -> Scores:
    """Scores a model on one split, with one confusion matrix over all its pixels at original resolution.

    Args:
        model: a run folder, a model file, or what `load` returned.
        data: a folder in any known layout, a dataset file, or what `open_dataset` returned. Mask values mean
            what they meant in training, unless `data` declares classes of the same names itself.
        split: train, val or test. A val split that must be drawn is drawn as it was for training.
        options: as for `predict`, so that what is scored is what would be written.
        device: as for `load`.
        progress: called with the number of images done and of all.

    Raises:
        DataError: no such split, undecodable files, sizes that differ, values without a meaning, other classes.
        SettingsError: an ensemble of folds, and a split that its members were trained on; an unknown option.
        ModelFileError: no model of ours.
    """
    predictor = model if isinstance(model, Predictor) else load(model, device)
    card = predictor.card
    if isinstance(predictor.segmenter, Ensemble) and predictor.segmenter.folds and split != "test":
        raise SettingsError(
            f"--split {split}: the ensemble of all folds was trained on these pictures. The honest score over them "
            "is the one that --folds printed; give --split test, or one of the folds."
        )
    if not isinstance(data, Dataset):
        data = open_dataset(data, val_share=card.data.val_share, scene_separator=card.data.scene_separator)
    labels = _common_labels(card, data)
    plan = predictor.plan(options)

    def answer(image: NDArray[Any]) -> Tensor:
        return torch.from_numpy(predictor.answer(image, plan).mask.astype(np.int64)).to(plan.model.mean.device)

    return score(predictor.segmenter, data.split(split), labels, progress, answer)


def score(
    segmenter: Segmenter | Ensemble,
    pairs: Sequence[Pair],
    labels: Labels,
    progress: Progress = lambda done, total: None,
    ask: Ask | None = None,
) -> Scores:
    """Scores a segmenter in eval mode on pairs; memory does not grow with their number."""
    confusion, ignored = count(segmenter, pairs, labels, progress, ask)
    return scores_of(labels.names, confusion, len(pairs), int(ignored))


def count(
    segmenter: Segmenter | Ensemble,
    pairs: Sequence[Pair],
    labels: Labels,
    progress: Progress = lambda done, total: None,
    ask: Ask | None = None,
) -> tuple[Tensor, Tensor]:
    """The confusion matrix [C, C] over pairs, and the number of ignored pixels: int64, so that sums are exact.

    Args:
        segmenter: in eval mode.
        pairs: images and masks.
        labels: what the masks' values mean.
        progress: called with the number of images done and of all.
        ask: [H, W, bands] -> [H, W] int64 class indices; None for what the segmenter says of the picture as it is.
    """
    device = segmenter.mean.device
    confusion = torch.zeros(len(labels), len(labels), dtype=torch.int64, device=device)
    ignored = torch.zeros((), dtype=torch.int64, device=device)
    for done, pair in enumerate(pairs, start=1):
        image, mask = read_pair(pair, labels, segmenter.bands)
        target = torch.from_numpy(mask.astype("int64")).to(device)
        predicted = ask(image) if ask else predict_classes(segmenter, image)
        confusion += confusion_matrix(predicted, target, len(labels), labels.ignore_index)
        ignored += (target == labels.ignore_index).sum()
        progress(done, len(pairs))
    return confusion, ignored


def compared(segmenter: Segmenter | Ensemble, pairs: Sequence[Pair], labels: Labels) -> draw.Picture:
    """A picture [H, W, 3] uint8: image, truth and prediction of a few pairs, evenly taken, with a legend."""
    rows = []
    for index in np.linspace(0, len(pairs) - 1, min(_PICTURES, len(pairs))).round().astype(int):
        image, mask = read_pair(pairs[index], labels, segmenter.bands)
        predicted = predict_classes(segmenter, image).cpu().numpy()
        rows.append(
            {
                "image": draw.rgb(image),
                "truth": draw.overlay(image, mask, labels),
                "prediction": draw.overlay(image, predicted, labels),
            }
        )
    return draw.panel(rows, labels)


def _common_labels(card: ModelCard, data: Dataset) -> Labels:
    """The model's classes, with the stored values of the dataset where it declares any.

    What the training was told to ignore stays ignored, unless the dataset says that it is a class.
    """
    trained = card.labels
    declared = data.labels.names if data.labels else data.names
    if not set(declared) <= set(trained.names) or (data.labels and len(declared) < len(trained)):
        lacking = [name for name in trained.names if name not in declared]
        surplus = [name for name in declared if name not in trained.names]
        raise DataError(
            f"{data.root}: declares other classes than the model was trained on: "
            f"missing {listing(lacking) or 'none'}, unknown {listing(surplus) or 'none'}."
        )
    if data.labels is None:
        return replace(trained, ignore=tuple(dict.fromkeys(trained.ignore + data.ignore)))
    value_of = dict(zip(data.labels.names, data.labels.values, strict=True))
    values = tuple(value_of[name] for name in trained.names)
    unused = [value for value in card.data.ignore if not any(value in own for own in values)]
    ignore = tuple(dict.fromkeys([*data.labels.ignore, *unused]))
    return replace(data.labels, names=trained.names, colors=trained.colors, values=values, ignore=ignore)
