"""One picture's blocks of logits -> all results that are wanted of it, from top to bottom."""

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from intarsia.answers import classes_of
from intarsia.files import writing
from intarsia.objects.specks import Specks
from intarsia.results.outputs import MAPS, OUTPUTS, Map, Output, Strips
from intarsia.results.plan import Subject
from intarsia.tiling import Block

_IN_MEMORY = 256 << 20  # bytes of a mask; a larger one waits on the disk while its specks are counted

Strip = tuple[int, NDArray[Any]]
"""(number of the first row, [h, width] class indices)."""


def write_answers(
    subject: Subject,
    blocks: Iterable[Block],
    save: Sequence[str],
    others: Sequence[Output] = (),
) -> None:
    """Writes the results of one picture; where it fails, none of those that are not whole.

    Args:
        subject: the picture, and where its results go.
        blocks: its logits.
        save: names of outputs.
        others: outputs that are fed beside those, and closed by the caller.

    Raises:
        DataError: the picture is damaged.
        MachineError: the disk is full or may not be written to.
    """
    with ExitStack() as unfinished:
        maps: list[Map] = []
        outputs: list[Output] = []
        for name in save:  # one after the other: where one refuses the picture, those before it have begun
            if name in MAPS:
                maps.append(Map(subject, name))
                unfinished.callback(maps[-1].discard)
            else:
                outputs.append(OUTPUTS[name](subject))
                unfinished.callback(outputs[-1].discard)
        strips = masks_of(subject, blocks, maps)
        for top, strip in cleaned(strips, subject):
            for output in (*outputs, *others):
                output.add(top, strip)
        whole: list[Map | Output] = [*maps, *outputs]
        for one in whole:
            one.close()


def masks_of(subject: Subject, blocks: Iterable[Block], maps: Sequence[Map] = ()) -> Iterator[Strip]:
    """The mask in strips of full width, from top to bottom; the maps get the logits as they pass."""
    labels, source = subject.labels, subject.source
    ready: list[Strip] = []
    strips = Strips(source.width, lambda top, strip: ready.append((top, strip)))
    for window, logits in blocks:
        classes = classes_of(logits, subject.plan.thresholds).cpu().numpy().astype(labels.mask_dtype)
        missing = source.without_data(window)
        if missing is not None:
            classes[missing] = labels.ignore_index
        for one in maps:
            one.add(window, logits, missing)
        strips.add(window, classes)
        yield from ready
        ready.clear()


def cleaned(strips: Iterable[Strip], subject: Subject) -> Iterator[Strip]:
    """The same strips without specks and holes, where that is wanted: all are seen before the first comes out."""
    if not subject.options.min_area:
        yield from strips
        return
    specks = Specks(subject.options.min_area, subject.labels.ignore_index)
    size = subject.source.height * subject.source.width * np.dtype(subject.labels.mask_dtype).itemsize
    kept = _OnDisk(subject.out) if size > _IN_MEMORY else _InMemory()
    try:
        for top, strip in strips:
            specks.add(strip)
            kept.add(top, strip)
        specks.decide()
        for top, strip in kept.all():
            yield top, specks.cleaned(strip)
    finally:
        kept.close()


class _InMemory:
    def __init__(self) -> None:
        self._strips: list[Strip] = []

    def add(self, top: int, strip: NDArray[Any]) -> None:
        self._strips.append((top, strip))

    def all(self) -> Iterator[Strip]:
        return iter(self._strips)

    def close(self) -> None:
        self._strips.clear()


class _OnDisk:
    """Strips in a file without a name: it is gone with the process, however that ends."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        with writing(folder):
            self._file: IO[bytes] = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - closed by close
        self._kept: list[tuple[int, tuple[int, ...], np.dtype[Any]]] = []

    def add(self, top: int, strip: NDArray[Any]) -> None:
        with writing(self._folder / "specks", strip.nbytes):
            self._file.write(np.ascontiguousarray(strip).data)
        self._kept.append((top, strip.shape, strip.dtype))

    def all(self) -> Iterator[Strip]:
        self._file.seek(0)
        for top, shape, dtype in self._kept:
            content = self._file.read(int(np.prod(shape)) * dtype.itemsize)
            yield top, np.frombuffer(content, dtype=dtype).reshape(shape)

    def close(self) -> None:
        self._file.close()
