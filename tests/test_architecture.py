"""The house: which module stands on which floor, that imports go down only, and that rooms stay small."""

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import intarsia

ROOT = Path(intarsia.__file__).parent
MOST_LINES_OF_A_MODULE = 400
MOST_LINES_OF_A_FUNCTION = 60

# A module imports only from floors below its own; modules of one folder may import each other without a circle.
FLOORS = {
    "_version": 0,
    "errors": 0,
    "catalogue": 1,
    "cores": 1,
    "determinism": 1,
    "distributed": 1,
    "extras": 1,
    "files": 1,
    "labels": 1,
    "locks": 2,
    "memory": 1,
    "names": 1,
    "pages": 1,
    "quantities": 1,
    "sharding": 1,
    "signals": 1,
    "terminal": 1,
    "tiles": 1,
    "ahead": 1,
    "answers": 1,
    "options": 3,
    "weights": 1,
    "archives": 2,
    "downloading": 2,
    "hub": 2,
    "charts": 2,
    "settings": 2,
    "data": 3,
    "data.adapters": 3,
    "data.annotations": 3,
    "data.augment": 3,
    "data.cache": 3,
    "data.check": 3,
    "data.check.classes": 3,
    "data.check.features": 3,
    "data.check.files": 3,
    "data.check.findings": 3,
    "data.check.inspection": 3,
    "data.check.looks": 3,
    "data.check.meaning": 3,
    "data.check.memory": 3,
    "data.check.conclusion": 3,
    "data.check.colors": 3,
    "data.check.values": 3,
    "data.check.void": 3,
    "data.check.tally": 3,
    "data.check.placement": 3,
    "data.check.records": 3,
    "data.check.similar": 3,
    "data.classlists": 3,
    "data.dataset": 3,
    "data.datasetfile": 3,
    "data.foreign": 3,
    "data.formats": 3,
    "data.formats.ade20k": 3,
    "data.formats.camvid": 3,
    "data.formats.cityscapes": 3,
    "data.formats.coco": 3,
    "data.formats.cvat": 3,
    "data.formats.folders": 3,
    "data.formats.huggingface": 3,
    "data.formats.labelme": 3,
    "data.formats.layers": 3,
    "data.formats.nnunet": 3,
    "data.formats.objects": 3,
    "data.formats.pet": 3,
    "data.formats.supervisely": 3,
    "data.formats.table": 3,
    "data.formats.ultralytics": 3,
    "data.formats.voc": 3,
    "data.index": 3,
    "data.mixing": 3,
    "data.nodata": 3,
    "data.pairing": 3,
    "data.pairs": 3,
    "data.palettes": 3,
    "data.read": 3,
    "data.shapes": 3,
    "data.signatures": 3,
    "data.sources": 3,
    "data.splitlists": 3,
    "draw": 3,
    "losses": 3,
    "metrics": 3,
    "networks": 3,
    "networks.anygrid": 3,
    "networks.compact": 3,
    "networks.contract": 3,
    "networks.ensemble": 3,
    "networks.heads": 3,
    "networks.licences": 3,
    "networks.segmenter": 3,
    "networks.smp": 3,
    "networks.torchvision": 3,
    "networks.transfer": 3,
    "networks.transformers": 3,
    "networks.unet": 3,
    "optim": 3,
    "synthetic": 3,
    "synthetic.diorama": 3,
    "synthetic.scenery": 3,
    "synthetic.scenes": 3,
    "checkpoint": 4,
    "guards": 4,
    "loggers": 4,
    "conversion": 4,
    "exhibits": 4,
    "fetching": 4,
    "mending": 4,
    "raster": 4,
    "raster.contract": 4,
    "raster.frames": 4,
    "raster.geotiff": 4,
    "raster.opening": 4,
    "raster.pictures": 4,
    "raster.pngrows": 4,
    "raster.samples": 4,
    "raster.slides": 4,
    "raster.tiff": 4,
    "raster.tiffrows": 4,
    "raster.unfinished": 4,
    "raster.video": 4,
    "raster.writers": 4,
    "modelfile": 4,
    "tiling": 4,
    "gallery": 5,
    "finetuning": 5,
    "inference": 5,
    "objects": 5,
    "objects.coco": 5,
    "objects.geojson": 5,
    "objects.outlines": 5,
    "objects.regions": 5,
    "objects.runs": 5,
    "objects.specks": 5,
    "objects.units": 5,
    "objects.instances": 5,
    "objects.areas": 5,
    "inputs": 5,
    "results": 6,
    "results.outputs": 6,
    "results.plan": 6,
    "results.writing": 6,
    "results.result": 6,
    "results.summaries": 6,
    "loading": 7,
    "runs": 5,
    "defaults": 8,
    "evaluation": 8,
    "pipeline": 7,
    "pipeline.flow": 7,
    "pipeline.framewise": 7,
    "pipeline.jobs": 7,
    "pipeline.records": 7,
    "pipeline.workshop": 7,
    "prediction": 8,
    "preparation": 8,
    "report": 8,
    "checking": 9,
    "overview": 9,
    "raydata": 9,
    "feed": 9,
    "pace": 9,
    "steps": 9,
    "tuning": 10,
    "training": 10,
    "demonstration": 11,
    "repetition": 11,
    "cli": 12,
    "cli.commands": 12,
    "cli.data": 12,
    "cli.prediction": 12,
    "cli.tables": 12,
    "cli.training": 12,
    "": 13,
    "__main__": 13,
}


def name_of(path: Path) -> str:
    """`data/read.py` -> `data.read`, `data/__init__.py` -> `data`, the package itself -> an empty name."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


PATHS = {name_of(path): path for path in sorted(ROOT.rglob("*.py"))}
TREES = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in PATHS.items()}
EVERY_MODULE = pytest.mark.parametrize("name", PATHS, ids=lambda name: name or "intarsia")


def imports(tree: ast.AST) -> Iterator[str]:
    """Our own modules that are imported anywhere in it, inside functions too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            below = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [name if name.removeprefix("intarsia.") in PATHS else str(node.module) for name in below]
        else:
            continue
        yield from (name.removeprefix("intarsia").lstrip(".") for name in names if name.split(".")[0] == "intarsia")


IMPORTS = {name: set(imports(tree)) for name, tree in TREES.items()}


def folder(name: str) -> str:
    """The top folder that a module lies in; a module outside folders is alone."""
    return name.split(".")[0]


def test_every_module_has_a_floor_and_every_floor_a_module() -> None:
    assert set(FLOORS) == set(PATHS)


@EVERY_MODULE
def test_imports_go_down(name: str) -> None:
    wrong = [
        other
        for other in IMPORTS[name]
        if FLOORS[other] >= FLOORS[name] and not (name and folder(other) == folder(name))
    ]
    assert wrong == [], f"{name} (floor {FLOORS[name]}) imports {wrong}"


def test_no_floor_is_higher_than_it_must_be() -> None:
    """Each has a module that imports from the one right below."""
    for floor in range(1, max(FLOORS.values()) + 1):
        modules = [name for name in FLOORS if FLOORS[name] == floor]
        assert any(FLOORS[other] == floor - 1 for name in modules for other in IMPORTS[name]), floor


def test_there_is_no_circle() -> None:
    TopologicalSorter(IMPORTS).prepare()


def test_the_imports_are_really_seen() -> None:
    assert {"feed", "data.check.inspection", "errors", "draw"} <= IMPORTS["training"]
    assert "evaluation" in IMPORTS["cli.prediction"]
    assert "metrics" in IMPORTS["cli.tables"]


@EVERY_MODULE
def test_modules_stay_small_and_say_what_they_are(name: str) -> None:
    assert ast.get_docstring(TREES[name])
    assert len(PATHS[name].read_text(encoding="utf-8").splitlines()) < MOST_LINES_OF_A_MODULE


@EVERY_MODULE
def test_functions_stay_small(name: str) -> None:
    long = {
        node.name: lines
        for node in ast.walk(TREES[name])
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (lines := lines_without_docstring(node)) >= MOST_LINES_OF_A_FUNCTION
    }
    assert long == {}


def lines_without_docstring(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    assert function.end_lineno
    lines = function.end_lineno - function.lineno + 1
    first = function.body[0]
    if ast.get_docstring(function) is not None:
        assert first.end_lineno
        lines -= first.end_lineno - first.lineno + 1
    return lines
