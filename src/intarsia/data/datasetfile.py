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

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from intarsia.errors import DataError, SettingsError, did_you_mean
from intarsia.labels import IGNORE, Color, Labels, distinct_colors
from intarsia.settings import read_toml

_HEX = re.compile(r"#[0-9a-fA-F]{6}")
_Value = Annotated[int, Field(ge=0, le=65535)]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ClassEntry(_Strict):
    """One class: its stored value or values, and its colour as #rrggbb."""

    value: _Value | tuple[_Value, ...]
    color: Annotated[str, Field(pattern=_HEX.pattern)] | None = None


class SplitEntry(_Strict):
    """The folders of one split, relative to the dataset file."""

    images: str
    masks: str


class DatasetFile(_Strict):
    """What a dataset file says. Everything in it may be left out."""

    path: str = "."
    splits: dict[Literal["train", "val", "test"], SplitEntry] = {}
    ignore: tuple[_Value, ...] = ()
    classes: dict[str, _Value | ClassEntry] | tuple[str, ...] = {}

    def labels(self) -> Labels | None:
        """The declared classes; None when there are none."""
        if not self.classes:
            return None
        entries = self.classes
        if not isinstance(entries, dict):
            entries = dict(zip(entries, range(len(entries)), strict=True))
        full = [entry if isinstance(entry, ClassEntry) else ClassEntry(value=entry) for entry in entries.values()]
        values = tuple(entry.value if isinstance(entry.value, tuple) else (entry.value,) for entry in full)
        used = {value for own in values for value in own}
        return Labels(
            names=tuple(entries),
            colors=tuple(
                _rgb(entry.color) or color for entry, color in zip(full, distinct_colors(len(full)), strict=True)
            ),
            values=values,
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
        problem = error.errors()[0]
        place = [str(part) for part in problem["loc"]]
        if problem["type"] == "extra_forbidden":
            advice = did_you_mean(place[-1], DatasetFile.model_fields) if len(place) == 1 else ""
            raise DataError(f"{path}: {'.'.join(place)} is unknown. {advice}".rstrip()) from None
        raise DataError(f"{path}: {'.'.join(place[:2])} = {problem['input']}: {problem['msg']}.") from None
    return file


def _rgb(color: str | None) -> Color | None:
    if color is None:
        return None
    return int(color[1:3], 16), int(color[3:5], 16), int(color[5:7], 16)
