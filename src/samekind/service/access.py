"""Who may do what: every path but a few needs a key, and most routes a key for their purpose.

Knows keys and paths. Knows nothing of what the routes do.
"""

import logging
from collections.abc import Awaitable, Callable

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from samekind.errors import InputError, MissingDataError
from samekind.service.headers import is_page, request_id
from samekind.service.keys import Key, KeyRing
from samekind.service.problems import ProblemError

log = logging.getLogger("samekind.service")

PUBLIC = ("/healthz", "/readyz", "/openapi.json")
"""Paths that need no key, beside those of the page, which hold nothing but the program that asks for one."""
ANYONE = Key("", "anyone", ("admin",), "", "")
"""Whoever asks where there are no keys: only this machine can."""


def needs(purpose: str) -> Callable[[Request], Awaitable[None]]:
    """A dependency of routes that need a key for a purpose, one of `keys.SCOPES`."""

    async def check(request: Request) -> None:
        key: Key = request.scope["state"]["key"]
        if not key.allows(purpose):
            raise ProblemError(
                "forbidden", f"expected a key with scope {purpose} or admin, got one with {', '.join(key.scopes)}"
            )

    return check


class Access:
    """Lets only those through who have a key, and notes which.

    Args:
        app: what they want.
        ring: the keys; None: anyone may do everything.
    """

    def __init__(self, app: ASGIApp, *, ring: KeyRing | None) -> None:
        self.app = app
        self._ring = ring

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            try:
                scope["state"]["key"] = self._key(scope)
            except ProblemError as problem:
                await problem.response(request_id(scope))(scope, receive, send)
                return
        await self.app(scope, receive, send)

    def _key(self, scope: Scope) -> Key | None:
        if self._ring is None:
            return ANYONE
        if is_page(scope["path"]) or scope["path"] in PUBLIC:
            return None
        try:
            self._ring.refresh()
        except (InputError, MissingDataError, OSError) as error:
            log.error("the keys cannot be read, so that every request is refused: %s", error)
            raise ProblemError("unavailable", "the service cannot check keys now", retry_after=10) from None
        scheme, _, text = Headers(scope=scope).get("authorization", "").partition(" ")
        key = self._ring.find(text.strip()) if scheme.lower() == "bearer" else None
        if key is None:
            got = "one that is unknown or revoked" if text else "none"
            raise ProblemError("unauthorized", f"expected a key as Authorization: Bearer KEY, got {got}")
        return key
