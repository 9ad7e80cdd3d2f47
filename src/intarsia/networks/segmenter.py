"""The model that owns its input: raw pixels of any size in, logits of the same size out."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Segmenter(nn.Module):
    """Normalises, pads to the stride, folds by the stem, runs the network, upsamples, crops.

    Nothing else ever prepares an image.

    Args:
        network: [B, bands * stem^2, h, w] float32 -> logits [B, C, h, w], for h and w divisible by `stride`.
        stride: what the network's input must be divisible by.
        mean: of each band of the training images, in the files' own units (0..255 for 8-bit pictures).
        std: the same.
        stem: 1, or more to let the network work at 1/stem of the size: squares of stem x stem pixels are folded
            into bands at the entrance, and the logits upsampled bilinearly at the exit.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self, network: nn.Module, stride: int, mean: Sequence[float], std: Sequence[float], stem: int = 1
    ) -> None:
        super().__init__()
        self.network = network
        self.stride = stride
        self.stem = stem
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32).view(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32).view(1, -1, 1, 1))

    @property
    def bands(self) -> int:
        """Number of bands of the images."""
        return self.mean.shape[1]

    def forward(self, image: Tensor) -> Tensor:
        """Logits of a batch, at the images' own size.

        Args:
            image: [B, bands, H, W] uint8 or float32, raw values; any H, W from 1 on.

        Returns:
            [B, C, H, W] logits.
        """
        height, width = image.shape[-2:]
        logits = self._padded_logits(image)
        if self.stem > 1:
            logits = F.interpolate(logits, scale_factor=self.stem, mode="bilinear", align_corners=False)
        return logits[..., :height, :width]

    def coarse(self, image: Tensor) -> Tensor:
        """Logits of a batch at the network's own resolution; `coarse_target` is the target that belongs to it.

        Args:
            image: as for `forward`.

        Returns:
            [B, C, ceil(H / stem), ceil(W / stem)] logits.
        """
        height, width = (-(-side // self.stem) for side in image.shape[-2:])
        return self._padded_logits(image)[..., :height, :width]

    def coarse_target(self, target: Tensor) -> Tensor:
        """Of every stem x stem square of a target [B, H, W], the pixel at its middle; nothing is interpolated."""
        rows, columns = (
            torch.arange(0, side, self.stem, device=target.device).add(self.stem // 2).clamp(max=side - 1)
            for side in target.shape[-2:]
        )
        return target[:, rows[:, None], columns]

    def _padded_logits(self, image: Tensor) -> Tensor:
        height, width = image.shape[-2:]
        x = normalise(image, self.mean, self.std)
        step = self.stride * self.stem
        below, right = -height % step, -width % step
        if below or right:
            x = F.pad(x, (0, right, 0, below), mode="replicate")
        if self.stem > 1:
            x = F.pixel_unshuffle(x, self.stem).contiguous(memory_format=torch.channels_last)
        logits: Tensor = self.network(x)
        assert logits.shape[-2:] == x.shape[-2:], "a network's logits have its input's size"
        return logits


def normalise(image: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """(image - mean) / std in float32; [B, bands, H, W] and twice [1, bands, 1, 1].

    As a batch normalisation with given statistics, which torch does in one pass in any memory format: a third of
    the time of the subtraction and division, whose inner loop has the length of the bands.
    """
    return F.batch_norm(image.float(), mean.flatten(), std.flatten().square(), eps=0.0)
