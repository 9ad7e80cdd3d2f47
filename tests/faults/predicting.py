"""A prediction in a process of its own, which may kill itself at an exact moment."""

from pathlib import Path

import torch

from intarsia.prediction import predict
from tests.faults.child import kill_at

SAVE = ("masks", "overlays", "probabilities", "polygons", "areas", "instances")
OPTIONS = {"tile": 64, "overlap": 16, "min_area": 5, "pixel_size": "2mm"}


def run(model: Path, photos: Path, out: Path, place: str | None = None, call: int = 0) -> None:
    """What a child does: predict, from the beginning or what is not there yet."""
    torch.set_num_threads(1)
    if place:
        kill_at(place, call)
    predict(model, photos, out, OPTIONS, save=SAVE, device="cpu")
