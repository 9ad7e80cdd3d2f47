"""What is told of all pictures together, made from what was written of each: one file of areas, one of COCO."""

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from intarsia.errors import counted
from intarsia.files import write_whole
from intarsia.objects import coco
from intarsia.objects.areas import Measurements, totals
from intarsia.results.plan import Plan

_OF_ALL = "(all)"


def summarise(out: Path, save: Sequence[str], pictures: Sequence[Path], of: int, plan: Plan) -> list[str]:
    """Writes areas.csv, areas.json and coco.json, as far as their outputs are wanted.

    Args:
        out: the folder of the results.
        save: names of outputs.
        pictures: paths of the results of all pictures that are predicted, in order.
        of: the number of all pictures.
        plan: of the prediction.

    Returns:
        What should be known of them.
    """
    folders = {folder for picture in pictures for folder in picture.parents}  # of pictures, not of frames
    notes = []
    for output, write in _SUMMARIES.items():
        if output in save:
            found = [_records(out / output, relative, relative not in folders) for relative in pictures]
            records = {name: record for of_one in found for name, record in of_one.items()}
            if records:
                write(out, records, plan)
            missing = of - len(found) + found.count({})
            if missing:
                notes.append(
                    f"{out / output}.json: without {counted(missing, 'picture')} of {of}: unreadable, or another "
                    "process's part. Once all parts are done, the same command without --shard writes it anew."
                )
    return notes


def _records(folder: Path, relative: Path, frames: bool) -> dict[str, dict[str, Any]]:
    """{name of the picture: its record}; of a video or stack, those of all `frames`, which lie in a folder."""
    file = folder / relative.parent / f"{relative.name}.json"
    files = [file] if file.is_file() else sorted((folder / relative).glob("*.json")) if frames else []
    return {path.relative_to(folder).with_suffix("").as_posix(): json.loads(path.read_bytes()) for path in files}


def _write_areas(out: Path, records: dict[str, dict[str, Any]], plan: Plan) -> None:
    measured = {name: Measurements.from_dict(record) for name, record in records.items()}
    together = {**measured, _OF_ALL: totals(list(measured.values()))}
    lines = io.StringIO()
    table = None
    for name, measurements in together.items():
        for row in measurements.rows():
            if table is None:
                table = csv.DictWriter(lines, ["picture", *row], lineterminator="\n")
                table.writeheader()
            table.writerow({"picture": name, **row})
    write_whole(out / "areas.csv", lines.getvalue().encode())
    plain = {
        "pictures": {name: list(one.rows()) for name, one in measured.items()},
        "all": list(together[_OF_ALL].rows()),
    }
    write_whole(out / "areas.json", json.dumps(plain, ensure_ascii=False, indent=1).encode() + b"\n")


def _write_coco(out: Path, records: dict[str, dict[str, Any]], plan: Plan) -> None:
    write_whole(out / "coco.json", json.dumps(coco.joined(records.values(), plan.labels.names)).encode() + b"\n")


_SUMMARIES = {"areas": _write_areas, "coco": _write_coco}
SUMMARISED = frozenset(_SUMMARIES)
"""Outputs that are told of all pictures together too."""
