"""The tables of a gallery in PostgreSQL, how those of an older samekind become today's, and its index for embeddings.

Knows SQL and versions. Knows nothing of what is kept in them.

All tables lie in a schema of their own. Beside those that `rows` names, each collection has one with the combined
embedding of each identity, with an index (HNSW) where pgvector has one for how the model compares.
"""

from collections.abc import Sequence
from contextlib import suppress

import psycopg
from psycopg import sql

from samekind.errors import GalleryError
from samekind.gallery.store import Model

SCHEMA = "samekind"
OPERATORS: dict[str, tuple[str, str]] = {"euclidean": ("vector_l2_ops", "<->"), "cosine": ("vector_cosine_ops", "<=>")}
"""By head: class of the index and operator of the distance. A learned head has none: it is searched in memory."""

MOST_DIMENSIONS = 2_000
"""Of a vector that pgvector indexes."""

_LOCK = 0x736D6B64  # of migrations: "smkd"

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        """CREATE TABLE collection (
            key bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            name text NOT NULL UNIQUE,
            fingerprint text NOT NULL,
            head text NOT NULL,
            dim integer NOT NULL CHECK (dim > 0),
            revision bigint NOT NULL DEFAULT 0
        )""",
        """CREATE TABLE identity (
            key bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            collection bigint NOT NULL REFERENCES collection (key) ON DELETE CASCADE,
            id text NOT NULL UNIQUE,
            name text COLLATE "C" NOT NULL,
            folded text NOT NULL,
            metadata text NOT NULL,
            created text NOT NULL,
            samples integer NOT NULL DEFAULT 0,
            revision bigint NOT NULL,
            UNIQUE (collection, name)
        )""",
        "CREATE INDEX identity_changed ON identity (collection, revision, key)",
        "CREATE INDEX identity_samples ON identity (collection, samples)",
        """CREATE TABLE enrolment (
            key bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            id text NOT NULL UNIQUE,
            identity bigint NOT NULL REFERENCES identity (key) ON DELETE CASCADE,
            created text NOT NULL,
            earlier text
        )""",
        "CREATE INDEX enrolment_identity ON enrolment (identity)",
        """CREATE TABLE sample (
            key bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            id text NOT NULL UNIQUE,
            identity bigint NOT NULL REFERENCES identity (key) ON DELETE CASCADE,
            enrolment bigint NOT NULL REFERENCES enrolment (key) ON DELETE CASCADE,
            digest text NOT NULL,
            created text NOT NULL,
            embedding bytea NOT NULL,
            UNIQUE (identity, digest)
        )""",
        "CREATE INDEX sample_enrolment ON sample (enrolment)",
        "CREATE INDEX sample_digest ON sample (digest)",
        """CREATE TABLE crop (
            sample bigint PRIMARY KEY REFERENCES sample (key) ON DELETE CASCADE,
            png bytea NOT NULL
        )""",
        """CREATE TABLE removed (
            collection bigint NOT NULL REFERENCES collection (key) ON DELETE CASCADE,
            revision bigint NOT NULL,
            identity bigint NOT NULL,
            PRIMARY KEY (collection, revision, identity)
        )""",
    ),
    ("ALTER TABLE collection ADD COLUMN unwiped bigint NOT NULL DEFAULT 0",),
)
"""The statements that lead from each version of the schema to the next, beginning with an empty one."""


def version(connection: psycopg.Connection) -> int | None:
    """Of the tables that are there; None where there are none."""
    found = connection.execute("SELECT to_regclass(%s)", [f"{SCHEMA}.version"]).fetchone()
    if found is None or found[0] is None:
        return None
    ((number,),) = connection.execute("SELECT number FROM version").fetchall()
    return int(number)


def migrate(connection: psycopg.Connection, where: str, migrations: Sequence[Sequence[str]] = MIGRATIONS) -> None:
    """Bring the tables up to date, in one transaction; who comes at the same time waits.

    Args:
        connection: in autocommit mode.
        where: the database, for the text of an error.
        migrations: as MIGRATIONS.
    Raises:
        GalleryError: the tables are of a newer samekind, or the server lacks pgvector.
    """
    if version(connection) == len(migrations):
        return
    # a lock of the session, not of the transaction: one that begins after it sees what the one before has made
    connection.execute("SELECT pg_advisory_lock(%s)", [_LOCK])
    try:
        with connection.transaction():
            _migrate(connection, where, migrations)
    finally:
        with suppress(psycopg.OperationalError):  # a lost connection holds no lock
            connection.execute("SELECT pg_advisory_unlock(%s)", [_LOCK])


def _migrate(connection: psycopg.Connection, where: str, migrations: Sequence[Sequence[str]]) -> None:
    present = version(connection)
    if present is None:
        connection.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(SCHEMA)))
        _need_vectors(connection, where)
        connection.execute("CREATE TABLE version (number integer NOT NULL)")
        connection.execute("INSERT INTO version VALUES (0)")
        present = 0
    if present > len(migrations):
        raise GalleryError(
            f"{where}: a gallery of version {present}, this samekind knows versions up to {len(migrations)}; "
            "use a newer one"
        )
    for statements in migrations[present:]:
        for statement in statements:
            connection.execute(statement.encode())
    connection.execute("UPDATE version SET number = %s", [len(migrations)])


def combined(collection: int) -> sql.Identifier:
    """The table with one embedding an identity of a collection."""
    return sql.Identifier(f"combined_{collection}")


def indexed(model: Model) -> bool:
    """Whether pgvector has an index for embeddings of this model."""
    return model.head in OPERATORS and model.dim <= MOST_DIMENSIONS


def found_combined(connection: psycopg.Connection, collection: int, model: Model) -> None:
    """The table anew and empty, without its index; none where the model has no index."""
    table = combined(collection)
    connection.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(table))
    if indexed(model):
        statement = "CREATE TABLE {} (identity bigint PRIMARY KEY, embedding vector({}) NOT NULL)"
        connection.execute(sql.SQL(statement).format(table, sql.Literal(model.dim)))


def index_combined(connection: psycopg.Connection, collection: int, model: Model) -> None:
    """The index of the table; quicker to build over all rows at once than row by row."""
    if indexed(model):
        statement = sql.SQL("CREATE INDEX ON {} USING hnsw (embedding {})")
        connection.execute(statement.format(combined(collection), sql.Identifier(OPERATORS[model.head][0])))


def _need_vectors(connection: psycopg.Connection, where: str) -> None:
    try:
        with connection.transaction():
            connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
    except (psycopg.errors.FeatureNotSupported, psycopg.errors.UndefinedFile):
        raise GalleryError(
            f"{where}: the server has no extension vector; install pgvector on it (version 0.8 or newer)"
        ) from None
    except psycopg.errors.InsufficientPrivilege:
        raise GalleryError(
            f"{where}: this user may not create the extension vector; let an administrator run CREATE EXTENSION vector"
        ) from None
