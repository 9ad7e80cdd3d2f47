"""Loading: a model file, a run folder or an ensemble of runs -> a model that is ready to use."""

import json
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, overload

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from intarsia.errors import DataError, ModelFileError
from intarsia.inference import find_device, predict_blocks, predict_logits
from intarsia.labels import Labels
from intarsia.modelfile import ModelCard, load_model
from intarsia.networks.ensemble import Ensemble
from intarsia.networks.heads import drop_auxiliary
from intarsia.networks.segmenter import Segmenter
from intarsia.options import PredictOptions, make_options
from intarsia.raster.contract import Source
from intarsia.raster.frames import is_frames
from intarsia.raster.pictures import Decoded
from intarsia.results.plan import Plan
from intarsia.results.result import Result, answered

ENSEMBLE_FILE = "ensemble.json"  # in a folder of runs: which belong together

Picture = NDArray[Any] | str | Path
"""[H, W, bands] or [H, W] raw values, or the path of a file."""


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

    @overload
    def predict(  # type: ignore[overload-overlap]  # a text is a sequence of texts too
        self, image: Picture, options: Mapping[str, Any] | PredictOptions | None = None
    ) -> Result: ...
    @overload
    def predict(
        self, image: Sequence[Picture], options: Mapping[str, Any] | PredictOptions | None = None
    ) -> list[Result]: ...

    def predict(
        self, image: Picture | Sequence[Picture], options: Mapping[str, Any] | PredictOptions | None = None
    ) -> Result | list[Result]:
        """The answer to an image of any size: `.mask`, `.probabilities`, `.overlay()`, `.polygons()`, `.areas()`.

        Args:
            image: [H, W, bands] or [H, W] raw values, as `read_image` gives them (RGB where there are 3 bands); or
                the path of a picture, GeoTIFF or slide; or a list of such.
            options: how; see `PredictOptions`.

        Returns:
            A result, or a list of them.

        Raises:
            DataError: the image has another shape or number of bands, or its file cannot be read.
            SettingsError: an option that does not exist, or out of range.
        """
        plan = self.plan(options)
        if isinstance(image, np.ndarray | str | Path):
            return self.answer(image, plan)
        return [self.answer(one, plan) for one in image]

    def plan(self, options: Mapping[str, Any] | PredictOptions | None = None) -> Plan:
        """What options mean for this model.

        Raises:
            SettingsError: an option that does not exist, out of range, or not for this model.
        """
        chosen = options if isinstance(options, PredictOptions) else make_options(options or {})
        least = max(self.card.training.get("size", (0,)))
        return Plan.of(self.segmenter, self.labels, chosen, least, self.card.dtype)

    def answer(self, image: Picture, plan: Plan) -> Result:
        """The answer to one image, as `plan` says; see `predict`."""
        if isinstance(image, str | Path) and is_frames(image, self.card.bands):
            raise DataError(f"{image}: holds several frames. intarsia.predict writes results for each.")

        def opened() -> Source:
            return Decoded(self._checked(image)) if isinstance(image, np.ndarray) else plan.open(image)

        with closing(opened()) as source:
            tiling = plan.tiling(source)
            blocks = predict_blocks(plan.model, map(source.read, tiling.windows), tiling)
            return answered(source, plan, blocks, opened)

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
