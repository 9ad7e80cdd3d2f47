"""Inference: one image of any size -> logits or class indices, in float32, the same for all who ask.

Training's validation, evaluate and predict all pass through here, so that a score belongs to what predict writes.
"""

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
from intarsia.modelfile import MODEL_FILE, ModelCard, load_model
from intarsia.networks.heads import drop_auxiliary
from intarsia.networks.segmenter import Segmenter


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
    logits: Tensor = segmenter(to_tensor(image[None]).to(device))
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
    """

    def __init__(self, members: Sequence[Segmenter]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

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
        total: Tensor | float = 0.0
        for member in self.members:
            total = total + F.softmax(member(image).float(), dim=1)
        return torch.log(torch.as_tensor(total) / len(self.members))


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
    runs = runs_in(Path(path))
    if not runs:
        segmenter, card = _one_of_ours(path, network)
        return Predictor(_placed(segmenter, device), card)
    loaded = [_one_of_ours(run, network) for run in runs]
    card = loaded[0][1]
    for run, (_, other) in zip(runs, loaded, strict=True):
        if (other.labels, other.bands) != (card.labels, card.bands):
            raise ModelFileError(f"{run}: has other classes or bands than {runs[0]}: they are no ensemble.")
    return Predictor(_placed(Ensemble([segmenter for segmenter, _ in loaded]), device), card)


def runs_in(folder: Path) -> list[Path]:
    """The runs of an ensemble: sub-folders fold-* or seed-* with a model, where the folder is no run itself."""
    if not folder.is_dir() or (folder / MODEL_FILE).exists():
        return []
    found = [path.parent for kind in ("fold-*", "seed-*") for path in folder.glob(f"{kind}/{MODEL_FILE}")]
    return sorted(found)


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
