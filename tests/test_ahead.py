"""Running ahead: the same items in the same order, within bounds, and errors where they are met."""

import itertools
import threading
import time
from collections.abc import Iterator

import pytest

from intarsia.ahead import ahead, mapped


def test_items_come_in_order_from_another_thread() -> None:
    threads = set()

    def numbers() -> Iterator[int]:
        for number in range(50):
            threads.add(threading.current_thread().name)
            yield number

    assert list(ahead(numbers())) == list(range(50))
    assert threads == {"ahead"}


def test_no_more_are_made_than_the_depth_allows() -> None:
    made = []

    def numbers() -> Iterator[int]:
        for number in range(50):
            made.append(number)
            yield number

    for number in ahead(numbers(), depth=3):
        time.sleep(0.002)
        assert len(made) <= number + 1 + 3 + 1  # this one, three that wait, one that looks for a place


@pytest.mark.parametrize("error", [ValueError("broken"), KeyboardInterrupt()], ids=repr)
def test_an_error_is_raised_behind_what_came_before_it(error: BaseException) -> None:
    def numbers() -> Iterator[int]:
        yield 1
        yield 2
        raise error

    got = []
    with pytest.raises(type(error)):
        got.extend(ahead(numbers()))  # extend takes what comes until then
    assert got in ([], [1, 2])
    items = ahead(numbers())
    assert [next(items), next(items)] == [1, 2]


def test_whoever_stops_early_stops_the_other_thread() -> None:
    def numbers() -> Iterator[int]:
        number = 0
        while True:
            yield (number := number + 1)

    items = ahead(numbers())
    assert next(items) == 1
    items.close()
    assert "ahead" not in {thread.name for thread in threading.enumerate()}


def test_threads_compute_in_order_and_within_bounds() -> None:
    running = []

    def slow(number: int) -> int:
        running.append(number)
        time.sleep(0.002 * (number % 3))
        return number * number

    for number, square in enumerate(mapped(slow, range(40), threads=3, depth=5)):
        assert square == number * number
        assert len(running) <= number + 1 + 5


def test_heavy_results_are_not_made_long_before_they_are_asked_for() -> None:
    """Each weighs its own number: of 40 and more, one at a time."""
    made = []
    weighed = mapped(lambda number: made.append(number) or number, range(60), 3, 8, lambda number: number, most=40)
    for number in weighed:
        time.sleep(0.001)
        ahead_of_it = [other for other in list(made) if other > number]
        assert len(ahead_of_it) <= 1 or sum(ahead_of_it) <= 40
    assert made[-1] == 59


def test_an_error_of_a_thread_is_raised_in_its_place() -> None:
    def fail(number: int) -> int:
        if number == 3:
            raise ValueError("three")
        return number

    items = mapped(fail, range(10), threads=2, depth=4)
    assert [next(items) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="three"):
        next(items)


def test_a_thread_ends_even_where_its_start_is_interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    """By a signal, say: its handler runs where the caller waits for the thread to be there."""
    start = threading.Thread.start

    def interrupted(thread: threading.Thread) -> None:
        start(thread)
        raise KeyboardInterrupt

    monkeypatch.setattr(threading.Thread, "start", interrupted)
    with pytest.raises(KeyboardInterrupt):
        next(ahead(itertools.count()))
    assert "ahead" not in {thread.name for thread in threading.enumerate()}
