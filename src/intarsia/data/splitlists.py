"""Text files that list the names of a split's pictures, one on each line, as Pascal VOC has them."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from intarsia.data.foreign import read_text
from intarsia.data.pairing import Pairing, by_name, list_files, match
from intarsia.data.pairs import Pair, Stray
from intarsia.data.read import IMAGE_SUFFIXES, MASK_SUFFIXES
from intarsia.errors import listing


def pair_listed(
    images: Path, masks: Path, lists: Mapping[str, Path]
) -> tuple[dict[str, tuple[Pair, ...]], tuple[Stray, ...]]:
    """Pairs the files of two folders that lists name.

    Args:
        images: the folder of images.
        masks: the folder of masks.
        lists: {split: its list}.

    Returns:
        The splits; and as strays, what a list names that is not there or has no partner, and masks in no list.
        Pictures without a mask that no list names are no strays: such sets hold pictures for other tasks too.

    Raises:
        DataError: a list is no text.
    """
    image_files, mask_files = list_files(images, IMAGE_SUFFIXES), list_files(masks, MASK_SUFFIXES)
    image_of, mask_of = by_name(image_files.files), by_name(mask_files.files)
    strays = [*image_files.strays, *mask_files.strays]
    splits: dict[str, tuple[Pair, ...]] = {}
    unlisted = set(mask_of)
    for split, path in lists.items():
        names = _names(path, image_of.keys() | mask_of.keys())
        unlisted.difference_update(names)
        found = Pairing()
        match(images, _only(image_of, names), masks, _only(mask_of, names), found)
        if not any(name in mask_of for name in names):  # as the test pictures of a challenge
            found = Pairing()
            found.stray("unpaired", [path], "a list of pictures of which none has a mask")
        if absent := [name for name in names if name not in image_of and name not in mask_of]:
            found.stray("missing-image", [path], f"names in a list without a picture ({listing(absent)})")
        if found.pairs:
            splits[split] = tuple(found.pairs)
        strays += found.strays
    if unlisted:
        paths = tuple(masks / file for name in sorted(unlisted) for file in mask_of[name])
        strays.append(Stray("unpaired", paths, "masks that no list of a split names"))
    return splits, tuple(strays)


def _names(path: Path, known: set[str]) -> list[str]:
    """The names in a list; of lines with several columns the first, unless the whole line is a name."""
    lines = [line.strip() for line in read_text(path).splitlines()]
    names = [line if line in known else line.split()[0] for line in lines if line and not line.startswith("#")]
    return list(dict.fromkeys(names))


def _only(files: Mapping[str, Sequence[str]], names: Sequence[str]) -> dict[str, Sequence[str]]:
    return {name: files[name] for name in names if name in files}
