"""The batches of this process for one optimizer step after the other, from any step on."""

from collections.abc import Generator, Iterator
from contextlib import contextmanager

from intarsia.data.dataset import Batch, StreamBatches, batches, naming_files_in_flight
from intarsia.preparation import Setup


class Feed:
    """What feeds a training; made by `feeding`.

    Args:
        setup: of the training.
    """

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self._stream: Generator[Batch, None, None] | None = None

    def start(self, step: int) -> None:
        """From now on, `take` gives the batches of this step and those after it."""
        self.end()
        settings, world = self._setup.settings, self._setup.world
        assert settings.train.batch is not None
        assert settings.data.workers is not None
        start = step * settings.optim.accumulate
        numbers = StreamBatches(settings.train.batch, start, world.rank, world.size)
        pin = self._setup.device.type == "cuda"
        self._stream = batches(
            self._setup.pairs, numbers, settings.data.workers, timeout=settings.data.timeout, pin=pin
        )

    def take(self) -> list[Batch]:
        """The batches of the next step."""
        assert self._stream is not None
        return [next(self._stream) for _ in range(self._setup.settings.optim.accumulate)]

    def end(self) -> None:
        """Ends the loader's workers."""
        if self._stream is not None:
            self._stream.close()


@contextmanager
def feeding(setup: Setup, step: int) -> Iterator[Feed]:
    """Within, batches are loaded, from those of `step` on.

    Raises:
        DataError: a file became unreadable.
        MachineError: a worker died or hangs; the files that the workers were at are named.
    """
    feed = Feed(setup)
    feed.start(step)
    try:
        with naming_files_in_flight(setup.pairs):
            yield feed
    finally:
        feed.end()
