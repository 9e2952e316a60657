"""Records are read exactly: nothing missing, nothing unknown, nothing of another type."""

import json
from dataclasses import asdict, dataclass

import pytest

from samekind.errors import InputError
from samekind.records import from_json


@dataclass(frozen=True)
class Inner:
    """A part."""

    share: float


@dataclass(frozen=True)
class Record:
    """One field of each kind."""

    count: int
    name: str | None
    inner: Inner
    several: tuple[Inner, ...]
    by_name: dict[str, Inner]
    flag: bool

    def __post_init__(self) -> None:
        if self.count < 0:
            raise InputError("expected a count >= 0")


RECORD = Record(3, None, Inner(0.5), (Inner(1.0), Inner(2.0)), {"a": Inner(3.0)}, True)


def content(**changes: object) -> object:
    return {**json.loads(json.dumps(asdict(RECORD))), **changes}


def test_what_was_written_is_read() -> None:
    assert from_json(Record, content(), "here") == RECORD
    assert from_json(Record, content(name="x", inner={"share": 2}), "here").inner.share == 2.0


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"more": 1}, "here: unknown key 'more'"),
        ({"count": "3"}, "here: count: expected int, got '3'"),
        ({"count": True}, "here: count: expected int, got True"),
        ({"count": 3.0}, "here: count: expected int"),
        ({"flag": 1}, "here: flag: expected bool"),
        ({"name": 1}, "here: name: expected str"),
        ({"inner": {}}, "here: inner: missing key 'share'"),
        ({"inner": {"share": float("nan")}}, "here: inner: share: expected float, got nan"),
        ({"several": {"share": 1}}, "here: several: expected"),
        ({"several": [{"share": None}]}, "here: several: share: expected float"),
        ({"by_name": {"b": 1}}, "here: by_name: b: expected an object, got int"),
        ({"count": -1}, "count >= 0"),
    ],
)
def test_anything_else_is_named(changes: dict[str, object], words: str) -> None:
    with pytest.raises(InputError, match=words):
        from_json(Record, content(**changes), "here")


def test_a_missing_key_and_another_thing_are_named() -> None:
    with pytest.raises(InputError, match="missing key 'by_name', 'count'"):
        from_json(Record, {"name": None}, "here")
    with pytest.raises(InputError, match="expected an object, got list"):
        from_json(Record, [], "here")
