"""What annotation files of other tools have in common: entries to be checked, paths to be kept inside, classes.

Masks that are drawn from shapes hold 0 for the background and one more for each class.
"""

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Annotated, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, PlainValidator, ValidationError
from pydantic_core import PydanticCustomError

from intarsia.data.classlists import is_void
from intarsia.data.pairing import Pairing, files_in
from intarsia.data.pairs import Pair
from intarsia.data.read import IMAGE_SUFFIXES
from intarsia.data.sources import Shapes
from intarsia.errors import DataError
from intarsia.labels import Color, Labels

BACKGROUND = "background"
_BACKGROUNDS = frozenset({BACKGROUND, "_background_", "__background__"})
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
        if problem["type"] == "missing":
            raise DataError(f"{path}: {key} is missing.") from None
        value = repr(problem["input"])
        value = value if len(value) <= _LONGEST_VALUE else value[:_LONGEST_VALUE] + "..."
        message = problem["msg"][0].lower() + problem["msg"][1:].split(" or instance of ")[0]
        raise DataError(f"{path}: {key} is {value}: {message}.") from None


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


def class_table(names: Iterable[str], colors: Mapping[str, Color] | None = None) -> tuple[Labels, dict[str, int]]:
    """The classes of drawn masks, and the value that each name is drawn with.

    Args:
        names: in order; what is called background is the class of pixels in no shape, which is there in any case.
            What is called void counts for nothing.
        colors: of some of the classes.
    """
    names = list(dict.fromkeys(names))
    ignored = list(filter(is_void, names))
    classes = [name for name in names if name not in ignored]
    background = next((name for name in classes if name.lower() in _BACKGROUNDS), BACKGROUND)
    classes = [background, *(name for name in classes if name != background)]
    values = {name: value for value, name in enumerate(classes)}
    void = max(len(classes), 255)
    labels = Labels.of_values(list(values.values()), [void] if ignored else (), classes)
    shown = tuple(dict(colors or {}).get(name, color) for name, color in zip(classes, labels.colors, strict=True))
    return replace(labels, colors=shown), values | dict.fromkeys(ignored, void)


def pair_named(entries: Iterable[tuple[str, Path, Shapes]], file: Path, result: Pairing) -> tuple[Pair, ...]:
    """Pairs the pictures that an annotation file names with their masks, sorted by name.

    Args:
        entries: (name with suffix, picture, mask) of each.
        file: the annotation file.
        result: pictures that are not there, or that stand twice in the file, become strays of it.
    """
    found: dict[Path, list[tuple[str, Shapes]]] = {}
    for name, image, mask in entries:
        found.setdefault(image, []).append((name, mask))
    there = set(filter(is_file, found))
    once = {image: own[0] for image, own in found.items() if len(own) == 1 and image in there}
    names = unique_names([name for name, _ in once.values()])
    pairs = [Pair(name, image, mask) for name, (image, (_, mask)) in zip(names, once.items(), strict=True)]
    for image in [image for image, own in found.items() if len(own) > 1]:
        result.stray("ambiguous", [image], f"{len(found[image])} entries of one picture in {file.name}")
    missing = [image for image in found if image not in there]
    result.stray("missing-image", missing, f"{_counted(missing, 'picture')} of {file.name} not found")
    return tuple(sorted(pairs, key=lambda pair: pair.name))


def unnamed_pictures(named: Iterable[Path], result: Pairing) -> None:
    """Notes the pictures that lie beside those that annotation files name."""
    named = set(named)
    folders = sorted({image.parent for image in named})
    beside = [folder / name for folder in folders for name in files_in(folder, IMAGE_SUFFIXES)]
    alone = [image for image in beside if image not in named]
    result.stray("unpaired", alone, "pictures that no annotation file names")


def bad_shapes(found: Sequence[tuple[Path, str]], result: Pairing) -> None:
    """Notes annotations without a usable shape: (file, which of its annotations) of each."""
    if found:
        about = f"{_counted(found, 'annotation')} without a usable shape, for example {found[0][1]}"
        result.stray("bad-shape", dict.fromkeys(file for file, _ in found), about)


def _counted(items: Sequence[object], what: str) -> str:
    return f"{len(items)} {what}{'s' * (len(items) != 1)}"
