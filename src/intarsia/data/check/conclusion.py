"""What the masks' values mean: told by the dataset, or concluded from all masks together, and then always said.

A conclusion is drawn only where the values themselves leave one reading: 0..K, 1..N, 0 and 255, an even grey ramp,
colours, object numbers. Everything else is an error with the mend.
"""

from collections.abc import Sequence

from intarsia.data.check.colors import of_colors, of_palette
from intarsia.data.check.meaning import Meaning
from intarsia.data.check.records import MaskRecord
from intarsia.data.check.tally import Tally
from intarsia.data.check.values import are_object_numbers, channels, objects, of_values
from intarsia.data.pairs import Dataset

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
    kinds = {record.kind for record in records}
    if dataset.encoding == "colors" or (dataset.encoding is None and "colors" in kinds):
        in_bands = [record.kind != "channels" for record in records]
        return of_colors(dataset, Tally.of(_chosen(records, in_bands), _chosen(sizes, in_bands), as_colors=True))
    tally = Tally.of(records, sizes, as_colors=False).without(dataset.ignore)
    if dataset.encoding == "objects":
        return objects(dataset)
    if dataset.encoding == "channels" or (dataset.encoding is None and kinds == {"channels"}):
        return channels(dataset, tally)
    if dataset.encoding is None and len(dataset.names) <= 2 and are_object_numbers(records):
        return objects(dataset)
    return of_palette(dataset, records, tally) if kinds == {"palette"} else of_values(dataset, tally)


def _chosen(items: Sequence, chosen: Sequence[bool]) -> list:  # type: ignore[type-arg]
    return [item for item, wanted in zip(items, chosen, strict=True) if wanted]
