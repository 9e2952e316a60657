"""A gallery in PostgreSQL with pgvector, for several machines: how it is opened, locked, searched and checked.

Knows connections and transactions. Knows nothing of images or models, nor of what is in the tables (`rows`,
`postgres_schema`).

Writers of a collection take turns: each first locks the collection's row, so revisions are committed in their order and
a reader that has seen one has seen all before. Readers see one moment (repeatable read) and wait for nobody. With each
change the combined embeddings follow, in the same transaction, so the index never lags behind. Deleted rows are pruned
from their pages when the call returns. Where that fails, `unwiped` says so, and the next write or opening tries again.
What a database keeps elsewhere (its log, its backups, free pages) it forgets in its own time: `docs/service.md`.
"""

import functools
import logging
import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, LiteralString

import numpy as np
import psycopg
from numpy.typing import NDArray
from pgvector.psycopg import register_vector
from psycopg import sql
from psycopg_pool import ConnectionPool

from samekind.errors import GalleryError, MissingDataError
from samekind.gallery.postgres_errors import PATIENCE, explained, place_of, unreachable
from samekind.gallery.postgres_schema import (
    OPERATORS,
    SCHEMA,
    combined,
    found_combined,
    index_combined,
    indexed,
    migrate,
    version,
)
from samekind.gallery.rows import Rows, Values
from samekind.gallery.store import Keys, Model, Position
from samekind.similarity import combine

CONNECTIONS = 16
"""Open at the same time, at most, by one process."""

BREADTH = 200
"""Candidates that the index keeps in sight (ef_search), at least: more find more and take longer."""

log = logging.getLogger("samekind.gallery")

_PART = 5_000  # identities whose combined embeddings are computed at a time
_PARAMETER = re.compile(r"(?<![:\w]):([a-z]\w*)")
_SETTINGS = {
    "lock_timeout": f"{PATIENCE:g}s",
    "synchronous_commit": "on",
    "idle_in_transaction_session_timeout": "10min",  # a machine that vanished does not hold its turn for ever
}
_KEEPALIVE: dict[str, Any] = {"connect_timeout": int(PATIENCE), "keepalives_idle": 30, "tcp_user_timeout": 30_000}


class PostgresStore:
    """One collection in a database that `open_postgres` opened."""

    def __init__(self, pool: "ConnectionPool[psycopg.Connection]", place: str, collection: int) -> None:
        self.place = place
        self._pool = pool
        self._collection = collection
        self._turn = threading.Lock()  # one connection of this process waits for its turn, not all of them

    @contextmanager
    def reading(self) -> Iterator[Rows]:
        """See `Store.reading`."""
        with self._connection() as connection, connection.transaction():
            connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            yield self._rows(connection, "SELECT revision FROM collection WHERE key = %s")

    @contextmanager
    def writing(self) -> Iterator[Rows]:
        """See `Store.writing`."""
        with self._turn, self._connection() as connection:
            with connection.transaction():
                rows = self._rows(connection, "SELECT revision + 1 FROM collection WHERE key = %s FOR UPDATE")
                model = rows.state().model
                yield rows
                rows.finish()
                if rows.changed:
                    self._follow(connection, rows, model)
                model = rows.state().model
            if not rows.deleted:
                _prune_again(connection, self._collection)
            elif (left := _prune(connection, self._collection, model)) is not None:
                log.warning(
                    "%s: removed, but its pages are not pruned yet (%s); that is tried again with the next write and "
                    "at the next opening; `samekind gallery check` says whether it is done",
                    self.place,
                    left,
                )

    def nearest(self, rows: Rows, embedding: NDArray[np.float32], count: int) -> Keys | None:
        """See `Store.nearest`: pgvector's index is approximate; `benchmarks/postgres.py` says how much it misses."""
        model = rows.state().model
        if not indexed(model):
            return None
        breadth = min(max(BREADTH, count), 1_000)  # the most that pgvector takes
        statement = sql.SQL("SELECT identity FROM {} ORDER BY embedding {} %s LIMIT %s")
        cursor = _connection_of(rows).cursor(binary=True)
        cursor.execute("SELECT set_config('hnsw.ef_search', %s, true)", [str(breadth)])
        cursor.execute("SELECT set_config('hnsw.iterative_scan', 'relaxed_order', true)")
        found = cursor.execute(
            statement.format(combined(self._collection), sql.SQL(OPERATORS[model.head][1])), [embedding, count]
        ).fetchall()
        return np.array([key for (key,) in found], dtype=np.int64)

    def check(self) -> tuple[str, ...]:
        """See `Store.check`: that every identity with samples is in the index, and nobody else."""
        with self.reading() as rows:
            connection = _connection_of(rows)
            unwiped = _unwiped(connection, self._collection)
            missing, left = self._out_of_step(connection) if indexed(rows.state().model) else (0, 0)
        found = [
            f"{number} identities {what}"
            for number, what in (
                (missing, "with samples are missing in the index"),
                (left, "of the index are not enrolled"),
            )
            if number
        ]
        if unwiped:
            found.append(
                "traces of what was removed are left in its pages, which are not pruned yet: check again later"
            )
        return tuple(found)

    def close(self) -> None:
        """See `Store.close`."""
        self._pool.close()

    def _out_of_step(self, connection: psycopg.Connection) -> tuple[int, int]:
        """How many identities the index lacks, and how many it should not have."""
        statement = sql.SQL(
            """SELECT count(*) FILTER (WHERE indexed.identity IS NULL),
                      count(*) FILTER (WHERE enrolled.identity IS NULL)
               FROM (SELECT DISTINCT identity FROM sample JOIN identity ON identity.key = sample.identity
                     WHERE collection = %s) AS enrolled
               FULL JOIN {} AS indexed ON indexed.identity = enrolled.identity"""
        )
        ((missing, left),) = connection.execute(
            statement.format(combined(self._collection)), [self._collection]
        ).fetchall()
        return missing, left

    @contextmanager
    def _connection(self) -> Iterator[psycopg.Connection]:
        if self._pool.closed:
            raise GalleryError(f"{self.place}: this gallery was closed")
        with explained(self.place), self._pool.connection() as connection:
            yield connection

    def _rows(self, connection: psycopg.Connection, statement: LiteralString) -> Rows:
        found = connection.execute(statement, [self._collection]).fetchone()
        if found is None:
            raise GalleryError(f"{self.place}: the collection is gone")
        return Rows(_Engine(connection), self._collection, found[0])

    def _follow(self, connection: psycopg.Connection, rows: Rows, before: Model) -> None:
        """Bring the combined embeddings of what changed in this transaction up to date."""
        model, table = rows.state().model, combined(self._collection)
        if model != before:
            found_combined(connection, self._collection, model)
        if not indexed(model):
            return
        position, complete = Position(rows.revision, 0), False
        while not complete:
            changes = rows.changes(position, limit=_PART)
            parts = np.split(changes.embedded.embeddings, np.cumsum(changes.embedded.sizes)[:-1])
            pairs = list(zip(changes.embedded.keys.tolist(), parts, strict=False))
            gone = [key for key, part in pairs if not len(part)]
            connection.execute(sql.SQL("DELETE FROM {} WHERE identity = ANY(%s)").format(table), [gone])
            connection.cursor().executemany(
                sql.SQL(
                    """INSERT INTO {} (identity, embedding) VALUES (%s, %s)
                       ON CONFLICT (identity) DO UPDATE SET embedding = EXCLUDED.embedding"""
                ).format(table),
                [(key, np.asarray(combine(part), dtype=np.float32)) for key, part in pairs if len(part)],
            )
            position, complete = changes.position, changes.complete
        if model != before:
            index_combined(connection, self._collection, model)


class _Engine:
    """A connection as `Rows` wants it."""

    def __init__(self, connection: psycopg.Connection) -> None:
        self.connection = connection

    def query(self, statement: str, values: Values) -> list[tuple[Any, ...]]:
        return self.connection.cursor(binary=True).execute(_translated(statement), values).fetchall()

    def execute(self, statement: str, values: Sequence[Values]) -> None:
        self.connection.cursor().executemany(_translated(statement), values)


def _connection_of(rows: Rows) -> psycopg.Connection:
    assert isinstance(rows.engine, _Engine)
    return rows.engine.connection


def open_postgres(where: str, collection: str, *, founding: Model | None) -> PostgresStore:
    """Open a collection in a database. Args and Raises as `open_store`; the database itself must exist."""
    place = place_of(where)
    with explained(place):
        try:
            connection = psycopg.connect(where, autocommit=True, **_KEEPALIVE)
        except psycopg.OperationalError as error:
            raise GalleryError(f"{place}: {unreachable(error, where)}") from None
        with connection:
            _settle(connection)
            if founding is None and version(connection) is None:
                raise MissingDataError(f"{place}: no gallery in this database; `samekind enroll` makes one")
            migrate(connection, place)
            key = _key(connection, place, collection, founding)
            _prune_again(connection, key)
        logger = logging.getLogger("psycopg.pool")
        if not logger.handlers:
            logger.addHandler(logging.NullHandler())  # what it would print our errors say
        pool = ConnectionPool(
            where,
            kwargs={"autocommit": True, **_KEEPALIVE},
            min_size=1,
            max_size=CONNECTIONS,
            timeout=PATIENCE,
            reconnect_timeout=PATIENCE,
            num_workers=1,
            configure=_configure,
            check=ConnectionPool.check_connection,
            open=True,
        )
    return PostgresStore(pool, place, key)


def _key(connection: psycopg.Connection, place: str, name: str, founding: Model | None) -> int:
    """Of a collection, which is founded where it is missing."""
    if founding is not None:
        with connection.transaction():
            made = connection.execute(
                """INSERT INTO collection (name, fingerprint, head, dim) VALUES (%s, %s, %s, %s)
                   ON CONFLICT (name) DO NOTHING RETURNING key""",
                [name, founding.fingerprint, founding.head, founding.dim],
            ).fetchone()
            if made is not None:
                found_combined(connection, made[0], founding)
                index_combined(connection, made[0], founding)
    for (key,) in connection.execute("SELECT key FROM collection WHERE name = %s", [name]):
        return int(key)
    known = ", ".join(row[0] for row in connection.execute("SELECT name FROM collection ORDER BY name")) or "none"
    raise MissingDataError(f"{place}: no collection {name}; expected one of those in it ({known})")


def _prune(connection: psycopg.Connection, collection: int, model: Model) -> str | None:
    """Take what was deleted out of the pages it was on; returns what hindered it."""
    try:
        unwiped = _unwiped(connection, collection)
        connection.execute("VACUUM sample, crop, identity, enrolment")
        if indexed(model):
            connection.execute(sql.SQL("VACUUM {}").format(combined(collection)))
        # what another machine has deleted since then stays noted
        connection.execute("UPDATE collection SET unwiped = 0 WHERE key = %s AND unwiped = %s", [collection, unwiped])
    except psycopg.Error as error:
        return " ".join(str(error).split())
    return None


def _prune_again(connection: psycopg.Connection, collection: int) -> None:
    """Prune what an earlier deletion left, where that can be done at once."""
    with suppress(psycopg.Error):  # it stays noted
        if _unwiped(connection, collection):
            found = "SELECT fingerprint, head, dim FROM collection WHERE key = %s"
            ((fingerprint, head, dim),) = connection.execute(found, [collection])
            connection.execute("SELECT set_config('lock_timeout', '100ms', false)")
            _prune(connection, collection, Model(fingerprint, head, dim))
            connection.execute("SELECT set_config('lock_timeout', %s, false)", [_SETTINGS["lock_timeout"]])


def _unwiped(connection: psycopg.Connection, collection: int) -> int:
    ((revision,),) = connection.execute("SELECT unwiped FROM collection WHERE key = %s", [collection])
    return int(revision)


def _settle(connection: psycopg.Connection) -> None:
    # where an administrator has put the extension somewhere else, its types are found there
    connection.execute(
        """SELECT set_config('search_path', concat_ws(', ', quote_ident(%s), (
               SELECT quote_ident(nspname) FROM pg_extension JOIN pg_namespace ON pg_namespace.oid = extnamespace
               WHERE extname = 'vector')), false)""",
        [SCHEMA],
    )
    for name, value in _SETTINGS.items():
        connection.execute("SELECT set_config(%s, %s, false)", [name, value])


def _configure(connection: psycopg.Connection) -> None:
    _settle(connection)
    register_vector(connection)


@functools.cache
def _translated(statement: str) -> bytes:
    """Parameters `:name` as psycopg writes them."""
    return _PARAMETER.sub(r"%(\1)s", statement.replace("%", "%%")).encode()
