"""Where the pairs are: a folder in any known layout, or a dataset file -> splits of image and mask paths.

Known layouts (`images` and `masks` have the other names of `_IMAGE_FOLDERS` and `_MASK_FOLDERS` too):

    images/{train,val,test} + masks/{train,val,test}
    {train,val,test}/{images,masks}
    images + masks
    {train,val,test} + {train,val,test}annot
    pictures beside their masks: name.jpg + name_mask.png (_mask, _label, _gt, _seg)
    dataset.toml that names any of these, the classes and the ignored values

Files are paired by their path below the folder without the suffix. Nothing is opened here but the dataset file.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from intarsia.data.datasetfile import DatasetFile, read_dataset_file
from intarsia.data.read import IMAGE_SUFFIXES, MASK_SUFFIXES
from intarsia.errors import DataError, listing
from intarsia.labels import Labels

SPLITS = ("train", "val", "test")
MASK_ENDINGS = ("_mask", "_label", "_gt", "_seg")

_SPLIT_NAMES = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation"),
    "test": ("test", "testing"),
}
_IMAGE_FOLDERS = ("images", "image", "imgs", "img")
_MASK_FOLDERS = ("masks", "mask", "labels", "annotations")
_LAYOUTS_TEXT = (
    "Expected images/ and masks/ (each with train/, val/, test/ or without), train/images and train/masks, "
    "train/ and trainannot/, pictures beside masks named NAME_mask.png, or a dataset.toml"
)


@dataclass(frozen=True)
class Pair:
    """One image and its mask; `name` is the path below the split's folder without suffix."""

    name: str
    image: Path
    mask: Path


@dataclass(frozen=True)
class Dataset:
    """Where the pairs are, and what their masks mean as far as somebody said so. Opens no picture.

    Attributes:
        root: the folder or dataset file that was opened.
        splits: pairs of `train`, `val` and `test`, sorted by name; a split that does not exist is missing.
        labels: the declared classes; None when nobody declared any (then the masks are asked).
        ignore: stored mask values that count for nothing, where no classes are declared.
        unpaired: files, or whole folders of a split, without a partner. They are left out of the splits, and said.
        drawn: whether `val` was drawn from `train` for want of a split of its own.
    """

    root: Path
    splits: Mapping[str, tuple[Pair, ...]]
    labels: Labels | None = None
    ignore: tuple[int, ...] = ()
    unpaired: tuple[Path, ...] = ()
    drawn: bool = False

    def split(self, name: str) -> tuple[Pair, ...]:
        """The pairs of one split.

        Raises:
            DataError: there is no such split.
        """
        if name not in self.splits:
            raise DataError(f"{self.root}: has no split {name!r}; it has {', '.join(self.splits)}.")
        return self.splits[name]


def open_dataset(
    path: str | Path, *, ignore: Sequence[int] = (), val_share: float = 0.2, scene_separator: str = ""
) -> Dataset:
    """Finds the pairs of a dataset.

    Args:
        path: a folder in a known layout (see the module), or a dataset file.
        ignore: stored mask values that count for nothing, besides those that the dataset file names.
        val_share: share of the training pairs that become `val` where there is no such split. Which ones depends
            on their names alone, so that adding files moves none of the others (where the hash picks none of
            very few pairs, the one with the smallest hash stands in).
        scene_separator: names alike up to the first of this text stay in one split when `val` is drawn.

    Raises:
        DataError: no such path, no known layout, no pairs, or two candidates for one partner.
    """
    path = Path(path)
    if not path.exists():
        raise DataError(f"{path}: does not exist.")
    if path.is_file() and path.suffix != ".toml":
        raise DataError(f"{path}: is a file. A dataset is a folder, or a dataset file named something.toml.")
    file = path if path.is_file() else path / "dataset.toml"
    declared = read_dataset_file(file) if file.is_file() else DatasetFile()
    folders = _folders(path if path.is_dir() else path.parent, declared)

    splits: dict[str, tuple[Pair, ...]] = {}
    unpaired: list[Path] = []
    for split, (images, masks) in folders.items():
        pairs, alone = _pair(images, masks)
        unpaired += alone
        if pairs:
            splits[split] = pairs
    if not declared.splits:
        unpaired += _lone_splits((path if path.is_dir() else path.parent) / declared.path, folders)
    if not splits:
        looked = listing(dict.fromkeys(folder for both in folders.values() for folder in both))
        raise DataError(f"{path}: no image has a mask of the same name. Looked in {looked}.")
    drawn = "train" in splits and "val" not in splits and len(splits["train"]) > 1
    if drawn:
        train, val = _draw_val(splits["train"], val_share, scene_separator)
        splits = {"train": train, "val": val} | {name: pairs for name, pairs in splits.items() if name != "train"}
    return _with_ignore(
        Dataset(path, splits, declared.labels(), declared.ignore, tuple(unpaired), drawn), tuple(ignore)
    )


def _with_ignore(dataset: Dataset, ignore: tuple[int, ...]) -> Dataset:
    ignore = tuple(dict.fromkeys(dataset.ignore + ignore))
    labels = dataset.labels
    if labels is not None:
        labels = replace(labels, ignore=tuple(dict.fromkeys(labels.ignore + ignore)))
    return replace(dataset, ignore=ignore, labels=labels)


def _folders(root: Path, declared: DatasetFile) -> dict[str, tuple[Path, Path]]:
    """The folder of images and the folder of masks of each split; both the same where they lie side by side."""
    if declared.splits:
        named: dict[str, tuple[Path, Path]] = {
            name: (root / part.images, root / part.masks) for name, part in declared.splits.items()
        }
        for folder in (folder for both in named.values() for folder in both):
            if not folder.is_dir():
                raise DataError(f"{folder}: does not exist, but the dataset file names it.")
        return named
    root = root / declared.path
    if not root.is_dir():
        raise DataError(f"{root}: is not a folder, but the dataset file names it.")
    if layout := _find_layout(root):
        return layout
    if any(_mask_ending(file) for file in _files(root, MASK_SUFFIXES)):
        by_split = {split: sub for split in SPLITS if (sub := _sub(root, _SPLIT_NAMES[split]))}
        by_split = by_split if "train" in by_split else {"train": root}
        return {split: (folder, folder) for split, folder in by_split.items()}
    if not _files(root, IMAGE_SUFFIXES):
        raise DataError(f"{root}: holds no pictures. {_LAYOUTS_TEXT}.")
    raise DataError(f"{root}: holds pictures, but no masks were found. {_LAYOUTS_TEXT}.")


def _find_layout(root: Path) -> dict[str, tuple[Path, Path]]:
    images, masks = _sub(root, _IMAGE_FOLDERS), _sub(root, _MASK_FOLDERS)
    found: dict[str, tuple[Path, Path]] = {}
    for split in SPLITS:
        names = _SPLIT_NAMES[split]
        folder = _sub(root, names)
        candidates = [
            (images and _sub(images, names), masks and _sub(masks, names)),
            (folder and _sub(folder, _IMAGE_FOLDERS), folder and _sub(folder, _MASK_FOLDERS)),
            (folder, _sub(root, [f"{name}annot" for name in names])),
        ]
        complete = [(image, mask) for image, mask in candidates if image and mask]
        if len(complete) > 1:
            raise DataError(
                f"{root}: two layouts at once for {split}: {complete[0][0]} and {complete[1][0]}. "
                "Say which one counts in a dataset.toml."
            )
        if complete:
            found[split] = complete[0]
    if images and masks:
        if found and not any(images in image.parents for image, _ in found.values()):
            (one, _), *_ = found.values()
            raise DataError(
                f"{root}: two layouts at once: {one} and {images}. Say which one counts in a dataset.toml."
            )
        found = found or {"train": (images, masks)}
    return found


def _lone_splits(root: Path, found: Mapping[str, tuple[Path, Path]]) -> list[Path]:
    """Folders of a split that has images but no masks, or masks but no images, while other splits have both."""
    parents = [_sub(root, _IMAGE_FOLDERS), _sub(root, _MASK_FOLDERS)]
    if found.get("train") == tuple(parents):  # without splits: every file is looked at anyway
        return []
    lone = []
    for split in (split for split in SPLITS if split not in found):
        names = _SPLIT_NAMES[split]
        folder = _sub(root, names)
        lone += [_sub(parent, names) for parent in parents if parent]
        lone += [_sub(folder, both) for both in (_IMAGE_FOLDERS, _MASK_FOLDERS) if folder]
        lone += [folder for image, _ in list(found.values())[:1] if image.parent == root]  # as train + trainannot
    return [folder for folder in lone if folder]


def _sub(folder: Path, names: Sequence[str]) -> Path | None:
    """The sub-folder that has one of `names`."""
    found = [folder / name for name in names if (folder / name).is_dir()]
    if len(found) > 1:
        raise DataError(
            f"{folder}: has both {found[0].name}/ and {found[1].name}/. Say which one counts in a dataset.toml."
        )
    return found[0] if found else None


def _files(folder: Path, suffixes: frozenset[str]) -> list[Path]:
    """All files below `folder` with one of `suffixes`, sorted; hidden ones are not anybody's pictures."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in suffixes
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
        and path.is_file()
    )


def _mask_ending(path: Path) -> str:
    return next((ending for ending in MASK_ENDINGS if path.stem.lower().endswith(ending)), "")


def _pair(image_folder: Path, mask_folder: Path) -> tuple[tuple[Pair, ...], list[Path]]:
    """Pairs the files of two folders by their names, and names the files that are left alone."""
    images, masks = _files(image_folder, IMAGE_SUFFIXES), _files(mask_folder, MASK_SUFFIXES)
    if image_folder == mask_folder:
        images = [path for path in images if not _mask_ending(path)]
        masks = [path for path in masks if _mask_ending(path)]
    image_of = _by_name(images, image_folder, "images")
    plain = _by_name([path for path in masks if _key(path, mask_folder) in image_of], mask_folder, "masks")
    ending = _by_name([path for path in masks if _key(path, mask_folder) not in image_of], mask_folder, "masks")
    mask_of = dict(plain)
    for key, path in ending.items():
        stripped = key[: -len(_mask_ending(path))] if _mask_ending(path) else key
        if stripped in mask_of:
            raise DataError(f"{mask_of[stripped]} and {path}: two masks for one image. Remove one of them.")
        mask_of[stripped] = path
    pairs = tuple(Pair(key, image_of[key], mask_of[key]) for key in sorted(image_of.keys() & mask_of.keys()))
    alone = [image_of[key] for key in image_of.keys() - mask_of.keys()]
    alone += [mask_of[key] for key in mask_of.keys() - image_of.keys()]
    return pairs, sorted(alone)


def _key(path: Path, folder: Path) -> str:
    return path.relative_to(folder).with_suffix("").as_posix()


def _by_name(paths: Sequence[Path], folder: Path, kind: str) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in paths:
        key = _key(path, folder)
        if key in found:
            raise DataError(f"{found[key]} and {path}: two {kind} of one name. Remove or rename one of them.")
        found[key] = path
    return found


def _draw_val(
    pairs: tuple[Pair, ...], share: float, scene_separator: str
) -> tuple[tuple[Pair, ...], tuple[Pair, ...]]:
    """Draws a validation split by a hash of each scene's name; at least one scene on either side."""
    scenes = {pair.name: _scene(pair.name, scene_separator) for pair in pairs}
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


def _scene(name: str, separator: str) -> str:
    """The folder, and the file's name up to the first separator."""
    folder, slash, file = name.rpartition("/")
    return folder + slash + (file.split(separator)[0] if separator else file)


def _hash_share(name: str) -> float:
    """A number in [0, 1) that depends on the name alone."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8]) / 2**64
