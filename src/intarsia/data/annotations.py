"""What annotation files of other tools have in common: entries to be checked, paths to be kept inside, classes.

Masks that are drawn from shapes hold 0 for the background and one more for each class.
"""

import os
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Annotated, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, PlainValidator, ValidationError
from pydantic_core import PydanticCustomError

from intarsia.data.classlists import is_void
from intarsia.data.pairing import Pairing, files_in
from intarsia.data.pairs import SPLITS, Pair
from intarsia.data.read import IMAGE_SUFFIXES
from intarsia.data.sources import Shapes
from intarsia.errors import DataError, explained
from intarsia.labels import Color, Labels

_BACKGROUND = "background"
_HEX = re.compile("#[0-9a-fA-F]{6}")
_START = 8192  # bytes that are looked at to recognise a file
_LONGEST_VALUE = 40  # letters of a wrong value that a message repeats


class Entry(BaseModel):
    """A part of an annotation file; what we do not use of it may be anything."""

    model_config = ConfigDict(frozen=True, extra="ignore")


def _number_or_text(value: object) -> object:
    if isinstance(value, int | str):
        return value
    raise PydanticCustomError("id", "Input should be a whole number or a text")


Id = Annotated[int | str, PlainValidator(_number_or_text)]
"""By which entries refer to each other."""


def _name(text: str) -> str:
    if not text.strip() or any(0xD800 <= ord(letter) < 0xE000 for letter in text):
        raise PydanticCustomError("name", "Input should be a name")
    return text


Name = Annotated[str, AfterValidator(_name)]
"""Of a class or a file: not blank, and without halves of letters, which JSON can hold but nothing can print."""
_Entry = TypeVar("_Entry", bound=Entry)


@dataclass(frozen=True, slots=True)
class AnnotatedImage:
    """A picture that annotations name.

    Attributes:
        name: its name with suffix, unique in its split.
        path: where it is, or should be.
        mask: what is drawn on it.
    """

    name: str
    path: Path
    mask: Shapes


def checked(kind: type[_Entry], content: object, path: Path) -> _Entry:
    """The content of an annotation file, where it has the form that it must have.

    Raises:
        DataError: it has not; names the key and the value.
    """
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        key = ".".join(map(str, problem["loc"])) or "the file"
        value = repr(problem["input"])
        value = value if len(value) <= _LONGEST_VALUE else value[:_LONGEST_VALUE] + "..."
        raise DataError(f"{path}: {explained(problem, key, given=f'{key} is {value}')}") from None


def below(folder: Path, name: str, file: Path) -> Path:
    """The path below `folder` that an annotation file means by `name`; a backslash parts folders too.

    Raises:
        DataError: it is absolute, or leads out of the folder.
    """
    parts = PurePosixPath(name.replace("\\", "/"))
    if not parts.parts or parts.is_absolute() or PureWindowsPath(name).drive or ".." in parts.parts:
        raise DataError(f"{file}: names the file {name[:80]!r}: expected a path below its folder, without `..`.")
    return folder / parts


def start_of(path: Path) -> str:
    """The first few kilobytes of a text file; empty where it cannot be read."""
    if not is_file(path):
        return ""
    try:
        with path.open("rb") as file:
            return file.read(_START).decode("utf-8", errors="replace")
    except OSError:
        return ""


def is_file(path: Path) -> bool:
    """Whether it is one; False also for names that no system allows."""
    return os.path.isfile(path)  # noqa: PTH113 - Path.is_file raises where a name is too long


def unique_names(files: Sequence[str]) -> list[str]:
    """A name for each of different files: its path without suffix, unless that is the name of another one."""
    shorts = [os.path.splitext(file)[0] for file in files]  # noqa: PTH122 - a Path for each takes seconds
    taken = Counter(shorts)
    taken.update(files)
    return [
        short if taken[short] == 1 or short == file else file for file, short in zip(files, shorts, strict=True)
    ]


def color_of(written: object) -> Color | None:
    """A colour that is written #rrggbb; None where it is written otherwise."""
    if not isinstance(written, str) or not _HEX.fullmatch(written):
        return None
    return int(written[1:3], 16), int(written[3:5], 16), int(written[5:7], 16)


def class_table(names: Iterable[str], colors: Mapping[str, Color] | None = None) -> tuple[Labels, dict[str, int]]:
    """The classes of drawn masks, and the value that each name is drawn with.

    Args:
        names: in order; what is called background, or `_background_`, is the class of pixels in no shape, which is
            there in any case. What is called void counts for nothing.
        colors: of some of the classes.
    """
    names = list(dict.fromkeys(names))
    ignored = list(filter(is_void, names))
    backgrounds = [name for name in names if name.strip("_").lower() == _BACKGROUND]
    apart = {*ignored, *backgrounds}
    classes = [name for name in names if name not in apart]
    void = max(len(classes) + 1, 255)
    first = backgrounds[0].strip("_") if backgrounds else _BACKGROUND
    labels = Labels.of_values(range(len(classes) + 1), [void] if ignored else (), [first, *classes])
    known = colors or {}
    own = [known.get(backgrounds[0]) if backgrounds else None, *map(known.get, classes)]
    shown = tuple(color or other for color, other in zip(own, labels.colors, strict=True))
    values = {name: value for value, name in enumerate(classes, start=1)}
    return replace(labels, colors=shown), values | dict.fromkeys(backgrounds, 0) | dict.fromkeys(ignored, void)


def pair_splits(
    path: Path, images: Mapping[str, Sequence[AnnotatedImage]], result: Pairing
) -> dict[str, tuple[Pair, ...]]:
    """Pairs the pictures that annotations name with their masks: {split: pairs, sorted by name}.

    Args:
        path: what was opened.
        images: {split: its images}; the split is an empty text for those of none, which are `train` where there are
            no others, and are left out otherwise.
        result: what is left out, missing or named twice becomes strays of it.

    Raises:
        DataError: none of the pictures is there.
    """
    named = [image for own in images.values() for image in own]
    there = {image.path for image in named if is_file(image.path)}
    if not there:
        example = f", for example {named[0].path}" if named else ""
        raise DataError(f"{path}: none of its {len(named)} images is there{example}.")
    splits: dict[str, tuple[Pair, ...]] = {}
    for split, own in images.items():
        if split or len(images) == 1:
            splits[split or "train"] = _pair(own, there, result)
    others = images.get("", ()) if len(images) > 1 else ()
    result.stray("unpaired", [image.path for image in others], "pictures of no split train, val or test")
    missing = sorted({image.path for image in named} - there)
    result.stray("missing-image", missing, f"{_counted(missing, 'picture')} of the annotations not found")
    folders = {path.parent for path in there}
    beside = {folder / name for folder in folders for name in files_in(folder, IMAGE_SUFFIXES)}
    result.stray("unpaired", sorted(beside - there), "pictures without annotations")
    return {split: splits[split] for split in SPLITS if splits.get(split)}


def _pair(images: Sequence[AnnotatedImage], there: Collection[Path], result: Pairing) -> tuple[Pair, ...]:
    entries = Counter(image.path for image in images)
    once = [image for image in images if image.path in there and entries[image.path] == 1]
    for path in [path for path, number in entries.items() if number > 1]:
        result.stray("ambiguous", [path], f"{entries[path]} entries of one picture among the annotations")
    names = unique_names([image.name for image in once])
    pairs = [Pair(name, image.path, image.mask) for name, image in zip(names, once, strict=True)]
    return tuple(sorted(pairs, key=lambda pair: pair.name))


def bad_shapes(found: Sequence[tuple[Path, str]], result: Pairing) -> None:
    """Notes annotations without a usable shape: (file, which of its annotations) of each."""
    if found:
        about = f"{_counted(found, 'annotation')} without a usable shape, for example {found[0][1]}"
        result.stray("bad-shape", dict.fromkeys(file for file, _ in found), about)


def _counted(items: Sequence[object], what: str) -> str:
    return f"{len(items)} {what}{'s' * (len(items) != 1)}"
