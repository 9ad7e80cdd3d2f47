"""The small files that name the classes of a dataset, in the folder that holds it.

    labelmap.txt            name:red,green,blue::   (CVAT)
    label_colors.txt        red green blue name     (CamVid)
    class_dict.csv          a header of name, r, g, b; also label_class_dict.csv, class_dict_seg.csv
    id2label.json           {"0": "sky", "1": "road"}   (Hugging Face)
    classes.txt             a name on each line; also labels.txt, class_names.txt

The first that is there counts.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from intarsia.data.foreign import read_json, read_rows, read_text
from intarsia.data.read import IMAGE_SUFFIXES
from intarsia.errors import DataError
from intarsia.labels import IGNORE, Color, Labels, distinct_colors, packed

MOST_BYTES = 1 << 20
_MOST_DIGITS = 6  # of a number in id2label.json, and one
VOID_NAMES = frozenset({"void", "ignore", "ignored", "__ignore__", "unlabeled", "unlabelled"})
"""Names, in lower case, of what counts for nothing."""
_FORMATS = ("PNG", "TIFF", "BMP", "GIF", "WEBP", "JPEG")
_COLOR_AND_NAME = re.compile(r"(\d+)[\s,]+(\d+)[\s,]+(\d+)[\s,]+(\S.*)")

Entry = tuple[str, Color | None]


@dataclass(frozen=True)
class ClassList:
    """What such a file says.

    Attributes:
        path: the file.
        entries: (name, colour) in the file's order; None where it gives no colour.
    """

    path: Path
    entries: tuple[Entry, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """All names, in the file's order: what index masks count by."""
        return tuple(name for name, _ in self.entries)

    @property
    def colors(self) -> dict[str, Color]:
        """{name: its colour}, of those that have one."""
        return {name: color for name, color in self.entries if color is not None}

    def labels(self, mask: Path) -> Labels | None:
        """The classes and their stored values, where the kind of one mask file tells them.

        Colours where it has colours; the position in the list where it has a palette or grey values. What is called
        void counts for nothing.

        Returns:
            None where the mask has colours and the list has not, or it is no picture.
        """
        kind = kind_of(mask)
        if kind == "colors" and len(self.colors) == len(self.entries):
            stored = {name: packed(color) for name, color in self.colors.items()}
        elif kind == "indices":
            stored = {name: index for index, name in enumerate(self.names)}
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
        if path.is_file():
            entries = tuple(read(path))
            names = [name for name, _ in entries]
            if "" in names:
                raise DataError(f"{path}: a class without a name.")
            if twice := next((name for name in names if names.count(name) > 1), None):
                raise DataError(f"{path}: class {twice!r} stands twice. Rename the file if it lists no classes.")
            if entries:
                return ClassList(path, entries)
    return None


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """(number, text) of the lines that hold something and are no comment."""
    for number, line in enumerate(read_text(path, MOST_BYTES).splitlines(), start=1):
        if line.strip() and not line.startswith("#"):
            yield number, line.strip()


def _names(path: Path) -> Iterator[Entry]:
    """Nothing from files that list pictures instead."""
    names = [line for _, line in _lines(path)]
    if not any(Path(name).suffix.lower() in IMAGE_SUFFIXES for name in names):
        yield from ((name, None) for name in names if name != "__ignore__")  # labelme's name for value -1


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
        yield name.strip(), _color(color.split(","), path, number) if color.strip() else None


def _label_colors(path: Path) -> Iterator[Entry]:
    for number, line in _lines(path):
        found = _COLOR_AND_NAME.fullmatch(line)
        if found is None:
            raise DataError(f"{path}, line {number}: {line!r}: expected red, green, blue and a name.")
        *color, name = found.groups()
        yield name, _color(color, path, number)


def _class_dict(path: Path) -> Iterator[Entry]:
    (_, header), *rows = read_rows(path, MOST_BYTES) or [(1, [])]
    columns = [name.lower() for name in header]
    if not {"name", "r", "g", "b"} <= set(columns):
        raise DataError(f"{path}: has the columns {', '.join(header) or 'none'}: expected name, r, g, b.")
    for number, row in rows:
        cells = dict(zip(columns, row, strict=False))
        yield cells.get("name", ""), _color([cells.get(band, "") for band in "rgb"], path, number)


def _id2label(path: Path) -> Iterator[Entry]:
    names = read_json(path)
    if not isinstance(names, dict) or not all(map(_is_number_and_name, names.items())):
        raise DataError(f'{path}: expected the name of each class, as in {{"0": "sky", "1": "road"}}.')
    yield from ((names[key], None) for key in sorted(names, key=int))


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
