"""`intarsia data ...`: getting datasets, and bringing them into one form."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from intarsia.catalogue import SOURCES
from intarsia.errors import DataError

app = typer.Typer(help="Get public datasets; convert datasets of any format.", no_args_is_help=True)

_NAMES = ", ".join(SOURCES)


@app.command()
def fetch(
    name: Annotated[str, typer.Argument(help=f"One of: {_NAMES}.")],
    out: Annotated[Path | None, typer.Option(help="A new folder for it; left out: one of its name.")] = None,
) -> None:
    """Download a public dataset, prove that it is the published one, and unpack it."""
    from intarsia.fetching import fetch as run_fetching

    folder = run_fetching(name, out, say=_say, progress=_show_megabytes)
    typer.echo(f"dataset: {folder}")


@app.command()
def convert(
    src: Annotated[Path, typer.Argument(help="A folder or file in any known format, or a dataset file.")],
    dst: Annotated[Path, typer.Argument(help="A new folder.")],
) -> None:
    """Write a dataset as plain folders of images and index masks, with a dataset.toml."""
    from intarsia.conversion import convert as run_conversion
    from intarsia.terminal import count_on_terminal

    conversion = run_conversion(src, dst, progress=count_on_terminal("converting"))
    for line in conversion.said:
        _say(line)
    parts = ", ".join(f"{number} in {split}" for split, number in conversion.written.items())
    typer.echo(f"dataset: {conversion.folder} (pairs: {parts})")
    if conversion.failed:
        reasons = "\n".join(reason for _, reason in conversion.failed)
        total = len(conversion.failed) + sum(conversion.written.values())
        raise DataError(f"{len(conversion.failed)} of {total} pairs could not be converted:\n{reasons}")


def _say(text: str) -> None:
    typer.echo(text, err=True)


def _show_megabytes(done: int, total: int) -> None:
    if sys.stderr.isatty():
        end = "\n" if done == total else ""
        typer.echo(f"\rdownloading {done / 1e6:,.0f} of {total / 1e6:,.0f} MB{end}", err=True, nl=False)
