"""What all pictures of one prediction are predicted with: the model, threads, and the folder of the results."""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from intarsia.ahead import ahead
from intarsia.inference import predict_batch, predict_blocks, several_at_once
from intarsia.memory import enough_memory
from intarsia.pipeline.jobs import CHUNK
from intarsia.raster.contract import Source
from intarsia.results.plan import Plan, Subject
from intarsia.signals import StopRequest, stopping_between
from intarsia.tiles import Window
from intarsia.tiling import Block, Tiling

MOST_DECODED = 64_000_000  # pixels of pictures that wait for the network
_MOST_WAITING = 8_000_000  # pixels of answers that wait to be written
_BATCH = {"cpu": 1}  # pictures or tiles that the network sees at once; elsewhere a chunk, or
_TILES = 4  # of these
_MOST_AT_ONCE = 4_000_000  # pixels of a batch
_WRITERS = 2  # threads
_ADVICE = "Give a smaller --tile or --batch, or save fewer outputs at once."


class Workshop:
    """Asks the model, and knows where results go.

    Memory is bounded: in the network is at most one picture, batch or tile for each asker, of no more pixels than
    `Plan.room`; decoded pictures and answers wait up to a number of pixels.

    Args:
        plan: of the prediction.
        out: the folder of the results.
        save: names of outputs.
        askers: threads that may ask the model at the same time.
        stop: whether the prediction is to end early.

    Attributes:
        writers: threads that write.
        most_waiting: pixels of answers that wait to be written.
        notes: what should be told once.
    """

    def __init__(self, plan: Plan, out: Path, save: Sequence[str], askers: int, stop: StopRequest) -> None:
        self.plan = plan
        self.out = out
        self.save = save
        self.askers = askers
        self.stop = stop
        self.writers = ThreadPoolExecutor(_WRITERS, thread_name_prefix="writer")
        self.most_waiting = min(_MOST_WAITING, plan.room)
        self.notes: list[str] = []
        device = plan.model.mean.device.type
        self._batch = plan.options.batch or _BATCH.get(device, CHUNK)
        self._tiles = plan.options.batch or _BATCH.get(device, _TILES)

    def at_once(self, height: int, width: int) -> int:
        """The number of pictures of a size that the network sees at once, where there are as many."""
        return max(1, min(self._batch, min(_MOST_AT_ONCE, self.plan.room) // (height * width)))

    def whole(self, alike: Sequence[Source]) -> list[Block]:
        """The one block of each of some pictures of equal size, seen at once."""
        whole = Window(0, 0, alike[0].height, alike[0].width)
        answers = predict_batch(self.plan.model, np.stack([source.read(whole) for source in alike]))
        return [Block(whole, logits) for logits in answers]

    @contextmanager
    def tilewise(self, pixels: Iterable[NDArray[Any]], tiling: Tiling) -> Iterator[Iterator[Block]]:
        """The blocks of one picture in tiles, computed by threads of their own, which end with the context.

        Args:
            pixels: of the tiling's windows, in their order; asked for by one of the threads.
            tiling: the tiles.
        """
        self._note(self.plan.note_of(tiling))
        batch = min(self._tiles, self.at_once(*tiling.tile))
        read = ahead(pixels, depth=self.askers + 1)
        answers = ahead(predict_blocks(self.plan.model, read, tiling, batch, self.askers))
        with closing(read), closing(answers):
            yield self._until_stopped(answers)

    def _until_stopped(self, blocks: Iterable[Block]) -> Iterator[Block]:
        for block in blocks:
            self.stop.check()
            yield block

    def subject(self, source: Source, relative: Path, name: Path | None = None) -> Subject:
        """A picture with the place of its results; see `Subject`."""
        self._note(source.note)
        return Subject(source, self.plan, relative, self.out, name)

    def _note(self, note: str) -> None:
        if note and note not in self.notes:
            self.notes.append(note)

    def close(self) -> None:
        """Ends the threads; what waits to be written is given up."""
        self.writers.shutdown(cancel_futures=True)


@contextmanager
def workshop(plan: Plan, out: Path, save: Sequence[str]) -> Iterator[Workshop]:
    """A workshop whose threads end with the context; meanwhile signals wait for a good moment.

    Args:
        plan: of the prediction.
        out: the folder of the results.
        save: names of outputs.

    Raises:
        MachineError: memory is full.
    """
    _ = plan.room  # found out while nobody asks the model
    with (
        stopping_between() as stop,
        enough_memory(_ADVICE),
        several_at_once(plan.model, alone=plan.options.compile) as askers,
        closing(Workshop(plan, out, save, askers, stop)) as opened,
    ):
        yield opened
