"""What a service allows: its limits, and whom it answers.

Knows numbers and names. Knows nothing of HTTP.
"""

from dataclasses import dataclass, field

from samekind.errors import InputError

MEGA = 1_000_000


@dataclass(frozen=True)
class Limits:
    """How much one request, and all of them together, may take.

    Args:
        body: bytes of one request.
        pixels: of one image.
        references: images that a query is verified against in one request.
        samples: images enrolled in one request.
        requests: worked on or waiting at the same time; more are refused at once.
        held: bytes of all their bodies together; more are refused at once.
        seconds: for one request, from its first byte to its answer.
    Raises:
        InputError: one of them is not positive, or all bodies may hold less than one.
    """

    body: int = 32 * MEGA
    pixels: int = 24 * MEGA
    references: int = 10
    samples: int = 20
    requests: int = 64
    held: int = 256 * MEGA
    seconds: float = 30.0

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not value > 0:
                raise InputError(f"expected a limit of {name} above 0, got {value}")
        if self.held < self.body:
            raise InputError(f"expected to hold at least one body of {self.body} bytes, got {self.held}")


@dataclass(frozen=True)
class Settings:
    """How a service behaves.

    Args:
        limits: of requests.
        origins: of other web pages that may call it from a browser, as "https://host[:port]".
        loopback_only: answer only where the request names this machine, so that no web page can reach it under a
            name of its own (DNS rebinding); for a service without keys.
    Raises:
        InputError: an origin is none.
    """

    limits: Limits = field(default_factory=Limits)
    origins: tuple[str, ...] = ()
    loopback_only: bool = True

    def __post_init__(self) -> None:
        for origin in self.origins:
            scheme, separator, rest = origin.partition("://")
            if scheme not in ("http", "https") or not separator or not rest or "/" in rest or "*" in rest:
                raise InputError(f"expected an origin such as https://example.org, got {origin!r}")
