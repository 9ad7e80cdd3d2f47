"""Running ahead: what is slow to read is read by another thread while the network works, within bounds."""

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from queue import Empty, Full, Queue
from typing import TypeVar

S = TypeVar("S")
T = TypeVar("T")

_END = object()


def ahead(items: Iterable[T], depth: int = 2) -> Generator[T, None, None]:
    """The same items in the same order, made in another thread, at most `depth` before they are asked for.

    What the other thread raises is raised here. When the caller stops early and closes the generator, so does it.
    """
    queue: Queue[object] = Queue(depth)
    stopped = threading.Event()

    def put(item: object) -> None:
        while not stopped.is_set():
            with suppress(Full):
                queue.put(item, timeout=0.1)
                return

    def work() -> None:
        try:
            for item in items:
                put(item)
                if stopped.is_set():
                    return
            put(_END)
        except BaseException as error:  # raised again where the items are asked for
            put(_Failure(error))
        finally:
            _close(items)  # what it holds open belongs to this thread

    thread = threading.Thread(target=work, name="ahead", daemon=True)
    try:
        thread.start()
        while (item := queue.get()) is not _END:
            if isinstance(item, _Failure):
                raise item.error
            yield item  # type: ignore[misc]
    finally:
        stopped.set()
        while thread.is_alive():  # it may wait for a place
            with suppress(Empty):
                queue.get(timeout=0.005)


def _close(items: object) -> None:
    if isinstance(items, Generator):
        items.close()


class _Failure:
    def __init__(self, error: BaseException) -> None:
        self.error = error


def mapped(
    function: Callable[[S], T],
    items: Iterable[S],
    threads: int,
    depth: int,
    weight: Callable[[S], int] = lambda item: 0,
    most: int = 0,
) -> Generator[T, None, None]:
    """function(item) for each item, in order, computed by threads before it is asked for.

    Args:
        function: called in several threads.
        items: taken in the caller's thread.
        threads: that call it.
        depth: results that may wait, or be in the making.
        weight: of the result of an item, asked for in the caller's thread.
        most: weight of all of those together, where they are more than one.
    """
    pending: deque[tuple[int, Future[T]]] = deque()
    with ThreadPoolExecutor(threads, thread_name_prefix="ahead") as pool:
        try:
            for item in items:
                own = weight(item)
                while pending and (len(pending) > depth or own + sum(each for each, _ in pending) > most):
                    yield pending.popleft()[1].result()
                pending.append((own, pool.submit(function, item)))
            while pending:
                yield pending.popleft()[1].result()
        finally:
            for _, future in pending:
                future.cancel()
