"""The API against its own OpenAPI document, with requests that schemathesis makes up: right ones and wrong ones."""

from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from samekind.bundle import Bundle
from samekind.gallery.gallery import Gallery
from samekind.service.app import create_app
from samekind.service.settings import Settings
from samekind.verifier import Verifier

CHECKS = (
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
)
EXAMPLES = 40
"""Of requests to each operation, in each mode."""


@pytest.mark.slow
@pytest.mark.parametrize("mode", list(GenerationMode))
def test_answers_are_as_documented(bundle: Bundle, tmp_path: Path, mode: GenerationMode) -> None:
    settings = Settings(loopback_only=False)  # schemathesis names the host as it likes
    model, place = Verifier(bundle, threads=1), tmp_path / "gallery.db"
    app = create_app(model, gallery=lambda one: Gallery.open(place, one), settings=settings)
    api = schemathesis.openapi.from_asgi("/openapi.json", app)
    operations = [found.ok() for found in api.get_all_operations() if isinstance(found, Ok)]
    assert len(operations) == 14
    statuses = set()
    for operation in operations:

        @given(operation.as_strategy(generation_mode=mode))
        @examples(max_examples=EXAMPLES, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
        def check(case: schemathesis.Case[Any]) -> None:
            statuses.add(case.call_and_validate(checks=list(CHECKS)).status_code)

        with suppress(Unsatisfiable):  # where nothing is sent, nothing can be wrong
            check()
    assert 200 in statuses or mode is GenerationMode.NEGATIVE
    assert max(statuses) in range(400, 500)
