"""Inference: one image of any size -> logits or class indices, in float32, the same for all who ask.

Training's validation, evaluate and predict all pass through here, so that a score belongs to what predict writes.
"""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from intarsia.data.dataset import to_tensor
from intarsia.errors import MachineError
from intarsia.networks.ensemble import Ensemble
from intarsia.networks.segmenter import Segmenter


@torch.no_grad()  # not inference_mode: some networks keep tensors (BEiT), and may be trained on with them
def predict_logits(segmenter: Segmenter | Ensemble, image: NDArray[Any]) -> Tensor:
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


def predict_classes(segmenter: Segmenter | Ensemble, image: NDArray[Any]) -> Tensor:
    """[H, W] int64 class indices of one image; arguments as for `predict_logits`."""
    return predict_logits(segmenter, image).argmax(dim=0)


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
