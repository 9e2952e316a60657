"""Forms: read as they arrive, however they are cut, and refused as early as their fault shows."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request
from starlette.types import Message

from samekind.service.problems import ProblemError
from samekind.service.uploads import FIELD_BYTES, Expected, Form, read_form

BOUNDARY = "----a boundary"
EXPECTED = Expected({"query": (1, 1), "reference": (1, 3)}, fields=("name",), optional=("top",))
LIMIT = 100_000


def part(name: str, content: bytes, *, filename: str | None = None, more: str = "") -> bytes:
    called = "" if filename is None else f'; filename="{filename}"'
    return f'Content-Disposition: form-data; name="{name}"{called}\r\n{more}\r\n'.encode() + content + b"\r\n"


def body_of(*parts: bytes, end: bytes = b"--\r\n") -> bytes:
    mark = b"--" + BOUNDARY.encode()
    return b"".join(mark + b"\r\n" + one for one in parts) + mark + end


def read(
    *chunks: bytes, expected: Expected = EXPECTED, limit: int = LIMIT, headers: dict[str, str] | None = None
) -> Form:
    """The form of a request whose body comes in these pieces."""
    given_headers = {"content-type": f'multipart/form-data; boundary="{BOUNDARY}"', **(headers or {})}
    taken = 0

    async def messages() -> AsyncIterator[Message]:
        for number, chunk in enumerate(chunks, 1):
            yield {"type": "http.request", "body": chunk, "more_body": number < len(chunks)}

    stream = messages()

    async def receive() -> Message:
        nonlocal taken
        taken += 1
        return await anext(stream)

    raw = [(name.encode(), value.encode("latin-1")) for name, value in given_headers.items()]
    request = Request({"type": "http", "method": "POST", "headers": raw}, receive)
    return asyncio.run(read_form(request, expected, limit=limit))


FINE = (part("name", "Änne".encode()), part("query", b"\r\n--" * 9, filename="a.png"), part("reference", b"1"))


@given(st.lists(st.integers(1, 400), max_size=12))
def test_it_is_the_same_however_it_is_cut(cuts: list[int]) -> None:
    body = body_of(*FINE, part("reference", b""))
    places = sorted({cut % len(body) for cut in cuts})
    pieces = [body[start:stop] for start, stop in zip([0, *places], [*places, len(body)], strict=True)]
    form = read(*pieces)
    assert form.files == {"query": [b"\r\n--" * 9], "reference": [b"1", b""]}
    assert form.fields == {"name": "Änne"}


@given(st.binary(max_size=400))
def test_contents_come_as_they_are(content: bytes) -> None:
    mark = b"\r\n--" + BOUNDARY.encode()
    if mark in b"\r\n" + content:
        return
    assert read(body_of(*FINE[:2], part("reference", content))).files["reference"] == [content]


@pytest.mark.parametrize(
    "filename",
    ["../../etc/passwd", "C:\\\\windows\\\\x.png", "ünï/цode 漢字.png", "a\x00b", "", "x" * 500, "%2e%2e%2f"],
)
def test_file_names_do_not_matter(filename: str) -> None:
    assert read(body_of(*FINE[:1], *FINE[2:], part("query", b"q", filename=filename))).files["query"] == [b"q"]


@pytest.mark.parametrize(
    ("parts", "kind", "said"),
    [
        (FINE[:2], "unacceptable", "reference: expected at least 1 image, got 0"),
        (FINE[1:], "unacceptable", "name: expected this field"),
        ((*FINE, FINE[0]), "unacceptable", "name: expected this field once"),
        ((*FINE, FINE[1]), "too-large", "query: expected at most 1 image, got more"),
        ((*FINE, *FINE[2:] * 3), "too-large", "reference: expected at most 3 images, got more"),
        ((*FINE, part("other", b"")), "unacceptable", "expected parts named query, reference (1 to 3), name, top"),
        ((*FINE, part("", b"")), "unacceptable", "expected parts named"),
        ((*FINE, b"Content-Type: image/png\r\n\r\nx\r\n"), "unacceptable", "expected parts named"),
        ((*FINE, part("top", b"x" * (FIELD_BYTES + 1))), "too-large", "top: expected at most 16384 bytes"),
        ((*FINE, part("top", b"\xff")), "unacceptable", "top: expected text in UTF-8"),
        ((*FINE, part("top", b"", more="X: y\r\n" * 99)), "bad-request", "not well formed"),
        ((*FINE, part("top", b"", more=f"X: {'y' * 9999}\r\n")), "bad-request", "not well formed"),
        ((*FINE, b"no header\r\n\r\n"), "bad-request", "not well formed"),
    ],
)
def test_other_forms_are_refused(parts: tuple[bytes, ...], kind: str, said: str) -> None:
    with pytest.raises(ProblemError) as refused:
        read(body_of(*parts))
    assert refused.value.kind == kind
    assert said in refused.value.detail


@pytest.mark.parametrize("body", [b"", b"x", body_of(*FINE)[:-10], body_of(*FINE, end=b"\r\n"), b"\r\n" * 50])
def test_a_part_of_a_form_is_refused(body: bytes) -> None:
    with pytest.raises(ProblemError) as refused:
        read(body)
    assert refused.value.kind == "bad-request"


@pytest.mark.parametrize(
    "kind",
    ["", "text/plain", "application/json", "multipart/form-data", "multipart/form-data; boundary=", "multipart/mixed"],
)
def test_another_type_is_refused(kind: str) -> None:
    with pytest.raises(ProblemError) as refused:
        read(body_of(*FINE), headers={"content-type": kind})
    assert refused.value.kind == "not-multipart"


def test_too_long_a_boundary_is_refused() -> None:
    with pytest.raises(ProblemError) as refused:
        read(body_of(*FINE), headers={"content-type": f"multipart/form-data; boundary={'x' * 9999}"})
    assert refused.value.kind == "bad-request"


def test_what_is_announced_as_too_large_is_not_even_read() -> None:
    with pytest.raises(ProblemError) as refused:
        read(headers={"content-length": str(LIMIT + 1)})  # there are no chunks: reading one would fail
    assert refused.value.kind == "too-large"


def test_what_turns_out_too_large_is_read_no_further() -> None:
    body = body_of(*FINE[:1], *FINE[2:], part("query", b"x" * LIMIT))
    with pytest.raises(ProblemError) as refused:
        read(body[: LIMIT // 2], body[LIMIT // 2 :], b"never read")
    assert refused.value.kind == "too-large"


def test_the_limit_itself_is_fine() -> None:
    body = body_of(*FINE)
    assert read(body, limit=len(body), headers={"content-length": str(len(body))}).fields == {"name": "Änne"}
    with pytest.raises(ProblemError):
        read(body, limit=len(body) - 1)
