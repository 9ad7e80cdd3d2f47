"""The options of a prediction: how large pictures are cut, how answers are made better, and what is measured."""

from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, ValidationError, model_validator

from intarsia.errors import SettingsError, did_you_mean, explained
from intarsia.quantities import Share, listed
from intarsia.settings import Precision, Section


def _alone(threshold: object) -> object:
    """A number alone -> that of the class without a name: the one of two that is not the background."""
    return {"": threshold} if isinstance(threshold, int | float) else threshold


def _parts(shard: object) -> object:
    """`1/4` -> (1, 4); anything else is left to the validator."""
    if isinstance(shard, str) and shard.count("/") == 1:
        return tuple(part.strip() for part in shard.split("/"))
    return shard


class PredictOptions(Section):
    """How pictures are predicted. On the command line each is `--name`, with dashes."""

    tile: Annotated[int, Field(ge=1)] | None = Field(
        None, description="side of the tiles that large pictures are cut into, in pixels (None: chosen by memory)"
    )
    overlap: Annotated[int, Field(ge=0)] | None = Field(
        None, description="of the tiles, in pixels (None: an eighth of a tile)"
    )
    batch: Annotated[int, Field(ge=1, le=1024)] | None = Field(
        None, description="pictures of equal size, or tiles, that the network sees at once (None: by the device)"
    )
    tta: bool = Field(
        False,
        description="average the answers to the picture at three sizes, as it is and mirrored; six times as long",
    )
    threshold: Annotated[dict[str, Share], BeforeValidator(_alone)] = Field(
        default_factory=dict,
        description="{class: probability from which on it is taken}; of two classes, the number alone",
    )
    min_area: Annotated[int, Field(ge=0)] = Field(
        0, description="specks and holes of fewer pixels are given to what surrounds them"
    )
    classes: Annotated[tuple[str, ...], BeforeValidator(listed)] = Field(
        (), description="classes whose objects are outlined and counted (none: all but the background)"
    )
    touching: bool = Field(False, description="tell objects apart that touch each other (watershed), in instances")
    tolerance: Annotated[float, Field(ge=0)] = Field(
        0.0, description="pixels by which the outline of a polygon may be off, so that it has fewer points"
    )
    pixel_size: str | None = Field(
        None, description="what a pixel measures, such as 0.5mm, or 0.5mm,0.6mm for height and width"
    )
    spacing: str | None = Field(
        None, description="of a stack of slices, such as 2mm,0.5mm,0.5mm for depth, height and width: volumes"
    )
    level: Annotated[int, Field(ge=0)] | None = Field(None, description="of a whole-slide picture; 0 is the finest")
    mpp: Annotated[float, Field(gt=0)] | None = Field(
        None, description="microns per pixel at which a whole-slide picture is predicted"
    )
    float_probabilities: bool = Field(False, description="probabilities as 32-bit floats instead of 8 bits")
    precision: Precision = Field(
        "fp32",
        description="of the network's layers; bf16 and fp16 take half the time and memory where the processor has "
        "them, and change a few labels",
    )
    compile: bool = Field(False, description="torch.compile the network")
    shard: Annotated[tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)]], BeforeValidator(_parts)] = (
        Field((1, 1), description="this process's part of the work, such as 1/4: for several machines")
    )

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        number, of = self.shard
        if number > of:
            raise SettingsError(f"--shard {number}/{of}: counts from 1 to {of}.")
        if self.pixel_size and self.spacing:
            raise SettingsError(
                "--pixel-size and --spacing: the spacing says the pixel's height and width too. Give one."
            )
        return self


def make_options(given: Mapping[str, Any]) -> PredictOptions:
    """Checked options.

    Raises:
        SettingsError: an unknown name, a value out of range, values that contradict each other, or no mapping.
    """
    if not isinstance(given, Mapping):
        raise SettingsError(f"Options {given!r}: expected is a mapping of names, such as {{'tta': True}}.")
    try:
        return PredictOptions.model_validate(given)
    except ValidationError as error:
        raise SettingsError("\n".join(dict.fromkeys(map(_explained, error.errors())))) from None


def _explained(problem: Mapping[str, Any]) -> str:
    name = str(problem["loc"][0])
    field = PredictOptions.model_fields.get(name)
    flag = f"--{name.replace('_', '-')}"
    return explained(
        problem,
        flag,
        given=f"{flag} {problem['input']}",
        meaning=field and field.description,
        unknown=f"Option {name!r} is unknown. {did_you_mean(name, PredictOptions.model_fields)}",
    )
