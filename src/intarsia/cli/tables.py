"""Results as tables for people."""

import math
import sys
import textwrap
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from intarsia.data.check.findings import SEVERITIES
from intarsia.data.check.inspection import Inspection
from intarsia.terminal import visible

if TYPE_CHECKING:
    from collections.abc import Sequence

    from intarsia.metrics import Scores
    from intarsia.overview import Model
    from intarsia.repetition import Repetition
    from intarsia.tuning import BatchTrial

_WIDE = 160  # columns of a table that no terminal shows
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


def print_models(models: "Sequence[Model]", size: tuple[int, int], bands: int, classes: int) -> None:
    """One network with all that is known of it, or a table of many."""
    console = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else _WIDE)
    measured = f"GFLOPs: multiplications and additions for one image of {size[0]}x{size[1]} with {bands} bands"
    if len(models) == 1:
        for name, text in _told(models[0]).items():
            console.print(Text.assemble((f"{name:<12}", "bold"), text))
    else:
        table = Table(title=None, header_style="bold", box=None, pad_edge=False)
        table.add_column("network", no_wrap=True)
        for column in ("parameters", "GFLOPs"):
            table.add_column(column, justify="right")
        table.add_column("weights here", justify="center")
        table.add_column("licence of the weights")
        for model in models:
            here = ("yes" if model.here else "no") if model.weights else "-"
            licence = Text(visible(model.licence or "-"), style="yellow" if _restricted(model) else "")
            table.add_row(model.name, _millions(model.parameters), _number(model.gflops), here, licence)
        console.print(table)
        unknown = [model for model in models if model.trouble]
        if unknown:
            console.print(Text(f"\n-  {visible(str(unknown[0].trouble))}", style="dim"))
    console.print(f"\n{measured}; {classes} classes", style="dim")


def _told(model: "Model") -> dict[str, str]:
    """What is known of one network, by what it is called."""
    encoder = f", of which {_millions(model.encoder_parameters)} in the encoder" if model.encoder_parameters else ""
    here = "on this machine" if model.here else "to be downloaded when a training begins with them"
    return {
        "network": model.name,
        "parameters": _millions(model.parameters) + encoder,
        "GFLOPs": _number(model.gflops),
        "padded to": f"multiples of {model.stride}",
        "weights": f"{model.weights} ({here})" if model.weights else "none published: it begins with random ones",
        "licence": model.licence or "-",
        "train": f"intarsia train DATA --model {model.name}",
    }


def _restricted(model: "Model") -> bool:
    return "non-commercial" in (model.licence or "").lower()


def _millions(number: int | None) -> str:
    return "-" if number is None else f"{number / 1e6:.2f} M"


def _number(number: float | None) -> str:
    return "-" if number is None else f"{number:.1f}"


def _share(number: float) -> str:
    return "-" if math.isnan(number) else f"{number:.4f}"


def print_batches(trials: "Sequence[BatchTrial]") -> None:
    """Each batch that was tried, and the largest that fits."""
    console = Console(highlight=False, soft_wrap=True)
    table = Table(header_style="bold", box=None, pad_edge=False)
    for column in ("batch", "images/s", "seconds a step", "memory at the peak"):
        table.add_column(column, justify="right")
    table.add_column("")
    for trial in trials:
        known = not math.isnan(trial.seconds)
        table.add_row(
            str(trial.batch),
            f"{trial.batch / trial.seconds:.1f}" if known else "-",
            f"{trial.seconds:.3f}" if known else "-",
            f"{trial.memory / 2**30:.2f} GiB" if trial.memory else "-",
            trial.reason,
        )
    console.print(table)
    fitting = [trial for trial in trials if trial.fits]
    if not fitting:
        console.print("\nNot even one pair fits. Lower train.size, or choose a smaller network.")
        return
    largest, fastest = fitting[-1], max(fitting, key=lambda trial: trial.batch / trial.seconds)
    console.print(f"\nlargest that fits: train.batch={largest.batch}; most images/s: train.batch={fastest.batch}")


def print_repetition(done: "Repetition") -> None:
    """MIoU of each training, their mean and spread; of folds, the scores over all pairs."""
    console = Console(highlight=False, soft_wrap=True)
    for training in done.trainings:
        score = f"{training.scores.miou:.4f}" if training.scores else "-"
        console.print(f"{training.folder.name:<10} validation mIoU {score}")
    console.print(f"\nmIoU {done.mean:.4f} ± {done.spread:.4f} (mean and standard deviation of {len(done.mious)})")
    if done.pooled:
        console.print("\nall pairs, each judged by the model that has not seen it:")
        print_scores(done.pooled)
    console.print(f"runs: {done.folder}, to be used together: intarsia predict {done.folder} ...")
