"""Findings: what the doctor can say, how grave it is, and the mend.

`KINDS` is the whole list; docs/data.md shows it, and a test compares the two.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

Severity = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")
MOST_FILES = 10


@dataclass(frozen=True)
class Kind:
    """One thing that can be found.

    Attributes:
        severity: an error trains wrong or not at all; a warning costs quality or honesty; a note is good to know.
        what: what it is.
        mend: what to do about it.
    """

    severity: Severity
    what: str
    mend: str


_LEAVE_OUT = "mend or remove the file; `--fix` leaves its pair out (`exclude`)"

KINDS: dict[str, Kind] = {
    # Files
    "unpaired": Kind(
        "warning", "files, or folders of a split, without a partner", "add the partner, or remove them"
    ),
    "ambiguous": Kind(
        "error", "two images or two masks of one name", "remove or rename one; until then both are left out"
    ),
    "missing-file": Kind("error", "a file that is named somewhere does not exist", _LEAVE_OUT),
    "missing-image": Kind(
        "warning", "annotations of pictures that do not exist", "add the pictures, or remove the entries"
    ),
    "bad-shape": Kind("warning", "annotations without a usable shape", "draw them again, or remove them"),
    "unreadable": Kind("error", "files or folders that may not be read", "`chmod +r` them, or remove them"),
    "empty-file": Kind("error", "files of zero bytes", _LEAVE_OUT),
    "no-picture": Kind("error", "files that are no pictures: web pages, LFS pointers, text", _LEAVE_OUT),
    "truncated": Kind("error", "pictures that end too early", _LEAVE_OUT),
    "damaged": Kind("error", "pictures that cannot be decoded", _LEAVE_OUT),
    "too-large": Kind(
        "error",
        "pictures of more than 178,956,970 pixels by their header",
        "cut them into tiles; `--fix` leaves the pair out",
    ),
    "undecodable": Kind(
        "error", "files that would be decoded wrong: several frames, 16-bit colour PNG, float masks", _LEAVE_OUT
    ),
    "no-such-pair": Kind("note", "names in `exclude` that no pair has", "take them out of the dataset file"),
    "mistyped": Kind(
        "note", "files that hold another format than their suffix says", "rename them; they are read by content"
    ),
    "junk": Kind("note", "files that file managers leave behind", "none needed: they are skipped"),
    "broken-link": Kind("warning", "links that lead nowhere", "restore the target, or remove the link"),
    "link-circle": Kind(
        "warning", "folders that contain themselves by a link", "remove the link; it was followed once"
    ),
    "not-a-file": Kind(
        "warning", "pipes, sockets and devices among the pictures", "remove them; they are never opened"
    ),
    # Sizes and pixels
    "size-exif": Kind(
        "error",
        "masks drawn before their picture was turned upright",
        '`mend = ["exif"]` in the dataset file turns them (`--fix` writes it)',
    ),
    "size-turned": Kind("error", "masks turned by a quarter", "turn the mask; `--fix` leaves the pair out"),
    "size-scaled": Kind(
        "error",
        "masks of their image's shape at another scale",
        '`mend = ["resize"]` in the dataset file resamples them by nearest neighbour (`--fix` writes it)',
    ),
    "size-near": Kind(
        "error",
        "masks a few pixels larger or smaller than their image",
        "export the mask again; `--fix` leaves the pair out",
    ),
    "size-differs": Kind(
        "error",
        "masks of quite another size than their image",
        "find the right partner; `--fix` leaves the pair out",
    ),
    "bands": Kind("error", "images with different numbers of bands", "convert the few; `--fix` leaves them out"),
    "bit-depth": Kind(
        "error", "images of 8 bits beside images of 16 bits or floats", "convert the few; `--fix` leaves them out"
    ),
    "not-finite": Kind(
        "error",
        "images with infinite pixels",
        "write them again, with NaN where nothing is known; `--fix` leaves the pair out",
    ),
    "no-data": Kind(
        "note",
        "images with a band of which more than half is no data",
        "none needed if that is so; cut the images closer, or `exclude` the pairs, where too little is left",
    ),
    "constant-image": Kind("warning", "images of one single colour", "remove them; `--fix` leaves the pair out"),
    # What the values mean
    "encoding": Kind(
        "note", "what the masks' values were taken for", "name the classes in a dataset file; `--fix` writes one"
    ),
    "palette": Kind("note", "the masks' colours are those of a known list", "none needed, if the names are right"),
    "names-without-colors": Kind(
        "warning",
        "class names without colours beside colour masks",
        "give each class its colour in a dataset file; `--fix` writes one",
    ),
    "value-gaps": Kind(
        "warning", "class values with gaps between them", "name the classes in a dataset file; `--fix` writes one"
    ),
    "void": Kind(
        "warning",
        "a value that is probably void, or a border, and no class",
        "`--ignore V`, or `ignore = [V]` in the dataset file (`--fix` proposes it)",
    ),
    "unknown-values": Kind(
        "error",
        "values that are neither a class nor ignored",
        "`--ignore V`, a class of that value, or `snap`; `--fix` leaves few such pairs out",
    ),
    "mixed-encodings": Kind(
        "error", "masks in colours beside masks of values", "convert the few; `--fix` leaves them out"
    ),
    "noise": Kind(
        "warning",
        "values near those of classes: anti-aliasing or JPEG",
        "export index PNGs; until then `snap` takes the nearest class (`--fix` writes it)",
    ),
    "too-noisy": Kind(
        "error", "masks whose values are too far from any class", "export the masks again as index PNG"
    ),
    "objects": Kind(
        "warning",
        "object numbers where classes are expected: merged to one class",
        "name the classes in a dataset file if they are classes",
    ),
    "one-class": Kind(
        "error",
        "masks of one single class: nothing to tell apart",
        "were they saved empty? A background counts as a class",
    ),
    # Classes and splits
    "no-training": Kind(
        "error",
        "too few pairs: one to train and one to validate are needed",
        "add pairs, or look at what is said of files without a partner",
    ),
    "class-missing": Kind(
        "warning", "classes without a pixel in a split", "move pictures that hold them, or remove the class"
    ),
    "imbalance": Kind(
        "warning",
        "classes with less than a thousandth of the pixels",
        "`loss.class_weights` weighs them as said; more pictures of them help more",
    ),
    "empty-masks": Kind("note", "masks of one class only", "none needed if the pictures hold nothing else"),
    "ignored-masks": Kind(
        "warning", "masks in which every pixel is ignored", "remove them; `--fix` leaves the pair out"
    ),
    "ignored-split": Kind("error", "a split in which every pixel is ignored", "look at `ignore`"),
    "small-objects": Kind(
        "note",
        "masks in which a class has less than ten pixels",
        "look at them: stray clicks? Crops of full size see them best",
    ),
    "speckle": Kind("warning", "masks sprinkled with single pixels", "clean them with a median filter"),
    # Pictures against each other
    "duplicates": Kind(
        "warning", "the same picture more than once in a split", "remove all but one; `--fix` leaves the others out"
    ),
    "contradiction": Kind(
        "warning", "the same picture with different masks", "keep the right one; `--fix` leaves them out"
    ),
    "near-duplicates": Kind(
        "note", "pictures that are nearly equal, in one split", "none needed; they count more than others"
    ),
    "leak": Kind(
        "warning", "the same picture in two splits: scores will be too good", "`--fix` leaves it out of train"
    ),
    "near-leak": Kind(
        "warning",
        "nearly equal pictures in two splits",
        "split by scene (`data.scene_separator`); `--fix` leaves them out of train",
    ),
    "misaligned": Kind(
        "warning",
        "masks whose borders lie beside the picture's edges: mirrored or shifted",
        "look at check.html; `--fix` lists them for you to decide",
    ),
}


@dataclass(frozen=True)
class Finding:
    """One thing that was found.

    Attributes:
        id: its name in `KINDS`.
        message: what is the matter, with numbers.
        mend: what to do, with values filled in where there are any; left out, what `KINDS` says.
        count: how many files, pairs or classes.
        files: the first of them.
        pairs: the pairs concerned, as SPLIT/NAME; for two at once (duplicates) one after the other.
        exclude: pairs that `--fix` leaves out.
        settings: lines for the dataset file that mend it.
    """

    id: str
    message: str
    mend: str = ""
    count: int = 1
    files: tuple[str, ...] = ()
    pairs: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "mend", self.mend or KINDS[self.id].mend)

    @property
    def severity(self) -> Severity:
        """How grave it is."""
        return KINDS[self.id].severity

    def to_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "id": self.id,
            "severity": self.severity,
            "count": self.count,
            "files": list(self.files),
            "message": self.message,
            "mend": self.mend,
            "pairs": list(self.pairs),
        }


def first_files(paths: Sequence[Path]) -> tuple[str, ...]:
    """The first few, as texts."""
    return tuple(str(path) for path in paths[:MOST_FILES])
