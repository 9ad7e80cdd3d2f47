"""`check --fix`: a dataset file with everything that was concluded, and why, so that training just works."""

import os
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import get_args

from intarsia._version import __version__
from intarsia.data.check.findings import Finding
from intarsia.data.check.inspection import Inspection, inspect
from intarsia.data.datasetfile import DatasetFile, read_dataset_file
from intarsia.data.index import declared_file, with_mends
from intarsia.data.pairs import Mend
from intarsia.errors import DataError, SettingsError
from intarsia.files import make_folder, write_whole
from intarsia.labels import Labels
from intarsia.settings import quoted

_MARK = "# Written by `intarsia check`"
_MOST_LEFT_OUT = 0.2  # of the training pairs that nearly equal a validation picture


def write_mended(inspection: Inspection, path: Path) -> None:
    """Writes a dataset file for what was inspected.

    Args:
        inspection: of any dataset.
        path: the file; one that `check` wrote before is written anew.

    Raises:
        SettingsError: `path` is no .toml file, or somebody's own.
        DataError: what is the matter cannot be mended by a dataset file.
        MachineError: it cannot be written.
    """
    if path.suffix != ".toml":
        raise SettingsError(f"--fix {path}: a dataset file is named something.toml.")
    if path.exists() and not path.read_text(encoding="utf-8", errors="replace").startswith(_MARK):
        raise SettingsError(f"--fix {path}: exists, and is not of `check`'s making. Give another name.")
    wanted = {line for finding in inspection.findings for line in finding.settings}
    mends = tuple(mend for mend in get_args(Mend) if f'mend = ["{mend}"]' in wanted)
    if mends:  # the masks that they mend have a say in what masks mean
        inspection = inspect(with_mends(inspection.dataset, mends))
    if inspection.labels is None:
        reasons = " ".join(finding.message for finding in inspection.of_severity("error"))
        raise DataError(f"{inspection.dataset.root}: no dataset file can mend this: {reasons}")
    make_folder(path.parent)
    write_whole(
        path, ("\n".join(_lines(inspection, inspection.labels, path, mends)) + "\n").encode(errors="replace")
    )


def _lines(inspection: Inspection, labels: Labels, path: Path, mends: Sequence[Mend]) -> Iterator[str]:
    dataset = inspection.dataset
    source = declared_file(dataset.root)
    declared = read_dataset_file(source) if source else DatasetFile()
    base = source.parent if source else dataset.root
    found = {severity: len(inspection.of_severity(severity)) for severity in ("error", "warning", "note")}
    yield f"{_MARK} (intarsia {__version__}) on {date.today().isoformat()}."
    yield (
        "# It found "
        + ", ".join(f"{number} {kind}s" for kind, number in found.items())
        + f" in {_plain(dataset.root)}."
    )
    yield f"# Train with: intarsia train {_plain(path)}"
    yield ""
    yield f"path = {quoted(_relative(base / declared.path, path))}  # seen from this file"
    yield f"format = {quoted(dataset.format)}"
    yield from _meaning(inspection, labels)
    yield from _mends((*declared.mend, *mends))
    yield from _excluded(inspection, declared)
    yield ""
    yield from _split_lines(inspection, declared, base, path)
    yield from _classes(inspection, labels)


def _meaning(inspection: Inspection, labels: Labels) -> Iterator[str]:
    yield ""
    yield f"# The masks: {_plain(inspection.encoding)}."
    yield f"encoding = {quoted(labels.encoding)}"
    if labels.snap:
        yield f"snap = {labels.snap:g}  # values at most this far from a class's are taken for it"
    ignored = {labels.written(value): "counts for nothing" for value in labels.ignore}
    for finding in inspection.findings:
        if finding.id == "void":
            yield f"# {_plain(finding.message)}"
            yield "# If it is a class after all, take it out of `ignore` and add it to [classes]."
            ignored |= dict.fromkeys(_void_values(finding), "probably void")
    values = [quoted(value) if value.startswith("#") else value for value in ignored]
    yield f"ignore = [{', '.join(values)}]"


def _void_values(finding: Finding) -> list[str]:
    """The values in its `ignore = [...]` line."""
    lines = (line for line in finding.settings if line.startswith("ignore"))
    return [value.strip(' "') for line in lines for value in line.partition("[")[2].rstrip("]").split(",")]


def _mends(mends: Sequence[Mend]) -> Iterator[str]:
    if mends:
        yield ""
        yield "# Masks of another size than their image: `exif` turns those that were drawn before the picture was"
        yield "# turned upright, `resize` resamples those of the same shape by nearest neighbour."
        yield f"mend = [{', '.join(quoted(mend) for mend in dict.fromkeys(mends))}]"


def _excluded(inspection: Inspection, declared: DatasetFile) -> Iterator[str]:
    reasons = dict.fromkeys(declared.exclude, "left out before")
    proposed: dict[str, str] = {}
    train = len(inspection.dataset.splits.get("train", ()))
    for finding in inspection.findings:
        few = finding.id != "near-leak" or finding.count <= _MOST_LEFT_OUT * train
        for name in finding.exclude if few else ():
            reasons.setdefault(name, finding.id)
        if finding.id == "misaligned" or not few:
            proposed |= {name: finding.id for name in finding.pairs if name not in reasons}
    if not reasons and not proposed:
        return
    yield ""
    yield "# Pairs that are left out, and why; `intarsia check` explains each word."
    yield "exclude = ["
    for name, reason in reasons.items():
        writable = name.isprintable() or name.encode(errors="ignore").decode() == name
        yield f"    {quoted(name)},  # {reason}" if writable else f"    # {_plain(name)}: {reason}; rename the file"
    for name, reason in proposed.items():
        yield f"    # {quoted(name)},  # {reason}: look at it, and decide"
    yield "]"


def _split_lines(inspection: Inspection, declared: DatasetFile, base: Path, path: Path) -> Iterator[str]:
    sizes = ", ".join(f"{len(pairs)} in {split}" for split, pairs in inspection.dataset.splits.items())
    drawn = " (val is drawn from train by name; data.val_share and data.scene_separator change that)"
    yield f"# Pairs: {sizes}{drawn if inspection.dataset.drawn else ''}."
    for split, part in declared.splits.items():
        yield f"[splits.{split}]"
        yield f"images = {quoted(_relative(base / part.images, path))}"
        yield f"masks = {quoted(_relative(base / part.masks, path))}"
        yield ""


def _classes(inspection: Inspection, labels: Labels) -> Iterator[str]:
    void = {value for finding in inspection.findings if finding.id == "void" for value in _void_values(finding)}
    counts: Sequence[int] = sum(inspection.counts.values()).tolist() if inspection.counts else [0] * len(labels)  # type: ignore[union-attr]
    total = max(sum(counts), 1)
    yield ""
    yield "[classes]  # in the order of the class indices: the stored value, the colour it is shown in"
    entries = zip(labels.names, labels.values, labels.colors, counts, strict=True)
    for name, values, color, count in entries:
        written = [text for value in values if (text := labels.written(value)) not in void]
        if not written:
            continue
        texts = [quoted(value) if value.startswith("#") else value for value in written]
        value = texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
        shown = f'"#{color[0]:02x}{color[1]:02x}{color[2]:02x}"'
        yield f"{quoted(name)} = {{value = {value}, color = {shown}}}  # {count / total:.2%} of the pixels"


def _relative(target: Path, file: Path) -> str:
    """A path as seen from the folder of a file; absolute where there is no way."""
    try:
        return Path(os.path.relpath(target.resolve(), file.resolve().parent)).as_posix()
    except ValueError:  # another drive
        return target.resolve().as_posix()


def _plain(text: object) -> str:
    """One line, for a comment."""
    return " ".join(str(text).split())
