"""The dataset file: a TOML file that says where the pairs are and what the mask values mean.

    path = "pictures"                # a folder in any known layout; left out: this file's own folder
    ignore = [11]                    # stored mask values that count for nothing

    [splits.train]                   # or name the folders one by one
    images = "day1/photos"
    masks = "day1/annotated"

    [classes]                        # in the order of the class indices
    sky = 0                          # the stored mask value
    road = {value = 3, color = "#804080"}
    car = {value = [8, 9]}           # several stored values that mean one class

`classes = ["sky", "road"]` is short for the values 0, 1, and so on.
"""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from intarsia.errors import DataError, SettingsError, did_you_mean
from intarsia.labels import IGNORE, Color, Labels, distinct_colors
from intarsia.settings import listed, read_toml

_Value = Annotated[int, Field(strict=True, ge=0, le=65535)]
_Values = Annotated[tuple[_Value, ...], BeforeValidator(listed)]
_Hex = Annotated[str, Field(pattern="^#[0-9a-fA-F]{6}$")]


def _in_full(classes: object) -> object:
    """`["sky", "road"]` or `{sky = 0, road = 1}` -> {"sky": {"value": 0}, "road": {"value": 1}}."""
    if isinstance(classes, list):
        names = [str(name) for name in classes]
        if twice := [name for name in names if names.count(name) > 1]:
            raise DataError(f"Class names must differ: {twice[0]!r} stands twice.")
        classes = {name: value for value, name in enumerate(names)}
    if not isinstance(classes, dict):
        return classes
    return {name: entry if isinstance(entry, dict) else {"value": entry} for name, entry in classes.items()}


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ClassEntry(_Strict):
    """One class: its stored value or values, and its colour as #rrggbb."""

    value: Annotated[_Values, Field(min_length=1)]
    color: _Hex | None = None


class SplitEntry(_Strict):
    """The folders of one split, relative to the dataset file."""

    images: str
    masks: str


class DatasetFile(_Strict):
    """What a dataset file says. Everything in it may be left out."""

    path: str = "."
    splits: dict[Literal["train", "val", "test"], SplitEntry] = {}
    ignore: _Values = ()
    classes: Annotated[dict[str, ClassEntry], BeforeValidator(_in_full)] = {}

    def labels(self) -> Labels | None:
        """The declared classes; None when there are none."""
        if not self.classes:
            return None
        entries = list(self.classes.values())
        used = {value for entry in entries for value in entry.value}
        return Labels(
            names=tuple(self.classes),
            colors=tuple(
                _rgb(entry.color) or color
                for entry, color in zip(entries, distinct_colors(len(entries)), strict=True)
            ),
            values=tuple(entry.value for entry in entries),
            ignore=tuple(dict.fromkeys([*self.ignore, *(() if IGNORE in used else (IGNORE,))])),
        )


def read_dataset_file(path: Path) -> DatasetFile:
    """Reads a dataset file.

    Raises:
        DataError: it is not TOML, or says something unknown or impossible.
    """
    try:
        file = DatasetFile.model_validate(read_toml(path))
        file.labels()
    except SettingsError as error:
        raise DataError(str(error)) from None
    except DataError as error:
        raise DataError(f"{path}: {error}") from None
    except ValidationError as error:
        unknown_first = sorted(error.errors(), key=lambda problem: problem["type"] != "extra_forbidden")
        raise DataError(f"{path}: {_explain(unknown_first[0])}") from None
    return file


def _explain(problem: Any) -> str:  # noqa: ANN401 - pydantic's ErrorDetails belongs to another package
    place = [str(part) for part in problem["loc"]]
    name = ".".join(place)
    if problem["type"] == "extra_forbidden":
        owners: dict[str, type[_Strict]] = {"splits": SplitEntry, "classes": ClassEntry}
        owner = owners.get(place[0], DatasetFile)
        return f"{name} is unknown. {did_you_mean(place[-1], owner.model_fields)}"
    if problem["type"] == "missing":
        return f"{name} is missing."
    if problem["type"] == "string_pattern_mismatch":
        return f"{name} = {problem['input']}: a colour is written #rrggbb."
    message = problem["msg"][0].lower() + problem["msg"][1:]
    return f"{name} = {problem['input']}: {message}."


def _rgb(color: str | None) -> Color | None:
    if color is None:
        return None
    return int(color[1:3], 16), int(color[3:5], 16), int(color[5:7], 16)
