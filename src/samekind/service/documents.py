"""How the parts of requests and answers are described in the OpenAPI document.

Knows what the routes take and give. Knows nothing of how they do it.
"""

from dataclasses import asdict
from typing import Any

from pydantic import BaseModel, Field

from samekind.service.problems import KINDS, MEDIA_TYPE
from samekind.service.uploads import Expected


class ProblemDocument(BaseModel):
    """What is wrong, after RFC 9457."""

    type: str = Field(description="what kind of problem it is; the address of its explanation")
    title: str
    status: int
    detail: str = Field(description="what was expected, what came and what to do")
    request_id: str = Field(description="under which the log of the service says more")


def problems(*kinds: str) -> dict[int | str, dict[str, Any]]:
    """The answers of a route where something is wrong: those of these kinds, and those that every route may give."""
    names = ("unacceptable", "busy", "internal", *kinds)
    found: dict[int | str, dict[str, Any]] = {}
    for status in sorted({KINDS[name].status for name in names}):
        title = " / ".join(kind.title for kind in KINDS.values() if kind.status == status)
        schema = {"$ref": "#/components/schemas/ProblemDocument"}
        found[status] = {"description": title, "content": {MEDIA_TYPE: {"schema": schema}}}
    return found


def example(status: int, result: Any) -> dict[int | str, dict[str, Any]]:
    """The answer of a route where all is well, by the example of a dataclass."""
    return {status: {"content": {"application/json": {"example": asdict(result)}}}}


def form(expected: Expected, **described: str) -> dict[str, Any]:
    """The body of a route, for `openapi_extra`.

    Args:
        expected: what it reads.
        described: what each part means, by its name.
    """
    properties: dict[str, Any] = {}
    required = [*expected.fields]
    for name, (least, most) in expected.files.items():
        one = {"type": "string", "format": "binary", "description": described[name]}
        properties[name] = one if most == 1 else {"type": "array", "items": one, "minItems": least, "maxItems": most}
        if least:
            required.append(name)
    for name in (*expected.fields, *expected.optional):
        properties[name] = {"type": "string", "description": described[name]}
    schema = {"type": "object", "properties": properties, "required": required, "additionalProperties": False}
    return {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": schema}}}}
