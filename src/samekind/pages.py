"""A page as one file: a template filled in, pictures inside it, written whole or not at all.

Knows HTML as a container. Knows nothing of what a page says. No page has a script or fetches anything.
"""

import base64
import io
import os
from importlib.resources import files
from pathlib import Path

from PIL import Image

from samekind.errors import InputError

THUMBNAIL = 160
"""Pictures on a page are at most this many pixels wide and high."""


def render(template: str, **content: object) -> str:
    """The page that a template of this package makes of its content; all text in it is escaped."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters.update(percent=percent, number=number)
    return environment.from_string(files("samekind").joinpath(template).read_text(encoding="utf-8")).render(content)


def percent(fraction: float) -> str:
    """A fraction as a person reads it."""
    return f"{100 * fraction:.2f}\N{NO-BREAK SPACE}%"


def number(value: float) -> str:
    """A score as a person reads it."""
    return f"{value:.3f}".replace("-", "\N{MINUS SIGN}")


def data_uri(content: bytes, kind: str) -> str:
    """Bytes of an image of this kind ("png", "svg+xml"), to stand in the page itself."""
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def thumbnail(image: Image.Image) -> tuple[str, bool]:
    """A small copy as a PNG data URI, and whether it is so small that a browser should show its pixels as squares."""
    copy = image.copy()
    copy.thumbnail((THUMBNAIL, THUMBNAIL), Image.Resampling.LANCZOS)
    stream = io.BytesIO()
    copy.save(stream, format="PNG", optimize=True)
    return data_uri(stream.getvalue(), "png"), max(copy.size) <= THUMBNAIL // 2


def write_whole(path: str | os.PathLike[str], text: str, *, what: str) -> None:
    """Write a file whole or not at all; one that is there is replaced once the new one is complete.

    Args:
        path: the file.
        text: its content.
        what: it is, for a person who named a wrong place, e.g. "report".
    Raises:
        InputError: the file cannot be written.
    """
    path = Path(path)
    if path.exists() and not path.is_file():
        raise InputError(f"{path}: a folder or a device; expected a file for the {what}")
    part = path.with_name(f".{path.name}.part")  # what a killed process left of it is written over
    try:
        try:
            # the name of a file may hold bytes that are no text: they are shown as such
            part.write_text(text, encoding="utf-8", errors="backslashreplace")
            os.replace(part, path)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise InputError(f"{path}: the {what} cannot be written ({error.strerror}); choose another file") from None
