"""Pages hold everything in themselves, escape what they are given, and are written whole or not at all."""

import base64
import io
from pathlib import Path

import numpy as np
import pytest
from jinja2 import UndefinedError
from PIL import Image

from samekind.errors import InputError
from samekind.pages import THUMBNAIL, data_uri, number, percent, render, thumbnail, write_whole


@pytest.mark.parametrize(("size", "shown", "small"), [((12, 30), (12, 30), True), ((400, 200), (160, 80), False)])
def test_thumbnails_shrink_and_leave_the_image_as_it_is(
    size: tuple[int, int], shown: tuple[int, int], small: bool
) -> None:
    image = Image.fromarray(np.full((size[1], size[0]), 200, dtype=np.uint8))
    uri, is_small = thumbnail(image)
    content = base64.b64decode(uri.removeprefix("data:image/png;base64,"), validate=True)
    assert Image.open(io.BytesIO(content)).size == shown
    assert max(shown) <= THUMBNAIL
    assert is_small == small
    assert image.size == size


def test_figures_are_as_a_person_reads_them() -> None:
    assert percent(0.12345) == "12.35\N{NO-BREAK SPACE}%"
    assert number(-0.5) == "\N{MINUS SIGN}0.500"
    assert data_uri(b"a", "png") == "data:image/png;base64,YQ=="


def test_a_template_that_lacks_something_is_an_error() -> None:
    with pytest.raises(UndefinedError):
        render("report.html.j2", title="only")


def test_a_file_is_replaced_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text("old")
    (tmp_path / ".a.json.part").write_text("left by a killed process")
    write_whole(path, "new \udce9", what="card")
    assert path.read_text() == r"new \udce9"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.json"]
    with pytest.raises(InputError, match="file for the card"):
        write_whole(tmp_path, "x", what="card")
