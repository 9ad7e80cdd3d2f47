"""The commands `predict` and `evaluate`."""

import json
import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from intarsia.cli.training import Data, Device
from intarsia.errors import DataError, SettingsError, counted

if TYPE_CHECKING:
    from intarsia.prediction import Prediction

Model = Annotated[Path, typer.Argument(help="A run folder, a model file, or a folder of runs.")]

_large = partial(typer.Option, rich_help_panel="Pictures of any size")
_better = partial(typer.Option, rich_help_panel="Better answers")
_measured = partial(typer.Option, rich_help_panel="Objects and measures")
_many = partial(typer.Option, rich_help_panel="Many pictures")

Tile = Annotated[int | None, _large(help="Side of the tiles in pixels; left out: by memory.")]
Overlap = Annotated[int | None, _large(help="Of the tiles in pixels; left out: an eighth.")]
Averaged = Annotated[bool, _better("--tta", help="Ask at 3 sizes, mirrored too; 6 times as long.")]
Thresholds = Annotated[
    list[str] | None, _better(metavar="[CLASS=]P", help="Take a class from this probability on; repeatable.")
]
MinArea = Annotated[int | None, _better(metavar="PIXELS", help="Remove smaller specks and holes.")]
Reckoning = Annotated[str | None, _many(metavar="NAME", help="fp32, or bf16: faster, and a few labels differ.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]

_MOST_TOLD = 20  # images that could not be read
_INPUTS = (
    "Pictures, GeoTIFFs, slides, videos; folders; patterns in quotes; text files (.txt) with a path in each line."
)
_OUTPUTS = "Any of masks,overlays,triptychs,probabilities,confidence,entropy,polygons,coco,instances,areas."


def predict(  # noqa: PLR0913 - the contract's options
    model: Model,
    inputs: Annotated[list[str], typer.Argument(help=_INPUTS)],
    out: Annotated[Path, typer.Option(help="Results go to OUT/masks, OUT/overlays, ...")],
    save: Annotated[str, typer.Option(metavar="NAMES", help=_OUTPUTS)] = "masks",
    device: Device = None,
    as_json: Json = False,
    tile: Tile = None,
    overlap: Overlap = None,
    level: Annotated[int | None, _large(help="Of a slide's pyramid; 0 is the finest.")] = None,
    mpp: Annotated[float | None, _large(help="Microns per pixel at which a slide is seen.")] = None,
    tta: Averaged = False,
    threshold: Thresholds = None,
    min_area: MinArea = None,
    classes: Annotated[
        str | None, _measured(metavar="NAMES", help="Outline and count these; left out: all but the background.")
    ] = None,
    touching: Annotated[bool, _measured("--touching", help="Tell touching instances apart (watershed).")] = False,
    tolerance: Annotated[float | None, _measured(metavar="PIXELS", help="Simplify polygons by this much.")] = None,
    pixel_size: Annotated[str | None, _measured(metavar="LENGTH", help="What a pixel measures: 0.5mm.")] = None,
    spacing: Annotated[str | None, _measured(metavar="Z,Y,X", help="Of a stack: 2mm,0.5mm,0.5mm.")] = None,
    float_probabilities: Annotated[
        bool, _measured("--float-probabilities", help="32-bit floats instead of 8 bits.")
    ] = False,
    batch: Annotated[int | None, _many(help="Pictures that the network sees at once.")] = None,
    shard: Annotated[str | None, _many(metavar="I/N", help="Do the I-th of N parts of the work.")] = None,
    precision: Reckoning = None,
    compiled: Annotated[bool, _many("--compile", help="torch.compile the network.")] = False,
) -> None:
    """Predict pictures of any size: masks, polygons, areas. The same command again goes on where it stopped."""
    from intarsia.prediction import predict as run_prediction
    from intarsia.terminal import count_on_terminal

    large = {"tile": tile, "overlap": overlap, "level": level, "mpp": mpp}
    better = {"tta": tta, "threshold": _thresholds(threshold or []), "min_area": min_area}
    chosen = {"classes": _names(classes or ""), "touching": touching, "tolerance": tolerance}
    measures = {"pixel_size": pixel_size, "spacing": spacing, "float_probabilities": float_probabilities}
    many = {"batch": batch, "shard": shard, "precision": precision, "compile": compiled}
    options = _given(large | better | chosen | measures | many)
    prediction = run_prediction(
        model, inputs, out, options, save=_names(save), device=device, progress=count_on_terminal("predicting")
    )
    speaks = os.environ.get("RANK", "0") == "0"  # of several processes, one
    if speaks:
        _tell(prediction, _names(save), as_json=as_json)
    if prediction.failed:
        number = len(prediction.failed)
        reasons = "\n".join(reason for _, reason in prediction.failed[:_MOST_TOLD])
        if number > _MOST_TOLD:
            reasons += f"\nand {number - _MOST_TOLD:,} more; --json lists them all"
        error = DataError(f"{counted(number, 'image')} could not be read, or not to the end:\n{reasons}")
        raise error if speaks else SystemExit(error.exit_code)


def _tell(prediction: "Prediction", save: list[str], *, as_json: bool) -> None:
    if as_json:
        told = {
            "out": str(prediction.out),
            "written": [path.as_posix() for path in prediction.written],
            "finished": [path.as_posix() for path in prediction.finished],
            "failed": [{"path": str(path), "message": message} for path, message in prediction.failed],
            "notes": list(prediction.notes),
        }
        typer.echo(json.dumps(told))
        return
    for note in prediction.notes:
        typer.echo(note, err=True)
    before = f" ({len(prediction.finished):,} were there already)" if prediction.finished else ""
    folders = ", ".join(str(prediction.out / name) for name in save)
    typer.echo(f"{counted(len(prediction.written), 'image')} predicted{before}: {folders}")


def evaluate(  # noqa: PLR0913 - with those options of predict that change what is scored
    model: Model,
    data: Data,
    split: Annotated[str, typer.Option(help="train, val or test.")] = "val",
    as_json: Json = False,
    device: Device = None,
    tile: Tile = None,
    overlap: Overlap = None,
    tta: Averaged = False,
    threshold: Thresholds = None,
    min_area: MinArea = None,
    precision: Reckoning = None,
) -> None:
    """Score a model at the original resolution, with one confusion matrix over the split."""
    from intarsia.cli.tables import print_scores
    from intarsia.evaluation import evaluate as run_evaluation
    from intarsia.terminal import count_on_terminal

    chosen = _given(
        {
            "tile": tile,
            "overlap": overlap,
            "tta": tta or None,
            "threshold": _thresholds(threshold or []) or None,
            "min_area": min_area,
            "precision": precision,
        }
    )
    scores = run_evaluation(model, data, split, chosen, device=device, progress=count_on_terminal("evaluating"))
    if as_json:
        typer.echo(json.dumps(scores.to_dict()))
    else:
        print_scores(scores)


def _given(options: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _thresholds(given: list[str]) -> dict[str, str]:
    """`crack=0.3` texts -> {class: probability}; a number alone stands for the class without a name."""
    found = {}
    for text in given:
        name, _, probability = text.rpartition("=")
        if name in found:
            raise SettingsError(f"--threshold {text}: the class stands twice.")
        found[name] = probability
    return found
