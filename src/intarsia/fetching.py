"""`data fetch`: a public dataset is downloaded, proved to be the published one, and unpacked."""

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path

from intarsia.archives import extract
from intarsia.catalogue import SOURCES, Archive, Source
from intarsia.downloading import download, size_of
from intarsia.errors import DataError, MachineError, SettingsError, did_you_mean
from intarsia.files import make_folder, write_whole, writing

SOURCE_FILE = "SOURCE.txt"
_DATASET_FILE = "dataset.toml"
_UNPACKED = ".unpacked"  # a folder that is there only while archives are unpacked


def fetch(
    source: str | Source,
    folder: str | Path | None = None,
    *,
    say: Callable[[str], None] = lambda text: None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Path:
    """Downloads a public dataset and unpacks it. What was interrupted goes on where it stopped.

    Args:
        source: a name in `catalogue.SOURCES`, or a source of your own.
        folder: a new folder for it; left out: one of the source's name.
        say: told what is to be downloaded, its licence and its citation, before anything is.
        progress: called with the number of bytes downloaded and of all.

    Returns:
        The folder, ready for `check` and `train`. One that was complete before is left as it is.

    Raises:
        SettingsError: an unknown name, or `folder` holds something else.
        DataError: an archive is not the one that was published, or may not be unpacked; a URL leads elsewhere.
        MachineError: no network, the server does not have it, or the disk is full.
    """
    if isinstance(source, str):
        if source not in SOURCES:
            raise SettingsError(f"{source}: is no dataset that can be fetched. {did_you_mean(source, SOURCES)}")
        return fetch(SOURCES[source], folder or source, say=say, progress=progress)
    if folder is None:
        raise SettingsError("A source of your own needs a folder that it is fetched into.")
    folder = Path(folder)
    if _is_complete(source, folder):
        return folder
    _refuse_other_files(source, folder)
    say(f"{source.title}\nlicence: {source.licence}\nplease cite: {source.citation}\nfrom: {source.homepage}")
    _check_space(source, make_folder(folder))
    before = 0
    for archive in source.archives:
        _obtain(archive, folder, lambda done, before=before: progress(before + done, source.size))  # type: ignore[misc]
        before += archive.size
    _unpack(source, folder)
    return folder


def _is_complete(source: Source, folder: Path) -> bool:
    file = folder / SOURCE_FILE
    text = file.read_text(encoding="utf-8", errors="replace") if file.is_file() else ""
    return bool(text) and all(archive.sha256 in text for archive in source.archives)


def _refuse_other_files(source: Source, folder: Path) -> None:
    """Accepts a new folder, an empty one, and one whose download was interrupted."""
    ours = {_UNPACKED} | {name for archive in source.archives for name in (archive.name, f"{archive.name}.part")}
    if folder.exists() and not (folder.is_dir() and ours.issuperset(path.name for path in folder.iterdir())):
        raise SettingsError(f"{folder}: exists, and is no earlier download. Give another folder with --out.")


def _check_space(source: Source, folder: Path) -> None:
    """Pictures hardly shrink in archives: unpacked they need about as much space again."""
    there = sum(path.stat().st_size for path in folder.iterdir() if path.is_file())
    needed = 2 * source.size - there
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise MachineError(
            f"{folder}: {needed / 1e9:.1f} GB are needed to download and unpack, {free / 1e9:.1f} GB are free. "
            "Free some space, or choose another folder with --out."
        )


def _obtain(archive: Archive, folder: Path, report: Callable[[int], None]) -> None:
    """Sees that the archive lies in `folder`, with the bytes that were published."""
    whole = folder / archive.name
    part = folder / f"{archive.name}.part"
    if whole.exists():
        if _sha256(whole) != archive.sha256:
            raise DataError(f"{whole}: is not the archive that was published. Remove it, and run again.")
        report(archive.size)
        return
    if size_of(part) != archive.size:
        download(archive, part, report)
    if _sha256(part) != archive.sha256:
        part.unlink()
        raise DataError(
            f"{archive.urls[0]}: is not the archive that was published (its SHA-256 is not {archive.sha256}). It "
            "was removed. Run again, or see whether there is a newer intarsia."
        )
    with writing(whole):
        part.rename(whole)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _unpack(source: Source, folder: Path) -> None:
    """Unpacks each archive apart, then moves all of them up; `SOURCE_FILE`, the last, says that all is there."""
    unpacked = folder / _UNPACKED
    shutil.rmtree(unpacked, ignore_errors=True)
    entries: dict[str, Path] = {}
    try:
        for archive in source.archives:
            for entry in extract(folder / archive.name, make_folder(unpacked) / archive.name).iterdir():
                if entry.name in (*entries, SOURCE_FILE, _DATASET_FILE) or (folder / entry.name).exists():
                    raise DataError(f"{folder / archive.name}: holds {entry.name}, which is there already.")
                entries[entry.name] = entry
        for name, entry in entries.items():
            with writing(folder / name):
                entry.rename(folder / name)
    finally:
        shutil.rmtree(unpacked, ignore_errors=True)
    if source.dataset_file:
        write_whole(folder / _DATASET_FILE, source.dataset_file.encode())
    write_whole(folder / SOURCE_FILE, _description(source).encode())
    for archive in source.archives:
        (folder / archive.name).unlink()


def _description(source: Source) -> str:
    """The text of `SOURCE_FILE`."""
    sums = "".join(f"{archive.sha256}  {archive.urls[0]}\n" for archive in source.archives)
    return (
        f"{source.title}\n{source.homepage}\nlicence: {source.licence}\nplease cite: {source.citation}\n\n"
        f"Unpacked by `intarsia data fetch` from (SHA-256, URL):\n{sums}"
    )
