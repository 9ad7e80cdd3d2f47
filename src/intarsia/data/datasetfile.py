"""The dataset file: a TOML file that says where the pairs are and what the mask values mean.

    path = "pictures"                # a folder or file in any known format; left out: this file's own folder
    format = "coco"                  # which one, where the files alone do not tell
    ignore = [11]                    # stored mask values that count for nothing
    encoding = "colors"              # what the pixels of masks are: values, colors, channels, objects
    snap = 40                        # values at most this far from one that means something are taken for it
    exclude = ["train/0007"]         # pairs that are left out: SPLIT/NAME or NAME
    mend = ["exif", "resize"]        # what may be done to masks of another size than their image

    [splits.train]                   # or name the folders one by one
    images = "day1/photos"
    masks = "day1/annotated"

    [classes]                        # in the order of the class indices
    sky = 0                          # the stored mask value
    road = {value = 3, color = "#804080"}
    car = {value = [8, 9]}           # several stored values that mean one class
    tree = "#6b8e23"                 # or, in colour masks, the colour

`classes = ["sky", "road"]` names the classes in their order and lets the masks tell their values.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from intarsia.data.formats import FORMATS
from intarsia.data.pairs import Mend
from intarsia.errors import DataError, SettingsError, did_you_mean, explained
from intarsia.labels import IGNORE, Color, Encoding, Labels, distinct_colors
from intarsia.quantities import listed
from intarsia.settings import read_toml

_Hex = Annotated[str, Field(pattern="^#[0-9a-fA-F]{6}$")]
_Value = Annotated[int, Field(strict=True, ge=0, le=65535)] | _Hex
_Values = Annotated[tuple[_Value, ...], BeforeValidator(listed)]


def _in_full(classes: object) -> object:
    """`["sky", "road"]` -> {"sky": {}, "road": {}}; `{sky = 0, road = "#804080"}` -> {"sky": {"value": 0}, ...}."""
    if isinstance(classes, list):
        names = [str(name) for name in classes]
        if twice := [name for name in names if names.count(name) > 1]:
            raise DataError(f"Class names must differ: {twice[0]!r} stands twice.")
        classes = {name: {} for name in names}
    if not isinstance(classes, dict):
        return classes
    return {name: entry if isinstance(entry, dict) else {"value": entry} for name, entry in classes.items()}


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ClassEntry(_Strict):
    """One class: its stored value or values (in colour masks, colours), and the colour to show it in."""

    value: Annotated[_Values, Field(min_length=1)] = ()
    color: _Hex | None = None


class SplitEntry(_Strict):
    """The folders of one split, relative to the dataset file."""

    images: str
    masks: str


class DatasetFile(_Strict):
    """What a dataset file says. Everything in it may be left out."""

    path: str = "."
    format: str = ""
    encoding: Encoding | None = None
    snap: Annotated[float, Field(ge=0, le=442)] = 0  # the distance from black to white
    exclude: tuple[str, ...] = ()
    mend: tuple[Mend, ...] = ()
    splits: dict[Literal["train", "val", "test"], SplitEntry] = {}
    ignore: _Values = ()
    classes: Annotated[dict[str, ClassEntry], BeforeValidator(_in_full)] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """The names of classes whose stored values are not said."""
        return () if self._values_are_said else tuple(self.classes)

    @property
    def _values_are_said(self) -> bool:
        return any(entry.value for entry in self.classes.values())

    @property
    def _in_colors(self) -> bool:
        return any(isinstance(value, str) for entry in self.classes.values() for value in entry.value)

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        said = [value for entry in self.classes.values() for value in entry.value] + list(self.ignore)
        in_colors = self.encoding == "colors" or (self.encoding is None and self._in_colors)
        if self.format and self.format not in FORMATS:
            raise DataError(f"format = {self.format!r}: is unknown. {did_you_mean(self.format, FORMATS)}")
        for name, entry in self.classes.items():
            if self._values_are_said and not entry.value:
                raise DataError(f"classes.{name} has no value, but others do: give each one, or only their names.")
        for value in said if self._values_are_said or self.encoding else ():
            if isinstance(value, str) != in_colors:
                wanted = "colours such as #804080" if in_colors else "whole numbers"
                raise DataError(f"value {value}: in these masks all values are {wanted}.")
        return self

    def ignored(self) -> tuple[int, ...]:
        """The stored values that count for nothing."""
        return tuple(_number(value) for value in self.ignore)

    def labels(self) -> Labels | None:
        """The declared classes; None where no stored values are declared."""
        if not self._values_are_said:
            return None
        entries = list(self.classes.values())
        encoding: Encoding = self.encoding or ("colors" if self._in_colors else "values")
        values = tuple(tuple(_number(value) for value in entry.value) for entry in entries)
        used = {value for own in values for value in own}
        ignored = [*self.ignored(), *([IGNORE] if encoding != "colors" and IGNORE not in used else [])]
        shown = [
            entry.color or next((value for value in entry.value if isinstance(value, str)), None)
            for entry in entries
        ]
        return Labels(
            names=tuple(self.classes),
            colors=tuple(
                _rgb(color) or other for color, other in zip(shown, distinct_colors(len(entries)), strict=True)
            ),
            values=values,
            ignore=tuple(dict.fromkeys(ignored)),
            encoding=encoding,
            snap=self.snap,
        )


def _number(value: int | str) -> int:
    """A stored value, a colour as 0xRRGGBB."""
    return value if isinstance(value, int) else int(value[1:], 16)


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
        raise DataError(f"{path}: {_explained(unknown_first[0])}") from None
    return file


def _explained(problem: Mapping[str, Any]) -> str:
    # Where a number or a colour is accepted, the place ends in which of the two was tried.
    place = [str(part) for part in problem["loc"] if not str(part).startswith("constrained-")]
    name = ".".join(place)
    if problem["type"] == "int_type" and isinstance(problem["input"], str):
        return f"{name} = {problem['input']}: a value is a whole number, or a colour written #rrggbb."
    if problem["type"] == "string_pattern_mismatch":
        return f"{name} = {problem['input']}: a colour is written #rrggbb."
    owners: dict[str, type[_Strict]] = {"splits": SplitEntry, "classes": ClassEntry}
    known = owners.get(place[0], DatasetFile).model_fields
    return explained(problem, name, unknown=f"{name} is unknown. {did_you_mean(place[-1], known)}")


def _rgb(color: str | None) -> Color | None:
    if color is None:
        return None
    return int(color[1:3], 16), int(color[3:5], 16), int(color[5:7], 16)
