"""The rows of one collection, read and written within one transaction: the SQL that every engine understands.

Knows tables. Knows nothing of files, connections or locks, nor of what a change means: `transactions` does.

    collection   name, model, revision
    identity     name, metadata; how many samples, and the revision in which they changed last
    enrolment    what came in one go, to be undone
    sample       embedding, digest of the source image
    crop         its picture, apart, so that embeddings are read without it
    removed      key and revision of identities that are gone, and nothing else of them
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter, itemgetter
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from samekind.gallery.encoding import blob_of, embedded_of, notes_of, numbers_of, text_of
from samekind.gallery.records import Identity, PastEnrolment, Sample
from samekind.gallery.store import Changes, Counts, Embedded, Keys, Model, Position, Spread, State, StoredSample

Values: TypeAlias = Mapping[str, object]

_AT_ONCE = 500  # values in one statement
_COLUMNS = "id, name, metadata, samples, created"
_IDENTITY = f"SELECT {_COLUMNS} FROM identity WHERE collection = :collection"
_HERE = "+collection = :collection"  # the sign keeps SQLite from going through all of a collection for a few keys
_CHANGED = """SELECT revision, key FROM identity WHERE collection = :collection AND revision > :revision
    UNION ALL SELECT revision, key FROM identity WHERE collection = :collection AND revision = :revision AND key > :key
    UNION ALL SELECT revision, identity FROM removed WHERE collection = :collection AND revision > :revision
    UNION ALL SELECT revision, identity FROM removed
    WHERE collection = :collection AND revision = :revision AND identity > :key"""
_OF_SAMPLE = """SELECT sample.{} FROM sample JOIN identity ON identity.key = sample.identity
    WHERE collection = :collection"""


class Engine(Protocol):
    """Runs a statement with named parameters `:name` in the transaction that is open."""

    def query(self, statement: str, values: Values) -> list[tuple[Any, ...]]:
        """The rows that it gives."""

    def execute(self, statement: str, values: Sequence[Values]) -> None:
        """Once for each set of values; gives nothing."""


@dataclass(frozen=True)
class Event:
    """An enrolment that can be undone.

    Args:
        id: 32 hexadecimal digits.
        identity: the id of whose it was.
        samples: ids of those that are left of it.
        earlier: metadata that it replaced; None where it replaced none.
        superseded: whether a later enrolment of this identity replaced metadata too.
    """

    id: str
    identity: str
    samples: tuple[str, ...]
    earlier: dict[str, str] | None
    superseded: bool


class Rows:
    """One collection within one transaction.

    Args:
        engine: of the transaction.
        collection: key of the collection.
        revision: that what is written belongs to; in a transaction that only reads, the present one.

    `changed` says afterwards whether samples changed, `deleted` whether any was deleted.
    """

    def __init__(self, engine: Engine, collection: int, revision: int) -> None:
        self.engine = engine
        self.collection = collection
        self.revision = revision
        self.changed = False
        self.deleted = False

    # reading

    def state(self) -> State:
        """Where the collection stands."""
        ((fingerprint, head, dim, revision),) = self._query(
            "SELECT fingerprint, head, dim, revision FROM collection WHERE key = :collection"
        )
        return State(Model(fingerprint, head, dim), revision)

    def counts(self) -> Counts:
        """How much it holds."""
        ((identities, samples),) = self._query(
            "SELECT count(*), coalesce(sum(samples), 0) FROM identity WHERE collection = :collection"
        )
        return Counts(identities, int(samples))

    def spread(self) -> Spread:
        """How its samples are spread over identities."""
        ((identities, fewest, most),) = self._query(
            """SELECT count(*), min(samples), max(samples) FROM identity
               WHERE collection = :collection AND samples > 0"""
        )
        return Spread(identities, fewest or 0, most or 0)

    def changes(self, after: Position, *, limit: int = 20_000) -> Changes:
        """Identities that changed or went after a position, in that order, at most `limit` of them."""
        rows = self._query(
            f"""SELECT changed.revision, changed.key, sample.key, embedding
                FROM (SELECT revision, key FROM ({_CHANGED}) AS changed ORDER BY revision, key LIMIT :limit) AS changed
                LEFT JOIN sample ON sample.identity = changed.key""",
            revision=after.revision,
            key=after.key,
            limit=limit,
        )
        rows.sort(key=itemgetter(0, 1, 2))  # nearly so already, which engines do not know
        keys = list(dict.fromkeys(key for _, key, _, _ in rows))
        held = [(key, embedding) for _, key, sample, embedding in rows if sample is not None]
        model = self.state().model
        last = Position(*rows[-1][:2]) if rows else after
        return Changes(embedded_of(keys, held, model.dim), last, model, len(keys) < limit)

    def embedded(self, keys: Sequence[int] | Keys) -> Embedded:
        """Embeddings of these identities, in this order."""
        wanted = [int(key) for key in keys]
        statement = "SELECT identity, embedding FROM sample WHERE identity IN ({}) ORDER BY identity, key"
        rows = self._in(statement, sorted(set(wanted)))
        return embedded_of(wanted, rows, self.state().model.dim)

    def keys(self, identities: Sequence[str]) -> tuple[int, ...]:
        """The store's own numbers of these identities, by id; of those that are enrolled."""
        found = dict(self._in(f"SELECT id, key FROM identity WHERE id IN ({{}}) AND {_HERE}", list(identities)))
        return tuple(found[id] for id in identities if id in found)

    def some(self, count: int) -> tuple[int, ...]:
        """Keys of so many identities as if drawn at random, and always the same ones of the same identities."""
        rows = self._query(
            """SELECT key FROM identity WHERE collection = :collection
               ORDER BY (key * 2654435761) % 4294967291 LIMIT :count""",
            count=count,
        )
        return tuple(key for (key,) in rows)

    def by_keys(self, keys: Sequence[int] | Keys) -> tuple[tuple[int, Identity], ...]:
        """These identities, in this order, each with its key; those that are gone are left out."""
        wanted = [int(key) for key in keys]
        rows = self._in(f"SELECT key, {_COLUMNS} FROM identity WHERE key IN ({{}}) AND {_HERE}", wanted)
        found = {key: _identity(row) for key, *row in rows}
        return tuple((key, found[key]) for key in wanted if key in found)

    def identities(self, *, after: str | None = None, limit: int = 100, search: str = "") -> tuple[Identity, ...]:
        """In the order of their names (by code point), those after a name whose name holds a text in any case."""
        pattern = "".join(f"!{c}" if c in "!%_" else c for c in search.casefold())
        rows = self._query(
            f"{_IDENTITY} AND name > :after AND folded LIKE :pattern ESCAPE '!' ORDER BY name LIMIT :limit",
            after=after or "",
            pattern=f"%{pattern}%",
            limit=limit,
        )
        return tuple(_identity(row) for row in rows)

    def identity(self, id: str) -> Identity | None:
        """The identity of an id."""
        return next((_identity(row) for row in self._query(f"{_IDENTITY} AND id = :id", id=id)), None)

    def find(self, name: str) -> Identity | None:
        """The identity of a name."""
        return next((_identity(row) for row in self._query(f"{_IDENTITY} AND name = :name", name=name)), None)

    def used(self, ids: Sequence[str]) -> frozenset[str]:
        """Of these ids, those that an identity or a sample has, in whatever collection of this database."""
        tables = ("identity", "sample")
        return frozenset(
            row[0] for table in tables for row in self._in(f"SELECT id FROM {table} WHERE id IN ({{}})", list(ids))
        )

    def holding(self, digest: str) -> tuple[Identity, ...]:
        """The identities that hold an image of this digest."""
        held = "SELECT identity FROM sample WHERE digest = :digest"
        rows = self._query(f"SELECT {_COLUMNS} FROM identity WHERE key IN ({held}) AND {_HERE}", digest=digest)
        return tuple(sorted((_identity(row) for row in rows), key=attrgetter("name")))

    def samples(self, identity: str) -> tuple[Sample, ...]:
        """Of an identity, in the order of enrolment."""
        rows = self._query(
            _OF_SAMPLE.format("id, sample.digest, sample.created") + " AND identity.id = :id ORDER BY sample.key",
            id=identity,
        )
        return tuple(Sample(id, identity, digest, created) for id, digest, created in rows)

    def sample(self, id: str) -> Sample | None:
        """The sample of an id."""
        columns = "id, identity.id, sample.digest, sample.created"
        rows = self._query(_OF_SAMPLE.format(columns) + " AND sample.id = :id", id=id)
        return next((Sample(*row) for row in rows), None)

    def crop(self, sample: str) -> bytes | None:
        """The picture of a sample."""
        picture = "(SELECT png FROM crop WHERE crop.sample = sample.key)"
        rows = self._query(_OF_SAMPLE.replace("sample.{}", picture) + " AND sample.id = :id", id=sample)
        return next((bytes(png) for (png,) in rows), None)

    def contents(self, identity: str) -> tuple[StoredSample, ...]:
        """All that is kept of an identity's samples, in the order of enrolment."""
        columns = "id, sample.digest, sample.created, embedding, (SELECT png FROM crop WHERE crop.sample = sample.key)"
        rows = self._query(_OF_SAMPLE.format(columns) + " AND identity.id = :id ORDER BY sample.key", id=identity)
        return tuple(
            StoredSample(id, digest, created, numbers_of(embedding), bytes(png or b""))
            for id, digest, created, embedding, png in rows
        )

    def enrolments(self, identity: str) -> tuple[PastEnrolment, ...]:
        """Of an identity, oldest first."""
        rows = self._query(
            """SELECT enrolment.id, enrolment.created,
                   (SELECT count(*) FROM sample WHERE sample.enrolment = enrolment.key)
               FROM enrolment JOIN identity ON identity.key = enrolment.identity
               WHERE collection = :collection AND identity.id = :id ORDER BY enrolment.key""",
            id=identity,
        )
        return tuple(PastEnrolment(*row) for row in rows)

    def event(self, id: str) -> Event | None:
        """The enrolment of an id."""
        rows = self._query(
            """SELECT identity.id, earlier, enrolment.key, (SELECT count(*) FROM enrolment AS later
                   WHERE later.identity = identity.key AND later.key > enrolment.key AND later.earlier IS NOT NULL)
               FROM enrolment JOIN identity ON identity.key = enrolment.identity
               WHERE collection = :collection AND enrolment.id = :id""",
            id=id,
        )
        for identity, earlier, key, later in rows:
            samples = self._query("SELECT id FROM sample WHERE enrolment = :enrolment ORDER BY key", enrolment=key)
            replaced = None if earlier is None else notes_of(earlier)
            return Event(id, identity, tuple(row[0] for row in samples), replaced, later > 0)
        return None

    # writing

    def add_identity(self, identity: Identity) -> None:
        """A new one, without samples."""
        self._execute(
            """INSERT INTO identity (collection, id, name, folded, metadata, created, revision)
               VALUES (:collection, :id, :name, :folded, :metadata, :created, :revision)""",
            id=identity.id,
            name=identity.name,
            folded=identity.name.casefold(),
            metadata=text_of(identity.metadata),
            created=identity.created,
            revision=self.revision,
        )

    def set_metadata(self, identity: str, metadata: Mapping[str, str]) -> None:
        """In place of what was noted."""
        self._execute(
            "UPDATE identity SET metadata = :metadata WHERE collection = :collection AND id = :id",
            id=identity,
            metadata=text_of(metadata),
        )

    def add_event(
        self, id: str, identity: str, samples: Sequence[StoredSample], *, created: str, earlier: dict[str, str] | None
    ) -> None:
        """Samples of an identity that come in one go."""
        self._execute(
            """INSERT INTO enrolment (id, identity, created, earlier)
               SELECT :id, key, :created, :earlier FROM identity WHERE collection = :collection AND id = :identity""",
            id=id,
            identity=identity,
            created=created,
            earlier=None if earlier is None else text_of(earlier),
        )
        rows = [
            {
                "event": id,
                "id": sample.id,
                "digest": sample.digest,
                "created": sample.created,
                "embedding": blob_of(sample.embedding),
                "png": sample.crop,
            }
            for sample in samples
        ]
        self.engine.execute(
            """INSERT INTO sample (id, identity, enrolment, digest, created, embedding)
               SELECT :id, identity, key, :digest, :created, :embedding FROM enrolment WHERE id = :event""",
            rows,
        )
        self.engine.execute("INSERT INTO crop (sample, png) SELECT key, :png FROM sample WHERE id = :id", rows)
        self._touch(identity)

    def drop_event(self, event: Event) -> None:
        """The note of it, not its samples. What it replaced, the next one that replaced anything keeps."""
        if event.earlier is not None:
            self._execute(
                """UPDATE enrolment SET earlier = :earlier WHERE key = (SELECT min(later.key)
                   FROM enrolment AS later JOIN enrolment AS this ON later.identity = this.identity
                   WHERE this.id = :id AND later.key > this.key AND later.earlier IS NOT NULL)""",
                id=event.id,
                earlier=text_of(event.earlier),
            )
        self._execute("DELETE FROM enrolment WHERE id = :id", id=event.id)

    def drop_samples(self, identity: str, samples: Sequence[str]) -> None:
        """Samples of one identity, by id."""
        self.deleted = True
        self.engine.execute("DELETE FROM sample WHERE id = :id", [{"id": sample} for sample in samples])
        self._touch(identity)

    def drop_identity(self, identity: str) -> None:
        """With all that belongs to it."""
        self.changed = self.deleted = True
        self._execute(
            """INSERT INTO removed (collection, revision, identity)
               SELECT collection, :revision, key FROM identity WHERE collection = :collection AND id = :id""",
            id=identity,
            revision=self.revision,
        )
        self._execute("DELETE FROM identity WHERE collection = :collection AND id = :id", id=identity)

    def set_model(self, model: Model) -> None:
        """From now on the embeddings are of this model; each has to be set."""
        self._execute(
            "UPDATE collection SET fingerprint = :fingerprint, head = :head, dim = :dim WHERE key = :collection",
            fingerprint=model.fingerprint,
            head=model.head,
            dim=model.dim,
        )

    def set_embeddings(self, identity: str, embeddings: Mapping[str, NDArray[np.float32]]) -> None:
        """New embeddings (D,) of an identity's samples, by their ids."""
        self.engine.execute(
            "UPDATE sample SET embedding = :embedding WHERE id = :id",
            [{"id": id, "embedding": blob_of(value)} for id, value in embeddings.items()],
        )
        self._touch(identity)

    def finish(self) -> None:
        """Before the transaction ends: the revision is that of what was written, and a deletion has yet to be wiped."""
        if self.changed:
            self._execute("UPDATE collection SET revision = :revision WHERE key = :collection", revision=self.revision)
        if self.deleted:
            self._execute("UPDATE collection SET unwiped = :revision WHERE key = :collection", revision=self.revision)

    def _touch(self, identity: str) -> None:
        self.changed = True
        self._execute(
            """UPDATE identity SET revision = :revision,
                   samples = (SELECT count(*) FROM sample WHERE sample.identity = identity.key)
               WHERE collection = :collection AND id = :id""",
            id=identity,
            revision=self.revision,
        )

    def _query(self, statement: str, **values: object) -> list[tuple[Any, ...]]:
        return self.engine.query(statement, {"collection": self.collection, **values})

    def _execute(self, statement: str, **values: object) -> None:
        self.engine.execute(statement, [{"collection": self.collection, **values}])

    def _in(self, statement: str, wanted: Sequence[object]) -> Iterator[tuple[Any, ...]]:
        """The statement with a list in place of {}, a part of the list at a time."""
        for start in range(0, len(wanted), _AT_ONCE):
            part = {f"v{number}": value for number, value in enumerate(wanted[start : start + _AT_ONCE])}
            yield from self._query(statement.format(", ".join(f":{name}" for name in part)), **part)


def _identity(row: Sequence[Any]) -> Identity:
    id, name, metadata, samples, created = row
    return Identity(id, name, notes_of(metadata), samples, created)
