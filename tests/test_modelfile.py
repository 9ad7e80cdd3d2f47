"""The model file: what is saved comes back, and whatever is not a sound model file is told apart, in words."""

import json
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load, save

from intarsia.errors import MachineError, ModelFileError
from intarsia.labels import Labels
from intarsia.modelfile import FORMAT, MODEL_FILE, build_segmenter, find_model_file, load_model, save_model
from intarsia.settings import DataSettings
from tests.small import saved_model, small_model

LABELS = Labels(
    names=("Straße", 'a "quoted" \\ name', "sky"),
    colors=((1, 2, 3), (40, 50, 60), (255, 0, 255)),
    values=((10,), (20, 21), (65535,)),
    ignore=(30, 255),
)


@pytest.fixture
def model_file(tmp_path: Path) -> Path:
    return saved_model(tmp_path / "small.safetensors")


def split(content: bytes) -> tuple[dict[str, Any], bytes]:
    """The header of a safetensors file, and what follows it."""
    (length,) = struct.unpack("<Q", content[:8])
    return json.loads(content[8 : 8 + length]), content[8 + length :]


def with_entry(change: Callable[[dict[str, Any]], object]) -> Callable[[bytes], bytes]:
    """Changes our entry of the header, and nothing else."""

    def apply(content: bytes) -> bytes:
        header, body = split(content)
        entry = json.loads(header["__metadata__"]["intarsia"])
        change(entry)
        header["__metadata__"]["intarsia"] = json.dumps(entry)
        text = json.dumps(header).encode()
        text += b" " * (-len(text) % 8)
        return struct.pack("<Q", len(text)) + text + body

    return apply


def with_weights(change: Callable[[dict[str, torch.Tensor]], object]) -> Callable[[bytes], bytes]:
    """Changes the weights and keeps the header's metadata."""

    def apply(content: bytes) -> bytes:
        weights = load(content)
        change(weights)
        return save(weights, metadata=split(content)[0]["__metadata__"])

    return apply


@pytest.mark.parametrize("labels", [None, LABELS, Labels.of_values(range(300))], ids=["plain", "odd", "many"])
@pytest.mark.parametrize("bands", [1, 3, 5])
def test_weights_and_card_come_back(labels: Labels | None, bands: int, tmp_path: Path) -> None:
    segmenter, card = small_model(labels, bands, norm="group", dropout=0.25, stem=2)
    data = DataSettings(ignore=(30,), val_share=0.3, scene_separator="_")
    card = replace(card, data=data, training={"steps": 7, "val_miou": 0.5})
    save_model(segmenter, card, tmp_path / "model.safetensors")
    loaded, loaded_card = load_model(tmp_path / "model.safetensors")
    assert loaded_card == card
    assert not loaded.training
    assert loaded.stem == 2
    assert str(loaded) == str(segmenter)
    saved = segmenter.state_dict()
    assert loaded.state_dict().keys() == saved.keys()
    assert all(tensor.equal(saved[name]) for name, tensor in loaded.state_dict().items())


def test_a_run_folder_stands_for_its_model(tmp_path: Path) -> None:
    path = saved_model(tmp_path / MODEL_FILE)
    assert find_model_file(tmp_path) == find_model_file(path) == path
    assert load_model(tmp_path)[1] == load_model(str(path))[1]


@pytest.mark.parametrize("padding", range(0, 256, 8))
def test_any_length_of_the_header_will_do(padding: int, tmp_path: Path) -> None:
    """One in 32 headers has a length whose first byte is that of a pickle."""
    segmenter, card = small_model(width=1, depth=1)
    save_model(segmenter, replace(card, training={"note": "x" * padding}), tmp_path / "model.safetensors")
    load_model(tmp_path / "model.safetensors")


def torch_saved(content: bytes, path: Path, **options: bool) -> bytes:
    torch.save(load(content), path, **options)
    return path.read_bytes()


SPOILT: dict[str, tuple[Callable[[bytes, Path], bytes], str]] = {
    "empty": (lambda content, _: b"", r"is empty\. Copy or train it again"),
    "cut in the length": (lambda content, _: content[:5], r"is not a model file \(\.safetensors\)"),
    "cut in the header": (lambda content, _: content[:500], r"is truncated or not a model file"),
    "cut in the body": (lambda content, _: content[:-100], r"is truncated or damaged: .*Copy or train it again"),
    "lengthened": (lambda content, _: content + b"\0" * 8, r"is truncated or damaged"),
    "pickle in a zip": (torch_saved, r"is a pickle \(\.pt, \.pth\), which can run code.*`intarsia train` wrote"),
    "bare pickle": (
        lambda content, path: torch_saved(content, path, _use_new_zipfile_serialization=False),
        r"is a pickle \(\.pt, \.pth\)",
    ),
    "random bytes": (lambda content, _: bytes(range(7, 256)) * 9, r"is not a model file \(\.safetensors\)"),
    "web page": (lambda content, _: b"<!DOCTYPE html><html>", r"is not a model file"),
    "no header of ours": (
        lambda content, _: save(load(content)),
        r"was not written by Intarsia: its header does not say how to run it",
    ),
    "other metadata": (
        lambda content, _: save(load(content), metadata={"format": "pt"}),
        r"was not written by Intarsia",
    ),
    "header that is no object": (
        lambda content, _: struct.pack("<Q", 8) + b"[1, 2]  ",
        r"was not written by Intars",
    ),
    "damaged entry": (
        lambda content, _: save(load(content), metadata={"intarsia": "{'format': 1}"}),
        r"its header is damaged\. Copy or train it again",
    ),
    "newer format": (
        lambda content, _: with_entry(lambda entry: entry.update(format=FORMAT + 1))(content),
        rf"has format {FORMAT + 1}; this version \(Intarsia .*\) reads {FORMAT}\. Install the version",
    ),
    "unknown network": (
        lambda content, _: with_entry(lambda entry: entry["model"].update(name="unett"))(content),
        r"header cannot be understood \(written by Intarsia .*\): Network 'unett' is unknown\. Did you mean 'unet'",
    ),
    "unknown setting": (
        lambda content, _: with_entry(lambda entry: entry["model"].update(heads=3))(content),
        r"header cannot be understood",
    ),
    "lacking labels": (
        lambda content, _: with_entry(lambda entry: entry.pop("labels"))(content),
        r"header cannot be understood .*'labels'",
    ),
    "contradicting labels": (
        lambda content, _: with_entry(lambda entry: entry["labels"].update(names=["a", "a", "b"]))(content),
        r"header cannot be understood .*'a' stands twice",
    ),
    "other width": (
        lambda content, _: with_entry(lambda entry: entry["model"].update(width=8))(content),
        r"weights belong to another network: \d\d of another shape \(network\.encoder.* more\)\.$",
    ),
    "other depth": (
        lambda content, _: with_entry(lambda entry: entry["model"].update(depth=3))(content),
        r"belong to another network: \d\d missing \(network\..* more\), \d+ of another shape",
    ),
    "other classes": (
        lambda content, _: with_weights(lambda weights: weights.update({"network.head.bias": torch.ones(9)}))(
            content
        ),
        r"belong to another network: 1 of another shape \(network\.head\.bias\)\.$",
    ),
    "weights missing and unexpected": (
        lambda content, _: with_weights(lambda w: w.update({"other": w.pop("network.head.bias")}))(content),
        r"another network: 1 missing \(network\.head\.bias\), 1 unexpected \(other\)\.$",
    ),
    "other weights": (
        lambda content, _: with_weights(lambda weights: weights["mean"].add_(1))(content),
        r"is not what was saved \(SHA-256 differs\)",
    ),
    "flipped bit": (
        lambda content, _: content[:-1] + bytes([content[-1] ^ 1]),
        r"is not what was saved \(SHA-256 differs\)\. Copy or train it again",
    ),
}


@pytest.mark.parametrize("name", SPOILT)
def test_a_spoilt_file_is_refused_in_words(name: str, model_file: Path, tmp_path: Path) -> None:
    spoil, words = SPOILT[name]
    model_file.write_bytes(spoil(model_file.read_bytes(), tmp_path / "scratch"))
    with pytest.raises(ModelFileError, match=words) as refused:
        load_model(model_file)
    assert str(refused.value).startswith(f"{model_file}: ")


def test_every_flipped_bit_of_the_header_is_seen(model_file: Path) -> None:
    content = model_file.read_bytes()
    for place in range(0, len(content) - len(split(content)[1]), 11):
        model_file.write_bytes(content[:place] + bytes([content[place] ^ 4]) + content[place + 1 :])
        with pytest.raises(ModelFileError):
            load_model(model_file)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: None, r"does not exist\. A model is a run folder or a \.safetensors file"),
        (
            lambda path: path.mkdir(),
            r"holds no model\.safetensors: not a run folder, or its training saved nothing",
        ),
    ],
    ids=["missing", "folder without a model"],
)
def test_where_there_is_no_model_it_says_what_a_model_is(make, words: str, tmp_path: Path) -> None:
    make(tmp_path / "run")
    with pytest.raises(ModelFileError, match=words):
        load_model(tmp_path / "run")


def test_a_write_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    with pytest.raises(MachineError, match="taken: cannot be written"):
        saved_model(tmp_path / "taken")
    assert list(tmp_path.rglob("*")) == [tmp_path / "taken"]


def test_a_write_that_fails_keeps_the_old_model(model_file: Path) -> None:
    segmenter, card = small_model()
    before = model_file.read_bytes()
    with pytest.raises(TypeError, match="JSON"):
        save_model(segmenter, replace(card, training={"path": model_file}), model_file)
    assert model_file.read_bytes() == before
    assert list(model_file.parent.iterdir()) == [model_file]


def test_fresh_weights_take_the_statistics_of_the_data() -> None:
    _, card = small_model()
    segmenter = build_segmenter(card, (1.0, 2.0, 3.0), (4.0, 5.0, 6.0))
    assert segmenter.mean.flatten().tolist() == [1, 2, 3]
    assert segmenter.std.flatten().tolist() == [4, 5, 6]
