"""What the commands of a gallery share: which one is meant, and how it is opened."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from samekind.errors import NotEnrolledError

if TYPE_CHECKING:
    from samekind.gallery.gallery import Gallery
    from samekind.gallery.records import Concern, Identity
    from samekind.gallery.rows import Rows
    from samekind.gallery.store import Store

FILE = "samekind-gallery.db"

Where = Annotated[
    str,
    typer.Option(
        "--gallery", metavar="FILE|URL", envvar="SAMEKIND_GALLERY", help="A file, or postgresql://USER@HOST/DATABASE."
    ),
]
Collection = Annotated[str, typer.Option(help="Part of the gallery, with identities of its own.")]


@contextmanager
def opened_store(where: str, collection: str) -> "Iterator[Store]":
    """A collection that is there, whatever model it is of."""
    from samekind.gallery.store import open_store

    store = open_store(where, collection)
    try:
        yield store
    finally:
        store.close()


@contextmanager
def opened(where: str, collection: str, model: str, *, create: bool) -> "Iterator[Gallery]":
    """A collection with its model."""
    from samekind.gallery.gallery import Gallery
    from samekind.verifier import Verifier

    with Gallery.open(where, Verifier.load(model), collection=collection, create=create) as gallery:
        yield gallery


def who(rows: "Rows", name: str) -> "Identity":
    """The identity of a name or, where nobody has that, of an id. Raises NotEnrolledError where there is none."""
    from samekind.gallery.transactions import find

    try:
        return find(rows, name)
    except NotEnrolledError:
        if (found := rows.identity(name)) is None:
            raise
        return found


def spoken(concerns: "Sequence[Concern]", images: Sequence[object]) -> list[str]:
    """A line for each concern."""
    return [f"{images[concern.image]}: {concern.text}" for concern in concerns]
