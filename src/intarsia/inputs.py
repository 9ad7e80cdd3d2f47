"""What is to be predicted: files, folders, patterns and lists of them -> pictures, each with its place."""

import glob
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from intarsia.errors import DataError, SettingsError, listing
from intarsia.raster.frames import is_frames
from intarsia.raster.opening import SUFFIXES, refuse_remote

_LIST = ".txt"
_PATTERN = re.compile(r"[*?\[]")


def find_images(inputs: Sequence[str | Path], out: Path) -> dict[Path, Path]:
    """{path of the result without suffix: image file}, in order; what lies in `out` are earlier results.

    Args:
        inputs: files; folders, searched with their sub-folders; patterns such as `flight/*/a.tif`, of files other
            than text files and of folders, whose results have the path below the folder in front of the first
            wildcard; text files (.txt) with a path in each line, relative to that file.
        out: the folder of the results.

    Raises:
        SettingsError: an input folder lies in `out`, where everything counts as an earlier result.
        DataError: an input is missing or is no file here, nothing was found, or two images would have one result.
            So would a video, whose frames lie in a folder of its name, and an image from a folder of that name.
    """
    found: dict[Path, Path] = {}
    for path, relative in (entry for given in inputs for entry in _entries(given, out)):
        result = relative.with_suffix("")
        if result in found and found[result] != path:
            raise DataError(f"{found[result]} and {path}: both would be written as {result}. Predict one apart.")
        found[result] = path
    for result, path in found.items():
        for frames in result.parents:
            if frames in found and is_frames(found[frames]):
                raise DataError(
                    f"{found[frames]} and {path}: the frames of the first would be written as {frames}, where the "
                    "second's result lies. Predict one apart."
                )
    if not found:
        raise DataError(f"No images in {', '.join(map(str, inputs))}. Read are {', '.join(sorted(SUFFIXES))}.")
    return found


def _entries(given: str | Path, out: Path, lists: tuple[Path, ...] = ()) -> Iterator[tuple[Path, Path]]:
    """Image files of one input, each with its path below it; `lists` are those that it stands in."""
    refuse_remote(given)
    path = Path(given)
    there = _exists(path)
    if there and path.is_dir():
        yield from _images_in(path, out)
    elif there and path.suffix.lower() == _LIST:
        for line in _lines(path, lists):
            refuse_remote(line)
            yield from _entries(path.parent / line, out, (*lists, path.resolve()))
    elif there:
        yield path, Path(path.name)
    elif _PATTERN.search(str(path)):
        yield from _matches(path, out)
    else:
        raise DataError(f"{path}: does not exist.")


def _matches(pattern: Path, out: Path) -> Iterator[tuple[Path, Path]]:
    """Image files that a pattern matches, or that lie in folders that it matches."""
    root = next(folder for folder in pattern.parents if _exists(folder))  # whatever characters are in its name
    below = str(pattern.relative_to(root))
    found = glob.glob(below, root_dir=root, recursive=True)  # noqa: PTH207 - Path.glob takes hidden files too
    matches = sorted(map(Path, found))
    if not matches:
        raise DataError(f"{pattern}: matches no file.")
    if any(".." in match.parts for match in matches):
        raise DataError(f"{pattern}: leads up again behind a wildcard. Leave the `..` out.")
    pictures = [match for match in matches if match.suffix.lower() != _LIST or (root / match).is_dir()]
    if not pictures:
        raise DataError(
            f"{pattern}: matches no picture but {listing(matches)}. A list of paths is given by its name."
        )
    for match in pictures:
        path = root / match
        if is_below(path, out):
            continue
        if path.is_dir():
            yield from ((image, match / below) for image, below in _images_in(path, out))
        else:
            yield path, match


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # too long for a name: the line of a text that is no list
        return False


def _lines(path: Path, lists: tuple[Path, ...]) -> Iterator[str]:
    """The paths in a list."""
    if path.resolve() in lists:
        raise DataError(f"{path}: names itself, or a list that names it. Take that line out.")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise DataError(f"{path}: is no list of paths: its text is not in UTF-8. Save it as such.") from None
    yield from filter(None, map(str.strip, text.splitlines()))


def _images_in(folder: Path, out: Path) -> Iterator[tuple[Path, Path]]:
    if is_below(folder, out):
        raise SettingsError(f"--out {out}: holds the input folder {folder}. Choose one beside or below it.")
    for path in sorted(folder.rglob("*")):
        if _is_image(path, folder) and not is_below(path, out):
            yield path, path.relative_to(folder)


def _is_image(path: Path, root: Path) -> bool:
    hidden = any(part.startswith(".") for part in path.relative_to(root).parts)
    return path.suffix.lower() in SUFFIXES and not hidden and path.is_file()


def is_below(path: Path, folder: Path) -> bool:
    """Whether a path lies in a folder, links followed."""
    return path.resolve().is_relative_to(folder.resolve())
