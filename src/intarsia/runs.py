"""The run folder: everything that one training writes, and the line on the terminal that tells how it goes.

settings.toml       all settings, as they were resolved
log.txt             what was said on the terminal
metrics.jsonl       one JSON object a line: {"kind": "train" | "val", "step": ..., ...}
augmented.png       pairs as the network sees them: look at this first
curves.png          loss, mIoU and learning rate
validation.png      image, truth and prediction of a few validation pairs
model.safetensors   the best model so far
last.safetensors    the newest one
checkpoint.pt       the training's state, for --resume
"""

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TextIO

import torch
from rich.console import Console
from rich.live import Live
from rich.text import Text
from torch import Tensor

from intarsia.errors import SettingsError, listing
from intarsia.files import make_folder, write_whole, writing
from intarsia.modelfile import MODEL_FILE

LAST_FILE = "last.safetensors"
CHECKPOINT = "checkpoint.pt"
_BEGINNINGS = ("settings.toml", "log.txt", "metrics.jsonl", "augmented.png")  # what is there before a checkpoint
_PLAIN_EVERY = 15.0  # seconds between status lines where there is no terminal


class Run:
    """A run folder that is being written. Use it as a context: it closes its files and its live line.

    Args:
        folder: as `new_run_folder` or `existing_run_folder` gave it.
        stream: where people read along.
    """

    def __init__(self, folder: Path, stream: TextIO | None = None) -> None:
        self.folder = folder
        self._console = Console(file=stream or sys.stderr, highlight=False, soft_wrap=True)
        self._live = Live(console=self._console, refresh_per_second=4, transient=True)
        self._last_plain = time.monotonic()
        self._log = self._open("log.txt")
        self._metrics = self._open("metrics.jsonl")

    def _open(self, name: str) -> TextIO:
        with writing(self.folder / name):
            return (self.folder / name).open("a", encoding="utf-8", errors="backslashreplace", buffering=1)

    def __enter__(self) -> "Run":
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._live.stop()
        for file in (self._log, self._metrics):
            with suppress(OSError):  # a full disk was already told of
                file.close()

    def say(self, text: str) -> None:
        """A line that stays: on the terminal and in log.txt."""
        self._console.print(Text(text))
        with writing(self.folder / "log.txt"):
            self._log.write(f"{time.strftime('%H:%M:%S')} {text}\n")

    def status(self, text: str) -> None:
        """A line that the next one replaces; without a terminal, one every 15 seconds."""
        if self._console.is_terminal:
            self._live.update(Text(text, style="cyan"))
        elif time.monotonic() - self._last_plain >= _PLAIN_EVERY:
            self._last_plain = time.monotonic()
            self._console.print(Text(text))

    def rewind(self, step: int) -> None:
        """Drops the lines of metrics.jsonl that come after `step`: a continued training writes them again."""
        kept = read_metrics(self.folder, up_to_step=step)
        self._metrics.close()
        write_whole(self.folder / "metrics.jsonl", "".join(json.dumps(line) + "\n" for line in kept).encode())
        self._metrics = self._open("metrics.jsonl")

    def record(self, kind: str, **numbers: Any) -> None:  # noqa: ANN401 - whatever JSON can hold
        """Appends a line to metrics.jsonl."""
        with writing(self.folder / "metrics.jsonl"):
            self._metrics.write(json.dumps({"kind": kind, **numbers}) + "\n")


def new_run_folder(out: Path | None, name: str) -> Path:
    """Makes the folder of a new run: `out`, or runs/NAME, runs/NAME-2, ...

    Raises:
        SettingsError: `out` holds another run, or other files.
        MachineError: it cannot be made.
    """
    if out is None:
        out = Path("runs") / name
        number = 2
        while out.exists() and any(out.iterdir()):
            out, number = Path("runs") / f"{name}-{number}", number + 1
    elif (out / CHECKPOINT).exists() or (out / MODEL_FILE).exists():
        raise SettingsError(f"{out}: holds another run. Give another --out, or continue that run with --resume.")
    elif out.is_dir() and any(out.iterdir()):
        names = {path.name for path in out.iterdir()}
        if not {"log.txt", "metrics.jsonl"} <= names <= set(_BEGINNINGS):
            raise SettingsError(
                f"{out}: is not empty, and no run: it holds {listing(sorted(names))}. Give another --out."
            )
        for name in names:  # a run of ours that ended before it saved anything
            (out / name).unlink()
    return make_folder(out)


def existing_run_folder(out: Path | None) -> Path:
    """The folder of a run to be continued.

    Raises:
        SettingsError: it has no checkpoint.
    """
    if out is None:
        raise SettingsError("--resume needs --out: the folder of the run to be continued.")
    if not (out / CHECKPOINT).is_file():
        raise SettingsError(f"{out}: has no {CHECKPOINT} to continue from. Train without --resume.")
    return out


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
