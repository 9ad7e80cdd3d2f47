"""The index file: what did not change is not decoded again, what changed is."""

import json
import os
from pathlib import Path

import pytest

from intarsia.data.check import looks as looks_module
from intarsia.data.check.inspection import inspect
from intarsia.data.check.looks import look_at_all
from intarsia.data.check.records import Record, look_at
from intarsia.data.index import find_dataset
from intarsia.synthetic.scenes import write_scenes


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("INTARSIA_CACHE", str(tmp_path / "cache"))
    return write_scenes(tmp_path / "scenes", {"train": 6, "val": 2}, (48, 64))


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the pairs that were decoded."""
    names: list[str] = []

    def noting(pair, encoding=None):
        names.append(pair.name)
        return look_at(pair, encoding)

    monkeypatch.setattr(looks_module, "look_at", noting)
    return names


def look(root: Path) -> list:
    return look_at_all(find_dataset(root), lambda done, total: None)


def test_the_second_time_nothing_is_decoded_and_all_is_the_same(root, decoded):
    first = look(root)
    assert len(decoded) == 8
    assert look(root) == first
    assert len(decoded) == 8


def test_findings_and_numbers_are_the_same_from_the_index_file(root):
    fresh, again = inspect(find_dataset(root)), inspect(find_dataset(root))
    assert fresh.to_dict() == again.to_dict()
    assert (fresh.mean, fresh.std, fresh.size) == (again.mean, again.std, again.size)


@pytest.mark.parametrize("kind", ["images", "masks"])
def test_a_changed_file_is_decoded_again(root, decoded, kind):
    look(root)
    decoded.clear()
    path = root / kind / "train" / "scene_0003.png"
    os.utime(path, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns + 1))
    look(root)
    assert decoded == ["scene_0003"]


def test_a_damaged_or_foreign_index_file_is_made_anew(root, decoded, tmp_path):
    look(root)
    (index,) = (tmp_path / "cache" / "checked").iterdir()
    lines = index.read_text().splitlines(keepends=True)
    others = ["another version\n", *lines[1:]], [line.replace("[", "{") for line in lines], lines[:1], ["\xff"]
    for content in map("".join, others):
        decoded.clear()
        index.write_text(content)
        look(root)
        assert len(decoded) == 8


def test_a_cache_folder_that_cannot_be_written_does_no_harm(root, decoded, tmp_path):
    (tmp_path / "cache").write_text("a file")
    assert len(look(root)) == len(look(root)) == 8
    assert len(decoded) == 16


def test_what_was_seen_before_an_interruption_is_kept(root, decoded):
    def interrupt(done, total):
        if done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        look_at_all(find_dataset(root), interrupt)
    decoded.clear()
    look(root)
    assert len(decoded) == 3


def test_records_survive_json(root):
    for one in look(root):
        assert Record.from_plain(json.loads(json.dumps(one.record.to_plain()))) == one.record
