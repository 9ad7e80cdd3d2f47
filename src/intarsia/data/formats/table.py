"""A table of pairs in CSV.

    image,mask,split
    photos/a.jpg,drawn/a.png,train

The columns have the other names of `IMAGE_COLUMNS`, `MASK_COLUMNS` and `SPLIT_COLUMNS` too. Without a split, all is
train. Paths are relative to the table; a class list beside it is read.
"""

import csv
import os
from collections.abc import Sequence
from pathlib import Path

from intarsia.data.annotations import is_file
from intarsia.data.classlists import with_class_list
from intarsia.data.foreign import read_rows, rows_of
from intarsia.data.formats.folders import SPLIT_FOLDERS
from intarsia.data.pairing import Pairing, files_in, short_names
from intarsia.data.pairs import SPLITS, Dataset, Pair
from intarsia.data.read import IMAGE_SUFFIXES, MASK_SUFFIXES
from intarsia.errors import DataError, listing

IMAGE_COLUMNS = ("image", "img", "image_path", "img_path", "filename", "file_name", "file", "path")
MASK_COLUMNS = ("mask", "mask_path", "mask_file", "annotation", "annotation_path", "label_path", "label")
SPLIT_COLUMNS = ("split", "subset", "set")
_START = 4096  # bytes of a file that are looked at
_LONGEST_NAME = 80  # letters of a missing file's name that a message repeats


def recognise(path: Path) -> bool:
    """A .csv file with columns of images and masks, or a folder with exactly one."""
    return len(_tables(path)) == 1


def open_table(path: Path) -> Dataset:
    """Pairs what each row names.

    Raises:
        DataError: no such table or more than one, an unknown split, no pairs.
    """
    tables = [path] if path.is_file() else _tables(path)
    if len(tables) != 1:
        raise DataError(
            f"{path}: holds {len(tables) or 'no'} .csv files with columns image and mask: give the one to open."
        )
    (table,) = tables
    result = Pairing()
    rows = _read(table, result)
    splits = {split: _pairs([row[1:] for row in rows if row[0] == split], result) for split in SPLITS}
    splits = {split: pairs for split, pairs in splits.items() if pairs}
    if not splits:
        raise DataError(f"{table}: no row names an image and a mask that exist. Paths are relative to the table.")
    return with_class_list(Dataset(path, splits, strays=tuple(result.strays)), table.parent)


def _tables(path: Path) -> list[Path]:
    """The tables of pairs in a folder, or `path` itself."""
    is_table = path.suffix.lower() == ".csv" and path.is_file()
    files = [path] if is_table else [path / name for name in files_in(path, {".csv"})]
    return [file for file in files if _names_pairs(file)]


def _names_pairs(file: Path) -> bool:
    """Whether the header has the columns, and the first row pictures in them."""
    try:
        with file.open("rb") as opened:
            start = opened.read(_START).decode("utf-8-sig", errors="replace")
        (_, header), (_, first), *_ = rows_of(start)
    except (OSError, ValueError, csv.Error):
        return False
    image, mask = _column(header, IMAGE_COLUMNS), _column(header, MASK_COLUMNS)
    if image is None or mask is None or len(first) != len(header):
        return False
    return Path(first[image]).suffix.lower() in IMAGE_SUFFIXES and Path(first[mask]).suffix.lower() in MASK_SUFFIXES


def _column(header: Sequence[str], known: Sequence[str]) -> int | None:
    """The position of the first of the `known` names."""
    columns = [name.lower() for name in header]
    return next((columns.index(name) for name in known if name in columns), None)


def _read(table: Path, result: Pairing) -> list[tuple[str, Path, Path]]:
    """(split, image, mask) of each row whose image exists."""
    (_, header), *rows = read_rows(table) or [(1, [])]
    columns = [_column(header, known) for known in (IMAGE_COLUMNS, MASK_COLUMNS, SPLIT_COLUMNS)]
    image_at, mask_at, split_at = columns
    if image_at is None or mask_at is None:
        raise DataError(f"{table}: has the columns {listing(header, 10) or 'none'}: expected image and mask.")
    found: list[tuple[str, Path, Path]] = []
    absent: list[str] = []
    for line, cells in rows:
        if len(cells) != len(header):
            raise DataError(f"{table}, line {line}: {len(cells)} cells, but {len(header)} columns.")
        image, mask = _file(table, cells[image_at]), _file(table, cells[mask_at])
        split = "train" if split_at is None else _split(cells[split_at], table, line)
        if is_file(image):
            found.append((split, image, mask))
        else:
            absent.append(f"line {line}: {cells[image_at][:_LONGEST_NAME]}")
    if absent:
        result.stray("missing-image", [table], f"rows of a table without a picture ({listing(absent)})")
    return list(dict.fromkeys(found))


def _file(table: Path, cell: str) -> Path:
    return Path(os.path.normpath(table.parent / cell.replace("\\", "/")))


def _split(cell: str, table: Path, line: int) -> str:
    split = next((split for split, names in SPLIT_FOLDERS.items() if cell.lower() in names), None)
    if split is None:
        raise DataError(f"{table}, line {line}: split {cell!r}: known are {', '.join(SPLITS)}.")
    return split


def _pairs(rows: Sequence[tuple[Path, Path]], result: Pairing) -> tuple[Pair, ...]:
    """The pairs of a split; images without a mask, or with two, become strays of `result`."""
    masks_of: dict[Path, list[Path]] = {}
    for image, mask in rows:
        masks_of.setdefault(image, []).append(mask)
    for masks in masks_of.values():
        if len(masks) > 1:
            result.stray("ambiguous", masks, "two masks of one image")
    single = {image: masks[0] for image, masks in masks_of.items() if len(masks) == 1}
    result.stray("unpaired", [image for image, mask in single.items() if not is_file(mask)])
    images = [image for image, mask in single.items() if is_file(mask)]
    named = zip(short_names(images), images, strict=True)
    return tuple(sorted((Pair(name, image, single[image]) for name, image in named), key=lambda pair: pair.name))
