"""From the text of a form's fields to what they mean.

Knows numbers, flags and JSON. Knows nothing of what they are for.
"""

import json
from typing import NoReturn

from samekind.service.problems import ProblemError


def text(value: str, name: str) -> str:
    """A text that every store can keep: valid Unicode without NUL."""
    try:
        value.encode()  # JSON may hold half of a surrogate pair
    except UnicodeEncodeError:
        fine = False
    else:
        fine = "\0" not in value
    if not fine:
        raise ProblemError("unacceptable", f"{name}: expected Unicode text without NUL characters")
    return value


def number(value: str, name: str, *, least: int, most: int) -> int:
    """A whole number within bounds, in ASCII digits."""
    if not (value.isascii() and value.isdigit() and len(value) < 10 and least <= int(value) <= most):
        raise ProblemError("unacceptable", f"{name}: expected a number from {least} to {most}, got {value[:20]!r}")
    return int(value)


def flag(value: str, name: str) -> bool:
    """True or false."""
    if value not in ("true", "false"):
        raise ProblemError("unacceptable", f"{name}: expected true or false, got {value[:20]!r}")
    return value == "true"


def metadata(value: str) -> dict[str, str]:
    """A JSON object of texts."""

    def unknown(constant: str) -> NoReturn:
        raise ValueError(constant)

    try:
        content = json.loads(value, parse_constant=unknown)
    except (ValueError, RecursionError):
        raise ProblemError("unacceptable", "metadata: expected a JSON object, got something else") from None
    if not isinstance(content, dict) or not all(isinstance(one, str) for one in content.values()):
        raise ProblemError("unacceptable", "metadata: expected a JSON object of texts, got other values")
    for key, one in content.items():
        text(key, "metadata")
        text(one, "metadata")
    return content
