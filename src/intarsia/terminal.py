"""The terminal: counting while something takes its time, and texts that it must not obey."""

import re
import sys
import time
from collections.abc import Callable

_EVERY = 0.1  # seconds
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


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


def visible(text: str, *, keep: str = "") -> str:
    r"""A text with its control characters as escapes, such as `\x1b`: names of files and classes may hold any.

    Args:
        text: what is to be shown.
        keep: control characters that stay as they are.
    """
    return _CONTROL.sub(lambda found: found[0] if found[0] in keep else repr(found[0])[1:-1], text)
