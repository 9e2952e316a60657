"""Routes of the web page: `/` and the files that it needs, all from the package.

Knows a folder. Knows nothing of what is in it.
"""

from pathlib import Path

from fastapi import FastAPI
from starlette.responses import FileResponse
from starlette.staticfiles import StaticFiles

FOLDER = Path(__file__).parent / "page"


def add_page(app: FastAPI) -> None:
    """Serve index.html at "/" and all files of the folder below "/page/"."""

    @app.get("/", include_in_schema=False)
    async def index() -> FileResponse:
        return FileResponse(FOLDER / "index.html", media_type="text/html; charset=utf-8")

    app.mount("/page", StaticFiles(directory=FOLDER), name="page")
