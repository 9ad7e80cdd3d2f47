"""What masks in colours or with a palette mean: the dataset's own list, a known palette, or a class a colour."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from intarsia.data.check.findings import Finding
from intarsia.data.check.meaning import MOST_NOISE, Meaning, note, snapped, too_noisy
from intarsia.data.check.records import MaskRecord
from intarsia.data.check.tally import Tally
from intarsia.data.check.values import of_values
from intarsia.data.pairs import Dataset
from intarsia.data.palettes import find_palette
from intarsia.errors import listing
from intarsia.labels import IGNORE, Labels, packed, unpacked

_MOST_CLASSES = 256
_BLACK = (0, 0, 0)
_FEWEST_BETWEEN = 16  # colours that fill no area before they are called noise, and no thin classes
_SPACING = 64.0  # of colours, so that noise can be told from classes
_ANY = 442.0  # the distance from black to white: every colour has a nearest class
_MOST_STRAYS = 64  # colours that are no class's and are named one by one


def of_colors(dataset: Dataset, tally: Tally) -> Meaning:
    """Concludes from the colours of masks."""
    ignored = [unpacked(value) for value in dataset.ignore]
    tally = tally.without(dataset.ignore)
    if dataset.known_colors:
        known = Labels.of_colors(list(dataset.known_colors.values()), ignored, list(dataset.known_colors))
        return _with_noise(known, tally, "colours of the dataset's own list")
    if tally.noisy(_FEWEST_BETWEEN) or len(tally.values) > _MOST_CLASSES:
        kept = tally.peaks(_points(tally.values.tolist()), _SPACING)
    else:
        kept = np.flatnonzero(~tally.stray).tolist()
    own = [unpacked(value) for value in tally.values[kept].tolist()]
    if not 2 <= len(own) <= _MOST_CLASSES:
        return too_noisy(tally, 1.0, "colours")
    palette = find_palette(own)
    if palette is None:
        meaning = _with_noise(Labels.of_colors(own, ignored), tally, f"{len(own)} colours")
        return replace(meaning, findings=(*meaning.findings, *_unnamed(dataset.names)))
    named = {name: color for name, color in palette.colors.items() if color in own}
    words = f"Mask colours are those of {palette.name}: classes {listing(named, 12)}."
    if _BLACK in own and _BLACK not in named.values():
        named = {"background": _BLACK, **named}
        words += ' Black is none of them: taken for background, unless the dataset file says ignore = ["#000000"].'
    labels = Labels.of_colors(list(named.values()), ignored, list(named))
    meaning = _with_noise(labels, tally, f"{len(named)} colours of {palette.name}")
    return replace(meaning, findings=(Finding("palette", words, count=len(named)), *meaning.findings))


def _unnamed(names: Sequence[str]) -> list[Finding]:
    """Names without colours say nothing of colour masks: which of them is which colour?"""
    if not names:
        return []
    words = f"The classes have names ({listing(names, 12)}), but nobody said their colours: they are not used."
    mend = 'give each its colour in a dataset file, as in road = "#804080" (--fix writes one with the colours)'
    return [Finding("names-without-colors", words, mend, count=len(names))]


def _with_noise(labels: Labels, tally: Tally, words: str) -> Meaning:
    """Colours that are no class's: noise goes to the nearest class, a few are reported later with their files."""
    unknown = int((labels.classes_of(tally.values) < 0).sum())
    if unknown <= _MOST_STRAYS and not tally.noisy(_FEWEST_BETWEEN):
        return Meaning(labels, words, (note(f"Masks are {words}."),))
    classes = _points(value for own in labels.values for value in own)
    off = tally.share_off(_points(tally.values.tolist()), classes, _SPACING / 2)
    return too_noisy(tally, off, "colours") if off > MOST_NOISE else snapped(labels, _ANY, off, words)


def _points(values: Iterable[int]) -> NDArray[np.float64]:
    """[N, 3] red, green, blue."""
    return np.array([unpacked(value) for value in values], dtype=np.float64)


def colors_tell(records: Sequence[MaskRecord]) -> bool:
    """Whether one colour has different indices in different masks: then colours are the classes, not indices."""
    value_of: dict[int, int] = {}
    pairs = {
        pair for record in records for pair in zip(record.values.tolist(), record.colors.tolist(), strict=True)
    }
    return any(value_of.setdefault(color, value) != value for value, color in sorted(pairs)) and len(
        {value for value, _ in pairs}
    ) < len(pairs)


def of_palette(dataset: Dataset, records: Sequence[MaskRecord], tally: Tally) -> Meaning:
    """Concludes from indices with a palette: its colours tell names where a list is known, and are shown."""
    shown = _palette(records)
    name_of = {packed(color): name for name, color in dataset.known_colors.items()}
    values = [value for value in tally.values.tolist() if value != IGNORE or shown[value] in name_of]
    if name_of and all(shown[value] in name_of for value in values):
        value_of = {name_of[shown[value]]: value for value in values}
        names = [name for name in dataset.known_colors if name in value_of]
        labels = Labels.of_values([value_of[name] for name in names], dataset.ignore, names)
        labels = replace(labels, colors=tuple(dataset.known_colors[name] for name in names))
        words = "a palette with the colours of the dataset's own list"
        return Meaning(labels, words, (note(f"Masks have {words}."),))
    if name_of and not dataset.names:
        dataset = replace(dataset, names=tuple(dataset.known_colors))
    meaning = of_values(dataset, tally)
    return meaning if meaning.labels is None else _shown_in(meaning, meaning.labels, shown)


def _shown_in(meaning: Meaning, labels: Labels, shown: dict[int, int]) -> Meaning:
    """Takes the classes' colours from the palette, where it is one of different colours and no grey ramp."""
    own = [unpacked(shown.get(values[0], 0)) for values in labels.values]
    if len(set(own)) < len(own) or all(len(set(color)) == 1 for color in own):
        return meaning
    palette = find_palette(own)
    words = f"Mask palettes show the colours of {palette.name}." if palette else ""
    told = (Finding("palette", words, count=len(own)),) if palette else ()
    labels = replace(labels, colors=tuple(own))
    return Meaning(labels, f"{meaning.encoding}, with a palette", (*meaning.findings, *told))


def _palette(records: Sequence[MaskRecord]) -> dict[int, int]:
    """{value: its colour}, of the first mask that holds it."""
    found: dict[int, int] = {}
    for record in records:
        for value, color in zip(record.values.tolist(), record.colors.tolist(), strict=True):
            found.setdefault(value, color)
    return found
