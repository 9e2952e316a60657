"""A gallery's file: made whole, opened only where it fits, and one clear line for whatever befalls it."""

import hashlib
import io
import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from samekind.errors import GalleryError, MissingDataError, SamekindError
from samekind.gallery import schema, sqlite
from samekind.gallery.examination import problems
from samekind.gallery.rows import Rows
from samekind.gallery.schema import APPLICATION, MIGRATIONS, migrate
from samekind.gallery.sqlite import SqliteStore, open_sqlite
from samekind.gallery.store import Counts, Model, Position, StoredSample
from samekind.gallery.transactions import enroll, find, new_id, now, remove

MODEL = Model("f" * 64, "cosine", 16)
FULL_DISK = """
import resource, signal, sys
import numpy as np
from samekind.gallery.sqlite import open_sqlite
from samekind.gallery.store import Model, StoredSample
from samekind.gallery.transactions import enroll, new_id, now
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # a write beyond the limit then fails as on a full disk
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000,) * 2)
model = Model("f" * 64, "cosine", 16)
store = open_sqlite(sys.argv[1], "default", founding=model)
for number in range(1_000):
    sample = StoredSample(new_id(), new_id() * 2, now(), np.ones(16, np.float32), b"x" * 4_000)
    try:
        with store.writing() as rows:
            enroll(rows, f"n{number}", [sample], model=model)
    except Exception as error:
        print(number, type(error).__name__, error)
        break
store.close()
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "gallery.db"


def made(place: Path, *numbers: int) -> SqliteStore:
    """A store that holds an identity of two samples for each number."""
    store = open_sqlite(place, "default", founding=MODEL)
    if numbers:
        with store.writing() as rows:
            for number in numbers:
                samples = [sample(2 * number), sample(2 * number + 1)]
                enroll(rows, name_of(number), samples, model=MODEL, metadata={"some": f"notes of {number}"})
    return store


def name_of(number: int) -> str:
    return f"identity {number}"


def sample(number: int, *, crop: bytes | None = None) -> StoredSample:
    stream = io.BytesIO()
    Image.new("L", (4, 4), number % 256).save(stream, "PNG")
    embedding = np.random.default_rng(number).normal(size=16).astype(np.float32)
    digest = hashlib.sha256(b"%d" % number).hexdigest()
    return StoredSample(new_id(), digest, now(), embedding, crop or stream.getvalue())


def test_a_file_says_what_it_is(place: Path) -> None:
    made(place, 1).close()
    assert [path.name for path in place.parent.iterdir()] == [place.name]  # the last to close it leaves no log
    assert place.stat().st_mode & 0o777 == 0o600
    with closing(sqlite3.connect(place)) as connection:
        assert connection.execute("PRAGMA application_id").fetchone() == (APPLICATION,)
        assert connection.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS),)
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_every_connection_keeps_the_promises(place: Path) -> None:
    made(place).close()
    with closing(sqlite.connect(place)) as connection:
        for pragma, value in (("synchronous", 2), ("foreign_keys", 1), ("secure_delete", 1), ("trusted_schema", 0)):
            assert connection.execute(f"PRAGMA {pragma}").fetchone() == (value,), pragma


def test_what_is_no_gallery_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    (tmp_path / "text").write_text("this is a letter, and not a short one")
    with closing(sqlite3.connect(tmp_path / "other")) as connection:
        connection.execute("CREATE TABLE a (b)")
    for name, words in (("empty", "empty"), ("text", "not a gallery"), ("other", "of another program")):
        before = (tmp_path / name).read_bytes()
        for founding in (None, MODEL):
            with pytest.raises(GalleryError, match=words):
                open_sqlite(tmp_path / name, "default", founding=founding)
        assert (tmp_path / name).read_bytes() == before
    with pytest.raises(MissingDataError, match="no such gallery"):
        open_sqlite(tmp_path / "none", "default", founding=None)
    with pytest.raises(GalleryError, match="cannot be made"):
        open_sqlite("/proc/none/gallery.db", "default", founding=MODEL)


def test_names_of_files_may_hold_anything(tmp_path: Path) -> None:
    place = tmp_path / "a folder?" / "50 %#1;ü.db"
    made(place, 1).close()
    assert place.is_file()
    with closing(open_sqlite(place, "default", founding=None)) as store:
        assert store.check() == ()


def test_a_newer_gallery_is_refused(place: Path) -> None:
    made(place).close()
    with closing(sqlite3.connect(place)) as connection:
        connection.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    with pytest.raises(GalleryError, match=f"of version {len(MIGRATIONS) + 1}.*use a newer one"):
        open_sqlite(place, "default", founding=None)


def test_an_older_gallery_is_brought_up_to_date(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made(place, 1, 2).close()
    newer = (*MIGRATIONS, ("ALTER TABLE identity ADD COLUMN note TEXT NOT NULL DEFAULT 'none'", "CREATE TABLE t (a)"))
    broken = (*MIGRATIONS, ("CREATE TABLE t (a)", "CREATE TABLE t (a)"))
    with closing(sqlite.connect(place)) as connection:
        with pytest.raises(sqlite3.OperationalError, match="already exists"):
            migrate(connection, str(place), broken)
        assert connection.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS),)
        with pytest.raises(sqlite3.OperationalError, match="no such table"):
            connection.execute("SELECT * FROM t")
        migrate(connection, str(place), newer)
        migrate(connection, str(place), newer)
        assert connection.execute("PRAGMA user_version").fetchone() == (len(newer),)
        assert connection.execute("SELECT DISTINCT note FROM identity").fetchall() == [("none",)]
    monkeypatch.setattr(schema, "MIGRATIONS", newer)
    monkeypatch.setattr(migrate, "__defaults__", (newer,))
    with closing(open_sqlite(place, "default", founding=None)) as store, store.reading() as rows:
        assert rows.counts() == Counts(2, 4)


def test_many_that_make_it_at_once_make_one(place: Path) -> None:
    stores: list[SqliteStore] = []
    errors: list[BaseException] = []

    def make(number: int) -> None:
        try:
            stores.append(made(place, number))
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=make, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    with stores[0].reading() as rows:
        assert rows.counts() == Counts(8, 16)
    for store in stores:
        store.close()
    assert [path.name for path in place.parent.iterdir()] == [place.name]


def test_a_locked_file_is_waited_for_and_then_named(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "PATIENCE", 0.2)
    with closing(made(place, 1)) as store, closing(sqlite.connect(place)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(GalleryError, match="locked by another process"), store.writing():
            pass
        with store.reading() as rows:  # who only reads waits for nobody
            assert rows.counts() == Counts(1, 2)
        other.execute("ROLLBACK")
        with store.writing() as rows:
            assert rows.counts() == Counts(1, 2)


def write(store: SqliteStore, place: Path) -> None:
    with store.writing() as rows:
        enroll(rows, name_of(3), [sample(6)], model=MODEL)


def open_anew(store: SqliteStore, place: Path) -> None:
    open_sqlite(place, "default", founding=None)


def close(store: SqliteStore, place: Path) -> None:
    store.close()


@pytest.mark.parametrize("later", [write, open_anew, close])
def test_a_removal_beside_a_reader_stands_and_its_traces_go_later(
    later: Callable[[SqliteStore, Path], None],
    place: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(sqlite, "PATIENCE", 0.2)
    with closing(made(place, 1, 2)) as store, closing(sqlite.connect(place)) as reader:
        reader.execute("BEGIN")
        assert reader.execute("SELECT count(*) FROM identity").fetchone() == (2,)
        erase(store, 1)
        assert [record.levelname for record in caplog.records] == ["WARNING"]
        assert f"{place}: removed, but traces are left in its files (somebody reads them)" in caplog.text
        with store.reading() as rows:
            assert rows.counts() == Counts(1, 2)
        write(store, place)
        open_sqlite(place, "default", founding=None).close()
        assert "traces of what was removed are left" in " ".join(problems(store))
        assert traces(place, [name_of(1)])
        reader.execute("ROLLBACK")
        later(store, place)
        assert not traces(place, [name_of(1)])
        assert traces(place, [name_of(2)])
        with closing(open_sqlite(place, "default", founding=None)) as again:
            assert problems(again) == ()
    assert len(caplog.records) == 1


def test_what_a_killed_process_left_to_wipe_goes_at_the_next_opening(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(sqlite, "_wipe", lambda connection: "killed")
        patched.setattr(sqlite, "_wipe_again", lambda connection: None)
        store = made(place, 1, 2)
        erase(store, 1)
        store.close()
    with closing(sqlite.connect(place)) as connection:
        assert connection.execute("SELECT unwiped FROM collection").fetchone() == (2,)
    open_sqlite(place, "default", founding=None).close()
    with closing(sqlite.connect(place)) as connection:
        assert connection.execute("SELECT unwiped FROM collection").fetchone() == (0,)
    assert not traces(place, [name_of(1)])


def erase(store: SqliteStore, *numbers: int) -> None:
    with store.writing() as rows:
        remove(rows, [find(rows, name_of(number)).id for number in numbers])


def traces(place: Path, texts: list[str]) -> list[str]:
    content = b"".join(path.read_bytes() for path in place.parent.iterdir())
    return [text for text in texts if text.encode() in content]


def test_copies_that_the_trees_made_go_too(place: Path) -> None:
    """Where pages are split and joined, cells that moved stay behind in the old page, and SQLite does not zero them."""
    rng = np.random.default_rng(3)
    there: list[tuple[str, ...]] = []
    gone: list[tuple[str, ...]] = []
    with closing(open_sqlite(place, "default", founding=MODEL)) as store:
        for start in range(0, 1_500, 100):
            with store.writing() as rows:
                for number in range(start, start + 100):
                    one = sample(number, crop=rng.bytes(int(rng.integers(200, 3_000))))
                    name = f"{number:05} {rng.bytes(int(rng.integers(2, 90))).hex()}"
                    done = enroll(rows, name, [one], model=MODEL)
                    there.append((done.identity.id, name, one.id, one.digest))
            there = [there[at] for at in rng.permutation(len(there))]
            with store.writing() as rows:
                remove(rows, [id for id, *_ in there[:60]])
            gone, there = gone + there[:60], there[60:]
        assert traces(place, [text for texts in gone for text in texts]) == []
        assert len(traces(place, [text for texts in there for text in texts])) == 4 * 600
        with store.reading() as rows:
            assert rows.counts().identities == 600


def test_a_full_disk_is_named_and_what_was_acknowledged_stays(place: Path) -> None:
    done = subprocess.run([sys.executable, "-c", FULL_DISK, str(place)], capture_output=True, text=True, check=True)
    number, kind, said = done.stdout.split(" ", 2)
    assert kind == "GalleryError"
    assert said.count("\n") == 1
    assert str(place) in said
    assert "nothing was changed" in said
    assert 5 < int(number) < 60
    with closing(open_sqlite(place, "default", founding=None)) as store, store.reading() as rows:
        assert rows.counts() == Counts(int(number), int(number))
        assert store.check() == ()


def test_a_damaged_file_is_named(place: Path) -> None:
    made(place, *range(50)).close()
    with place.open("r+b") as file:
        file.seek(3 * 4096)
        file.write(os.urandom(5 * 4096))
    with closing(open_sqlite(place, "default", founding=None)) as store:
        found = problems(store)
        assert found
        assert all("\n" not in problem for problem in found)


@pytest.mark.parametrize("seed", range(60))
def test_whatever_is_damaged_only_our_errors_come(seed: int, place: Path) -> None:
    made(place, *range(20)).close()
    rng = np.random.default_rng(seed)
    data = bytearray(place.read_bytes())
    for _ in range(int(rng.integers(1, 30))):
        at, length = int(rng.integers(0, len(data))), int(rng.integers(1, 60))
        data[at : at + length] = rng.bytes(min(length, len(data) - at))
    if seed % 4 == 0:
        data = data[: int(rng.integers(100, len(data)))]
    place.write_bytes(data)
    with suppress(SamekindError), closing(open_sqlite(place, "default", founding=None)) as store:
        problems(store)
        with store.reading() as rows:
            rows.changes(Position())
            for identity in rows.identities():
                rows.contents(identity.id)
                rows.samples(identity.id)
        with store.writing() as rows:
            enroll(rows, "new", [sample(1_000)], model=MODEL)
        erase(store, 3)


def test_a_closed_store_lets_go_of_the_file(place: Path) -> None:
    store = made(place, 1)
    with store.reading(), store.reading():
        pass
    store.close()
    store.close()
    with pytest.raises(GalleryError, match="closed"), store.writing():
        pass


def test_a_sqlite_that_is_too_old_is_named(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 36, 9))
    with pytest.raises(GalleryError, match=r"expected SQLite 3\.37\.0 or newer"):
        open_sqlite(place, "default", founding=MODEL)
    assert not list(place.parent.iterdir())


def test_a_few_of_many_are_found_without_going_through_all(place: Path) -> None:
    with closing(open_sqlite(place, "default", founding=MODEL)) as store, store.writing() as rows:
        done = [enroll(rows, f"n{n}", [sample(n, crop=b"x")], model=MODEL) for n in range(2_000)]
    steps = 0

    def count() -> None:
        nonlocal steps
        steps += 1

    with closing(sqlite.connect(place)) as connection:
        rows = Rows(sqlite._Engine(connection), 1, 0)
        ids = [one.identity.id for one in done[:300:10]]
        keys = rows.keys(ids)
        event, kept = done[7].id, done[7].samples[0]
        assert event is not None
        connection.set_progress_handler(count, 10)
        for ask in (
            lambda: rows.keys(ids),
            lambda: rows.by_keys(keys),
            lambda: rows.embedded(keys),
            lambda: rows.holding(kept.digest),
            lambda: rows.find("n7"),
            lambda: rows.identity(kept.identity),
            lambda: rows.samples(kept.identity),
            lambda: rows.contents(kept.identity),
            lambda: rows.sample(kept.id),
            lambda: rows.crop(kept.id),
            lambda: rows.event(event),
            lambda: rows.used([kept.id]),
            lambda: rows.identities(after="n5", limit=5),
            lambda: rows.changes(Position(1, 1_990)),
        ):
            steps = 0
            assert ask()
            assert steps < 300  # going through all of them takes some thousands


def test_traces_go_though_others_read_all_the_time(place: Path) -> None:
    stop, errors = threading.Event(), []
    with closing(made(place, *range(30))) as store, closing(made(place)) as other:

        def read(source: SqliteStore) -> None:
            try:
                while not stop.is_set():
                    with source.reading() as rows:
                        rows.changes(Position())
            except BaseException as error:
                errors.append(error)

        threads = [threading.Thread(target=read, args=(source,)) for source in (store, store, other)]
        for thread in threads:
            thread.start()
        try:
            for number in range(0, 30, 5):
                erase(store, number)
                assert traces(place, [name_of(number) + '"', f'notes of {number}"']) == []
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        assert errors == []
