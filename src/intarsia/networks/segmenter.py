"""The model that owns its input: raw pixels of any size in, logits of the same size out."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Segmenter(nn.Module):
    """Normalises, pads to the stride, runs the network, crops back. Nothing else ever prepares an image.

    Args:
        network: [B, bands, H, W] normalised float32 -> logits [B, C, H, W], for H and W divisible by `stride`.
        stride: what the network's input must be divisible by.
        mean: of each band of the training images, in the files' own units (0..255 for 8-bit pictures).
        std: the same.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, stride: int, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.network = network
        self.stride = stride
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32).view(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32).view(1, -1, 1, 1))

    @property
    def bands(self) -> int:
        """Number of bands of the images."""
        return self.mean.shape[1]

    def forward(self, image: Tensor) -> Tensor:
        """Logits of a batch.

        Args:
            image: [B, bands, H, W] uint8 or float32, raw values; any H, W from 1 on.

        Returns:
            [B, C, H, W] logits.
        """
        height, width = image.shape[-2:]
        x = (image.float() - self.mean) / self.std
        below, right = -height % self.stride, -width % self.stride
        if below or right:
            x = F.pad(x, (0, right, 0, below), mode="replicate")
        logits: Tensor = self.network(x)
        assert logits.shape[-2:] == x.shape[-2:], "a network's logits have its input's size"
        return logits[..., :height, :width]
