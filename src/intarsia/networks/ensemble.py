"""Several answers to one picture as one: the members of an ensemble, or one model that is asked in several ways."""

import math
from collections.abc import Iterable, Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from intarsia.networks.segmenter import Segmenter, filled

_SCALES = (0.75, 1.0, 1.25)


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
        return self._segmenters[0].mean

    @property
    def bands(self) -> int:
        """Number of bands of the images."""
        return self._segmenters[0].bands

    @property
    def step(self) -> int:
        """Pixels at whose multiples a tile may begin; see `Segmenter.step`."""
        return math.lcm(*(member.step for member in self._segmenters))

    @property
    def _segmenters(self) -> list[Segmenter]:
        return [member for member in self.members if isinstance(member, Segmenter)]

    def forward(self, image: Tensor) -> Tensor:
        """[B, bands, H, W] raw values -> [B, C, H, W] float32; see `Segmenter.forward`."""
        return mean_answer(member(image) for member in self.members)


class Asking(nn.Module):
    """A model that asks another one in its own way.

    Args:
        model: to be asked.
    """

    def __init__(self, model: "Model") -> None:
        super().__init__()
        self.model = model

    @property
    def mean(self) -> Tensor:
        """Of the model's input: where it is, this is."""
        return self._asked.mean

    @property
    def bands(self) -> int:
        """Number of bands of the images."""
        return self._asked.bands

    @property
    def step(self) -> int:
        """Pixels at whose multiples a tile may begin; see `Segmenter.step`."""
        return self._asked.step

    @property
    def _asked(self) -> "Model":
        assert isinstance(self.model, Segmenter | Ensemble | Asking)
        return self.model


class Mixed(Asking):
    """A model whose layers compute in 16 bits where torch holds that to be safe (autocast); its logits are float32.

    Args:
        model: to be asked.
        dtype: bfloat16 or float16.
    """

    def __init__(self, model: "Model", dtype: torch.dtype) -> None:
        super().__init__(model)
        self.dtype = dtype

    def forward(self, image: Tensor) -> Tensor:
        """[B, bands, H, W] raw values -> [B, C, H, W] float32; see `Segmenter.forward`."""
        with torch.autocast(image.device.type, self.dtype):
            logits: Tensor = self.model(image)
        return logits.float()


class Averaged(Asking):
    """A model that asks about a picture as it is and mirrored, at several sizes (test-time augmentation).

    Its logits are the logarithm of the mean of the probabilities, each brought back to the picture.

    Args:
        model: to be asked.
        scales: of the picture; at each it is asked about as it is and mirrored left to right.
    """

    def __init__(self, model: "Model", scales: Sequence[float] = _SCALES) -> None:
        super().__init__(model)
        self.scales = tuple(scales)

    def forward(self, image: Tensor) -> Tensor:
        """[B, bands, H, W] raw values -> [B, C, H, W] float32; see `Segmenter.forward`."""
        image = filled(image, self.mean)  # or resizing would spread what is no number
        return mean_answer(answer for scale in self.scales for answer in self._at(image, scale))

    def _at(self, image: Tensor, scale: float) -> Iterator[Tensor]:
        """Logits [B, C, H, W] of the picture at a scale, and of its mirror image."""
        size = image.shape[-2:]
        seen = image
        if scale != 1:
            smaller = [max(1, round(side * scale)) for side in size]
            seen = F.interpolate(image.float(), smaller, mode="bilinear", antialias=scale < 1)
        for answer in (self.model(seen), self.model(seen.flip(-1)).flip(-1)):
            yield answer if scale == 1 else F.interpolate(answer, size, mode="bilinear")


Model = Segmenter | Ensemble | Asking
"""What answers a picture: [B, bands, H, W] raw values -> [B, C, H, W] logits."""


def mean_answer(answers: Iterable[Tensor]) -> Tensor:
    """Logits [B, C, H, W] of several -> the logarithm of the mean of their probabilities, float32."""
    rest = iter(answers)
    total, number = F.log_softmax(next(rest).float(), dim=1), 1
    for answer in rest:
        total, number = torch.logaddexp(total, F.log_softmax(answer.float(), dim=1)), number + 1
    return total - math.log(number)
