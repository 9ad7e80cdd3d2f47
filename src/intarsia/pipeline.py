"""Reading, network and writing side by side: the way of many pictures through one model.

Pictures are taken in fixed chunks of the list of all, and a chunk is predicted as a whole. So results do not
depend, to the last bit, on where a prediction was interrupted, nor on how many processes share it.
"""

import shutil
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from intarsia import draw
from intarsia.ahead import ahead, mapped
from intarsia.errors import DataError
from intarsia.files import beside, make_folder, writing
from intarsia.inference import predict_batch, predict_blocks, several_at_once
from intarsia.raster.contract import Source
from intarsia.raster.frames import Frames, is_frames, open_frames
from intarsia.raster.pictures import Decoded
from intarsia.raster.video import VideoWriter
from intarsia.results.outputs import Shown
from intarsia.results.plan import Plan, Subject
from intarsia.results.writing import write_answers
from intarsia.signals import StopRequest, stopping_between
from intarsia.tiles import Window
from intarsia.tiling import Block, Tiling

CHUNK = 8  # pictures
_BATCH = {"cpu": 1}  # pictures or tiles that the network sees at once; elsewhere a chunk, or
_TILES = 4  # of these
_MOST_WAITING = 8_000_000  # pixels whose answers wait to be written
_MOST_AT_ONCE = 4_000_000  # pixels of a batch
_READERS, _WRITERS = 2, 2  # threads

Progress = Callable[[int, int], None]
Opened = Source | DataError | None
"""A picture that is decoded; why it cannot be; None for what is read piece by piece."""
T = TypeVar("T")


@dataclass(frozen=True)
class Job:
    """A picture to predict.

    Attributes:
        relative: path of its results below each output's folder, without suffix.
        path: of the picture.
    """

    relative: Path
    path: Path


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
        plan: of the prediction.
        out: the folder of the results.
        save: names of outputs.
        progress: see `prediction.predict`.
    """

    def __init__(self, plan: Plan, out: Path, save: Sequence[str], progress: Progress) -> None:
        self._plan = plan
        self._out = out
        self._save = save
        self._progress = progress
        self._outcome = Outcome()
        self._finished: AbstractSet[Job] = frozenset()
        self._done = self._total = 0
        self._writers = ThreadPoolExecutor(_WRITERS, thread_name_prefix="writer")
        self._pending: deque[tuple[Job, int, Future[None]]] = deque()  # with the number of pixels
        self._askers = 1
        self._stop = StopRequest()
        device = plan.model.mean.device.type
        self._batch = plan.options.batch or _BATCH.get(device, CHUNK)
        self._tiles = plan.options.batch or _BATCH.get(device, _TILES)

    def run(self, chunks: Sequence[Sequence[Job]], finished: AbstractSet[Job] = frozenset()) -> Outcome:
        """Predicts all pictures of some chunks.

        Args:
            chunks: as they were cut from the list of all.
            finished: large pictures and videos of these are left alone; small ones belong to the others' batches.

        Raises:
            MachineError: the disk is full, or the memory; what is finished stays.
        """
        jobs = [job for chunk in chunks for job in chunk]
        self._total = len(jobs)
        self._finished = finished
        _ = self._plan.room  # while nobody asks the model
        alone = self._plan.options.compile
        with stopping_between() as self._stop, several_at_once(self._plan.model, alone=alone) as self._askers:
            opened = mapped(self._opened, jobs, _READERS, depth=2 * CHUNK)
            answers = mapped(self._asked, self._batches(chunks, opened), self._askers, self._askers)
            try:
                for batch, blocks in answers:
                    self._stop.check()
                    self._take(batch, blocks)
                self._settle(0)
            finally:
                answers.close()
                opened.close()
                self._writers.shutdown(cancel_futures=True)
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
                else:
                    by_size.setdefault((source.height, source.width), []).append((job, source))
            for (height, width), alike in by_size.items():
                yield from map(list, portions(alike, max(1, min(self._batch, _MOST_AT_ONCE // (height * width)))))

    def _asked(self, batch: list[Item]) -> tuple[list[Item], list[list[Block]] | None]:
        """What the network says of pictures of one size; nothing of one that it must see in pieces."""
        sources = [source for _, source in batch if source is not None and not isinstance(source, DataError)]
        if not sources or not self._plan.tiling(sources[0]).whole:
            return batch, None
        return batch, [[block] for block in self._whole(sources)]

    def _whole(self, alike: Sequence[Source]) -> list[Block]:
        """The one block of each of some pictures of equal size, seen at once."""
        whole = Window(0, 0, alike[0].height, alike[0].width)
        answers = predict_batch(self._plan.model, np.stack([source.read(whole) for source in alike]))
        return [Block(whole, logits) for logits in answers]

    def _take(self, batch: list[Item], blocks: list[list[Block]] | None) -> None:
        """Has answers written while the next are computed; what was not asked about yet is done now."""
        for number, (job, source) in enumerate(batch):
            if isinstance(source, DataError):
                self._failed(job, source)
            elif source is not None and blocks is not None:
                future = self._writers.submit(self._write, self._subject(source, job.relative), blocks[number])
                self._pending.append((job, source.height * source.width, future))
                self._settle(_MOST_WAITING)
            elif job in self._finished:
                self._count()
            elif source is None:
                self._piecewise(job)
            else:
                tiling = self._plan.tiling(source)
                self._tilewise(job, source, map(source.read, tiling.windows), tiling)

    def _piecewise(self, job: Job) -> None:
        """What does not come into memory whole: a large picture, or the frames of a file."""
        try:
            if is_frames(job.path, self._plan.model.bands):
                self._framewise(job)
                return
            with closing(self._plan.open(job.path)) as source:
                tiling = self._plan.tiling(source)
                self._tilewise(job, source, self._windows(job, tiling), tiling)
        except DataError as error:
            self._failed(job, error)

    def _windows(self, job: Job, tiling: Tiling) -> Iterator[NDArray[Any]]:
        """The pixels of tiles, read by a source of their own: it belongs to the thread that asks first."""
        with closing(self._plan.open(job.path)) as source:
            yield from map(source.read, tiling.windows)

    def _tilewise(self, job: Job, source: Source, pixels: Iterable[NDArray[Any]], tiling: Tiling) -> None:
        """One picture in tiles: some threads read and ask the network, this one writes."""
        read = ahead(pixels, depth=self._askers + 1)
        answers = ahead(predict_blocks(self._plan.model, read, tiling, self._tiles, self._askers))
        try:
            with closing(read), closing(answers):
                self._write(self._subject(source, job.relative), self._counted(answers, tiling))
        except DataError as error:
            self._failed(job, error)
        else:
            self._written(job)

    def _counted(self, blocks: Iterable[Block], tiling: Tiling) -> Iterator[Block]:
        """The blocks, with progress where there is but one picture."""
        total = len(tiling.rows) * len(tiling.columns)
        for done, block in enumerate(blocks, start=1):
            self._stop.check()
            yield block
            if self._total == 1:
                self._progress(done, total)

    def _framewise(self, job: Job) -> None:
        """The frames of a video or stack, each as a picture in a folder; the overlays of a video become one."""
        frames = open_frames(job.path)
        save = list(self._save)
        video = None
        if "overlays" in save and frames.rate is not None:
            save.remove("overlays")
            path = self._out / "overlays" / job.relative.parent / f"{job.relative.name}.mp4"
            make_folder(path.parent)
            video = VideoWriter(path, frames.rate)
        unfinished = beside(job.relative)  # a folder for each output, named when all frames are there
        try:
            self._each_frame(frames, job, unfinished, save, video)
        except DataError as error:
            self._failed(job, error)  # what came before is good
        except BaseException:
            self._writers.shutdown(cancel_futures=True)  # or they would go on writing
            for name in save:
                shutil.rmtree(self._out / name / unfinished, ignore_errors=True)
            raise
        else:
            self._written(job)
        finally:
            if video is not None:
                video.discard()
        for name in save:
            _named(self._out / name / unfinished, self._out / name / job.relative)

    def _each_frame(
        self, frames: Frames, job: Job, folder: Path, save: Sequence[str], video: VideoWriter | None
    ) -> None:
        number = drawn = 0
        try:
            for portion in gathered(frames, CHUNK):
                self._stop.check()
                sources = [self._plan.checked(Decoded(image, frames.path)) for image in portion]
                shown = []
                for source, blocks in self._answers(sources):
                    number += 1
                    name = f"{number:06d}"
                    subject = self._subject(source, folder / name, job.relative / name)
                    shown.append(self._writers.submit(self._frame, subject, blocks, save, video is not None))
                for future in shown:
                    picture = future.result()
                    if video is not None and picture is not None:
                        video.write(picture)
                        drawn += 1
        except DataError:
            if video is not None and drawn:
                video.close()  # what came before is good
            raise
        if video is not None and drawn:
            video.close()

    def _frame(
        self, subject: Subject, blocks: Iterable[Block], save: Sequence[str], drawn: bool
    ) -> draw.Picture | None:
        overlay = Shown(subject, "overlays", draw.overlay) if drawn else None
        write_answers(subject, blocks, save, [overlay] if overlay else [])
        return overlay.picture() if overlay else None

    def _answers(self, alike: Sequence[Source]) -> Iterator[tuple[Source, Iterable[Block]]]:
        """Blocks of pictures of equal size that are in memory: several at once, or in tiles one after another."""
        tiling = self._plan.tiling(alike[0])
        if not tiling.whole:
            for source in alike:
                pixels = map(source.read, tiling.windows)
                yield source, predict_blocks(self._plan.model, pixels, tiling, self._tiles, self._askers)
            return
        most = max(1, min(self._batch, _MOST_AT_ONCE // (alike[0].height * alike[0].width)))
        answers = mapped(self._whole, portions(alike, most), self._askers, self._askers)
        for source, block in zip(alike, chain.from_iterable(answers), strict=True):
            yield source, [block]

    def _subject(self, source: Source, relative: Path, name: Path | None = None) -> Subject:
        if source.note and source.note not in self._outcome.notes:
            self._outcome.notes.append(source.note)
        return Subject(source, self._plan, relative, self._out, name)

    def _write(self, subject: Subject, blocks: Iterable[Block]) -> None:
        write_answers(subject, blocks, self._save)

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
        self._outcome.written.append(job.relative)
        self._count()

    def _count(self) -> None:
        self._done += 1
        self._progress(self._done, self._total)


def _named(unfinished: Path, path: Path) -> None:
    """Gives a folder that is whole its name; an older one of that name gives way."""
    if unfinished.exists():
        with writing(path):
            if path.exists():
                shutil.rmtree(path)
            unfinished.replace(path)


def gathered(items: Iterable[T], most: int) -> Iterator[list[T]]:
    """The items in order, at most so many at a time; what came before an error comes before it."""
    waiting: list[T] = []
    rest = iter(items)
    while True:
        failure = None
        try:
            while len(waiting) < most:
                waiting.append(next(rest))
        except StopIteration:
            pass
        except DataError as error:
            failure = error
        if waiting:
            yield waiting
        if failure:
            raise failure
        if len(waiting) < most:
            return
        waiting = []


def portions(items: Sequence[T], most: int) -> Iterator[Sequence[T]]:
    """The items in order, at most so many at a time."""
    for start in range(0, len(items), most):
        yield items[start : start + most]
