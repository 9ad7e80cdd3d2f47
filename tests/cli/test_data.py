"""`intarsia data`: what the commands print and how they end."""

import pytest

from intarsia.catalogue import SOURCES
from intarsia.cli import main
from intarsia.data.index import open_dataset
from tests.test_archives import packed
from tests.test_fetching import offered, server, source_of

__all__ = ["server"]  # a fixture


def test_convert(intarsia, photos, tmp_path):
    code, out, err = intarsia("data", "convert", photos, tmp_path / "new")
    assert (code, err) == (0, "")
    assert out == f"dataset: {tmp_path / 'new'} (pairs: 10 in train, 4 in val, 2 in test)\n"
    assert {split: len(pairs) for split, pairs in open_dataset(tmp_path / "new").splits.items()} == {
        "train": 10,
        "val": 4,
        "test": 2,
    }


def test_convert_tells_what_it_left_out(intarsia, own_photos, tmp_path):
    spoilt = next((own_photos / "images" / "val").iterdir())
    spoilt.write_bytes(b"<html>")
    code, out, err = intarsia("data", "convert", own_photos, tmp_path / "new")
    assert code == 3
    assert "3 in val" in out
    assert "1 of 16 pairs could not be converted" in err
    assert str(spoilt) in err


def test_convert_needs_a_new_folder(intarsia, photos, tmp_path):
    (tmp_path / "file").touch()
    code, _, err = intarsia("data", "convert", photos, tmp_path)
    assert code == 2
    assert "is not empty" in err


def test_fetch(intarsia, server, tmp_path, monkeypatch):
    data = packed(tmp_path / "small.zip", {"images/a": b"a", "masks/a": b"b"}).read_bytes()
    monkeypatch.setitem(SOURCES, "small-pets", source_of(offered(server, "small.zip", data)))
    code, out, err = intarsia("data", "fetch", "small-pets", "--out", tmp_path / "new")
    assert code == 0
    assert out == f"dataset: {tmp_path / 'new'}\n"
    assert "licence: CC BY 4.0" in err
    assert "please cite: Nobody" in err
    assert (tmp_path / "new" / "images" / "a").read_bytes() == b"a"


def test_fetch_goes_to_a_folder_of_its_name(intarsia, server, tmp_path, monkeypatch):
    data = packed(tmp_path / "small.zip", {"images/a": b"a"}).read_bytes()
    monkeypatch.setitem(SOURCES, "small-pets", source_of(offered(server, "small.zip", data)))
    monkeypatch.chdir(tmp_path)
    assert intarsia("data", "fetch", "small-pets")[:2] == (0, "dataset: small-pets\n")
    assert (tmp_path / "small-pets" / "images" / "a").is_file()


def test_fetch_knows_its_names(intarsia):
    code, out, _ = intarsia("data", "fetch", "--help")
    assert code == 0
    assert all(name in out for name in SOURCES)
    code, _, err = intarsia("data", "fetch", "oxford-iiit-pets")
    assert code == 2
    assert "Did you mean 'oxford-iiit-pet'" in err


def test_without_a_command_it_shows_them(capsys):
    with pytest.raises(SystemExit):
        main(["data"])
    out, err = capsys.readouterr()
    assert all(command in out + err for command in ("fetch", "convert"))
