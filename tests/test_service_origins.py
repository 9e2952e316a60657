"""Which web pages may use a service through somebody's browser."""

import asyncio

import pytest
from starlette.responses import PlainTextResponse
from starlette.types import Message

from samekind.errors import InputError
from samekind.service.origins import Origins, is_loopback
from samekind.service.settings import Settings

OPEN = Settings(loopback_only=False, origins=("https://friend.example",))


def status(settings: Settings, path: str = "/v1/model", method: str = "POST", **headers: str) -> int:
    """Of the answer to a request with these headers."""
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "http.request"}

    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "http", "method": method, "path": path, "headers": raw, "state": {}}
    asyncio.run(Origins(PlainTextResponse("fine"), settings=settings)(scope, receive, send))
    return int(sent[0]["status"])


@pytest.mark.parametrize(
    "host", ["localhost", "localhost:8000", "LOCALHOST", "127.0.0.1:8000", "127.1.2.3", "[::1]", "[::1]:8000"]
)
def test_without_keys_names_of_this_machine_are_answered(host: str) -> None:
    assert status(Settings(), host=host) == 200


@pytest.mark.parametrize(
    "host",
    [
        "",
        "evil.example",
        "evil.example:8000",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "192.168.1.2",
        "[::2]",
        "::1",
    ],
)
def test_without_keys_other_names_are_refused(host: str) -> None:
    assert status(Settings(), host=host) == 403
    assert status(Settings(), path="/", method="GET", host=host) == 403
    assert status(Settings(loopback_only=False), host=host) == 200


def test_a_request_without_a_host_is_refused_without_keys() -> None:
    assert status(Settings()) == 403


@pytest.mark.parametrize(
    ("headers", "answered"),
    [
        ({}, 200),  # no browser
        ({"sec_fetch_site": "same-origin"}, 200),
        ({"sec_fetch_site": "none"}, 200),  # somebody typed the address
        ({"sec_fetch_site": "cross-site"}, 403),
        ({"sec_fetch_site": "same-site"}, 403),  # another port of this machine
        ({"origin": "http://localhost:8000"}, 200),
        ({"origin": "http://localhost:8000", "sec_fetch_site": "same-origin"}, 200),
        ({"origin": "http://localhost:8000", "sec_fetch_site": "cross-site"}, 403),
        ({"origin": "http://localhost:9000"}, 403),
        ({"origin": "http://localhost:9000", "sec_fetch_site": "same-site"}, 403),
        ({"origin": "http://evil.example", "sec_fetch_site": "cross-site"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": ""}, 403),
        ({"origin": "http://[x"}, 403),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "OPTIONS"])
def test_other_pages_are_refused(headers: dict[str, str], answered: int, method: str) -> None:
    assert status(Settings(), method=method, host="localhost:8000", **headers) == answered


def test_a_link_to_the_page_may_be_followed() -> None:
    host, elsewhere = "localhost:8000", "cross-site"
    assert status(Settings(), path="/", method="GET", host=host, sec_fetch_site=elsewhere) == 200
    assert status(Settings(), path="/page/main.js", method="GET", host=host, sec_fetch_site=elsewhere) == 200


def test_pages_that_were_named_may_call() -> None:
    sent = {"host": "samekind.example", "sec_fetch_site": "cross-site"}
    assert status(OPEN, origin="https://friend.example", **sent) == 200
    assert status(OPEN, origin="https://friend.example.evil", **sent) == 403
    assert status(OPEN, origin="http://friend.example", **sent) == 403
    assert status(OPEN, **sent) == 403


def test_behind_a_proxy_the_page_itself_may_call() -> None:
    """The proxy ends TLS, and may pass its own name on; the browser says in any case that it is the same origin."""
    assert status(OPEN, host="samekind.example", origin="https://samekind.example") == 200
    sent = {"origin": "https://samekind.example", "sec_fetch_site": "same-origin"}
    assert status(OPEN, host="127.0.0.1:8000", **sent) == 200


@pytest.mark.parametrize(
    "origin", ["*", "example.org", "https://", "https://example.org/", "ftp://example.org", "null"]
)
def test_only_origins_can_be_named(origin: str) -> None:
    with pytest.raises(InputError, match="origin"):
        Settings(origins=(origin,))


@pytest.mark.parametrize(
    ("host", "expected"),
    [("localhost", True), ("localhost.", True), ("127.0.0.1", True), ("::1", True), ("0.0.0.0", False), ("", False)],
)
def test_loopback(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected
