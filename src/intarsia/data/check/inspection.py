"""The inspection: every pair looked at, the values given a meaning, everything examined, training's numbers."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from intarsia.data.check import classes, files, placement, similar
from intarsia.data.check.conclusion import conclude
from intarsia.data.check.findings import SEVERITIES, Finding, Severity
from intarsia.data.check.looks import Look, Progress, look_at_all, stamps_of
from intarsia.data.check.meaning import Meaning
from intarsia.data.check.memory import key_of, recall, remember, understood
from intarsia.data.check.void import void
from intarsia.data.pairs import Dataset
from intarsia.errors import DataError
from intarsia.labels import Labels
from intarsia.weights import class_weights

_MOST_ERRORS = 10
_MOST_CONCLUSIONS = 7  # that are kept besides the newest: for other splits and options


@dataclass(frozen=True)
class Inspection:
    """What the files of a dataset hold, and what is the matter with them.

    Attributes:
        dataset: what was inspected.
        findings: errors first.
        labels: the classes; None where nobody can tell.
        encoding: what the masks are, in words.
        bands: bands of the images; 3 where some have 1 and others 3.
        mean: for each band, over all training pixels that are numbers, in the files' own units.
        std: the same; never 0.
        dtype: of the training images: uint8, uint16 or float32; the commonest.
        size: median height and width of the training images.
        counts: {split: [C] pixels of each class, where the image has data}.
        weights: of the classes, as training would take them.
        decoded_bytes: of all images and masks together, in memory.
    """

    dataset: Dataset
    findings: tuple[Finding, ...]
    labels: Labels | None
    encoding: str
    bands: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    dtype: str
    size: tuple[int, int]
    counts: Mapping[str, NDArray[np.int64]]
    weights: tuple[float, ...]
    decoded_bytes: int

    @cached_property
    def looks(self) -> Sequence[Look]:
        """Every pair, and what was seen of it."""
        return look_at_all(self.dataset, _in_silence)

    @property
    def ok(self) -> bool:
        """Whether there is no error."""
        return not self.of_severity("error")

    def of_severity(self, severity: Severity) -> tuple[Finding, ...]:
        """The findings of one severity."""
        return tuple(finding for finding in self.findings if finding.severity == severity)

    def below_root(self, text: str) -> str:
        """A text in which paths are told as seen from the dataset's folder."""
        root = self.dataset.root
        folder = str(root.parent if root.is_file() else root)
        return re.sub(rf"(?<![\w.\\/-]){re.escape(folder)}[\\/]", "", text)

    def refuse_errors(self) -> Labels:
        """The classes of a dataset without errors.

        Raises:
            DataError: there are errors; the first ten are in its message, each with its mend.
        """
        errors = self.of_severity("error")
        if errors or self.labels is None:
            texts = [f"{error.message}\n  mend: {error.mend}" for error in errors[:_MOST_ERRORS]]
            raise DataError(f"{self.dataset.root}: " + "\n".join(texts))
        return self.labels

    def to_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "ok": self.ok,
            "findings": [finding.to_dict() for finding in self.findings],
            "classes": [] if self.labels is None else self._classes(self.labels),
            "splits": {split: len(pairs) for split, pairs in self.dataset.splits.items()},
            "encoding": self.encoding,
            "format": self.dataset.format,
            "ignore": list(self.labels.ignore) if self.labels else list(self.dataset.ignore),
        }

    def _classes(self, labels: Labels) -> list[dict[str, Any]]:
        pixels = sum(self.counts.values(), np.zeros(len(labels), dtype=np.int64))
        described = []
        for name, values, count in zip(labels.names, labels.values, pixels.tolist(), strict=True):
            written = [labels.written(value) if labels.encoding == "colors" else value for value in values]
            described.append(
                {
                    "name": name,
                    "value": written[0] if len(written) == 1 else written,
                    "pixels": count,
                    "share": count / max(int(pixels.sum()), 1),
                }
            )
        return described


def place(dataset: Dataset, look: Look) -> str:
    """SPLIT/NAME of a pair as `exclude` of a dataset file names it; a drawn val is still part of train there."""
    split = "train" if dataset.drawn and look.split == "val" else look.split
    return f"{split}/{look.pair.name}"


def inspect(dataset: Dataset, progress: Progress = lambda done, total: None) -> Inspection:
    """Reads every pair of every split once, and says what is the matter.

    Where no file changed since the last time, what was concluded then is recalled.

    Args:
        dataset: what `find_dataset` or `open_dataset` returned.
        progress: called with the number of pairs done and of all.
    """
    names = [pair.name for pairs in dataset.splits.values() for pair in pairs]
    sizes = [f"{split} {len(pairs)}" for split, pairs in dataset.splits.items()]
    key = key_of(repr(replace(dataset, splits={})), *sizes, *names, *stamps_of(dataset))
    known = recall(dataset.root, "conclusions")
    if inspection := _from_plain(dataset, understood(known.get(key))):
        progress(len(names), len(names))
        return inspection
    inspection = _examine(dataset, look_at_all(dataset, progress))
    newest = [(own, line) for own, line in known.items() if own != key][-_MOST_CONCLUSIONS:]
    remember(dataset.root, "conclusions", [*newest, (key, _to_plain(inspection))])
    return inspection


def _examine(dataset: Dataset, looks: Sequence[Look]) -> Inspection:
    def name(look: Look) -> str:
        return place(dataset, look)

    readable = [look for look in looks if look.usable and look.record.mask is not None]
    meaning = _meaning(dataset, readable)
    labels = meaning.labels and replace(meaning.labels, snap=max(meaning.labels.snap, dataset.snap))
    found = [*files.strays(dataset), *files.troubles(looks, name), *files.odd_ones(looks, name), *meaning.findings]
    found += [*similar.similar(looks, name), *_splits(dataset, looks)]
    if labels is None or not labels.snap:  # noise has borders of its own
        found += placement.misaligned(looks, name)
    counts: dict[str, NDArray[np.int64]] = {}
    weights: tuple[float, ...] = ()
    if labels is not None:
        fitting = classes.fitting(readable, labels, meaning.odd)
        kept = {id(look) for look in fitting}
        found += classes.mixed([look for look in readable if id(look) not in kept], labels, name)
        table = classes.Table.of(fitting, labels)
        counts = {split: table.counts(table.of_split(split)) for split in dataset.splits}
        weights = tuple(class_weights(counts["train"], "effective_number").tolist()) if "train" in counts else ()
        found += [*classes.unknown_values(table, name), *classes.shares(table, counts, weights)]
        found += classes.odd_masks(table, name)
        unnamed = next((finding for finding in meaning.findings if finding.settings), None)
        proposed = void(table, unnamed, declared=dataset.labels is not None)
        settled = {finding.settings for finding in proposed}
        if unnamed is not None and unnamed.settings in settled:
            found.remove(unnamed)
        elif unnamed is not None and unnamed.id == "unknown-values":
            labels = None  # two readings, and nothing speaks for one of them
        found += proposed
    train = [look for look in readable if look.split == "train"]
    bands, mean, std = _statistics(train)
    sizes = [look.record.image.size for look in train if look.record.image] or [(0, 0)]
    depths = Counter(look.record.image.dtype for look in train if look.record.image) or Counter(["uint8"])
    found.sort(key=lambda finding: SEVERITIES.index(finding.severity))
    height, width = np.median(sizes, axis=0)
    inspection = Inspection(
        dataset,
        tuple(found),
        labels,
        meaning.encoding,
        bands,
        mean,
        std,
        depths.most_common(1)[0][0],
        (int(height), int(width)),
        counts,
        weights,
        sum(_decoded_bytes(look) for look in readable),
    )
    inspection.__dict__["looks"] = looks  # they are here already
    return inspection


def _in_silence(done: int, total: int) -> None:
    """A `progress` for what takes no time."""


def _to_plain(inspection: Inspection) -> dict[str, Any]:
    """All but the dataset and the looks, for JSON."""
    own = [field.name for field in fields(Inspection) if field.name != "dataset"]
    return {name: getattr(inspection, name) for name in own} | {
        "findings": [asdict(finding) for finding in inspection.findings],
        "labels": inspection.labels and inspection.labels.to_dict(),
        "counts": {split: count.tolist() for split, count in inspection.counts.items()},
    }


def _from_plain(dataset: Dataset, plain: Any) -> Inspection | None:  # noqa: ANN401 - whatever JSON can hold
    """The opposite of `_to_plain`; None from anything else."""
    try:
        restored = {
            "findings": tuple(Finding(**_with_tuples(finding)) for finding in plain["findings"]),
            "labels": plain["labels"] and Labels.from_dict(plain["labels"]),
            "counts": {split: np.array(count, dtype=np.int64) for split, count in plain["counts"].items()},
        }
        return Inspection(dataset, **_with_tuples(plain) | restored)
    except (TypeError, ValueError, LookupError, AttributeError, DataError):
        return None


def _with_tuples(plain: dict[str, Any]) -> dict[str, Any]:
    """With tuples for lists: JSON does not know them."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in plain.items()}


def _meaning(dataset: Dataset, readable: Sequence[Look]) -> Meaning:
    if not readable:
        return Meaning(dataset.labels, "unknown")
    records = [look.record.mask for look in readable if look.record.mask is not None]
    return conclude(dataset, records, [look.record.image.size for look in readable if look.record.image])


def _splits(dataset: Dataset, looks: Sequence[Look]) -> list[Finding]:
    """Whether there is something to train on and something to validate with."""
    usable = {split: sum(look.usable for look in looks if look.split == split) for split in dataset.splits}
    if usable.get("train", 0) < 1 or usable.get("val", 0) < 1:
        found = ", ".join(f"{number} in {split}" for split, number in usable.items()) or "none"
        return [
            Finding("no-training", f"Usable pairs: {found}. Needed are at least 2: one to train, one to validate.")
        ]
    return []


def _statistics(train: Sequence[Look]) -> tuple[int, tuple[float, ...], tuple[float, ...]]:
    """Bands, and mean and standard deviation of each over all pixels that are numbers."""
    images = [look.record.image for look in train if look.record.image is not None]
    if not images:
        return 0, (), ()
    bands = max(image.bands for image in images)
    fitting = [image for image in images if image.bands in (1, bands)]
    pixels = np.array([np.broadcast_to(image.numbers, bands) for image in fitting])
    moments = np.zeros((2, bands))
    for share, image in zip(pixels / np.maximum(pixels.sum(axis=0), 1), fitting, strict=True):
        moments += share * image.means
    mean, square = moments
    std = np.sqrt(np.maximum(square - mean**2, 0))
    std = np.where(std > 1e-6 * np.maximum(np.abs(mean), 1), std, 1.0)  # a constant band stays as it is
    return bands, tuple(mean.tolist()), tuple(std.tolist())


def _decoded_bytes(look: Look) -> int:
    image, mask = look.record.image, look.record.mask
    assert image is not None
    assert mask is not None
    height, width = image.size
    return height * width * (image.bands * np.dtype(image.dtype).itemsize + (1 if mask.bits <= 8 else 2))
