"""A conclusion about what masks mean, and the few forms that it has."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from intarsia.data.check.findings import Finding
from intarsia.data.check.tally import Tally
from intarsia.data.pairs import Dataset
from intarsia.errors import listing
from intarsia.labels import Labels

MOST_NOISE = 0.10  # share of the pixels that may be off their class's value


@dataclass(frozen=True)
class Meaning:
    """What the values mean, or why nobody can tell.

    Attributes:
        labels: None where it cannot be told.
        encoding: in words.
        findings: what led to it.
        odd: indices of the masks that are written in another way than most.
    """

    labels: Labels | None
    encoding: str
    findings: tuple[Finding, ...] = ()
    odd: frozenset[int] = frozenset()


def accept(dataset: Dataset, values: Sequence[int], words: str) -> Meaning:
    """The values are classes, with the dataset's own names if it has any."""
    labels = Labels.of_values(list(values), dataset.ignore, dataset.names)
    void = "; 255 is ignored" if 255 in labels.ignore else ""
    return Meaning(labels, words, (note(f"Masks hold {words}{void}."),))


def note(message: str) -> Finding:
    """What the masks were taken for."""
    return Finding("encoding", message)


def refuse(finding: str, message: str) -> Meaning:
    """Nobody can tell what the masks mean."""
    return Meaning(None, "unknown", (Finding(finding, message),))


def snapped(labels: Labels, snap: float, off: float, words: str) -> Meaning:
    """Values between those of the classes are taken for the nearest one."""
    named = [f"{name} ({labels.written(own[0])})" for name, own in zip(labels.names, labels.values, strict=True)]
    finding = Finding(
        "noise",
        "Masks have values beside those of the classes (anti-aliasing or JPEG): each pixel is taken for the "
        f"nearest of {listing(named, 12)}. {off:.2%} of the pixels lie midway; wrong lines may arise there.",
        f"Export the masks as index PNGs; until then snap = {snap:g} in the dataset file (--fix writes it)",
        settings=(f"snap = {snap:g}",),
    )
    return Meaning(replace(labels, snap=snap), f"{words}, with noise", (finding,))


def too_noisy(tally: Tally, off: float, kind: str) -> Meaning:
    """The values gather nowhere, or too close together."""
    if tally.lossy:
        return refuse(
            "too-noisy",
            f"JPEG masks whose {kind} are too close together to tell classes from what JPEG does to them. Export "
            "the masks again as index PNG.",
        )
    return refuse(
        "too-noisy",
        f"Masks hold {len(tally.values):,} different {kind}, and {off:.0%} of the pixels are near none that fills "
        f"an area (at most {MOST_NOISE:.0%} are taken for the nearest class). These look like pictures, not masks.",
    )
