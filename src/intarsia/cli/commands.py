"""The commands. Each imports what computes only when it is called, so that --help stays fast."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from intarsia._version import __version__
from intarsia.cli.data import app as data_app
from intarsia.cli.prediction import evaluate, predict
from intarsia.cli.training import Data, train
from intarsia.errors import DataError, counted

app = typer.Typer(
    help="Turns a folder of images and masks into a segmentation model that can be trusted.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
app.add_typer(data_app, name="data")


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"intarsia {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Read by `intarsia.cli.main` before the commands are."""


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="A new folder for all of it.")] = Path("demo"),
) -> None:
    """The whole way on drawn road scenes: train, evaluate, predict. About four minutes on two cores."""
    from intarsia.cli.tables import print_scores
    from intarsia.demonstration import demo as run_demo

    scores = run_demo(out, say=_say)
    print_scores(scores)
    typer.echo(f"pictures: {out / 'predictions' / 'triptychs'}, {out / 'run' / 'validation.png'}")


@app.command()
def check(
    data: Data,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
    ignore: Annotated[list[int] | None, typer.Option(help="A mask value to leave out; repeatable.")] = None,
    fix: Annotated[
        Path | None, typer.Option(metavar="FILE.toml", help="Write a dataset file with the mends, ready to train.")
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(metavar="FILE.html", help="Write a page to look at: samples, classes, duplicates."),
    ] = None,
) -> None:
    """Find out what would train wrong, before training: every file is read once."""
    from intarsia.checking import check as run_check
    from intarsia.cli.tables import print_inspection
    from intarsia.terminal import count_on_terminal

    inspection = run_check(data, ignore=ignore or (), report=report, progress=count_on_terminal("checking"))
    if not as_json:
        print_inspection(inspection)
        if report:
            typer.echo(f"report: {report}")
    if fix:  # what was found before the mends was told above; what they leave decides
        inspection = run_check(data, ignore=ignore or (), fix=fix, progress=count_on_terminal("checking again"))
    if as_json:
        typer.echo(json.dumps(inspection.to_dict()))
    elif fix:
        left = counted(len(inspection.of_severity("error")), "error")
        typer.echo(
            f"dataset file: {fix}, which leaves {left}" + (f": intarsia train {fix}" if inspection.ok else "")
        )
    if not inspection.ok:
        raise typer.Exit(DataError.exit_code)


app.command()(train)


@app.command()
def models(
    word: Annotated[str, typer.Argument(metavar="[NAME]", help="Part of a name, or a whole one.")] = "",
    size: Annotated[
        str, typer.Option(metavar="H,W", help="Of the image that operations are counted for.")
    ] = "512,512",
    bands: Annotated[int, typer.Option(min=1, help="Of the image.")] = 3,
    classes: Annotated[int, typer.Option(min=1, help="Number of them.")] = 21,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
) -> None:
    """List the networks: parameters, operations, licence of the weights, and whether these are here."""
    from intarsia.settings import make_settings

    height_width = make_settings({"train": {"size": size}}).train.size
    assert height_width is not None
    from intarsia.cli.tables import print_models
    from intarsia.overview import models as find_models

    found = find_models(word, height_width, bands, classes)
    if as_json:
        typer.echo(json.dumps({"models": [asdict(one) for one in found]}))
    else:
        print_models(found, height_width, bands, classes)


app.command()(evaluate)
app.command()(predict)


def _say(text: str) -> None:
    typer.echo(text, err=True)
