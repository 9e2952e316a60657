"""Routes of the gallery that read and remove: identities, samples, their images, enrolments.

Knows what is asked and answered. Knows nothing of how a gallery keeps it.
"""

from dataclasses import asdict, dataclass
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query
from starlette.responses import Response

from samekind.gallery.records import Identity, Sample
from samekind.service.access import needs
from samekind.service.answers import answer
from samekind.service.documents import example, problems
from samekind.service.fields import text
from samekind.service.service import Service

IDENTITY = Identity(
    "0b51c7e2a94f4d2e8f6a3c1d5e7b9a80", "Anna", {"department": "casting"}, 2, "2026-11-24T08:00:00+00:00"
)
SAMPLE = Sample("9d2f0c6b1a3e4f5d8c7b6a5948372615", IDENTITY.id, "ab" * 32, IDENTITY.created)
ENROLMENT = "77aa0c6b1a3e4f5d8c7b6a5948372615"

Id = Annotated[str, Path(pattern="^[0-9a-f]{32}$", description="32 hexadecimal digits")]


@dataclass(frozen=True)
class Identities:
    """Some identities, by name.

    Args:
        identities: of this part of the list.
        next: the `after` that asks for the next part; None: there is none.
        total: how many are enrolled, whatever was searched for.
    """

    identities: tuple[Identity, ...]
    next: str | None
    total: int


@dataclass(frozen=True)
class IdentityWithSamples(Identity):
    """An identity and what stands for it."""

    items: tuple[Sample, ...]


@dataclass(frozen=True)
class Removed:
    """How many samples were removed."""

    removed: int


def identities(service: Service) -> APIRouter:
    """The routes."""
    router = APIRouter(tags=["gallery"])
    run, write, gallery = service.workers.run, service.write, service.gallery
    reads, enrolls, administers = ([Depends(needs(purpose))] for purpose in ("read", "enroll", "admin"))
    missing = problems("not-found")

    @router.get(
        "/v1/identities",
        summary="Who is enrolled?",
        response_model=Identities,
        dependencies=reads,
        responses={**example(200, Identities((IDENTITY,), None, 1)), **missing},
    )
    async def list_identities(
        after: Annotated[str | None, Query(max_length=200, description="a name; those after it are listed")] = None,
        limit: Annotated[int, Query(ge=1, le=200)] = 50,
        search: Annotated[str, Query(max_length=200, description="part of the name")] = "",
    ) -> Response:
        if after is not None:
            text(after, "after")
        text(search, "search")

        def listed() -> Identities:
            one_more = gallery().identities(after=after, limit=limit + 1, search=search)
            cursor = one_more[limit - 1].name if len(one_more) > limit else None
            return Identities(one_more[:limit], cursor, gallery().counts().identities)

        return answer(await run(listed))

    @router.get(
        "/v1/identities/{id}",
        summary="An identity and its samples",
        response_model=IdentityWithSamples,
        dependencies=reads,
        responses={**example(200, IdentityWithSamples(**asdict(IDENTITY), items=(SAMPLE,))), **missing},
    )
    async def show_identity(id: Id) -> Response:
        def shown() -> IdentityWithSamples:
            return IdentityWithSamples(**asdict(gallery().identity(id)), items=gallery().samples(id))

        return answer(await run(shown))

    @router.delete(
        "/v1/identities/{id}",
        summary="Remove an identity, its images and its embeddings",
        status_code=204,
        dependencies=administers,
        responses=missing,
    )
    async def remove_identity(id: Id) -> None:
        await write(lambda: gallery().remove(id))

    @router.get(
        "/v1/samples/{id}/image",
        summary="The crop that is kept of an image",
        response_class=Response,
        dependencies=reads,
        responses={200: {"content": {"image/png": {"schema": {"type": "string", "format": "binary"}}}}, **missing},
    )
    async def sample_image(id: Id) -> Response:
        return Response(await run(lambda: gallery().crop(id)), media_type="image/png")

    @router.delete(
        "/v1/samples/{id}",
        summary="Remove a sample; with the last one its identity goes",
        status_code=204,
        dependencies=administers,
        responses=missing,
    )
    async def remove_sample(id: Id) -> None:
        await write(lambda: gallery().remove_sample(id))

    @router.delete(
        "/v1/enrolments/{id}",
        summary="Undo an enrolment",
        response_model=Removed,
        dependencies=enrolls,
        responses={**example(200, Removed(2)), **missing},
    )
    async def undo(id: Id) -> Response:
        return answer(Removed(await write(lambda: gallery().undo(id))))

    return router
