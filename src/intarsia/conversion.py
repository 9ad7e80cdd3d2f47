"""`data convert`: any dataset as plain folders, with index masks and a dataset file that says what they mean."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from numpy.typing import NDArray

from intarsia.data.check.inspection import inspect
from intarsia.data.index import DATASET_FILE, open_dataset
from intarsia.data.pairs import Dataset, Pair, read_pair
from intarsia.data.read import IMAGE_SUFFIXES
from intarsia.draw import write_mask
from intarsia.errors import DataError, SettingsError, listing
from intarsia.files import make_folder, write_whole
from intarsia.labels import Labels, packed
from intarsia.names import TakenNames, path_of_name
from intarsia.settings import quoted

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Conversion:
    """What `convert` did.

    Attributes:
        folder: the new dataset.
        written: pairs in each of its splits.
        failed: pairs that were left out, each with the reason.
        said: what the masks were taken for, and what is doubtful in that, where nobody had declared it.
    """

    folder: Path
    written: Mapping[str, int]
    failed: tuple[tuple[Pair, str], ...]
    said: tuple[str, ...] = ()


def convert(
    src: str | Path | Dataset, dst: str | Path, *, progress: Progress = lambda done, total: None
) -> Conversion:
    """Writes a dataset as plain folders: images/SPLIT/NAME, masks/SPLIT/NAME.png and a dataset.toml.

    Images are copied byte by byte. Masks become index PNGs of class indices in the classes' colours, 255 being
    ignored (65535 above 255 classes). A val split that would only be drawn stays in train.

    Args:
        src: a folder or file in any known format, a dataset file, or what `open_dataset` returned.
        dst: a new folder.
        progress: called with the number of steps done and of all; a pair is one step, or two where the masks must
            be asked for the classes first.

    Returns:
        What was written. A pair that cannot be read or named is told there; the others are written all the same.

    Raises:
        SettingsError: `dst` is not empty, or lies in `src`.
        DataError: no dataset, nobody can tell its classes, or not one pair can be written.
        MachineError: `dst` cannot be written.
    """
    dst = Path(dst)
    dataset = src if isinstance(src, Dataset) else open_dataset(src)
    _refuse_target(dst, dataset.root)
    pairs = _undrawn(dataset)
    if not pairs:
        raise DataError(f"{dataset.root}: has no pairs.")
    labels = dataset.labels
    before = 0
    said: tuple[str, ...] = ()
    if labels is None:
        before = len(pairs)
        inspection = inspect(dataset, lambda done, total: progress(done, 2 * total))
        labels = inspection.labels or inspection.refuse_errors()
        warnings = (inspection.below_root(finding.message) for finding in inspection.of_severity("warning"))
        said = (f"masks: {inspection.encoding}", *warnings)
    written: Counter[str] = Counter()
    failed: list[tuple[Pair, str]] = []
    taken = TakenNames()
    for done, (split, pair) in enumerate(pairs, start=before + 1):
        try:
            image_to, mask_to = _places(split, pair, taken)
            _, mask = read_pair(pair, labels)
        except DataError as error:
            failed.append((pair, str(error)))
        else:
            _write_pair(pair, mask, labels, dst / image_to, dst / mask_to)
            written[split] += 1
        progress(done, before + len(pairs))
    if not written:
        raise DataError(f"{dataset.root}: none of {len(pairs)} pairs can be converted. {failed[0][1]}")
    write_whole(dst / DATASET_FILE, _dataset_file(labels).encode(errors="replace"))
    return Conversion(dst, dict(written), tuple(failed), said)


def _refuse_target(dst: Path, root: Path) -> None:
    if dst.exists() and not (dst.is_dir() and not any(dst.iterdir())):
        raise SettingsError(f"{dst}: is not empty. Give a new folder, or remove it.")
    if root.is_dir() and dst.resolve().is_relative_to(root.resolve()):
        raise SettingsError(f"{dst}: lies in {root}, whose files would double. Give a folder outside of it.")


def _undrawn(dataset: Dataset) -> list[tuple[str, Pair]]:
    """(split, pair) of all pairs, as they were before a val split was drawn."""
    return [
        ("train" if dataset.drawn and split == "val" else split, pair)
        for split, pairs in dataset.splits.items()
        for pair in pairs
    ]


def _places(split: str, pair: Pair, taken: TakenNames) -> tuple[PurePosixPath, PurePosixPath]:
    """Where image and mask go, below the new folder.

    Raises:
        DataError: the pair has a name that cannot be written, is taken, or would not be found again.
    """
    try:
        name = path_of_name(pair.name)
        if not name.parts or any(part.startswith(".") for part in name.parts):
            raise DataError(f"name {pair.name!r}: is empty, or hidden by a dot.")
        if pair.image.suffix.lower() not in IMAGE_SUFFIXES:
            raise DataError(
                f"picture has the suffix {pair.image.suffix!r}: read are {listing(sorted(IMAGE_SUFFIXES))}."
            )
        image = path_of_name(f"images/{split}/{name}{pair.image.suffix}")
        mask = path_of_name(f"masks/{split}/{name}.png")
        taken.add(image)
        taken.add(mask)
    except DataError as error:
        raise DataError(f"{pair.image}: the pair's {error}") from None
    return image, mask


def _write_pair(pair: Pair, mask: NDArray[Any], labels: Labels, image_to: Path, mask_to: Path) -> None:
    make_folder(image_to.parent)
    write_whole(image_to, pair.image.read_bytes())
    make_folder(mask_to.parent)
    write_mask(mask, labels, mask_to)


def _dataset_file(labels: Labels) -> str:
    """The text of the dataset file."""
    lines = ["# Written by `intarsia data convert`.", 'format = "folders"', f"ignore = [{labels.ignore_index}]"]
    lines += ["", "[classes]"]
    for index, (name, color) in enumerate(zip(labels.names, labels.colors, strict=True)):
        lines.append(f'{quoted(name)} = {{value = {index}, color = "#{packed(color):06x}"}}')
    return "\n".join(lines) + "\n"
