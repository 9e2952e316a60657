"""One HTML page that shows what may be wrong with labelled images: each finding with its pictures.

Knows audits and how a person reads them. Knows nothing of how they are made.
"""

import os
from dataclasses import dataclass
from datetime import datetime

from samekind.audit import Audit, Finding, Side
from samekind.errors import InputError
from samekind.pages import number, render, thumbnail, write_whole
from samekind.version import __version__

SHOWN = 3
"""Pictures of a side at most."""


@dataclass(frozen=True)
class Title:
    """What a person calls a kind of finding, what to do with it, and what its score says."""

    name: str
    note: str
    score: str


TITLES = {
    "mislabelled": Title(
        "Images in the wrong class",
        "Each resembles another class more than its own. Move it there, or out if it belongs to neither.",
        "how much more it resembles the other class; 1 is as much as two classes usually differ",
    ),
    "near-duplicate": Title(
        "One image in two classes",
        "The same file or nearly the same pixels under two labels, of which at most one is right.",
        "correlation of the pixels; 1 for identical files",
    ),
    "one-class": Title(
        "Two classes that are one",
        "They resemble each other as much as themselves. Merge them, or expect every model to confuse them.",
        "how much more alike to each other than to themselves; 0 is equally",
    ),
    "two-classes": Title(
        "One class that is two",
        "Its images fall into two parts, each alike in itself and less like the other. Split it, if you agree.",
        "how much more alike the parts are to themselves than to each other",
    ),
    "outlier": Title(
        "Images that resemble no class",
        "Each is unlike its own class, and no other takes it for a member. Look whether it belongs here at all.",
        "how far it is from its own class; 1 is as far as a stranger",
    ),
}
"""By name, in the order in which they are shown."""


@dataclass(frozen=True)
class Panel:
    """One side of a finding: what it is, group and class, and pictures: data URI, name, whether pixels show."""

    role: str
    group: str
    kind: str
    pictures: tuple[tuple[str, str, bool], ...]


@dataclass(frozen=True)
class Card:
    """One finding; names are those of the images in question, none where it is about classes."""

    score: str
    likely: bool
    names: tuple[str, ...]
    panels: tuple[Panel, ...]


@dataclass(frozen=True)
class Section:
    """One kind of finding: how many are likely and how many are listed in all, and the first of them."""

    title: Title
    name: str
    likely: int
    listed: int
    cards: tuple[Card, ...]


def write_audit(
    path: str | os.PathLike[str], audit: Audit, *, judged_by: str, most: int = 24, date: datetime | None = None
) -> None:
    """Write the page, whole or not at all.

    Args:
        path: the file to write; one that is there is replaced once the new one is complete.
        audit: what was found.
        judged_by: which models judged, in a few words.
        most: findings shown of a kind; >= 1.
        date: of the audit; now where None.
    Raises:
        InputError: most is below 1, or the file cannot be written.
        ImageError: an image cannot be read.
    """
    if most < 1:
        raise InputError(f"expected at least 1 finding of a kind to show, got {most}")
    sections = [
        Section(title, name, audit.likely(name), len(found), tuple(_card(audit, finding) for finding in found[:most]))
        for name, title in TITLES.items()
        if (found := audit.findings.get(name)) is not None
    ]
    page = render(
        "audit.html.j2",
        data=audit.data,
        date=date or datetime.now().astimezone(),
        judged_by=judged_by,
        sections=sections,
        version=__version__,
    )
    write_whole(path, page, what="audit")


def _card(audit: Audit, finding: Finding) -> Card:
    names = [audit.data.names[image] for side in finding.sides if side.role == "image" for image in side.images]
    panels = tuple(_panel(audit, side) for side in finding.sides)
    return Card(number(finding.score), finding.likely, tuple(names), panels)


def _panel(audit: Audit, side: Side) -> Panel:
    data = audit.data
    pictures = []
    for index in side.images[:SHOWN]:
        source, small = thumbnail(data[index][0])
        pictures.append((source, data.names[index], small))
    group = "" if data.groups is None else data.groups[side.label]
    return Panel(side.role, group, data.classes[side.label].removeprefix(f"{group}/"), tuple(pictures))
