"""`data fetch`: downloading a public dataset, and unpacking it once its bytes are proved to be the published ones."""

import hashlib
import shutil
import time
from collections.abc import Callable
from http.client import HTTPException, HTTPMessage, HTTPResponse, IncompleteRead
from ipaddress import ip_address
from pathlib import Path
from typing import IO
from urllib.error import HTTPError, URLError
from urllib.parse import urljoin, urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from intarsia._version import __version__
from intarsia.archives import extract
from intarsia.catalogue import SOURCES, Archive, Source
from intarsia.errors import DataError, MachineError, SettingsError, did_you_mean
from intarsia.files import make_folder, write_whole, writing

Progress = Callable[[int, int], None]

SOURCE_FILE = "SOURCE.txt"
_UNPACKED = ".unpacked"  # a folder that is there while archives are unpacked
_PIECE = 1 << 20  # bytes that are read at once, at most
_TIMEOUT = 30.0  # seconds without a byte
_PAUSES = (1.0, 4.0)  # seconds before the second and the third attempt
_MOST_REDIRECTS = 5
_REDIRECTS = (301, 302, 303, 307, 308)
_PASSING = (408, 416, 429)  # answers below 500 that another attempt may change


def fetch(
    source: str | Source,
    folder: str | Path | None = None,
    *,
    say: Callable[[str], None] = lambda text: None,
    progress: Progress = lambda done, total: None,
) -> Path:
    """Downloads a public dataset and unpacks it. What was interrupted goes on where it stopped.

    Args:
        source: a name of `catalogue.SOURCES`, or a source of one's own.
        folder: a new folder for it; left out: one of the source's name.
        say: told what is downloaded, its licence and its citation, before anything is.
        progress: called with the number of bytes downloaded and of all.

    Returns:
        The folder, ready for `check` and `train`. One that was complete before is left as it is.

    Raises:
        SettingsError: an unknown name, or `folder` holds something else.
        DataError: an archive is not the one that was published, or may not be unpacked; a server leads elsewhere.
        MachineError: no network, the server does not answer, or the disk is full.
    """
    if isinstance(source, str):
        if source not in SOURCES:
            raise SettingsError(f"{source}: is no dataset that can be fetched. {did_you_mean(source, SOURCES)}")
        source, folder = SOURCES[source], folder or source
    if folder is None:
        raise SettingsError("A source of your own needs a folder to be fetched into.")
    folder = Path(folder)
    if _is_complete(source, folder):
        return folder
    _refuse_other_files(source, folder)
    make_folder(folder)
    say(f"{source.title}\nlicence: {source.licence}\nplease cite: {source.citation}\nfrom: {source.homepage}")
    _check_space(source, folder)
    total = sum(archive.size for archive in source.archives)
    before = 0
    for archive in source.archives:
        _obtain(archive, folder, lambda done, before=before: progress(before + done, total))
        before += archive.size
    _unpack(source, folder)
    return folder


def _is_complete(source: Source, folder: Path) -> bool:
    file = folder / SOURCE_FILE
    text = file.read_text(encoding="utf-8", errors="replace") if file.is_file() else ""
    return bool(text) and all(archive.sha256 in text for archive in source.archives)


def _refuse_other_files(source: Source, folder: Path) -> None:
    """Accepts a new folder, an empty one, and one where a download was interrupted."""
    ours = {_UNPACKED} | {name for archive in source.archives for name in (archive.name, f"{archive.name}.part")}
    if folder.exists() and not (folder.is_dir() and ours.issuperset(path.name for path in folder.iterdir())):
        raise SettingsError(f"{folder}: exists, and is no earlier download. Give another folder with --out.")


def _check_space(source: Source, folder: Path) -> None:
    """Archives of pictures hardly shrink them: what is packed and what is unpacked each need the archives' size."""
    total = sum(archive.size for archive in source.archives)
    there = sum(path.stat().st_size for path in folder.iterdir() if path.is_file())
    free = shutil.disk_usage(folder).free
    if free < 2 * total - there:
        raise MachineError(
            f"{folder}: about {(2 * total - there) / 1e9:.1f} GB are needed to download and unpack, {free / 1e9:.1f} GB "
            "are free. Free some space, or choose another folder with --out."
        )


def _unpack(source: Source, folder: Path) -> None:
    """Unpacks the archives beside each other, then moves all that was in them up at once."""
    unpacked = folder / _UNPACKED
    shutil.rmtree(unpacked, ignore_errors=True)
    try:
        entries: dict[str, Path] = {}
        for archive in source.archives:
            for entry in extract(folder / archive.name, make_folder(unpacked) / archive.name).iterdir():
                target = folder / entry.name
                if entry.name in entries or target.exists() or entry.name in ("dataset.toml", SOURCE_FILE):
                    raise DataError(f"{folder / archive.name}: holds {entry.name}, which is there already.")
                entries[entry.name] = entry
        for name, entry in entries.items():
            with writing(folder / name):
                entry.rename(folder / name)
    finally:
        shutil.rmtree(unpacked, ignore_errors=True)
    if source.dataset_file:
        write_whole(folder / "dataset.toml", source.dataset_file.encode())
    write_whole(folder / SOURCE_FILE, _description(source).encode())  # the last file: it says that all is there
    for archive in source.archives:
        (folder / archive.name).unlink()


def _description(source: Source) -> str:
    """The text of `SOURCE_FILE`."""
    sums = "".join(f"{archive.sha256}  {archive.urls[0]}\n" for archive in source.archives)
    return (
        f"{source.title}\n{source.homepage}\nlicence: {source.licence}\nplease cite: {source.citation}\n\n"
        f"Unpacked by `intarsia data fetch` from (SHA-256, URL):\n{sums}"
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
    if _size(part) != archive.size:
        _download(archive, part, report)
    if _sha256(part) != archive.sha256:
        part.unlink()
        raise DataError(
            f"{archive.urls[0]}: is not the archive that was published (SHA-256 {archive.sha256}), and was removed. "
            f"Run again; or see whether there is a newer version of intarsia."
        )
    with writing(whole):
        part.rename(whole)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _download(archive: Archive, part: Path, report: Callable[[int], None]) -> None:
    """Completes `part`, from the first URL that lets it; three attempts where the trouble may pass."""
    troubles: dict[str, str] = {}
    urls = list(archive.urls)
    for pause in (0.0, *_PAUSES):
        time.sleep(pause if urls else 0)
        for url in tuple(urls):
            try:
                _continue(url, archive, part, report)
            except HTTPError as error:
                troubles[url] = f"the server answers {error.code} {error.reason}"
                if error.code < 500 and error.code not in _PASSING:
                    urls.remove(url)
            except URLError as error:
                troubles[url] = f"no network: {error.reason}"
            except (OSError, HTTPException) as error:
                troubles[url] = f"the connection was lost: {error}"
            else:
                return
    raise MachineError(
        "; ".join(f"{url}: {trouble}" for url, trouble in troubles.items()).rstrip(".")
        + f". {_size(part):,} of {archive.size:,} bytes are there. Run again later to go on; or download it yourself into "
        f"{part.parent} as {archive.name}, and run again."
    )


def _continue(url: str, archive: Archive, part: Path, report: Callable[[int], None]) -> None:
    """Downloads what `part` lacks; all of it where the server cannot begin in the middle."""
    if _size(part) > archive.size:
        part.unlink()
    done = _size(part)
    try:
        response = _open(url, done)
    except HTTPError as error:
        if error.code == 416:  # no such range: another file than before
            part.unlink(missing_ok=True)
        raise
    with response:
        if response.status != 206:
            done = 0
        elif not response.headers.get("Content-Range", "").startswith(f"bytes {done}-"):
            part.unlink(missing_ok=True)
            raise HTTPException("the server gave another range than it was asked for")
        if response.length is not None and done + response.length != archive.size:
            raise _another_size(url, done + response.length, archive)
        with writing(part):
            file = part.open("ab" if done else "wb")
        with file:
            _copy(response, file, done, archive, part, report)
        if response.read(1):
            raise _another_size(url, archive.size + 1, archive)


def _copy(
    response: HTTPResponse, file: IO[bytes], done: int, archive: Archive, part: Path, report: Callable[[int], None]
) -> None:
    """Copies just as many bytes as are missing."""
    report(done)
    while done < archive.size:
        piece = response.read1(min(_PIECE, archive.size - done))
        if not piece:
            raise IncompleteRead(b"", archive.size - done)
        with writing(part):
            file.write(piece)
            file.flush()
        done += len(piece)
        report(done)


def _another_size(url: str, size: int, archive: Archive) -> DataError:
    return DataError(
        f"{url}: has {size:,} bytes or more, but {archive.size:,} were published: it is another file by now. See whether "
        "there is a newer version of intarsia."
    )


class _NoRedirects(HTTPRedirectHandler):
    """Leaves redirects to `_open`, which looks where they lead."""

    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> None:
        return None


def _open(url: str, start: int) -> HTTPResponse:
    """Opens a URL from byte `start` on; redirects are followed where they are safe."""
    opener = build_opener(_NoRedirects)
    first = url
    for _ in range(_MOST_REDIRECTS + 1):
        _refuse_unsafe(url, first)
        request = Request(url, headers={"User-Agent": f"intarsia/{__version__}"})
        if start:
            request.add_header("Range", f"bytes={start}-")
        try:
            response: HTTPResponse = opener.open(request, timeout=_TIMEOUT)
        except HTTPError as error:
            error.close()
            if error.code not in _REDIRECTS or not error.headers.get("Location"):
                raise
            url = urljoin(url, error.headers["Location"])
        else:
            return response
    raise DataError(f"{first}: leads from one address to the next without end.")


def _refuse_unsafe(url: str, first: str) -> None:
    """Accepts https, and http within this machine."""
    within = urlsplit(url).scheme == "http" and _is_loopback(url) and _is_loopback(first)
    if urlsplit(url).scheme != "https" and not within:
        raise DataError(f"{first}: leads to {url}: only https addresses are opened.")


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
