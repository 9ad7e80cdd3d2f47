"""The run folder: everything that one training writes, and the line on the terminal that tells how it goes.

settings.toml       all settings, as they were resolved
log.txt             what was said on the terminal
metrics.jsonl       one JSON object a line: {"kind": "train" | "val", "step": ..., ...}
augmented.png       pairs as the network sees them: look at this first
curves.png          loss, mIoU and learning rate
validation.png      image, truth and prediction of a few validation pairs
model.safetensors   the best model so far
last.safetensors    the newest one
checkpoints/        the training's state at its newest steps, for --resume; see `checkpoint`
tensorboard/        event files, with train.tensorboard=true; see `loggers`
"""

import json
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from io import StringIO
from pathlib import Path
from typing import Any, TextIO

import torch
from rich.console import Console
from rich.live import Live
from rich.text import Text
from torch import Tensor

from intarsia.checkpoint import CHECKPOINTS, has_checkpoint, settle_replaced
from intarsia.draw import Picture, write_picture
from intarsia.errors import SettingsError, listing
from intarsia.files import make_folder, sweep, write_whole, writing
from intarsia.locks import LOCK
from intarsia.loggers import TENSORBOARD, Logger
from intarsia.modelfile import MODEL_FILE

LAST_FILE = "last.safetensors"
_FILES = ("settings.toml", "log.txt", "metrics.jsonl", "augmented.png")  # that are there before the first step
_BEGINNINGS = {*_FILES, CHECKPOINTS, TENSORBOARD}
_PLAIN_EVERY = 15.0  # seconds between status lines where there is no terminal


class Run:
    """A run folder that is being written. Use it as a context: it closes its files and its live line.

    Args:
        folder: as `run_folder` gave it.
        writes: False in all but one of several processes that train together: then nothing is written or said.
        loggers: that are told the numbers and the pictures too; they are closed with the run.
        stream: where people read along.
    """

    def __init__(
        self, folder: Path, *, writes: bool = True, loggers: Sequence[Logger] = (), stream: TextIO | None = None
    ) -> None:
        self.folder = folder
        self.writes = writes
        self.loggers = tuple(loggers) if writes else ()
        self._console = Console(file=stream or sys.stderr, highlight=False, soft_wrap=True, quiet=not writes)
        self._live = Live(console=self._console, refresh_per_second=4, transient=True)
        self._last_plain = time.monotonic()
        self._said: set[str] = set()
        self._log = self._open("log.txt")
        self._metrics = self._open("metrics.jsonl")

    def _open(self, name: str) -> TextIO:
        if not self.writes:
            return StringIO()
        with writing(self.folder / name):
            return (self.folder / name).open("a", encoding="utf-8", errors="backslashreplace", buffering=1)

    def __enter__(self) -> "Run":
        if self._console.is_terminal and self.writes:
            self._live.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._live.stop()
        for logger in self.loggers:
            logger.close()
        for file in (self._log, self._metrics):
            with suppress(OSError):  # a full disk was already told of
                file.close()

    def say(self, text: str) -> None:
        """A line that stays: on the terminal and in log.txt."""
        self._console.print(Text(text))
        with writing(self.folder / "log.txt"):
            self._log.write(f"{time.strftime('%H:%M:%S')} {text}\n")

    def say_once(self, kind: str, text: str) -> None:
        """As `say`, but only the first time that there is something of this kind."""
        if kind not in self._said:
            self._said.add(kind)
            self.say(text)

    def status(self, text: str) -> None:
        """A line that the next one replaces; without a terminal, one every 15 seconds."""
        if self._console.is_terminal:
            self._live.update(Text(text, style="cyan"))
        elif time.monotonic() - self._last_plain >= _PLAIN_EVERY:
            self._last_plain = time.monotonic()
            self._console.print(Text(text))

    def rewind(self, step: int) -> None:
        """Drops the lines of metrics.jsonl that come after `step`: a continued training writes them again."""
        if not self.writes:
            return
        kept = read_metrics(self.folder, up_to_step=step)
        self._metrics.close()
        write_whole(self.folder / "metrics.jsonl", "".join(json.dumps(line) + "\n" for line in kept).encode())
        self._metrics = self._open("metrics.jsonl")

    def record(self, kind: str, step: int, **numbers: Any) -> None:  # noqa: ANN401 - whatever JSON can hold
        """Appends a line to metrics.jsonl, and tells the loggers its numbers."""
        with writing(self.folder / "metrics.jsonl"):
            self._metrics.write(json.dumps({"kind": kind, "step": step, **numbers}) + "\n")
        plain = {
            f"{kind}/{name}": float(value) for name, value in numbers.items() if isinstance(value, int | float)
        }
        for logger in self.loggers:
            logger.scalars(step, plain)

    def picture(self, name: str, step: int, picture: Picture) -> None:
        """Writes NAME.png, and shows it to the loggers."""
        if self.writes:
            write_picture(picture, self.folder / f"{name}.png")
        for logger in self.loggers:
            logger.picture(step, name, picture)


def run_folder(out: Path | None, name: str, *, resume: bool = False) -> Path:
    """The folder of a run, made where it is missing: `out`, or runs/NAME, runs/NAME-2, ...

    Args:
        out: as given.
        name: of the dataset.
        resume: continue the run that is there; where nothing was saved yet it begins.

    Raises:
        SettingsError: `out` holds another run, or other files; or there is none to be continued.
        MachineError: it cannot be made.
    """
    if out is None:
        if resume:
            raise SettingsError("--resume needs --out: the folder of the run to be continued.")
        out = Path("runs") / name
        number = 2
        while out.exists() and any(out.iterdir()):
            out, number = Path("runs") / f"{name}-{number}", number + 1
    elif has_checkpoint(out) or (out / MODEL_FILE).exists():
        if not resume:
            raise SettingsError(
                f"{out}: holds another run. Give another --out, or continue that run with --resume."
            )
        if not has_checkpoint(out):
            raise SettingsError(f"{out}: has no {CHECKPOINTS}/ to continue from. Give another --out.")
        return out
    elif out.is_dir() and any(out.iterdir()):
        names = {path.name for path in out.iterdir() if path.name != LOCK and not path.name.endswith(".tmp")}
        if names and not {"log.txt", "metrics.jsonl"} <= names <= _BEGINNINGS:
            raise SettingsError(
                f"{out}: is not empty, and no run: it holds {listing(sorted(names))}. Give another --out."
            )
    return make_folder(out)


def clear(folder: Path) -> None:
    """Removes what a training that was killed left unfinished, and what it wrote before it saved anything."""
    sweep(folder)
    if (folder / CHECKPOINTS).is_dir():
        settle_replaced(folder)
        sweep(folder / CHECKPOINTS)
    if not has_checkpoint(folder):
        for name in _FILES:
            with writing(folder / name):
                (folder / name).unlink(missing_ok=True)


def read_metrics(folder: Path, up_to_step: int | None = None) -> list[dict[str, Any]]:
    """The lines of metrics.jsonl, up to and with a step; a half-written last line is left out."""
    lines: list[dict[str, Any]] = []
    path = folder / "metrics.jsonl"
    if not path.exists():
        return lines
    for text in path.read_text(encoding="utf-8").splitlines():
        try:
            line = json.loads(text)
        except ValueError:
            continue
        if up_to_step is None or line["step"] <= up_to_step:
            lines.append(line)
    return lines


class Meter:
    """Loss, images and time since it was last read."""

    def __init__(self) -> None:
        self._reset()

    def _reset(self) -> None:
        self._started = time.monotonic()
        self._waited = 0.0
        self._losses: list[Tensor] = []
        self._images = 0

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Counts the time within as waiting for data."""
        started = time.monotonic()
        yield
        self._waited += time.monotonic() - started

    @contextmanager
    def away(self) -> Iterator[None]:
        """The time within does not count: something else than training is done."""
        started = time.monotonic()
        yield
        self._started += time.monotonic() - started

    def add(self, loss: Tensor, images: int) -> None:
        """Counts a batch."""
        self._losses.append(loss.detach())
        self._images += images

    def read(self) -> dict[str, float]:
        """Mean loss, images per second and share of time waiting, since the last call."""
        seconds = time.monotonic() - self._started
        numbers = {
            "loss": float(torch.stack(self._losses).mean()),
            "images_per_second": round(self._images / seconds, 2),
            "waiting": round(self._waited / seconds, 4),
        }
        self._reset()
        return numbers
