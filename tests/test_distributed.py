"""Processes that train together: a world of one, and two real processes that agree."""

import json
import os
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
import torch.distributed as dist

from intarsia import distributed
from intarsia.distributed import World, joined
from intarsia.errors import DataError, SettingsError

pytestmark = pytest.mark.timeout(120)


def test_alone_everything_is_what_one_gave() -> None:
    world = World()
    tensor = torch.tensor([2**53 + 1, 7])
    assert world.first
    assert world.largest(3, -0.5, float("nan"))[:2] == [3, -0.5]
    assert world.total(tensor) is tensor
    assert world.collected({"a": 1}) == [{"a": 1}]
    assert world.told(lambda: "made") == "made"
    world.equal([tensor])
    assert tensor.tolist() == [2**53 + 1, 7]
    assert not torch.distributed.is_initialized()


def test_alone_an_error_is_just_raised() -> None:
    def fail() -> None:
        raise DataError("no such picture")

    with pytest.raises(DataError, match="no such picture"):
        World().told(fail)


@pytest.mark.parametrize("device", ["cpu", "cuda", "mps"])
def test_one_process_has_the_device_that_it_asked_for(device: str) -> None:
    assert World().own_device(torch.device(device)) == torch.device(device)


@pytest.mark.parametrize("device", ["cuda:0", "mps"])
def test_several_processes_share_no_device(device: str) -> None:
    assert World(1, 2, 1).own_device(torch.device("cpu")) == torch.device("cpu")
    with pytest.raises(SettingsError, match=rf"train\.device = {device}: 2 processes train on cpu or cuda"):
        World(1, 2, 1).own_device(torch.device(device))


@pytest.mark.parametrize(("size", "words"), [(None, "there is 1"), ("1", "there is 1"), ("4", "there are 4")])
def test_another_number_than_expected_is_refused(
    size: str | None, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    if size:
        monkeypatch.setenv("WORLD_SIZE", size)
    with pytest.raises(SettingsError) as refused, joined(3):
        pytest.fail("joined")
    assert str(refused.value) == (
        f"train.processes = 3: {words}. Start as many with: torchrun --nproc-per-node 3 -m intarsia train ..., or "
        "leave it out."
    )


def test_alone_as_expected_nothing_is_joined(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    for expected in (None, 1):
        with joined(expected) as world:
            assert world == World()
            assert not torch.distributed.is_initialized()


def test_alone_errors_pass_through() -> None:
    """Whatever their words are: there is no other process to be lost."""
    with pytest.raises(RuntimeError, match="Connection reset"), joined():
        raise RuntimeError("Connection reset by peer")


PROGRAM = """
import json, os, sys
from pathlib import Path

import torch
import torch.distributed as dist
from intarsia.distributed import joined
from intarsia.errors import DataError, IntarsiaError

out, port = sys.argv[1:]
noted = {}


def fail():
    raise DataError("no such picture")


try:
    with joined(2) as world:
        rank = world.rank
        noted["world"] = [world.rank, world.size, world.local_rank, world.first]
        noted["largest"] = world.largest(rank, -rank, 0.1 * (rank + 1), rank == 1)
        noted["total"] = world.total(torch.tensor([2**53 + rank, rank, -5])).tolist()
        noted["sum"] = world.total(torch.tensor([0.25, rank])).tolist()
        noted["collected"] = world.collected({"rank": rank, "path": Path("runs")} if rank else None)
        calls = []
        noted["told"] = str(world.told(lambda: calls.append(rank) or Path("folder") / str(rank)))
        noted["told none"] = world.told(lambda: None)
        noted["calls"] = calls
        buffers = [torch.full((3,), 1.5 + rank), torch.tensor(rank + 7)]
        world.equal(buffers)
        noted["equal"] = [buffer.tolist() for buffer in buffers]
        with joined() as again:
            noted["again"] = again == world
        noted["still"] = world.largest(rank)
        world.told(fail)
        noted["went on"] = True
except SystemExit as error:
    noted["ended"] = f"SystemExit {error.code}"
except IntarsiaError as error:
    noted["ended"] = f"{type(error).__name__} {error}"
noted["left"] = not torch.distributed.is_initialized()

os.environ["MASTER_PORT"] = port
try:
    with joined() as world:
        world.largest(0)
        if rank == 1:
            Path(out, "1.json").write_text(json.dumps(noted, default=str))
            os._exit(7)
        while True:
            world.largest(0)
except IntarsiaError as error:
    noted["lost"] = f"{type(error).__name__} {error}"
Path(out, "0.json").write_text(json.dumps(noted, default=str))
"""


def free_port() -> int:
    with socket.socket() as asked:
        asked.bind(("127.0.0.1", 0))
        return int(asked.getsockname()[1])


@pytest.fixture(scope="module")
def noted(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What each of two processes noted, from one launch, with the environment that torchrun gives them."""
    out = tmp_path_factory.mktemp("two")
    port, other = free_port(), free_port()
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(out), str(other)],
            env={
                **os.environ,
                "OMP_NUM_THREADS": "1",
                "RANK": str(rank),
                "LOCAL_RANK": str(rank),
                "WORLD_SIZE": "2",
                "MASTER_ADDR": "127.0.0.1",
                "MASTER_PORT": str(port),
            },
        )
        for rank in range(2)
    ]
    try:
        assert [process.wait(100) for process in processes] == [0, 7]
    finally:
        for process in processes:
            process.kill()
    return [json.loads((out / f"{rank}.json").read_text()) for rank in range(2)]


def test_two_know_who_they_are(noted: list[dict[str, Any]]) -> None:
    assert [one["world"] for one in noted] == [[0, 2, 0, True], [1, 2, 1, False]]


def test_the_largest_of_each_number(noted: list[dict[str, Any]]) -> None:
    assert [one["largest"] for one in noted] == [[1, 0, 0.2, 1]] * 2


def test_sums_of_integers_are_exact(noted: list[dict[str, Any]]) -> None:
    """2**54 + 1 is no float64."""
    assert [one["total"] for one in noted] == [[2**54 + 1, 1, -10]] * 2
    assert [one["sum"] for one in noted] == [[0.5, 1]] * 2


def test_things_are_collected_in_order(noted: list[dict[str, Any]]) -> None:
    assert [one["collected"] for one in noted] == [[None, {"rank": 1, "path": "runs"}]] * 2


def test_what_the_first_one_made_is_told_to_the_other(noted: list[dict[str, Any]]) -> None:
    assert [one["told"] for one in noted] == ["folder/0"] * 2
    assert [one["told none"] for one in noted] == [None] * 2
    assert [one["calls"] for one in noted] == [[0], []]


def test_tensors_become_those_of_the_first(noted: list[dict[str, Any]]) -> None:
    assert [one["equal"] for one in noted] == [[[1.5] * 3, 7]] * 2


def test_joining_within_does_not_leave(noted: list[dict[str, Any]]) -> None:
    assert [one["again"] for one in noted] == [True] * 2
    assert [one["still"] for one in noted] == [[1]] * 2


def test_an_error_of_the_first_ends_the_other_with_its_exit_code(noted: list[dict[str, Any]]) -> None:
    assert [one["ended"] for one in noted] == ["DataError no such picture", "SystemExit 3"]
    assert not any("went on" in one for one in noted)
    assert all(one["left"] for one in noted), "the group is left after an error too"


def test_a_lost_process_is_told_and_nobody_waits_for_it(noted: list[dict[str, Any]]) -> None:
    assert noted[0]["lost"].startswith("MachineError Process 0 of 2 lost another one: ")
    assert noted[0]["lost"].endswith("the last checkpoint is whole, --resume continues from it.")


def test_a_new_start_does_not_read_the_names_of_the_last_one() -> None:
    """torchrun keeps its store: what dead processes left there must not be taken for the living."""
    store = dist.HashStore()

    def met(late: int) -> list[dist.Store]:
        with ThreadPoolExecutor(2) as pool:
            first = pool.submit(distributed._met, store, 1 - late, 2)
            time.sleep(0.2)  # it has read the old name of the other by now
            second = pool.submit(distributed._met, store, late, 2)
            return [first.result(30), second.result(30)]

    for late in (0, 1, 0):
        one, other = met(late)
        assert not one.check(["address"])
        one.set("address", "new")
        assert other.get("address") == b"new"
