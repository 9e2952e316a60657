"""The page of an explanation is one file that shows both images, says what speaks for what, and fetches nothing."""

import base64
import io
import re
from dataclasses import replace
from datetime import UTC, datetime
from html import unescape
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from samekind.errors import InputError
from samekind.explain import GRID, Deletion, Match
from samekind.explain_page import PICTURE, Pair, Side, words, write_explanation
from samekind.version import __version__

DATE = datetime(2031, 5, 17, 8, 30, tzinfo=UTC)
ATTACK = "<script>alert('x')</script>"


def side(name: str, *worth: tuple[int, int, float], channels: int = 1, moved: float = 0.4, patches: int = 1) -> Side:
    pixels = np.full((channels, PICTURE, PICTURE), 255, dtype=np.uint8)
    pixels[:, 50:60] = 0
    every = np.zeros((GRID, GRID))
    for row, column, value in worth:
        every[row, column] = value
    return Side(name, pixels, every, Deletion(patches, moved, 0.125))


def pair(title: str = "Query and reference", **changes: object) -> Pair:
    left, right = side("left.png", (0, 1, 0.5), (11, 2, -0.25)), side("right.png", (3, 4, 0.125), channels=3)
    return replace(Pair(title, "", left, right, (Match((0, 1), (3, 4), 0.3),), -0.625, None), **changes)  # type: ignore[arg-type]


def write(folder: Path, *pairs: Pair, bundle: str = "mine") -> str:
    path = folder / "page.html"
    write_explanation(path, pairs, bundle=bundle, date=DATE)
    return path.read_text(encoding="utf-8")


def text(page: str) -> str:
    body = re.sub(r"<style>.*?</style>", "", page, flags=re.DOTALL)
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", body)).replace("\N{NO-BREAK SPACE}", " ").split())


def pictures(page: str) -> list[str]:
    return re.findall(r"<svg viewBox=\"0 0 12 12\".*?</svg>", page, re.DOTALL)


def test_the_page_is_one_file_that_fetches_nothing(tmp_path: Path) -> None:
    page = write(tmp_path, pair())
    assert not re.search(r"<script|<link|@import|https?://|\bon\w+=", page)
    sources = re.findall(r'href="(.*?)"', page)
    assert len(sources) == 4
    for source in sources:
        assert source.startswith("data:image/png;base64,")
        picture = Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2])))
        assert picture.size == (PICTURE, PICTURE)
        assert np.asarray(picture)[55].max() == 0
    assert [entry.name for entry in tmp_path.iterdir()] == ["page.html"]


def test_every_picture_is_told_in_words(tmp_path: Path) -> None:
    labels = [re.search(r'aria-label="(.*?)"', picture) for picture in pictures(write(tmp_path, pair()))]
    told = [unescape(label.group(1)) for label in labels if label]
    assert told[:2] == [
        "left.png: Speaks for “same” most at the top left and for “different” most at the bottom left.",
        "right.png: Speaks for “same” most at the top centre.",
    ]
    assert all(name in label and "1 numbered" in label for name, label in zip(("left", "right"), told[2:], strict=True))


def test_patches_are_where_they_were_measured_as_deep_as_they_weigh(tmp_path: Path) -> None:
    left, right, *_ = pictures(write(tmp_path, pair()))
    found = re.findall(
        r'class="(same|different)" x="(\d+)" y="(\d+)" width="1" height="1" fill-opacity="([\d.]+)"', left
    )
    assert [(kind, int(row), int(column)) for kind, column, row, _ in found] == [("same", 0, 1), ("different", 11, 2)]
    strong, weak = (float(opacity) for *_, opacity in found)
    assert weak == pytest.approx(strong / 2, abs=0.001)
    (of_right,) = re.findall(r'fill-opacity="([\d.]+)"', right)
    assert float(of_right) == pytest.approx(strong / 4, abs=0.001)  # one scale for the page
    assert re.findall(r'class="frame (\w+)" x="([\d.]+)"', left) == [("same", "1.08")]
    two = replace(side("left.png", (0, 1, 0.5), (11, 2, -0.25)), test=Deletion(2, 0.4, 0.1))
    assert pictures(write(tmp_path, pair(left=two)))[0].count('class="frame') == 2


def test_parts_that_answer_each_other_have_one_number(tmp_path: Path) -> None:
    matches = (Match((0, 1), (3, 4), 0.3), Match((5, 6), (7, 8), 0.2))
    *_, left, right = pictures(write(tmp_path, pair(matches=matches)))
    places = [re.findall(r'class="place" x="(\d+)" y="(\d+)"', picture) for picture in (left, right)]
    assert places == [[("1", "0"), ("6", "5")], [("4", "3"), ("8", "7")]]
    assert [re.findall(r">(\d)</text>", picture) for picture in (left, right)] == [["1", "2"], ["1", "2"]]
    page = write(tmp_path, pair(matches=()))
    assert len(pictures(page)) == 2
    assert "Parts that answer each other" not in text(page)


def test_the_test_of_each_map_is_on_the_page(tmp_path: Path) -> None:
    said = text(write(tmp_path, pair()))
    assert "hiding what is framed in left.png moves the score by 0.400, hiding as much at random by 0.125." in said
    assert "Hiding what is framed in right.png" in said
    assert "doubt" not in said
    failed = replace(side("left.png", (0, 1, 0.5)), test=Deletion(1, 0.1, 0.125))
    assert text(write(tmp_path, pair(left=failed))).count("did not stand the test") == 1
    blank = side("left.png", patches=0)
    assert "framed in left.png" not in text(write(tmp_path, pair(left=blank)))


def test_pairs_come_in_their_order_with_score_and_note(tmp_path: Path) -> None:
    said = text(write(tmp_path, pair(), pair("Nearest true match", note="Of many.", score=0.25), bundle="tiny"))
    assert "Query and reference score \N{MINUS SIGN}0.625" in said
    assert "Nearest true match Of many. score 0.250" in said
    assert f"Model tiny Date 2031-05-17 08:30 UTC samekind {__version__}" in said
    assert "the deepest moves the score by 0.500" in said


def test_images_without_any_evidence_make_a_page(tmp_path: Path) -> None:
    blank = side("blank.png", patches=0)
    page = write(tmp_path, pair(left=blank, right=blank, matches=()))
    assert text(page).count("No part of it moves the score.") == 2


def test_names_are_text_and_never_markup(tmp_path: Path) -> None:
    shown = pair(title=ATTACK, note=ATTACK, left=replace(side("x", (0, 0, 1.0)), name=ATTACK))
    page = write(tmp_path, shown, bundle=ATTACK)
    assert "<script" not in page
    assert text(page).count(ATTACK) > 5


def test_the_same_explanation_gives_the_same_page(tmp_path: Path) -> None:
    assert write(tmp_path, pair()) == write(tmp_path, pair())


def test_what_cannot_be_written_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="at least one pair"):
        write_explanation(tmp_path / "page.html", [], bundle="mine")
    with pytest.raises(InputError, match="the explanation cannot be written"):
        write_explanation(tmp_path / "no" / "page.html", [pair()], bundle="mine")


@pytest.mark.parametrize(
    ("places", "expected"),
    [
        ([(5, 5, 1.0)], "Speaks for “same” most at the centre."),
        ([(5, 0, -1.0)], "Speaks for “different” most at the middle left."),
        ([(0, 11, 1.0), (11, 11, -0.01)], "Speaks for “same” most at the top right."),
        ([(0, 0, 0.4), (9, 6, 0.3), (10, 6, 0.3)], "Speaks for “same” most at the bottom centre."),
        ([], "No part of it moves the score."),
    ],
)
def test_words_name_where_most_of_it_lies(places: list[tuple[int, int, float]], expected: str) -> None:
    assert words(side("x", *places).worth) == expected
