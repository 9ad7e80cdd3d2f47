"""Finding files below folders, and pairing images with masks by their names.

Whatever is no ordinary file is never opened, and is named: broken links, pipes, circles of links, what file
managers leave behind.
"""

import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from intarsia.data.pairs import Pair, Stray
from intarsia.data.read import IMAGE_SUFFIXES, MASK_SUFFIXES

MASK_ENDINGS = ("_mask", "_label", "_gt", "_seg")
_LEFT_BEHIND = frozenset({"thumbs.db", "desktop.ini", "__macosx"})

_Identity = tuple[int, int]  # of a folder, whatever path leads to it: its device and its number there


@dataclass(frozen=True)
class Listing:
    """The files below a folder.

    Attributes:
        folder: the folder.
        files: paths below it, sorted, with `/` between parts.
        strays: what is no ordinary file, and what file managers leave behind.
    """

    folder: Path
    files: tuple[str, ...]
    strays: tuple[Stray, ...]


def list_files(folder: Path, suffixes: Collection[str]) -> Listing:
    """All files below `folder` with one of `suffixes` (upper case too).

    Links are followed, but in no circle. Of several links to one folder the first is followed: links that branch
    would lead to the same files in ever more ways.
    """
    files: list[str] = []
    odd: dict[str, list[Path]] = {}
    for relative, kind in _walk(folder):
        if kind:
            odd.setdefault(kind, []).append(folder / relative)
        elif os.path.splitext(relative)[1].lower() in suffixes:  # noqa: PTH122 - a Path for each takes seconds
            files.append(relative)
    strays = tuple(Stray(kind, tuple(sorted(paths))) for kind, paths in sorted(odd.items()))
    return Listing(folder, tuple(sorted(files)), strays)


def _walk(folder: Path) -> Iterator[tuple[str, str]]:
    """(path below `folder`, "") for each file, or with the finding that it becomes."""
    linked: set[_Identity] = set()
    waiting = [(str(folder), "", frozenset(map(_identity, folder.resolve().parents)), False)]
    while waiting:
        path, below, outer, by_link = waiting.pop()
        try:
            own = _identity(path)
            if own in outer:
                yield below.rstrip("/"), "link-circle"
                continue
            if by_link and own in linked:
                continue
            entries = sorted(os.scandir(path), key=lambda entry: entry.name, reverse=True)
        except OSError:
            yield below.rstrip("/"), "unreadable"
            continue
        if by_link:
            linked.add(own)
        outer |= {own}
        for entry in entries:  # backwards, as the last that waits comes next
            relative, kind = below + entry.name, _kind_or_left_behind(entry)
            if kind == "folder":
                waiting.append((entry.path, relative + "/", outer, entry.is_symlink()))
            elif kind != "hidden":
                yield relative, "" if kind == "file" else kind


def _identity(folder: str | Path) -> _Identity:
    status = Path(folder).stat()
    return status.st_dev, status.st_ino


def _kind_or_left_behind(entry: os.DirEntry[str]) -> str:
    """As `_kind`; `hidden`, or `junk` where a file manager left it behind."""
    name = entry.name
    if not _is_left_behind(name):
        return _kind(entry)
    return "junk" if name.startswith("._") or name == ".DS_Store" or not name.startswith(".") else "hidden"


def _kind(entry: os.DirEntry[str]) -> str:
    """`folder`, `file`, or the finding that anything else becomes; links are followed."""
    try:
        if entry.is_dir():
            return "folder"
        if entry.is_file():
            return "file"
        entry.stat()  # fails where a link leads nowhere
    except PermissionError:
        return "unreadable"
    except OSError:
        return "broken-link"
    return "not-a-file"


def folders_in(folder: Path) -> tuple[str, ...]:
    """Names of the folders in a folder, sorted, without hidden ones; none where it cannot be looked into."""
    return tuple(name for name, kind in _entries(folder) if kind == "folder")


def files_in(folder: Path, suffixes: Collection[str]) -> tuple[str, ...]:
    """Names of the files in a folder that have one of `suffixes`, sorted, without hidden ones; as `folders_in`."""
    return tuple(
        name
        for name, kind in _entries(folder)
        if kind == "file" and os.path.splitext(name)[1].lower() in suffixes  # noqa: PTH122 - as in list_files
    )


def _entries(folder: Path) -> tuple[tuple[str, str], ...]:
    try:
        return _entries_of(str(folder), folder.stat().st_mtime_ns)
    except OSError:
        return ()


def forget_entries() -> None:
    """Forgets what is in folders: it is looked up by one format after the other, and takes memory."""
    _entries_of.cache_clear()


@lru_cache(maxsize=64)
def _entries_of(folder: str, changed: int) -> tuple[tuple[str, str], ...]:
    """(name, kind) of what is in a folder that last `changed` then, sorted."""
    with os.scandir(folder) as entries:
        return tuple(sorted((entry.name, _kind(entry)) for entry in entries if not _is_left_behind(entry.name)))


def _is_left_behind(name: str) -> bool:
    return name.startswith(".") or name.lower() in _LEFT_BEHIND


@dataclass
class Pairing:
    """Pairs found so far, and the files that have no partner, or too many."""

    pairs: list[Pair] = field(default_factory=list)
    strays: list[Stray] = field(default_factory=list)

    def stray(self, finding: str, paths: Iterable[Path], about: str = "", pair: str = "") -> None:
        """Notes files that belong to no pair."""
        if paths := tuple(paths):
            self.strays.append(Stray(finding, paths, about, pair))


def pair_folders(image_folder: Path, mask_folder: Path, endings: Sequence[str] = MASK_ENDINGS) -> Pairing:
    """Pairs the files of two folders by their path below them without suffix; one folder for both may do.

    A mask may have one of `endings` after the image's name, and must in a folder that holds the images too.
    """
    images = list_files(image_folder, IMAGE_SUFFIXES)
    masks = images if image_folder == mask_folder else list_files(mask_folder, MASK_SUFFIXES)
    image_files, mask_files = images.files, masks.files
    if image_folder == mask_folder:
        masks_too = list_files(mask_folder, MASK_SUFFIXES).files
        image_files = tuple(file for file in images.files if not mask_ending(without_suffix(file), endings))
        mask_files = tuple(file for file in masks_too if mask_ending(without_suffix(file), endings))
    result = Pairing(strays=list(images.strays))
    if masks is not images:
        result.strays += masks.strays
    image_of = by_name(image_files)
    mask_of: dict[str, list[str]] = {}
    for name, files in by_name(mask_files).items():
        ending = mask_ending(name, endings)
        own = name if name in image_of or not ending else name[: -len(ending)]
        mask_of.setdefault(own, []).extend(files)
    match(image_folder, image_of, mask_folder, mask_of, result)
    return result


def match(
    image_folder: Path,
    image_of: Mapping[str, Sequence[str]],
    mask_folder: Path,
    mask_of: Mapping[str, Sequence[str]],
    result: Pairing,
) -> None:
    """Adds a pair for each name that has one image and one mask, and notes the others."""
    alone: list[Path] = []
    for name in sorted(image_of.keys() | mask_of.keys()):
        images = [image_folder / file for file in image_of.get(name, ())]
        masks = [mask_folder / file for file in mask_of.get(name, ())]
        if len(images) == 1 and len(masks) == 1:
            result.pairs.append(Pair(name, images[0], masks[0]))
        elif not images or not masks:
            alone += images + masks
        else:
            kind = "images" if len(images) > 1 else "masks"
            result.stray("ambiguous", images if len(images) > 1 else masks, f"two {kind} of one name", name)
    result.stray("unpaired", alone)


def by_name(files: Iterable[str]) -> dict[str, list[str]]:
    """{path without suffix: files of that name}."""
    found: dict[str, list[str]] = {}
    for file in files:
        found.setdefault(without_suffix(file), []).append(file)
    return found


def short_names(images: Sequence[Path]) -> list[str]:
    """A name for each of several different pictures, wherever they lie: the path below their common folder.

    Without suffix, unless two were alike then.
    """
    if not images:
        return []
    common = os.path.commonpath([image.parent.absolute() for image in images])
    files = [image.absolute().relative_to(common).as_posix() for image in images]
    names = by_name(files)
    return [file if len(names[without_suffix(file)]) > 1 else without_suffix(file) for file in files]


def without_suffix(file: str) -> str:
    """`sub/a.b.png` -> `sub/a.b`."""
    return file[: file.rindex(".")]


def mask_ending(name: str, endings: Sequence[str] = MASK_ENDINGS) -> str:
    """The one of `endings` that a name without suffix has, upper or lower case, or an empty text."""
    return next((ending for ending in endings if name.lower().endswith(ending.lower())), "")
