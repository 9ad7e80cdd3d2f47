"""Pipelines of other libraries as a `Transform`, seeded for every sample.

Left to themselves these libraries draw from a state that worker processes share or repeat (albumentations 2.0.8
gives 4 distinct crops in 32 with two workers); here each call is seeded from the sample's own generator.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from intarsia.data.augment import Image, Mask


@dataclass(frozen=True)
class from_albumentations:
    """Wraps an `albumentations.Compose`. Give its geometry `fill_mask=255`, else it pads masks with class 0.

    Attributes:
        pipeline: called as `pipeline(image=image, mask=mask)`; without ToTensor and Normalize: the model does both.
    """

    pipeline: Any

    def __call__(self, image: Image, mask: Mask, rng: np.random.Generator) -> tuple[Image, Mask]:
        """Varies one pair."""
        self.pipeline.set_random_seed(int(rng.integers(2**31)))
        result = self.pipeline(image=image, mask=mask)
        return result["image"], result["mask"]


@dataclass(frozen=True)
class from_torchvision:
    """Wraps a `torchvision.transforms.v2` pipeline; give its geometry `fill={Mask: 255}`.

    Attributes:
        pipeline: called as `pipeline(tv_tensors.Image, tv_tensors.Mask)`; without Normalize: the model does it.
    """

    pipeline: Any

    def __call__(self, image: Image, mask: Mask, rng: np.random.Generator) -> tuple[Image, Mask]:
        """Varies one pair."""
        from torchvision import tv_tensors  # an extra

        planes = tv_tensors.Image(torch.from_numpy(image).permute(2, 0, 1))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(rng.integers(2**63)))
            planes, indices = self.pipeline(planes, tv_tensors.Mask(torch.from_numpy(mask)))
        return np.ascontiguousarray(planes.permute(1, 2, 0).numpy()), np.ascontiguousarray(indices.numpy())
