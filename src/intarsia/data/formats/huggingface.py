"""Datasets of Hugging Face `datasets`: pictures in the cells of Parquet files, or of Arrow files.

    data/train-00000-of-00002.parquet       as `push_to_hub` names them; also without `data/`, or train/0000.parquet
    train/data-00000-of-00001.arrow         as `save_to_disk` names them
    id2label.json                           class names, or another list of them; see `data.classlists`

Of the columns of pictures, the mask is the one called annotation, label, mask or alike. The pictures are written as
ordinary files into the cache folder, byte for byte, and once: the next time nothing is read. They are named by
their row, counted through the files of a split.
"""

import hashlib
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from intarsia.data.annotations import is_file
from intarsia.data.cache import cache_folder
from intarsia.data.classlists import with_class_list
from intarsia.data.formats.folders import open_named, split_of, split_of_file
from intarsia.data.pairing import files_in, folders_in
from intarsia.data.pairs import SPLITS, Dataset, Stray
from intarsia.errors import DataError, MachineError, first_line, listing

_SUFFIXES = frozenset({".parquet", ".arrow"})
_IMAGES = ("image", "img", "images", "picture", "photo", "pixel_values", "input", "input_image")
_MASKS = (
    "annotation",
    "label",
    "mask",
    "segmentation_mask",
    "labels",
    "masks",
    "annotations",
    "segmentation",
    "semantic_segmentation",
    "ground_truth",
    "target",
)
_FOLDERS = ("data", "default")  # and those of splits
_DEPTH = 3
_ROWS = 32  # that are held in memory together
_STARTS = {
    b"\x89PNG": ".png",
    b"\xff\xd8\xff": ".jpg",
    b"II": ".tif",
    b"MM": ".tif",
    b"GIF8": ".gif",
    b"BM": ".bmp",
}
_FORM = 1  # of what is written into the cache; a new one makes the old unused


def recognise(path: Path) -> bool:
    """A Parquet file, or a folder that has such files, or Arrow files, where they are looked for."""
    return bool(_files(path))


def _files(path: Path) -> list[Path]:
    """The files of the first depth that has any."""
    if is_file(path):
        return [path] if path.suffix.lower() == ".parquet" else []
    folders = [path]
    for _ in range(_DEPTH):
        found = [folder / name for folder in folders for name in files_in(folder, _SUFFIXES)]
        if files := [file for file in found if not file.name.startswith("cache-")]:
            return files
        below = [folder / name for folder in folders for name in folders_in(folder)]
        folders = [folder for folder in below if folder.name in _FOLDERS or split_of(folder.name)]
    return []


def open_huggingface(path: Path) -> Dataset:
    """Writes the pictures of Parquet or Arrow files into the cache, and pairs them there.

    Raises:
        DataError: a file is damaged, or has no columns of images and masks.
        MachineError: pyarrow is not installed; the cache cannot be written.
    """
    by_split: dict[str, list[Path]] = {}
    for file in _files(path):
        by_split.setdefault(split_of_file(file, path), []).append(file)
    others = by_split.pop("", []) if len(by_split) > 1 else []
    if not by_split:
        raise DataError(f"{path}: holds no Parquet file (data/train-00000-of-00001.parquet or alike).")
    unpacked = {split or "train": _unpacked(files) for split, files in by_split.items()}
    folders = {
        split: (unpacked[split] / "images", unpacked[split] / "masks") for split in SPLITS if split in unpacked
    }
    dataset = open_named(path, folders)
    strays = (*dataset.strays, *([Stray("unpaired", tuple(others), "files of no split")] if others else []))
    return with_class_list(replace(dataset, strays=strays), path)


# --- unpacking ---------------------------------------------------------------------------------------------------


def _unpacked(files: Sequence[Path]) -> Path:
    """The folder in the cache with images/ and masks/ of some files; made where it is not there yet."""
    states = [(str(file.resolve()), file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    key = hashlib.sha256(repr((_FORM, states)).encode(errors="surrogateescape")).hexdigest()[:16]
    folder = cache_folder() / "huggingface" / key
    if folder.is_dir():
        return folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f"{key}.", dir=folder.parent) as beside:
            whole = Path(beside) / "whole"
            _unpack(files, whole)
            with suppress(OSError):  # another process may have been quicker
                whole.rename(folder)
    except OSError as error:
        raise MachineError(
            f"{folder}: cannot be written: {error.strerror or error}. The pictures of {files[0].name} are unpacked "
            "there: free some space, or name another folder in INTARSIA_CACHE."
        ) from None
    return folder


def _unpack(files: Sequence[Path], folder: Path) -> None:
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
    for number, (image, mask) in enumerate(row for file in files for row in _rows(file)):
        for name, content in (("images", image), ("masks", mask)):
            if content is not None:
                (folder / name / f"{number:07d}{_suffix(content)}").write_bytes(content)


def _suffix(content: bytes) -> str:
    """That of the format in which a picture is; of none that is known, the decoder will say it."""
    return next((suffix for start, suffix in _STARTS.items() if content.startswith(start)), ".png")


def _rows(file: Path) -> Iterator[tuple[bytes | None, bytes | None]]:
    """The content of image and mask of each row."""
    with _reading(file) as (schema, batches):
        columns = _columns(file, schema)
        row = 0
        for batch in batches(list(columns)):
            for cells in zip(*(batch.column(name).to_pylist() for name in columns), strict=True):
                image, mask = (_content(file, row, name, cell) for name, cell in zip(columns, cells, strict=True))
                yield image, mask
                row += 1


@contextmanager
def _reading(file: Path) -> Iterator[tuple[Any, Callable[[list[str]], Iterable[Any]]]]:
    """The schema of a file, and what reads the batches of some columns."""
    try:
        import pyarrow as pa
        from pyarrow import ipc, parquet
    except ImportError:
        raise MachineError(
            f"{file}: reading it needs pyarrow. Install it with `pip install intarsia[parquet]`."
        ) from None
    try:
        with pa.OSFile(str(file)) as source:
            if file.suffix.lower() == ".parquet":
                table = parquet.ParquetFile(source)
                yield table.schema_arrow, lambda columns: table.iter_batches(_ROWS, columns=columns)
            else:
                stream = ipc.open_stream(source)
                yield stream.schema, lambda _: stream
    except (OSError, pa.ArrowException) as error:
        reason = first_line(error)
        raise DataError(f"{file}: cannot be read: {reason}.") from None


def _columns(file: Path, schema: Any) -> tuple[str, str]:  # noqa: ANN401 - pyarrow has no types
    """The names of the columns of images and of masks."""
    pictures = [field.name for field in schema if _holds_pictures(field.type)]
    image = next((name for name in pictures if name.lower() in _IMAGES), "")
    others = [name for name in pictures if name != image]
    mask = next((name for name in others if name.lower() in _MASKS), others[0] if len(others) == 1 else "")
    if not image or not mask:
        raise DataError(
            f"{file}: its columns of pictures are {listing(pictures) or 'none'} (of {listing(schema.names)}): "
            f"expected one of images ({_IMAGES[0]}) and one of masks ({listing(_MASKS[:3])}). Rename them."
        )
    return image, mask


def _holds_pictures(kind: Any) -> bool:  # noqa: ANN401 - pyarrow has no types
    """Whether cells are {bytes, path}."""
    fields = [kind.field(place) for place in range(kind.num_fields)]
    return any(field.name == "bytes" and "binary" in str(field.type) for field in fields)


def _content(file: Path, row: int, column: str, cell: Mapping[str, Any] | None) -> bytes | None:
    content = (cell or {}).get("bytes")
    if content is None and (cell or {}).get("path"):
        raise DataError(
            f"{file}: row {row}: {column} holds only the path of a picture. Save the dataset with its pictures "
            "embedded."
        )
    return content
