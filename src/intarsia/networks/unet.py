"""U-Net: an encoder that halves the size `depth` times, a bottleneck, a decoder that doubles it back, and skips.

After Ronneberger, Fischer, Brox: "U-Net: Convolutional Networks for Biomedical Image Segmentation" (2015), with
padded convolutions and normalisation, so that the logits have the input's size.

Legend: B batch, C channels, H, W height and width of the input, w width, i stage.
"""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from intarsia.errors import SettingsError
from intarsia.networks.contract import Blueprint

_GROUP_CHANNELS = 8  # channels in a group of GroupNorm, where they divide the width


class UNet(nn.Module):
    """[B, bands, H, W] -> logits [B, classes, H, W]; H and W divisible by `stride`.

    In training with auxiliary heads, a tuple: these logits, then those of the decoder's stages below the last, the
    finest first: [B, classes, H/2, W/2], [B, classes, H/4, W/4], ... (Lee et al., "Deeply-Supervised Nets", 2015).

    Args:
        bands: bands of the input.
        classes: number of logits.
        width: channels of the first stage; stage i has width * 2^i.
        depth: how often the size is halved.
        up: "bilinear" keeps the channels while doubling the size, "transposed" halves them.
        norm: "batch" or "group".
        dropout: probability of dropping a channel at the bottleneck.
        auxiliary: whether the decoder's stages below the last have heads of their own.
    """

    def __init__(
        self,
        bands: int,
        classes: int,
        *,
        width: int = 64,
        depth: int = 4,
        up: str = "bilinear",
        norm: str = "batch",
        dropout: float = 0.0,
        auxiliary: bool = False,
    ) -> None:
        super().__init__()
        widths = [width * 2**stage for stage in range(depth + 1)]
        self.encoder = nn.ModuleList([double_conv(bands, width, norm)])
        self.encoder.extend(double_conv(above, below, norm) for above, below in pairwise(widths))
        self.dropout = nn.Dropout2d(dropout)
        self.decoder = nn.ModuleList(
            Up(below, above, up, norm) for above, below in reversed(list(pairwise(widths)))
        )
        self.head = nn.Conv2d(width, classes, kernel_size=1)
        self.auxiliary = (
            nn.ModuleList(nn.Conv2d(below, classes, kernel_size=1) for below in widths[1:-1]) if auxiliary else None
        )

    @classmethod
    def from_blueprint(cls, blueprint: Blueprint) -> "UNet":
        """A U-Net of resolved settings.

        Raises:
            SettingsError: auxiliary heads are asked for, and there is no stage for them.
        """
        settings = blueprint.settings
        assert settings.width is not None
        assert settings.depth is not None
        assert settings.up is not None
        if settings.auxiliary and settings.depth == 1:
            raise SettingsError(
                "model.auxiliary = true: with model.depth = 1 no stage of the decoder lies below the last. Use a "
                "depth of 2 or more, or leave model.auxiliary out."
            )
        return cls(
            blueprint.bands,
            blueprint.classes,
            width=settings.width,
            depth=settings.depth,
            up=settings.up,
            norm=settings.norm,
            dropout=settings.dropout,
            auxiliary=bool(settings.auxiliary),
        )

    @staticmethod
    def stride_of(network: nn.Module) -> int:
        """What height and width of the input must be divisible by."""
        assert isinstance(network, UNet)
        return 1 << len(network.decoder)

    @staticmethod
    def encoder_of(network: nn.Module) -> tuple[str, ...]:
        """How the names of the encoder's parameters begin."""
        return ("encoder.",)

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, ...]:
        """See the class."""
        heads = list(self.auxiliary or ()) if self.training else []
        auxiliary: list[Tensor] = []
        skips: list[Tensor] = []
        for stage, block in enumerate(self.encoder):
            x = block(F.max_pool2d(x, 2) if stage else x)  # [B, w*2^i, H/2^i, W/2^i]
            skips.append(x)
        x = self.dropout(skips.pop())
        for block in self.decoder:
            x = block(x, skips.pop())  # back up to [B, w, H, W]
            if heads:  # none is left for the last stage
                auxiliary.insert(0, heads.pop()(x))  # [B, classes, H/2^i, W/2^i]
        logits: Tensor = self.head(x)
        return (logits, *auxiliary) if auxiliary else logits


class Up(nn.Module):
    """Doubles the size, appends the skip, and convolves twice.

    [B, below, H, W] and skip [B, above, 2H, 2W] -> [B, above, 2H, 2W]
    """

    def __init__(self, below: int, above: int, up: str, norm: str) -> None:
        super().__init__()
        transposed = up == "transposed"
        self.up = nn.ConvTranspose2d(below, above, kernel_size=2, stride=2) if transposed else Double()
        self.convs = double_conv(above + (above if transposed else below), above, norm)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """See the class."""
        result: Tensor = self.convs(torch.cat([skip, self.up(x)], dim=1))
        return result


class Double(nn.Module):
    """[B, C, H, W] -> [B, C, 2H, 2W], bilinear; the channels stay."""

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


def double_conv(channels: int, width: int, norm: str) -> nn.Sequential:
    """Twice 3x3 convolution, normalisation, ReLU. No bias: the normalisation has its own."""
    layers: list[nn.Module] = []
    for inputs in (channels, width):
        layers += [
            nn.Conv2d(inputs, width, kernel_size=3, padding=1, bias=False),
            _norm(width, norm),
            nn.ReLU(inplace=True),
        ]
    return nn.Sequential(*layers)


def _norm(channels: int, norm: str) -> nn.Module:
    if norm == "batch":
        return nn.BatchNorm2d(channels)
    return nn.GroupNorm(channels // _GROUP_CHANNELS if channels % _GROUP_CHANNELS == 0 else 1, channels)
