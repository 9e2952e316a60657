"""A line of JSON for each request: which route, what came of it, how long it took, and whose key it was.

Knows requests and answers. Writes no path, query, name, address or content, for these may tell of people.
"""

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from samekind.service.headers import is_page, request_id
from samekind.service.metrics import Metrics

NO_ROUTE, PAGE = "none", "page"


class AccessLog:
    """Notes each request when its answer is complete.

    Args:
        app: what answers.
        metrics: count it too.
        write: takes a line; None: no log.
    """

    def __init__(self, app: ASGIApp, *, metrics: Metrics, write: Callable[[str], object] | None) -> None:
        self.app = app
        self._metrics = metrics
        self._write = write

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = time.perf_counter()
        status, sent = 0, 0  # a status of 0: the connection broke before there was one

        async def watch(message: Message) -> None:
            nonlocal status, sent
            if message["type"] == "http.response.start":
                status = message["status"]
            else:
                sent += len(message.get("body", b""))
            await send(message)

        try:
            await self.app(scope, receive, watch)
        finally:
            seconds = time.perf_counter() - started
            route = _route(scope)
            self._metrics.answered(scope["method"], route, status, seconds)
            if self._write is not None:
                self._write(_line(scope, route, status=status, sent=sent, seconds=seconds))


def _route(scope: Scope) -> str:
    """The pattern of the path; one name for all files of the page, and one for what there is not."""
    if is_page(scope["path"]):
        return PAGE
    return str(getattr(scope.get("route"), "path", NO_ROUTE))


def _line(scope: Scope, route: str, *, status: int, sent: int, seconds: float) -> str:
    key = scope["state"].get("key")
    length = Headers(scope=scope).get("content-length", "")
    return json.dumps(
        {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "request_id": request_id(scope),
            "method": scope["method"][:16],
            "route": route,
            "status": status,
            "ms": round(1000 * seconds, 1),
            "bytes_in": int(length) if length.isdigit() else None,
            "bytes_out": sent,
            "key": key.id or None if key else None,
        }
    )
