"""The cache folder: the user's word first, then the system's."""

from pathlib import Path

import pytest

from intarsia.data.cache import cache_folder
from intarsia.data.check.inspection import inspect
from intarsia.data.index import open_dataset


@pytest.mark.parametrize(
    ("platform", "variables", "expected"),
    [
        ("linux", {"INTARSIA_CACHE": "/own"}, "/own"),
        ("linux", {}, "~/.cache/intarsia"),
        ("linux", {"XDG_CACHE_HOME": "/xdg"}, "/xdg/intarsia"),
        ("linux", {"XDG_CACHE_HOME": "/xdg", "INTARSIA_CACHE": "/own"}, "/own"),
        ("linux", {"XDG_CACHE_HOME": "", "INTARSIA_CACHE": ""}, "~/.cache/intarsia"),
        ("darwin", {"XDG_CACHE_HOME": "/xdg"}, "~/Library/Caches/intarsia"),
        ("win32", {"LOCALAPPDATA": "/local"}, "/local/intarsia"),
        ("win32", {}, "~/.cache/intarsia"),
    ],
)
def test_where_it_is(monkeypatch, platform, variables, expected):
    for name in ("INTARSIA_CACHE", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("sys.platform", platform)
    assert cache_folder() == Path(expected).expanduser()


def test_tests_have_one_of_their_own(own_cache, scenes):
    """Whoever runs them finds nothing new in their home folder."""
    inspect(open_dataset(scenes))
    assert cache_folder() == own_cache
    assert list((own_cache / "checked").iterdir())
