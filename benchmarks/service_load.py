"""What a service can do, and what it does when asked for more: throughput, latency, refusals, memory, recovery.

All traffic goes to loopback, comes from one process of its own (`service_traffic.py`) and ends by itself.

Throughput: 32 clients send `/v1/verify` (two images each) to a service in this process. In turn with that, the same
model in the same process embeds full batches, as large as the service's, with the same threads. Floors: images a second
of the service over those of the model at least 0.6; no errors; 99 of 100 answers within 10 times the median.

Overload: a service started by `samekind serve` gets 4 times the requests a second that it answered before, for a
minute. Floors: nothing but answers and refusals (429, 503); memory grows by at most 10 %; within 5 seconds afterwards
it answers as before. How quick refusals are is kept.
"""

import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import uvicorn

from results import arguments, keep, ratio, repeated
from samekind import glyphs
from samekind.service.app import create_app
from samekind.service.server import SWITCH, bind
from samekind.service.service import Service
from samekind.service.settings import Settings
from samekind.verifier import Verifier

CLIENTS = 32
REFUSALS = ("429", "503")
IMAGES = 2
"""Of a request."""


def request_of(folder: Path) -> Path:
    """A file with the bytes of a request to verify two drawings of a character."""
    drawings, parts = glyphs(1, 2), b""
    for index, name in enumerate(("query", "reference")):
        drawings[index][0].save(folder / "drawing.png")
        head = f'--x\r\nContent-Disposition: form-data; name="{name}"; filename="{name}.png"\r\n'
        parts += head.encode() + b"Content-Type: image/png\r\n\r\n" + (folder / "drawing.png").read_bytes() + b"\r\n"
    body = parts + b"--x--\r\n"
    head = "POST /v1/verify HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=x\r\n"
    path = folder / "request"
    path.write_bytes(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
    return path


def traffic(port: int, request: Path, *options: str) -> dict[str, Any]:
    """What `service_traffic.py` says."""
    script = str(Path(__file__).with_name("service_traffic.py"))
    command = [sys.executable, script, str(request), "--port", str(port), *options]
    answer: dict[str, Any] = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
    return answer


@contextmanager
def in_this_process(model: Verifier) -> Iterator[int]:
    """The port of a service."""
    app = create_app(model, settings=Settings(), log=lambda line: None)
    with bind("127.0.0.1", 0, has_keys=False) as bound:
        config = uvicorn.Config(app, access_log=False, log_config=None, lifespan="on", proxy_headers=False, ws="none")
        server = uvicorn.Server(config)
        sys.setswitchinterval(SWITCH)  # as the command does
        thread = threading.Thread(target=lambda: server.run(sockets=[bound.socket]))
        thread.start()
        while not server.started:
            time.sleep(0.01)
        try:
            yield int(bound.url.rpartition(":")[2])
        finally:
            server.should_exit = True
            thread.join()


def embedded_per_second(model: Verifier, *, batch: int, seconds: float) -> float:
    """Images a second of full batches."""
    side, channels = model.preprocessing.size, model.preprocessing.channels
    inputs = np.random.default_rng(0).random((batch, channels, side, side), dtype=np.float32)
    count, began = 0, time.perf_counter()
    while (passed := time.perf_counter() - began) < seconds:
        model.embed_batch(inputs)
        count += batch
    return count / passed


def throughput(name: str, request: Path, *, threads: int, rounds: int, seconds: float) -> dict[str, object]:
    """Model and service in turn."""
    model = Verifier.load(name, threads=threads)
    batch = Service(model, Settings()).batcher.size
    raw, served, tails, errors = [], [], [], 0
    options = ("--clients", str(CLIENTS), "--seconds")
    with in_this_process(model) as port:
        traffic(port, request, *options, "2")
        embedded_per_second(model, batch=batch, seconds=1)
        for _ in range(rounds):
            raw.append(embedded_per_second(model, batch=batch, seconds=seconds / 2))
            answers = traffic(port, request, *options, str(seconds))
            served.append(IMAGES * answers["answered_per_second"])
            tails.append(answers["answered_ms"])
            errors += answers["sent"] - answers["statuses"].get("200", 0)
    return {
        "clients": CLIENTS,
        "batch": batch,
        "threads": threads,
        "embedded_images_per_second": repeated(raw),
        "served_images_per_second": repeated(served),
        "served_over_embedded": ratio(served, raw),
        "p50_ms": repeated([tail["p50"] for tail in tails]),
        "p99_ms": repeated([tail["p99"] for tail in tails]),
        "p99_over_p50": repeated([tail["p99"] / tail["p50"] for tail in tails]),
        "errors": errors,
    }


@contextmanager
def command(model: str, folder: Path) -> Iterator[tuple[int, psutil.Process]]:
    """Port and process of `samekind serve`; its log goes to a file."""
    line = [sys.executable, "-m", "samekind", "serve", "--port", "0", "--no-gallery", "--json", "--model", model]
    with (folder / "log").open("w") as log, subprocess.Popen(line, stdout=subprocess.PIPE, stderr=log) as process:
        assert process.stdout is not None
        url = json.loads(process.stdout.readline())["url"]
        try:
            yield int(url.rpartition(":")[2]), psutil.Process(process.pid)
        finally:
            process.terminate()


def recovery(port: int, request: Path, *, usual: float) -> float:
    """Seconds until ten requests in a row are answered, none of them slower than twice the usual median of a client."""
    began, streak = time.perf_counter(), 0
    while streak < 10 and time.perf_counter() - began < 30:
        answers = traffic(port, request, "--clients", "1", "--seconds", "0.2")
        fine = answers["statuses"].get("200", 0) == answers["sent"] and answers["answered_ms"]["p50"] <= 2 * usual
        streak = streak + answers["sent"] if fine else 0
    return time.perf_counter() - began


def overload(name: str, request: Path, *, seconds: float, times: float) -> dict[str, object]:
    """A service that is asked for more than it can do."""
    with tempfile.TemporaryDirectory() as folder, command(name, Path(folder)) as (port, process):
        usual = traffic(port, request, "--clients", "1", "--seconds", "3")["answered_ms"]["p50"]
        able = traffic(port, request, "--clients", str(CLIENTS), "--seconds", "8")["answered_per_second"]
        before, most, over = process.memory_info().rss, 0, threading.Event()

        def watch() -> None:
            nonlocal most
            while not over.wait(0.2):
                most = max(most, process.memory_info().rss)

        watcher = threading.Thread(target=watch)
        watcher.start()
        answers = traffic(port, request, "--rate", str(times * able), "--seconds", str(seconds))
        recovered = recovery(port, request, usual=usual)
        over.set()
        watcher.join()
    statuses = answers["statuses"]
    refused = sum(statuses.get(status, 0) for status in REFUSALS)
    return {
        "able_per_second": able,
        "asked_per_second": times * able,
        "seconds": seconds,
        "answers": answers,
        "answered_over_able": answers["answered_per_second"] / able,
        "refused": refused,
        "errors": answers["sent"] - refused - statuses.get("200", 0),
        "megabytes_before": before / 1e6,
        "megabytes_most": most / 1e6,
        "memory_growth": most / before - 1,
        "recovered_after_seconds": recovered,
    }


def main() -> None:
    parser = arguments(__file__, __doc__)
    parser.add_argument("--model", default="omniglot", help="bundle that decides")
    parser.add_argument("--threads", type=int, default=max(1, (psutil.cpu_count() or 1) // 2), help="of a forward pass")
    parser.add_argument("--rounds", type=int, default=5, help="of throughput")
    parser.add_argument("--seconds", type=float, default=6.0, help="of one round")
    parser.add_argument("--overload", type=float, default=60.0, help="seconds of overload")
    parser.add_argument("--times", type=float, default=4.0, help="what it can do, in the overload")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        request = request_of(Path(folder))
        keep(
            given.out,
            {
                "model": Path(given.model).name,
                "throughput": throughput(
                    given.model, request, threads=given.threads, rounds=given.rounds, seconds=given.seconds
                ),
                "overload": overload(given.model, request, seconds=given.overload, times=given.times),
                "floors": {
                    "served_over_embedded": 0.6,
                    "p99_over_p50": 10,
                    "errors": 0,
                    "memory_growth": 0.1,
                    "recovered_after_seconds": 5,
                },
            },
        )


if __name__ == "__main__":
    main()
