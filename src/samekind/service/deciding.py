"""Routes that ask the model: `/v1/verify` and `/v1/model`.

Knows what is asked and answered. Knows nothing of how it is decided.
"""

from dataclasses import replace

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from samekind.service.access import needs
from samekind.service.answers import answer
from samekind.service.documents import example, form, problems
from samekind.service.model import ModelInfo, describe
from samekind.service.pictures import FORMATS
from samekind.service.service import Service
from samekind.service.uploads import Expected, read_form
from samekind.verifier import Decision

EXAMPLE = Decision(
    same=True,
    score=0.91,
    threshold=0.68,
    probability=0.98,
    probability_low=0.95,
    probability_high=0.99,
    prior=0.5,
    certified_fmr=0.1,
)


def deciding(service: Service) -> APIRouter:
    """The routes that need no gallery."""
    router = APIRouter(tags=["model"])
    limits = service.settings.limits
    pair = Expected({"query": (1, 1), "reference": (1, limits.references)})
    info = describe(service.verifier.bundle, limits, FORMATS)

    @router.post(
        "/v1/verify",
        summary="Do query and references show the same kind of thing?",
        response_model=Decision,
        dependencies=[Depends(needs("verify"))],
        responses={
            **example(200, EXAMPLE),
            **problems("bad-request", "request-timeout", "too-large", "not-multipart"),
        },
        openapi_extra=form(pair, query="an image", reference="images of one class"),
    )
    async def verify(request: Request) -> Response:
        came = await read_form(request, pair, limit=limits.body)
        (query,), references = came.files["query"], came.files["reference"]
        return answer(await service.work(came.files, lambda: service.verifier.verify(query, references)))

    @router.get(
        "/v1/model", summary="Which model answers, and how sure it is", response_model=ModelInfo, responses=problems()
    )
    async def model() -> Response:
        return answer(replace(info, gallery=await service.enrolled()))

    return router
