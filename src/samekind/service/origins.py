"""Which web pages may use the service through somebody's browser: its own, and those that were named.

Knows the headers that browsers add. Knows nothing of keys or routes.
"""

import ipaddress
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from samekind.service.headers import is_page, request_id
from samekind.service.problems import ProblemError
from samekind.service.settings import Settings

_FOREIGN = ("cross-site", "same-site")  # another port of this machine is of the same site


def is_loopback(host: str) -> bool:
    """Whether a name or an address, without port, can only be this machine."""
    if host.rstrip(".").lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


class Origins:
    """Refuses what another web page sends, and where it must, what was sent to another name.

    Args:
        app: what is asked for.
        settings: which pages are allowed, and whether the name matters.
    """

    def __init__(self, app: ASGIApp, *, settings: Settings) -> None:
        self.app = app
        self._settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and (refusal := self._refusal(Headers(scope=scope), scope["path"])):
            problem = ProblemError("forbidden", refusal)
            await problem.response(request_id(scope))(scope, receive, send)
            return
        await self.app(scope, receive, send)

    def _refusal(self, headers: Headers, path: str) -> str:
        host = headers.get("host", "")
        if self._settings.loopback_only and not is_loopback(_without_port(host)):
            return "a service without keys answers only under the name of this machine, such as localhost"
        site, origin = headers.get("sec-fetch-site"), headers.get("origin")
        if origin is None:
            foreign = site in _FOREIGN and not is_page(path)  # a link to the page is fine
        else:
            own = site == "same-origin" or (site is None and _authority(origin) == host)
            foreign = not own and origin not in self._settings.origins
        return "another web page may use this service only if it was started with --cors and that page" * foreign


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host.partition("]")[0] + "]"
    return host.partition(":")[0]


def _authority(origin: str) -> str | None:
    try:
        return urlsplit(origin).netloc or None
    except ValueError:
        return None
