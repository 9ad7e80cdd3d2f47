"""Downloading one file: by https only, resumed where it stopped, never more bytes than were announced."""

import time
from collections.abc import Callable, Iterator
from http.client import HTTPException, HTTPMessage, HTTPResponse, IncompleteRead
from ipaddress import ip_address
from pathlib import Path
from typing import IO
from urllib.error import HTTPError, URLError
from urllib.parse import urljoin, urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from intarsia._version import __version__
from intarsia.catalogue import Archive
from intarsia.errors import DataError, MachineError
from intarsia.files import writing

_PIECE = 1 << 20  # bytes that are read at once, at most
_TIMEOUT = 30.0  # seconds without a byte
_PAUSES = (1.0, 4.0)  # seconds before the second and the third attempt
_MOST_REDIRECTS = 5
_REDIRECTS = (301, 302, 303, 307, 308)
_PASSING = (408, 416, 429)  # answers below 500 that another attempt may change


def download(archive: Archive, part: Path, report: Callable[[int], None]) -> None:
    """Downloads what `part` lacks, from the first URL that gives it; three attempts where the trouble may pass.

    Args:
        archive: what to download. Its sum is not looked at here.
        part: the file; what it holds already is kept where the server can begin in the middle.
        report: called with the number of bytes that are there.

    Raises:
        DataError: a file of another size, or an address that is not https.
        MachineError: no network, no such file on the server, or the disk is full.
    """
    troubles: dict[str, str] = {}
    refused: DataError | None = None
    urls = list(archive.urls)
    for pause in (0.0, *_PAUSES):
        time.sleep(pause if urls else 0)
        for url in tuple(urls):
            try:
                return _continue(url, archive, part, report)
            except DataError as error:
                refused = error
                urls.remove(url)
            except HTTPError as error:
                troubles[url] = f"the server answers {error.code} {error.reason}"
                if error.code < 500 and error.code not in _PASSING:
                    urls.remove(url)
            except URLError as error:
                troubles[url] = f"cannot be reached (no network?): {error.reason}"
            except (OSError, HTTPException, ValueError) as error:
                troubles[url] = f"the connection was lost: {error or type(error).__name__}"
    if refused:
        raise refused
    raise MachineError(
        "; ".join(f"{url}: {trouble}" for url, trouble in troubles.items())
        + f". {size_of(part):,} of {archive.size:,} bytes are there. Run again to go on; or download it yourself "
        f"into {part.parent} as {archive.name}, and run again."
    )


def size_of(path: Path) -> int:
    """The bytes of a file; 0 where there is none."""
    return path.stat().st_size if path.exists() else 0


def _continue(url: str, archive: Archive, part: Path, report: Callable[[int], None]) -> None:
    """Downloads what `part` lacks from one URL, or all of it where the server cannot begin in the middle."""
    if size_of(part) >= archive.size:
        part.unlink()
    done = size_of(part)
    try:
        response = _open(url, done)
    except HTTPError as error:
        if error.code == 416:  # no such range: it is another file than before
            part.unlink(missing_ok=True)
        raise
    with response:
        if response.status != 206:
            done = 0
        elif not response.headers.get("Content-Range", "").startswith(f"bytes {done}-"):
            part.unlink(missing_ok=True)
            raise HTTPException("the server gave another part than it was asked for")
        length = response.length
        if length is not None and done + length != archive.size:
            raise _another_size(url, f"{done + length:,}", archive)
        with writing(part):
            file = part.open("ab" if done else "wb")
        with file:
            for piece in _pieces(response, archive.size - done):
                with writing(part):
                    file.write(piece)
                    file.flush()
                done += len(piece)
                report(done)
        if response.read(1):
            part.unlink()
            raise _another_size(url, f"more than {archive.size:,}", archive)


def _pieces(response: HTTPResponse, missing: int) -> Iterator[bytes]:
    """Just so many bytes as are missing."""
    while missing:
        piece = response.read1(min(_PIECE, missing))
        if not piece:
            raise IncompleteRead(b"", missing)
        missing -= len(piece)
        yield piece


def _another_size(url: str, size: str, archive: Archive) -> DataError:
    return DataError(
        f"{url}: has {size} bytes, but {archive.size:,} were published: it is another file by now. See whether "
        "there is a newer intarsia."
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
    """Accepts https, and http that stays within this machine."""
    within = urlsplit(url).scheme == "http" and _is_loopback(url) and _is_loopback(first)
    if urlsplit(url).scheme != "https" and not within:
        raise DataError(f"{first}: leads to {url}: only https addresses are opened.")


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
