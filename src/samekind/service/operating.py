"""Routes for whoever keeps the service running: `/healthz`, `/readyz` and `/metrics`.

Knows whether the service can answer. The first two tell nothing else, for they need no key.
"""

from dataclasses import dataclass
from typing import Literal

from fastapi import APIRouter
from starlette.responses import Response

from samekind.service.documents import problems
from samekind.service.metrics import CONTENT_TYPE, Metrics
from samekind.service.service import Service


@dataclass(frozen=True)
class Health:
    """That it is well."""

    status: Literal["ok"]


def operating(service: Service, metrics: Metrics) -> APIRouter:
    """The routes."""
    router = APIRouter(tags=["operation"])

    @router.get("/healthz", summary="Is the process alive?")
    async def healthz() -> Health:
        return Health("ok")

    @router.get("/readyz", summary="Can it answer requests?", responses=problems("unavailable"))
    async def readyz() -> Health:
        await service.ready()  # the model was warm before the port was opened
        return Health("ok")

    @router.get(
        "/metrics",
        summary="Counters for Prometheus",
        response_class=Response,
        responses={200: {"content": {CONTENT_TYPE: {"schema": {"type": "string"}}}}},
    )
    async def read_metrics() -> Response:
        return Response(await service.operation.run(metrics.render), media_type=CONTENT_TYPE)

    return router
