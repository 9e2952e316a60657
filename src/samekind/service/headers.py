"""What every answer says to browsers, and the id of its request.

Knows headers. Knows nothing of routes beyond which of them are the page.
"""

import random
import re

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_GIVEN_ID = re.compile(r"[A-Za-z0-9._-]{8,64}")

PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
    "font-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""No inline script or style, nothing from elsewhere; images also from what the page itself drew or was given."""
POLICY = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
_ALWAYS = [
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"permissions-policy", b"camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
]
_PAGE = [*_ALWAYS, (b"content-security-policy", PAGE_POLICY.encode()), (b"cache-control", b"no-cache")]
_OTHER = [*_ALWAYS, (b"content-security-policy", POLICY.encode()), (b"cache-control", b"no-store")]
_BITS = 64


def is_page(path: str) -> bool:
    """Whether a path is that of the web page or one of its files."""
    return path == "/" or path.startswith("/page/")


def request_id(scope: Scope) -> str:
    """The id of a request, which SecureHeaders gave it."""
    return str(scope.get("state", {}).get("request_id", ""))


class SecureHeaders:
    """Gives each request an id, and each answer that id and the headers above.

    The id is the request's own X-Request-ID where that is 8 to 64 letters, digits, dots, dashes and underscores. Any
    other only has to be new; so it needs no system call, after which the event loop would wait for its threads.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self._random = random.Random()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        given = Headers(scope=scope).get("x-request-id", "")
        own = given if _GIVEN_ID.fullmatch(given) else f"{self._random.getrandbits(_BITS):016x}"
        scope.setdefault("state", {})["request_id"] = own
        added = [*(_PAGE if is_page(scope["path"]) else _OTHER), (b"x-request-id", own.encode())]

        async def send_more(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *added]
            await send(message)

        await self.app(scope, receive, send_more)
