"""Routes of the gallery that take images: enrolling and identifying.

Knows what is asked and answered. Knows nothing of how it is decided.
"""

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from samekind.gallery.records import Candidate, Concern, Enrolment, Identification
from samekind.service.access import needs
from samekind.service.answers import answer
from samekind.service.documents import example, form, problems
from samekind.service.fields import flag, metadata, number
from samekind.service.identities import ENROLMENT, IDENTITY, SAMPLE, Id
from samekind.service.service import Service
from samekind.service.uploads import Expected, read_form

MOST = 20
"""Candidates of an identification."""
LOOKS_LIKE = Concern("looks like another", 0, "image 1 looks like Berta (probability 0.93)", "Berta")
ENROLLED = Enrolment(ENROLMENT, IDENTITY, (SAMPLE,), (), (LOOKS_LIKE,))
FOUND = Identification(
    answer="found",
    candidates=(Candidate(IDENTITY.id, IDENTITY.name, 0.91, 0.95, 2),),
    threshold=0.83,
    identities=40,
    prior=0.5,
    certified_fpir=None,
)
_STRICT = "true: enroll nothing where there is any concern"


def enrolling(service: Service) -> APIRouter:
    """The routes."""
    router = APIRouter(tags=["gallery"])
    limits, gallery = service.settings.limits, service.gallery
    read = problems("bad-request", "no-gallery", "request-timeout", "too-large", "not-multipart")
    write = {**read, **problems("doubtful", "not-found")}
    reads, enrolls = ([Depends(needs(purpose))] for purpose in ("read", "enroll"))
    query = Expected({"image": (1, 1)}, optional=("top",))
    images = {"image": (1, limits.samples)}
    new = Expected(images, fields=("name",), optional=("metadata", "strict"))
    more = Expected(images, optional=("strict",))

    @router.post(
        "/v1/identify",
        summary="Who of those enrolled does an image show?",
        response_model=Identification,
        dependencies=reads,
        responses={**example(200, FOUND), **read},
        openapi_extra=form(query, image="an image", top=f"candidates at most, 1 to {MOST}; 5 where it is left out"),
    )
    async def identify(request: Request) -> Response:
        came = await read_form(request, query, limit=limits.body)
        top = number(came.fields.get("top", "5"), "top", least=1, most=MOST)
        (image,) = came.files["image"]
        return answer(await service.work(came.files, lambda: gallery().identify(image, top=top)))

    @router.post(
        "/v1/identities",
        summary="Enroll an identity, or more images of one that is enrolled",
        response_model=Enrolment,
        status_code=201,
        dependencies=enrolls,
        responses={**example(201, ENROLLED), **write},
        openapi_extra=form(
            new,
            name="1 to 200 characters; unique",
            image="images of it",
            metadata="a JSON object of texts, kept with it; replaces what was there",
            strict=_STRICT,
        ),
    )
    async def enroll(request: Request) -> Response:
        came = await read_form(request, new, limit=limits.body)
        strict = flag(came.fields.get("strict", "false"), "strict")
        noted = metadata(came.fields["metadata"]) if "metadata" in came.fields else None
        name, several = came.fields["name"], came.files["image"]
        call = lambda: gallery().enroll(name, several, metadata=noted, strict=strict)  # noqa: E731
        return answer(await service.work(came.files, call, writes=True), 201)

    @router.post(
        "/v1/identities/{id}/samples",
        summary="Enroll more images of an identity",
        response_model=Enrolment,
        status_code=201,
        dependencies=enrolls,
        responses={**example(201, ENROLLED), **write},
        openapi_extra=form(more, image="images of it", strict=_STRICT),
    )
    async def add(request: Request, id: Id) -> Response:
        came = await read_form(request, more, limit=limits.body)
        strict = flag(came.fields.get("strict", "false"), "strict")
        several = came.files["image"]
        call = lambda: gallery().add(id, several, strict=strict)  # noqa: E731
        return answer(await service.work(came.files, call, writes=True), 201)

    return router
