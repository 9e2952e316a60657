"""Omniglot from archives, trees and a server that misbehaves."""

import hashlib
import os
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from samekind.data import omniglot
from samekind.data.download import download
from samekind.errors import InputError, MissingDataError

DATA = os.environ.get("SAMEKIND_DATA")
real = pytest.mark.skipif(not DATA, reason="SAMEKIND_DATA names no folder with Omniglot")

PAYLOAD = bytes(range(256)) * 2000
DIGEST = hashlib.sha256(PAYLOAD).hexdigest()


@real
@pytest.mark.parametrize(
    ("part", "images", "classes", "alphabets"),
    [
        ("background", 19_280, 964, 30),
        ("evaluation", 13_180, 659, 20),
        ("small1", 2_720, 136, 5),
        ("small2", 3_120, 156, 5),
    ],
)
def test_each_part_is_whole(part: str, images: int, classes: int, alphabets: int) -> None:
    data = omniglot.load(part)
    assert data.name == f"omniglot:{part}"
    assert (len(data), len(data.classes), len(set(data.groups or ()))) == (images, classes, alphabets)
    assert data.characters
    assert list(data.names) == sorted(data.names)
    assert data.sources is not None
    np.testing.assert_array_equal(data.sources, np.tile(np.arange(1, 21), classes))
    for index in (0, len(data) // 3, len(data) - 1):
        alphabet, character, file = data.names[index].split("/")
        assert data.classes[data.labels[index]] == f"{alphabet}/{character}"
        assert (data.groups or ())[data.labels[index]] == alphabet
        assert int(data.sources[index]) == int(file[5:7])
        assert data[index][0].size == (105, 105)


@real
def test_runs_pair_a_training_and_a_test_image_of_one_character() -> None:
    runs = omniglot.load("runs")
    assert (len(runs), len(runs.classes)) == (800, 400)
    assert runs.sources is not None
    assert runs.labels.tolist() == [label for label in range(400) for _ in range(2)]
    assert runs.sources.tolist() == [0, 1] * 400
    assert runs.groups == tuple(f"run{run:02d}" for run in range(1, 21) for _ in range(20))
    assert runs.classes[0] == "run01/class01"
    assert runs.classes[-1] == "run20/class20"
    first = runs.classes.index("run01/class08")  # the first line of the first table pairs it with item01
    assert runs.names[2 * first : 2 * first + 2] == ("run01/training/class08.png", "run01/test/item01.png")
    # Both images of a pair are of one evaluation character.
    evaluation = omniglot.load("evaluation")
    inked = {evaluation[i][0].tobytes(): int(evaluation.labels[i]) for i in range(len(evaluation))}
    of_run = np.asarray([inked[runs[i][0].tobytes()] for i in range(40)]).reshape(20, 2)
    np.testing.assert_array_equal(of_run[:, 0], of_run[:, 1])
    assert len(set(of_run[:, 0].tolist())) == 20


def fake_runs(folder: Path) -> dict[str, bytes]:
    """The layout of the official runs, with a few bytes for each image."""
    files: dict[str, bytes] = {}
    for run in (f"run{number:02d}" for number in range(1, 21)):
        lines = []
        for k in range(1, 21):
            test, training = f"{run}/test/item{k:02d}.png", f"{run}/training/class{21 - k:02d}.png"
            files[test], files[training] = test.encode(), training.encode()
            lines.append(f"{test} {training}")
        files[f"{run}/class_labels.txt"] = "\n".join(lines).encode()
    folder.mkdir(parents=True, exist_ok=True)
    return files


def zip_up(path: Path, files: dict[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)


def unpack(folder: Path, files: dict[str, bytes]) -> None:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)


@pytest.mark.parametrize("layout", ["zip", "zip with a folder", "tree", "bare runs"])
def test_archives_and_trees_read_alike(layout: str, tmp_path: Path) -> None:
    files = fake_runs(tmp_path)
    if layout == "zip":
        zip_up(tmp_path / "all_runs.zip", {**files, "__MACOSX/run01/test/._item01.png": b"x"})
    elif layout == "zip with a folder":
        zip_up(tmp_path / "all_runs.zip", {f"all_runs/{name}": data for name, data in files.items()})
    else:
        unpack(tmp_path / "all_runs" if layout == "tree" else tmp_path, files)
    runs = omniglot.load("runs", data_dir=tmp_path)
    assert len(runs) == 800
    assert all(item == name.encode() for item, name in zip(runs.items, runs.names, strict=True))
    assert runs.names[:2] == ("run01/training/class01.png", "run01/test/item20.png")


def test_the_environment_and_the_cache_are_looked_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAMEKIND_DATA", str(tmp_path / "named"))
    monkeypatch.setattr("platformdirs.user_cache_path", lambda name: tmp_path / "cache" / name)
    cache = omniglot.cache_dir()
    assert cache.is_relative_to(tmp_path)
    zip_up_into = {**fake_runs(cache), "run01/test/item01.png": b"cached"}
    zip_up(cache / "all_runs.zip", zip_up_into)
    with pytest.raises(MissingDataError, match=f"SAMEKIND_DATA names {tmp_path / 'named'}, .*no such folder"):
        omniglot.load("runs")
    (tmp_path / "named").mkdir()
    assert b"cached" in omniglot.load("runs").items  # the named folder has no archive in it
    unpack(tmp_path / "named", fake_runs(tmp_path / "named"))
    assert b"cached" not in omniglot.load("runs").items
    (tmp_path / "empty").mkdir()
    with pytest.raises(MissingDataError, match=r"expected all_runs\.zip or the folder"):
        omniglot.load("runs", data_dir=tmp_path / "empty")


def test_damaged_and_incomplete_data_are_named(tmp_path: Path) -> None:
    files = fake_runs(tmp_path)
    path = tmp_path / "all_runs.zip"
    zip_up(path, files)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"all_runs\.zip: a damaged archive"):
        omniglot.load("runs", data_dir=tmp_path)
    path.write_bytes(whole.replace(b"run01/test/item01.png", b"run01/test/itemXX.png", 1))
    with pytest.raises(InputError, match=r"all_runs\.zip: (a )?damaged"):
        omniglot.load("runs", data_dir=tmp_path)
    del files["run07/test/item03.png"]
    zip_up(path, files)
    with pytest.raises(InputError, match="incomplete, expected 400 pairs"):
        omniglot.load("runs", data_dir=tmp_path)
    zip_up(tmp_path / "images_evaluation.zip", {"images_evaluation/Avesta/character01/1063_01.png": b"x"})
    with pytest.raises(InputError, match="expected 13180 images, got 1"):
        omniglot.load("evaluation", data_dir=tmp_path)


def test_an_unknown_part_lists_the_known_ones() -> None:
    with pytest.raises(InputError, match="background, evaluation, runs, small1, small2"):
        omniglot.load("training")


class Server(ThreadingHTTPServer):
    """Serves PAYLOAD; obeys Range or not; may break off after some bytes, or pause after some until it may go on."""

    ranges = True
    break_after: int | None = None
    pause_after = 0
    go_on: threading.Event
    asked: list[str | None]


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        asked = self.headers.get("Range")
        self.server.asked.append(asked)
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and self.server.ranges else 0
        if start >= len(PAYLOAD):
            self.send_error(416)
            return
        body = PAYLOAD[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        with suppress(ConnectionError):  # who asked may be gone
            self.wfile.write(body[: self.server.pause_after])
            self.server.go_on.wait(timeout=8)
            self.wfile.write(body[self.server.pause_after : self.server.break_after])

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    running = Server(("127.0.0.1", 0), Handler)
    running.asked, running.go_on = [], threading.Event()
    running.go_on.set()
    thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield running
    running.shutdown()
    thread.join()
    running.server_close()


def address(server: Server) -> str:
    return f"http://127.0.0.1:{server.server_port}/file.zip"


def test_download_writes_the_file_and_nothing_else(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "deep" / "file.zip"
    download(address(server), path, sha256=DIGEST)
    assert path.read_bytes() == PAYLOAD
    assert sorted(entry.name for entry in path.parent.iterdir()) == ["file.zip", "file.zip.lock"]
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "file.zip" in captured.err


@pytest.mark.parametrize("ranges", [True, False])
def test_a_broken_download_is_gone_on_with(server: Server, ranges: bool, tmp_path: Path) -> None:
    path = tmp_path / "file.zip"
    server.ranges, server.break_after = ranges, 200_000
    with pytest.raises(MissingDataError, match=r"broke after 200000 of 512000 bytes.*try again"):
        download(address(server), path, sha256=DIGEST)
    assert not path.exists()
    server.break_after = None
    download(address(server), path, sha256=DIGEST)
    assert path.read_bytes() == PAYLOAD
    assert server.asked == [None, "bytes=200000-"]


def wait_until(holds: Callable[[], bool]) -> None:
    give_up = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < give_up, "waited for too long"
        time.sleep(0.01)


@pytest.mark.parametrize("killed", [False, True])
def test_two_processes_fetch_one_file_once(server: Server, killed: bool, tmp_path: Path) -> None:
    path, part = tmp_path / "file.zip", tmp_path / "file.zip.part"
    call = f"from pathlib import Path; download({address(server)!r}, Path({str(path)!r}), sha256={DIGEST!r})"
    command = [sys.executable, "-c", f"from samekind.data.download import download; {call}"]
    server.pause_after = 200_000
    server.go_on.clear()
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as first:
        wait_until(lambda: part.exists() and part.stat().st_size > 100_000)
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as second:
            assert second.stderr is not None
            line = second.stderr.readline()
            if killed:
                first.kill()
                first.wait()
            server.go_on.set()
            said = line + second.stderr.read()
    assert (first.returncode == 0) is not killed
    assert second.returncode == 0, said
    assert path.read_bytes() == PAYLOAD
    assert "another process" in line
    assert len(server.asked) == (2 if killed else 1)
    assert all(asked is not None for asked in server.asked[1:])  # it goes on where the killed one stopped
    assert not part.exists()


def test_a_file_that_is_there_is_not_fetched(server: Server, tmp_path: Path) -> None:
    path = tmp_path / "file.zip"
    path.write_bytes(PAYLOAD)
    download(address(server), path, sha256=DIGEST)
    assert server.asked == []
    path.write_bytes(b"another file")
    download(address(server), path, sha256=DIGEST)
    assert path.read_bytes() == PAYLOAD


def test_a_part_that_is_already_whole_is_taken(server: Server, tmp_path: Path) -> None:
    path = tmp_path / "file.zip"
    (tmp_path / "file.zip.part").write_bytes(PAYLOAD)
    download(address(server), path, sha256=DIGEST)
    assert path.read_bytes() == PAYLOAD


def test_a_wrong_digest_keeps_the_file_aside(server: Server, tmp_path: Path) -> None:
    path = tmp_path / "file.zip"
    with pytest.raises(MissingDataError, match=rf"expected SHA-256 {'0' * 64}, got {DIGEST}"):
        download(address(server), path, sha256="0" * 64)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["file.zip.lock", "file.zip.rejected"]
    download(address(server), path, sha256=DIGEST)
    assert path.read_bytes() == PAYLOAD


def test_a_folder_that_cannot_be_written_is_named(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(MissingDataError, match="cannot be written"):
        download(address(server), tmp_path / "file" / "file.zip", sha256=DIGEST)


def test_a_silent_server_is_given_up(tmp_path: Path) -> None:
    import socket

    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/file.zip"
        with pytest.raises(MissingDataError, match="timed out"):
            download(url, tmp_path / "file.zip", sha256=DIGEST, timeout=0.2)


def test_nowhere_and_no_network_is_one_clear_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SAMEKIND_DATA", raising=False)
    monkeypatch.setattr("platformdirs.user_cache_path", lambda name: tmp_path / name)
    with pytest.raises(MissingDataError) as caught:
        omniglot.load("background", base_url="http://127.0.0.1:9")
    text = str(caught.value)
    assert "\n" not in text
    for way in ("--data-dir", "SAMEKIND_DATA", str(omniglot.cache_dir()), "images_background.zip", "refused"):
        assert way in text
