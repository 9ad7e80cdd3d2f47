"""Prints docs/settings.md from the schema: `make docs` writes it, a test compares it."""

from typing import Any, get_args, get_origin

from pydantic.fields import FieldInfo

from intarsia.settings import Settings

HEAD = """# Settings

One schema for Python, TOML and the command line. `intarsia train DATA section.key=value` sets any of them;
`--config FILE.toml` reads a file of them; the long options are short names for some. Later ones win in that order:
file, long options, `section.key=value`. Where the default is *chosen*, `intarsia train` chooses from the data and
the machine (`src/intarsia/defaults.py`) and writes what it chose into the run's `settings.toml`.

This page is made from the schema by `make docs`."""


def main() -> None:
    """Prints the page."""
    print(HEAD)
    for section_name, section in Settings.model_fields.items():
        schema: Any = section.annotation
        print(f"\n## {section_name}\n\n{schema.__doc__}\n\n| setting | default | meaning |\n| --- | --- | --- |")
        for name, field in schema.model_fields.items():
            told = "none" if "(None: " in field.description else "*chosen*"  # the description says what that means
            default = told if field.default is None else f"`{shown(field.default)}`"
            print(f"| `{section_name}.{name}` | {default} | {field.description}{choices(field)} |")


def shown(default: object) -> str:
    """A default as one would type it."""
    if isinstance(default, tuple):
        return ",".join(map(str, default)) or "none"
    return str(default).lower() if isinstance(default, bool) else str(default) or '""'


def choices(field: FieldInfo) -> str:
    """The accepted words, where a setting is one of a few."""
    options = [
        str(word)
        for part in (field.annotation, *get_args(field.annotation))
        if str(get_origin(part)) == "typing.Literal"
        for word in get_args(part)
    ]
    return f" ({', '.join(options)})" if options else ""


if __name__ == "__main__":
    main()
