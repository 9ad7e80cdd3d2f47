"""Inference: one image of any size -> logits or class indices, in float32, the same for all who ask.

Training's validation, evaluate and predict all pass through here, so that a score belongs to what predict writes.
"""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from intarsia.data.dataset import to_tensor
from intarsia.errors import DataError, MachineError, ModelFileError
from intarsia.labels import Labels
from intarsia.modelfile import ModelCard, load_model
from intarsia.networks.heads import drop_auxiliary
from intarsia.networks.segmenter import Segmenter

ENSEMBLE_FILE = "ensemble.json"  # in a folder of runs: which belong together


@torch.no_grad()  # not inference_mode: some networks keep tensors (BEiT), and may be trained on with them
def predict_logits(segmenter: "Segmenter | Ensemble", image: NDArray[Any]) -> Tensor:
    """Logits of one image.

    Args:
        segmenter: in eval mode, on any device.
        image: [H, W, bands] uint8, uint16 or float32, raw values.

    Returns:
        [C, H, W] float32, on the segmenter's device.
    """
    device = segmenter.mean.device
    image = np.require(image, requirements=("C", "W"))  # torch takes neither flipped nor read-only arrays
    try:
        logits: Tensor = segmenter(to_tensor(image[None]).to(device))
    except (torch.OutOfMemoryError, MemoryError) as error:
        height, width = image.shape[:2]
        raise MachineError(
            f"A picture of {height}x{width} pixels does not fit into the memory of {device} in one piece: "
            f"{(str(error).splitlines() or [''])[0]} Say --device cpu, or take smaller pictures."
        ) from None
    return logits[0]


def predict_classes(segmenter: "Segmenter | Ensemble", image: NDArray[Any]) -> Tensor:
    """[H, W] int64 class indices of one image; arguments as for `predict_logits`."""
    return predict_logits(segmenter, image).argmax(dim=0)


class Predictor:
    """A trained model, ready to use: what `intarsia.load` returns.

    Attributes:
        segmenter: the network with its input handling, in eval mode.
        card: what the model file says about itself.
    """

    def __init__(self, segmenter: "Segmenter | Ensemble", card: ModelCard) -> None:
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


class Ensemble(nn.Module):
    """Several segmenters as one: its logits are the logarithm of the mean of their probabilities.

    Args:
        members: of the same classes and bands.
        folds: whether each pair of their train and val was learned by some of them, and held out by others.
    """

    def __init__(self, members: Sequence[Segmenter], *, folds: bool = False) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)
        self.folds = folds

    @property
    def mean(self) -> Tensor:
        """Of the first member's input: where it is, the ensemble is."""
        return self._first.mean

    @property
    def bands(self) -> int:
        """Number of bands of the images."""
        return self._first.bands

    @property
    def _first(self) -> Segmenter:
        first = self.members[0]
        assert isinstance(first, Segmenter)
        return first

    def forward(self, image: Tensor) -> Tensor:
        """[B, bands, H, W] raw values -> [B, C, H, W] float32; see `Segmenter.forward`."""
        total = F.log_softmax(self._first(image).float(), dim=1)
        for member in self.members[1:]:
            total = torch.logaddexp(total, F.log_softmax(member(image).float(), dim=1))
        return total - math.log(len(self.members))


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


def _placed(model: "Segmenter | Ensemble", device: str | None) -> "Segmenter | Ensemble":
    return model.to(find_device(device)).to(memory_format=torch.channels_last)


def find_device(name: str | None = None) -> torch.device:
    """The device of this name, or the fastest there is.

    Raises:
        MachineError: this machine or this build of torch has no such device.
    """
    if name is None:
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise MachineError(f"Device {name!r} cannot be used: {reason}. Leave --device out, or say cpu.") from None
    return device
