"""Fetching a database: from a server on this machine that has a small made one."""

import hashlib
import socket
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from beatlens.errors import DataError
from beatlens.signals.databases import find_database
from beatlens.signals.download import get_database

from .wfdb_cases import write_record


class Server(ThreadingHTTPServer):
    """Serves a folder, remembers what was asked for, and can fail on a file."""

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
        self.asked: list[str] = []
        self.fail = ""
        self.cut = ""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/files/"


class Handler(SimpleHTTPRequestHandler):
    """A static file server that fails or stops half-way where it was told to."""

    server: Server

    def do_GET(self) -> None:  # the name http.server asks for
        path = self.path.removeprefix("/files/")
        self.server.asked.append(path)
        if path == self.server.fail:
            self.send_error(503)
        elif path == self.server.cut:
            self.send_response(200)
            self.send_header("Content-Length", "100000")
            self.end_headers()
            self.wfile.write(b"half")
            self.close_connection = True
        else:
            super().do_GET()

    def log_message(self, format: str, *args: object) -> None:
        """Nothing on the test's output."""


def write_sums(folder: Path) -> None:
    files = sorted(p for p in folder.rglob("*") if p.is_file() and p.name != "SHA256SUMS.txt")
    lines = [
        f"{hashlib.sha256(p.read_bytes()).hexdigest()} {p.relative_to(folder)}\n" for p in files
    ]
    (folder / "SHA256SUMS.txt").write_text("".join(lines))


@pytest.fixture
def published(tmp_path: Path) -> Path:
    """PhysioNet's mitdb, made, of two records."""
    folder = tmp_path / "server" / "files" / "mitdb" / "1.0.0"
    write_record(folder, "100")
    write_record(folder, "101")
    (folder / "RECORDS").write_text("100\n101\n")
    write_sums(folder)
    return folder


@pytest.fixture
def server(published: Path, tmp_path: Path) -> Iterator[Server]:
    with Server(tmp_path / "server") as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


FILES = {f"{record}.{kind}" for record in ("100", "101") for kind in ("hea", "dat", "atr")}


def test_fetches_and_checks_all_of_it(server: Server, published: Path, tmp_path: Path) -> None:
    seen: list[tuple[int, int, str]] = []
    root = tmp_path / "cache"
    database = get_database(
        "mitdb", root, base_url=server.url, progress=lambda *step: seen.append(step)
    )
    assert database.records() == ("100", "101")
    assert find_database("mitdb", root).folder == database.folder == root / "mitdb"
    assert [done for done, _, _ in seen] == [1, 2, 3, 4, 5, 6]
    assert {total for _, total, _ in seen} == {6}
    assert {path for _, _, path in seen} == FILES
    for name in FILES:
        assert (root / "mitdb" / name).read_bytes() == (published / name).read_bytes()
    assert not list(root.rglob("*.part"))


def test_fetches_only_what_is_missing_or_damaged(server: Server, tmp_path: Path) -> None:
    get_database("mitdb", tmp_path, base_url=server.url)
    server.asked.clear()
    (tmp_path / "mitdb" / "100.dat").unlink()
    damaged = tmp_path / "mitdb" / "101.dat"
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"x")
    get_database("mitdb", tmp_path, base_url=server.url)
    assert {path for path in server.asked if path.endswith(("dat", "hea", "atr"))} == {
        "mitdb/1.0.0/100.dat",
        "mitdb/1.0.0/101.dat",
    }


@pytest.mark.parametrize("how", ["fail", "cut"])
def test_goes_on_where_it_was_cut_short(server: Server, tmp_path: Path, how: str) -> None:
    setattr(server, how, "mitdb/1.0.0/101.dat")
    with pytest.raises(DataError, match=r"101\.dat: cannot be fetched .* goes on where it stopped"):
        get_database("mitdb", tmp_path, base_url=server.url)
    assert (tmp_path / "mitdb" / "100.hea").is_file()
    assert not (tmp_path / "mitdb" / "101.dat").exists()
    setattr(server, how, "")
    server.asked.clear()
    assert get_database("mitdb", tmp_path, base_url=server.url).records() == ("100", "101")
    assert "mitdb/1.0.0/101.dat" in server.asked
    assert "mitdb/1.0.0/100.hea" not in server.asked


def test_a_file_of_another_checksum_is_refused(
    server: Server, published: Path, tmp_path: Path
) -> None:
    path = published / "101.atr"
    path.write_bytes(path.read_bytes()[:-2] + b"\x01\x04\0\0")
    with pytest.raises(
        DataError, match=r"101\.atr: SHA-256 is [0-9a-f]{64}, expected [0-9a-f]{64}"
    ):
        get_database("mitdb", tmp_path / "cache", base_url=server.url)
    assert not (tmp_path / "cache" / "mitdb" / "101.atr").exists()
    assert not list((tmp_path / "cache").rglob("*.part"))


def test_without_checksums_the_records_are_still_read_back(
    server: Server, published: Path, tmp_path: Path
) -> None:
    (published / "SHA256SUMS.txt").unlink()
    assert len(get_database("mitdb", tmp_path / "good", base_url=server.url).records()) == 2
    data = bytearray((published / "101.dat").read_bytes())
    data[900] ^= 1
    (published / "101.dat").write_bytes(data)
    with pytest.raises(DataError, match=r"101\.dat: checksum of signal"):
        get_database("mitdb", tmp_path / "bad", base_url=server.url)


def test_a_missing_file_is_named(server: Server, published: Path, tmp_path: Path) -> None:
    (published / "100.dat").unlink()
    with pytest.raises(DataError, match=r"1\.0\.0/100\.dat: the server has no such file"):
        get_database("mitdb", tmp_path / "cache", base_url=server.url)


def test_lists_that_lead_elsewhere_are_refused(
    server: Server, published: Path, tmp_path: Path
) -> None:
    (published / "RECORDS").write_text("../../100\n")
    write_sums(published)
    with pytest.raises(DataError, match="RECORDS: entry is"):
        get_database("mitdb", tmp_path / "cache", base_url=server.url)


def test_damaged_checksum_lists_are_refused(
    server: Server, published: Path, tmp_path: Path
) -> None:
    (published / "SHA256SUMS.txt").write_text("<html>not found</html>\n")
    with pytest.raises(DataError, match=r"SHA256SUMS\.txt: line is '<html>"):
        get_database("mitdb", tmp_path / "cache", base_url=server.url)


def test_without_a_connection_it_says_so(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(DataError, match=r"cannot be fetched .* check the connection"):
        get_database("mitdb", tmp_path, base_url=f"http://127.0.0.1:{port}/files/")
    with pytest.raises(DataError, match="no database is called"):
        get_database("mitbih", tmp_path)


@pytest.mark.parametrize("sums", [True, False])
def test_databases_may_lack_annotations_of_some_records(
    server: Server, tmp_path: Path, sums: bool
) -> None:
    folder = tmp_path / "server" / "files" / "nstdb" / "1.0.0"
    write_record(folder, "118e00")
    write_record(folder, "bw")
    (folder / "bw.atr").unlink()
    (folder / "RECORDS").write_text("118e00\nbw\n")
    if sums:
        write_sums(folder)
    database = get_database("nstdb", tmp_path / "cache", base_url=server.url)
    assert database.records() == ("118e00", "bw")
    assert len(database.annotations("118e00").beats) == 4


def test_records_in_sub_folders_keep_their_place(server: Server, tmp_path: Path) -> None:
    training = tmp_path / "server" / "files" / "challenge-2017" / "1.0.0" / "training"
    (training / "A00").mkdir(parents=True)
    (training / "RECORDS").write_text("A00/A00001\n")
    (training.parent / "REFERENCE-v3.csv").write_text("A00001,O\n")
    header = b"\x1e\0\0\0\x01\0\0\0\x1e\0\0\0\0\0\0\0\x04\0\0\0val\0"
    codes = np.arange(30, dtype="<i2")
    (training / "A00" / "A00001.mat").write_bytes(header + codes.tobytes())
    (training / "A00" / "A00001.hea").write_text(
        "A00001 1 300 30\nA00001.mat 16+24 1000/mV 16 0 0 0 0 ECG\n"
    )
    write_sums(training.parent)
    get_database("cinc2017", tmp_path / "cache", base_url=server.url)
    database = find_database("cinc2017", tmp_path / "cache")
    assert database.records() == ("A00001",)
    assert database.label("A00001") == "O"
    assert (tmp_path / "cache" / "cinc2017" / "training" / "A00" / "A00001.mat").is_file()
