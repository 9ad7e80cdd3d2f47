"""Examinations of files: strays, what cannot be decoded, sizes, bands, depths, constant and empty pictures."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from intarsia.data.check.findings import KINDS, MOST_FILES, Finding, first_files
from intarsia.data.check.looks import Look
from intarsia.data.check.records import ImageRecord
from intarsia.data.pairs import Dataset, Stray
from intarsia.errors import counted, listing

_MOSTLY = 0.5  # share of the pixels of a band
_SETTINGS = {"size-exif": ('mend = ["exif"]',), "size-scaled": ('mend = ["resize"]',)}


def strays(dataset: Dataset) -> Iterator[Finding]:
    """Files beside the pairs, each kind once."""
    grouped: dict[str, list[Stray]] = {}
    for stray in dataset.strays:
        grouped.setdefault(stray.finding, []).append(stray)
    for finding, found in grouped.items():
        paths = [path for stray in found for path in stray.paths]
        about = "; ".join(dict.fromkeys(stray.about for stray in found if stray.about))
        what = about or KINDS[finding].what
        names = tuple(stray.pair for stray in found if stray.pair)
        where = f": {listing(paths)}" if paths else ""
        yield Finding(finding, what + where, count=max(1, len(paths)), files=first_files(paths), exclude=names)


def troubles(looks: Sequence[Look], name: Callable[[Look], str]) -> Iterator[Finding]:
    """Pairs that cannot be used, grouped by what is the matter."""
    grouped: dict[str, list[Look]] = {}
    for look in looks:
        if look.record.trouble:
            grouped.setdefault(look.record.trouble, []).append(look)
        if look.record.mistyped:
            grouped.setdefault("mistyped", []).append(look)
    for finding, found in grouped.items():
        names = tuple(map(name, found))
        abouts = [look.record.mistyped if finding == "mistyped" else look.record.about for look in found]
        mended = finding in _SETTINGS or finding == "mistyped"
        yield Finding(
            finding,
            abouts[0] + (f" And {len(found) - 1} more: {listing(names[1:])}." if len(found) > 1 else ""),
            count=len(found),
            files=tuple(_concerned(look, about) for look, about in zip(found[:MOST_FILES], abouts, strict=False)),
            pairs=names,
            exclude=() if mended else names,
            settings=_SETTINGS.get(finding, ()),
        )


def _concerned(look: Look, about: str) -> str:
    """The file of a pair that its message begins with."""
    return next((str(path) for path in look.pair.files if about.startswith(str(path))), str(look.pair.image))


def odd_ones(looks: Sequence[Look], name: Callable[[Look], str]) -> Iterator[Finding]:
    """Images unlike the others in bands or depth, constant ones, and those that are mostly without data."""
    images = [(look, look.record.image) for look in looks if look.record.image is not None]
    bands = Counter(image.bands for _, image in images)
    if len(bands) > 1 and set(bands) != {1, 3}:
        usual = bands.most_common(1)[0][0]
        odd = [(look, image) for look, image in images if image.bands != usual]
        yield _odd("bands", odd, name, f"{usual} bands", lambda image: f"{image.bands} bands")
    depths = Counter(image.dtype for _, image in images)
    if len(depths) > 1:
        usual_depth = depths.most_common(1)[0][0]
        odd = [(look, image) for look, image in images if image.dtype != usual_depth]
        yield _odd("bit-depth", odd, name, usual_depth, lambda image: image.dtype)
    constant = [look for look, image in images if image.constant]
    if constant:
        yield Finding(
            "constant-image",
            f"{counted(len(constant), 'image')} of one colour: {listing(look.pair.image for look in constant)}",
            count=len(constant),
            files=first_files([look.pair.image for look in constant]),
            pairs=tuple(map(name, constant)),
            exclude=tuple(map(name, constant)),
        )
    empty = [(look, image) for look, image in images if image.unknown > _MOSTLY]
    if empty:
        shown = listing(f"{look.pair.image} ({image.unknown:.0%})" for look, image in empty)
        yield Finding(
            "no-data",
            f"{counted(len(empty), 'image')} with a band of which more than half is no data: {shown}. The network "
            "sees the band's mean there; a pixel without data in all bands counts for nothing.",
            count=len(empty),
            files=first_files([look.pair.image for look, _ in empty]),
            pairs=tuple(name(look) for look, _ in empty),
        )


def _odd(
    finding: str,
    odd: Sequence[tuple[Look, ImageRecord]],
    name: Callable[[Look], str],
    usual: str,
    has: Callable[[ImageRecord], str],
) -> Finding:
    examples = listing(f"{look.pair.image} ({has(image)})" for look, image in odd)
    return Finding(
        finding,
        f"Most images have {usual}, but not {examples}. All must have the same.",
        count=len(odd),
        files=first_files([look.pair.image for look, _ in odd]),
        pairs=tuple(name(look) for look, _ in odd),
        exclude=tuple(name(look) for look, _ in odd),
    )
