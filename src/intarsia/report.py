"""The page of `check --report`: the verdict, the findings with their mends, the dataset as it looks, what next."""

import shlex
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path

from intarsia._version import __version__
from intarsia.data.check.findings import KINDS, SEVERITIES, Finding
from intarsia.data.check.inspection import Inspection
from intarsia.data.index import declared_file
from intarsia.errors import SettingsError, counted
from intarsia.files import make_folder, write_whole
from intarsia.gallery import alignments, classes, duplicates, images, masks, scenes
from intarsia.pages import GENERATOR, Markup, Section, code_block, element, join, page, prose
from intarsia.settings import quoted

_MOST_EXCLUDED = 8  # pairs whose names are written into a finding's mend
_START = 2000  # bytes in which a page of ours says so


def write_report(inspection: Inspection, path: Path) -> None:
    """Writes one HTML file to look at: it needs no other file, no network and no scripts.

    Args:
        inspection: of any dataset, also of one with errors or without a usable pair.
        path: the file; one that `check` wrote before is written anew.

    Raises:
        SettingsError: `path` is no .html file, or somebody's own.
        MachineError: it cannot be written.
    """
    if path.suffix.lower() not in (".html", ".htm"):
        raise SettingsError(f"--report {path}: a page is named something.html.")
    if path.exists() and not _is_ours(path):
        raise SettingsError(f"--report {path}: exists, and is not of `check`'s making. Give another name.")
    root = inspection.dataset.root.resolve()
    sections = [section for section in _sections(inspection) if section.body]
    whole = page("dataset check", root.name or str(root), _facts(inspection), _verdict(inspection), sections)
    make_folder(path.parent)
    write_whole(path, whole)


def _is_ours(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return GENERATOR.encode() in file.read(_START)


def _sections(inspection: Inspection) -> Iterator[Section]:
    yield Section("findings", "Findings", _findings(inspection))
    yield Section("classes", "Classes", classes(inspection))
    yield Section("samples", "Samples", scenes(inspection))
    yield Section("images", "Images", images(inspection))
    yield Section("duplicates", "Duplicates and leaks", duplicates(inspection))
    yield Section("alignment", "Worst alignments", alignments(inspection))
    yield Section("masks", "Masks to look at", masks(inspection))
    yield Section("next", "How to go on", _next(inspection))


def _facts(inspection: Inspection) -> Iterator[tuple[str, str]]:
    dataset = inspection.dataset
    yield "Dataset", str(dataset.root.resolve())
    pairs = " + ".join(f"{len(pairs):,} {split}" for split, pairs in dataset.splits.items()) or "none"
    usable = sum(look.usable for look in inspection.looks)
    unusable = f", of which {usable:,} can be used" if usable < len(inspection.looks) else ""
    yield "Pairs of image and mask", pairs + unusable + (" (val drawn from train by name)" if dataset.drawn else "")
    yield "Masks", inspection.encoding
    yield "Format", dataset.format
    yield "Checked", f"{date.today().isoformat()}, with intarsia {__version__}"


def _verdict(inspection: Inspection) -> Markup:
    numbers = {severity: len(inspection.of_severity(severity)) for severity in SEVERITIES}
    if not any(look.usable for look in inspection.looks):
        kind, said = "error", "Not one pair can be used."
    elif numbers["error"]:
        kind, said = "error", "Not ready to train: the errors would train wrong, or not at all."
    elif numbers["warning"]:
        kind, said = "warning", "Ready to train. Look at the warnings first: they cost quality or honesty."
    else:
        kind, said = "good", "Ready to train."
    counts = ", ".join(counted(number, severity) for severity, number in numbers.items())
    onwards = element("a", "How to go on", href="#next")
    return element(
        "div",
        element("p", said, class_="said"),
        element("p", f"{counts}. ", onwards, class_="counts"),
        class_=f"verdict {kind}",
    )


def _findings(inspection: Inspection) -> Markup:
    if not inspection.findings:
        return element("p", "Nothing was found: every file can be read, and every mask fits its image.")
    return join(*(_finding(finding, inspection) for finding in inspection.findings))


def _finding(finding: Finding, inspection: Inspection) -> Markup:
    message = inspection.below_root(finding.message)
    files = [inspection.below_root(file) for file in finding.files]
    number = f"{finding.count:,} \N{MULTIPLICATION SIGN} " if finding.count > 1 else ""
    return element(
        "article",
        element(
            "header",
            element("span", finding.severity, class_="badge"),
            element("h3", prose(KINDS[finding.id].what)),
            element("span", number, element("code", finding.id), class_="count"),
        ),
        element("p", prose(message)),
        _files([file for file in files if file not in message], finding.count),
        element("p", element("b", "Mend: "), prose(finding.mend), class_="mend"),
        _mend_to_copy(finding, inspection),
        class_=f"finding {finding.severity}",
    )


def _files(files: Sequence[str], count: int) -> Markup:
    """Those that the message does not name, to be unfolded."""
    if not files:
        return Markup()
    items = [element("li", element("span", file, class_="path")) for file in files]
    shown = f"{counted(len(files), 'file')} of {count:,}" if len(files) < count else counted(len(files), "file")
    return element("details", element("summary", shown), element("ul", *items, class_="files"))


def _mend_to_copy(finding: Finding, inspection: Inspection) -> Markup:
    """Lines for a dataset file; where they were too many, the command that writes them."""
    if len(finding.exclude) > _MOST_EXCLUDED:
        return code_block(_fix_command(inspection), "command") if inspection.labels is not None else Markup()
    lines = list(finding.settings)
    if finding.exclude:
        lines.append(f"exclude = [{', '.join(map(quoted, finding.exclude))}]")
    return code_block("\n".join(lines), "dataset file") if lines else Markup()


def _next(inspection: Inspection) -> Markup:
    """The commands that lead from here to a training."""
    errors = inspection.of_severity("error")
    by_hand = [error.id for error in errors if inspection.labels is None or not (error.settings or error.exclude)]
    if by_hand:
        what = f"Mend by hand what no dataset file can mend ({', '.join(by_hand)}), and check again:"
        steps = [(what, f"intarsia check {_root(inspection)} --report check.html")]
    elif not inspection.ok:
        steps = [
            ("Write a dataset file with the mends, and read it:", _fix_command(inspection)),
            ("Train with it:", _train_command(_mended(inspection))),
        ]
    else:
        steps = [("Train on it as it is:", _train_command(_root(inspection)))]
        mends = any(finding.settings or finding.exclude for finding in inspection.findings)
        if mends or inspection.dataset.labels is None:
            what = "with the mends first, read it" if mends else "first, name the classes in it"
            commands = f"{_fix_command(inspection)}\n{_train_command(_mended(inspection))}"
            steps.append((f"Or write a dataset file {what}, and train with it:", commands))
    items = [element("li", element("p", what), code_block(command)) for what, command in steps]
    return element("ol", *items, class_="steps")


def _root(inspection: Inspection) -> str:
    return shlex.quote(str(inspection.dataset.root))


def _mended(inspection: Inspection) -> str:
    """A name for the dataset file that `--fix` writes, other than that of the one in use."""
    return "mended.toml" if declared_file(inspection.dataset.root) else "dataset.toml"


def _fix_command(inspection: Inspection) -> str:
    return f"intarsia check {_root(inspection)} --fix {_mended(inspection)}"


def _train_command(data: str) -> str:
    return f"intarsia train {data} --budget 10m"
