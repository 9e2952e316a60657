"""What is answered when something is wrong: problem documents (RFC 9457), and nothing of the inside.

Knows the errors of samekind and of the framework. Knows nothing of routes.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from http import HTTPStatus
from typing import Any

from starlette.responses import Response

from samekind.errors import EnrolmentRefusedError, ImageError, InputError, NotEnrolledError, SamekindError

MEDIA_TYPE = "application/problem+json"
DOCUMENTED = "https://github.com/samekind/samekind/blob/main/docs/service.md#problem-"


@dataclass(frozen=True)
class Kind:
    """A kind of problem: the status of its answer and what it is called."""

    status: int
    title: str


KINDS: dict[str, Kind] = {
    "bad-request": Kind(400, "The request cannot be read"),
    "unauthorized": Kind(401, "A key is needed"),
    "forbidden": Kind(403, "Not allowed"),
    "not-found": Kind(404, "There is no such thing"),
    "no-gallery": Kind(404, "This service has no gallery"),
    "method-not-allowed": Kind(405, "This cannot be done here"),
    "request-timeout": Kind(408, "The request came too slowly"),
    "doubtful": Kind(409, "Not enrolled: there are concerns"),
    "conflict": Kind(409, "In conflict with what is there"),
    "too-large": Kind(413, "Too much at once"),
    "not-multipart": Kind(415, "Expected multipart/form-data"),
    "unacceptable": Kind(422, "Something was expected otherwise"),
    "bad-image": Kind(422, "An image cannot be read"),
    "internal": Kind(500, "An error of the service"),
    "busy": Kind(503, "Too busy"),
    "unavailable": Kind(503, "Not available now"),
    "timeout": Kind(503, "It took too long"),
}
"""By the name that its type ends in."""


class ProblemError(Exception):
    """A request that cannot be answered as it was meant.

    Args:
        kind: a name of KINDS.
        detail: what was expected, what came and what to do; for whoever sent the request.
        retry_after: seconds after which another try makes sense; None: it does not.
        more: further members of the document.
    """

    def __init__(
        self, kind: str, detail: str, *, retry_after: int | None = None, more: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(detail)
        self.kind = kind
        self.detail = detail
        self.retry_after = retry_after
        self.more = dict(more or {})

    def response(self, request_id: str, *, headers: Mapping[str, str] | None = None) -> Response:
        """The answer to the request of that id."""
        kind = KINDS[self.kind]
        document = {
            "type": DOCUMENTED + self.kind,
            "title": kind.title,
            "status": kind.status,
            "detail": self.detail,
            "request_id": request_id,
            **self.more,
        }
        sent = dict(headers or {})
        if self.retry_after is not None:
            sent["Retry-After"] = str(self.retry_after)
        if self.kind == "unauthorized":
            sent["WWW-Authenticate"] = 'Bearer realm="samekind"'
        return Response(json.dumps(document), kind.status, sent, media_type=MEDIA_TYPE)


def of_error(error: SamekindError) -> ProblemError:
    """The problem that an error of the library is to whoever sent the request."""
    if isinstance(error, ImageError):
        return ProblemError("bad-image", str(error))
    if isinstance(error, NotEnrolledError):
        return ProblemError("not-found", str(error))
    if isinstance(error, EnrolmentRefusedError):
        return ProblemError("doubtful", str(error), more={"concerns": [asdict(one) for one in error.concerns]})
    if isinstance(error, InputError):
        return ProblemError("unacceptable", str(error))
    return ProblemError("unavailable", "the service cannot do this now; its log says why", retry_after=10)


def of_status(status: int, detail: str) -> ProblemError:
    """The problem that an error of the framework is."""
    for name, kind in KINDS.items():
        if kind.status == status:
            return ProblemError(name, detail)
    name = "bad-request" if status < HTTPStatus.INTERNAL_SERVER_ERROR else "internal"
    return ProblemError(name, detail)
