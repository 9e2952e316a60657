"""Every store keeps the same promises: what is written is whole, what is read is of one moment, nothing comes back.

A new engine joins by one more name in `STORES`.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

import numpy as np
import pytest

from samekind.errors import GalleryError, MissingDataError
from samekind.gallery.records import Identity, PastEnrolment
from samekind.gallery.rows import Rows
from samekind.gallery.store import Counts, Model, Position, Spread, State, Store, StoredSample, open_store

MODEL = Model("f" * 64, "cosine", 4)
WHEN = "2026-01-02T03:04:05+00:00"
START = Position()
STORES = ("sqlite", "postgres")


@pytest.fixture(params=STORES)
def where(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty place for a gallery."""
    if request.param == "sqlite":
        return str(tmp_path / "gallery.db")
    database: str = request.getfixturevalue("postgres")()
    return database


@pytest.fixture
def store(where: str) -> Iterator[Store]:
    """A new collection."""
    opened = open_store(where, founding=MODEL)
    yield opened
    opened.close()


@contextmanager
def another(where: str, collection: str = "default") -> Iterator[Store]:
    """The same place, opened once more."""
    opened = open_store(where, collection)
    try:
        yield opened
    finally:
        opened.close()


def hexadecimal(number: int) -> str:
    return f"{number:032x}"


def sample(number: int, *, digest: str | None = None) -> StoredSample:
    """A sample whose embedding holds its number four times."""
    embedding = np.full(4, number, dtype=np.float32)
    return StoredSample(hexadecimal(number), digest or f"{number:064x}", WHEN, embedding, b"png %d" % number)


def enroll(rows: Rows, name: str, *numbers: int, event: int | None = None) -> str:
    """A new identity, or more samples of one; ids follow from the first number."""
    found = rows.find(name)
    id = found.id if found else hexadecimal(10_000 + numbers[0])
    if not found:
        rows.add_identity(Identity(id, name, {}, 0, WHEN))
    rows.add_event(
        hexadecimal(event or 20_000 + numbers[0]), id, [sample(n) for n in numbers], created=WHEN, earlier=None
    )
    return id


def assert_unknown(rows: Rows, *, id: str, name: str, sample: str, digest: str) -> None:
    """Nothing is found under any of these."""
    single = (rows.identity(id), rows.find(name), rows.sample(sample), rows.crop(sample), rows.event(id))
    several = (rows.samples(id), rows.contents(id), rows.holding(digest), rows.keys([id]))
    assert single == (None,) * 5
    assert several == ((),) * 4


def values(rows: Rows, after: Position = START, limit: int = 100) -> dict[int, list[float]]:
    """First element of the embeddings of each identity that changed, by key."""
    found = rows.changes(after, limit=limit).embedded
    parts = np.split(found.embeddings[:, 0], np.cumsum(found.sizes)[:-1]) if len(found.keys) else []
    return {int(key): part.tolist() for key, part in zip(found.keys, parts, strict=True)}


def test_a_new_collection_is_empty(store: Store) -> None:
    with store.reading() as rows:
        assert rows.state() == State(MODEL, 0)
        assert rows.counts() == Counts(0, 0)
        changes = rows.changes(Position())
        assert (changes.position, changes.complete, changes.embedded.embeddings.shape) == (Position(), True, (0, 4))
        assert rows.identities() == ()


def test_what_is_written_is_read_by_another(store: Store, where: str) -> None:
    with store.writing() as rows:
        id = enroll(rows, "Ann", 1, 2)
    with another(where) as other, other.reading() as rows:
        assert rows.identity(id) == rows.find("Ann") == Identity(id, "Ann", {}, 2, WHEN)
        assert [s.id for s in rows.samples(id)] == [hexadecimal(1), hexadecimal(2)]
        assert rows.crop(hexadecimal(2)) == b"png 2"
        kept = rows.contents(id)
        assert [(s.id, s.digest, s.created, s.crop) for s in kept] == [
            (s.id, s.digest, s.created, s.crop) for s in (sample(1), sample(2))
        ]
        np.testing.assert_array_equal(kept[1].embedding, np.full(4, 2, dtype=np.float32))
        assert rows.counts() == Counts(1, 2)
        found = rows.sample(hexadecimal(1))
        assert found is not None
        assert found.identity == id


def test_nothing_is_found_under_unknown_names(store: Store) -> None:
    with store.reading() as rows:
        assert_unknown(rows, id="0", name="x", sample="0", digest="0")


def test_a_transaction_that_raises_leaves_nothing(store: Store) -> None:
    def half() -> None:
        with store.writing() as rows:
            enroll(rows, "Ann", 1)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        half()
    with store.reading() as rows:
        assert rows.state().revision == 0
        assert rows.counts() == Counts(0, 0)
    with store.writing() as rows:  # and the next one works
        enroll(rows, "Ann", 1)


def test_a_reader_sees_one_moment(store: Store) -> None:
    with store.writing() as rows:
        enroll(rows, "Ann", 1)
    with store.reading() as rows:
        before = rows.counts()
        writer = Thread(target=lambda: _write(store, "Bob", 2))
        writer.start()
        writer.join()
        assert rows.counts() == before == Counts(1, 1)
    with store.reading() as rows:
        assert rows.counts() == Counts(2, 2)


def _write(store: Store, name: str, number: int) -> None:
    with store.writing() as rows:
        enroll(rows, name, number)


def test_changes_are_those_after_a_position(store: Store) -> None:
    with store.writing() as rows:
        ann = enroll(rows, "Ann", 1)
        enroll(rows, "Bob", 2, 3)
    with store.reading() as rows:
        first, second = rows.keys([ann]) + rows.keys([hexadecimal(10_002)])
        assert values(rows) == {first: [1], second: [2, 3]}
        position = rows.changes(Position()).position
        assert position.revision == rows.state().revision == 1
        assert values(rows, position) == {}
    with store.writing() as rows:
        enroll(rows, "Ann", 4)
    with store.reading() as rows:
        assert values(rows, position) == {first: [1, 4]}
        position = rows.changes(position).position
    with store.writing() as rows:
        rows.drop_identity(ann)
    with store.reading() as rows:
        changes = rows.changes(position)
        assert changes.embedded.keys.tolist() == [first]
        assert changes.embedded.sizes.tolist() == [0]
        assert values(rows, changes.position) == {}


def test_changes_come_in_parts_and_none_twice(store: Store) -> None:
    for start in (0, 10, 20):
        with store.writing() as rows:
            for number in range(start, start + 10):
                enroll(rows, f"n{number}", number + 1)
    seen: dict[int, list[float]] = {}
    position, complete, parts = Position(), False, 0
    while not complete:
        with store.reading() as rows:
            part = values(rows, position, limit=7)
            changes = rows.changes(position, limit=7)
        assert not part.keys() & seen.keys()
        seen |= part
        position, complete, parts = changes.position, changes.complete, parts + 1
    assert sorted(value for (value,) in seen.values()) == list(range(1, 31))
    assert parts == 5


def test_a_transaction_without_a_change_has_no_revision(store: Store) -> None:
    with store.writing() as rows:
        rows.find("x")
    with store.reading() as rows:
        assert rows.state().revision == 0


def test_identities_come_by_name_and_by_part(store: Store) -> None:
    names = ["Zoe", "ann", "Ärmel", "Ann", "100%", "a_b", "日本/1", "STRASSE"]
    with store.writing() as rows:
        for number, name in enumerate(names, 1):
            enroll(rows, name, number)
    with store.reading() as rows:
        assert [i.name for i in rows.identities()] == sorted(names)
        first = rows.identities(limit=3)
        rest = rows.identities(after=first[-1].name, limit=100)
        assert [i.name for i in first + rest] == sorted(names)
        for search, expected in (
            ("ANN", {"Ann", "ann"}),
            ("äRM", {"Ärmel"}),
            ("%", {"100%"}),
            ("_", {"a_b"}),
            ("straße", {"STRASSE"}),
            ("本/", {"日本/1"}),
            ("!", set()),
        ):
            assert {i.name for i in rows.identities(search=search)} == expected, search


def test_embeddings_come_in_the_order_asked(store: Store) -> None:
    with store.writing() as rows:
        for number in range(1, 1201):
            enroll(rows, f"n{number}", number)
    with store.reading() as rows:
        keys = rows.keys([hexadecimal(10_000 + number) for number in range(1200, 0, -1)])
        found = rows.embedded(keys)
        assert found.keys.tolist() == list(keys)
        assert found.embeddings[:, 0].tolist() == list(range(1200, 0, -1))
        assert [(key, identity.name) for key, identity in rows.by_keys(keys[:2])] == [
            (keys[0], "n1200"),
            (keys[1], "n1199"),
        ]
        assert rows.by_keys([10**9]) == ()


def test_how_samples_are_spread(store: Store) -> None:
    with store.reading() as rows:
        assert rows.spread() == Spread(0, 0, 0)
    with store.writing() as rows:
        for name, numbers in (("a", (1, 2, 3)), ("b", (4,)), ("c", (5, 6))):
            enroll(rows, name, *numbers)
        assert rows.spread() == Spread(3, 1, 3)


def test_who_holds_an_image(store: Store) -> None:
    with store.writing() as rows:
        ann, bob = enroll(rows, "Ann", 1), enroll(rows, "Bob", 2)
        rows.add_event(hexadecimal(9), bob, [sample(3, digest=f"{1:064x}")], created=WHEN, earlier=None)
    with store.reading() as rows:
        assert [identity.id for identity in rows.holding(f"{1:064x}")] == [ann, bob]


def test_an_event_holds_its_samples_and_what_it_replaced(store: Store) -> None:
    with store.writing() as rows:
        ann = enroll(rows, "Ann", 1, event=91)
        rows.set_metadata(ann, {"team": "ü"})
        rows.add_event(hexadecimal(92), ann, [sample(2), sample(3)], created=WHEN, earlier={})
        rows.set_metadata(ann, {"team": "c"})
        rows.add_event(hexadecimal(93), ann, [], created=WHEN, earlier={"team": "ü"})
    with store.writing() as rows:
        second = rows.event(hexadecimal(92))
        assert second is not None
        assert (second.identity, second.samples) == (ann, (hexadecimal(2), hexadecimal(3)))
        assert second.earlier == {}
        assert second.superseded
        rows.drop_samples(ann, second.samples)
        rows.drop_event(second)
    with store.reading() as rows:
        third = rows.event(hexadecimal(93))
        assert third is not None
        assert third.earlier == {}
        assert not third.superseded
        assert rows.event(hexadecimal(92)) is None
        assert rows.counts() == Counts(1, 1)
        found = rows.identity(ann)
        assert found is not None
        assert found.metadata == {"team": "c"}


def test_enrolments_are_listed_of_one_identity(store: Store) -> None:
    with store.writing() as rows:
        ann, bob = enroll(rows, "Ann", 1, event=91), enroll(rows, "Bob", 4, event=94)
        rows.add_event(hexadecimal(92), ann, [sample(2), sample(3)], created=WHEN, earlier=None)
        rows.drop_samples(ann, [hexadecimal(3)])
    with store.reading() as rows:
        first, second = PastEnrolment(hexadecimal(91), WHEN, 1), PastEnrolment(hexadecimal(92), WHEN, 1)
        assert rows.enrolments(ann) == (first, second)
        assert rows.enrolments(bob) == (PastEnrolment(hexadecimal(94), WHEN, 1),)
        assert rows.enrolments(hexadecimal(5)) == ()


def test_another_model_and_its_embeddings(store: Store) -> None:
    with store.writing() as rows:
        ann = enroll(rows, "Ann", 1, 2)
    with store.writing() as rows:
        rows.set_model(Model("e" * 64, "euclidean", 2))
        rows.set_embeddings(ann, {hexadecimal(n): np.full(2, -n, dtype=np.float32) for n in (1, 2)})
    with store.reading() as rows:
        changes = rows.changes(Position())
        assert changes.model == rows.state().model == Model("e" * 64, "euclidean", 2)
        assert changes.embedded.embeddings.tolist() == [[-1, -1], [-2, -2]]
        assert rows.state().revision == 2


def test_collections_do_not_see_each_other(store: Store, where: str) -> None:
    second = open_store(where, "second", founding=MODEL)
    with store.writing() as rows:
        ann = enroll(rows, "Ann", 1)
    with second.writing() as rows:
        assert_unknown(rows, id=ann, name="Ann", sample=hexadecimal(1), digest=f"{1:064x}")
        assert rows.event(hexadecimal(20_001)) is None
        assert rows.used([ann, hexadecimal(1), hexadecimal(2)]) == {ann, hexadecimal(1)}
        assert rows.counts() == Counts(0, 0)
        rows.drop_identity(ann)
        rows.add_identity(Identity(hexadecimal(77), "Ann", {}, 0, WHEN))
    with store.reading() as rows:
        assert rows.identity(ann) is not None
        assert rows.counts() == Counts(1, 1)
    second.close()


def test_what_is_missing_is_named(store: Store, where: str) -> None:
    with pytest.raises(MissingDataError, match="no collection nowhere; expected one of those in it \\(default\\)"):
        open_store(where, "nowhere")


def test_many_writers_wait_for_each_other(store: Store, where: str) -> None:
    def write(start: int) -> None:
        with another(where) as other:
            for number in range(start, start + 20):
                _write(other, f"n{number}", number)

    threads = [Thread(target=write, args=(start,)) for start in (100, 200, 300)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with store.reading() as rows:
        assert rows.counts() == Counts(60, 60)
        assert rows.state().revision == 60
        assert len(values(rows)) == 60


def test_a_whole_store_has_nothing_to_say(store: Store) -> None:
    _write(store, "Ann", 1)
    assert store.check() == ()


def test_a_closed_store_says_so(where: str) -> None:
    opened = open_store(where, founding=MODEL)
    opened.close()
    uses: list[Callable[[], object]] = [lambda: opened.reading().__enter__(), lambda: opened.writing().__enter__()]
    for use in uses:
        with pytest.raises(GalleryError, match="closed"):
            use()
