"""Text that other tools write, read strictly: plain, CSV, JSON, YAML.

Whatever is wrong with such a file becomes a `DataError` that names it and the line.
"""

import csv
import json
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from intarsia.errors import DataError

MOST_YAML_BYTES = 1 << 20  # the reader is slow: more would take seconds
MOST_JSON_BYTES = 1 << 31
MOST_TEXT_BYTES = 1 << 28
_MOST_ALIASES = 16
_YAML = "tag:yaml.org,2002:"
# What plain words of YAML 1.2's core schema are: the pattern, and the characters that it may start with.
_PLAIN_WORDS = {
    "bool": (r"true|True|TRUE|false|False|FALSE", [*"tTfF"]),
    "int": (r"[-+]?[0-9]+", [*"-+0123456789"]),
    "float": (r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.inf|\.nan", [*"-+.0123456789"]),
    "null": (r"~|null|Null|NULL|", [*"~nN", ""]),
    "merge": (r"<<", ["<"]),
}


def read_text(path: Path, most_bytes: int = MOST_TEXT_BYTES) -> str:
    """The text of a file in UTF-8, without the byte order mark that some editors put before it.

    Raises:
        DataError: no file, may not be read, too large, or not UTF-8.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise DataError(f"{path}: is no ordinary file.")
        if status.st_size > most_bytes:
            raise DataError(f"{path}: {status.st_size:,} bytes: at most {most_bytes:,} are read.")
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: is not UTF-8 text (byte {error.start}). Save it as UTF-8.") from None


def read_rows(path: Path, most_bytes: int = MOST_TEXT_BYTES) -> list[tuple[int, list[str]]]:
    """The rows of a table in CSV, as `rows_of` gives them.

    Raises:
        DataError: as `read_text`; not CSV.
    """
    try:
        return list(rows_of(read_text(path, most_bytes)))
    except csv.Error as error:
        raise DataError(f"{path}: is not valid CSV: {error}.") from None


def rows_of(text: str) -> Iterator[tuple[int, list[str]]]:
    """(line, cells) of the rows of CSV text that hold something; blanks around cells are cut off.

    Cells are parted by what the first line holds most of: commas, semicolons or tabs.

    Raises:
        csv.Error: a cell of more than 131,072 characters.
    """
    lines = text.splitlines()
    reader = csv.reader(lines, delimiter=max(",;\t", key=lines[0].count) if lines else ",")
    for row in reader:
        if any(cell.strip() for cell in row):
            yield reader.line_num, [cell.strip() for cell in row]


def read_json(path: Path) -> Any:  # noqa: ANN401 - JSON holds anything
    """What a JSON file holds; of a key that stands twice, the last counts.

    Raises:
        DataError: as `read_text`; not JSON, or nested too deeply.
    """
    text = read_text(path, MOST_JSON_BYTES)
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise DataError(f"{path}: is not valid JSON: {error.msg[0].lower()}{error.msg[1:]} ({place}).") from None
    except ValueError:
        raise DataError(f"{path}: holds a number of thousands of digits.") from None
    except RecursionError:
        raise DataError(f"{path}: is nested too deeply.") from None


def read_yaml(path: Path) -> dict[Any, Any]:
    """The mapping that a YAML file holds, by the rules of YAML 1.2.

    `no`, `on` and `yes` stay text, as do dates and `12:30`. A key that stands twice, a tag that would make objects,
    and more aliases than people write are refused.

    Raises:
        DataError: as `read_text`; not YAML, or no mapping.
    """
    text = read_text(path, MOST_YAML_BYTES)
    try:
        held = yaml.load(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f" (line {mark.line + 1})" if mark else ""
        raise DataError(f"{path}: is not valid YAML: {_in_words(error)}{place}.") from None
    except (yaml.YAMLError, ValueError) as error:
        raise DataError(f"{path}: is not valid YAML: {str(error).splitlines()[0]}.") from None
    except RecursionError:
        raise DataError(f"{path}: is nested too deeply.") from None
    if not isinstance(held, dict):
        raise DataError(
            f"{path}: {'is empty' if held is None else 'holds no mapping'}: expected `key: value` lines."
        )
    return held


def _in_words(error: yaml.MarkedYAMLError) -> str:
    problem = str(error.problem or error.context)
    return "a tab where only spaces may indent" if "'\\t'" in problem else problem


class _Loader(yaml.SafeLoader):
    """Plain values by YAML 1.2's core schema; strict where PyYAML is lenient."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 - PyYAML's own name

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._aliases = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:  # noqa: ANN401 - PyYAML's
        if self.check_event(yaml.AliasEvent):
            self._aliases += 1
            if self._aliases > _MOST_ALIASES:
                raise yaml.composer.ComposerError(f"more than {_MOST_ALIASES} aliases")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[tuple[str, str]] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue
            if (key.tag, key.value) in seen:
                raise yaml.constructor.ConstructorError(None, None, f"{key.value!r} stands twice", key.start_mark)
            seen.add((key.tag, key.value))
        return super().construct_mapping(node, deep)


def _whole_number(_: _Loader, node: yaml.ScalarNode) -> int:
    return int(node.value)  # 010 is 10, not 8


for _kind, (_pattern, _starts) in _PLAIN_WORDS.items():
    _Loader.add_implicit_resolver(_YAML + _kind, re.compile(f"^(?:{_pattern})$"), _starts)
_Loader.add_constructor(_YAML + "int", _whole_number)
