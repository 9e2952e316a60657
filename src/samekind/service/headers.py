"""What every answer says to browsers, and the id of its request.

Knows headers. Knows nothing of routes beyond which of them are the page.
"""

import re
import secrets

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_GIVEN_ID = re.compile(r"[A-Za-z0-9._-]{8,64}")

PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
    "font-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""No inline script or style, nothing from elsewhere; images also from what the page itself drew or was given."""
POLICY = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def is_page(path: str) -> bool:
    """Whether a path is that of the web page or one of its files."""
    return path == "/" or path.startswith("/page/")


def request_id(scope: Scope) -> str:
    """The id of a request, which SecureHeaders gave it."""
    return str(scope.get("state", {}).get("request_id", ""))


class SecureHeaders:
    """Gives each request an id, and each answer that id and the headers above.

    The id is the request's own X-Request-ID where that is 8 to 64 letters, digits, dots, dashes and underscores.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        given = Headers(scope=scope).get("x-request-id", "")
        own = given if _GIVEN_ID.fullmatch(given) else secrets.token_hex(8)
        scope.setdefault("state", {})["request_id"] = own
        page = is_page(scope["path"])

        async def send_more(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                headers["Content-Security-Policy"] = PAGE_POLICY if page else POLICY
                headers["Cache-Control"] = "no-cache" if page else "no-store"
                headers["X-Request-ID"] = own
            await send(message)

        await self.app(scope, receive, send_more)
