"""The state of a training, and the checkpoints that it is continued from.

    checkpoints/step-00000120/
        state.pt         weights, their average, optimizer, scaler, random numbers of every process, position
        manifest.json    bytes and SHA-256 of state.pt, and its own

A checkpoint is made under another name, each file on the disk before the next, and renamed when it is whole. One
that is damaged nevertheless is seen by its hash, and the one before it is taken.
"""

import json
import random
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch

from intarsia._version import __version__
from intarsia.errors import MachineError, ModelFileError, SettingsError
from intarsia.files import beside, settle, write_parts, write_whole, writing
from intarsia.metrics import Scores
from intarsia.networks.segmenter import Segmenter
from intarsia.settings import Settings, differences
from intarsia.sharding import load_whole_model, load_whole_optimizer, whole_model, whole_optimizer

CHECKPOINTS = "checkpoints"
_STATE, _MANIFEST = "state.pt", "manifest.json"
_FORMAT = 1
_REPLACED = "replaced-"  # how the name begins of a checkpoint that gives way to a newer one of the same step

# What may differ when a run is continued, since the result does not depend on it.
_FREE_TO_CHANGE = (
    "data.workers",
    "data.cache",
    "data.timeout",
    "data.bad_share",
    "train.checkpoint_every",
    "train.checkpoint_minutes",
    "train.keep",
    "train.tensorboard",
)


@dataclass(kw_only=True)
class Position:
    """Where a training stands, in plain numbers; all of it is saved in a checkpoint."""

    data: str = ""  # fingerprint of the classes and pairs
    step: int = 0
    elapsed: float = 0.0  # seconds of training in all
    validating: float = 0.0  # seconds of it spent on validating
    validated: int = 0  # step of the last validation
    val_scores: list[float] = field(default_factory=list)  # mIoU of each validation
    portions: int = 1  # that a batch is cut into, since it did not fit into the memory as one
    slowed: float = 1.0  # of the learning rate, after a return to a checkpoint
    mishaps: int = 0  # steps left out, or returns to a checkpoint, since a number was none


@dataclass(kw_only=True)
class State(Position):
    """What changes while training: the position, and what it is the position of."""

    segmenter: Segmenter
    average: Segmenter
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    network: dict[str, Any] = field(default_factory=dict)  # {"config", "weights"} of the model card
    best: Scores | None = None

    # Not saved:
    whole: Segmenter | None = None  # where weights are shared among processes: a copy to gather them in
    one_validation: float = 0.0  # seconds that one is expected to take; measured at each start
    saved: int = -1  # step of the last checkpoint
    saved_at: float = 0.0  # elapsed seconds at it


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint that is whole.

    Attributes:
        path: its folder.
        settings: those it was trained with.
        network: {"config", "weights"} of the model card: how to build the network.
        position: where the training stood.
        content: the rest, for `restore`.
        passed_over: what is wrong with the newer ones.
    """

    path: Path
    settings: Settings
    network: dict[str, Any]
    position: Position
    content: dict[str, Any]
    passed_over: tuple[str, ...] = ()


def save_checkpoint(run: Path, content: Mapping[str, Any], keep: int) -> None:
    """Writes a checkpoint into a run folder, whole or not at all, and removes all but the newest `keep`.

    Args:
        run: the run folder.
        content: what `contents` gave.
        keep: how many to keep.

    Raises:
        MachineError: the disk is full or read-only, or the folder is gone; older checkpoints are untouched.
    """
    folder = run / CHECKPOINTS
    with writing(folder):  # and not the run folder: where that is gone, something is wrong
        folder.mkdir(exist_ok=True)
    path = folder / f"step-{content['position']['step']:08d}"
    buffer = BytesIO()
    torch.save(content, buffer)
    packed = buffer.getbuffer()
    described = {
        "format": _FORMAT,
        "step": content["position"]["step"],
        "versions": {"intarsia": __version__, "torch": torch.__version__},
        "files": {_STATE: {"bytes": len(packed), "sha256": sha256(packed).hexdigest()}},
    }
    unfinished, replaced = beside(path), path.with_name(f"{_REPLACED}{path.name}")
    try:
        with writing(unfinished, len(packed)):
            unfinished.mkdir()
        write_parts(unfinished / _STATE, (packed,), len(packed))
        write_whole(unfinished / _MANIFEST, _sealed(described))
        settle(unfinished)
        with writing(path):
            if path.exists():
                path.rename(replaced)
            unfinished.rename(path)
        settle(folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    for old in (replaced, *_newest_first(run)[keep:]):
        shutil.rmtree(old, ignore_errors=True)


def has_checkpoint(run: Path) -> bool:
    """Whether a run folder has any, whole or not."""
    return bool(_newest_first(run))


def settle_replaced(run: Path) -> None:
    """After a crash: a checkpoint that had to give way comes back where no newer one came into its place."""
    for replaced in (run / CHECKPOINTS).glob(f"{_REPLACED}*"):
        place = replaced.with_name(replaced.name.removeprefix(_REPLACED))
        with writing(place):
            if place.exists():
                shutil.rmtree(replaced)
            else:
                replaced.rename(place)


def newest_checkpoint(run: Path) -> Checkpoint:
    """The newest checkpoint that is whole.

    Raises:
        ModelFileError: none is; what is wrong with each.
    """
    wrong: list[str] = []
    for path in _newest_first(run):
        try:
            saved = _read(path)
        except ModelFileError as error:
            wrong.append(str(error))
            continue
        settings, network, position = (saved.pop(name) for name in ("settings", "network", "position"))
        return Checkpoint(path, settings, network, position, saved, tuple(wrong))
    raise ModelFileError(f"{run}: has no whole checkpoint to continue from:\n" + "\n".join(wrong))


def drop_checkpoints_after(run: Path, step: int) -> None:
    """Removes the checkpoints that a continued training will write anew, or that were passed over."""
    for path in _newest_first(run):
        if _step_of(path) > step:
            with writing(path):
                shutil.rmtree(path)


def refuse_other_settings(found: Checkpoint, settings: Settings, *, processes_asked: bool = False) -> None:
    """Refuses to continue with settings that change the result.

    Args:
        found: the checkpoint.
        settings: resolved.
        processes_asked: whether `train.processes` was given: then another number of processes is what is wanted.

    Raises:
        SettingsError: they differ; all differences are in its message.
    """
    free = (*_FREE_TO_CHANGE, "train.processes") if processes_asked else _FREE_TO_CHANGE
    changed = {name: values for name, values in differences(found.settings, settings).items() if name not in free}
    if "train.device" in changed and len({str(name).partition(":")[0] for name in changed["train.device"]}) == 1:
        del changed["train.device"]  # another GPU of the same machine
    if changed:
        lines = "\n".join(f"  {name}: {old} -> {new}" for name, (old, new) in changed.items())
        mend = "Give the same ones."
        if set(changed) == {"train.processes"}:
            mend = (
                f"Give train.processes={settings.train.processes} to go on so: no sample is lost or repeated, but "
                "the result is not the same to the last bit."
            )
        run = found.path.parent.parent
        raise SettingsError(f"{run}: was trained with other settings:\n{lines}\n{mend}")


def restore(state: State, found: Checkpoint, rank: int = 0) -> None:
    """Sets `state`, freshly made, and this process's random numbers to what a checkpoint holds.

    Raises:
        ModelFileError: the checkpoint is of another network.
        SettingsError: the data differ from those of the training so far.
    """
    if found.position.data != state.data:
        raise SettingsError(
            f"{found.path.parent.parent}: was trained on other data: the classes or the files differ. "
            "Restore them, or start a new run."
        )
    try:
        _restore(state, found.content, rank)
        for name, value in vars(found.position).items():
            setattr(state, name, value)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise ModelFileError(f"{found.path}: does not belong to this training: {error}.") from None


def random_state(device: torch.device) -> dict[str, Any]:
    """Where the random numbers of this process stand: torch's, the device's, NumPy's, Python's."""
    _, key, position, has_gauss, gauss = np.random.get_state(legacy=True)  # noqa: NPY002 - what modules may draw from
    return {
        "torch": torch.get_rng_state(),
        "device": None if device.type == "cpu" else torch.get_device_module(device).get_rng_state(),
        "numpy": (torch.from_numpy(np.asarray(key).astype(np.int64)), position, has_gauss, gauss),
        "python": random.getstate(),
    }


def set_random_state(saved: dict[str, Any], device: torch.device) -> None:
    """Sets them to what `random_state` gave."""
    torch.set_rng_state(saved["torch"])
    if device.type != "cpu" and saved["device"] is not None:
        torch.get_device_module(device).set_rng_state(saved["device"])
    key, *rest = saved["numpy"]
    np.random.set_state(("MT19937", key.numpy().astype(np.uint32), *rest))  # noqa: NPY002 - see above
    random.setstate(saved["python"])


def contents(settings: Settings, state: State, random_states: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What a checkpoint of `state` holds; to be called by all processes.

    Args:
        settings: resolved.
        state: to be saved.
        random_states: `random_state` of each process.
    """
    best = state.best and {
        "names": list(state.best.names),
        "confusion": torch.from_numpy(state.best.confusion),
        "images": state.best.images,
        "ignored_pixels": state.best.ignored_pixels,
    }
    return {
        "settings": settings.model_dump_json(),
        "segmenter": whole_model(state.segmenter, everywhere=False),
        "average": whole_model(state.average, everywhere=False),
        "optimizer": whole_optimizer(state.segmenter, state.optimizer),
        "scaler": state.scaler.state_dict(),
        "random": list(random_states),
        "network": json.dumps(state.network),
        "best": best,
        "position": {one.name: getattr(state, one.name) for one in fields(Position)},
    }


def _restore(state: State, saved: dict[str, Any], rank: int) -> None:
    load_whole_model(state.segmenter, saved["segmenter"])
    load_whole_model(state.average, saved["average"])
    load_whole_optimizer(state.segmenter, state.optimizer, saved["optimizer"])
    state.scaler.load_state_dict(saved["scaler"])
    if best := saved["best"]:
        state.best = Scores(tuple(best["names"]), best["confusion"].numpy(), best["images"], best["ignored_pixels"])
    else:
        state.best = None
    device = state.segmenter.mean.device
    if rank < len(saved["random"]):
        set_random_state(saved["random"][rank], device)


def _read(path: Path) -> dict[str, Any]:
    """Everything in a checkpoint, checked against its manifest."""
    try:
        sealed, content = (path / _MANIFEST).read_bytes(), (path / _STATE).read_bytes()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ModelFileError(f"{error.filename}: is missing.") from None
    except OSError as error:  # it may be whole: nothing to be passed over
        raise MachineError(f"{error.filename}: cannot be read: {error.strerror}.") from None
    try:
        described = json.loads(sealed)["manifest"]
        whole, of_ours = _sealed(described) == sealed, described["format"] == _FORMAT
        written = described["files"][_STATE]
    except (ValueError, KeyError, TypeError):
        raise ModelFileError(f"{path / _MANIFEST}: is damaged.") from None
    if not whole:
        raise ModelFileError(f"{path / _MANIFEST}: is damaged.")
    if not of_ours:
        raise ModelFileError(f"{path}: was written by another version of intarsia.")
    if sha256(content).hexdigest() != written["sha256"]:
        raise ModelFileError(
            f"{path / _STATE}: is damaged: its {len(content):,} bytes are not the {written['bytes']:,} written."
        )
    return _unpacked(content, path)


def _unpacked(content: bytes, path: Path) -> dict[str, Any]:
    try:
        saved: dict[str, Any] = torch.load(BytesIO(content), map_location="cpu", weights_only=True)
        saved["settings"] = Settings.model_validate_json(saved["settings"])
        saved["network"] = json.loads(saved["network"])
        saved["position"] = Position(**saved["position"])
    except MemoryError:
        raise
    except Exception as error:  # whatever unpickling raises
        raise ModelFileError(f"{path / _STATE}: cannot be read: {type(error).__name__}.") from None
    return saved


def _sealed(described: dict[str, Any]) -> bytes:
    """A manifest as it is written, with its own hash; the same content gives the same bytes."""
    told = json.dumps(described, sort_keys=True)
    sealed = {"manifest": described, "sha256": sha256(told.encode()).hexdigest()}
    return (json.dumps(sealed, indent=1, sort_keys=True) + "\n").encode()


def _newest_first(run: Path) -> list[Path]:
    found = [path for path in (run / CHECKPOINTS).glob("step-*") if path.name[5:].isdecimal()]
    return sorted(found, key=_step_of, reverse=True)


def _step_of(path: Path) -> int:
    return int(path.name[5:])
