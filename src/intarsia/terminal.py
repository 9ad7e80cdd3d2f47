"""The terminal: counting while something takes its time."""

import sys
import time
from collections.abc import Callable

_EVERY = 0.1  # seconds


def count_on_terminal(doing: str) -> Callable[[int, int], None]:
    """A `progress` that counts on the terminal's last line; silent where there is no terminal."""
    last = 0.0

    def show(done: int, total: int) -> None:
        nonlocal last
        if sys.stderr.isatty() and (done == total or time.monotonic() - last >= _EVERY):
            last = time.monotonic()
            sys.stderr.write(f"\r{doing} {done}/{total}" + ("\n" if done == total else ""))
            sys.stderr.flush()

    return show
