"""Compact: our own small network, made for ten minutes on two cores.

A residual encoder (He et al., "Deep Residual Learning", 2016) with a gate over the whole picture at its end (Hu et
al., "Squeeze-and-Excitation Networks", 2018), and a decoder that adds the skips, not appends them (Lin et al.,
"Feature Pyramid Networks", 2017). It is made to stand behind a stem, and to work at a fraction of the size.

Legend: B batch, C classes, H, W height and width of the input, w width of the first stage.
"""

from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn

from intarsia.networks.contract import Blueprint

_BLOCKS = (1, 1, 2, 2)  # of each stage; the second and later ones halve the size and double the width


class Compact(nn.Module):
    """[B, bands, H, W] -> logits [B, C, H, W]; H and W divisible by 8.

    Args:
        bands: bands of the input.
        classes: number of logits.
        width: channels of the first stage; each stage below has twice as many.
    """

    def __init__(self, bands: int, classes: int, *, width: int = 32) -> None:
        super().__init__()
        widths = [width * 2**stage for stage in range(len(_BLOCKS))]
        self.encoder = nn.ModuleList([nn.Sequential(*conv_norm(bands, width), nn.ReLU(inplace=True))])
        self.encoder.extend(
            _stage(widths[max(stage - 1, 0)], widths[stage], blocks, halve=stage > 0)
            for stage, blocks in enumerate(_BLOCKS)
        )
        self.gate = Gate(widths[-1])
        self.lateral = nn.ModuleList(conv_norm(below, above, kernel=1) for above, below in pairwise(widths))
        self.smooth = nn.ModuleList(Residual(above, above) for above in widths[:-1])
        self.head = nn.Conv2d(width, classes, kernel_size=1)

    @classmethod
    def from_blueprint(cls, blueprint: Blueprint) -> "Compact":
        """Of resolved settings."""
        assert blueprint.settings.width is not None
        return cls(blueprint.bands, blueprint.classes, width=blueprint.settings.width)

    @staticmethod
    def stride_of(network: nn.Module) -> int:
        """What height and width of the input must be divisible by."""
        return 1 << (len(_BLOCKS) - 1)

    @staticmethod
    def encoder_of(network: nn.Module) -> tuple[str, ...]:
        """How the names of the encoder's parameters begin."""
        return ("encoder.",)

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        skips: list[Tensor] = []
        for stage in self.encoder:  # the stem and the first stage have the input's size
            x = stage(x)  # [B, w*2^i, H/2^i, W/2^i]
            skips.append(x)
        x = self.gate(skips.pop())
        for lateral, smooth in zip(reversed(self.lateral), reversed(self.smooth), strict=True):
            skip = skips.pop()
            x = F.interpolate(lateral(x), scale_factor=2, mode="bilinear", align_corners=False)
            x = smooth(x + skip)  # back up to [B, w, H, W]
        logits: Tensor = self.head(x)
        return logits


class Residual(nn.Module):
    """Two 3x3 convolutions beside a short cut: [B, inputs, H, W] -> [B, width, H/step, W/step]."""

    def __init__(self, inputs: int, width: int, step: int = 1) -> None:
        super().__init__()
        self.convs = nn.Sequential(
            *conv_norm(inputs, width, step=step), nn.ReLU(inplace=True), *conv_norm(width, width)
        )
        self.short = (
            nn.Identity() if inputs == width else nn.Sequential(nn.AvgPool2d(step), *conv_norm(inputs, width, 1))
        )

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        return F.relu(self.short(x) + self.convs(x), inplace=True)


class Gate(nn.Module):
    """Weighs each channel by what the whole picture shows: [B, channels, H, W] stays of its shape."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weigh = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(channels, channels, kernel_size=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels, channels, kernel_size=1),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        weighed: Tensor = x * self.weigh(x)
        return weighed


def conv_norm(inputs: int, width: int, kernel: int = 3, step: int = 1) -> nn.Sequential:
    """A convolution without bias, and BatchNorm, which has one."""
    conv = nn.Conv2d(inputs, width, kernel, step, kernel // 2, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(width))


def _stage(inputs: int, width: int, blocks: int, *, halve: bool) -> nn.Sequential:
    first = Residual(inputs, width, step=2 if halve else 1)
    return nn.Sequential(first, *(Residual(width, width) for _ in range(blocks - 1)))
