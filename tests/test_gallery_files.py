"""Files have their name only once they are complete."""

import errno
import os
import stat
from pathlib import Path

import pytest

from samekind.gallery.files import beginning, settle


def test_a_beginning_is_its_owners_and_hidden(tmp_path: Path) -> None:
    part = beginning(tmp_path / "a.db")
    assert part.parent == tmp_path
    assert part.name.startswith(".a.db.")
    assert stat.S_IMODE(part.stat().st_mode) == 0o600
    assert beginning(tmp_path / "a.db") != part


def test_a_name_is_given_once_or_anew(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    for text, replace, expected in (("1", False, "1"), ("2", False, "1"), ("3", True, "3")):
        part = beginning(path)
        part.write_text(text)
        settle(part, path, replace=replace)
        part.unlink(missing_ok=True)
        assert path.read_text() == expected
    assert list(tmp_path.iterdir()) == [path]


def test_where_there_are_no_links_it_is_renamed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOTSUP, "no links here")

    monkeypatch.setattr(os, "link", refuse)
    path = tmp_path / "a.db"
    for text in ("1", "2"):
        part = beginning(path)
        part.write_text(text)
        settle(part, path, replace=False)
        assert path.read_text() == "1"


def test_what_killed_processes_left_is_swept_away_when_it_is_old(tmp_path: Path) -> None:
    old, new, other = (tmp_path / name for name in (".[a].db.00.part", ".[a].db.01.part-wal", ".b.db.00.part"))
    for path in (old, new, other):
        path.touch()
    for path in (old, other):
        os.utime(path, (0, 0))
    beginning(tmp_path / "[a].db")
    assert not old.exists()
    assert new.exists()
    assert other.exists()
