"""The command line: reads settings, calls one public function, prints its result."""

import os
import signal
import sys
from collections.abc import Sequence
from types import FrameType

import typer

from intarsia.cli.commands import app
from intarsia.errors import IntarsiaError, MachineError, first_line
from intarsia.terminal import visible

__all__ = ["app", "main"]

_BROKEN_PIPE = 128 + 13  # SIGPIPE, which Windows does not have

# Read by OpenMP when torch is imported. Threads that spin while they wait bring a training to a tenth of its speed
# as soon as another program wants a core; sleeping ones cost nothing that could be measured.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs a command and exits with its code; an error of the user's is one line, never a traceback."""
    arguments = sys.argv[1:] if arguments is None else arguments
    debug = "--debug" in arguments
    arguments = [argument for argument in arguments if argument != "--debug"]
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as in a shell's background
            signal.signal(number, _stop)
    try:
        app(arguments, prog_name="intarsia")
    except IntarsiaError as error:
        if debug:
            raise
        typer.echo("error: " + visible(str(error), keep="\n"), err=True)
        raise SystemExit(error.exit_code) from None
    except BrokenPipeError:  # `intarsia ... | head`: nobody reads any more
        sys.stderr.close()
        raise SystemExit(_BROKEN_PIPE) from None
    except Exception as error:
        if debug:
            raise
        from intarsia.memory import is_out_of_memory

        full = is_out_of_memory(error)
        advice = (
            "Take a smaller train.batch, train.size or --tile, or say --device cpu"
            if full
            else "This is our mistake; --debug shows where"
        )
        reason = first_line(error)
        typer.echo(f"error: {type(error).__name__}: {visible(reason)}. {advice}.", err=True)
        raise SystemExit(MachineError.exit_code if full else 1) from None


def _stop(number: int, frame: FrameType | None) -> None:
    """Ends the command; within an import at once, as libraries swallow whatever is raised in one."""
    if number == signal.SIGINT:
        os.write(2, b"interrupted\n")
    if _imports(frame):
        os._exit(128 + number)
    raise KeyboardInterrupt if number == signal.SIGINT else SystemExit(128 + number)


def _imports(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_globals.get("__name__") == "importlib._bootstrap":
            return True
        frame = frame.f_back
    return False
