"""PostgreSQL beyond what every store promises: its index, its errors in one line, several machines at once."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Barrier, Thread
from typing import Any

import numpy as np
import psycopg
import pytest
from numpy.typing import NDArray
from psycopg.conninfo import conninfo_to_dict

from samekind.calibration import Calibration
from samekind.errors import GalleryError, MissingDataError
from samekind.gallery import postgres as engine
from samekind.gallery import search as search_module
from samekind.gallery.identification import evidence
from samekind.gallery.postgres import PostgresStore, open_postgres
from samekind.gallery.postgres_schema import MIGRATIONS, migrate
from samekind.gallery.records import Identity
from samekind.gallery.rows import Rows
from samekind.gallery.search import Search
from samekind.gallery.store import Model, Position, StoredSample
from samekind.similarity import SIMILARITIES, combine

WHEN = "2026-01-02T03:04:05+00:00"
SIZE = 8
COSINE = Model("f" * 64, "cosine", SIZE)
CALIBRATION = Calibration(
    slope=4.0, intercept=-2.0, covariance=None, quantile=2.0, prior=0.5, pairs=10, classes=10, data=""
)


@pytest.fixture
def where(postgres: Callable[[], str]) -> str:
    return postgres()


@contextmanager
def opened(where: str, model: Model | None = COSINE, *, collection: str = "default") -> Iterator[PostgresStore]:
    store = open_postgres(where, collection, founding=model)
    try:
        yield store
    finally:
        store.close()


def administer(where: str, *statements: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(where, autocommit=True) as connection:
        connection.execute("SET search_path = samekind, public")
        for statement in statements:
            cursor = connection.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


def drawn(count: int, *, seed: int = 0, dim: int = SIZE) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(size=(count, dim)).astype(np.float32)


def enroll(rows: Rows, number: int, embeddings: NDArray[np.float32]) -> str:
    """An identity with one sample for each embedding; its id is its number."""
    id = f"{number:032x}"
    if rows.identity(id) is None:
        rows.add_identity(Identity(id, f"n{number}", {}, 0, WHEN))
    event = f"{number}-{rows.revision}"
    samples = [StoredSample(f"{event}-{at}", f"{event}-{at}", WHEN, e, b"png") for at, e in enumerate(embeddings)]
    rows.add_event(event, id, samples, created=WHEN, earlier=None)
    return id


def fill(store: PostgresStore, embeddings: NDArray[np.float32]) -> list[int]:
    """One identity for each; their keys."""
    with store.writing() as rows:
        ids = [enroll(rows, number, e[None]) for number, e in enumerate(embeddings)]
    with store.reading() as rows:
        return list(rows.keys(ids))


@pytest.mark.parametrize("head", ["cosine", "euclidean"])
def test_the_nearest_are_those_of_the_models_own_similarity(where: str, head: str) -> None:
    embeddings = drawn(300)
    with opened(where, Model("f" * 64, head, SIZE)) as store:
        keys = fill(store, embeddings)
        for query in drawn(5, seed=1):
            best = np.argsort(-SIMILARITIES[head](query, embeddings))[:10]
            with store.reading() as rows:
                found = store.nearest(rows, query, 10)
            assert found is not None
            assert set(found.tolist()) == {keys[at] for at in best}


def test_the_extension_may_lie_anywhere(where: str) -> None:
    administer(where, 'CREATE SCHEMA "Else where"', 'CREATE EXTENSION vector SCHEMA "Else where"')
    with opened(where) as store:
        (key,) = fill(store, drawn(1))
        assert _nearest(store, drawn(1)[0]) == key


def test_the_index_is_used(where: str) -> None:
    with opened(where) as store:
        fill(store, drawn(300))
        administer(where, "ANALYZE samekind.combined_1")
        plan = administer(
            where,
            "SET enable_seqscan = off",
            f"EXPLAIN SELECT identity FROM samekind.combined_1 ORDER BY embedding <=> '{[1] * SIZE}' LIMIT 5",
        )
    assert "Index Scan using combined_1_embedding_idx" in plan[1][0]


def test_the_index_follows_every_change(where: str) -> None:
    first, second, third = np.eye(3, SIZE, dtype=np.float32)
    with opened(where) as store:
        with store.writing() as rows:
            ann, bob = enroll(rows, 1, first[None]), enroll(rows, 2, second[None])
        with store.reading() as rows:
            of_ann, of_bob = rows.keys([ann, bob])
        assert _nearest(store, first) == of_ann
        with store.writing() as rows:
            enroll(rows, 1, np.stack([third] * 20))  # now its mean is elsewhere
        assert _nearest(store, third) == of_ann
        assert _combined(where)[of_ann] == pytest.approx(combine(np.stack([first, *[third] * 20])), abs=1e-6)
        with store.writing() as rows:
            rows.drop_samples(ann, [f"1-2-{at}" for at in range(20)])
        assert _combined(where)[of_ann] == pytest.approx(first)
        with store.writing() as rows:
            rows.drop_identity(ann)
        assert _combined(where).keys() == {of_bob}
        assert _nearest(store, first) == of_bob
        with store.writing() as rows:
            rows.set_model(Model("e" * 64, "euclidean", 3))
            rows.set_embeddings(bob, {"2-1-0": np.ones(3, np.float32)})
        assert _combined(where)[of_bob].tolist() == [1, 1, 1]
        assert _nearest(store, np.zeros(3, np.float32)) == of_bob
        assert store.check() == ()


def _nearest(store: PostgresStore, query: NDArray[np.float32]) -> int:
    with store.reading() as rows:
        found = store.nearest(rows, query, 1)
    assert found is not None
    (key,) = found.tolist()
    return int(key)


def _combined(where: str) -> dict[int, NDArray[np.float32]]:
    rows = administer(where, "SELECT identity, embedding::real[] FROM samekind.combined_1")
    return {key: np.array(value, np.float32) for key, value in rows}


def test_a_transaction_that_raises_leaves_the_index_as_it_was(where: str) -> None:
    with opened(where) as store:
        keys = fill(store, drawn(2))

        def fail() -> None:
            with store.writing() as rows:
                enroll(rows, 9, drawn(1))
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            fail()
        assert _combined(where).keys() == set(keys)


@pytest.mark.parametrize("model", [Model("f" * 64, "weighted-l1", SIZE), Model("f" * 64, "cosine", 2_001)])
def test_a_model_that_pgvector_has_no_index_for_is_searched_in_memory(where: str, model: Model) -> None:
    with opened(where, model) as store:
        with store.writing() as rows:
            ann = enroll(rows, 1, drawn(1, dim=model.dim))
        with store.reading() as rows:
            assert store.nearest(rows, drawn(1, dim=model.dim)[0], 5) is None
        with store.writing() as rows:
            rows.drop_identity(ann)
        assert store.check() == ()


def test_more_search_at_once_than_there_are_connections(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "CONNECTIONS", 2)
    monkeypatch.setattr(engine, "PATIENCE", 2.0)
    together = Barrier(2)
    found: list[int] = []
    with opened(where) as store:
        keys = fill(store, drawn(50))
        search = Search(store, COSINE, SIMILARITIES["cosine"])

        def one(number: int) -> None:
            with store.reading() as rows:
                together.wait(10)  # every connection is taken when the index is asked
                hits = search.search(rows, drawn(50)[number], 1, calibration=CALIBRATION)
            found.append(int(hits.keys[0]))

        threads = [Thread(target=one, args=(number,)) for number in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(found) == sorted(keys[:6])


def test_what_the_index_did_not_give_weighs_as_much_as_in_memory(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search_module, "BACKGROUND", 1_000)
    embeddings = drawn(3_000)
    with opened(where) as store:
        keys = fill(store, embeddings)
        search = Search(store, COSINE, SIMILARITIES["cosine"])
        with store.reading() as rows:
            search.warm(rows)
            assert search.nbytes < embeddings.nbytes / 2, "it is not held in memory"
            for query in drawn(5, seed=1):
                hits = search.search(rows, query, 5, calibration=CALIBRATION)
                exact = SIMILARITIES["cosine"](query, embeddings)
                best = np.argsort(-exact)
                assert hits.keys[:10].tolist() == [keys[at] for at in best[:10]]
                assert hits.scores[:10] == pytest.approx(exact[best[:10]], abs=1e-6)
                assert (hits.identities, hits.references) == (3_000, (1, 1))
                rest = evidence(CALIBRATION, exact[best[len(hits.keys) :]])
                assert hits.others == pytest.approx(rest, abs=0.1)
                without = search.search(rows, query, 5, calibration=CALIBRATION, without=int(hits.keys[0]))
                assert without.keys[:9].tolist() == hits.keys[1:10].tolist()
                assert without.identities == 2_999


def test_an_index_out_of_step_is_named(where: str) -> None:
    with opened(where) as store:
        first, *_ = fill(store, drawn(3))
        administer(
            where,
            f"DELETE FROM samekind.combined_1 WHERE identity = {first}",
            f"INSERT INTO samekind.combined_1 VALUES (77, '{[1] * SIZE}')",
        )
        assert store.check() == (
            "1 identities with samples are missing in the index",
            "1 identities of the index are not enrolled",
        )


def test_a_reader_who_has_seen_a_revision_has_seen_all_before(where: str) -> None:
    def write(start: int) -> None:
        with opened(where) as store:
            for number in range(start, start + 30):
                with store.writing() as rows:
                    enroll(rows, number, drawn(1))

    with opened(where) as store:
        writers = [Thread(target=write, args=(start,)) for start in (100, 200, 300)]
        for writer in writers:
            writer.start()
        seen: list[int] = []
        position = Position()
        while len(seen) < 90:
            alive = any(writer.is_alive() for writer in writers)
            with store.reading() as rows:
                changes = rows.changes(position, limit=7)
            seen += changes.embedded.keys.tolist()
            position = changes.position
            assert alive or not changes.complete or len(seen) == 90, "a change was missed"
        for writer in writers:
            writer.join()
    assert len(set(seen)) == 90
    assert position.revision == 90


def test_a_writer_that_waits_too_long_says_so(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(engine._SETTINGS, "lock_timeout", "100ms")
    with opened(where) as store, psycopg.connect(where) as other:
        other.execute("SELECT 1 FROM samekind.collection FOR UPDATE")
        with pytest.raises(GalleryError, match="locked by another writer"), store.writing():
            pass


def test_a_database_without_a_gallery(where: str) -> None:
    with pytest.raises(MissingDataError, match="no gallery in this database; `samekind enroll` makes one"):
        open_postgres(where, "default", founding=None)


def test_a_database_that_is_not_there(where: str) -> None:
    elsewhere = where.replace("gallery_", "nowhere_")
    with pytest.raises(GalleryError, match="there is no such database or user on the server") as caught:
        open_postgres(elsewhere, "default", founding=COSINE)
    assert "\n" not in str(caught.value)


def test_a_server_that_is_not_there() -> None:
    with pytest.raises(GalleryError, match="the server cannot be reached") as caught:
        open_postgres("postgresql://ann:secret@127.0.0.1:1/x", "default", founding=COSINE)
    assert str(caught.value).startswith("postgresql://ann@127.0.0.1:1/x: ")
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("where", ["postgresql://ann:secret@[host/x", "postgresql://ann:secret@h/x?unknown=1"])
def test_a_url_that_cannot_be_read_is_not_printed(where: str) -> None:
    with pytest.raises(GalleryError, match="expected a URL postgresql://USER@HOST:PORT/DATABASE") as caught:
        open_postgres(where, "default", founding=COSINE)
    assert "secret" not in str(caught.value)


def test_a_wrong_password_is_refused_and_not_printed(where: str) -> None:
    with psycopg.connect(where, autocommit=True) as connection:
        ((file,),) = connection.execute("SHOW hba_file").fetchall()
        with open(file, encoding="utf-8") as read:
            before = read.read()
        connection.execute("CREATE ROLE guarded LOGIN PASSWORD 'right'")
        try:
            with open(file, "w", encoding="utf-8") as write:
                write.write(f"local all guarded scram-sha-256\n{before}")
            connection.execute("SELECT pg_reload_conf()")
            host = conninfo_to_dict(where)["host"]
            with pytest.raises(GalleryError, match="refuses user or password") as caught:
                open_postgres(f"postgresql://guarded:secret@/postgres?host={host}", "default", founding=COSINE)
            assert "secret" not in str(caught.value)
            with pytest.raises(GalleryError, match="wants a password"):
                open_postgres(f"postgresql://guarded@/postgres?host={host}", "default", founding=COSINE)
        finally:
            with open(file, "w", encoding="utf-8") as write:
                write.write(before)
            connection.execute("SELECT pg_reload_conf()")
            connection.execute("DROP ROLE guarded")


def test_a_user_who_may_not_make_tables_is_told_what_to_grant(where: str) -> None:
    administer(where, "DROP ROLE IF EXISTS poor", "CREATE ROLE poor LOGIN")
    with pytest.raises(GalleryError, match="this user may not do that; grant it"):
        open_postgres(where.replace("postgres:@", "poor@"), "default", founding=COSINE)


def test_a_server_without_pgvector(where: str) -> None:
    # a real server with the extension's files taken away would be another installation: its answer to a name that
    # it does not have is the same
    with psycopg.connect(where, autocommit=True) as connection, pytest.raises(psycopg.errors.FeatureNotSupported):
        connection.execute("CREATE EXTENSION IF NOT EXISTS no_such_vector")


def test_a_newer_gallery_is_refused_and_an_older_one_is_brought_up_to_date(where: str) -> None:
    with opened(where) as store:
        keys = fill(store, drawn(2))
    more = (*MIGRATIONS, ("ALTER TABLE identity ADD COLUMN note text",))
    with psycopg.connect(where, autocommit=True) as connection:
        connection.execute("SET search_path = samekind, public")
        migrate(connection, "here", more)
        migrate(connection, "here", more)
        assert connection.execute("SELECT key, note FROM identity ORDER BY key").fetchall() == [
            (key, None) for key in keys
        ]
    with pytest.raises(
        GalleryError, match=f"of version {len(more)}, this samekind knows versions up to {len(MIGRATIONS)}"
    ):
        open_postgres(where, "default", founding=None)


def test_a_migration_that_fails_changes_nothing(where: str) -> None:
    with psycopg.connect(where, autocommit=True) as connection:
        connection.execute("SET search_path = samekind, public")
        with pytest.raises(psycopg.errors.UndefinedTable):
            migrate(connection, "here", (*MIGRATIONS, ("DROP TABLE nothing",)))
        assert connection.execute("SELECT to_regclass('samekind.version')").fetchone() == (None,)


def test_many_found_the_same_gallery_at_once(where: str) -> None:
    errors: list[BaseException] = []

    def found() -> None:
        try:
            with opened(where):
                pass
        except GalleryError as error:
            errors.append(error)

    threads = [Thread(target=found) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert administer(where, "SELECT count(*) FROM samekind.collection") == [(1,)]


def test_after_a_lost_connection_the_next_question_is_answered(where: str) -> None:
    with opened(where) as store:
        keys = fill(store, drawn(2))

        def lose() -> None:
            with store.writing() as rows:
                enroll(rows, 5, drawn(1))
                ((backend,),) = rows.engine.query("SELECT pg_backend_pid()", {})
                administer(where, f"SELECT pg_terminate_backend({backend}, 5000)")

        with pytest.raises(GalleryError, match="the connection was lost"):
            lose()
        with store.reading() as rows:
            assert rows.counts().identities == len(keys), "nothing of the lost transaction is left"


@pytest.mark.slow
def test_a_writer_that_is_killed_leaves_nothing_and_holds_nobody_up(where: str) -> None:
    with opened(where) as store:
        keys = fill(store, drawn(2))
        reader, writer = os.pipe()
        child = os.fork()
        if not child:  # pragma: no cover
            with open_postgres(where, "default", founding=None).writing() as rows:
                enroll(rows, 5, drawn(1))
                os.write(writer, b"x")
                signal.pause()
        os.read(reader, 1)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        with store.writing() as rows:
            enroll(rows, 6, drawn(1))
        with store.reading() as rows:
            assert rows.counts().identities == len(keys) + 1
        os.close(reader)
        os.close(writer)


def test_what_was_deleted_is_pruned_from_its_pages(where: str) -> None:
    with opened(where) as store:
        with store.writing() as rows:
            ann = enroll(rows, 1, drawn(3))
        with store.writing() as rows:
            rows.drop_identity(ann)
    left = "SELECT pg_relation_size('sample'), pg_relation_size('crop'), pg_relation_size('combined_1')"
    assert administer(where, left) == [(0, 0, 0)], "empty pages at the end are given back"


def test_a_removal_that_is_not_pruned_stands_and_is_pruned_later(
    where: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(engine._SETTINGS, "lock_timeout", "200ms")
    with opened(where) as store, psycopg.connect(where) as other:
        with store.writing() as rows:
            ann, bob = enroll(rows, 1, drawn(3)), enroll(rows, 2, drawn(2))
        for later in (ann, bob):
            with other.transaction():
                other.execute("LOCK TABLE samekind.crop IN SHARE UPDATE EXCLUSIVE MODE")  # as a VACUUM of the server
                with store.writing() as rows:
                    rows.drop_identity(later)
                assert "removed, but its pages are not pruned yet" in caplog.messages[-1]
                with opened(where) as again, again.writing():
                    pass
                assert "traces of what was removed are left" in " ".join(store.check())
            if later == ann:
                with store.writing() as rows:
                    enroll(rows, 3, drawn(1))
            else:
                open_postgres(where, "default", founding=None).close()
            assert store.check() == ()
        assert len(caplog.messages) == 2
