"""Being asked to stop, by real signals to a real process."""

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress

import pytest

from intarsia.signals import stop_request, stopping_between

pytestmark = pytest.mark.timeout(30)  # a signal that gets lost would be waited for
STOPPERS = pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)

PROGRAM = """
import sys
from intarsia.signals import stop_request

try:
    with stop_request() as stop:
        print("ready", bool(stop), flush=True)
        for line in sys.stdin:
            print("noted", stop.signal.name if stop else None, flush=True)
            if line == "leave\\n":
                break
    print("left", flush=True)
    sys.stdin.readline()
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


class Process:
    """A child that tells, line by line, what it knows of being asked to stop."""

    def __init__(self) -> None:
        self.child = subprocess.Popen(
            [sys.executable, "-c", PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def asked(self, line: str = "") -> str:
        self.child.stdin.write(line + "\n")
        self.child.stdin.flush()
        return self.said()

    def said(self) -> str:
        return self.child.stdout.readline().strip()


@pytest.fixture
def process() -> Iterator[Process]:
    running = Process()
    assert running.said() == "ready False"
    yield running
    running.child.kill()
    running.child.communicate()


@STOPPERS
def test_the_first_signal_is_noted_and_the_work_goes_on(process: Process, number: signal.Signals) -> None:
    assert process.asked() == "noted None"
    process.child.send_signal(number)
    assert process.asked() == f"noted {number.name}"
    assert process.asked("leave") == f"noted {number.name}"
    assert process.said() == "left"


@STOPPERS
def test_the_second_signal_interrupts(process: Process, number: signal.Signals) -> None:
    process.child.send_signal(signal.SIGINT)
    assert process.asked() == "noted SIGINT"
    process.child.send_signal(number)
    assert process.said() == "interrupted"
    assert process.child.wait(10) == 0


def test_afterwards_signals_act_as_before(process: Process) -> None:
    process.child.send_signal(signal.SIGINT)
    process.asked("leave")
    assert process.said() == "left"
    process.child.send_signal(signal.SIGINT)
    assert process.said() == "interrupted"


def test_the_handlers_are_put_back_even_after_an_error() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with suppress(ZeroDivisionError), stop_request():
        assert signal.getsignal(signal.SIGINT) is not before[0]
        raise ZeroDivisionError
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_outside_the_main_thread_nothing_is_noted() -> None:
    seen: list[object] = []

    def work() -> None:
        with stop_request() as stop:
            seen.extend([bool(stop), stop.signal, signal.getsignal(signal.SIGINT)])

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [False, None, signal.getsignal(signal.SIGINT)]


def test_a_signal_that_is_ignored_stays_so() -> None:
    """As in a shell's background jobs."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with stopping_between() as stop:
            signal.raise_signal(signal.SIGINT)
            stop.check()
    finally:
        signal.signal(signal.SIGINT, before)


def give_up(noted: list[int]) -> None:
    with stopping_between() as stop:
        signal.raise_signal(signal.SIGTERM)
        assert noted == []
        stop.check()


def test_work_that_is_given_up_ends_even_where_the_callers_handler_only_notes() -> None:
    noted: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: noted.append(number))
    try:
        with pytest.raises(KeyboardInterrupt):
            give_up(noted)
        with stopping_between():
            signal.raise_signal(signal.SIGTERM)  # nothing was given up
    finally:
        signal.signal(signal.SIGTERM, before)
    assert noted == [signal.SIGTERM] * 2


BETWEEN = """
import signal, sys
from intarsia.signals import stopping_between

def end(number, frame):
    raise SystemExit(128 + number)

signal.signal(signal.SIGTERM, end)
try:
    with stopping_between() as stop:
        print("ready", flush=True)
        sys.stdin.readline()
        print("at work", flush=True)
        stop.check()
        print("not stopped", flush=True)
finally:
    print("tidied up", flush=True)
"""


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 128 + signal.SIGTERM), (signal.SIGINT, -signal.SIGINT), (None, 0)]
)
def test_a_signal_waits_for_a_good_moment_and_then_acts_as_ever(number: signal.Signals | None, code: int) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", BETWEEN],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert child.stdout.readline() == "ready\n"
    if number:
        child.send_signal(number)
    told, _ = child.communicate("go on\n")
    assert told.splitlines() == ["at work", *(["not stopped"] if number is None else []), "tidied up"]
    assert child.returncode == code
