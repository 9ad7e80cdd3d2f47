"""The pictures of a prediction, and how they are dealt."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from intarsia.pipeline.records import Stamp
from intarsia.raster.slides import SLIDE_SUFFIXES
from intarsia.raster.video import VIDEO_SUFFIXES

CHUNK = 8  # pictures that are taken together
_LARGE_BYTES = 4 << 20  # a file that holds more is no part of a batch

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


def chunks_of(jobs: Sequence[Job]) -> list[list[Job]]:
    """The jobs in chunks, which processes share among each other: large files alone, others by eights."""
    chunks: list[list[Job]] = []
    open_chunk: list[Job] = []
    for job in jobs:
        if _is_large(job.path):
            chunks.append([job])
            continue
        if not open_chunk:
            chunks.append(open_chunk)
        open_chunk.append(job)
        if len(open_chunk) == CHUNK:
            open_chunk = []
    return chunks


def _is_large(path: Path) -> bool:
    return path.suffix.lower() in SLIDE_SUFFIXES | VIDEO_SUFFIXES or Stamp.of(path).size > _LARGE_BYTES


def portions(items: Sequence[T], most: int) -> Iterator[Sequence[T]]:
    """The items in order, at most so many at a time."""
    for start in range(0, len(items), most):
        yield items[start : start + most]
