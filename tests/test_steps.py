"""Compiling the network that learns: tried on a copy, and where it does not work the training goes on without."""

from copy import deepcopy
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import torch
import torch._dynamo
from torch import nn

from intarsia.checkpoint import random_state
from intarsia.distributed import World
from intarsia.preparation import Setup
from intarsia.runs import Run, read_metrics
from intarsia.settings import make_settings
from intarsia.steps import compile_network
from intarsia.training import train
from tests.small import small_model

TRAIN: dict[str, Any] = {"size": (32, 32), "batch": 2, "steps": 3, "validations": 1, "device": "cpu"}
MODEL = {"name": "unet", "width": 4, "depth": 2, "stem": 1, "dropout": 0.2}


def setup_of(run: Run, **train_settings: Any) -> Setup:
    """Only what compiling looks at."""
    settings = make_settings(
        {"train": {**TRAIN, "precision": "fp32", **train_settings}, "loss": {"resolution": "image"}}
    )
    unused: dict[str, Any] = dict.fromkeys(("card", "pairs", "loss", "class_weights"))
    return Setup(world=World(), run=run, settings=settings, device=torch.device("cpu"), val=(), **unused)


@pytest.fixture(autouse=True)
def fresh_compiler() -> Any:
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def backend(monkeypatch: pytest.MonkeyPatch, compiler: Any) -> list[Any]:
    """Puts another compiler behind `Module.compile`; the modules that asked for it."""
    asked: list[Any] = []

    def compile_with(module: nn.Module) -> None:
        asked.append(module)
        module._compiled_call_impl = torch.compile(module._call_impl, backend=compiler)

    monkeypatch.setattr(nn.Module, "compile", compile_with)
    return asked


def failing(graph: Any, inputs: Any) -> Any:
    raise FileNotFoundError("no C++ compiler\nand much more")


def test_a_compiler_that_fails_is_told_and_all_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = backend(monkeypatch, failing)
    segmenter, _ = small_model()
    image = torch.rand(1, 3, 16, 16) * 255
    expected = segmenter(image)
    said = StringIO()
    with Run(tmp_path, stream=said) as run:
        compile_network(setup_of(run), segmenter)
    assert said.getvalue() == (
        "warning: train.compile: not compiled: BackendCompilerFailed: FileNotFoundError: no C++ compiler\n"
    )
    assert len(asked) == 1
    assert asked[0] is not segmenter.network
    assert segmenter(image).equal(expected)


def test_a_compiler_that_works_compiles_the_network_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    graphs: list[tuple[int, ...]] = []

    def counting(graph: Any, inputs: Any) -> Any:
        graphs.extend(tuple(one.shape) for one in inputs if one.dim() == 4 and not isinstance(one, nn.Parameter))
        return graph.forward

    asked = backend(monkeypatch, counting)
    segmenter, _ = small_model()
    said = StringIO()
    with Run(tmp_path, stream=said) as run:
        compile_network(setup_of(run, batch=5), segmenter)
    assert said.getvalue() == "compiled\n"
    assert asked[1:] == [segmenter.network]
    assert set(graphs) == {(5, 3, 32, 32)}, "tried on a batch as it will come"


@pytest.mark.parametrize("compiler", [failing, "eager"])
def test_the_trial_changes_neither_statistics_nor_weights_nor_random_numbers(
    compiler: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend(monkeypatch, compiler)
    segmenter, _ = small_model(dropout=0.3)
    before = deepcopy(segmenter.state_dict())
    random = random_state(torch.device("cpu"))
    with Run(tmp_path, stream=StringIO()) as run:
        compile_network(setup_of(run), segmenter)
    assert all(tensor.equal(before[name]) for name, tensor in segmenter.state_dict().items())
    assert all(parameter.grad is None for parameter in segmenter.parameters())
    assert not segmenter.training
    after = random_state(torch.device("cpu"))
    assert after["torch"].equal(random["torch"])
    assert after["numpy"][0].equal(random["numpy"][0])
    assert after["python"] == random["python"]


def losses(run: Path) -> list[float]:
    return [line["loss"] for line in read_metrics(run) if line["kind"] == "train"]


def test_a_training_without_a_compiler_is_the_training_without_compiling(
    scenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend(monkeypatch, failing)
    given = {"model": MODEL, "train": {**TRAIN, "precision": "fp32"}}
    plain = train(scenes, tmp_path / "plain", given)
    tried = train(scenes, tmp_path / "tried", given | {"train": {**given["train"], "compile": True}})
    assert losses(tried.folder) == losses(plain.folder)
    assert tried.scores.confusion.tolist() == plain.scores.confusion.tolist()
    assert (tried.folder / "log.txt").read_text().count("not compiled: ") == 1
    assert "not compiled" not in (plain.folder / "log.txt").read_text()


@pytest.mark.slow
def test_really_compiled_the_losses_are_nearly_the_same(scenes: Path, tmp_path: Path) -> None:
    given = {"model": {**MODEL, "dropout": 0.0}, "train": {**TRAIN, "precision": "fp32"}}
    plain = train(scenes, tmp_path / "plain", given)
    compiled = train(scenes, tmp_path / "compiled", given | {"train": {**given["train"], "compile": True}})
    assert "compiled\n" in (compiled.folder / "log.txt").read_text()
    assert losses(compiled.folder) == pytest.approx(losses(plain.folder), rel=1e-3)


@pytest.mark.slow
def test_without_a_c_compiler_the_reason_is_in_the_log(
    scenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch._inductor.config

    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(torch._inductor.config.cpp, "cxx", (None, "/nonexistent"))
    monkeypatch.setattr(torch._inductor.config, "fx_graph_cache", False)
    run = train(scenes, tmp_path / "run", {"model": MODEL, "train": {**TRAIN, "compile": True}})
    said = (run.folder / "log.txt").read_text()
    assert "not compiled: InductorError: InvalidCxxCompiler: No working C++ compiler found" in said
    assert run.steps == 3
