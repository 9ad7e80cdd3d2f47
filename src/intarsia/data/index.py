"""Opening a dataset: a folder or file in any known format, or a dataset file -> splits of pairs.

What a format says is completed here: the dataset file's word, the command line's, and a validation split where
there is none.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from intarsia.data.datasetfile import DatasetFile, read_dataset_file
from intarsia.data.formats import open_format
from intarsia.data.formats.folders import open_named
from intarsia.data.pairs import SPLITS, Dataset, Mend, Pair, Stray
from intarsia.errors import DataError, listing
from intarsia.labels import Labels

DATASET_FILE = "dataset.toml"


def open_dataset(
    path: str | Path, *, ignore: Sequence[int] = (), val_share: float = 0.2, scene_separator: str = ""
) -> Dataset:
    """Finds the pairs of a dataset.

    Args:
        path: a folder or file in a known format (`data.formats.FORMATS`), or a dataset file.
        ignore: stored mask values that count for nothing, besides those that the dataset file names.
        val_share: share of the training pairs that become `val` where there is no such split. Which ones depends
            on their names alone, so that adding files moves none of the others (where the hash picks none of
            very few pairs, the one with the smallest hash stands in).
        scene_separator: names alike up to the first of this text stay in one split when `val` is drawn.

    Raises:
        DataError: no such path, no known format, no pairs, or two candidates for one partner.
    """
    dataset = find_dataset(path, ignore=ignore, val_share=val_share, scene_separator=scene_separator)
    for stray in dataset.strays:
        if stray.finding == "ambiguous":
            raise DataError(f"{' and '.join(map(str, stray.paths))}: {stray.about}. Remove or rename one of them.")
    return dataset


def find_dataset(
    path: str | Path, *, ignore: Sequence[int] = (), val_share: float = 0.2, scene_separator: str = ""
) -> Dataset:
    """As `open_dataset`, but files with two candidates for their partner are left out, and noted as strays."""
    path = Path(path)
    try:
        if not path.exists():
            raise DataError(f"{path}: does not exist.")
        file = declared_file(path)
        declared = read_dataset_file(file) if file else DatasetFile()
        dataset = replace(_open_declared(file.parent, declared), root=path) if file else open_format(path)
    except PermissionError as error:
        raise DataError(f"{error.filename}: may not be read (permissions).") from None
    dataset = with_mends(_without(dataset, declared.exclude), declared.mend)
    return _with_ignore(_with_val(dataset, val_share, scene_separator), tuple(ignore))


def declared_file(path: Path) -> Path | None:
    """The dataset file that `path` is, or that lies in it; None where there is none."""
    file = path / DATASET_FILE if path.is_dir() else path
    return file if file.suffix == ".toml" and file.is_file() else None


def _open_declared(folder: Path, declared: DatasetFile) -> Dataset:
    """What a dataset file in `folder` says."""
    if declared.splits:
        named: dict[str, tuple[Path, Path]] = {
            name: (folder / part.images, folder / part.masks) for name, part in declared.splits.items()
        }
        for one in (one for both in named.values() for one in both):
            if not one.is_dir():
                raise DataError(f"{one}: does not exist, but the dataset file names it.")
        dataset = open_named(folder, named)
    else:
        root = folder / declared.path
        if not root.exists():
            raise DataError(f"{root}: does not exist, but the dataset file names it.")
        dataset = open_format(root, declared.format)
    labels = declared.labels() or _renamed(dataset, declared.names)
    return replace(
        dataset,
        labels=labels,
        names=declared.names or dataset.names,
        snap=declared.snap,
        encoding=declared.encoding or dataset.encoding,
        ignore=tuple(dict.fromkeys((*dataset.ignore, *declared.ignored()))),
    )


def _renamed(dataset: Dataset, names: tuple[str, ...]) -> Labels | None:
    """The classes that the format itself tells, in the order of the dataset file's names.

    Raises:
        DataError: these are other classes.
    """
    if dataset.labels is None or not names:
        return dataset.labels
    if set(names) != set(dataset.labels.names):
        raise DataError(
            f"{dataset.root}: its own classes are {listing(dataset.labels.names, 20)}, but the dataset file names "
            f"{listing(names, 20)}. Name the same ones in any order, or give each its value."
        )
    return dataset.labels.ordered(names)


def _without(dataset: Dataset, excluded: Sequence[str]) -> Dataset:
    """Leaves out the pairs that are named as SPLIT/NAME or NAME."""
    names = set(excluded)
    bare = {name.removeprefix(f"{split}/") for name in names for split in SPLITS} | names
    kept = {
        split: tuple(pair for pair in pairs if pair.name not in names and f"{split}/{pair.name}" not in names)
        for split, pairs in dataset.splits.items()
    }
    strays = tuple(stray for stray in dataset.strays if not (stray.pair and stray.pair in bare))
    found = {
        name
        for split, pairs in dataset.splits.items()
        for pair in pairs
        for name in (pair.name, f"{split}/{pair.name}")
    }
    settled = {stray.pair for stray in dataset.strays}
    if unknown := [
        name for name in excluded if name not in found and settled.isdisjoint({name, name.partition("/")[2]})
    ]:
        strays += (Stray("no-such-pair", (), f"`exclude` names {listing(unknown)}, which no pair is called"),)
    return replace(dataset, splits={split: pairs for split, pairs in kept.items() if pairs}, strays=strays)


def with_mends(dataset: Dataset, mends: tuple[Mend, ...]) -> Dataset:
    """Allows mends for all pairs."""
    if not mends:
        return dataset
    splits = {split: tuple(replace(pair, mends=mends) for pair in pairs) for split, pairs in dataset.splits.items()}
    return replace(dataset, splits=splits)


def _with_val(dataset: Dataset, share: float, scene_separator: str) -> Dataset:
    splits = dict(dataset.splits)
    if "train" not in splits or "val" in splits or len(splits["train"]) < 2:
        return dataset
    train, val = _draw_val(splits["train"], share, scene_separator)
    return replace(dataset, splits={"train": train, "val": val} | {**splits, "train": train}, drawn=True)


def _with_ignore(dataset: Dataset, ignore: tuple[int, ...]) -> Dataset:
    ignore = tuple(dict.fromkeys(dataset.ignore + ignore))
    labels = dataset.labels.ignoring(ignore) if dataset.labels else None
    return replace(dataset, ignore=ignore, labels=labels)


def _draw_val(
    pairs: tuple[Pair, ...], share: float, scene_separator: str
) -> tuple[tuple[Pair, ...], tuple[Pair, ...]]:
    """Draws a validation split by a hash of each scene's name; at least one scene on either side."""
    scenes = {pair.name: scene_of(pair.name, scene_separator) for pair in pairs}
    drawn = {scene: _hash_share(scene) for scene in scenes.values()}
    if len(drawn) < 2:
        raise DataError(
            f"All pairs are of one scene {next(iter(drawn))!r}: nothing can be held out for validation. "
            "Give another data.scene_separator, or a val split."
        )
    in_order = sorted(drawn, key=lambda scene: drawn[scene])
    val_scenes = {scene for scene in in_order[:-1] if drawn[scene] < share} or {in_order[0]}
    val = tuple(pair for pair in pairs if scenes[pair.name] in val_scenes)
    return tuple(pair for pair in pairs if scenes[pair.name] not in val_scenes), val


def scene_of(name: str, separator: str) -> str:
    """The folder, and the file's name up to the first separator."""
    folder, slash, file = name.rpartition("/")
    return folder + slash + (file.split(separator)[0] if separator else file)


def _hash_share(name: str) -> float:
    """A number in [0, 1) that depends on the name alone."""
    return int.from_bytes(hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest()[:8]) / 2**64
