"""Bad uploads, through the whole service: each a problem document that says what was wrong, or a right answer."""

import io
import json
import re
import struct
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from samekind.bundle import Bundle
from samekind.data.glyphs import glyphs
from samekind.errors import ImageError
from samekind.gallery.gallery import Gallery
from samekind.service.app import create_app
from samekind.service.pictures import FORMATS, inspect
from samekind.service.settings import Limits, Settings
from samekind.verifier import Verifier

DRAWING = glyphs(1, 2, seed=5)
LEAKS = re.compile(r"Traceback|File \"|\.py\b|0x[0-9a-f]{6,}|/(usr|home|root|work|tmp|site-packages)\b|BytesIO")
"""What would tell of the inside."""


def encode(image: Image.Image, format: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


FINE = encode(DRAWING[0][0])


def png(width: int, height: int, data: bytes = b"") -> bytes:
    """A PNG that says it is so large."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


def eps() -> bytes:
    return b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 100 100\n%%EndComments\nshowpage\n"


ICO = encode(DRAWING[0][0].resize((64, 64)), "ICO")
SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><image href="file:///etc/passwd"/></svg>'
BAD: dict[str, bytes] = {
    "empty": b"",
    "one byte": b"x",
    "text": b"no image" * 100,
    "truncated PNG": FINE[: len(FINE) // 2],
    "truncated JPEG": encode(DRAWING[0][0], "JPEG")[:300],
    "head of a PNG": FINE[:33],
    "damaged PNG": FINE[:60] + b"\xff" * 40 + FINE[100:],
    "bomb": png(50_000, 50_000),
    "bomb of many pixels": png(20_000, 3_000, bytes(1000)),
    "PNG without pixels": png(0, 0),
    "PNG whose pixels are missing": png(100, 100),
    "SVG": SVG,
    "HTML": b"<!doctype html><script>alert(1)</script>",
    "PDF": b"%PDF-1.7\n",
    "EPS, which another program would run": eps(),
    "ICO, which may hold a larger image than it says": ICO,
    "ZIP": b"PK\x03\x04" + bytes(100),
    "floating point pixels": encode(Image.fromarray(np.full((9, 9), np.nan, np.float32)), "TIFF"),
    "32-bit pixels": encode(Image.fromarray(np.full((9, 9), 1 << 20, np.int32)), "TIFF"),
}
RIGHT: dict[str, bytes] = {
    "16-bit": encode(Image.fromarray(np.asarray(DRAWING[1][0]).astype(np.uint16) * 257)),
    "CMYK": encode(DRAWING[1][0].convert("CMYK"), "JPEG"),
    "RGBA": encode(DRAWING[1][0].convert("RGBA")),
    "palette": encode(DRAWING[1][0].convert("P"), "GIF"),
    "1-bit": encode(DRAWING[1][0].convert("1")),
    "WebP": encode(DRAWING[1][0], "WEBP"),
    "BMP": encode(DRAWING[1][0], "BMP"),
    "TIFF": encode(DRAWING[1][0], "TIFF"),
    "animated GIF, its first frame": encode(
        DRAWING[1][0], "GIF", save_all=True, append_images=[Image.new("L", DRAWING[1][0].size)] * 3
    ),
    "turned by EXIF": encode(
        DRAWING[1][0], "JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
    ),
}
"""Readable images of kinds that one may have doubts about."""


@pytest.fixture(scope="module")
def model(bundle: Bundle) -> Verifier:
    return Verifier(bundle, threads=1)


@pytest.fixture(scope="module")
def client(model: Verifier, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    place = tmp_path_factory.mktemp("gallery") / "gallery.db"
    settings = Settings(Limits(body=3_000_000))
    app = create_app(model, gallery=lambda one: Gallery.open(place, one), settings=settings)
    with TestClient(app, base_url="http://localhost", raise_server_exceptions=False) as client:
        yield client


def problem(answer: object, *statuses: int) -> str:
    """The detail of a problem document, which tells nothing of the inside."""
    assert answer.status_code in statuses, answer.text  # type: ignore[attr-defined]
    assert answer.headers["content-type"] == "application/problem+json"  # type: ignore[attr-defined]
    assert not LEAKS.search(answer.text), answer.text  # type: ignore[attr-defined]
    content = answer.json()  # type: ignore[attr-defined]
    assert set(content) >= {"type", "title", "status", "detail", "request_id"}
    assert content["status"] == answer.status_code  # type: ignore[attr-defined]
    return str(content["detail"])


@pytest.mark.parametrize("kind", BAD)
@pytest.mark.parametrize("name", ["a.png", "../../../etc/passwd", "C:\\x.exe", "漢字 ünï.png", "a\nb"])
def test_bad_images_are_refused_by_name_of_their_field(client: TestClient, kind: str, name: str) -> None:
    bad = (name, BAD[kind], "image/png")
    files = [("query", ("q", FINE, "")), ("reference", ("r", FINE, "")), ("reference", bad)]
    said = problem(client.post("/v1/verify", files=files), 422)
    assert said.startswith("reference 2: ")
    assert name not in said


@pytest.mark.parametrize("kind", BAD)
def test_bad_images_are_neither_enrolled_nor_identified(client: TestClient, kind: str) -> None:
    assert problem(client.post("/v1/identify", files={"image": BAD[kind]}), 422).startswith("image: ")
    enrolled = client.post("/v1/identities", files={"image": BAD[kind]}, data={"name": kind})
    assert problem(enrolled, 422).startswith("image: ")
    assert client.get("/v1/identities").json()["total"] == 0


@pytest.mark.parametrize("kind", RIGHT)
def test_unusual_images_are_answered_as_the_library_does(client: TestClient, model: Verifier, kind: str) -> None:
    answer = client.post("/v1/verify", files={"query": ("x.exe", RIGHT[kind], "text/html"), "reference": FINE})
    assert answer.status_code == 200, answer.text
    expected = model.verify(RIGHT[kind], FINE)
    assert answer.json()["score"] == pytest.approx(expected.score, rel=1e-4)
    assert answer.json()["same"] is expected.same


def test_an_upload_of_50_megabytes_is_refused(client: TestClient) -> None:
    large = FINE + bytes(50_000_000)
    assert "at most 3000000 bytes" in problem(client.post("/v1/verify", files={"query": large, "reference": FINE}), 413)


def test_no_part_of_an_upload_goes_through_a_file(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/nowhere")  # a temporary file could not be made
    noise = np.random.default_rng(0).integers(0, 256, (1200, 1200), dtype=np.uint8)
    large = encode(Image.fromarray(noise))
    assert len(large) > 1_000_000
    assert client.post("/v1/verify", files={"query": large, "reference": FINE}).status_code == 200


@pytest.mark.parametrize(
    "metadata",
    ["NaN", '{"a": NaN}', '{"a": 1}', '{"a": null}', "[]", "{", '{"a": "\\ud800"}', '{"a": "\\u0000"}', "[" * 9000, ""],
)
def test_metadata_are_texts(client: TestClient, metadata: str) -> None:
    sent = {"name": "Anna", "metadata": metadata}
    assert "metadata" in problem(client.post("/v1/identities", files={"image": FINE}, data=sent), 422)


@pytest.mark.parametrize("name", ["", " ", "x" * 201, "a\0b", "a\nb", "\x7f"])
def test_names_that_are_none_are_refused(client: TestClient, name: str) -> None:
    problem(client.post("/v1/identities", files={"image": FINE}, data={"name": name}), 422)


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "a/b\\c", "<script>alert(1)</script>", "漢字 🦊", "'; DROP TABLE x", "%00"]
)
def test_any_other_name_is_a_name(client: TestClient, name: str) -> None:
    made = client.post("/v1/identities", files={"image": FINE}, data={"name": name})
    assert made.status_code == 201, made.text
    assert made.json()["identity"]["name"] == name
    assert made.headers["content-type"] == "application/json"
    found = client.get("/v1/identities", params={"search": name}).json()["identities"]
    assert [one["name"] for one in found] == [name]
    assert client.delete(f"/v1/enrolments/{made.json()['id']}").json() == {"removed": 1}


@pytest.mark.parametrize(
    "path",
    [
        "/../etc/passwd",
        "/page/../app.py",
        "/page/%2e%2e/app.py",
        "/page/..%2fapp.py",
        "/page//etc/passwd",
        "/page/\\..\\app.py",
    ],
)
def test_no_path_leads_out_of_the_page(client: TestClient, path: str) -> None:
    problem(client.get(path), 404)


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=201", "limit=x", "limit=NaN", "after=%00", "search=%00", "search=" + "x" * 201]
)
def test_queries_are_checked(client: TestClient, query: str) -> None:
    problem(client.get(f"/v1/identities?{query}"), 422)


@pytest.mark.parametrize(
    "query", ["after=%ff", "search=%ff%fe", "search=%ED%A0%80", "after=../..&search=%25", "unknown=1"]
)
def test_odd_queries_find_nobody(client: TestClient, query: str) -> None:
    answer = client.get(f"/v1/identities?{query}")
    assert (answer.status_code, answer.json()["identities"]) == (200, [])


def test_json_holds_no_numbers_that_json_has_not(client: TestClient) -> None:
    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    for path in ("/v1/model", "/openapi.json"):
        json.loads(client.get(path).text, parse_constant=refuse)


def test_formats_are_known_and_counted() -> None:
    assert inspect({"a": [FINE, RIGHT["BMP"]], "b": [RIGHT["WebP"]]}, pixels=20_000) == 3 * 105 * 105
    with pytest.raises(ImageError, match="a 2: expected an image of 1 to 11024 pixels, got 105 x 105"):
        inspect({"a": [encode(Image.new("L", (9, 9))), FINE]}, pixels=105 * 105 - 1)
    for format in FORMATS:
        assert inspect({"a": [encode(DRAWING[0][0].convert("RGB"), format)]}, pixels=20_000) == 105 * 105


def test_pixels_of_an_image_are_limited(model: Verifier, tmp_path: Path) -> None:
    with TestClient(create_app(model, settings=Settings(Limits(pixels=11_000))), base_url="http://localhost") as client:
        said = problem(client.post("/v1/verify", files={"query": FINE, "reference": FINE}), 422)
    assert "105 x 105" in said
