"""One writer for one folder, whatever becomes of its process: locks of real other processes."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from intarsia.errors import MachineError, SettingsError
from intarsia.locks import LOCK, locked
from tests.conftest import unprivileged

pytestmark = pytest.mark.timeout(60)

HOLDER = """
import os, sys, time
from pathlib import Path
from intarsia.locks import locked

folder, children = sys.argv[1:]
with locked(Path(folder)):
    child = os.fork() if children else ""
    if child == 0:
        if children == "that live on":
            os.closerange(0, 3)
            time.sleep(1000)
        os._exit(0)
    if children == "that end":
        os.waitpid(child, 0)
    print("held", child, flush=True)
    sys.stdin.readline()
    if children:
        os._exit(1)
print("left", flush=True)
"""

Hold = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def hold(tmp_path: Path) -> Iterator[Hold]:
    """Starts a process that holds the lock of a folder until it is given a line."""
    started: list[subprocess.Popen[str]] = []

    def begin(children: str = "") -> subprocess.Popen[str]:
        command = [sys.executable, "-c", HOLDER, str(tmp_path), children]
        started.append(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
        return started[-1]

    yield begin
    for process in started:
        process.kill()
        process.communicate()


def line_of(process: subprocess.Popen[str]) -> str:
    return process.stdout.readline().strip()


def test_a_lock_that_another_process_holds_names_it(hold: Hold, tmp_path: Path) -> None:
    process = hold()
    assert line_of(process) == "held"
    with pytest.raises(SettingsError) as refused, locked(tmp_path):
        pytest.fail("two in one folder")
    words = f"{tmp_path}: process {process.pid} on {socket.gethostname()}, since 20"
    assert str(refused.value).startswith(words)
    assert str(refused.value).endswith("is training here. Wait for it, or give another --out.")
    process.stdin.write("\n")
    process.stdin.flush()
    assert line_of(process) == "left"
    with locked(tmp_path):
        pass


def test_being_refused_does_not_take_the_lock_away(hold: Hold, tmp_path: Path) -> None:
    process = hold()
    assert line_of(process) == "held"
    for _ in range(2):
        with pytest.raises(SettingsError, match=f"process {process.pid} on"), locked(tmp_path):
            pytest.fail("two in one folder")


def test_a_process_that_is_killed_leaves_no_lock(hold: Hold, tmp_path: Path) -> None:
    process = hold()
    assert line_of(process) == "held"
    process.kill()
    process.wait()
    assert (tmp_path / LOCK).exists()
    with locked(tmp_path):
        assert json.loads((tmp_path / LOCK).read_text())["pid"] == os.getpid()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no forks on this system")
def test_a_child_that_lives_on_does_not_keep_the_lock(hold: Hold, tmp_path: Path) -> None:
    process = hold("that live on")
    held, child = line_of(process).split()
    assert held == "held"
    try:
        process.stdin.write("\n")
        process.stdin.flush()
        assert process.wait() == 1
        os.kill(int(child), 0)  # the child is there, with the file open
        with locked(tmp_path):
            pass
    finally:
        os.kill(int(child), signal.SIGKILL)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no forks on this system")
def test_a_child_that_ends_does_not_end_the_lock(hold: Hold, tmp_path: Path) -> None:
    process = hold("that end")
    assert line_of(process).startswith("held")
    with pytest.raises(SettingsError, match=f"process {process.pid} on"), locked(tmp_path):
        pytest.fail("two in one folder")


@pytest.mark.parametrize("error", [None, KeyboardInterrupt, ZeroDivisionError])
def test_afterwards_the_file_is_gone(error: type[BaseException] | None, tmp_path: Path) -> None:
    def work() -> None:
        with locked(tmp_path):
            assert set(json.loads((tmp_path / LOCK).read_text())) == {"pid", "host", "since"}
            if error:
                raise error

    if error:
        with pytest.raises(error):
            work()
    else:
        work()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_vanishes_meanwhile_does_no_harm(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    with locked(folder):
        folder.rename(tmp_path / "elsewhere")


@pytest.mark.parametrize("content", [b"", b"\xff\0 no JSON", b"[1, 2]", b'{"pid": 1, "host": "x"' + b" " * 9999])
def test_a_file_that_nobody_holds_is_taken_whatever_is_in_it(content: bytes, tmp_path: Path) -> None:
    (tmp_path / LOCK).write_bytes(content)
    with locked(tmp_path):
        assert json.loads((tmp_path / LOCK).read_bytes())["pid"] == os.getpid()


def test_a_spoiled_file_that_somebody_holds_is_another_process(hold: Hold, tmp_path: Path) -> None:
    assert line_of(hold()) == "held"
    (tmp_path / LOCK).write_bytes(b"\xff\0 no JSON")
    with pytest.raises(SettingsError, match="another process is training here"), locked(tmp_path):
        pytest.fail("two in one folder")


def test_a_folder_that_cannot_be_written_to(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir(mode=0o555)
    with (
        unprivileged(),
        pytest.raises(MachineError, match=rf"{LOCK}: cannot be written: not allowed"),
        locked(folder),
    ):
        pytest.fail("written to a folder that is not ours")


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(MachineError, match="its folder does not exist"), locked(tmp_path / "gone"):
        pytest.fail("there is no such folder")
