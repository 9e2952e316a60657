"""Forms with images, read into memory as they arrive and never onto a disk.

Knows multipart/form-data and its limits. Knows nothing of what the images are for, and ignores what files are called.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import ClientDisconnect, Request

from samekind.service.problems import ProblemError

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

FIELD_BYTES = 16_384
"""Of a field that is no image."""
_HEADER_BYTES = 1024
_HEADERS = 8  # of a part


@dataclass(frozen=True)
class Expected:
    """What a form consists of.

    Args:
        files: by name, how many images there may be: least and most.
        fields: names of those that must be there once.
        optional: names of those that may be there once.
    """

    files: Mapping[str, tuple[int, int]]
    fields: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()


@dataclass(frozen=True)
class Form:
    """What came.

    Args:
        files: by name, the bytes of each image, in the order in which they came; a name for each that was expected.
        fields: by name, their text; those that came.
    """

    files: dict[str, list[bytes]]
    fields: dict[str, str]


async def read_form(request: Request, expected: Expected, *, limit: int) -> Form:
    """Read the body of a request.

    Args:
        request: whose body has not been read yet.
        expected: what it consists of.
        limit: bytes of the body.
    Raises:
        ProblemError: it is no such form, or larger than the limit; found as early as it can be known.
    """
    kind, options = parse_options_header(request.headers.get("content-type"))
    boundary = options.get(b"boundary")
    if kind != b"multipart/form-data" or not boundary:
        raise ProblemError("not-multipart", f"expected multipart/form-data with {_named(expected)}")
    length = request.headers.get("content-length", "0")
    if length.isdigit() and int(length) > limit:
        raise ProblemError("too-large", f"expected a body of at most {limit} bytes, got {length}")
    reading = _Reading(expected)
    size = 0
    try:
        parser = MultipartParser(
            boundary, reading.callbacks(), max_header_count=_HEADERS, max_header_size=_HEADER_BYTES
        )
        async for chunk in request.stream():
            size += len(chunk)
            if size > limit:
                raise ProblemError("too-large", f"expected a body of at most {limit} bytes, got more")
            parser.write(chunk)
    except FormParserError:
        raise ProblemError("bad-request", "expected multipart/form-data, got a body that is not well formed") from None
    except ClientDisconnect:
        raise ProblemError("bad-request", "expected the whole body, got a part of it") from None
    if not reading.ended:
        raise ProblemError("bad-request", "expected multipart/form-data to its closing boundary, got a part of it")
    return reading.form()


@dataclass
class _Reading:
    """The form as far as it came."""

    expected: Expected
    files: dict[str, list[bytes]] = field(default_factory=dict)
    fields: dict[str, str] = field(default_factory=dict)
    ended: bool = False
    _header: bytes = b""
    _value: bytes = b""
    _name: str = ""
    _parts: list[bytes] = field(default_factory=list)
    _size: int = 0

    def callbacks(self) -> "MultipartCallbacks":
        return {
            "on_part_begin": self._begin,
            "on_header_field": self._on_header,
            "on_header_value": self._on_value,
            "on_header_end": self._header_end,
            "on_headers_finished": self._headers_finished,
            "on_part_data": self._on_data,
            "on_part_end": self._part_end,
            "on_end": self._end,
        }

    def form(self) -> Form:
        """All of it, once everything that must be there is."""
        for name, (least, _) in self.expected.files.items():
            if len(self.files.setdefault(name, [])) < least:
                raise ProblemError(
                    "unacceptable", f"{name}: expected at least {least} image, got {len(self.files[name])}"
                )
        for name in self.expected.fields:
            if name not in self.fields:
                raise ProblemError("unacceptable", f"{name}: expected this field, got none")
        return Form(self.files, self.fields)

    def _begin(self) -> None:
        self._name, self._parts, self._size = "", [], 0
        self._header = self._value = b""

    def _on_header(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _on_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header_end(self) -> None:
        if self._header.lower() == b"content-disposition":
            kind, options = parse_options_header(self._value)
            if kind == b"form-data":
                self._name = options.get(b"name", b"").decode("utf-8", errors="replace")
        self._header = self._value = b""

    def _headers_finished(self) -> None:
        name = self._name
        if name in self.expected.files:
            most = self.expected.files[name][1]
            if len(self.files.setdefault(name, [])) >= most:
                raise ProblemError("too-large", f"{name}: expected at most {most} image{'s' * (most > 1)}, got more")
        elif name not in (*self.expected.fields, *self.expected.optional):
            raise ProblemError("unacceptable", f"expected {_named(self.expected)}, got a part of another name")
        elif name in self.fields:
            raise ProblemError("unacceptable", f"{name}: expected this field once, got it again")

    def _on_data(self, data: bytes, start: int, end: int) -> None:
        self._size += end - start
        if self._size > FIELD_BYTES and self._name not in self.expected.files:
            raise ProblemError("too-large", f"{self._name}: expected at most {FIELD_BYTES} bytes, got more")
        self._parts.append(data[start:end])

    def _part_end(self) -> None:
        content = b"".join(self._parts)
        self._parts = []
        if self._name in self.expected.files:
            self.files[self._name].append(content)
            return
        try:
            self.fields[self._name] = content.decode("utf-8")
        except UnicodeDecodeError:
            raise ProblemError("unacceptable", f"{self._name}: expected text in UTF-8, got other bytes") from None

    def _end(self) -> None:
        self.ended = True


def _named(expected: Expected) -> str:
    counted = [f"{name} ({least} to {most})" if most > 1 else name for name, (least, most) in expected.files.items()]
    optional = [f"{name} (optional)" for name in expected.optional]
    return "parts named " + ", ".join([*counted, *expected.fields, *optional])
