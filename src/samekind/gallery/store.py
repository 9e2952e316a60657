"""What a store of galleries is, and which one a place names.

Knows records, arrays and transactions. Knows nothing of models, scores or decisions: it never says who an image shows.

A store holds one collection of a database. All that is read or written goes through `Rows`, within one transaction; the
engines differ in how they open, lock, check and, where they can, search.
"""

import os
from contextlib import AbstractContextManager
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from samekind.errors import MissingExtraError
from samekind.gallery.names import clean_name

if TYPE_CHECKING:
    from samekind.gallery.rows import Rows

Keys: TypeAlias = NDArray[np.int64]


@dataclass(frozen=True)
class Model:
    """Of which model a collection's embeddings are.

    Args:
        fingerprint: of the bundle; embeddings of two fingerprints must not be compared.
        head: "euclidean", "cosine" or "weighted-l1".
        dim: embedding size D.
    """

    fingerprint: str
    head: str
    dim: int


@dataclass(frozen=True)
class State:
    """Where a collection stands.

    Args:
        model: that embedded all of it.
        revision: one more with every transaction that changed a sample.
    """

    model: Model
    revision: int


@dataclass(frozen=True)
class Counts:
    """How much a collection holds."""

    identities: int
    samples: int


@dataclass(frozen=True)
class Spread:
    """How many identities there are, and the least and greatest number of samples that one of them has, or 0."""

    identities: int
    fewest: int
    most: int


@dataclass(frozen=True, order=True)
class Position:
    """A place in the order in which identities changed: by revision, within one by key."""

    revision: int = 0
    key: int = 0


@dataclass(frozen=True, eq=False)
class Embedded:
    """Embeddings of several identities.

    Args:
        keys: (I,) int64, the store's own numbers of identities; never used again once an identity is gone.
        sizes: (I,) int64, samples of each; 0 where the identity is gone.
        embeddings: (S, D) float32, those of the first identity, then those of the second, ...; within one in the order
            of enrolment.
    """

    keys: Keys
    sizes: Keys
    embeddings: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Changes:
    """What changed after some position, or the first part of it.

    Args:
        embedded: the identities that changed or went, as they are now.
        position: of the last of them; ask from here for what follows.
        model: of the embeddings.
        complete: whether nothing follows.
    """

    embedded: Embedded
    position: Position
    model: Model
    complete: bool


@dataclass(frozen=True, eq=False)
class StoredSample:
    """One enrolled image with all that is kept of it.

    Args:
        id: 32 hexadecimal digits.
        digest: SHA-256 of the image as it was given, in hexadecimal.
        created: ISO 8601 in UTC, to the second.
        embedding: (D,) float32.
        crop: PNG, as `images.crop` makes it.
    """

    id: str
    digest: str
    created: str
    embedding: NDArray[np.float32]
    crop: bytes


class Store(Protocol):
    """One collection in a database. Safe to be used from several threads."""

    def reading(self) -> "AbstractContextManager[Rows]":
        """A transaction that sees the collection as it is at one moment, and waits for no writer."""

    def writing(self) -> "AbstractContextManager[Rows]":
        """A transaction of its own turn: whole and on disk when the block is left, undone where it raises.

        What was deleted in it is gone from the medium too, as far as the engine can do it, before this returns. Where
        that fails the deletion stands: a warning is logged, `check` tells of it, and it is tried again with every
        later write and when a store is opened.
        """

    def nearest(self, rows: "Rows", embedding: NDArray[np.float32], count: int) -> Keys | None:
        """About so many identities whose combined embeddings are the closest to this one (D,): (<= count,) keys.

        Asked in the transaction of `rows`, which is one of this store: a second one would wait for a connection while
        it holds one. None where the engine has no index for this collection: then it is searched in memory. The
        order means nothing; the caller scores them exactly.
        """

    def check(self) -> tuple[str, ...]:
        """What the engine finds damaged, in words; nothing where all is whole."""

    def close(self) -> None:
        """Let go of the database; nothing can be asked afterwards."""


def open_store(where: str | os.PathLike[str], collection: str = "default", *, founding: Model | None = None) -> Store:
    """Open a collection.

    Args:
        where: a file (SQLite), or a URL `postgresql://...` or `postgres://...`.
        collection: its name, as that of an identity.
        founding: the model for which database and collection are made where they are missing; None: they must be there.
    Raises:
        MissingDataError: they are missing.
        GalleryError: the database cannot be opened, or is no gallery, or of a newer samekind.
        MissingExtraError: the extra `postgres` is not installed.
    """
    text, collection = os.fspath(where), clean_name(collection)
    if text.startswith(("postgresql://", "postgres://")):
        try:
            postgres = import_module("samekind.gallery.postgres")
        except ImportError as error:
            raise MissingExtraError(f"{error.name} is not installed: pip install 'samekind[postgres]'") from None
        opened: Store = postgres.open_postgres(text, collection, founding=founding)
        return opened
    from samekind.gallery.sqlite import open_sqlite

    return open_sqlite(text, collection, founding=founding)
