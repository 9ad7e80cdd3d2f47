"""placeholder"""
from pathlib import Path

from intarsia.data.check.inspection import Inspection


def write_report(inspection: Inspection, path: Path) -> None: ...
