"""The public surface, and what importing it costs."""

import inspect
import json
import subprocess
import sys
from collections.abc import Callable

import pytest

import intarsia
from intarsia.errors import IntarsiaError

HEAVY = {"torch", "numpy", "pydantic", "cv2", "PIL", "matplotlib", "safetensors", "tifffile"}


def in_fresh_python(program: str) -> object:
    """What `program` leaves in `answer`."""
    text = f"import json, sys\n{program}\nprint(json.dumps(answer))"
    done = subprocess.run([sys.executable, "-W", "error", "-c", text], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def loaded_after(program: str) -> set[str]:
    return set(in_fresh_python(f"{program}\nanswer = sorted({{name.split('.')[0] for name in sys.modules}})"))


def test_the_names_are_sorted_and_each_once() -> None:
    assert list(intarsia.__all__) == sorted(set(intarsia.__all__))


@pytest.mark.parametrize("name", intarsia.__all__)
def test_every_name_resolves_and_explains_itself(name: str) -> None:
    thing = getattr(intarsia, name)
    assert inspect.getdoc(thing)
    if inspect.isclass(thing) or inspect.isfunction(thing):
        assert thing.__module__.startswith("intarsia.")
        assert thing.__name__ == name


def test_nothing_else_is_public() -> None:
    assert dir(intarsia) == sorted(intarsia.__all__)
    assert set(intarsia._HOME) <= set(intarsia.__all__)
    eager = {"__version__"} | {name for name, value in vars(intarsia).items() if is_error(value)}
    assert eager | set(intarsia._HOME) == set(intarsia.__all__)


def is_error(value: object) -> bool:
    return inspect.isclass(value) and issubclass(value, IntarsiaError)


def test_a_star_import_gives_exactly_these_names() -> None:
    program = (
        "before = set(globals())\nfrom intarsia import *\nanswer = sorted(set(globals()) - before - {'before'})"
    )
    assert in_fresh_python(program) == sorted(intarsia.__all__)


@pytest.mark.parametrize("name", ["trian", "modelfile_", "_private"])
def test_an_unknown_name_is_an_attribute_error(name: str) -> None:
    with pytest.raises(AttributeError, match=f"module 'intarsia' has no attribute '{name}'"):
        getattr(intarsia, name)


def test_functions_stay_functions_after_their_modules_were_imported() -> None:
    program = """
import importlib, pkgutil, intarsia
for module in pkgutil.walk_packages(intarsia.__path__, "intarsia."):
    if module.name != "intarsia.__main__":
        importlib.import_module(module.name)
answer = [name for name in intarsia.__all__ if not name.startswith("__") and not callable(getattr(intarsia, name))]
"""
    assert in_fresh_python(program) == []


def test_the_package_alone_imports_nothing_heavy() -> None:
    assert not loaded_after("import intarsia; intarsia.DataError, dir(intarsia)") & HEAVY


@pytest.mark.parametrize(
    "program",
    ["import intarsia.cli", "from intarsia.cli import main\ntry: main(['--help'])\nexcept SystemExit: pass"],
)
def test_the_command_line_does_not_import_what_computes(program: str) -> None:
    quiet = "import contextlib, io\nwith contextlib.redirect_stdout(io.StringIO()):\n"
    indented = "\n".join("    " + line for line in program.splitlines())
    assert not loaded_after(quiet + indented) & HEAVY


@pytest.mark.parametrize(
    "name", ["open_dataset", "Settings", "make_settings", "Labels", "read_mask", "check", "fetch", "convert"]
)
def test_what_only_reads_does_not_import_torch(name: str) -> None:
    assert "torch" not in loaded_after(f"import intarsia; intarsia.{name}")


@pytest.mark.parametrize(
    ("function", "first"),
    [
        (intarsia.check, ["data"]),
        (intarsia.train, ["data", "out", "settings"]),
        (intarsia.evaluate, ["model", "data", "split", "options"]),
        (intarsia.predict, ["model", "inputs", "out", "options"]),
        (intarsia.predict_on_ray, ["model", "inputs", "out", "options"]),
        (intarsia.load, ["path", "device"]),
        (intarsia.open_dataset, ["path"]),
        (intarsia.fetch, ["source", "folder"]),
        (intarsia.convert, ["src", "dst"]),
        (intarsia.models, ["word", "size", "bands", "classes"]),
    ],
)
def test_the_positional_arguments_are_those_of_the_readme(function: Callable, first: list[str]) -> None:
    positional = [
        name
        for name, parameter in inspect.signature(function).parameters.items()
        if parameter.kind is parameter.POSITIONAL_OR_KEYWORD
    ]
    assert positional == first
