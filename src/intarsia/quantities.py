"""Quantities as people write them in settings: durations, sizes, shares, lists of one."""

import re
from typing import Annotated

from pydantic import BeforeValidator, Field

_DURATION = re.compile(r"^(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s?)?$")


def seconds(duration: object) -> object:
    """`10m`, `1h30m`, `90s` or a plain number of seconds -> seconds; anything else is left to the validator."""
    if not isinstance(duration, str) or not (match := _DURATION.match(duration.strip())) or not match.group():
        return duration
    hours, minutes, rest = (float(part or 0) for part in match.groups())
    return hours * 3600 + minutes * 60 + rest


def height_width(size: object) -> object:
    """`120,160`, `120x160`, or one number for a square -> (height, width); anything else is left alone."""
    if isinstance(size, int):
        return (size, size)
    if isinstance(size, str) and re.fullmatch(r"\s*\d+\s*([,x]\s*\d+\s*)?", size):
        numbers = [int(number) for number in re.split("[,x]", size)]
        return (numbers[0], numbers[-1])
    return size


def always(steps: object) -> object:
    """True and false as steps: always, and none."""
    return {True: "always", False: 0}[steps] if isinstance(steps, bool) else steps


def listed(value: object) -> object:
    """A number or text alone -> a list of it; anything else is left to the validator."""
    return [value] if isinstance(value, int | str) else value


Seconds = Annotated[float, BeforeValidator(seconds), Field(gt=0)]
Size = Annotated[
    tuple[Annotated[int, Field(ge=1, le=16384)], Annotated[int, Field(ge=1, le=16384)]],
    BeforeValidator(height_width),
]
Share = Annotated[float, Field(ge=0, le=1)]
