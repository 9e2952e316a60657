"""The service as whoever calls it sees it: what it answers, and that nothing of its inside gets out."""

import io
from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient

from samekind.bundle import Bundle
from samekind.data.glyphs import glyphs
from samekind.service.app import create_app
from samekind.verifier import Verifier


def drawing(kind: int, number: int) -> bytes:
    """A PNG of a drawn character."""
    file = io.BytesIO()
    glyphs(kind + 1, 8, seed=5)[kind * 8 + number][0].save(file, "PNG")
    return file.getvalue()


@pytest.fixture(scope="module")
def model(bundle: Bundle) -> Verifier:
    return Verifier(bundle, threads=1)


@pytest.fixture(scope="module")
def client(model: Verifier) -> Iterator[TestClient]:
    with TestClient(create_app(model), base_url="http://localhost") as client:
        yield client


def test_it_decides_as_the_library_does(client: TestClient, model: Verifier) -> None:
    query, *references = drawing(0, 0), drawing(0, 1), drawing(0, 2)
    files = [("query", query), *(("reference", reference) for reference in references)]
    answer = client.post("/v1/verify", files=files)
    assert answer.status_code == 200
    expected = model.verify(query, references)
    assert answer.json()["same"] is expected.same
    assert answer.json()["score"] == pytest.approx(expected.score, rel=1e-5)
    assert answer.json()["threshold"] == expected.threshold
