"""Results as tables for people."""

import math

from rich.console import Console
from rich.table import Table

from intarsia import metrics
from intarsia.metrics import Scores


def print_scores(scores: Scores) -> None:
    """The per-class table, and the numbers of the whole with the rule they follow."""
    table = Table(title=None, header_style="bold", box=None, pad_edge=False)
    table.add_column("class")
    for column in ("IoU", "Dice", "precision", "recall", "share"):
        table.add_column(column, justify="right")
    confusion = scores.confusion
    columns = [function(confusion) for function in (metrics.iou, metrics.dice, metrics.precision, metrics.recall)]
    shares = confusion.sum(axis=1) / max(confusion.sum(), 1)
    for index, name in enumerate(scores.names):
        table.add_row(name, *(_share(column[index]) for column in columns), f"{shares[index]:.2%}")
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
