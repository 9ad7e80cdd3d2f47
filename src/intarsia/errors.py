"""The errors that a user can cause or meet, each with the exit code of the command line.

    IntarsiaError
    ├── SettingsError    2   an option or a setting
    ├── DataError        3   images, masks, their layout
    ├── ModelFileError   4   a file that should hold a model
    └── MachineError     5   disk, device, missing extra

A message names the file or setting, the value met, what is accepted, and the next step. Whatever is not an
`IntarsiaError` is our own mistake.
"""

import difflib
from collections.abc import Iterable, Mapping
from typing import Any


class IntarsiaError(Exception):
    """Base of all errors that are the user's to mend."""

    exit_code = 1


class SettingsError(IntarsiaError):
    """An option or a setting is unknown, out of range, or contradicts another."""

    exit_code = 2


class DataError(IntarsiaError):
    """A file or folder of the dataset cannot be used as it is."""

    exit_code = 3


class ModelFileError(IntarsiaError):
    """A file is not a model of ours, or is damaged."""

    exit_code = 4


class MachineError(IntarsiaError):
    """The machine cannot do it: disk full or read-only, no such device, an extra not installed."""

    exit_code = 5


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A sentence that offers the nearest of the `known` names, or lists them all."""
    known = sorted(known)
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    return f"Did you mean {near[0]!r}?" if near else f"Known: {', '.join(known)}."


def explained(
    problem: Mapping[str, Any], name: str, *, given: str = "", meaning: str | None = None, unknown: str = ""
) -> str:
    """What pydantic says is wrong with a value, in a line.

    Args:
        problem: one of `ValidationError.errors()`.
        name: of the value.
        given: name and value as they were written; `name = value` where left out.
        meaning: of the value.
        unknown: the line for a name that nobody knows.
    """
    if problem["type"] == "extra_forbidden":
        return unknown
    if problem["type"] == "missing" and isinstance(problem["loc"][-1], str):
        return f"{name} is missing."
    message = problem["msg"][0].lower() + problem["msg"][1:].split(" or instance of ")[0]  # a class of ours
    if problem["type"] == "missing":  # of a list
        message = "more values are expected"
    told = given or f"{name} = {problem['input']}"
    return f"{told}: {message} ({meaning})." if meaning else f"{told}: {message}."


def first_line(error: BaseException) -> str:
    """The first line of what an error says, without its full stop; its kind, where it says nothing."""
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")


def counted(number: int, noun: str) -> str:
    """`1 mask`, `1,200 masks`."""
    return f"{number:,} {noun}{'s' * (number != 1)}"


def listing(items: Iterable[object], most: int = 5) -> str:
    """The first few items, comma-separated, and how many more there are."""
    texts = [str(item) for item in items]
    more = f" and {len(texts) - most} more" if len(texts) > most else ""
    return ", ".join(texts[:most]) + more
