"""The command `train`, and what is found out by training: a rate, a batch, the spread of seeds, folds."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from intarsia.errors import SettingsError

if TYPE_CHECKING:
    from intarsia.settings import Settings

Data = Annotated[Path, typer.Argument(help="A folder in any known layout, or a dataset file (TOML).")]
Device = Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1, mps; left out: the fastest there is.")]


def train(  # noqa: PLR0913 - the contract's options
    data: Data,
    settings: Annotated[
        list[str] | None,
        typer.Argument(metavar="[section.key=value]...", help="Any setting, as in docs/settings.md."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="The run folder; left out: runs/NAME.")] = None,
    model: Annotated[str | None, typer.Option(help="The network: a name that `intarsia models` lists.")] = None,
    budget: Annotated[str | None, typer.Option(help="Wall-clock time: 10m, 1h30m. The schedule fits it.")] = None,
    epochs: Annotated[float | None, typer.Option(help="Passes over the training pairs.")] = None,
    steps: Annotated[int | None, typer.Option(help="Optimizer steps.")] = None,
    size: Annotated[str | None, typer.Option(metavar="H,W", help="Training crops in pixels.")] = None,
    batch: Annotated[int | None, typer.Option(help="Pairs in a batch.")] = None,
    workers: Annotated[int | None, typer.Option(help="Processes that load data.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of weights, order and augmentation.")] = None,
    device: Device = None,
    ignore: Annotated[list[int] | None, typer.Option(help="A mask value to leave out; repeatable.")] = None,
    config: Annotated[Path | None, typer.Option(help="A TOML file of settings.")] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue the run in --out, as if it had never stopped.")
    ] = False,
    find_lr: Annotated[
        bool, typer.Option("--find-lr", help="Try learning rates for a hundred steps, and suggest one.")
    ] = False,
    find_batch: Annotated[
        bool, typer.Option("--find-batch", help="Try batches until one does not fit into memory or time.")
    ] = False,
    seeds: Annotated[
        int | None, typer.Option(metavar="N", help="Train with N seeds: mean and spread of mIoU.")
    ] = None,
    folds: Annotated[
        int | None, typer.Option(metavar="N", help="Cross-validation over train and val in N parts.")
    ] = None,
) -> None:
    """Train a network on a folder of images and masks."""
    from intarsia.settings import make_settings, parse_overrides, read_toml

    layers: list[dict[str, Any]] = [
        read_toml(config) if config else {},
        _given("model", name=model),
        _given(
            "train", budget=budget, epochs=epochs, steps=steps, size=size, batch=batch, seed=seed, device=device
        ),
        _given("data", workers=workers, ignore=ignore or None),
        parse_overrides(settings or []),
    ]
    checked = make_settings(*layers)
    _refuse_together(resume, {"--find-lr": find_lr, "--find-batch": find_batch, "--seeds": seeds, "--folds": folds})
    if find_lr:
        _find_rate(data, out, checked)
    elif find_batch:
        _find_batch(data, checked)
    elif seeds is not None or folds is not None:
        _repeat(data, out, checked, seeds=seeds, folds=folds, resume=resume)
    else:
        _train(data, out, checked, resume=resume)


def _refuse_together(resume: bool, asked: dict[str, int | None]) -> None:
    chosen = [option for option, value in asked.items() if value is not None and value is not False]
    if len(chosen) > 1:
        raise SettingsError(f"{' and '.join(chosen)}: only one of them can be done at a time.")
    if resume and chosen and chosen[0].startswith("--find"):
        raise SettingsError("--resume: trying settings is not continued. Leave it out.")


def _train(data: Path, out: Path | None, settings: "Settings", *, resume: bool) -> None:
    from intarsia.cli.tables import print_scores
    from intarsia.training import train as run_training

    training = run_training(data, out, settings, resume=resume)
    if _speaks():
        if training.scores:
            print_scores(training.scores)
        typer.echo(f"run: {training.folder}")
    if training.stopped_by:
        raise typer.Exit(128 + training.stopped_by)


def _find_rate(data: Path, out: Path | None, settings: "Settings") -> None:
    from intarsia.tuning import find_learning_rate

    test = find_learning_rate(data, out, settings)
    typer.echo(f"suggested: optim.lr={test.suggested:.2g}\npicture: {test.picture}")


def _find_batch(data: Path, settings: "Settings") -> None:
    from intarsia.cli.tables import print_batches
    from intarsia.tuning import find_batch

    print_batches(find_batch(data, settings))


def _repeat(
    data: Path, out: Path | None, settings: "Settings", *, seeds: int | None, folds: int | None, resume: bool
) -> None:
    from intarsia.cli.tables import print_repetition
    from intarsia.repetition import train_folds, train_seeds

    if out is None:
        raise SettingsError("--seeds and --folds need --out: a folder for all the runs.")
    if folds is not None:
        done = train_folds(data, out, settings, folds=folds, resume=resume)
    else:
        done = train_seeds(data, out, settings, seeds=seeds or 0, resume=resume)
    if _speaks():
        print_repetition(done)
    if done.stopped_by:
        raise typer.Exit(128 + done.stopped_by)


def _given(section: str, **options: object) -> dict[str, dict[str, object]]:
    """The options that were given, as a layer of settings."""
    return {section: {name: value for name, value in options.items() if value is not None}}


def _speaks() -> bool:
    """Of several processes that train together, one prints the result."""
    return os.environ.get("RANK", "0") == "0"
