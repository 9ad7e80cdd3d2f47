"""The terminal shows control characters, and obeys none."""

import pytest

from intarsia.terminal import visible


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred\x07", r"\x1b[31mred\x07"),
        ("a\rb\tc\nd", r"a\rb\tc\nd"),
        ("\x00\x7f\x9b", r"\x00\x7f\x9b"),
        ("Straße 写真 [red] \\x1b\u00a0'\"", "Straße 写真 [red] \\x1b\u00a0'\""),
    ],
)
def test_control_characters_are_shown(text, shown):
    assert visible(text) == shown


def test_line_breaks_may_be_kept():
    assert visible("one\ntwo\r", keep="\n") == "one\ntwo\\r"
