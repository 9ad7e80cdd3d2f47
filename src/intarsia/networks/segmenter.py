"""The model that owns its input: raw pixels of any size in, logits of the same size out."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from intarsia.networks.heads import heads_of


class Segmenter(nn.Module):
    """Normalises, pads to the stride, folds by the stem, runs the network, upsamples, crops.

    Nothing else ever prepares an image. The network may be anybody's: whatever it gives, `heads_of` reads.

    Args:
        network: [B, bands * stem^2, h, w] float32 -> logits at any resolution, for h and w divisible by `stride`.
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

    @property
    def step(self) -> int:
        """What a picture is padded to a multiple of; a tile that begins at one is seen as in the whole picture."""
        return self.stride * self.stem

    def forward(self, image: Tensor) -> Tensor:
        """Logits of a batch, at the images' own size.

        Args:
            image: [B, bands, H, W] uint8 or float32, raw values; any H, W from 1 on. NaN and infinite values, as
                rasters have them where there are no data, are seen as the band's mean.

        Returns:
            [B, C, H, W] logits of the main head.
        """
        x = self._padded(image)
        return self._at_image_size(self._heads(x)[0], x, image)

    def heads(self, image: Tensor, target: Tensor, *, coarse: bool = False) -> list[tuple[Tensor, Tensor]]:
        """Logits of every head with the target that belongs to them, for the loss: the main head first.

        Args:
            image: as for `forward`.
            target: [B, H, W] class indices.
            coarse: meet the target at the resolution of the network's answer instead of the image's: of each square
                of pixels that one logit stands for, the target is the pixel at its middle. Nothing is interpolated.

        Returns:
            Pairs of [B, C, h, w] and [B, h, w]; for a head that judges the whole picture, [B, C] and [B, H, W].
        """
        x = self._padded(image)
        pairs = []
        for logits in self._heads(x):
            if logits.ndim == 2:
                pairs.append((logits, target))
            elif coarse and (square := _square(x, logits)):
                belonging = _middles(target, square)
                height, width = belonging.shape[-2:]
                pairs.append((logits[..., :height, :width], belonging))
            else:
                pairs.append((self._at_image_size(logits, x, image), target))
        return pairs

    def _padded(self, image: Tensor) -> Tensor:
        """[B, bands, H, W] -> [B, bands, H', W'] normalised; H' and W' divisible by stride * stem."""
        height, width = image.shape[-2:]
        x = normalise(filled(image, self.mean), self.mean, self.std)
        below, right = -height % self.step, -width % self.step
        return F.pad(x, (0, right, 0, below), mode="replicate") if below or right else x

    def _heads(self, x: Tensor) -> list[Tensor]:
        if self.stem > 1:
            x = F.pixel_unshuffle(x, self.stem).contiguous(memory_format=torch.channels_last)
        return heads_of(self.network(x))

    def _at_image_size(self, logits: Tensor, padded: Tensor, image: Tensor) -> Tensor:
        """Upsampled bilinearly where they are smaller than the padded image, and cropped."""
        height, width = image.shape[-2:]
        if logits.shape[-2:] != padded.shape[-2:]:
            logits = F.interpolate(logits, size=padded.shape[-2:], mode="bilinear", align_corners=False)
        return logits[..., :height, :width]


def _square(padded: Tensor, logits: Tensor) -> tuple[int, int] | None:
    """Height and width of the pixels that one logit stands for; None where these are no whole numbers."""
    (rows, row_rest), (columns, column_rest) = (
        divmod(whole, part) for whole, part in zip(padded.shape[-2:], logits.shape[-2:], strict=True)
    )
    return None if row_rest or column_rest else (rows, columns)


def _middles(target: Tensor, square: tuple[int, int]) -> Tensor:
    """Of every square of a target [B, H, W], the pixel at its middle."""
    rows, columns = (
        torch.arange(0, side, step, device=target.device).add(step // 2).clamp(max=side - 1)
        for side, step in zip(target.shape[-2:], square, strict=True)
    )
    return target[:, rows[:, None], columns]


def filled(image: Tensor, mean: Tensor) -> Tensor:
    """[B, bands, H, W] with the mean [1, bands, 1, 1] where a value is NaN or infinite.

    One such value would spoil every logit from which it is seen.
    """
    return torch.where(image.isfinite(), image, mean) if image.is_floating_point() else image


def normalise(image: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """(image - mean) / std in float32; [B, bands, H, W] and twice [1, bands, 1, 1].

    As a batch normalisation with given statistics, which torch does in one pass in any memory format: a third of
    the time of the subtraction and division, whose inner loop has the length of the bands.
    """
    return F.batch_norm(image.float(), mean.flatten(), std.flatten().square(), eps=0.0)
