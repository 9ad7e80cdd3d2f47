"""The pictures of a prediction, and how they are dealt."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

CHUNK = 8  # pictures that are taken together

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


def chunks_of(jobs: Sequence[Job]) -> list[Sequence[Job]]:
    """The jobs in chunks, which processes share among each other.

    They depend on the number of jobs alone, which all processes know: of few pictures, which may be large, each is
    a chunk; of many, eight are, for the network to see together.
    """
    return list(portions(jobs, CHUNK if len(jobs) >= CHUNK**2 else 1))


def portions(items: Sequence[T], most: int) -> Iterator[Sequence[T]]:
    """The items in order, at most so many at a time."""
    for start in range(0, len(items), most):
        yield items[start : start + most]
