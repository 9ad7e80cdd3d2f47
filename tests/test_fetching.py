"""Fetching small archives from servers on this machine: honest ones, broken ones, hostile ones."""

import hashlib
import http.server
import re
import shutil
import socket
import threading
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from intarsia import downloading
from intarsia.catalogue import SOURCES, Archive, Source
from intarsia.data.datasetfile import DatasetFile
from intarsia.data.index import open_dataset
from intarsia.errors import DataError, MachineError, SettingsError
from intarsia.fetching import SOURCE_FILE, fetch
from tests.test_archives import packed

Answer = Callable[[http.server.BaseHTTPRequestHandler], None]


class Server(http.server.ThreadingHTTPServer):
    """Gives the answers of a path in turn, the last one for ever; notes (path, Range) of each request."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers: dict[str, list[Answer]] = {}
        self.asked: list[tuple[str, str]] = []
        self.url = f"http://127.0.0.1:{self.server_address[1]}"


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        self.server.asked.append((self.path, self.headers.get("Range", "")))
        answers = self.server.answers.get(self.path, [status(404)])
        (answers.pop(0) if len(answers) > 1 else answers[0])(self)

    def log_message(self, *arguments: object) -> None:
        """Silent."""


def file(data: bytes, *, cut: int | None = None, chunked: bool = False) -> Answer:
    """Sends `data` from the asked Range on; the connection is closed after `cut` bytes."""

    def answer(handler: http.server.BaseHTTPRequestHandler) -> None:
        asked = re.fullmatch(r"bytes=(\d+)-", handler.headers.get("Range", ""))
        start = int(asked[1]) if asked else 0
        handler.send_response(206 if asked else 200)
        if asked:
            handler.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        if chunked:
            handler.send_header("Transfer-Encoding", "chunked")
        else:
            handler.send_header("Content-Length", str(len(data) - start))
        handler.end_headers()
        if chunked:
            handler.wfile.write(
                b"%x\r\n%s\r\n" % (len(data) - start, data[start:]) + (b"0\r\n\r\n" if cut is None else b"")
            )
        else:
            handler.wfile.write(data[start:][:cut])
        handler.close_connection = True

    return answer


def rangeless(data: bytes, *, cut: int | None = None) -> Answer:
    """As `file`, by a server that knows no ranges."""

    def answer(handler: http.server.BaseHTTPRequestHandler) -> None:
        del handler.headers["Range"]
        file(data, cut=cut)(handler)

    return answer


def status(code: int, **headers: str) -> Answer:
    """An empty answer."""

    def answer(handler: http.server.BaseHTTPRequestHandler) -> None:
        handler.send_response(code)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return answer


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(downloading, "_PAUSES", (0.0, 0.0))
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def offered(server: Server, name: str, data: bytes, *answers: Answer) -> Archive:
    """An archive that the server has under /name; `answers` instead of an honest one."""
    server.answers[f"/{name}"] = list(answers or [file(data)])
    return Archive(name, (f"{server.url}/{name}",), len(data), hashlib.sha256(data).hexdigest())


def source_of(*archives: Archive, dataset_file: str = "") -> Source:
    return Source(
        "Small pets", "https://example.org", "CC BY 4.0", "Nobody: Nothing. 2026.", archives, dataset_file
    )


@pytest.fixture
def data(tmp_path: Path) -> bytes:
    """An archive of noise that does not fit into one read."""
    noise = np.random.default_rng(0).bytes(100_000)
    return packed(tmp_path / "noise.tar", {"images/noise": noise}).read_bytes()


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_dataset_is_ready_to_be_opened(server, tmp_path, out):
    """The pets themselves, but for their number."""
    pets = ("Abyssinian_1", "beagle_2", "pug_3", "Egyptian_Mau_139")
    pictures: dict[str, bytes] = {"images/": b""}
    annotations = {"annotations/trainval.txt": f"{pets[0]} 1 1 1\n{pets[1]} 5 2 4\n{pets[3]} 12 1 6\n".encode()}
    annotations["annotations/test.txt"] = f"{pets[2]} 26 2 18\n".encode()
    for pet in pets:
        Image.fromarray(np.full((8, 9), 3, np.uint8)).save(tmp_path / "one.png")
        annotations[f"annotations/trimaps/{pet}.png"] = (tmp_path / "one.png").read_bytes()
        annotations[f"annotations/trimaps/._{pet}.png"] = b"left behind"
        pictures[f"images/{pet}.jpg"] = b"GIF89a" if pet == pets[3] else (tmp_path / "one.png").read_bytes()
    archives = [
        offered(server, "images.tar.gz", packed(tmp_path / "images.tar.gz", pictures).read_bytes()),
        offered(server, "annotations.tar.gz", packed(tmp_path / "annotations.tar.gz", annotations).read_bytes()),
    ]
    source = source_of(*archives, dataset_file=SOURCES["oxford-iiit-pet"].dataset_file)
    said: list[str] = []
    counted: list[tuple[int, int]] = []

    def say(words: str) -> None:
        assert not server.asked
        said.append(words)

    assert fetch(source, out, say=say, progress=lambda done, total: counted.append((done, total))) == out
    assert "CC BY 4.0" in said[0]
    assert "Nobody: Nothing. 2026." in said[0]
    assert counted == sorted(counted)
    assert counted[-1] == (source.size, source.size)
    assert names(out) == [SOURCE_FILE, "annotations", "dataset.toml", "images"]
    assert all(word in (out / SOURCE_FILE).read_text() for word in ("CC BY 4.0", "Nobody", archives[0].sha256))
    dataset = open_dataset(out)
    assert dataset.labels is not None
    assert dataset.labels.names == ("background", "pet")
    assert {pair.name for pair in dataset.split("train") + dataset.split("val")} == set(pets[:2])
    assert [pair.name for pair in dataset.split("test")] == [pets[2]]

    asked = len(server.asked)
    assert fetch(source, out, say=say) == out
    assert len(server.asked) == asked


def test_other_bytes_are_refused(server, data, out):
    archive = offered(server, "a.tar", data, file(data[:-1] + b"x"))
    with pytest.raises(DataError, match=f"a.tar: is not the archive that was published.*{archive.sha256}"):
        fetch(source_of(archive), out)
    assert names(out) == []


@pytest.mark.parametrize("chunked", [False, True])
def test_more_bytes_are_never_written(server, data, out, chunked):
    archive = offered(server, "a.tar", data, file(data + b"more", chunked=chunked))
    with pytest.raises(DataError, match=rf"has .*bytes, but {len(data):,} were published"):
        fetch(source_of(archive), out)
    assert names(out) == []


def test_fewer_bytes_are_no_archive(server, data, out):
    with pytest.raises(DataError, match=rf"has {len(data) - 9:,} bytes, but {len(data):,} were published"):
        fetch(source_of(offered(server, "a.tar", data, file(data[:-9]))), out)
    with pytest.raises(MachineError, match=r"the connection was lost"):
        fetch(source_of(offered(server, "a.tar", data, file(data[:-9], chunked=True), file(data, cut=0))), out)
    assert (out / "a.tar.part").read_bytes() == data[:-9]


def test_a_cut_connection_is_resumed(server, data, out):
    archive = offered(server, "a.tar", data, file(data, cut=40_000), file(data))
    fetch(source_of(archive), out)
    assert server.asked == [("/a.tar", ""), ("/a.tar", "bytes=40000-")]
    assert names(out) == [SOURCE_FILE, "images"]


def test_what_was_downloaded_is_kept_for_the_next_run(server, data, out):
    archive = offered(server, "a.tar", data, *[file(data, cut=10_000)] * 3, file(data))
    with pytest.raises(
        MachineError, match=r"a.tar: the connection was lost: .*30,000 of .* bytes are there. Run again"
    ):
        fetch(source_of(archive), out)
    assert (out / "a.tar.part").read_bytes() == data[:30_000]
    fetch(source_of(archive), out)
    assert server.asked[-1] == ("/a.tar", "bytes=30000-")
    assert names(out) == [SOURCE_FILE, "images"]


def test_a_server_without_ranges_sends_all_again(server, data, out):
    archive = offered(server, "a.tar", data, rangeless(data, cut=40_000), rangeless(data))
    counted: list[int] = []
    fetch(source_of(archive), out, progress=lambda done, total: counted.append(done))
    assert [asked for _, asked in server.asked] == ["", "bytes=40000-"]
    assert counted[-1] == len(data)
    assert names(out) == [SOURCE_FILE, "images"]


def test_another_range_than_the_one_asked_for_is_not_appended(server, data, out):
    wrong = status(206, Content_Range=f"bytes 7-{len(data) - 1}/{len(data)}")
    fetch(source_of(offered(server, "a.tar", data, file(data, cut=500), wrong, file(data))), out)
    assert [asked for _, asked in server.asked] == ["", "bytes=500-", ""]
    assert names(out) == [SOURCE_FILE, "images"]


def test_a_whole_file_is_not_asked_for_again(server, data, out):
    out.mkdir()
    (out / "a.tar.part").write_bytes(data)  # ended before it was proved and renamed
    fetch(source_of(offered(server, "a.tar", data)), out)
    assert server.asked == []
    assert names(out) == [SOURCE_FILE, "images"]


def test_a_partial_file_of_something_else(server, data, out):
    out.mkdir()
    (out / "a.tar.part").write_bytes(b"x" * (len(data) + 5))  # too long: begun anew at once
    fetch(source_of(offered(server, "a.tar", data)), out)
    other = out.with_name("other")
    other.mkdir()
    (other / "b.tar.part").write_bytes(b"x" * 50)  # noticed by its sum
    archive = offered(server, "b.tar", data)
    with pytest.raises(DataError, match=r"It was removed\. Run again"):
        fetch(source_of(archive), other)
    fetch(source_of(archive), other)
    third = out.with_name("third")
    third.mkdir()
    (third / "c.tar.part").write_bytes(b"x" * 50)
    fetch(source_of(offered(server, "c.tar", data, status(416), file(data))), third)
    assert names(out) == names(other) == names(third) == [SOURCE_FILE, "images"]


def test_redirects_within_this_machine_are_followed(server, data, out):
    archive = offered(server, "a.tar", data)
    server.answers |= {
        "/old": [status(302, Location="moved")],
        "/moved": [status(308, Location=f"{server.url}/a.tar")],
    }
    fetch(source_of(replace(archive, urls=(f"{server.url}/old",))), out)
    assert names(out) == [SOURCE_FILE, "images"]


@pytest.mark.parametrize(
    "location",
    [
        "http://example.org/a.tar",
        "http://10.0.0.1/",
        "file:///etc/passwd",
        "ftp://127.0.0.1/",
        "data:,x",
        "//example.org/",
    ],
)
def test_redirects_elsewhere_are_refused(server, out, location):
    archive = offered(server, "a.tar", b"x", status(302, Location=location))
    with pytest.raises(DataError, match=r"a.tar: leads to .*: only https addresses are opened"):
        fetch(source_of(archive), out)
    assert names(out) == []


@pytest.mark.parametrize("url", ["http://example.org/a.tar", "file:///etc/passwd", "ftp://example.org/a", "a.tar"])
def test_addresses_that_are_not_https_are_refused(server, out, url):
    with pytest.raises(DataError, match="only https"):
        fetch(source_of(Archive("a.tar", (url,), 1, "0" * 64)), out)


def test_redirects_without_end(server, out):
    archive = offered(server, "a.tar", b"x", status(301, Location="a.tar"))
    with pytest.raises(DataError, match="without end"):
        fetch(source_of(archive), out)
    assert len(server.asked) < 10


def test_what_is_not_there_is_asked_for_once(server, out):
    with pytest.raises(
        MachineError, match=r"a.tar: the server answers 404 .*download it yourself into .*out as a.tar"
    ):
        fetch(source_of(offered(server, "a.tar", b"x", status(404))), out)
    assert len(server.asked) == 1


def test_what_may_pass_is_tried_three_times(server, data, out):
    with pytest.raises(MachineError, match=r"the server answers 503"):
        fetch(source_of(offered(server, "a.tar", data, status(503))), out)
    assert len(server.asked) == 3
    fetch(source_of(offered(server, "a.tar", data, status(503), status(429), file(data))), out)
    assert names(out) == [SOURCE_FILE, "images"]


def test_the_next_address_is_tried(server, data, out):
    archive = offered(server, "a.tar", data)
    others = {"/gone": status(404), "/page": file(b"<html>"), "/away": status(302, Location="http://example.org")}
    server.answers |= {path: [answer] for path, answer in others.items()}
    fetch(source_of(replace(archive, urls=(*(server.url + path for path in others), *archive.urls))), out)
    assert [path for path, _ in server.asked] == [*others, "/a.tar"]


def test_without_network_it_says_what_to_do(server, data, out):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"https://127.0.0.1:{closed.getsockname()[1]}/a.tar"
        archive = replace(offered(server, "a.tar", data), urls=(url,))
        with pytest.raises(MachineError, match=rf"{url}: .*no network.*download it yourself into {out} as a.tar"):
            fetch(source_of(archive), out)
    (out / "a.tar").write_bytes(data)
    fetch(source_of(archive), out)
    assert names(out) == [SOURCE_FILE, "images"]
    assert server.asked == []


def test_an_archive_of_ones_own_must_be_the_published_one(server, data, out):
    out.mkdir()
    (out / "a.tar").write_bytes(b"another")
    with pytest.raises(DataError, match=r"a.tar: is not the archive that was published. Remove it"):
        fetch(source_of(offered(server, "a.tar", data)), out)
    assert (out / "a.tar").read_bytes() == b"another"


@pytest.mark.parametrize("ready", [0, 100])
def test_a_silent_server(server, data, out, monkeypatch, ready):
    monkeypatch.setattr(downloading, "_TIMEOUT", 0.1)
    over = threading.Event()

    def stall(handler: http.server.BaseHTTPRequestHandler) -> None:
        if ready:
            file(data, cut=ready)(handler)
            handler.wfile.flush()
        over.wait(10)

    with pytest.raises(MachineError, match="timed out"):
        fetch(source_of(offered(server, "a.tar", data, stall)), out)
    over.set()


def test_a_server_that_does_not_hang_up(server, data, out, monkeypatch):
    monkeypatch.setattr(downloading, "_TIMEOUT", 5)
    over = threading.Event()

    def answer(handler: http.server.BaseHTTPRequestHandler) -> None:
        file(data)(handler)
        handler.wfile.flush()
        over.wait(30)

    try:
        fetch(source_of(offered(server, "a.tar", data, answer)), out)
    finally:
        over.set()
    assert len(server.asked) == 1


def test_a_hostile_archive(server, tmp_path, out):
    evil = packed(tmp_path / "evil.tar", {"images/a": b"x", "../../evil": b"x"}).read_bytes()
    (tmp_path / "evil.tar").unlink()
    with pytest.raises(DataError, match="leads out of its folder"):
        fetch(source_of(offered(server, "a.tar", evil)), out)
    assert names(out) == ["a.tar"]
    assert names(tmp_path) == ["out"]


@pytest.mark.parametrize("name", ["images/b", "b.tar", "dataset.toml", SOURCE_FILE])
def test_archives_that_would_overwrite_each_other(server, tmp_path, data, out, name):
    second = packed(tmp_path / "second.tar", {name: b"x"}).read_bytes()
    with pytest.raises(DataError, match=rf"b.tar: holds {name.split('/')[0]}, which is there already"):
        fetch(source_of(offered(server, "a.tar", data), offered(server, "b.tar", second)), out)
    assert names(out) == ["a.tar", "b.tar"]


def test_a_folder_with_other_files_is_left_alone(server, data, out):
    source = source_of(offered(server, "a.tar", data))
    out.mkdir()
    (out / "thesis.txt").touch()
    with pytest.raises(SettingsError, match=r"out: exists, and is no earlier download. .*--out"):
        fetch(source, out)
    with pytest.raises(SettingsError, match=r"thesis.txt: exists"):
        fetch(source, out / "thesis.txt")
    (out / SOURCE_FILE).write_text("of another dataset")
    with pytest.raises(SettingsError, match="no earlier download"):
        fetch(source, out)
    assert names(out) == [SOURCE_FILE, "thesis.txt"]
    assert server.asked == []


def test_a_disk_that_is_too_small(server, data, out, monkeypatch):
    usage = shutil.disk_usage(out.parent)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=len(data)))
    with pytest.raises(MachineError, match=r"GB are needed .*--out"):
        fetch(source_of(offered(server, "a.tar", data)), out)
    assert server.asked == []


def test_what_cannot_be_fetched():
    with pytest.raises(SettingsError, match="Did you mean 'oxford-iiit-pet'"):
        fetch("oxford-pet")
    with pytest.raises(SettingsError, match="needs a folder"):
        fetch(source_of())


@pytest.mark.parametrize("name", SOURCES)
def test_the_catalogue_is_complete(name):
    source = SOURCES[name]
    assert all((source.title, source.licence, source.citation))
    assert source.homepage.startswith("https://")
    for archive in source.archives:
        assert re.fullmatch("[0-9a-f]{64}", archive.sha256)
        assert archive.size > 0
        assert all(url.startswith("https://") and url.endswith(f"/{archive.name}") for url in archive.urls)
    DatasetFile.model_validate(tomllib.loads(source.dataset_file)).labels()
