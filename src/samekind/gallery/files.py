"""Files that have their name only once they are complete. Knows the file system, and nothing of what is in them."""

import glob
import os
import secrets
import time
from contextlib import suppress
from pathlib import Path

FORGOTTEN = 3_600
"""Seconds after which nobody is still making a file."""


def beginning(path: Path) -> Path:
    """A new and empty file beside `path`, readable by its owner only; old ones that nobody finished are removed.

    Raises:
        OSError: it cannot be made.
    """
    for part in path.parent.glob(f".{glob.escape(path.name)}.*.part*"):
        with suppress(OSError):
            if time.time() - part.stat().st_mtime > FORGOTTEN:
                part.unlink()
    part = path.with_name(f".{path.name}.{secrets.token_hex(8)}.part")
    part.touch(mode=0o600, exist_ok=False)
    return part


def settle(part: Path, path: Path, *, replace: bool) -> None:
    """Give a complete file its name, so that it has it after a loss of power too.

    Args:
        part: the file.
        path: its name.
        replace: what has that name already; else that stays.
    Raises:
        OSError: it cannot be done.
    """
    _sync(part)
    if replace:
        os.replace(part, path)
    else:
        _link(part, path)
    if os.name == "posix":  # elsewhere a folder cannot be opened
        _sync(path.parent)


def _link(part: Path, path: Path) -> None:
    with suppress(FileExistsError):
        try:
            os.link(part, path)
        except FileExistsError:
            raise
        except OSError:  # some file systems know no links; between question and answer somebody may be faster there
            if not path.exists():
                os.replace(part, path)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
