"""Being asked to stop: Ctrl-C and SIGTERM end a training after the step at hand, a prediction after the tile.

A second one ends it at once.
"""

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_STOPPERS = (signal.SIGINT, signal.SIGTERM)
_ECHO = 5.0  # seconds: torchrun passes on a Ctrl-C that its processes have already got from the terminal


class Stopped(Exception):
    """Raised by whoever is in the middle of something that may be given up, when a stop was asked for."""


class StopRequest:
    """Whether, and by which signal, the process was asked to stop."""

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None
        self.at = 0.0

    @property
    def number(self) -> int:
        """Of the signal; 0 where there was none."""
        return self.signal or 0

    def __bool__(self) -> bool:
        return self.signal is not None

    def check(self) -> None:
        """Raises `Stopped` where a stop was asked for."""
        if self:
            raise Stopped


@contextmanager
def stop_request() -> Iterator[StopRequest]:
    """Within, the first SIGINT or SIGTERM is noted instead of acted on; the second raises KeyboardInterrupt.

    Of the processes of `torchrun`, which may get one Ctrl-C twice, only a second one some seconds later.

    Outside the main thread, where Python allows no signal handlers, nothing is ever noted; nor is a signal that is
    ignored, as a shell's background jobs ignore SIGINT.
    """
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return

    def note(number: int, frame: FrameType | None) -> None:
        if request:
            if "TORCHELASTIC_RUN_ID" in os.environ and time.monotonic() - request.at < _ECHO:
                return
            raise KeyboardInterrupt
        request.signal, request.at = signal.Signals(number), time.monotonic()

    heard = [number for number in _STOPPERS if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, note) for number in heard}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def stopping_between() -> Iterator[StopRequest]:
    """Within, a signal waits for whoever calls `check`; at the end it is given to the handlers that stood before.

    For work with threads: an exception at any moment, even while one of them is being started, could leave it
    running, and a thread that computes while Python ends takes the process down with it.

    Raises:
        KeyboardInterrupt: the work was given up, and the caller's own handler has only noted the signal.
    """
    given_up = False
    try:
        with stop_request() as request:
            yield request
    except Stopped:
        given_up = True
    finally:
        if request.signal is not None:
            signal.raise_signal(request.signal)
    if given_up:
        raise KeyboardInterrupt
