"""The small files that name the classes of a dataset, in the folder that holds it.

    labelmap.txt            name:red,green,blue::   (CVAT)
    label_colors.txt        red green blue name     (CamVid)
    class_dict.csv          a header of name, r, g, b; also label_class_dict.csv, class_dict_seg.csv
    id2label.json           {"0": "sky", "1": "road"}   (Hugging Face)
    classes.txt             a name on each line; also labels.txt, class_names.txt

The first that is there counts.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from intarsia.data.foreign import read_json, read_rows, read_text
from intarsia.data.pairs import Dataset
from intarsia.data.read import IMAGE_SUFFIXES
from intarsia.data.sources import path_of
from intarsia.errors import DataError
from intarsia.labels import IGNORE, Color, Labels, distinct_colors, packed

MOST_BYTES = 1 << 20
_MOST_DIGITS = 6  # of a number in id2label.json, and one
VOID_NAMES = frozenset({"void", "ignore", "ignored", "__ignore__", "unlabeled", "unlabelled"})
"""Names, in lower case, of what counts for nothing."""
_FORMATS = ("PNG", "TIFF", "BMP", "GIF", "WEBP", "JPEG")
_COLOR_AND_NAME = re.compile(r"(\d+)[\s,]+(\d+)[\s,]+(\d+)[\s,]+(\S.*)")


class Entry(NamedTuple):
    """A class in a list: its name, its colour and its value in index masks where the list gives them, its line."""

    name: str
    color: Color | None = None
    value: int | None = None
    line: int = 0


@dataclass(frozen=True)
class ClassList:
    """What such a file says.

    Attributes:
        path: the file.
        entries: the classes, in the file's order.
    """

    path: Path
    entries: tuple[Entry, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """All names, in the file's order."""
        return tuple(entry.name for entry in self.entries)

    @property
    def values(self) -> tuple[int, ...]:
        """The value of each class in index masks: what the file says, or else the position."""
        return tuple(
            position if entry.value is None else entry.value for position, entry in enumerate(self.entries)
        )

    @property
    def colors(self) -> dict[str, Color]:
        """{name: its colour}, of those that have one."""
        return {entry.name: entry.color for entry in self.entries if entry.color is not None}

    def labels(self, mask: Path) -> Labels | None:
        """The classes and their stored values, where the kind of one mask file tells them.

        Colours where it has colours; `values` where it has a palette or grey values. What is called void counts for
        nothing.

        Returns:
            None where the mask has colours and the list has not, or it is no picture.
        """
        kind = kind_of(mask)
        if kind == "colors" and len(self.colors) == len(self.entries):
            stored = {name: packed(color) for name, color in self.colors.items()}
        elif kind == "indices":
            stored = dict(zip(self.names, self.values, strict=True))
        else:
            return None
        void = [stored.pop(name) for name in self.names if is_void(name)]
        if kind == "indices" and IGNORE not in (*void, *stored.values()):
            void.append(IGNORE)
        shown = [self.colors.get(name) for name in stored]
        colors = tuple(own or other for own, other in zip(shown, distinct_colors(len(stored)), strict=True))
        values = tuple((value,) for value in stored.values())
        try:
            return Labels(tuple(stored), colors, values, tuple(void), "colors" if kind == "colors" else "values")
        except DataError as error:
            raise DataError(f"{self.path}: {error}") from None


def kind_of(mask: Path) -> str:
    """`colors`, `indices` (a palette, or one band), or nothing where it is no picture. Reads its header only."""
    try:
        with Image.open(mask, formats=_FORMATS) as file:
            return "indices" if file.mode in ("1", "L", "P", "I;16", "I") else "colors"
    except (OSError, Image.DecompressionBombError):
        return ""


def is_void(name: str) -> bool:
    """Whether a class name says that it counts for nothing."""
    return name.lower() in VOID_NAMES


def find_class_list(root: Path) -> ClassList | None:
    """The class list in a folder; None where there is none.

    Raises:
        DataError: it is there, but cannot be understood.
    """
    for name, read in _READERS.items():
        path = root / name
        if path.is_file() and (entries := tuple(read(path))):
            _refuse_repeated(path, entries)
            return ClassList(path, entries)
    return None


def with_class_list(dataset: Dataset, folder: Path) -> Dataset:
    """A dataset with the class list in `folder`, where there is one.

    Its names, for the values that the masks turn out to have; where it numbers them other than 0, 1, 2 and so on,
    and the masks have one band, these numbers are the values.

    Raises:
        DataError: the list cannot be understood.
    """
    listed = find_class_list(folder)
    if listed is None:
        return dataset
    named = replace(dataset, names=listed.names, known_colors=listed.colors)
    masks = [path_of(pair.mask) for pairs in dataset.splits.values() for pair in pairs[:1]]
    if not masks or listed.values == tuple(range(len(listed.values))):
        return named
    return replace(named, labels=listed.labels(masks[0]))


def _refuse_repeated(path: Path, entries: Sequence[Entry]) -> None:
    """Classes without a name, of one name, or of one colour."""
    names: set[str] = set()
    named: dict[Color, str] = {}
    for name, color, _, line in entries:
        if not name:
            raise DataError(f"{path}: a class without a name.")
        if name in names:
            raise DataError(f"{path}: class {name!r} stands twice. Rename the file if it lists no classes.")
        names.add(name)
        if color is not None and color in named:
            raise DataError(
                f"{path}, line {line}: class {name!r} has the colour {','.join(map(str, color))} of class "
                f"{named[color]!r}. Give each its own, or remove one."
            )
        if color is not None:
            named[color] = name


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """(number, text) of the lines that hold something and are no comment."""
    for number, line in enumerate(read_text(path, MOST_BYTES).splitlines(), start=1):
        if line.strip() and not line.startswith("#"):
            yield number, line.strip()


def _names(path: Path) -> Iterator[Entry]:
    """Nothing from files that list pictures instead."""
    names = [line for _, line in _lines(path)]
    if not any(Path(name).suffix.lower() in IMAGE_SUFFIXES for name in names):
        yield from (Entry(name) for name in names if name != "__ignore__")  # labelme's name for value -1


def _labelmap(path: Path) -> Iterator[Entry]:
    lines = list(_lines(path))
    if not any(":" in line for _, line in lines):
        yield from _names(path)
        return
    for number, line in lines:
        parts = line.rsplit(":", 3)
        if len(parts) != 4 or not parts[0]:
            raise DataError(f"{path}, line {number}: {line!r}: expected name:red,green,blue:parts:actions.")
        name, color = parts[:2]
        yield Entry(name.strip(), _color(color.split(","), path, number) if color.strip() else None, line=number)


def _label_colors(path: Path) -> Iterator[Entry]:
    for number, line in _lines(path):
        found = _COLOR_AND_NAME.fullmatch(line)
        if found is None:
            raise DataError(f"{path}, line {number}: {line!r}: expected red, green, blue and a name.")
        *color, name = found.groups()
        yield Entry(name, _color(color, path, number), line=number)


def _class_dict(path: Path) -> Iterator[Entry]:
    (_, header), *rows = read_rows(path, MOST_BYTES) or [(1, [])]
    columns = [name.lower() for name in header]
    if not {"name", "r", "g", "b"} <= set(columns):
        raise DataError(f"{path}: has the columns {', '.join(header) or 'none'}: expected name, r, g, b.")
    for number, row in rows:
        cells = dict(zip(columns, row, strict=False))
        color = _color([cells.get(band, "") for band in "rgb"], path, number)
        yield Entry(cells.get("name", ""), color, line=number)


def _id2label(path: Path) -> Iterator[Entry]:
    names = read_json(path)
    if not isinstance(names, dict) or not all(map(_is_number_and_name, names.items())):
        raise DataError(f'{path}: expected the name of each class, as in {{"0": "sky", "1": "road"}}.')
    yield from (Entry(names[key], value=int(key)) for key in sorted(names, key=int))


def _is_number_and_name(entry: tuple[str, object]) -> bool:
    key, name = entry
    return key.isdecimal() and len(key) < _MOST_DIGITS and isinstance(name, str) and name.isprintable()


def _color(bands: list[str], path: Path, line: int) -> Color:
    written = ",".join(bands)
    if len(bands) != 3 or not all(band.strip().isdecimal() and int(band) <= 255 for band in bands):
        raise DataError(f"{path}, line {line}: colour {written!r}: expected three numbers from 0 to 255.")
    red, green, blue = map(int, bands)
    return red, green, blue


_READERS: dict[str, Callable[[Path], Iterator[Entry]]] = {
    "labelmap.txt": _labelmap,
    "label_colors.txt": _label_colors,
    "class_dict.csv": _class_dict,
    "label_class_dict.csv": _class_dict,
    "class_dict_seg.csv": _class_dict,
    "id2label.json": _id2label,
    "class_names.txt": _names,
    "classes.txt": _names,
    "labels.txt": _names,
}
