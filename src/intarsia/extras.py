"""Libraries that come as extras: imported when needed, named with their install line when missing."""

from importlib import import_module
from types import ModuleType

from intarsia.errors import MachineError


def needed(module: str, extra: str) -> ModuleType:
    """Imports a library.

    Args:
        module: its name in Python.
        extra: the extra of ours that brings it.

    Raises:
        MachineError: it is not installed.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != module.partition(".")[0]:
            raise
        raise MachineError(
            f"{module.partition('.')[0]} is not installed. Install it: pip install 'intarsia[{extra}]'"
        ) from None
