"""How much is worked on at the same time, and how long; what is more is refused at once.

Knows counts, bytes and time. Knows nothing of what is worked on.
"""

import asyncio
from collections.abc import Callable

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from samekind.service.headers import request_id
from samekind.service.problems import ProblemError
from samekind.service.settings import Limits

PREFIX = "/v1/"
"""Of the paths that this is about; health, metrics and the page answer in any case."""
RETRY = 1
"""Seconds after which another try makes sense."""


class Admission:
    """Lets so many requests in at a time, with so many bytes, and each for so long.

    Args:
        app: what they want.
        limits: of requests.
        left: how many calls go on though their request has been given up; they count too.
    """

    def __init__(self, app: ASGIApp, *, limits: Limits, left: Callable[[], int]) -> None:
        self.app = app
        self._limits = limits
        self._left = left
        self._open = 0
        self._held = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith(PREFIX):
            await self.app(scope, receive, send)
            return
        if self._open + self._left() >= self._limits.requests:
            await self._busy(f"{self._limits.requests} requests at a time").response(request_id(scope))(
                scope, receive, send
            )
            return
        self._open += 1
        body = _Body(self, receive, Headers(scope=scope))
        started = False

        async def watch(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        problem = None
        try:
            body.announce()
            async with asyncio.timeout(self._limits.seconds):
                await self.app(scope, body.receive, watch)
        except ProblemError as error:
            problem = error
        except TimeoutError:
            if started:
                raise
            took = f"expected at most {self._limits.seconds:g} s"
            problem = (
                ProblemError("timeout", f"{took}; what was begun may still be done", retry_after=RETRY)
                if body.complete
                else ProblemError("request-timeout", f"{took} for the whole request, got a part of it")
            )
        finally:
            self._open -= 1
            self._held -= body.held
        if problem is not None:
            await problem.response(request_id(scope))(scope, receive, send)

    @property
    def open(self) -> int:
        """Requests that are being worked on or wait."""
        return self._open

    def hold(self, more: int) -> None:
        """Take so many bytes into account. Raises ProblemError where they are too many."""
        if self._held + more > self._limits.held:
            raise self._busy(f"{self._limits.held} bytes of all requests together")
        self._held += more

    @property
    def limits(self) -> Limits:
        """Of requests."""
        return self._limits

    def _busy(self, what: str) -> ProblemError:
        return ProblemError("busy", f"at most {what}; try again in {RETRY} s", retry_after=RETRY)


class _Body:
    """The body of one request, as far as it has been announced or has come."""

    def __init__(self, admission: Admission, receive: Receive, headers: Headers) -> None:
        self._admission = admission
        self._receive = receive
        length = headers.get("content-length", "0")
        self._announced = int(length) if length.isdigit() else 0
        self._came = 0
        self.held = 0
        self.complete = False

    def announce(self) -> None:
        if self._announced <= self._admission.limits.body:  # what is longer is refused by whoever reads it
            self._hold(self._announced)

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request":
            self._came += len(message.get("body", b""))
            self.complete = not message.get("more_body", False)
            if self._came > self.held:
                self._hold(self._came - self.held)
        return message

    def _hold(self, more: int) -> None:
        self._admission.hold(more)
        self.held += more
