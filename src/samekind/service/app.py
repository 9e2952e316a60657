"""The service as an ASGI application; everything that it needs is passed in.

Puts routes and middlewares together. Knows nothing of sockets, processes or the command line.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware

from samekind.gallery.gallery import Gallery
from samekind.service.access import Access
from samekind.service.access_log import AccessLog
from samekind.service.admission import Admission
from samekind.service.deciding import deciding
from samekind.service.documents import ProblemDocument
from samekind.service.enrolling import enrolling
from samekind.service.faults import Faults, handle
from samekind.service.headers import SecureHeaders
from samekind.service.identities import identities
from samekind.service.keys import KeyRing
from samekind.service.metrics import Metrics
from samekind.service.operating import operating
from samekind.service.origins import Origins
from samekind.service.service import Service
from samekind.service.settings import Settings
from samekind.service.site import add_page
from samekind.verifier import Verifier
from samekind.version import __version__


def create_app(
    model: Verifier,
    *,
    gallery: Callable[[Verifier], Gallery] | None = None,
    settings: Settings | None = None,
    ring: KeyRing | None = None,
    log: Callable[[str], object] | None = None,
) -> FastAPI:
    """A service of one model.

    Args:
        model: loaded.
        gallery: opens the gallery with a model; None: the service only verifies.
        settings: what is allowed; None: as they are by default.
        ring: keys of those who may use it; None: anyone who reaches it may do everything.
        log: takes a line of JSON for each request; None: no log.
    Returns:
        The application. The model is warm; threads end with its lifespan.
    Raises:
        NoThresholdError: the model cannot decide.
    """
    settings = settings or Settings()
    metrics = Metrics()
    service = Service(model, settings, gallery=gallery, observe=metrics.batch)
    service.warm()
    metrics.watch("samekind_inputs_waiting", "Images that wait for a forward pass.", lambda: service.batcher.waiting)
    metrics.watch("samekind_calls_left", "Calls that go on after their time.", lambda: service.left)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        service.close()

    layers = [  # the first is the outermost
        Middleware(SecureHeaders),
        Middleware(AccessLog, metrics=metrics, write=log),
        Middleware(Origins, settings=settings),
        *_cors(settings),
        Middleware(Access, ring=ring),
        Middleware(Admission, limits=settings.limits, left=lambda: service.left),
        Middleware(Faults),
    ]
    app = FastAPI(
        title="samekind",
        version=__version__,
        lifespan=lifespan,
        middleware=layers,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    for routes in (deciding(service), enrolling(service), identities(service), operating(service, metrics)):
        app.router.routes.extend(routes.routes)  # as they are: nothing has to be looked up router by router
    add_page(app)
    handle(app)
    _document(app)
    return app


def _cors(settings: Settings) -> list[Middleware]:
    """Tells browsers which other pages may call; none where no page was named."""
    if not settings.origins:
        return []
    return [
        Middleware(
            CORSMiddleware,
            allow_origins=settings.origins,
            allow_methods=["GET", "POST", "DELETE"],
            allow_headers=["Authorization", "X-Request-ID"],
            expose_headers=["X-Request-ID", "Retry-After"],
        )
    ]


def _document(app: FastAPI) -> None:
    """The OpenAPI document: with the form of problems, and how to send a key."""

    def openapi() -> dict[str, Any]:
        if not app.openapi_schema:
            document = get_openapi(
                title=app.title,
                version=app.version,
                summary="Are these two images of the same kind of thing?",
                routes=app.routes,
            )
            components = document.setdefault("components", {})
            components.setdefault("schemas", {})["ProblemDocument"] = ProblemDocument.model_json_schema()
            components["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
            document["security"] = [{}, {"key": []}]  # without keys where the service has none
            app.openapi_schema = document
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]
