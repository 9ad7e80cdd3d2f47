"""The state of a training, and the file that it is continued from."""

import json
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import torch

from intarsia.errors import ModelFileError, SettingsError
from intarsia.files import write_whole
from intarsia.metrics import Scores
from intarsia.networks.segmenter import Segmenter
from intarsia.settings import Settings, differences

# What may differ when a run is continued, since the result does not depend on it.
_FREE_TO_CHANGE = ("data.workers", "data.cache", "train.checkpoint_every")


@dataclass
class State:
    """What changes while training; all of it is saved in a checkpoint."""

    segmenter: Segmenter
    average: Segmenter
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    network: dict[str, Any] = field(default_factory=dict)  # {"config", "weights"} of the model card
    data: str = ""  # fingerprint of the classes and pairs
    step: int = 0
    elapsed: float = 0.0  # seconds of training in all
    validating: float = 0.0  # seconds of it spent on validating and saving
    one_validation: float = 0.0  # seconds that one is expected to take; not saved, but measured at each start
    val_scores: list[float] = field(default_factory=list)  # mIoU of each validation
    best: Scores | None = None


def save_checkpoint(path: Path, settings: Settings, state: State) -> None:
    """Writes `state`, whole or not at all.

    Raises:
        MachineError: the disk is full or read-only.
    """
    best = state.best and {
        "names": list(state.best.names),
        "confusion": torch.from_numpy(state.best.confusion),
        "images": state.best.images,
        "ignored_pixels": state.best.ignored_pixels,
    }
    buffer = BytesIO()
    torch.save(
        {
            "settings": settings.model_dump_json(),
            "segmenter": state.segmenter.state_dict(),
            "average": state.average.state_dict(),
            "optimizer": state.optimizer.state_dict(),
            "scaler": state.scaler.state_dict(),
            "random": torch.get_rng_state(),
            "network": json.dumps(state.network),
            "data": state.data,
            "step": state.step,
            "elapsed": state.elapsed,
            "validating": state.validating,
            "val_scores": state.val_scores,
            "best": best,
        },
        buffer,
    )
    write_whole(path, buffer.getvalue())


def read_checkpoint(path: Path) -> dict[str, Any]:
    """What the checkpoint holds, for `restore`: `settings` it was trained with, `network` how to build it.

    Raises:
        ModelFileError: the checkpoint is damaged.
    """
    try:
        saved: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        saved["settings"] = Settings.model_validate_json(saved["settings"])
        saved["network"] = json.loads(saved["network"])
    except Exception as error:  # whatever unpickling raises on damaged bytes
        raise ModelFileError(f"{path}: is damaged and cannot be continued from: {type(error).__name__}.") from None
    return saved


def refuse_other_settings(saved: dict[str, Any], settings: Settings, path: Path) -> None:
    """Refuses to continue with settings that change the result.

    Raises:
        SettingsError: they differ; all differences are in its message.
    """
    changed = {
        name: values
        for name, values in differences(saved["settings"], settings).items()
        if name not in _FREE_TO_CHANGE
    }
    if changed:
        lines = "\n".join(f"  {name}: {old} -> {new}" for name, (old, new) in changed.items())
        raise SettingsError(f"{path.parent}: was trained with other settings:\n{lines}\nGive the same ones.")


def restore(state: State, saved: dict[str, Any], path: Path) -> None:
    """Sets `state`, freshly made, to what `read_checkpoint` gave.

    Raises:
        ModelFileError: the checkpoint is of another network.
        SettingsError: the data differ from those of the training so far.
    """
    if saved.get("data") != state.data:
        raise SettingsError(
            f"{path.parent}: was trained on other data: the classes or the files differ. Restore them, or "
            "start a new run."
        )
    try:
        _restore(state, saved)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise ModelFileError(f"{path}: does not belong to this training: {error}.") from None


def _restore(state: State, saved: dict[str, Any]) -> None:
    state.segmenter.load_state_dict(saved["segmenter"])
    state.average.load_state_dict(saved["average"])
    state.optimizer.load_state_dict(saved["optimizer"])
    state.scaler.load_state_dict(saved["scaler"])
    torch.set_rng_state(saved["random"])
    state.step, state.elapsed, state.validating = saved["step"], saved["elapsed"], saved["validating"]
    state.val_scores = saved["val_scores"]
    if best := saved["best"]:
        state.best = Scores(tuple(best["names"]), best["confusion"].numpy(), best["images"], best["ignored_pixels"])
