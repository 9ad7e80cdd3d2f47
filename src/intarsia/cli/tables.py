"""Results as tables for people."""

import math
import textwrap
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from intarsia.data.check.findings import SEVERITIES
from intarsia.data.check.inspection import Inspection
from intarsia.terminal import visible

if TYPE_CHECKING:
    from intarsia.metrics import Scores

_COLORS = {"error": "bold red", "warning": "yellow", "note": "dim"}


def print_inspection(inspection: Inspection) -> None:
    """The findings, gravest first, then the classes and the splits."""
    console = Console(highlight=False, soft_wrap=True)
    for finding in inspection.findings:
        console.print(
            Text.assemble((f"{finding.severity:<8}", _COLORS[finding.severity]), (f"{finding.id}  ", "bold"))
        )
        message = visible(inspection.below_root(finding.message), keep="\n")
        mend = visible(finding.mend, keep="\n")
        console.print(Text(textwrap.indent(message, "        ")))
        console.print(Text(f"        mend: {mend}", style="cyan"))
    described = inspection.to_dict()
    table = Table(title=None, header_style="bold", box=None, pad_edge=False)
    table.add_column("class")
    for column in ("value", "share", *inspection.counts, "weight"):
        table.add_column(column, justify="right")
    for index, entry in enumerate(described["classes"]):
        value = entry["value"]
        table.add_row(
            Text(visible(entry["name"])),
            ", ".join(map(str, value)) if isinstance(value, list) else str(value),
            f"{entry['share']:.2%}",
            *(f"{count[index]:,}" for count in inspection.counts.values()),
            f"{inspection.weights[index]:.2f}" if inspection.weights else "-",
        )
    console.print(table)
    splits = ", ".join(f"{number:,} pairs in {split}" for split, number in described["splits"].items())
    drawn = " (val drawn from train by name)" if inspection.dataset.drawn else ""
    number = {severity: len(inspection.of_severity(severity)) for severity in SEVERITIES}
    console.print(
        f"\n{splits}{drawn}; masks: {inspection.encoding}; format: {inspection.dataset.format}", style="dim"
    )
    console.print(", ".join(f"{count} {kind}{'s' * (count != 1)}" for kind, count in number.items()), style="bold")


def print_scores(scores: "Scores") -> None:
    """The per-class table, and the numbers of the whole with the rule they follow."""
    from intarsia import metrics  # it needs torch, which `check` does not

    table = Table(title=None, header_style="bold", box=None, pad_edge=False)
    table.add_column("class")
    for column in ("IoU", "Dice", "precision", "recall", "share"):
        table.add_column(column, justify="right")
    confusion = scores.confusion
    columns = [function(confusion) for function in (metrics.iou, metrics.dice, metrics.precision, metrics.recall)]
    shares = confusion.sum(axis=1) / max(confusion.sum(), 1)
    for index, name in enumerate(scores.names):
        table.add_row(Text(visible(name)), *(_share(column[index]) for column in columns), f"{shares[index]:.2%}")
    console = Console(highlight=False, soft_wrap=True)
    console.print(table)
    absent = int((confusion.sum(axis=0) + confusion.sum(axis=1) == 0).sum())
    console.print(
        f"\nmIoU {_share(scores.miou)}   pixel accuracy {_share(metrics.pixel_accuracy(confusion))}   "
        f"frequency-weighted IoU {_share(metrics.frequency_weighted_iou(confusion))}   "
        f"mean Dice {_share(metrics.mean_over_present(metrics.dice(confusion)))}"
    )
    console.print(
        f"{metrics.RULE}\n{scores.images} images, {confusion.sum():,} pixels, {scores.ignored_pixels:,} ignored"
        + (f", {absent} classes absent" if absent else ""),
        style="dim",
    )


def _share(number: float) -> str:
    return "-" if math.isnan(number) else f"{number:.4f}"
