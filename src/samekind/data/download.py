"""Fetch one file: resumable, checked, atomic, by one process at a time.

Knows HTTP and digests. Knows nothing of images or of what the file is for.
"""

import hashlib
import http.client
import os
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from samekind.errors import MissingDataError

if sys.platform != "win32":
    import fcntl

CHUNK = 1 << 16


def download(url: str, path: Path, *, sha256: str, timeout: float = 10.0) -> None:
    """Fetch a file, with a progress bar on standard error.

    The bytes gather in `<path>.part`; a later call goes on where a killed one stopped. The file gets its own name only
    when its digest is right. One with a wrong digest is kept as `<path>.rejected`, to be looked at. Where another
    process fetches the same file, this one waits for it; an empty `<path>.lock` stays behind, which blocks nobody.

    Args:
        url: where it is; http or https. Not asked where the file is there and has the right digest.
        path: what to write; its folder is made.
        sha256: the digest that the whole file must have, hexadecimal.
        timeout: seconds of silence after which the server is given up; > 0.
    Raises:
        MissingDataError: no answer, a broken connection, a wrong digest, or the file cannot be written.
    """
    part = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _alone(path):
            if path.exists() and _sha256(path) == sha256:
                return
            _fetch(url, part, timeout=timeout)
            digest = _sha256(part)
            if digest == sha256:
                os.replace(part, path)
                return
            rejected = path.with_name(path.name + ".rejected")
            os.replace(part, rejected)
    except (http.client.HTTPException, urllib.error.URLError, TimeoutError, ConnectionError) as error:
        reason = getattr(error, "reason", None) or str(error) or type(error).__name__
        raise MissingDataError(f"{url}: cannot be downloaded ({reason}); try again to go on where it stopped") from None
    except OSError as error:
        raise MissingDataError(f"{error.filename or part}: cannot be written ({error.strerror})") from None
    raise MissingDataError(f"{url}: expected SHA-256 {sha256}, got {digest}; kept as {rejected}, try again")


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Hold the file's lock, which the system takes back from a process that ends, however it ends.

    Windows has no such lock: there two processes at once may spoil each other's download, and the digest tells.
    """
    with path.with_name(path.name + ".lock").open("ab") as file:
        if sys.platform != "win32":
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                print(f"{path.name}: another process fetches it; waiting for that", file=sys.stderr)
                fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _fetch(url: str, part: Path, *, timeout: float) -> None:
    """Bring part up to its full length."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        response = urllib.request.urlopen(request, timeout=timeout)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
            return  # nothing is left to fetch; the digest tells whether that is right
        raise
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with response, Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True)) as progress:
        if response.status != http.client.PARTIAL_CONTENT:
            have = 0  # the server sends the whole file again
        length = response.headers.get("Content-Length")
        total = None if length is None else have + int(length)
        bar = progress.add_task(part.stem, total=total, completed=have)
        with part.open("ab" if have else "wb") as file:
            while chunk := response.read(CHUNK):
                file.write(chunk)
                have += len(chunk)
                progress.update(bar, completed=have)
            file.flush()
            os.fsync(file.fileno())
    if total is not None and have < total:
        raise ConnectionError(f"the connection broke after {have} of {total} bytes")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
