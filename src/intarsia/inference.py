"""Inference: one image of any size -> logits or class indices, in float32, the same for all who ask.

Training's validation, evaluate and predict all pass through here, so that a score belongs to what predict writes.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from intarsia.data.dataset import to_tensor
from intarsia.errors import DataError, MachineError
from intarsia.labels import Labels
from intarsia.modelfile import ModelCard, load_model
from intarsia.networks.heads import drop_auxiliary
from intarsia.networks.segmenter import Segmenter


@torch.no_grad()  # not inference_mode: some networks keep tensors (BEiT), and may be trained on with them
def predict_logits(segmenter: Segmenter, image: NDArray[Any]) -> Tensor:
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


def predict_classes(segmenter: Segmenter, image: NDArray[Any]) -> Tensor:
    """[H, W] int64 class indices of one image; arguments as for `predict_logits`."""
    return predict_logits(segmenter, image).argmax(dim=0)


class Predictor:
    """A trained model, ready to use: what `intarsia.load` returns.

    Attributes:
        segmenter: the network with its input handling, in eval mode.
        card: what the model file says about itself.
    """

    def __init__(self, segmenter: Segmenter, card: ModelCard) -> None:
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
    """Loads a model file or a run folder for prediction.

    Args:
        path: a run folder (its best model) or a model file.
        device: cpu, cuda, cuda:1, mps; None for the fastest there is.
        network: for a model that `train` made of a module of your own: a module of the same shape.

    Raises:
        ModelFileError: no model of ours there, or of another network.
        MachineError: no such device, or the library of its network is not installed.
    """
    segmenter, card = load_model(path, network)
    if network is None:
        drop_auxiliary(segmenter.network)
    return Predictor(segmenter.to(find_device(device)).to(memory_format=torch.channels_last), card)


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
