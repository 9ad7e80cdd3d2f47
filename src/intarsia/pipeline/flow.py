"""Reading, network and writing side by side: the way of many pictures through one model.

Pictures are taken in fixed chunks of the list of all, and a chunk is predicted as a whole. So results do not
depend, to the last bit, on where a prediction was interrupted, nor on how many processes share it.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from concurrent.futures import Future
from contextlib import closing
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from intarsia.ahead import mapped
from intarsia.errors import DataError
from intarsia.pipeline.framewise import predict_frames
from intarsia.pipeline.jobs import CHUNK, Job
from intarsia.pipeline.records import Records, Stamp
from intarsia.pipeline.workshop import MOST_DECODED, Workshop
from intarsia.raster.contract import Source
from intarsia.raster.frames import is_frames
from intarsia.raster.opening import pixels_of
from intarsia.results.writing import write_answers
from intarsia.tiling import Block, Tiling

_READERS = 2  # threads

Progress = Callable[[int, int], None]
Opened = Source | DataError | None
"""A picture that is decoded; why it cannot be; None for what is read piece by piece."""
Item = tuple[Job, Opened]


@dataclass
class Outcome:
    """What became of the pictures of one process.

    Attributes:
        written: paths of results, as in `Job.relative`.
        failed: pictures that could not be read, each with its message.
        notes: what should be told once.
    """

    written: list[Path] = field(default_factory=list)
    failed: list[tuple[Path, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


class Pipeline:
    """Takes chunks of pictures through the model, and writes their results.

    Args:
        shop: of the prediction.
        records: that are added to.
        stamps: of all pictures' files, from before.
        finished: these are left alone, unless they belong to the batch of one that is not finished.
        progress: see `prediction.predict`.
    """

    def __init__(
        self,
        shop: Workshop,
        records: Records,
        stamps: Mapping[Job, Stamp],
        finished: AbstractSet[Job],
        progress: Progress,
    ) -> None:
        self._shop = shop
        self._plan = shop.plan
        self._records = records
        self._stamps = stamps
        self._finished = finished
        self._progress = progress
        self._outcome = Outcome()
        self._done = self._total = 0
        self._pending: deque[tuple[Job, int, Future[None]]] = deque()  # with the number of pixels

    def run(self, chunks: Sequence[Sequence[Job]]) -> Outcome:
        """Predicts all pictures of some chunks, as they were cut from the list of all.

        Raises:
            MachineError: the disk is full, or the memory; what is finished stays.
        """
        jobs = [job for chunk in chunks for job in chunk]
        self._total = len(jobs)
        shop = self._shop
        opened = mapped(self._opened, jobs, _READERS, 2 * CHUNK, lambda job: pixels_of(job.path), MOST_DECODED)
        answers = mapped(self._asked, self._batches(chunks, opened), shop.askers, shop.askers)
        with closing(self._records), closing(opened), closing(answers):
            for batch, blocks in answers:
                shop.stop.check()
                self._take(batch, blocks)
            self._settle(0)
        self._outcome.notes = shop.notes
        return self._outcome

    def _opened(self, job: Job) -> Opened:
        try:
            if is_frames(job.path, self._plan.model.bands):
                return None
            source = self._plan.open(job.path)
        except DataError as error:
            return error
        if source.in_memory:
            return source
        source.close()
        return None

    def _batches(self, chunks: Sequence[Sequence[Job]], opened: Iterator[Opened]) -> Iterator[list[Item]]:
        """Pictures of a chunk that the network can see at once, and alone what it cannot see whole."""
        for chunk in chunks:
            by_size: dict[tuple[int, int], list[Item]] = {}
            for job, source in zip(chunk, islice(opened, len(chunk)), strict=True):
                if source is None or isinstance(source, DataError) or not self._plan.tiling(source).whole:
                    yield [(job, source)]
                    continue
                size = source.height, source.width
                alike = by_size.setdefault(size, [])
                alike.append((job, source))
                if len(alike) == self._shop.at_once(*size):
                    yield by_size.pop(size)
            yield from by_size.values()

    def _asked(self, batch: list[Item]) -> tuple[list[Item], list[Block] | None]:
        """What the network says of pictures of one size; nothing of one in pieces, or where all are finished."""
        sources = _decoded(batch)
        finished = all(job in self._finished for job, _ in batch)
        if not sources or finished or not self._plan.tiling(sources[0]).whole:
            return batch, None
        return batch, self._shop.whole(sources)

    def _take(self, batch: list[Item], blocks: list[Block] | None) -> None:
        """Has answers written while the next are computed; what was not asked about yet is done now."""
        for number, (job, source) in enumerate(batch):
            if isinstance(source, DataError):
                self._failed(job, source)
            elif source is not None and blocks is not None:
                subject = self._shop.subject(source, job.relative)
                future = self._shop.writers.submit(write_answers, subject, [blocks[number]], self._shop.save)
                self._pending.append((job, source.height * source.width, future))
                self._settle(self._shop.most_waiting)
            elif job in self._finished:
                self._count()
            else:
                self._piecewise(job, source)

    def _piecewise(self, job: Job, source: Source | None) -> None:
        """What the network does not see whole, or what does not come into memory: it is read now."""
        try:
            if source is not None:
                tiling = self._plan.tiling(source)
                self._tilewise(job, source, map(source.read, tiling.windows), tiling)
            elif is_frames(job.path, self._plan.model.bands):
                self._framewise(job)
            else:
                with closing(self._plan.open(job.path)) as source:
                    tiling = self._plan.tiling(source)
                    self._tilewise(job, source, self._windows(job, tiling), tiling)
        except DataError as error:
            self._failed(job, error)
        else:
            self._written(job)

    def _framewise(self, job: Job) -> None:
        """The frames of a file; a damaged one leaves results too, which the next call must not take for all."""
        try:
            predict_frames(job, self._shop)
        except DataError as error:
            self._record(job, str(error))
            raise

    def _windows(self, job: Job, tiling: Tiling) -> Iterator[NDArray[Any]]:
        """The pixels of tiles, read by a source of their own: it belongs to the thread that asks first."""
        with closing(self._plan.open(job.path)) as source:
            yield from map(source.read, tiling.windows)

    def _tilewise(self, job: Job, source: Source, pixels: Iterable[NDArray[Any]], tiling: Tiling) -> None:
        """One picture in tiles: some threads read and ask the network, this one writes."""
        with self._shop.tilewise(pixels, tiling) as blocks:
            subject = self._shop.subject(source, job.relative)
            write_answers(subject, self._counted(blocks, tiling), self._shop.save)

    def _counted(self, blocks: Iterable[Block], tiling: Tiling) -> Iterator[Block]:
        """The blocks, with progress where there is but one picture."""
        total = len(tiling.rows) * len(tiling.columns)
        for done, block in enumerate(blocks, start=1):
            yield block
            if self._total == 1:
                self._progress(done, total)

    def _settle(self, most: int) -> None:
        """Waits until no more than `most` pixels, or one picture, are to be written: their logits are in memory."""
        while sum(pixels for _, pixels, _ in self._pending) > most and len(self._pending) > min(most, 1):
            job, _, future = self._pending.popleft()
            try:
                future.result()
            except DataError as error:
                self._failed(job, error)
            else:
                self._written(job)

    def _failed(self, job: Job, error: DataError) -> None:
        self._outcome.failed.append((job.path, str(error)))
        self._count()

    def _written(self, job: Job) -> None:
        self._record(job)
        self._outcome.written.append(job.relative)
        self._count()

    def _record(self, job: Job, damage: str = "") -> None:
        self._records.add(job.relative, job.path, self._stamps[job], self._shop.save, damage)

    def _count(self) -> None:
        self._done += 1
        self._progress(self._done, self._total)


def _decoded(batch: Sequence[Item]) -> list[Source]:
    return [source for _, source in batch if source is not None and not isinstance(source, DataError)]
