"""What of a job on Ray can be seen without Ray; with a real cluster: tests/faults/test_ray.py."""

import json
import socket
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import cast

import pytest
from PIL import Image

from intarsia.errors import MachineError, SettingsError
from intarsia.options import PredictOptions
from intarsia.pipeline.jobs import Job
from intarsia.prediction import predict
from intarsia.raydata import Errand, Worker, _connected, _dealt, _told, predict_on_ray
from tests.small import noise, saved_model


def test_without_ray_the_install_line_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MachineError, match=r"ray is not installed\. Install it: pip install 'intarsia\[ray\]'"):
        predict_on_ray(tmp_path / "model.safetensors", tmp_path, tmp_path / "out")


@pytest.mark.parametrize("wrong", [{"workers": 0}, {"cpus": 0}, {"gpus": -1}], ids=str)
def test_workers_are_some(wrong: dict[str, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("intarsia.raydata.needed", lambda module, extra: None)
    with pytest.raises(SettingsError, match="at least one worker, of at least one CPU"):
        predict_on_ray(tmp_path / "model.safetensors", tmp_path, tmp_path / "out", **wrong)


def test_an_address_where_nobody_answers_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")  # what it sets goes with the test
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))  # bound, but nobody listens
        address = f"127.0.0.1:{free.getsockname()[1]}"
        nothing = cast(ModuleType, SimpleNamespace(is_initialized=lambda: False))
        with pytest.raises(MachineError, match=f"No Ray at {address}: .*refused"), _connected(nothing, address):
            pass


@pytest.mark.parametrize(
    ("chunks", "workers", "sizes"),
    [(1, 4, [1]), (5, 2, [1] * 5), (40, 2, [2] * 20), (600, 2, [16] * 37 + [8])],
    ids=str,
)
def test_parcels_are_many_enough_for_the_workers(chunks: int, workers: int, sizes: list[int]) -> None:
    dealt = _dealt([[Job(Path(str(number)), Path(f"{number}.png"))] for number in range(chunks)], workers)
    parcels = [json.loads(row["parcel"]) for row in dealt]
    assert [len(parcel) for parcel in parcels] == sizes
    assert [chunk[0][0] for parcel in parcels for chunk in parcel] == [str(number) for number in range(chunks)]


def errand(home: Path, out: Path) -> Errand:
    return Errand(home / "model.safetensors", out, ("masks",), PredictOptions(), "cpu", 1)


def test_a_worker_answers_with_what_it_did_or_why_not(tmp_path: Path) -> None:
    saved_model(tmp_path / "model.safetensors")
    odd = tmp_path / "photos" / "\udce4.png"  # a name that is no text
    odd.parent.mkdir()
    Image.fromarray(noise(10, 12, 3)).save(tmp_path / "photos" / "one.png")
    (tmp_path / "photos" / "one.png").rename(odd)
    predict(tmp_path / "model.safetensors", odd, tmp_path / "out", device="cpu")
    written = next((tmp_path / "out" / "masks").iterdir())
    expected = written.read_bytes()
    written.unlink()
    parcel = _dealt([[Job(Path("\udce4"), odd)]], 1)[0]["parcel"]
    answers = Worker(errand(tmp_path, tmp_path / "out"))({"parcel": [parcel, parcel]})["answer"]
    assert written.read_bytes() == expected
    first, second = (_told(answer, {str(odd): odd}) for answer in answers)
    assert (first[0].written, first[1]) == ([Path("\udce4")], [])
    assert (second[0].written, second[1]) == ([], [Path("\udce4")])
    unseen = Worker(errand(tmp_path, tmp_path / "elsewhere"))
    for _ in range(2):
        (answer,) = unseen({"parcel": [parcel]})["answer"]
        with pytest.raises(MachineError, match=r"elsewhere: does not hold the prediction\.json"):
            _told(answer, {})
