"""The tables of a gallery in SQLite, and how those of an older samekind become today's.

Knows SQL and versions. Knows nothing of what is kept in them.
"""

import sqlite3
from collections.abc import Sequence

from samekind.errors import GalleryError

APPLICATION = 0x536D6B64
"""What a file says that it is: "Smkd", in SQLite's header."""

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        """CREATE TABLE collection (
            key INTEGER PRIMARY KEY AUTOINCREMENT,
            name TEXT NOT NULL UNIQUE,
            fingerprint TEXT NOT NULL,
            head TEXT NOT NULL,
            dim INTEGER NOT NULL CHECK (dim > 0),
            revision INTEGER NOT NULL DEFAULT 0
        ) STRICT""",
        """CREATE TABLE identity (
            key INTEGER PRIMARY KEY AUTOINCREMENT,
            collection INTEGER NOT NULL REFERENCES collection (key) ON DELETE CASCADE,
            id TEXT NOT NULL UNIQUE,
            name TEXT NOT NULL,
            folded TEXT NOT NULL,
            metadata TEXT NOT NULL,
            created TEXT NOT NULL,
            samples INTEGER NOT NULL DEFAULT 0,
            revision INTEGER NOT NULL,
            UNIQUE (collection, name)
        ) STRICT""",
        "CREATE INDEX identity_changed ON identity (collection, revision, key)",
        "CREATE INDEX identity_samples ON identity (collection, samples)",
        """CREATE TABLE enrolment (
            key INTEGER PRIMARY KEY AUTOINCREMENT,
            id TEXT NOT NULL UNIQUE,
            identity INTEGER NOT NULL REFERENCES identity (key) ON DELETE CASCADE,
            created TEXT NOT NULL,
            earlier TEXT
        ) STRICT""",
        "CREATE INDEX enrolment_identity ON enrolment (identity)",
        """CREATE TABLE sample (
            key INTEGER PRIMARY KEY AUTOINCREMENT,
            id TEXT NOT NULL UNIQUE,
            identity INTEGER NOT NULL REFERENCES identity (key) ON DELETE CASCADE,
            enrolment INTEGER NOT NULL REFERENCES enrolment (key) ON DELETE CASCADE,
            digest TEXT NOT NULL,
            created TEXT NOT NULL,
            embedding BLOB NOT NULL,
            UNIQUE (identity, digest)
        ) STRICT""",
        "CREATE INDEX sample_enrolment ON sample (enrolment)",
        "CREATE INDEX sample_digest ON sample (digest)",
        """CREATE TABLE crop (
            sample INTEGER PRIMARY KEY REFERENCES sample (key) ON DELETE CASCADE,
            png BLOB NOT NULL
        ) STRICT""",
        """CREATE TABLE removed (
            collection INTEGER NOT NULL REFERENCES collection (key) ON DELETE CASCADE,
            revision INTEGER NOT NULL,
            identity INTEGER NOT NULL,
            PRIMARY KEY (collection, revision, identity)
        ) STRICT, WITHOUT ROWID""",
    ),
    ("ALTER TABLE collection ADD COLUMN unwiped INTEGER NOT NULL DEFAULT 0",),
)
"""The statements that lead from each version of the schema to the next, beginning with an empty file."""


def migrate(connection: sqlite3.Connection, where: str, migrations: Sequence[Sequence[str]] = MIGRATIONS) -> None:
    """Bring the tables of a file up to date, in one transaction.

    Args:
        connection: in autocommit mode.
        where: the file, for the text of an error.
        migrations: as MIGRATIONS.
    Raises:
        GalleryError: the file is of a newer samekind.
    """
    if _version(connection, where, len(migrations)) == len(migrations):
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        for statements in migrations[_version(connection, where, len(migrations)) :]:
            for statement in statements:
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {len(migrations)}")
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise


def _version(connection: sqlite3.Connection, where: str, newest: int) -> int:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > newest:
        raise GalleryError(
            f"{where}: a gallery of version {version}, this samekind knows versions up to {newest}; use a newer one"
        )
    return int(version)
