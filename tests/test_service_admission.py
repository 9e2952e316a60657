"""Admission: so many at a time, so many bytes, so long; more is refused at once, and nothing is counted wrong."""

import asyncio
import json
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import pytest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from samekind.errors import InputError
from samekind.service.admission import Admission
from samekind.service.settings import Limits
from samekind.service.workers import Workers


@dataclass
class Answer:
    """What came back."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def kind(self) -> str:
        return str(json.loads(self.body)["type"]).partition("#problem-")[2]


async def request(
    app: ASGIApp, *chunks: bytes, path: str = "/v1/verify", length: int | None = None, stall: bool = False
) -> Answer:
    """The answer to a request whose body comes in these pieces; stall: its end never comes."""
    answer, pieces = Answer(), list(chunks) or [b""]

    async def receive() -> Message:
        if not pieces:
            await asyncio.sleep(3600)
        piece = pieces.pop(0)
        return {"type": "http.request", "body": piece, "more_body": bool(pieces) or stall}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            answer.status = message["status"]
            answer.headers = {name.decode(): value.decode() for name, value in message["headers"]}
        else:
            answer.body += message.get("body", b"")

    headers = [] if length is None else [(b"content-length", str(length).encode())]
    scope: Scope = {"type": "http", "method": "POST", "path": path, "headers": headers, "state": {"request_id": "me"}}
    await app(scope, receive, send)
    return answer


async def fine(scope: Scope, receive: Receive, send: Send) -> None:
    """Reads the body and answers with its size."""
    size, more = 0, True
    while more:
        message = await receive()
        size += len(message["body"])
        more = message["more_body"]
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": str(size).encode()})


class Slow:
    """Answers once it is told to."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.begun = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.begun += 1
        await self.go.wait()
        await fine(scope, receive, send)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.001)


def in_loop(test: Callable[[], Awaitable[None]]) -> Callable[[], None]:
    """Run an asynchronous test."""

    def run() -> None:
        asyncio.run(test())  # type: ignore[arg-type]

    run.__name__, run.__doc__ = test.__name__, test.__doc__
    return run


@in_loop
async def test_more_requests_than_the_limit_are_refused_at_once() -> None:
    slow = Slow()
    admission = Admission(slow, limits=Limits(requests=3), left=int)
    open_ones = [asyncio.create_task(request(admission)) for _ in range(3)]
    await until(lambda: slow.begun == 3)
    refused = await asyncio.wait_for(request(admission), 1)
    assert (refused.status, refused.kind, refused.headers["retry-after"]) == (503, "busy", "1")
    assert (await request(Admission(fine, limits=Limits(), left=int), path="/healthz")).status == 200
    slow.go.set()
    assert [(await one).status for one in open_ones] == [200] * 3
    assert (await request(admission)).status == 200  # there is room again
    assert admission.open == 0


@in_loop
async def test_health_and_page_are_answered_in_any_case() -> None:
    slow = Slow()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await (slow if scope["path"].startswith("/v1/") else fine)(scope, receive, send)

    admission = Admission(app, limits=Limits(requests=1), left=int)
    busy = asyncio.create_task(request(admission))
    await until(lambda: slow.begun == 1)
    for path in ("/", "/page/main.js", "/healthz", "/readyz", "/metrics"):
        assert (await request(admission, path=path)).status == 200
    slow.go.set()
    await busy


@in_loop
async def test_announced_bytes_are_counted_before_they_come() -> None:
    slow = Slow()
    admission = Admission(slow, limits=Limits(body=100, held=250), left=int)
    open_ones = [asyncio.create_task(request(admission, b"x" * 100, length=100)) for _ in range(2)]
    await until(lambda: slow.begun == 2)
    assert (await request(admission, b"x" * 51, length=51)).kind == "busy"
    slow.go.set()
    assert [(await one).body for one in open_ones] == [b"100"] * 2
    assert (await request(admission, b"x" * 51, length=51)).status == 200


@in_loop
async def test_bytes_that_were_not_announced_are_counted_as_they_come() -> None:
    admission = Admission(fine, limits=Limits(body=100, held=100), left=int)
    assert (await request(admission, b"x" * 60, b"x" * 60)).kind == "busy"
    assert (await request(admission, b"x" * 60, b"x" * 60, length=10)).kind == "busy"  # more than it said
    assert (await request(admission, b"x" * 60, b"x" * 40)).body == b"100"


@in_loop
async def test_a_body_beyond_the_limit_is_left_to_whoever_reads_it() -> None:
    admission = Admission(fine, limits=Limits(body=100, held=100), left=int)
    assert (await request(admission, length=10**12)).status == 200


@in_loop
async def test_a_slow_answer_is_given_up() -> None:
    admission = Admission(Slow(), limits=Limits(seconds=0.05), left=int)
    reading = Admission(fine, limits=Limits(seconds=0.05), left=int)
    answer = await request(reading, b"x", stall=True)
    assert (answer.status, answer.kind) == (408, "request-timeout")

    async def read_then_wait(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await asyncio.sleep(3600)

    answer = await request(Admission(read_then_wait, limits=Limits(seconds=0.05), left=int))
    assert (answer.status, answer.kind) == (503, "timeout")
    assert (await request(admission)).kind == "request-timeout"
    assert admission.open == 0


@in_loop
async def test_work_that_cannot_be_stopped_still_counts() -> None:
    workers, go = Workers(2, turns=2), threading.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await workers.run(lambda: go.wait(10))
        await fine(scope, receive, send)

    admission = Admission(app, limits=Limits(requests=1, seconds=0.05), left=lambda: workers.left)
    assert (await request(admission)).kind == "timeout"
    assert workers.left == 1
    assert (await request(admission)).kind == "busy"
    go.set()
    await until(lambda: workers.left == 0)


@in_loop
async def test_an_error_gives_its_place_back() -> None:
    async def broken(scope: Scope, receive: Receive, send: Send) -> None:
        raise ZeroDivisionError

    admission = Admission(broken, limits=Limits(body=100, requests=1, held=100), left=int)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError):
            await request(admission, b"x" * 100, length=100)


@pytest.mark.parametrize("wrong", [{"requests": 0}, {"seconds": 0.0}, {"body": -1}, {"held": 1}])
def test_limits_out_of_range_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(InputError, match="expected"):
        Limits(**wrong)
