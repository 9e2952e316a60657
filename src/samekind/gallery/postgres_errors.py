"""Errors of PostgreSQL in a line that says what to do, and without the password.

Knows what psycopg raises. Knows nothing of galleries.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg_pool import PoolTimeout

from samekind.errors import GalleryError

PATIENCE = 10.0
"""Seconds to wait for the server, for a free connection or for another writer."""

_ADVICE: dict[type[psycopg.Error], str] = {
    psycopg.errors.LockNotAvailable: f"locked by another writer for more than {PATIENCE:g} s; nothing was changed; "
    "try again",
    psycopg.errors.DiskFull: "the server's disk is full; nothing was changed; make room and try again",
    psycopg.errors.InsufficientPrivilege: "this user may not do that; grant it CREATE on "
    "the database, or the schema samekind and what is in it",
    psycopg.errors.ReadOnlySqlTransaction: "this server only reads; name the one that writes",
    psycopg.errors.UniqueViolation: "somebody else has enrolled the same meanwhile; nothing was changed; try again",
}


def place_of(where: str) -> str:
    """What to call a database in an error: all but the password."""
    try:
        parts = conninfo_to_dict(where)
    except psycopg.ProgrammingError:  # its text may quote the password
        raise GalleryError("expected a URL postgresql://USER@HOST:PORT/DATABASE, got one that cannot be read") from None
    user = f"{parts['user']}@" if parts.get("user") else ""
    port = f":{parts['port']}" if parts.get("port") else ""
    return f"postgresql://{user}{parts.get('host', '')}{port}/{parts.get('dbname', '')}"


def unreachable(error: psycopg.OperationalError, where: str) -> str:
    """Why no connection came about, and what to do."""
    text = " ".join(str(error).split())
    known = {
        "password authentication failed": "the server refuses user or password; put the right ones into the URL, or "
        "the password into PGPASSWORD or ~/.pgpass",
        "no password supplied": "the server wants a password; put it into PGPASSWORD, ~/.pgpass or the URL",
        "does not exist": "there is no such database or user on the server; make it, with `createdb` for one",
        "too many clients": "the server has no connection left; raise its max_connections or stop other clients",
        "remaining connection slots": "the server has no connection left; raise its max_connections or stop others",
    }
    for words, advice in known.items():
        if words in text:
            return advice
    password = conninfo_to_dict(where).get("password")
    shown = text.replace(str(password), "***") if password else text
    return f"the server cannot be reached ({shown}); check that it runs and that host and port are right"


@contextmanager
def explained(place: str) -> Iterator[None]:
    """Errors of PostgreSQL in a line that says what to do."""
    try:
        yield
    except PoolTimeout:
        raise GalleryError(
            f"{place}: no connection within {PATIENCE:g} s: the server is gone or busy; nothing was changed; try again"
        ) from None
    except psycopg.OperationalError as error:
        if advice := _ADVICE.get(type(error)):
            raise GalleryError(f"{place}: {advice}") from None
        raise GalleryError(
            f"{place}: the connection was lost ({' '.join(str(error).split())}); whether the last change was made is "
            "not known: look before trying again"
        ) from None
    except psycopg.Error as error:
        raise GalleryError(f"{place}: {_ADVICE.get(type(error), ' '.join(str(error).split()))}") from None
