"""Several answers to one picture as one: the members of an ensemble."""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from intarsia.networks.segmenter import Segmenter


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
        total = F.log_softmax(self._first(image).float(), dim=1)
        for member in self.members[1:]:
            total = torch.logaddexp(total, F.log_softmax(member(image).float(), dim=1))
        return total - math.log(len(self.members))
