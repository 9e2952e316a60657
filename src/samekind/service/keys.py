"""Keys of those who may use a service: made, listed, revoked and recognised. Only a hash of each is stored.

Knows a file and what is in it. Knows nothing of HTTP.

A key is 256 random bits: nobody can guess it, and one round of SHA-256 hides it as well as a slower hash would.
"""

import hashlib
import hmac
import json
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from samekind.errors import InputError, MissingDataError
from samekind.gallery.files import beginning, settle
from samekind.records import from_json

FORMAT = 1
SCOPES = ("verify", "read", "enroll", "admin")
"""What a key may be for; "admin" is all of them and more."""
_PREFIX = "samekind"


@dataclass(frozen=True)
class Key:
    """A key as it is stored.

    Args:
        id: 12 hexadecimal digits, the part of the key that is no secret.
        name: of whoever it is for.
        scopes: of SCOPES; at least one.
        digest: SHA-256 of the whole key, in hexadecimal.
        created: ISO 8601 in UTC, to the second.
    """

    id: str
    name: str
    scopes: tuple[str, ...]
    digest: str
    created: str

    def __post_init__(self) -> None:
        if unknown := sorted(set(self.scopes) - set(SCOPES)):
            raise InputError(f"unknown scope {', '.join(map(repr, unknown))}; known: {', '.join(SCOPES)}")
        if not self.scopes:
            raise InputError(f"expected at least one scope of {', '.join(SCOPES)}, got none")
        if not (self.name.strip() and self.name.isprintable() and len(self.name) <= 100):
            raise InputError(f"expected the name of a key in 1 to 100 printable characters, got {self.name!r}")

    def allows(self, scope: str) -> bool:
        """Whether the key is for that."""
        return scope in self.scopes or "admin" in self.scopes


@dataclass(frozen=True)
class Created:
    """A new key and its only appearance in clear."""

    key: Key
    text: str


@dataclass(frozen=True)
class _Content:
    """Of the file."""

    format: int
    keys: tuple[Key, ...]


def create_key(path: Path, name: str, *, scopes: tuple[str, ...]) -> Created:
    """Add a key to a file, which is made where there is none.

    Args:
        path: the file.
        name: of whoever the key is for; not that of another key.
        scopes: what it is for.
    Raises:
        InputError: an argument or the file is not as expected, or it cannot be written.
    """
    ident = secrets.token_hex(6)
    text = f"{_PREFIX}_{ident}_{secrets.token_urlsafe(32)}"
    scopes = tuple(scope for scope in SCOPES if scope in scopes) + tuple(sorted(set(scopes) - set(SCOPES)))
    key = Key(ident, name, scopes, _digest(text), datetime.now(UTC).isoformat(timespec="seconds"))
    with _locked(path):
        keys = _read(path) if path.exists() else ()
        if any(one.name == name for one in keys):
            raise InputError(f"{path}: there is a key named {name!r} already; revoke it first or choose another name")
        _write(path, (*keys, key))
    return Created(key, text)


def list_keys(path: Path) -> tuple[Key, ...]:
    """All keys of a file.

    Raises:
        MissingDataError: there is no such file.
        InputError: it is damaged.
    """
    return _read(path)


def revoke_key(path: Path, which: str) -> Key:
    """Remove a key; a running service refuses it from its next request on.

    Args:
        path: the file.
        which: id or name of the key.
    Raises:
        MissingDataError: there is no such file.
        InputError: there is no such key, or the file is damaged or cannot be written.
    """
    with _locked(path):
        keys = _read(path)
        found = next((key for key in keys if which in (key.id, key.name)), None)
        if found is None:
            known = ", ".join(f"{key.name} ({key.id})" for key in keys) or "none"
            raise InputError(f"{path}: expected the name or the id of a key ({known}), got {which!r}")
        _write(path, tuple(key for key in keys if key is not found))
    return found


class KeyRing:
    """The keys of a file, read again whenever it has changed.

    Args:
        path: the file.
    Raises:
        MissingDataError: there is no such file.
        InputError: it is damaged.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: tuple[int, ...] = ()
        self._keys: dict[str, Key] = {}
        self.refresh()

    def __len__(self) -> int:
        return len(self._keys)

    def refresh(self) -> None:
        """Read the file if it has changed. Raises as the constructor does; then no key is known any more."""
        try:
            found = self._path.stat()
            seen = (found.st_mtime_ns, found.st_size, found.st_ino)
            if seen != self._seen:
                self._keys = {key.id: key for key in _read(self._path)}
                self._seen = seen
        except FileNotFoundError:  # MissingDataError is one
            self._forget()
            raise MissingDataError(f"{self._path}: no such file; `samekind keys create` makes it") from None
        except (InputError, OSError):
            self._forget()
            raise

    def find(self, text: str) -> Key | None:
        """The key that a text is, if it is one. The time it takes tells nothing of the secret part."""
        ident = text.split("_")[1] if text.count("_") >= 2 else ""
        key = self._keys.get(ident)
        fits = hmac.compare_digest(_digest(text), key.digest if key else "0" * 64)
        return key if fits else None

    def _forget(self) -> None:
        self._keys, self._seen = {}, ()


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _read(path: Path) -> tuple[Key, ...]:
    try:
        content = from_json(_Content, json.loads(path.read_text(encoding="utf-8")), str(path))
    except FileNotFoundError:
        raise MissingDataError(f"{path}: no such file; `samekind keys create` makes it") from None
    except InputError:
        raise
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: not a file of keys ({error})") from None
    if content.format != FORMAT:
        raise InputError(f"{path}: expected format {FORMAT}, got {content.format}; use a fitting samekind")
    if len({key.id for key in content.keys}) != len(content.keys):
        raise InputError(f"{path}: two keys have the same id; the file is damaged")
    return content.keys


def _write(path: Path, keys: tuple[Key, ...]) -> None:
    """The whole file at once and on disk, for whoever could read the one before; a new one for its owner only."""
    text = json.dumps(asdict(_Content(FORMAT, keys)), indent=2, ensure_ascii=False) + "\n"
    try:
        staged = beginning(path)
        try:
            with staged.open("w", encoding="utf-8") as file:
                file.write(text)
                if path.exists():
                    _hand_over(file.fileno(), path)
            settle(staged, path, replace=True)
        finally:
            staged.unlink(missing_ok=True)
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror})") from None


def _hand_over(descriptor: int, path: Path) -> None:
    """Give an open file the owner, group and mode of a file. Raises InputError where this user may not."""
    if os.name != "posix":
        return
    mine, old = os.fstat(descriptor), path.stat()
    mode = stat.S_IMODE(old.st_mode)
    if (mine.st_uid, mine.st_gid) != (old.st_uid, old.st_gid):
        try:
            os.fchown(descriptor, old.st_uid, old.st_gid)
        except PermissionError:
            if mine.st_uid != old.st_uid or mode & stat.S_IRWXG:  # else the group does not matter
                raise InputError(
                    f"{path}: belongs to user {old.st_uid} and group {old.st_gid}, to whom this user cannot leave it; "
                    "nothing was changed; run this as that user or as root"
                ) from None
    os.fchmod(descriptor, mode)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """One change at a time, of all processes; on systems without flock, of those that do not meet."""
    try:
        import fcntl
    except ImportError:
        yield
        return
    try:
        descriptor = os.open(path.parent, os.O_RDONLY)
    except OSError as error:
        raise InputError(f"{path}: its folder cannot be opened ({error.strerror})") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
