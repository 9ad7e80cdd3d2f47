"""`check`: the dataset doctor as one function."""

from collections.abc import Callable, Sequence
from pathlib import Path

from intarsia.data.check.inspection import Inspection, inspect
from intarsia.data.index import find_dataset
from intarsia.data.pairs import Dataset
from intarsia.mending import write_mended


def check(
    data: str | Path | Dataset,
    *,
    ignore: Sequence[int] = (),
    fix: str | Path | None = None,
    report: str | Path | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Inspection:
    """Reads every file of a dataset once, and says what would train wrong, with the mend of each.

    Args:
        data: a folder or file in any known format, a dataset file, or what `open_dataset` returned.
        ignore: stored mask values that count for nothing.
        fix: a dataset file to be written, with everything that was concluded and with the mends.
        report: an HTML file to be written: samples, classes, sizes, duplicates, the worst alignments.
        progress: called with the number of pairs done and of all.

    Returns:
        What was found: `findings`, errors first, and `ok`. With `fix`, what is found through the new dataset file.

    Raises:
        DataError: no such path, no known format, or nothing that a dataset file can mend.
        SettingsError: `fix` names a file of somebody's own.
        MachineError: a file cannot be written.
    """
    dataset = data if isinstance(data, Dataset) else find_dataset(data, ignore=ignore)
    inspection = inspect(dataset, progress)
    if report is not None:
        from intarsia.report import write_report  # drawing takes a while to import

        write_report(inspection, Path(report))
    if fix is None:
        return inspection
    write_mended(inspection, Path(fix))
    return inspect(find_dataset(fix), progress)
