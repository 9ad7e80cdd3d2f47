"""Being asked to stop: Ctrl-C and SIGTERM end a training after the step at hand; a second one ends it at once."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_STOPPERS = (signal.SIGINT, signal.SIGTERM)


class StopRequest:
    """Whether, and by which signal, the process was asked to stop."""

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None

    def __bool__(self) -> bool:
        return self.signal is not None


@contextmanager
def stop_request() -> Iterator[StopRequest]:
    """Within, the first SIGINT or SIGTERM is noted instead of acted on; the second raises KeyboardInterrupt.

    Outside the main thread, where Python allows no signal handlers, nothing is ever noted.
    """
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return

    def note(number: int, frame: FrameType | None) -> None:
        if request:
            raise KeyboardInterrupt
        request.signal = signal.Signals(number)

    before = {number: signal.signal(number, note) for number in _STOPPERS}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
