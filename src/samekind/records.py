"""Dataclasses from JSON, exactly: no key missing, none unknown, each of its type.

Knows types. Knows nothing of what the records mean.
"""

import math
import types
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from samekind.errors import InputError

T = TypeVar("T")


def from_json(kind: type[T], value: object, where: str) -> T:
    """A dataclass from what `json.loads` gave.

    Args:
        kind: the dataclass; its fields are str, int, float, bool, dataclasses, tuple[X, ...], dict[str, X] or X | None.
        value: the content.
        where: it is from, for the text of an error.
    Raises:
        InputError: a key is missing or unknown, or a value is not of its type; or the dataclass refuses it.
    """
    if not isinstance(value, dict):
        raise InputError(f"{where}: expected an object, got {type(value).__name__}")
    assert is_dataclass(kind)
    expected = {f.name for f in fields(kind)}
    if unknown := sorted(set(value) - expected):
        raise InputError(f"{where}: unknown key {', '.join(map(repr, unknown))}")
    if missing := sorted(expected - set(value)):
        raise InputError(f"{where}: missing key {', '.join(map(repr, missing))}")
    hints = get_type_hints(kind)
    values = {key: _field(hints[key], value[key], f"{where}: {key}") for key in expected}
    try:
        return kind(**values)
    except InputError as error:
        raise InputError(f"{where}: {error}") from None


def _field(hint: Any, value: object, where: str) -> Any:
    if isinstance(hint, types.UnionType):  # X | None
        return None if value is None else _field(get_args(hint)[0], value, where)
    if is_dataclass(hint):
        return from_json(hint, value, where)  # type: ignore[arg-type]
    if get_origin(hint) is tuple and isinstance(value, list):
        return tuple(_field(get_args(hint)[0], item, where) for item in value)
    if get_origin(hint) is dict and isinstance(value, dict):
        return {str(key): _field(get_args(hint)[1], item, f"{where}: {key}") for key, item in value.items()}
    if hint is float and type(value) in (int, float) and math.isfinite(value):  # type: ignore[arg-type]
        return float(value)  # type: ignore[arg-type]
    if type(value) is not hint or hint is float:
        raise InputError(f"{where}: expected {getattr(hint, '__name__', hint)}, got {value!r}")
    return value
