"""Cores that are shared: few are idle, and who shares them at the same time gives back what there was."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch

from intarsia.cores import Cores, threads_for


@pytest.fixture(autouse=True)
def twelve_cores() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(12)
    yield
    torch.set_num_threads(before)


def in_new_thread(function: Callable[[], Any] = torch.get_num_threads) -> Any:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(function).result()


@pytest.mark.parametrize(
    ("cores", "threads"),
    [(1, 1), (2, 2), (5, 5), (7, 7), (8, 8), (9, 8), (10, 5), (11, 5), (12, 6), (13, 6), (14, 7), (15, 5), (96, 8)],
)
def test_as_many_as_leave_few_idle(cores: int, threads: int) -> None:
    assert threads_for(cores) == threads


def test_few_are_idle() -> None:
    assert max(cores % threads_for(cores) / cores for cores in range(1, 257)) < 0.12


def test_threads_that_begin_have_their_part_and_all_is_given_back() -> None:
    cores = Cores()
    with cores.shared(6):
        assert (torch.get_num_threads(), in_new_thread(), cores.number()) == (2, 2, 12)
    assert (torch.get_num_threads(), in_new_thread(), cores.number()) == (12, 12, 12)
    with pytest.raises(ValueError, match="stop"), cores.shared(4):
        raise ValueError("stop")
    assert (torch.get_num_threads(), in_new_thread()) == (12, 12)
    with cores.shared(24):
        assert torch.get_num_threads() == 1


@pytest.mark.parametrize("first_ends_first", [True, False])
def test_two_calls_at_once_see_all_cores_and_give_all_back(first_ends_first: bool) -> None:
    cores = Cores()
    begun, ending = threading.Event(), threading.Event()
    seen = []

    def second() -> None:
        torch.zeros(1)  # a thread that asks torch while others share has their number for good
        seen.append(torch.get_num_threads())
        seen.append(cores.number())
        with cores.shared(3):
            seen.append(torch.get_num_threads())
            begun.set()
            assert ending.wait(10)
        seen.append(torch.get_num_threads())

    with ThreadPoolExecutor(1) as pool:
        with cores.shared(6):
            future = pool.submit(second)
            assert begun.wait(10)
            assert in_new_thread() == 2, "the least of both parts"
            if not first_ends_first:
                ending.set()
                future.result()
                assert (torch.get_num_threads(), in_new_thread()) == (2, 2)
        if first_ends_first:
            assert (torch.get_num_threads(), in_new_thread()) == (12, 4)
            ending.set()
            future.result()
    assert seen == [2, 12, 4, 12]
    assert (torch.get_num_threads(), in_new_thread()) == (12, 12)


def test_a_thread_that_woke_while_others_shared_sees_all_cores_later() -> None:
    cores = Cores()
    with ThreadPoolExecutor(1) as pool:
        with cores.shared(6):
            assert pool.submit(torch.get_num_threads).result() == 2

        def later() -> tuple[int, int]:
            with cores.shared(6):
                inside = torch.get_num_threads()
            return inside, torch.get_num_threads()

        assert pool.submit(later).result() == (2, 12)
    assert (torch.get_num_threads(), in_new_thread()) == (12, 12)
