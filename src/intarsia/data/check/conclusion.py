"""What the masks' values mean: told by the dataset, or concluded from all masks together, and then always said.

A conclusion is drawn only where the values themselves leave one reading: 0..K, 1..N, 0 and 255, an even grey ramp,
colours, object numbers. Everything else is an error with the mend.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from intarsia.data.check.colors import colors_tell, of_colors, of_palette
from intarsia.data.check.meaning import Meaning
from intarsia.data.check.records import MaskRecord
from intarsia.data.check.tally import Tally
from intarsia.data.check.values import are_object_numbers, channels, objects, of_values
from intarsia.data.pairs import Dataset
from intarsia.labels import IGNORE

_IN_WORDS = {
    "values": "values",
    "colors": "colours",
    "channels": "one band for each class",
    "objects": "object numbers",
}


def conclude(dataset: Dataset, records: Sequence[MaskRecord], sizes: Sequence[tuple[int, int]]) -> Meaning:
    """Concludes what the values of masks mean.

    Args:
        dataset: what it declares counts.
        records: of all masks that could be read.
        sizes: (height, width) of each.
    """
    if dataset.labels is not None:
        return Meaning(dataset.labels, f"{_IN_WORDS[dataset.labels.encoding]}, as declared")
    odd = _written_otherwise(records) if dataset.encoding is None else frozenset()
    usual = [index for index in range(len(records)) if index not in odd]
    meaning = _conclude(dataset, [records[index] for index in usual], [sizes[index] for index in usual])
    return replace(meaning, odd=odd)


def _conclude(dataset: Dataset, records: Sequence[MaskRecord], sizes: Sequence[tuple[int, int]]) -> Meaning:
    kinds = {record.kind for record in records}
    if dataset.encoding == "colors" or (dataset.encoding is None and "colors" in kinds):
        return of_colors(dataset, Tally.of(records, sizes, as_colors=True))
    tally = Tally.of(records, sizes, as_colors=False).without(dataset.ignore)
    if dataset.encoding == "objects":
        return objects(dataset)
    if dataset.encoding == "channels" or (dataset.encoding is None and kinds == {"channels"}):
        return channels(dataset, tally)
    if dataset.encoding is None and len(dataset.names) <= 2 and are_object_numbers(records):
        return objects(dataset)
    if kinds == {"palette"} and dataset.encoding is None and colors_tell(records):
        return of_colors(dataset, Tally.of(records, sizes, as_colors=True))
    return of_palette(dataset, records, tally) if kinds == {"palette"} else of_values(dataset, tally)


def _written_otherwise(records: Sequence[MaskRecord]) -> frozenset[int]:
    """Indices of the fewer masks, where some are written in one way and some in another.

    Bands beside colours; grey beside colours, of which it holds none; 0 and 255 beside class indices, where no mask
    holds 255 together with one of these.
    """
    in_bands = {index for index, record in enumerate(records) if record.kind == "channels"}
    in_colors = {index for index, record in enumerate(records) if record.kind == "colors"}
    single = set(range(len(records))) - in_bands - in_colors
    if in_colors:
        shown = set(np.concatenate([records[index].colors for index in in_colors]).tolist())
        exact = {index for index in single if not records[index].lossy}  # JPEG has greys of its own
        foreign = {index for index in exact if not shown.issuperset(records[index].colors.tolist())}
        groups = [in_bands, in_colors | (single - foreign), foreign]
    else:
        held = {index: set(records[index].values.tolist()) for index in single}
        whites = {index for index, values in held.items() if values == {0, IGNORE}}
        numbers = {index for index, values in held.items() if values - {0, IGNORE}}
        together = any(IGNORE in held[index] for index in numbers)
        groups = [in_bands, single - whites, whites] if numbers and not together else [in_bands, single]
    most = max(groups, key=len)
    return frozenset(index for group in groups if group is not most for index in group)
