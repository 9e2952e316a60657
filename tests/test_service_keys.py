"""Keys: made once in clear, kept as hashes, revoked at once, and never half written."""

import json
import os
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from samekind.errors import InputError, MissingDataError
from samekind.service.keys import SCOPES, KeyRing, create_key, list_keys, revoke_key


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


def test_a_key_is_found_by_its_text_only(path: Path) -> None:
    anna, berta = (create_key(path, name, scopes=("verify",)) for name in ("Anna", "Berta"))
    ring = KeyRing(path)
    assert ring.find(anna.text) == anna.key
    assert ring.find(berta.text) == berta.key
    for wrong in ("", anna.text[:-1], anna.text + "x", anna.key.id, "samekind__", f"samekind_{anna.key.id}_", "_" * 99):
        assert ring.find(wrong) is None
    swapped = anna.text.replace(anna.key.id, berta.key.id)
    assert ring.find(swapped) is None


def test_only_a_hash_is_stored_and_only_its_owner_can_read_it(path: Path) -> None:
    old = os.umask(0)
    try:
        text = create_key(path, "Anna", scopes=("read",)).text
    finally:
        os.umask(old)
    assert text not in path.read_text()
    assert text.split("_", 2)[2] not in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [file.name for file in path.parent.iterdir()] == [path.name]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can act for another user")
def test_root_leaves_a_file_to_whom_it_belongs(path: Path) -> None:
    create_key(path, "Anna", scopes=("read",))
    os.chown(path, 1234, 4321)
    path.chmod(0o640)
    for change in (lambda: create_key(path, "Berta", scopes=("read",)), lambda: revoke_key(path, "Anna")):
        change()
        found = path.stat()
        assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (1234, 4321, 0o640)


@pytest.mark.parametrize(("mode", "refused"), [(0o600, False), (0o640, True)])
def test_who_cannot_leave_a_file_to_its_readers_changes_nothing(
    path: Path, monkeypatch: pytest.MonkeyPatch, mode: int, refused: bool
) -> None:
    def denied(*arguments: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    create_key(path, "Anna", scopes=("read",))
    path.chmod(mode)
    monkeypatch.setattr(os, "fchown", denied)
    real = os.fstat
    monkeypatch.setattr(os, "fstat", lambda handle: _of_another_group(real(handle)))
    if refused:
        with pytest.raises(InputError, match=r"belongs to user .*nothing was changed"):
            revoke_key(path, "Anna")
    else:
        revoke_key(path, "Anna")
    assert len(list_keys(path)) == refused
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def _of_another_group(found: os.stat_result) -> os.stat_result:
    return os.stat_result((*found[:5], found.st_gid + 1, *found[6:10]))


@pytest.mark.skipif(os.name != "posix", reason="elsewhere a folder cannot be opened")
def test_a_change_is_on_disk_with_its_name_when_it_is_said_to_be_done(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[tuple[int, bool]] = []
    real = os.fsync

    def sync(handle: int) -> None:
        synced.append((os.fstat(handle).st_ino, path.exists()))
        real(handle)

    monkeypatch.setattr(os, "fsync", sync)
    create_key(path, "Anna", scopes=("read",))
    assert synced == [(path.stat().st_ino, False), (path.parent.stat().st_ino, True)]


def test_keys_are_long_and_never_the_same(path: Path) -> None:
    texts = {create_key(path, str(number), scopes=("read",)).text for number in range(20)}
    assert len(texts) == 20
    assert min(map(len, texts)) >= 43 + 12  # 256 bits in base64, and the id


def test_a_revoked_key_is_refused_without_a_restart(path: Path) -> None:
    anna, berta = (create_key(path, name, scopes=("verify",)) for name in ("Anna", "Berta"))
    ring = KeyRing(path)
    assert revoke_key(path, "Anna") == anna.key
    ring.refresh()
    assert ring.find(anna.text) is None
    assert ring.find(berta.text) == berta.key
    revoke_key(path, berta.key.id)
    ring.refresh()
    assert len(ring) == 0
    assert list_keys(path) == ()


def test_a_new_key_is_taken_without_a_restart(path: Path) -> None:
    create_key(path, "Anna", scopes=("verify",))
    ring = KeyRing(path)
    berta = create_key(path, "Berta", scopes=("verify",))
    ring.refresh()
    assert ring.find(berta.text) == berta.key


@pytest.mark.parametrize("content", [None, "", "[]", "{", '{"format": 1}', '{"format": 2, "keys": []}'])
def test_without_a_whole_file_nobody_is_let_in(path: Path, content: str | None) -> None:
    anna = create_key(path, "Anna", scopes=("verify",))
    ring = KeyRing(path)
    path.unlink()
    if content is not None:
        path.write_text(content)
    with pytest.raises((InputError, MissingDataError), match=str(path)):
        ring.refresh()
    assert ring.find(anna.text) is None
    with pytest.raises((InputError, MissingDataError), match=str(path)):
        KeyRing(path)


@pytest.mark.parametrize(
    "change", [{"more": 1}, {"scopes": ["root"]}, {"scopes": []}, {"scopes": "admin"}, {"name": 7}, {"name": ""}]
)
def test_the_file_is_read_strictly(path: Path, change: dict[str, object]) -> None:
    create_key(path, "Anna", scopes=("verify",))
    content = json.loads(path.read_text())
    content["keys"][0].update(change)
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match=str(path)):
        list_keys(path)


def test_two_keys_of_one_id_are_refused(path: Path) -> None:
    create_key(path, "Anna", scopes=("verify",))
    content = json.loads(path.read_text())
    content["keys"] *= 2
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match="same id"):
        list_keys(path)


def test_scopes_are_those_asked_for_and_admin_is_all(path: Path) -> None:
    key = create_key(path, "Anna", scopes=("read", "verify", "read")).key
    assert key.scopes == ("verify", "read")
    assert [scope for scope in SCOPES if key.allows(scope)] == ["verify", "read"]
    root = create_key(path, "root", scopes=("admin",)).key
    assert all(root.allows(scope) for scope in SCOPES)


@pytest.mark.parametrize(
    ("name", "scopes", "said"),
    [
        ("Anna", ("write",), "unknown scope 'write'; known: verify, read"),
        ("Anna", (), "at least one scope"),
        (" ", ("read",), "name"),
        ("two\nlines", ("read",), "name"),
        ("x" * 101, ("read",), "name"),
    ],
)
def test_what_is_no_key_is_not_made(path: Path, name: str, scopes: tuple[str, ...], said: str) -> None:
    with pytest.raises(InputError, match=said):
        create_key(path, name, scopes=scopes)
    assert not path.exists()


def test_names_are_unique(path: Path) -> None:
    create_key(path, "Anna", scopes=("read",))
    with pytest.raises(InputError, match="'Anna' already"):
        create_key(path, "Anna", scopes=("read",))


def test_unknown_keys_cannot_be_revoked(path: Path) -> None:
    with pytest.raises(MissingDataError, match="no such file"):
        revoke_key(path, "Anna")
    create_key(path, "Anna", scopes=("read",))
    with pytest.raises(InputError, match=r"Anna .*got 'Berta'"):
        revoke_key(path, "Berta")


def test_a_folder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="folder"):
        create_key(tmp_path / "no" / "keys.json", "Anna", scopes=("read",))


def test_none_of_many_at_the_same_time_is_lost(path: Path) -> None:
    program = "import sys, pathlib; from samekind.service.keys import create_key\n"
    program += "for n in range(10): create_key(pathlib.Path(sys.argv[1]), f'{sys.argv[2]}-{n}', scopes=('read',))"

    def process(number: int) -> int:
        return subprocess.run([sys.executable, "-c", program, str(path), str(number)], check=False).returncode

    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(process, range(3))) == [0, 0, 0]
    assert len({key.name for key in list_keys(path)}) == 30
