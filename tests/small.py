"""A model small enough for any test: untrained, yet undecided enough to predict every class."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from intarsia.labels import Labels
from intarsia.modelfile import ModelCard, build_segmenter, save_model
from intarsia.networks.segmenter import Segmenter
from intarsia.settings import DataSettings, ModelSettings


def small_model(labels: Labels | None = None, bands: int = 3, **model: Any) -> tuple[Segmenter, ModelCard]:
    """A segmenter in eval mode with its card; the same weights every time."""
    settings = ModelSettings(**{"name": "unet", "width": 4, "depth": 2, "stem": 1, "up": "bilinear", **model})
    card = ModelCard(settings, labels or Labels.of_values([0, 1, 2]), bands, DataSettings())
    torch.manual_seed(0)
    segmenter = build_segmenter(card, (127.0,) * bands, (60.0,) * bands)
    head = segmenter.get_submodule("network.head")
    with torch.no_grad():
        head.weight.mul_(100)
        head.bias.zero_()
    return segmenter.eval(), card


def saved_model(path: Path, labels: Labels | None = None, bands: int = 3, **model: Any) -> Path:
    """`small_model` as a model file; its folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    save_model(*small_model(labels, bands, **model), path)
    return path


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    """A uint8 picture of smooth random blobs, [H, W] or [H, W, bands]."""
    height, width, *bands = shape
    coarse = np.random.default_rng(seed).integers(0, 256, (height // 4 + 1, width // 4 + 1, *bands), dtype=np.uint8)
    return coarse.repeat(4, axis=0).repeat(4, axis=1)[:height, :width]
