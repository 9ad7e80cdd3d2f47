"""Where the numbers and pictures of a training go beside the run folder: TensorBoard, or a logger of your own."""

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from intarsia.draw import Picture
from intarsia.extras import needed

TENSORBOARD = "tensorboard"  # folder in a run folder


class Logger(Protocol):
    """Anything with these three methods; give it to `train(..., loggers=[...])`.

    Only the first of several processes calls it. A continued training tells again what came after its checkpoint.
    """

    def scalars(self, step: int, numbers: Mapping[str, float]) -> None:
        """Numbers after an optimizer step, named `train/loss`, `train/lr`, `val/miou` and so on."""

    def picture(self, step: int, name: str, picture: Picture) -> None:
        """A picture [H, W, 3] uint8: `augmented`, `validation`."""

    def close(self) -> None:
        """The training ends, however it does."""


class TensorBoard:
    """Writes event files for TensorBoard into `folder`.

    Args:
        folder: of the event files.
        step: events after it, of an earlier start, are hidden.

    Raises:
        MachineError: tensorboard is not installed.
    """

    def __init__(self, folder: Path, step: int = 0) -> None:
        needed("tensorboard", "tensorboard")
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(folder), purge_step=step + 1)

    def scalars(self, step: int, numbers: Mapping[str, float]) -> None:
        """See `Logger`."""
        for name, number in numbers.items():
            self._writer.add_scalar(name, number, step)

    def picture(self, step: int, name: str, picture: Picture) -> None:
        """See `Logger`."""
        self._writer.add_image(name, picture, step, dataformats="HWC")

    def close(self) -> None:
        """See `Logger`."""
        self._writer.close()
