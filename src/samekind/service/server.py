"""The service on a socket: bound early, open once it can answer, closed when what was begun is done.

Knows addresses, signals and logs of the process. Knows nothing of what is served.
"""

import json
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

import uvicorn
from starlette.types import ASGIApp

from samekind.errors import InputError
from samekind.service.origins import is_loopback

KEEP_ALIVE = 75
"""Seconds that an idle connection stays open: longer than reverse proxies keep theirs, which else meet closed ones."""


SWITCH = 0.001
"""Seconds after which a thread that computes gives the interpreter to another: the event loop waits no longer than that
for each. Python's own is 0.005."""


@dataclass(frozen=True, eq=False)
class Bound:
    """A socket that has its address, but does not listen yet."""

    socket: socket.socket
    url: str

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.socket.close()


def bind(host: str, port: int, *, has_keys: bool) -> Bound:
    """Take an address, so that whatever is wrong with it is known before the model is loaded.

    Args:
        host: name or address.
        port: 0 takes any that is free.
        has_keys: whether only those with a key are answered.
    Raises:
        InputError: it is another machine's to reach and there is no key, or it cannot be had.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (OSError, UnicodeError) as error:
        raise InputError(f"{host}: not an address of this machine ({error}); choose another --host") from None
    if not (has_keys or is_loopback(str(address[0]))):
        raise InputError(
            f"{host}: others could reach the service there, so it needs keys: "
            "`samekind keys create NAME --scope verify --keys FILE`, then `samekind serve --keys FILE`"
        )
    bound = socket.socket(family, kind, protocol)
    try:
        if os.name == "posix":  # else a port stays taken for a minute after its service has ended
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
    except OSError as error:
        bound.close()
        raise InputError(f"{host} port {port}: {error.strerror}; choose another --host or --port") from None
    name, number = bound.getsockname()[:2]
    return Bound(bound, f"http://{f'[{name}]' if ':' in name else name}:{number}")


def run(
    app: ASGIApp, bound: Bound, *, ready: Callable[[], object], write: Callable[[str], object], grace: float
) -> None:
    """Serve until the process is told to stop by SIGTERM or Ctrl-C; then finish what has been begun.

    Args:
        app: what answers.
        bound: the socket.
        ready: called once requests are answered.
        write: takes a line of JSON for what there is to say beside the log of requests.
        grace: seconds for what has been begun.
    Raises:
        KeyboardInterrupt: it was Ctrl-C.
    """
    _log_by(write)
    config = uvicorn.Config(
        app,
        access_log=False,
        date_header=True,
        lifespan="on",
        log_config=None,
        proxy_headers=False,  # nothing depends on the address of a client
        server_header=False,
        timeout_graceful_shutdown=round(grace) + 1,
        timeout_keep_alive=KEEP_ALIVE,
        ws="none",
    )
    before, interval = signal.signal(signal.SIGTERM, lambda *_: None), sys.getswitchinterval()
    sys.setswitchinterval(SWITCH)
    try:
        _Server(config, ready).run(
            sockets=[bound.socket]
        )  # raises SIGTERM again once all is done: nothing is left to do
    finally:
        sys.setswitchinterval(interval)
        signal.signal(signal.SIGTERM, before)


class _Server(uvicorn.Server):
    """Says when it is open."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], object]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._ready()


class _Lines(logging.Handler):
    """Log records as lines of JSON."""

    def __init__(self, write: Callable[[str], object]) -> None:
        super().__init__(logging.WARNING)
        self._write = write

    def emit(self, record: logging.LogRecord) -> None:
        line = {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["trace"] = logging.Formatter().formatException(record.exc_info)
        self._write(json.dumps(line))


def _log_by(write: Callable[[str], object]) -> None:
    handler = _Lines(write)
    for name in ("samekind.service", "samekind.gallery", "uvicorn.error", "asyncio"):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
    logging.getLogger("python_multipart").setLevel(logging.CRITICAL)  # whoever sent the form is told
