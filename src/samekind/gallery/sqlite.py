"""A gallery in one SQLite file: how it is made, opened, locked, written durably, wiped and checked.

Knows files and connections. Knows nothing of images or models, nor of what is in the tables (`rows`, `schema`).

The journal is a write-ahead log: readers see one moment and wait for nobody, one writer at a time, and a transaction is
on disk (fsync) when it returns. What was deleted is overwritten: SQLite zeroes deleted cells (secure_delete), but its
trees leave copies where they moved cells, so a deletion ends with the file written anew and the log emptied. Whoever
reads at that moment hinders it. So a deletion notes in its own transaction that this has yet to be done (`unwiped`),
and it is tried again with the next write, at opening and at closing, until it is.
"""

import logging
import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from samekind.errors import GalleryError, MissingDataError
from samekind.gallery.files import beginning, settle
from samekind.gallery.rows import Rows, Values
from samekind.gallery.schema import APPLICATION, migrate
from samekind.gallery.store import Keys, Model

OLDEST = (3, 37, 0)
"""SQLite that knows strict tables."""

PATIENCE = 10.0
"""Seconds to wait for a lock of another process."""

log = logging.getLogger("samekind.gallery")

_MAGIC = b"SQLite format 3\x00"
_EXPLAINED = {
    sqlite3.SQLITE_BUSY: f"locked by another process for more than {PATIENCE:g} s; nothing was changed; try again",
    sqlite3.SQLITE_LOCKED: "locked by another process; nothing was changed; try again",
    sqlite3.SQLITE_FULL: "the disk is full; nothing was changed; make room and try again",
    sqlite3.SQLITE_READONLY: "cannot be written; expected a file and a folder that this user may write",
    sqlite3.SQLITE_CANTOPEN: "cannot be opened; expected a file and a folder that this user may write",
    sqlite3.SQLITE_PERM: "cannot be opened; expected a file and a folder that this user may write",
    sqlite3.SQLITE_IOERR: "cannot be read or written (the disk may be full or damaged); nothing was changed",
    sqlite3.SQLITE_NOTADB: "not a gallery, or damaged; expected a file made by samekind",
    sqlite3.SQLITE_CORRUPT: "damaged; `samekind gallery check` says where; put a backup in its place",
}


class SqliteStore:
    """One collection in a file that `open_sqlite` opened."""

    def __init__(self, path: Path, collection: int) -> None:
        self.path = path
        self._collection = collection
        self._turn = threading.Lock()
        self._writer: sqlite3.Connection | None = None
        self._readers: list[sqlite3.Connection] = []  # those that are idle
        self._closed = False

    @contextmanager
    def reading(self) -> Iterator[Rows]:
        """See `Store.reading`."""
        with _explained(self.path):
            connection = self._idle()
            try:
                connection.execute("BEGIN")
                yield Rows(_Engine(connection), self._collection, self._revision(connection))
            finally:
                with suppress(sqlite3.Error):
                    connection.execute("ROLLBACK")
                self._readers.append(connection)  # atomic, as is pop
                if self._closed:
                    self.close()

    @contextmanager
    def writing(self) -> Iterator[Rows]:
        """See `Store.writing`."""
        with self._turn, _explained(self.path):
            self._open()
            if self._writer is None:
                self._writer = connect(self.path)
            connection = self._writer
            connection.execute("BEGIN IMMEDIATE")
            try:
                rows = Rows(_Engine(connection), self._collection, self._revision(connection) + 1)
                yield rows
                rows.finish()
                connection.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):  # where SQLite has undone it already
                    connection.execute("ROLLBACK")
                raise
            if not rows.deleted:
                _wipe_again(connection)
            elif (left := _wipe(connection)) is not None:
                log.warning(
                    "%s: removed, but traces are left in its files (%s); they go with a later write, opening or "
                    "closing, when nobody reads it: run `samekind gallery check` again later",
                    self.path,
                    left,
                )

    def nearest(self, rows: Rows, embedding: NDArray[np.float32], count: int) -> Keys | None:
        """None: SQLite has no index for embeddings."""
        return None

    def check(self) -> tuple[str, ...]:
        """See `Store.check`."""
        with self.reading() as rows:
            found = [str(row[0]) for row in rows.engine.query("PRAGMA integrity_check", {}) if row[0] != "ok"]
            orphans = rows.engine.query("PRAGMA foreign_key_check", {})
            unwiped = rows.engine.query(_UNWIPED, {})
        found += [f"a row of {row[0]} belongs to no {row[2]}" for row in orphans]
        if unwiped:
            found.append("traces of what was removed are left in its files: somebody reads them; check again later")
        return tuple(found)

    def close(self) -> None:
        """See `Store.close`. The last one to close a file leaves nothing beside it."""
        self._closed = True
        with self._turn:
            with suppress(sqlite3.Error):  # whoever opens it next tries again
                self._writer = self._writer or connect(self.path)
                _wipe_again(self._writer)
            if self._writer is not None:
                self._writer.close()
                self._writer = None
        while self._readers:
            self._readers.pop().close()

    def _revision(self, connection: sqlite3.Connection) -> int:
        for (revision,) in connection.execute("SELECT revision FROM collection WHERE key = ?", (self._collection,)):
            if isinstance(revision, int):
                return revision
        raise GalleryError(f"{self.path}: {_EXPLAINED[sqlite3.SQLITE_CORRUPT]}")

    def _open(self) -> None:
        if self._closed:
            raise GalleryError(f"{self.path}: this gallery was closed")

    def _idle(self) -> sqlite3.Connection:
        self._open()
        try:
            return self._readers.pop()
        except IndexError:
            return connect(self.path)


class _Engine:
    """A connection as `Rows` wants it."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def query(self, statement: str, values: Values) -> list[tuple[Any, ...]]:
        return self._connection.execute(statement, values).fetchall()

    def execute(self, statement: str, values: Sequence[Values]) -> None:
        self._connection.executemany(statement, values)


def open_sqlite(where: str | os.PathLike[str], collection: str, *, founding: Model | None) -> SqliteStore:
    """Open a collection in a file. Args and Raises as `open_store`."""
    path = Path(where)
    if sqlite3.sqlite_version_info < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        raise GalleryError(f"{path}: expected SQLite {oldest} or newer beneath Python, got {sqlite3.sqlite_version}")
    if founding is not None and not path.exists():
        _create(path, collection, founding)
    _refuse_other(path)
    with _explained(path):
        connection = connect(path)
        try:
            ((application,),) = connection.execute("PRAGMA application_id")
            if application != APPLICATION:
                raise GalleryError(f"{path}: a database of another program; expected a gallery made by samekind")
            migrate(connection, str(path))
            key = _key(connection, path, collection, founding)
            _wipe_again(connection)
            return SqliteStore(path, key)
        finally:
            connection.close()


def connect(path: Path) -> sqlite3.Connection:
    """A connection that keeps every promise of this module; in autocommit mode, for any thread."""
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=rw", uri=True, timeout=PATIENCE, isolation_level=None, check_same_thread=False
    )
    try:
        for pragma in ("foreign_keys = ON", "secure_delete = ON", "synchronous = FULL", "trusted_schema = OFF"):
            connection.execute(f"PRAGMA {pragma}").fetchall()
    except BaseException:
        connection.close()
        raise
    return connection


def _wipe(connection: sqlite3.Connection) -> str | None:
    """Leave nothing of what was deleted in the file or its log; returns what hindered it."""
    try:
        unwiped = connection.execute(_UNWIPED).fetchall()
        connection.execute("VACUUM")
        if not _emptied(connection):
            return "somebody reads them"
        # what somebody else has deleted since then stays noted
        connection.executemany("UPDATE collection SET unwiped = 0 WHERE key = ? AND unwiped = ?", unwiped)
    except (sqlite3.Error, UnicodeDecodeError) as error:
        return str(error)
    return None


def _wipe_again(connection: sqlite3.Connection) -> None:
    """Wipe what an earlier deletion left, where that can be done at once."""
    with suppress(sqlite3.Error, UnicodeDecodeError):  # it stays noted
        if not connection.execute(_UNWIPED).fetchall():
            return
        connection.execute("PRAGMA busy_timeout = 0").fetchall()
        try:
            if _emptied(connection):  # else somebody reads, and the log would only grow
                _wipe(connection)
        finally:
            connection.execute(f"PRAGMA busy_timeout = {round(PATIENCE * 1_000)}").fetchall()


def _emptied(connection: sqlite3.Connection) -> bool:
    """Move the log into the file; false where somebody reads it."""
    ((busy, _, _),) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return not busy


_UNWIPED = "SELECT key, unwiped FROM collection WHERE unwiped > 0"


def _create(path: Path, collection: str, founding: Model) -> None:
    """An empty gallery, which gets its name when it is complete; where another process was faster, its file stays."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part = beginning(path)
        try:
            with _explained(path):
                connection = connect(part)
                try:
                    connection.execute(f"PRAGMA application_id = {APPLICATION}")
                    connection.execute("PRAGMA journal_mode = WAL").fetchall()
                    migrate(connection, str(path))
                    _key(connection, path, collection, founding)
                finally:
                    connection.close()  # folds the log into the file
            settle(part, path, replace=False)
        finally:
            for end in ("", "-wal", "-shm", "-journal"):
                part.with_name(part.name + end).unlink(missing_ok=True)
    except OSError as error:
        raise GalleryError(f"{path}: cannot be made ({error.strerror}); name another --gallery") from None


def _key(connection: sqlite3.Connection, path: Path, name: str, founding: Model | None) -> int:
    """Of a collection, which is founded where it is missing."""
    if founding is not None:
        connection.execute(
            "INSERT OR IGNORE INTO collection (name, fingerprint, head, dim) VALUES (?, ?, ?, ?)",
            (name, founding.fingerprint, founding.head, founding.dim),
        )
    for (key,) in connection.execute("SELECT key FROM collection WHERE name = ?", (name,)):
        return int(key)
    known = ", ".join(row[0] for row in connection.execute("SELECT name FROM collection ORDER BY name")) or "none"
    raise MissingDataError(f"{path}: no collection {name}; expected one of those in it ({known})")


def _refuse_other(path: Path) -> None:
    try:
        with path.open("rb") as file:
            magic = file.read(len(_MAGIC))
    except FileNotFoundError:
        raise MissingDataError(f"{path}: no such gallery; `samekind enroll` makes one") from None
    except OSError as error:
        raise GalleryError(f"{path}: cannot be read ({error.strerror}); expected a gallery") from None
    if magic != _MAGIC:
        raise GalleryError(f"{path}: {'not a gallery' if magic else 'empty'}; expected a file made by samekind")


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Errors of SQLite in a line that says what to do."""
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        raise GalleryError(f"{path}: {_EXPLAINED.get(code, error)}") from None
    except UnicodeDecodeError:  # of an error's own text too, which may tell of a damaged name
        raise GalleryError(f"{path}: {_EXPLAINED[sqlite3.SQLITE_CORRUPT]}") from None
