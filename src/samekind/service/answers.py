"""From results to JSON.

Knows dataclasses. Knows nothing of what they mean.
"""

import json
from dataclasses import asdict
from typing import Any

from starlette.responses import Response


def answer(result: Any, status: int = 200) -> Response:
    """A dataclass as JSON.

    The framework would build it by way of a model and check it again; tests do that, so that requests need not.
    """
    return Response(json.dumps(asdict(result), allow_nan=False), status, media_type="application/json")
