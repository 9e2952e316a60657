"""Routes for whoever keeps the service running: `/healthz` and `/readyz`.

Knows whether the service can answer. Tells nothing else, for they need no key.
"""

from dataclasses import dataclass
from typing import Literal

from fastapi import APIRouter


@dataclass(frozen=True)
class Health:
    """That it is well."""

    status: Literal["ok"]


def health() -> APIRouter:
    """The routes; the model was warm before the port was opened."""
    router = APIRouter(tags=["health"])

    @router.get("/healthz", summary="Is the process alive?")
    async def healthz() -> Health:
        return Health("ok")

    @router.get("/readyz", summary="Can it answer requests?")
    async def readyz() -> Health:
        return Health("ok")

    return router
