"""Loading: a model file, a run folder or an ensemble of runs -> a model that is ready to use."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from intarsia.errors import DataError, ModelFileError
from intarsia.inference import find_device, predict_classes, predict_logits
from intarsia.labels import Labels
from intarsia.modelfile import ModelCard, load_model
from intarsia.networks.ensemble import Ensemble
from intarsia.networks.heads import drop_auxiliary
from intarsia.networks.segmenter import Segmenter

ENSEMBLE_FILE = "ensemble.json"  # in a folder of runs: which belong together


class Predictor:
    """A trained model, ready to use: what `intarsia.load` returns.

    Attributes:
        segmenter: the network with its input handling, in eval mode.
        card: what the model file says about itself.
    """

    def __init__(self, segmenter: Segmenter | Ensemble, card: ModelCard) -> None:
        self.segmenter = segmenter
        self.card = card

    @property
    def labels(self) -> Labels:
        """Class names, colours and stored values."""
        return self.card.labels

    def predict(self, image: NDArray[Any]) -> NDArray[Any]:
        """Class indices of one image.

        Args:
            image: [H, W, bands] or [H, W] raw values, as `read_image` gives them; RGB where there are 3 bands.

        Returns:
            [H, W] class indices, uint8 (uint16 above 255 classes).

        Raises:
            DataError: the image has another shape or number of bands.
        """
        classes = predict_classes(self.segmenter, self._checked(image))
        return classes.cpu().numpy().astype(self.labels.mask_dtype)

    def logits(self, image: NDArray[Any]) -> NDArray[np.float32]:
        """[C, H, W] float32 logits of one image; arguments as for `predict`."""
        logits: NDArray[np.float32] = predict_logits(self.segmenter, self._checked(image)).cpu().numpy()
        return logits

    def _checked(self, image: NDArray[Any]) -> NDArray[Any]:
        image = image[:, :, None] if image.ndim == 2 else image
        if image.ndim != 3 or image.shape[2] != self.card.bands or 0 in image.shape:
            raise DataError(f"Image of shape {image.shape}: expected is (height, width, {self.card.bands}).")
        return image


def load(path: str | Path, device: str | None = None, *, network: nn.Module | None = None) -> Predictor:
    """Loads a model file, a run folder or the ensemble of several runs for prediction.

    Args:
        path: a run folder (its best model), a model file, or a folder of runs, as `train_folds` and `train_seeds`
            leave it.
        device: cpu, cuda, cuda:1, mps; None for the fastest there is.
        network: for a model that `train` made of a module of your own: a module of the same shape.

    Raises:
        ModelFileError: no model of ours there, or of another network.
        MachineError: no such device, or the library of its network is not installed.
    """
    runs, folds = runs_in(Path(path))
    if not runs:
        segmenter, card = _one_of_ours(path, network)
        return Predictor(_placed(segmenter, device), card)
    loaded = [_one_of_ours(run, network) for run in runs]
    card = loaded[0][1]
    for run, (_, other) in zip(runs, loaded, strict=True):
        if (other.labels, other.bands) != (card.labels, card.bands):
            raise ModelFileError(f"{run}: has other classes or bands than {runs[0]}: they are no ensemble.")
    return Predictor(_placed(Ensemble([segmenter for segmenter, _ in loaded], folds=folds), device), card)


def runs_in(folder: Path) -> tuple[list[Path], bool]:
    """The runs of an ensemble, as `train_seeds` and `train_folds` list them when all are done, and whether folds.

    Raises:
        ModelFileError: the list is damaged.
    """
    file = folder / ENSEMBLE_FILE
    if not file.is_file():
        return [], False
    try:
        told = json.loads(file.read_bytes())
        return [folder / str(name) for name in told["runs"]], bool(told["folds"])
    except (ValueError, KeyError, TypeError):
        raise ModelFileError(f"{file}: is damaged. The same command with --resume writes it anew.") from None


def _one_of_ours(path: str | Path, network: nn.Module | None) -> tuple[Segmenter, ModelCard]:
    segmenter, card = load_model(path, network)
    if network is None:
        drop_auxiliary(segmenter.network)
    return segmenter, card


def _placed(model: Segmenter | Ensemble, device: str | None) -> Segmenter | Ensemble:
    return model.to(find_device(device)).to(memory_format=torch.channels_last)
