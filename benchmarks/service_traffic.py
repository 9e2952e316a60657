"""Sends one prepared request to a service on this machine, again and again, and says how it was answered.

A process of its own, for the service to be measured and not the client: requests are bytes that lie ready, answers are
read to their end and looked at no further than the status. It ends by itself after --seconds.
`--clients N` keeps N requests under way; `--rate R` begins R a second, whether or not the last ones are answered.
"""

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import numpy as np

MOST = 1024
"""Connections; a request that would need more is counted as unsent."""
STATUS, LENGTH = slice(9, 12), b"content-length: "


@dataclass
class Answers:
    """Of all requests: status, when it was sent and answered, in seconds from the start."""

    rows: list[tuple[int, float, float]] = field(default_factory=list)
    unsent: int = 0
    broken: int = 0


class Connection(asyncio.Protocol):
    """One request at a time over one connection."""

    def __init__(self) -> None:
        self.transport: asyncio.WriteTransport | None = None
        self.answer: asyncio.Future[int] | None = None
        self._came = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.WriteTransport, transport)  # uvloop's own are no subclass

    def data_received(self, data: bytes) -> None:
        self._came += data
        head = self._came.find(b"\r\n\r\n")
        if head < 0 or self.answer is None:
            return
        start = self._came.find(LENGTH) + len(LENGTH)
        length = int(self._came[start : self._came.find(b"\r\n", start)])
        if len(self._came) >= head + 4 + length:
            status, self._came = int(self._came[STATUS]), b""
            self.answer.set_result(status)

    def connection_lost(self, error: Exception | None) -> None:
        if self.answer is not None and not self.answer.done():
            self.answer.set_exception(ConnectionError("closed before the answer"))

    async def send(self, request: bytes) -> int:
        assert self.transport is not None
        self.answer = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        return await self.answer


async def connect(port: int) -> Connection:
    _, connection = await asyncio.get_running_loop().create_connection(Connection, "127.0.0.1", port)
    return connection


async def closed_loop(port: int, request: bytes, *, clients: int, seconds: float) -> Answers:
    """So many clients, each of which sends its next request when the last is answered."""
    answers, began = Answers(), time.perf_counter()

    async def client() -> None:
        connection = await connect(port)
        while (sent := time.perf_counter() - began) < seconds:
            status = await connection.send(request)
            answers.rows.append((status, sent, time.perf_counter() - began))

    await asyncio.gather(*(client() for _ in range(clients)))
    return answers


async def open_loop(port: int, request: bytes, *, rate: float, seconds: float) -> Answers:
    """So many requests a second, whatever becomes of them."""
    answers, began = Answers(), time.perf_counter()
    idle: list[Connection] = []
    opened = 0
    under_way: set[asyncio.Task[None]] = set()

    async def one() -> None:
        nonlocal opened
        sent = time.perf_counter() - began
        try:
            if idle:
                connection = idle.pop()
            elif opened < MOST:
                opened += 1
                connection = await connect(port)
            else:
                answers.unsent += 1
                return
            status = await connection.send(request)
            answers.rows.append((status, sent, time.perf_counter() - began))
            idle.append(connection)
        except OSError:
            opened -= 1
            answers.broken += 1

    begun = 0
    while (now := time.perf_counter() - began) < seconds:
        while begun < now * rate:
            task = asyncio.create_task(one())
            under_way.add(task)
            task.add_done_callback(under_way.discard)
            begun += 1
        await asyncio.sleep(0.002)
    if under_way:
        await asyncio.wait(under_way, timeout=60)
    return answers


def milliseconds(seconds: list[float]) -> dict[str, float] | None:
    """Median, 99th of 100 and the longest; None of nothing."""
    if not seconds:
        return None
    p50, p99, longest = np.quantile(seconds, [0.5, 0.99, 1.0]) * 1000
    return {"p50": round(float(p50), 2), "p99": round(float(p99), 2), "max": round(float(longest), 2)}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("request", type=Path, help="file with the bytes of the request")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--clients", type=int)
    parser.add_argument("--rate", type=float)
    given = parser.parse_args()
    request = given.request.read_bytes()
    if given.rate is not None:
        traffic = open_loop(given.port, request, rate=given.rate, seconds=given.seconds)
    else:
        traffic = closed_loop(given.port, request, clients=given.clients, seconds=given.seconds)
    answers = _run(traffic)
    by_status: dict[int, int] = {}
    for status, _, _ in answers.rows:
        by_status[status] = by_status.get(status, 0) + 1
    span = max((answered for _, _, answered in answers.rows), default=0.0)
    fine = [answered - sent for status, sent, answered in answers.rows if status == 200]
    said = {
        "sent": len(answers.rows) + answers.broken,
        "statuses": {str(status): count for status, count in sorted(by_status.items())},
        "unsent": answers.unsent,
        "broken": answers.broken,
        "seconds": round(span, 3),
        "answered_per_second": len(fine) / span if span else 0.0,
        "answered_ms": milliseconds(fine),
        "refused_ms": milliseconds([a - s for status, s, a in answers.rows if status in (429, 503)]),
        "processor_seconds": round(time.process_time(), 2),
    }
    json.dump(said, sys.stdout)


def _run(traffic: Coroutine[None, None, Answers]) -> Answers:
    try:
        import uvloop
    except ImportError:
        return asyncio.run(traffic)
    return uvloop.run(traffic)


if __name__ == "__main__":
    main()
