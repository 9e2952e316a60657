"""What becomes of errors: each a problem document, and none of the inside gets out.

Knows exceptions and how they are answered. Knows nothing of routes.
"""

import logging

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from samekind.errors import SamekindError
from samekind.service.headers import request_id
from samekind.service.problems import ProblemError, of_error, of_status

log = logging.getLogger("samekind.service")

_SAID = {404: "there is nothing at this path", 405: "this path does not take this method"}


class Faults:
    """Answers what nobody foresaw with 500, and logs it with its trace.

    It stands around the framework, whose own answer to such an error tells the server to print it.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = False

        async def watch(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self.app(scope, receive, watch)
        except ProblemError as problem:
            await problem.response(request_id(scope))(scope, receive, send)
        except Exception:
            log.exception("request %s failed", request_id(scope))
            if started:  # too late for another answer: the connection is closed
                raise
            unforeseen = ProblemError("internal", "an error of the service; its log says more under this request_id")
            await unforeseen.response(request_id(scope))(scope, receive, send)


def handle(app: FastAPI) -> None:
    """Have the framework answer with problem documents."""

    @app.exception_handler(ProblemError)
    async def problem(request: Request, error: ProblemError) -> Response:
        return error.response(request_id(request.scope))

    @app.exception_handler(SamekindError)
    async def ours(request: Request, error: SamekindError) -> Response:
        found = of_error(error)
        if found.kind == "unavailable":
            log.error("request %s: %s", request_id(request.scope), error)
        return found.response(request_id(request.scope))

    @app.exception_handler(HTTPException)
    async def framework(request: Request, error: HTTPException) -> Response:
        found = of_status(error.status_code, _SAID.get(error.status_code, str(error.detail)))
        return found.response(request_id(request.scope), headers=error.headers)

    @app.exception_handler(RequestValidationError)
    async def validation(request: Request, error: RequestValidationError) -> Response:
        said = [f"{'.'.join(map(str, one['loc'][1:]))}: {one['msg']}" for one in error.errors()]
        return ProblemError("unacceptable", "; ".join(said)).response(request_id(request.scope))
