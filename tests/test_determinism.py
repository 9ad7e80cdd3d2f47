"""The same bits each time: torch's flags, and its warnings about what it cannot promise."""

import os
import warnings
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import torch

from intarsia.determinism import deterministic
from intarsia.runs import Run


def flags() -> tuple[bool, ...]:
    return (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
        torch.backends.cudnn.benchmark,
    )


@pytest.fixture(autouse=True)
def restored(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    before = flags()
    yield
    assert flags() == before


def nothing(operation: str, sentence: str) -> None:
    pytest.fail(sentence)


def put() -> None:
    """An operation that is not deterministic on a CPU either."""
    torch.zeros(3).put_(torch.tensor([0, 2]), torch.tensor([1.0, 2.0]))


def test_nothing_happens_where_it_is_not_wanted() -> None:
    before, shown = flags(), warnings.showwarning
    with deterministic(False, nothing):
        assert (flags(), warnings.showwarning) == (before, shown)
        put()
    assert "CUBLAS_WORKSPACE_CONFIG" not in os.environ


@pytest.mark.parametrize("before", [(False, False), (True, False), (True, True)], ids=str)
def test_within_the_flags_are_set_and_afterwards_as_before(before: tuple[bool, bool]) -> None:
    torch.use_deterministic_algorithms(before[0], warn_only=before[1])
    torch.backends.cudnn.benchmark = True
    try:
        with suppress(ZeroDivisionError), deterministic(True, nothing):
            assert flags() == (True, True, False)
            assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
            raise ZeroDivisionError
        assert flags() == (*before, True)
    finally:
        torch.use_deterministic_algorithms(False)
        torch.backends.cudnn.benchmark = False


def test_a_workspace_of_ones_own_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":16:8")
    with deterministic(True, nothing):
        assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":16:8"


def test_each_operation_without_is_told_with_its_name() -> None:
    said: list[tuple[str, str]] = []
    real = (
        "nll_loss2d_forward_out_cuda_template does not have a deterministic implementation, but you set "
        "'torch.use_deterministic_algorithms(True, warn_only=True)'. You can file an issue at https://github.com"
    )
    with deterministic(True, lambda *told: said.append(told)):
        put()
        put()
        warnings.warn(real, stacklevel=1)
    assert [operation for operation, _ in said] == ["put_", "put_", "nll_loss2d_forward_out_cuda_template"]
    assert said[0][1] == (
        "note: train.deterministic: torch has no deterministic put_ on this device: two trainings may differ in "
        "the last bits"
    )


def test_other_warnings_go_where_they_went() -> None:
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        with deterministic(True, nothing):
            warnings.warn("a folder has no deterministic implementation of mine", stacklevel=1)
            warnings.warn("old", DeprecationWarning, stacklevel=1)
        warnings.warn("after", stacklevel=1)
    assert [(str(one.message), one.category) for one in seen] == [
        ("a folder has no deterministic implementation of mine", UserWarning),
        ("old", DeprecationWarning),
        ("after", UserWarning),
    ]


def test_warnings_that_are_errors_stay_errors() -> None:
    with pytest.raises(UserWarning, match="mine"), deterministic(True, nothing):
        warnings.warn("mine", stacklevel=1)


def test_a_training_tells_each_operation_once(tmp_path: Path) -> None:
    """As `train` uses it: with `say_once` of the run."""
    with Run(tmp_path) as run, deterministic(True, run.say_once):
        put()
        put()
    assert (tmp_path / "log.txt").read_text().count("no deterministic put_") == 1
