"""The frames of a video or stack: each a picture in a folder, and the overlays of a video one video."""

import shutil
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import ExitStack, closing, contextmanager
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from intarsia import draw
from intarsia.ahead import mapped
from intarsia.errors import DataError
from intarsia.files import beside, make_folder, writing
from intarsia.pipeline.jobs import CHUNK, Job, portions
from intarsia.pipeline.workshop import MOST_DECODED, Workshop
from intarsia.raster.contract import Source
from intarsia.raster.frames import Frames, open_frames
from intarsia.raster.pictures import Decoded
from intarsia.raster.video import VideoWriter
from intarsia.results.outputs import Shown
from intarsia.results.writing import write_answers
from intarsia.tiling import Block

Drawn = draw.Picture | None
"""A frame of the video of overlays; None where no such video is wanted."""


def predict_frames(job: Job, workshop: Workshop) -> None:
    """Predicts all frames of a file; under their names the results are seen when all frames are done.

    Raises:
        DataError: the file is damaged from some frame on; the results of those before it are there.
        MachineError: the disk is full, or the memory; nothing is left behind.
    """
    frames = open_frames(job.path)
    save = list(workshop.save)
    damage: DataError | None = None
    with ExitStack() as stack:
        video = None
        if "overlays" in save and frames.rate is not None:
            save.remove("overlays")
            video = stack.enter_context(_video(job, workshop, frames.rate))
        folder = stack.enter_context(_folders(job, workshop, save))
        framewise = _Framewise(workshop, job, folder, save, drawn=video is not None)
        pictures = stack.enter_context(closing(framewise.all(frames)))  # or its threads would go on computing
        try:
            for picture in pictures:
                if video is not None and picture is not None:
                    video.write(picture)
        except DataError as error:
            damage = error  # what came before is good
    if damage is not None:
        raise damage


@contextmanager
def _video(job: Job, workshop: Workshop, rate: Fraction) -> Iterator[VideoWriter]:
    """A video of overlays; it is there at the end, or not at all."""
    path = workshop.out / "overlays" / job.relative.parent / f"{job.relative.name}.mp4"
    make_folder(path.parent)
    video = VideoWriter(path, rate)
    try:
        yield video
        video.close()
    finally:
        video.discard()


@contextmanager
def _folders(job: Job, workshop: Workshop, save: Sequence[str]) -> Iterator[Path]:
    """The name of a folder below each output's own, which gets the job's at the end, or is removed."""
    unfinished = beside(job.relative)
    try:
        yield unfinished
    except BaseException:
        workshop.close()  # its threads would go on writing
        for name in save:
            shutil.rmtree(workshop.out / name / unfinished, ignore_errors=True)
        raise
    for name in save:
        _named(workshop.out / name / unfinished, workshop.out / name / job.relative)


class _Framewise:
    """Takes the frames of one file through the model, and writes the results of each.

    Args:
        workshop: of the prediction.
        job: the file.
        folder: below each output's own, of the results.
        save: names of outputs that each frame has.
        drawn: whether overlays are given back, for a video of them.
    """

    def __init__(self, workshop: Workshop, job: Job, folder: Path, save: Sequence[str], *, drawn: bool) -> None:
        self._workshop = workshop
        self._job = job
        self._folder = folder
        self._save = save
        self._drawn = drawn
        self._number = 0

    def all(self, frames: Frames) -> Generator[Drawn, None, None]:
        """Predicts and writes one after the other."""
        for portion in gathered(frames, CHUNK):
            yield from self._written([self._checked(Decoded(image, frames.path)) for image in portion])

    def _checked(self, frame: Decoded) -> Source:
        return self._workshop.plan.checked(frame)

    def _written(self, alike: Sequence[Source]) -> Iterator[Drawn]:
        """Some frames: several at once, written while the next are computed; or in tiles, one after the other."""
        workshop = self._workshop
        height, width = alike[0].height, alike[0].width
        tiling = workshop.plan.tiling(alike[0])
        if not tiling.whole:
            for source in alike:
                with workshop.tilewise(map(source.read, tiling.windows), tiling) as blocks:
                    yield self._write(source, blocks, self._next())
            return
        batches = portions(alike, workshop.at_once(height, width))
        pending: deque[Future[Drawn]] = deque()
        with closing(mapped(workshop.whole, batches, workshop.askers, workshop.askers)) as answers:
            for source, block in zip(alike, chain.from_iterable(answers), strict=True):
                workshop.stop.check()
                pending.append(workshop.writers.submit(self._write, source, [block], self._next()))
                while len(pending) * height * width > workshop.most_waiting and len(pending) > 1:
                    yield pending.popleft().result()
        yield from (future.result() for future in pending)

    def _next(self) -> str:
        self._number += 1
        return f"{self._number:06d}"

    def _write(self, source: Source, blocks: Iterable[Block], name: str) -> Drawn:
        subject = self._workshop.subject(source, self._folder / name, self._job.relative / name)
        overlay = Shown(subject, "overlays", draw.overlay) if self._drawn else None
        write_answers(subject, blocks, self._save, [overlay] if overlay else [])
        return overlay.picture() if overlay else None


def _named(unfinished: Path, path: Path) -> None:
    """Gives a folder that is whole its name; an older one of that name gives way, in one go."""
    if unfinished.exists():
        old = beside(path)
        with writing(path):
            if path.exists():
                path.replace(old)
            unfinished.replace(path)
        shutil.rmtree(old, ignore_errors=True)


def gathered(frames: Iterable[NDArray[Any]], most: int) -> Iterator[list[NDArray[Any]]]:
    """Frames in order, at most so many at a time, and of no more pixels than may be decoded at once.

    What came before an error comes before it.
    """
    waiting: list[NDArray[Any]] = []
    failure: DataError | None = None
    rest = iter(frames)
    while failure is None:
        try:
            waiting.append(next(rest))
        except StopIteration:
            break
        except DataError as error:
            failure = error
        height, width = waiting[-1].shape[:2] if waiting else (0, 0)
        if len(waiting) == most or (len(waiting) + 1) * height * width > MOST_DECODED:
            yield waiting
            waiting = []
    if waiting:
        yield waiting
    if failure is not None:
        raise failure
