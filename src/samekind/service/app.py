"""The service as an ASGI application; everything that it needs is passed in.

Puts routes and middlewares together. Knows nothing of sockets, processes or the command line.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from samekind.service.deciding import deciding
from samekind.service.documents import ProblemDocument
from samekind.service.faults import Faults, handle
from samekind.service.headers import SecureHeaders
from samekind.service.health import health
from samekind.service.service import Service
from samekind.service.settings import Settings
from samekind.service.site import add_page
from samekind.verifier import Verifier
from samekind.version import __version__


def create_app(model: Verifier, settings: Settings | None = None) -> FastAPI:
    """A service of one model.

    Args:
        model: loaded.
        settings: what is allowed; None: as they are by default.
    Returns:
        The application. The model is warm; threads end with its lifespan.
    Raises:
        NoThresholdError: the model cannot decide.
    """
    service = Service(model, settings or Settings())
    service.warm()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        service.close()

    app = FastAPI(title="samekind", version=__version__, lifespan=lifespan, docs_url=None, redoc_url=None)
    app.include_router(deciding(service))
    app.include_router(health())
    add_page(app)
    handle(app)
    app.add_middleware(Faults)
    app.add_middleware(SecureHeaders)
    _document(app)
    return app


def _document(app: FastAPI) -> None:
    def openapi() -> dict[str, Any]:
        if not app.openapi_schema:
            schema = get_openapi(
                title=app.title,
                version=app.version,
                summary="Are these two images of the same kind of thing?",
                routes=app.routes,
            )
            schemas = schema.setdefault("components", {}).setdefault("schemas", {})
            schemas["ProblemDocument"] = ProblemDocument.model_json_schema()
            app.openapi_schema = schema
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]
