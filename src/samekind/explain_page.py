"""One HTML page that shows what carried the score of two images: maps, and the parts that answer each other.

Knows explanations and how a person reads them. Knows nothing of how they are made.
"""

import io
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from samekind.errors import InputError
from samekind.explain import GRID, Deletion, Floats, Match, Place
from samekind.pages import data_uri, render, write_whole
from samekind.verifier import Decision
from samekind.version import __version__

PICTURE = 192
"""Pixels a side of the images on the page."""

EVIDENCE = {"“same”": 1, "“different”": -1}
"""Of each answer, the sign of the patches that speak for it."""

ROWS, COLUMNS = ("top", "middle", "bottom"), ("left", "centre", "right")
_NOTABLE = 0.1  # a smaller share of all that speaks is not put into words
_DEEPEST = 0.72  # opacity of the weightiest patch: the ink below stays visible


@dataclass(frozen=True, eq=False)
class Side:
    """One image of a pair: its name, its pixels (C, PICTURE, PICTURE) uint8, its map and how that stood the test."""

    name: str
    pixels: NDArray[np.uint8]
    worth: Floats
    test: Deletion


@dataclass(frozen=True, eq=False)
class Pair:
    """All that the page shows of two images.

    Args:
        title: what they are to each other.
        note: a sentence on where they are from; may be empty.
        left: one image.
        right: the other.
        matches: patches that answer each other.
        score: of the pair.
        decision: what the model says, or None where it has no threshold.
        truth: whether both show one class, or None where that is not known.
    """

    title: str
    note: str
    left: Side
    right: Side
    matches: tuple[Match, ...]
    score: float
    decision: Decision | None
    truth: bool | None = None


@dataclass(frozen=True)
class Patch:
    """A coloured square: row and column, opacity, whether it speaks for "same", whether it is of the weightiest."""

    row: int
    column: int
    opacity: float
    same: bool
    framed: bool


@dataclass(frozen=True)
class Panel:
    """An image as it is drawn: name, PNG data URI, coloured patches, places by number, what they say, and the test."""

    name: str
    source: str
    patches: tuple[Patch, ...]
    places: tuple[Place, ...]
    words: str
    test: Deletion


def write_explanation(
    path: str | os.PathLike[str], pairs: Sequence[Pair], *, bundle: str, date: datetime | None = None
) -> None:
    """Write the page, whole or not at all.

    Args:
        path: the file to write; one that is there is replaced once the new one is complete.
        pairs: at least one; the first is the one that was asked about.
        bundle: what a person calls the model.
        date: of the explanation; now where None.
    Raises:
        InputError: there is no pair, or the file cannot be written.
    """
    if not pairs:
        raise InputError("expected at least one pair to explain, got none")
    deepest = max(float(np.abs(side.worth).max()) for pair in pairs for side in (pair.left, pair.right))
    page = render(
        "explain.html.j2",
        bundle=bundle,
        date=date or datetime.now().astimezone(),
        deepest=deepest,
        grid=GRID,
        sections=[
            (
                pair,
                (
                    _panel(pair.left, deepest, tuple(match.left for match in pair.matches)),
                    _panel(pair.right, deepest, tuple(match.right for match in pair.matches)),
                ),
            )
            for pair in pairs
        ],
        version=__version__,
    )
    write_whole(path, page, what="explanation")


def words(worth: Floats) -> str:
    """Where the evidence lies, e.g. "Speaks for “same” most at the top left"; (GRID, GRID) float."""
    found = []
    for answer, sign in EVIDENCE.items():
        evidence = np.maximum(sign * worth, 0)
        if evidence.sum() > _NOTABLE * np.abs(worth).sum():
            thirds = evidence.reshape(3, GRID // 3, 3, GRID // 3).sum(axis=(1, 3))
            found.append(f"for {answer} most at the {_where(*divmod(int(thirds.argmax()), 3))}")
    return f"Speaks {' and '.join(found)}." if found else "No part of it moves the score."


def _where(row: int, column: int) -> str:
    return "centre" if row == column == 1 else f"{ROWS[row]} {COLUMNS[column]}"


def _panel(side: Side, deepest: float, places: tuple[Place, ...]) -> Panel:
    size = np.abs(side.worth)
    framed = set(np.argsort(-size, axis=None, kind="stable")[: side.test.patches].tolist())
    patches = tuple(
        Patch(
            row,
            column,
            opacity=_DEEPEST * float(size[row, column]) / deepest,
            same=bool(side.worth[row, column] > 0),
            framed=row * GRID + column in framed,
        )
        for row, column in np.argwhere(size > 0).tolist()
    )
    stream = io.BytesIO()
    picture = side.pixels[0] if len(side.pixels) == 1 else side.pixels.transpose(1, 2, 0)
    Image.fromarray(picture).convert("L").save(stream, format="PNG", optimize=True)  # colour is for the patches
    return Panel(side.name, data_uri(stream.getvalue(), "png"), patches, places, words(side.worth), side.test)
