"""Two kinds of vision transformers that transformers ties to one square size, made to take any.

Names and shapes of all parameters stay those of the library. Legend: B batch, N tokens, D width of a token,
h, w rows and columns of patches.
"""

import threading
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_HERE = threading.local()  # what belongs to the picture at hand


def any_grid_dpt(kind: Any) -> type[nn.Module]:  # noqa: ANN401 - the library's class
    """DPT whose neck is told the rows and columns of patches, instead of taking their number's square root."""

    class AnyGridDPT(kind):  # type: ignore[misc]
        """[B, bands, H, W] -> logits [B, C, H/2, W/2]; H and W divisible by the side of a patch."""

        def __init__(self, config: Any) -> None:  # noqa: ANN401
            if config.is_hybrid:
                raise ValueError("hybrid DPT, which begins with a ResNet, is not supported")
            super().__init__(config)

        def forward(self, pixel_values: Tensor) -> dict[str, Tensor]:
            """See the class; as the library's own, for any number of rows and columns."""
            rows, columns = (side // self.config.patch_size for side in pixel_values.shape[-2:])
            states = self.dpt(pixel_values, output_hidden_states=True).hidden_states[1:]  # [B, 1 + h*w, D] each
            features = [states[index] for index in self.config.backbone_out_indices]
            return {"out": self.head(self.neck(features, rows, columns))}

    return AnyGridDPT


def any_grid_eomt(kind: Any) -> type[nn.Module]:  # noqa: ANN401 - the library's class
    """EoMT whose position embeddings are interpolated to the rows and columns of patches of each picture."""

    class AnyGridEomt(kind):  # type: ignore[misc]
        """[B, bands, H, W] -> class and mask queries; H and W divisible by the side of a patch."""

        def __init__(self, config: Any) -> None:  # noqa: ANN401
            super().__init__(config)
            if hasattr(self.embeddings, "position_embeddings"):  # EoMT on DINOv3 has rotary ones, of any size
                self.embeddings.forward = AnyGridEmbeddings(self.embeddings)

        def forward(self, pixel_values: Tensor) -> Any:  # noqa: ANN401 - the library's output
            """See the class."""
            rows, columns = (side // self.config.patch_size for side in pixel_values.shape[-2:])
            _HERE.grid = (rows, columns)
            return super().forward(pixel_values)

        @property
        def grid_size(self) -> tuple[int, int]:
            """Rows and columns of the picture that this thread asks about: several may ask one network at once."""
            grid: tuple[int, int] = _HERE.grid
            return grid

        @grid_size.setter
        def grid_size(self, grid: tuple[int, int]) -> None:  # the library knows one, from its config
            _HERE.grid = grid

    return AnyGridEomt


class AnyGridEmbeddings:
    """The forward pass of EoMT's embeddings, for any number of rows and columns."""

    def __init__(self, embeddings: Any) -> None:  # noqa: ANN401 - the library's module
        self.embeddings = embeddings

    def __call__(self, pixel_values: Tensor) -> Tensor:
        """[B, bands, H, W] -> [B, prefix + h*w, D]."""
        own = self.embeddings
        rows, columns = (side // own.patch_size for side in pixel_values.shape[-2:])
        patches = own.patch_embeddings(pixel_values) + resized(own.position_embeddings.weight, rows, columns)
        prefix = [token.expand(len(pixel_values), -1, -1) for token in (own.cls_token, own.register_tokens)]
        tokens: Tensor = own.dropout(torch.cat([*prefix, patches], dim=1))
        return tokens


def resized(positions: Tensor, rows: int, columns: int) -> Tensor:
    """Position embeddings of a square grid [N, D] -> [1, rows * columns, D], bicubic where the grid differs."""
    side = int(len(positions) ** 0.5)
    if (rows, columns) == (side, side):
        return positions[None]
    grid = positions.T.reshape(1, -1, side, side)  # [1, D, side, side]
    grid = F.interpolate(grid, size=(rows, columns), mode="bicubic", align_corners=False)
    return grid.flatten(2).transpose(1, 2)
