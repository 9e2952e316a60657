"""Who may do what: every route of the application, without a key, with a wrong one and with each scope."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient
from starlette.routing import Mount, Route

from samekind.bundle import Bundle
from samekind.gallery.gallery import Gallery
from samekind.service.app import create_app
from samekind.service.keys import SCOPES, KeyRing, create_key, revoke_key
from samekind.service.settings import Settings
from samekind.verifier import Verifier

ID = "0" * 32
PUBLIC = {("GET", "/"), ("GET", "/page"), ("GET", "/healthz"), ("GET", "/readyz"), ("GET", "/openapi.json")}
ANY_KEY = "any"
NEEDED = {
    ("POST", "/v1/verify"): "verify",
    ("GET", "/v1/model"): ANY_KEY,
    ("GET", "/metrics"): ANY_KEY,
    ("POST", "/v1/identify"): "read",
    ("GET", "/v1/identities"): "read",
    ("POST", "/v1/identities"): "enroll",
    ("GET", "/v1/identities/{id}"): "read",
    ("DELETE", "/v1/identities/{id}"): "admin",
    ("POST", "/v1/identities/{id}/samples"): "enroll",
    ("GET", "/v1/samples/{id}/image"): "read",
    ("DELETE", "/v1/samples/{id}"): "admin",
    ("DELETE", "/v1/enrolments/{id}"): "enroll",
}
"""Of every route that is not public, the scope that it needs."""


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("keys") / "keys.json"


@pytest.fixture(scope="module")
def texts(keys: Path) -> dict[str, str]:
    """A key of each scope."""
    return {scope: create_key(keys, scope, scopes=(scope,)).text for scope in SCOPES}


@pytest.fixture(scope="module")
def app(bundle: Bundle, keys: Path, texts: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> FastAPI:
    place = tmp_path_factory.mktemp("gallery") / "gallery.db"
    model = Verifier(bundle, threads=1)
    settings = Settings(loopback_only=False)
    return create_app(model, gallery=lambda one: Gallery.open(place, one), settings=settings, ring=KeyRing(keys))


@pytest.fixture(scope="module")
def client(app: FastAPI) -> Iterator[TestClient]:
    with TestClient(app, base_url="https://samekind.example") as client:
        yield client


def bearer(text: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {text}"}


def kind(problem: dict[str, str]) -> str:
    return problem["type"].partition("#problem-")[2]


def test_every_route_is_public_or_needs_a_known_scope(app: FastAPI) -> None:
    found = set()
    for route in app.routes:
        if isinstance(route, Mount):
            found.add(("GET", route.path))
        elif isinstance(route, Route | APIRoute):
            found |= {(method, route.path) for method in (route.methods or ()) if method != "HEAD"}
        else:
            raise AssertionError(f"a kind of route that is not looked at here: {route!r}")
    assert found == PUBLIC | set(NEEDED)


@pytest.mark.parametrize(("method", "path"), sorted(PUBLIC))
def test_public_routes_need_no_key(client: TestClient, method: str, path: str) -> None:
    assert client.request(method, "/page/main.js" if path == "/page" else path).status_code == 200


@pytest.mark.parametrize(("method", "path"), [*NEEDED, ("GET", "/nothing"), ("GET", "/pages"), ("PUT", "/v1/x")])
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer"},
        bearer("x"),
        bearer("samekind_0_0"),
        {"Authorization": "Basic eDp5"},
        bearer("é"),
    ],
)
def test_without_a_key_nothing_is_answered(client: TestClient, method: str, path: str, headers: dict[str, str]) -> None:
    sent = [(name.encode(), value.encode()) for name, value in headers.items()]
    answer = client.request(method, path.format(id=ID), headers=sent)
    assert answer.status_code == 401
    assert kind(answer.json()) == "unauthorized"
    assert answer.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.parametrize(("method", "path"), sorted(NEEDED))
def test_a_key_opens_what_its_scope_is_for(client: TestClient, texts: dict[str, str], method: str, path: str) -> None:
    needed = NEEDED[method, path]
    for scope, text in texts.items():
        answer = client.request(method, path.format(id=ID), headers=bearer(text))
        allowed = needed == ANY_KEY or scope in (needed, "admin")
        assert (answer.status_code != 403) == allowed, (scope, answer.text)
        assert answer.status_code not in (401, 405, 500)
        if not allowed:
            assert kind(answer.json()) == "forbidden"
            assert needed in answer.json()["detail"]


def test_a_revoked_key_is_refused_at_once(client: TestClient, keys: Path) -> None:
    text = create_key(keys, "short", scopes=("verify",)).text
    assert client.get("/v1/model", headers=bearer(text)).status_code == 200
    revoke_key(keys, "short")
    assert client.get("/v1/model", headers=bearer(text)).status_code == 401


def test_where_the_keys_cannot_be_read_nobody_is_let_in(client: TestClient, keys: Path, texts: dict[str, str]) -> None:
    content = keys.read_text()
    try:
        keys.write_text("damaged")
        answer = client.get("/v1/model", headers=bearer(texts["admin"]))
        assert answer.status_code == 503
        assert str(keys) not in answer.text
        assert client.get("/healthz").status_code == 200
    finally:
        keys.write_text(content)
    assert client.get("/v1/model", headers=bearer(texts["admin"])).status_code == 200
