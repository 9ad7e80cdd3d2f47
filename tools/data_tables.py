"""Prints docs/data.md with its tables made from the code: `make docs` writes it, a test compares it."""

import re
from pathlib import Path

from intarsia.data.check.findings import KINDS, SEVERITIES
from intarsia.data.formats import FORMATS

PAGE = Path(__file__).parents[1] / "docs" / "data.md"


def main() -> None:
    """Prints the page, each table between its two marks made anew."""
    page = PAGE.read_text(encoding="utf-8")
    for name, rows in {"formats": formats(), "findings": findings()}.items():
        table = f"<!-- {name}: made by `make docs` -->\n\n" + "\n".join(rows) + f"\n\n<!-- end of {name} -->"
        page = re.sub(rf"<!-- {name}: .*?<!-- end of {name} -->", lambda _, made=table: made, page, flags=re.DOTALL)
    print(page, end="")


def formats() -> list[str]:
    """Every format: its name, and what it looks like."""
    rows = [f"| `{name}` | {format.looks} |" for name, format in FORMATS.items()]
    return ["| format | what it looks like |", "| --- | --- |", *rows]


def findings() -> list[str]:
    """Every finding, gravest first: its name, what it is, and the mend."""
    rows = [
        f"| `{name}` | {kind.severity} | {kind.what} | {kind.mend} |"
        for severity in SEVERITIES
        for name, kind in KINDS.items()
        if kind.severity == severity
    ]
    return ["| finding | severity | what it is | the mend |", "| --- | --- | --- | --- |", *rows]


if __name__ == "__main__":
    main()
