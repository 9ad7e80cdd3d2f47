"""A checkpoint brings everything back, and refuses what would not continue the same training."""

from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
import torch

from intarsia.checkpoint import State, read_checkpoint, refuse_other_settings, restore, save_checkpoint
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


def load_checkpoint(path: Path, settings: Settings, state: State) -> None:
    """As a training does it that is continued."""
    saved = read_checkpoint(path)
    refuse_other_settings(saved, settings, path)
    restore(state, saved, path)


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
    save_checkpoint(tmp_path / "checkpoint.pt", SETTINGS, worked_state())
    return tmp_path / "checkpoint.pt"


@pytest.mark.parametrize("best", [BEST, None], ids=["with a best", "before the first validation"])
def test_everything_comes_back(best: Scores | None, tmp_path: Path) -> None:
    before, after = worked_state(best), fresh_state()
    save_checkpoint(tmp_path / "checkpoint.pt", SETTINGS, before)
    expected_random = torch.rand(5)
    torch.manual_seed(99)
    load_checkpoint(tmp_path / "checkpoint.pt", SETTINGS, after)
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
    save_checkpoint(tmp_path / "checkpoint.pt", SETTINGS, uninterrupted)
    take_step(uninterrupted)
    load_checkpoint(tmp_path / "checkpoint.pt", SETTINGS, continued)
    take_step(continued)
    expected = flat(uninterrupted.segmenter.state_dict())
    assert flat(continued.segmenter.state_dict()) == expected
    assert expected != flat(worked_state().segmenter.state_dict())


@pytest.mark.parametrize(
    "spoil",
    [
        lambda content: b"",
        lambda content: content[: len(content) // 2],
        lambda content: b"\x80\x02" + bytes(100),
        lambda content: b"<html>",
    ],
    ids=["empty", "truncated", "zeros", "text"],
)
def test_a_damaged_checkpoint_is_refused(spoil, checkpoint: Path) -> None:
    checkpoint.write_bytes(spoil(checkpoint.read_bytes()))
    with pytest.raises(ModelFileError, match=r"checkpoint\.pt: is damaged and cannot be continued from"):
        load_checkpoint(checkpoint, SETTINGS, fresh_state())


class Trap:
    """Unpickled, it would make a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_code_in_a_checkpoint_is_not_run(tmp_path: Path) -> None:
    torch.save({"settings": Trap(tmp_path / "sprung")}, tmp_path / "checkpoint.pt")
    with pytest.raises(ModelFileError, match="is damaged and cannot be continued from"):
        load_checkpoint(tmp_path / "checkpoint.pt", SETTINGS, fresh_state())
    assert not (tmp_path / "sprung").exists()


def changed(**sections: dict[str, object]) -> Settings:
    return make_settings(SETTINGS.model_dump(), sections)


def test_other_settings_are_listed(checkpoint: Path) -> None:
    other = changed(optim={"lr": 0.5, "schedule": "poly"}, train={"seed": 3}, data={"workers": 2})
    with pytest.raises(SettingsError) as refused:
        load_checkpoint(checkpoint, other, fresh_state())
    assert str(refused.value).splitlines() == [
        f"{checkpoint.parent}: was trained with other settings:",
        "  optim.lr: 0.01 -> 0.5",
        "  optim.schedule: cosine -> poly",
        "  train.seed: 0 -> 3",
        "Give the same ones.",
    ]


def test_refused_settings_leave_the_state_alone(checkpoint: Path) -> None:
    state = fresh_state()
    with pytest.raises(SettingsError, match="other settings"):
        load_checkpoint(checkpoint, changed(optim={"lr": 0.5}), state)
    assert flat(state.segmenter.state_dict()) == flat(fresh_state().segmenter.state_dict())
    assert state.step == 0


@pytest.mark.parametrize(
    "sections", [{"data": {"workers": 3}}, {"data": {"cache": True}}, {"train": {"checkpoint_every": 5}}], ids=str
)
def test_what_does_not_change_the_result_may_change(
    sections: dict[str, dict[str, object]], checkpoint: Path
) -> None:
    state = fresh_state()
    load_checkpoint(checkpoint, changed(**sections), state)
    assert state.step == 2


def test_a_write_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "checkpoint.pt").mkdir()
    with pytest.raises(MachineError, match=r"checkpoint\.pt: cannot be written"):
        save_checkpoint(tmp_path / "checkpoint.pt", SETTINGS, worked_state())
    assert list(tmp_path.iterdir()) == [tmp_path / "checkpoint.pt"]
