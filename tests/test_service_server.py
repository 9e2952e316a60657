"""The service as a process: when it is open, whom it answers, how it ends, and what it refuses to begin with."""

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from samekind.data.glyphs import glyphs
from samekind.errors import InputError
from samekind.service.server import bind

ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}


@dataclass(frozen=True)
class Running:
    """A service in a process of its own."""

    process: subprocess.Popen[str]
    port: int
    said: dict[str, str]

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)

    def get(self, path: str) -> int:
        connection = self.connect()
        connection.request("GET", path)
        status = connection.getresponse().status
        connection.close()
        return status


@contextmanager
def serving(folder: Path, *arguments: str) -> Iterator[Running]:
    """`samekind serve` on a free port; it is killed if the test leaves it running."""
    command = [sys.executable, "-m", "samekind", "serve", "--port", "0", "--json", *arguments]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, cwd=folder, env=ENVIRONMENT)
    assert process.stdout is not None
    try:
        said = json.loads(process.stdout.readline())
        yield Running(process, int(said["url"].rpartition(":")[2]), said)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def form(folder: Path) -> tuple[bytes, dict[str, str]]:
    """The body of a request to verify, and its headers."""
    path = folder / "drawing.png"
    glyphs(1, 1)[0][0].save(path)
    parts = [
        f'--x\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n'.encode() + path.read_bytes() + b"\r\n"
        for name in ("query", "reference")
    ]
    return b"".join(parts) + b"--x--\r\n", {"Content-Type": "multipart/form-data; boundary=x"}


def test_it_answers_once_it_says_so_and_ends_when_told(tmp_path: Path) -> None:
    with serving(tmp_path) as service:
        assert set(service.said) == {"url", "model", "fingerprint"}
        assert service.get("/readyz") == 200
        assert service.get("/") == 200
        service.process.send_signal(signal.SIGTERM)
        assert service.process.wait(10) == 0
        assert service.process.stdout is not None
        assert service.process.stdout.read() == ""  # one object on standard output and nothing else
    lines = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert [(line["route"], line["status"]) for line in lines] == [("/readyz", 200), ("page", 200)]
    assert (tmp_path / "samekind-gallery.db").is_file()


def test_what_was_begun_is_finished_before_it_ends(tmp_path: Path) -> None:
    body, headers = form(tmp_path)
    with serving(tmp_path, "--no-gallery") as service:
        connection = service.connect()
        connection.putrequest("POST", "/v1/verify")
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            connection.putheader(name, value)
        connection.endheaders(body[:100])  # the rest is still on its way
        time.sleep(0.3)
        service.process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:  # it takes no new connections
            try:
                socket.create_connection(("127.0.0.1", service.port), timeout=1).close()
            except OSError:
                break
            time.sleep(0.05)
        else:
            raise AssertionError("still takes connections")
        assert service.process.poll() is None
        connection.send(body[100:])
        answer = connection.getresponse()
        assert (answer.status, json.loads(answer.read())["same"]) == (200, True)
        connection.close()
        assert service.process.wait(10) == 0
    assert list(tmp_path.glob("*.db")) == []


def test_ctrl_c_ends_it_too(tmp_path: Path) -> None:
    with serving(tmp_path, "--no-gallery") as service:
        service.process.send_signal(signal.SIGINT)
        assert service.process.wait(10) == 130
    assert "Traceback" not in (tmp_path / "log").read_text()


def test_with_keys_only_those_who_have_one_are_answered(tmp_path: Path) -> None:
    keys = [sys.executable, "-m", "samekind", "keys"]
    made = subprocess.run([*keys, "create", "Anna", "--scope", "read"], cwd=tmp_path, capture_output=True, check=True)
    text = made.stdout.decode().strip()
    with serving(tmp_path, "--keys", "samekind-keys.json", "--host", "0.0.0.0") as service:
        assert service.get("/v1/model") == 401
        assert service.get("/healthz") == 200
        connection = service.connect()
        connection.request("GET", "/v1/model", headers={"Authorization": f"Bearer {text}", "Host": "any.example"})
        assert connection.getresponse().status == 200
        connection.close()
        subprocess.run([*keys, "revoke", "Anna"], cwd=tmp_path, capture_output=True, check=True)
        connection.request("GET", "/v1/model", headers={"Authorization": f"Bearer {text}"})
        assert connection.getresponse().status == 401
        connection.close()
    assert text not in (tmp_path / "log").read_text()


@pytest.mark.parametrize(
    "raw",
    [
        b"nonsense\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"CONNECT evil.example:80 HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET http://evil.example/ HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET //evil.example HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /\xff\xfe HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n",
        b"POST /v1/verify HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
        b"POST /v1/verify HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 200_000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
    ],
    ids=lambda raw: raw[:24].decode("latin-1"),
)
def test_whatever_is_sent_it_goes_on(tmp_path_factory: pytest.TempPathFactory, raw: bytes, service: Running) -> None:
    with socket.create_connection(("127.0.0.1", service.port), timeout=5) as connection:
        connection.sendall(raw)
        connection.shutdown(socket.SHUT_WR)
        answer = b""
        try:
            while piece := connection.recv(65_536):
                answer += piece
        except ConnectionResetError:
            pass
    assert not re.match(rb"HTTP/1.1 5", answer), answer
    assert b"Traceback" not in answer
    assert service.get("/healthz") == 200


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with serving(tmp_path_factory.mktemp("service"), "--no-gallery") as running:
        yield running


def test_many_at_once_are_all_answered(tmp_path: Path, service: Running) -> None:
    body, headers = form(tmp_path)
    statuses: list[int] = []

    def ask() -> None:
        connection = service.connect()
        for _ in range(5):
            connection.request("POST", "/v1/verify", body, headers)
            answer = connection.getresponse()
            answer.read()
            statuses.append(answer.status)
        connection.close()

    threads = [threading.Thread(target=ask) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [200] * 80


def test_without_keys_only_this_machine_is_answered() -> None:
    for host in ("0.0.0.0", "::"):
        with pytest.raises(InputError, match="samekind keys create"):
            bind(host, 0, has_keys=False)
    with bind("0.0.0.0", 0, has_keys=True) as bound:
        assert bound.url.startswith("http://0.0.0.0:")


def test_an_address_that_cannot_be_had_is_one_line() -> None:
    with bind("127.0.0.1", 0, has_keys=False) as bound:
        bound.socket.listen()
        with pytest.raises(InputError, match=r"127\.0\.0\.1 port \d+: .*; choose another --host or --port"):
            bind("127.0.0.1", int(bound.url.rpartition(":")[2]), has_keys=False)
    for host in ("no such host", "x" * 300, "203.0.113.7"):
        with pytest.raises(InputError, match="choose another --host"):
            bind(host, 0, has_keys=True)


def test_the_port_is_closed_until_it_listens() -> None:
    with bind("127.0.0.1", 0, has_keys=False) as bound, pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", int(bound.url.rpartition(":")[2])), timeout=1)


@pytest.mark.parametrize("announced", [True, False])
def test_a_large_upload_is_refused_and_the_connection_goes_on(
    tmp_path: Path, service: Running, announced: bool
) -> None:
    body, headers = form(tmp_path)
    large = body.replace(b"\r\n--x--", bytes(50_000_000) + b"\r\n--x--")
    pieces = [large[start : start + 65_536] for start in range(0, len(large), 65_536)]
    connection = service.connect()
    connection.request(
        "POST", "/v1/verify", large if announced else iter(pieces), headers, encode_chunked=not announced
    )
    answer = connection.getresponse()
    assert answer.status == 413
    assert json.loads(answer.read())["detail"].startswith("expected a body of at most 32000000 bytes")
    connection.request("POST", "/v1/verify", body, headers)
    assert connection.getresponse().status == 200
    connection.close()
