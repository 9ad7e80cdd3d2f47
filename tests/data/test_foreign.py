"""Files of other tools: text as people meant it, and a message that names the place of whatever is wrong."""

import os
import re

import pytest

from intarsia.data import foreign
from intarsia.data.foreign import read_json, read_text, read_yaml
from intarsia.errors import DataError


@pytest.fixture
def written(tmp_path):
    def write(content):
        path = tmp_path / "file"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def test_text_with_and_without_a_byte_order_mark(written):
    assert read_text(written("straße\n")) == read_text(written(b"\xef\xbb\xbfstra\xc3\x9fe\n")) == "straße\n"


@pytest.mark.parametrize("content", ["straße".encode("latin-1"), "road".encode("utf-16")])
def test_other_encodings_are_named(written, content):
    path = written(content)
    with pytest.raises(DataError, match=rf"{path}: is not UTF-8 text \(byte \d\). Save it as UTF-8"):
        read_text(path)


def test_what_is_no_file_is_never_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(DataError, match="pipe: is no ordinary file"):
        read_text(tmp_path / "pipe")
    with pytest.raises(DataError, match="is no ordinary file"):
        read_text(tmp_path)
    with pytest.raises(DataError, match="loop: cannot be read: "):
        read_text(tmp_path / "loop")
    with pytest.raises(DataError, match="none: cannot be read: No such file"):
        read_text(tmp_path / "none")


def test_a_large_file_is_not_read(written):
    with pytest.raises(DataError, match="5 bytes: at most 4 are read"):
        read_text(written("12345"), most_bytes=4)
    assert read_text(written("1234"), most_bytes=4) == "1234"


def test_yaml_by_the_rules_of_1_2(written):
    path = written(
        "words: [no, yes, on, off, n, y, 12:30, 2020-01-01, 0x1F, 1_000, NO]\n"
        "numbers: [010, 08, -3, +4, 1e-4, .5, 2.]\n"
        "booleans: [true, False]\n"
        "nothing: [~, null, '']\n"
        "empty:\n"
        "0: zero\n"
        "'0': text\n"
        "<<: &shared {merged: 1}\n"
    )
    assert read_yaml(path) == {
        "words": ["no", "yes", "on", "off", "n", "y", "12:30", "2020-01-01", "0x1F", "1_000", "NO"],
        "numbers": [10, 8, -3, 4, 1e-4, 0.5, 2.0],
        "booleans": [True, False],
        "nothing": [None, None, ""],
        "empty": None,
        0: "zero",
        "0": "text",
        "merged": 1,
    }


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a: 1\nb: {c: 1, c: 2}\n", "'c' stands twice (line 2)"),
        ("0: a\n0: b\n", "'0' stands twice (line 2)"),
        ("a:\n\t- 1\n", "a tab where only spaces may indent (line 2)"),
        ("a: !!python/object/apply:os.system [ls]\n", "python/object/apply:os.system' (line 1)"),
        ("a: [1,\n", "expected the node content"),
        ("a: &x [1]\nb: [" + "*x," * 17 + "]\n", "more than 16 aliases"),
        ("? [1, 2]\n: 3\n", "unhashable key (line 1)"),
        ("a: \0\n", "unacceptable character"),
        ("a: " + "9" * 5000, "4300 digits"),
        ("a: !!float road\n", "could not convert"),
        ("a: 1\n---\nb: 1\n", "another document (line 2)"),
        ("a: " + "[" * 3000, "nested too deeply"),
        ("- a\n- b\n", "holds no mapping: expected `key: value` lines"),
        ("", "is empty: expected `key: value` lines"),
    ],
)
def test_yaml_that_is_refused(written, content, message):
    path = written(content)
    with pytest.raises(DataError, match=re.escape(message)) as refused:
        read_yaml(path)
    assert str(refused.value).startswith(f"{path}: ")


def test_few_aliases_are_read(written):
    assert read_yaml(written("a: &x [1]\nb: [" + "*x," * 16 + "]\n"))["b"] == [[1]] * 16


def test_a_large_yaml_file_is_not_read(written, monkeypatch):
    monkeypatch.setattr(foreign, "MOST_YAML_BYTES", 10)
    with pytest.raises(DataError, match="11 bytes: at most 10 are read"):
        read_yaml(written("a: 12345678"))


def test_json(written):
    assert read_json(written('\ufeff{"a": [1, 2.5, null], "a": "last"}')) == {"a": "last"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"a": 1,\n "b" 2}', "is not valid JSON: expecting ':' delimiter (line 2, column 6)"),
        ("", "is not valid JSON: expecting value (line 1, column 1)"),
        ("[" * 100_000, "is nested too deeply"),
        ("9" * 5000, "a number of thousands of digits"),
    ],
)
def test_json_that_is_refused(written, content, message):
    path = written(content)
    with pytest.raises(DataError, match=re.escape(f"{path}: ") + ".*" + re.escape(message)):
        read_json(path)
