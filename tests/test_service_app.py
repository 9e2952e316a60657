"""The service as whoever calls it sees it: what it answers, what it says of itself, and what it keeps to itself."""

import asyncio
import io
import json
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import closing
from dataclasses import asdict, replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient
from numpy.typing import NDArray
from starlette.types import Message, Receive, Scope, Send

from samekind.bundle import Bundle
from samekind.data.glyphs import glyphs
from samekind.errors import NoThresholdError
from samekind.gallery.gallery import Gallery
from samekind.gallery.store import Counts
from samekind.service.app import create_app
from samekind.service.faults import Faults
from samekind.service.service import WRITERS, WRITES
from samekind.service.settings import Limits, Settings
from samekind.verifier import Verifier

DRAWINGS = glyphs(6, 4, seed=5)
TOLERANCE = 1e-4
"""By so much of a score may a batch change it, of the scores' own size."""


def drawing(kind: int, number: int) -> bytes:
    """A PNG of a drawn character."""
    file = io.BytesIO()
    DRAWINGS[kind * 4 + number][0].save(file, "PNG")
    return file.getvalue()


@pytest.fixture(scope="module")
def model(bundle: Bundle) -> Verifier:
    return Verifier(bundle, threads=1)


@pytest.fixture(scope="module")
def lines() -> list[str]:
    """The log."""
    return []


@pytest.fixture(scope="module")
def client(model: Verifier, lines: list[str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    place = tmp_path_factory.mktemp("gallery") / "gallery.db"
    app = create_app(model, gallery=lambda one: Gallery.open(place, one), log=lines.append)
    with TestClient(app, base_url="http://localhost") as client:
        yield client


def test_it_decides_as_the_library_does(client: TestClient, model: Verifier) -> None:
    query, *references = drawing(0, 0), drawing(0, 1), drawing(0, 2)
    files = [("query", query), *(("reference", reference) for reference in references)]
    answer = client.post("/v1/verify", files=files)
    assert answer.status_code == 200
    expected = asdict(model.verify(query, references))
    found = answer.json()
    assert set(found) == set(expected)
    for name, value in expected.items():
        assert found[name] == (pytest.approx(value, rel=TOLERANCE) if isinstance(value, float) else found[name])
    assert (found["same"], found["reasons"]) == (expected["same"], list(expected["reasons"]))


def test_requests_that_meet_are_answered_as_those_that_come_alone(client: TestClient, model: Verifier) -> None:
    pairs = [((kind, 0), (other, 1)) for kind in range(6) for other in range(6)]

    def ask(pair: tuple[tuple[int, int], tuple[int, int]]) -> float:
        query, reference = pair
        answer = client.post("/v1/verify", files={"query": drawing(*query), "reference": drawing(*reference)})
        return float(answer.json()["score"])

    with ThreadPoolExecutor(12) as pool:
        together = list(pool.map(ask, pairs))
    alone = [model.verify(drawing(*query), drawing(*reference)).score for query, reference in pairs]
    assert together == pytest.approx(alone, rel=TOLERANCE, abs=TOLERANCE)


def test_a_gallery_from_enrolment_to_removal(client: TestClient) -> None:
    made = client.post(
        "/v1/identities",
        files=[("image", drawing(0, 0)), ("image", drawing(0, 1))],
        data={"name": "Anna", "metadata": '{"seen": "twice"}', "strict": "false"},
    )
    assert made.status_code == 201
    anna = made.json()["identity"]
    assert (anna["name"], anna["samples"], anna["metadata"]) == ("Anna", 2, {"seen": "twice"})
    assert client.post("/v1/identities", files={"image": drawing(3, 0)}, data={"name": "Berta"}).status_code == 201

    found = client.post("/v1/identify", files={"image": drawing(0, 0)}, data={"top": "1"}).json()
    assert [candidate["name"] for candidate in found["candidates"]] == ["Anna"]
    assert found["identities"] == 2

    page = client.get("/v1/identities", params={"limit": 1}).json()
    assert ([one["name"] for one in page["identities"]], page["next"], page["total"]) == (["Anna"], "Anna", 2)
    page = client.get("/v1/identities", params={"limit": 1, "after": page["next"]}).json()
    assert ([one["name"] for one in page["identities"]], page["next"]) == (["Berta"], None)
    assert [one["name"] for one in client.get("/v1/identities?search=ert").json()["identities"]] == ["Berta"]

    shown = client.get(f"/v1/identities/{anna['id']}").json()
    assert {**shown, "items": None} == {**anna, "items": None}
    image = client.get(f"/v1/samples/{shown['items'][0]['id']}/image")
    assert (image.status_code, image.headers["content-type"], image.content[:4]) == (200, "image/png", b"\x89PNG")

    more = client.post(f"/v1/identities/{anna['id']}/samples", files={"image": drawing(0, 2)})
    assert (more.status_code, more.json()["identity"]["samples"]) == (201, 3)
    assert client.delete(f"/v1/enrolments/{more.json()['id']}").json() == {"removed": 1}
    assert client.delete(f"/v1/samples/{shown['items'][0]['id']}").status_code == 204
    assert client.get("/v1/model").json()["gallery"] == {"identities": 2, "samples": 2}
    assert client.delete(f"/v1/identities/{anna['id']}").status_code == 204
    for path in (f"/v1/identities/{anna['id']}", f"/v1/samples/{shown['items'][1]['id']}/image"):
        assert client.get(path).status_code == 404
    for path in (f"/v1/identities/{anna['id']}", f"/v1/samples/{'0' * 32}", f"/v1/enrolments/{'0' * 32}"):
        assert client.delete(path).status_code == 404


def test_strict_enrolment_is_refused_with_its_concerns(client: TestClient) -> None:
    sent = {"image": drawing(5, 0)}
    assert client.post("/v1/identities", files=sent, data={"name": "Emil"}).status_code == 201
    refused = client.post("/v1/identities", files=sent, data={"name": "Fritz", "strict": "true"})
    assert refused.status_code == 409
    assert refused.json()["type"].endswith("#problem-doubtful")
    assert refused.json()["concerns"][0]["kind"] == "same image"
    assert refused.json()["concerns"][0]["other"] == "Emil"
    for wrong in ("yes", "1", "TRUE", ""):
        answer = client.post("/v1/identities", files=sent, data={"name": "Fritz", "strict": wrong})
        assert answer.status_code == 422


@pytest.mark.parametrize("top", ["0", "21", "x", "", "1.5", "-1", "٣", "1" * 5000])
def test_candidates_are_counted(client: TestClient, top: str) -> None:
    assert client.post("/v1/identify", files={"image": drawing(0, 0)}, data={"top": top}).status_code == 422


def test_it_says_which_model_it_is(client: TestClient, model: Verifier) -> None:
    said = client.get("/v1/model").json()
    calibration = model.bundle.manifest.calibration
    assert calibration is not None
    assert said["fingerprint"] == model.bundle.fingerprint
    assert said["calibration"]["threshold"] == calibration.threshold_for(1)
    for point in said["calibration"]["curve"]:
        assert point["probability"] == calibration.probability(point["score"])
        assert point["low"] <= point["probability"] <= point["high"]
    assert said["limits"]["body"] == Limits().body
    assert "held out 0" not in json.dumps(said)  # names of classes may be those of people


def test_without_a_gallery_it_only_verifies(model: Verifier) -> None:
    with TestClient(create_app(model), base_url="http://localhost") as client:
        pair = {"query": drawing(0, 0), "reference": drawing(0, 1)}
        assert client.post("/v1/verify", files=pair).status_code == 200
        assert client.get("/readyz").status_code == 200
        assert client.get("/v1/model").json()["gallery"] is None
        for answer in (client.get("/v1/identities"), client.post("/v1/identify", files={"image": drawing(0, 0)})):
            assert answer.status_code == 404
            assert answer.json()["type"].endswith("#problem-no-gallery")


def test_who_waits_to_write_keeps_nobody_else_waiting(model: Verifier, tmp_path: Path) -> None:
    place, many = tmp_path / "gallery.db", 40
    app = create_app(model, gallery=lambda one: Gallery.open(place, one))
    with TestClient(app, base_url="http://localhost") as client, ThreadPoolExecutor(many) as pool:
        pair = {"query": drawing(0, 0), "reference": drawing(0, 1)}
        made = client.post("/v1/identities", files={"image": drawing(0, 0)}, data={"name": "Anna"}).json()
        with closing(sqlite3.connect(place, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")  # another process that writes
            waiting = [pool.submit(client.delete, f"/v1/enrolments/{made['id']}")]
            waiting += [
                pool.submit(client.post, "/v1/identities", files={"image": drawing(1, 0)}, data={"name": str(number)})
                for number in range(many - 1)
            ]
            over = many - WRITERS - WRITES
            refused = [one.result() for one in islice(as_completed(waiting, timeout=9), over)]
            assert {(answer.status_code, answer.headers["retry-after"]) for answer in refused} == {(503, "5")}
            assert all(answer.json()["type"].endswith("#problem-busy") for answer in refused)
            assert client.post("/v1/verify", files=pair).status_code == 200
            for path in ("/readyz", "/healthz", "/metrics", "/v1/identities", "/v1/model"):
                assert client.get(path).status_code == 200
            assert sum(not one.done() for one in waiting) == WRITERS + WRITES
            other.execute("ROLLBACK")
        assert [one.result(30).status_code for one in waiting].count(503) == over


def test_whether_it_is_ready_is_said_whatever_the_gallery_does(
    model: Verifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("samekind.service.service.READY", 0.1)
    app = create_app(model, gallery=lambda one: Gallery.open(tmp_path / "gallery.db", one))
    with TestClient(app, base_url="http://localhost") as client:
        assert client.get("/readyz").status_code == 200
        go, asked = threading.Event(), Gallery.counts

        def stuck(gallery: Gallery) -> Counts:
            go.wait(20)
            return asked(gallery)

        monkeypatch.setattr(Gallery, "counts", stuck)
        for _ in range(3):
            answer = client.get("/readyz")
            assert (answer.status_code, answer.json()["detail"]) == (503, "the gallery did not answer within 0.1 s")
        assert client.get("/metrics").status_code == client.get("/healthz").status_code == 200
        go.set()
        monkeypatch.setattr("samekind.service.service.READY", 20)
        assert client.get("/readyz").status_code == 200


def test_a_model_without_threshold_is_not_served(bundle: Bundle) -> None:
    bare = replace(bundle, manifest=replace(bundle.manifest, calibration=None))
    with pytest.raises(NoThresholdError, match="samekind calibrate"):
        create_app(Verifier(bare, threads=1))


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/nothing", 404), ("PUT", "/v1/model", 405), ("GET", "/v1/verify", 405), ("POST", "/v1/verify", 415)],
)
def test_errors_of_the_framework_are_problems_too(client: TestClient, method: str, path: str, status: int) -> None:
    answer = client.request(method, path)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["status"] == status
    assert answer.json()["request_id"] == answer.headers["x-request-id"]


@pytest.mark.parametrize("path", ["/", "/page/main.js", "/v1/model", "/healthz", "/nothing", "/openapi.json"])
def test_every_answer_is_safe_in_a_browser(client: TestClient, path: str) -> None:
    headers = client.get(path).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["x-frame-options"] == "DENY"
    assert headers["cross-origin-opener-policy"] == "same-origin"
    policy = headers["content-security-policy"]
    assert policy.startswith("default-src 'none'")
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert "*" not in policy
    is_page = path in ("/", "/page/main.js")
    assert headers["cache-control"] == ("no-cache" if is_page else "no-store")
    assert ("script-src 'self'" in policy) == is_page
    assert len(headers["x-request-id"]) == 16
    assert "server" not in headers
    assert "access-control-allow-origin" not in headers


def test_the_id_of_a_request_is_its_own_where_it_is_fit(client: TestClient) -> None:
    assert client.get("/healthz", headers={"X-Request-ID": "my.id-2026_11"}).headers["x-request-id"] == "my.id-2026_11"
    for unfit in ("short", "x" * 65, 'a"quote-here', "with space"):
        assert client.get("/healthz", headers={"X-Request-ID": unfit}).headers["x-request-id"] != unfit
    assert len({client.get("/healthz").headers["x-request-id"] for _ in range(50)}) == 50


def test_pages_that_were_named_may_call(model: Verifier) -> None:
    friend = "https://friend.example"
    app = create_app(model, settings=Settings(origins=(friend,)))
    with TestClient(app, base_url="http://localhost") as client:
        asked = {"Origin": friend, "Access-Control-Request-Method": "POST"}
        headers = {"Access-Control-Request-Headers": "authorization"}
        assert client.options("/v1/verify", headers={**asked, **headers}).status_code == 200
        answer = client.get("/v1/model", headers={"Origin": friend})
        assert answer.headers["access-control-allow-origin"] == friend
        assert "access-control-allow-credentials" not in answer.headers
        assert client.get("/v1/model", headers={"Origin": "https://other.example"}).status_code == 403


def test_the_log_has_a_line_for_each_request_and_nothing_of_people(client: TestClient, lines: list[str]) -> None:
    lines.clear()
    client.post("/v1/identities", files={"image": ("anna.png", drawing(2, 0))}, data={"name": "Anna Secret"})
    client.get("/v1/identities", params={"search": "Secret"}, headers={"X-Request-ID": "request-1"})
    client.get("/Secret?Secret")
    records = [json.loads(line) for line in lines]
    assert [(one["method"], one["route"], one["status"]) for one in records] == [
        ("POST", "/v1/identities", 201),
        ("GET", "/v1/identities", 200),
        ("GET", "none", 404),
    ]
    assert records[1]["request_id"] == "request-1"
    assert records[0]["bytes_in"] > len(drawing(2, 0))
    assert records[1]["bytes_out"] > 0
    assert all(one["ms"] >= 0 for one in records)
    assert "ecret" not in "".join(lines)
    assert "anna" not in "".join(lines)


def test_requests_and_batches_are_counted(client: TestClient) -> None:
    def value(name: str) -> float:
        found = [line for line in client.get("/metrics").text.splitlines() if line.startswith(name)]
        return float(found[0].rpartition(" ")[2]) if found else 0.0

    verified, batched = (
        'samekind_requests_total{method="POST",route="/v1/verify",status="200"}',
        "samekind_batch_inputs_sum",
    )
    before = value(verified), value(batched)
    client.post("/v1/verify", files={"query": drawing(0, 0), "reference": drawing(0, 1)})
    assert (value(verified), value(batched)) == (before[0] + 1, before[1] + 2)
    client.request("NONSENSE", "/nothing/at/all")
    assert value('samekind_requests_total{method="other",route="none",status="404"}') == 1
    assert "nothing" not in client.get("/metrics").text
    assert (value("samekind_inputs_waiting"), value("samekind_calls_left")) == (0, 0)
    assert value("process_resident_memory_bytes") > 1e6


def test_what_nobody_foresaw_is_answered_without_the_inside(caplog: pytest.LogCaptureFixture) -> None:
    async def broken(scope: Scope, receive: Receive, send: Send) -> None:
        raise RuntimeError("/etc/secret")

    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "http.request"}

    scope = {"type": "http", "path": "/", "headers": [], "state": {"request_id": "the-id"}}
    asyncio.run(Faults(broken)(scope, receive, send))
    assert sent[0]["status"] == 500
    assert b"secret" not in sent[1]["body"]
    assert json.loads(sent[1]["body"])["request_id"] == "the-id"
    assert "the-id" in caplog.text
    assert "/etc/secret" in caplog.text


class Broken(Verifier):
    """A model that gives nothing that can be compared."""

    def embed_batch(self, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.full_like(super().embed_batch(inputs), np.nan)


def test_a_broken_model_is_no_fault_of_who_asks(bundle: Bundle, tmp_path: Path) -> None:
    app = create_app(Broken(bundle, threads=1), gallery=lambda model: Gallery.open(tmp_path / "gallery.db", model))
    with TestClient(app, base_url="http://localhost") as client:
        pair = {"query": drawing(0, 0), "reference": drawing(0, 1)}
        answers = [
            client.post("/v1/verify", files=pair),
            client.post("/v1/identities", files={"image": drawing(0, 0)}, data={"name": "Anna"}),
            client.post("/v1/identify", files={"image": drawing(0, 0)}),
        ]
        assert client.get("/healthz").status_code == 200
    for answer in answers:
        assert answer.status_code >= 500
        assert answer.headers["content-type"] == "application/problem+json"
        assert str(bundle.path) not in answer.text


def test_the_document_of_the_api_has_examples_that_fit(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    shown = 0
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            assert operation["summary"]
            for status, response in operation["responses"].items():
                for kind, content in response.get("content", {}).items():
                    assert (kind == "application/problem+json") == (int(status) >= 400), (path, method, status)
                    shown += "example" in content
    assert shown == 7
    assert client.get("/docs").status_code == 404  # such pages load scripts from elsewhere


def test_serving_needs_no_torch() -> None:
    program = "import sys, samekind.service.app, samekind.service.server; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_nothing_is_kept_but_the_gallery(client: TestClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    client.post("/v1/verify", files={"query": drawing(0, 0), "reference": drawing(0, 1)})
    assert list(tmp_path.iterdir()) == []
