"""A checkpoint brings everything back, and refuses what would not continue the same training."""

import errno
import json
import random
from copy import deepcopy
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
import torch

from intarsia.checkpoint import (
    Checkpoint,
    State,
    _sealed,
    contents,
    drop_checkpoints_after,
    newest_checkpoint,
    random_state,
    refuse_other_settings,
    restore,
    save_checkpoint,
    set_random_state,
    settle_replaced,
)
from intarsia.errors import MachineError, ModelFileError, SettingsError
from intarsia.metrics import Scores
from intarsia.optim import make_optimizer, update_average
from intarsia.settings import OptimSettings, Settings, make_settings
from tests.small import small_model

SETTINGS = make_settings({"train": {"steps": 10, "batch": 2}, "optim": {"lr": 0.01}})
BEST = Scores(("a", "b"), np.array([[2**40, 1], [0, 3]]), images=4, ignored_pixels=5)


def fresh_state() -> State:
    segmenter, _ = small_model()
    return State(
        segmenter=segmenter,
        average=deepcopy(segmenter),
        optimizer=make_optimizer(segmenter, OptimSettings()),
        scaler=torch.amp.GradScaler("cpu", init_scale=2.0**9, growth_interval=1),
    )


def save(run: Path, state: State, settings: Settings = SETTINGS, keep: int = 2) -> Path:
    """The checkpoint of `state`, as a training alone writes it."""
    save_checkpoint(run, contents(settings, state, [random_state(torch.device("cpu"))]), keep)
    return run / "checkpoints" / f"step-{state.step:08d}"


def load(run: Path, settings: Settings, state: State) -> Checkpoint:
    """As a training does it that is continued."""
    found = newest_checkpoint(run)
    refuse_other_settings(found, settings)
    restore(state, found)
    return found


def take_step(state: State) -> None:
    """One optimizer step on a random batch."""
    loss = state.segmenter.train()(torch.rand(2, 3, 8, 8) * 255).square().mean()
    state.optimizer.zero_grad()
    state.scaler.scale(loss).backward()
    state.scaler.step(state.optimizer)
    state.scaler.update()


def worked_state(best: Scores | None = BEST) -> State:
    """After two real optimizer steps."""
    state = fresh_state()
    for group in state.optimizer.param_groups:
        group["lr"] = 0.125
    for _ in range(2):
        take_step(state)
    update_average(state.average, state.segmenter, step=30)
    state.step, state.elapsed, state.validating = 2, 3.5, 0.25
    state.val_scores, state.best = [0.1, float("nan"), 0.3], best
    return state


def flat(plain: object) -> list[object]:
    """All leaves of nested dicts and lists, tensors as lists."""
    if isinstance(plain, dict):
        return [leaf for key in plain for leaf in (key, *flat(plain[key]))]
    if isinstance(plain, list | tuple):
        return [leaf for item in plain for leaf in flat(item)]
    return [plain.tolist() if isinstance(plain, torch.Tensor) else plain]


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    return save(tmp_path, worked_state())


@pytest.mark.parametrize("best", [BEST, None], ids=["with a best", "before the first validation"])
def test_everything_comes_back(best: Scores | None, tmp_path: Path) -> None:
    before, after = worked_state(best), fresh_state()
    save(tmp_path, before)
    expected_random = torch.rand(5)
    torch.manual_seed(99)
    load(tmp_path, SETTINGS, after)
    assert torch.rand(5).equal(expected_random)
    for part in ("segmenter", "average", "optimizer", "scaler"):
        assert flat(getattr(after, part).state_dict()) == flat(getattr(before, part).state_dict())
    assert (after.step, after.elapsed, after.validating) == (2, 3.5, 0.25)
    assert after.val_scores == pytest.approx([0.1, float("nan"), 0.3], nan_ok=True)
    if best is None:
        assert after.best is None
    else:
        assert after.best.to_dict() == best.to_dict()
        assert after.best.confusion.dtype == np.int64


def test_the_next_steps_are_the_same_bit_for_bit(tmp_path: Path) -> None:
    uninterrupted, continued = worked_state(), fresh_state()
    save(tmp_path, uninterrupted)
    take_step(uninterrupted)
    load(tmp_path, SETTINGS, continued)
    take_step(continued)
    expected = flat(uninterrupted.segmenter.state_dict())
    assert flat(continued.segmenter.state_dict()) == expected
    assert expected != flat(worked_state().segmenter.state_dict())


def zeroed(content: bytes) -> bytes:
    return bytes(len(content))


def cut_in_half(content: bytes) -> bytes:
    return content[: len(content) // 2]


def flipped(place: float):
    def flip(content: bytes) -> bytes:
        at = int(place * (len(content) - 1))
        return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]

    return flip


SPOILERS = [
    lambda content: b"",
    cut_in_half,
    zeroed,
    *map(flipped, (0, 0.3, 0.6, 1)),
    lambda content: content + b"x",
]


@pytest.mark.parametrize("file", ["state.pt", "manifest.json"])
@pytest.mark.parametrize("spoil", SPOILERS, ids=range(len(SPOILERS)))
def test_where_the_newest_is_damaged_the_one_before_is_taken(spoil, file: str, tmp_path: Path) -> None:
    state = worked_state()
    older = save(tmp_path, state)
    take_step(state)
    state.step = 3
    newer = save(tmp_path, state)
    (newer / file).write_bytes(spoil((newer / file).read_bytes()))
    found = newest_checkpoint(tmp_path)
    assert found.path == older
    assert len(found.passed_over) == 1
    assert str(newer / file) in found.passed_over[0]
    assert "damaged" in found.passed_over[0]


@pytest.mark.parametrize("file", ["state.pt", "manifest.json"])
def test_where_a_file_is_missing_the_one_before_is_taken(file: str, tmp_path: Path) -> None:
    state = worked_state()
    older = save(tmp_path, state)
    state.step = 3
    (save(tmp_path, state) / file).unlink()
    found = newest_checkpoint(tmp_path)
    assert (found.path, "is missing" in found.passed_over[0]) == (older, True)


def test_where_none_is_whole_all_are_named(checkpoint: Path, tmp_path: Path) -> None:
    (checkpoint / "state.pt").write_bytes(b"")
    with pytest.raises(
        ModelFileError, match=r"no whole checkpoint(.|\n)*state\.pt: is damaged: its 0 bytes are not"
    ):
        newest_checkpoint(tmp_path)


def test_only_the_newest_are_kept(tmp_path: Path) -> None:
    state = worked_state()
    for state.step in (2, 4, 10, 100_000_000):
        save(tmp_path, state, keep=3)
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == [
        "step-00000004",
        "step-00000010",
        "step-100000000",
    ]
    drop_checkpoints_after(tmp_path, 10)
    assert newest_checkpoint(tmp_path).path.name == "step-00000010"


def test_a_step_can_be_saved_again(tmp_path: Path) -> None:
    state = worked_state()
    save(tmp_path, state)
    state.elapsed = 99.0
    path = save(tmp_path, state)
    assert newest_checkpoint(tmp_path).position.elapsed == 99.0
    assert list(path.parent.iterdir()) == [path]


def test_all_random_numbers_continue() -> None:
    """Torch's, NumPy's and Python's: a module of somebody's own may draw from any."""

    def draw() -> list[float]:
        old = np.random
        return [float(torch.rand(())), old.rand(), old.randn(), random.random(), random.gauss(0, 1)]

    draw()  # a half-used pair of normal numbers is a part of the state
    saved = random_state(torch.device("cpu"))
    expected = draw()
    set_random_state(saved, torch.device("cpu"))
    assert draw() == expected


class Trap:
    """Unpickled, it would make a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_code_in_a_checkpoint_is_not_run(checkpoint: Path, tmp_path: Path) -> None:
    torch.save({"settings": Trap(tmp_path / "sprung")}, checkpoint / "state.pt")
    content = (checkpoint / "state.pt").read_bytes()
    described = json.loads((checkpoint / "manifest.json").read_bytes())["manifest"]
    described["files"]["state.pt"] = {"bytes": len(content), "sha256": sha256(content).hexdigest()}
    (checkpoint / "manifest.json").write_bytes(_sealed(described))
    with pytest.raises(ModelFileError, match="cannot be read: UnpicklingError"):
        newest_checkpoint(tmp_path)
    assert not (tmp_path / "sprung").exists()


def changed(**sections: dict[str, object]) -> Settings:
    return make_settings(SETTINGS.model_dump(), sections)


def test_other_settings_are_listed(checkpoint: Path, tmp_path: Path) -> None:
    other = changed(optim={"lr": 0.5, "schedule": "poly"}, train={"seed": 3}, data={"workers": 2})
    with pytest.raises(SettingsError) as refused:
        load(tmp_path, other, fresh_state())
    assert str(refused.value).splitlines() == [
        f"{tmp_path}: was trained with other settings:",
        "  optim.lr: 0.01 -> 0.5",
        "  optim.schedule: cosine -> poly",
        "  train.seed: 0 -> 3",
        "Give the same ones.",
    ]


def test_refused_settings_leave_the_state_alone(checkpoint: Path, tmp_path: Path) -> None:
    state = fresh_state()
    with pytest.raises(SettingsError, match="other settings"):
        load(tmp_path, changed(optim={"lr": 0.5}), state)
    assert flat(state.segmenter.state_dict()) == flat(fresh_state().segmenter.state_dict())
    assert state.step == 0


@pytest.mark.parametrize(
    "sections",
    [
        {"data": {"workers": 3}},
        {"data": {"cache": True}},
        {"data": {"timeout": "9m"}},
        {"data": {"bad_share": 0.5}},
        {"train": {"checkpoint_every": 5}},
        {"train": {"checkpoint_minutes": 5}},
        {"train": {"keep": 5}},
        {"train": {"tensorboard": True}},
    ],
    ids=str,
)
def test_what_does_not_change_the_result_may_change(
    sections: dict[str, dict[str, object]], checkpoint: Path, tmp_path: Path
) -> None:
    state = fresh_state()
    load(tmp_path, changed(**sections), state)
    assert state.step == 2


def test_another_number_of_processes_must_be_asked_for(checkpoint: Path, tmp_path: Path) -> None:
    found, two = newest_checkpoint(tmp_path), changed(train={"processes": 2})
    with pytest.raises(SettingsError, match=r"train\.processes: None -> 2\nGive train\.processes=2 to go on so"):
        refuse_other_settings(found, two)
    refuse_other_settings(found, two, processes_asked=True)


def test_a_write_that_fails_leaves_the_old_ones(checkpoint: Path, tmp_path: Path, monkeypatch) -> None:
    def full(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    state = worked_state()
    state.step = 3
    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(MachineError, match=r"state\.pt: .*disk is full.*free: [\d,]+ bytes; needed: [\d,]+ bytes"):
        save(tmp_path, state)
    assert list((tmp_path / "checkpoints").iterdir()) == [checkpoint]
    assert newest_checkpoint(tmp_path).path == checkpoint


def test_a_folder_that_is_gone_is_named(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("")
    with pytest.raises(MachineError, match=r"run.checkpoints: cannot be written: a part of this path is a file"):
        save(tmp_path / "run", worked_state())


def test_another_gpu_is_the_same_device_and_another_kind_is_not(tmp_path: Path) -> None:
    save(tmp_path, worked_state(), changed(train={"device": "cuda:0"}))
    found = newest_checkpoint(tmp_path)
    refuse_other_settings(found, changed(train={"device": "cuda:1"}))
    with pytest.raises(SettingsError, match=r"train\.device: cuda:0 -> cpu"):
        refuse_other_settings(found, changed(train={"device": "cpu"}))


def test_what_gave_way_to_a_checkpoint_that_never_came_is_taken_back(checkpoint: Path, tmp_path: Path) -> None:
    """Killed between the two names of a step that is saved again."""
    checkpoint.rename(checkpoint.with_name(f"replaced-{checkpoint.name}"))
    settle_replaced(tmp_path)
    assert newest_checkpoint(tmp_path).path == checkpoint
    save(tmp_path, worked_state())
    checkpoint.with_name(f"replaced-{checkpoint.name}").mkdir()
    settle_replaced(tmp_path)
    assert list(checkpoint.parent.iterdir()) == [checkpoint]


def test_what_cannot_be_read_now_is_not_damaged(checkpoint: Path, tmp_path: Path) -> None:
    """It may be whole: nothing is passed over, and nothing removed."""
    (checkpoint / "state.pt").unlink()
    (checkpoint / "state.pt").mkdir()
    with pytest.raises(MachineError, match=r"state\.pt: cannot be read: Is a directory"):
        newest_checkpoint(tmp_path)
