"""The rules of a gallery's changes, on a store of files."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from samekind.errors import GalleryError, InputError, NotEnrolledError
from samekind.gallery.names import LONGEST_NAME, clean_name
from samekind.gallery.store import Counts, Model, Store, StoredSample, open_store
from samekind.gallery.transactions import (
    Enrolled,
    enroll,
    find,
    get,
    new_id,
    now,
    remove,
    remove_sample,
    undo,
)

MODEL = Model("f" * 64, "cosine", 4)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = open_store(tmp_path / "gallery.db", founding=MODEL)
    yield opened
    opened.close()


def sample(number: int) -> StoredSample:
    return StoredSample(new_id(), f"{number:064x}", now(), np.full(4, number, np.float32), b"png")


def add(store: Store, name: str, *numbers: int, metadata: dict[str, str] | None = None) -> Enrolled:
    with store.writing() as rows:
        return enroll(rows, name, [sample(number) for number in numbers], model=MODEL, metadata=metadata)


def take_back(store: Store, enrolled: Enrolled) -> int:
    assert enrolled.id is not None
    with store.writing() as rows:
        return undo(rows, enrolled.id)


def digests(store: Store, name: str) -> list[int]:
    with store.reading() as rows:
        return [int(s.digest, 16) for s in rows.samples(find(rows, name).id)]


def noted(store: Store, name: str) -> dict[str, str]:
    with store.reading() as rows:
        return find(rows, name).metadata


def counts(store: Store) -> Counts:
    with store.reading() as rows:
        return rows.counts()


def test_a_name_stands_for_one_identity(store: Store) -> None:
    first, second = add(store, "Ann", 1, 2), add(store, "Ann", 3)
    assert first.identity.id == second.identity.id
    assert (first.identity.samples, second.identity.samples) == (2, 3)
    assert [s.digest for s in second.samples] == [f"{3:064x}"]
    assert digests(store, "Ann") == [1, 2, 3]


def test_no_image_is_held_twice(store: Store) -> None:
    add(store, "Ann", 1)
    again = add(store, "Ann", 2, 1, 2, 3)
    assert [int(s.digest, 16) for s in again.samples] == [2, 3]
    assert digests(store, "Ann") == [1, 2, 3]
    nothing = add(store, "Ann", 1, 2)
    assert nothing.id is None
    assert nothing.samples == ()
    add(store, "Bob", 1)  # another may hold it
    assert digests(store, "Bob") == [1]


def test_a_new_identity_needs_an_image(store: Store) -> None:
    with pytest.raises(InputError, match="at least one image of Ann, got none"):
        add(store, "Ann")
    assert counts(store) == Counts(0, 0)


def test_undo_takes_back_one_go(store: Store) -> None:
    add(store, "Ann", 1)
    second = add(store, "Ann", 2, 3)
    add(store, "Ann", 4)
    assert take_back(store, second) == 2
    assert digests(store, "Ann") == [1, 4]
    with pytest.raises(NotEnrolledError, match="undone already"):
        take_back(store, second)


def test_undoing_the_last_samples_removes_the_identity(store: Store) -> None:
    first, second = add(store, "Ann", 1), add(store, "Ann", 2)
    assert take_back(store, first) == 1
    assert take_back(store, second) == 1
    assert counts(store) == Counts(0, 0)
    with store.reading() as rows, pytest.raises(NotEnrolledError, match="nobody is enrolled as Ann"):
        find(rows, "Ann")


@settings(max_examples=25)  # each goes to the disk ten times
@given(order=st.permutations(range(4)), gaps=st.lists(st.booleans(), min_size=4, max_size=4))
def test_metadata_are_those_of_the_last_go_that_stands(
    order: list[int], gaps: list[bool], tmp_path_factory: pytest.TempPathFactory
) -> None:
    store = open_store(tmp_path_factory.mktemp("gallery") / "gallery.db", founding=MODEL)
    add(store, "Ann", 0, metadata={"go": "first"})
    goes = {
        number: add(store, "Ann", number + 1, metadata={"go": str(number)} if gap else None)
        for number, gap in enumerate(gaps)
    }
    standing = list(range(4))
    for number in order:
        take_back(store, goes[number])
        standing.remove(number)
        expected = next((str(n) for n in reversed(standing) if gaps[n]), "first")
        assert noted(store, "Ann") == {"go": expected}
    store.close()


def test_metadata_alone_are_a_go_of_their_own(store: Store) -> None:
    add(store, "Ann", 1, metadata={"a": "b"})
    go = add(store, "Ann", 1, metadata={"c": "d"})
    assert (go.samples, noted(store, "Ann")) == ((), {"c": "d"})
    assert add(store, "Ann", 1, metadata={"c": "d"}).id is None
    assert take_back(store, go) == 0
    assert noted(store, "Ann") == {"a": "b"}


def test_removing_an_identity_or_a_sample(store: Store) -> None:
    ann, bob = add(store, "Ann", 1, 2), add(store, "Bob", 3)
    with store.writing() as rows:
        remove_sample(rows, ann.samples[0].id)
    assert digests(store, "Ann") == [2]
    with store.writing() as rows:
        remove_sample(rows, ann.samples[1].id)
    assert counts(store) == Counts(1, 1)
    with store.writing() as rows:
        remove(rows, [bob.identity.id])
    assert counts(store) == Counts(0, 0)
    with store.writing() as rows:
        with pytest.raises(NotEnrolledError, match="no identity"):
            remove(rows, [bob.identity.id])
        with pytest.raises(NotEnrolledError, match="no sample"):
            remove_sample(rows, ann.samples[0].id)


def test_samples_of_one_that_must_be_there(store: Store) -> None:
    ann = add(store, "Ann", 1).identity
    with store.writing() as rows:
        assert enroll(rows, "", [sample(2)], model=MODEL, identity=ann.id).identity.samples == 2
        with pytest.raises(NotEnrolledError, match="no identity 00"):
            enroll(rows, "", [sample(2)], model=MODEL, identity="00")
        assert get(rows, ann.id).name == "Ann"


def test_embeddings_of_another_model_are_refused(store: Store) -> None:
    other = Model("e" * 64, "cosine", 4)
    with store.writing() as rows, pytest.raises(GalleryError, match="by the bundle ffffffffffff, not by eeeeeeeeeeee"):
        enroll(rows, "Ann", [sample(1)], model=other)


def test_names_are_normalised_and_found_so(store: Store) -> None:
    assert clean_name("  A\u0308rmel/1  ") == "\u00c4rmel/1"
    assert clean_name("x" * LONGEST_NAME) == "x" * LONGEST_NAME
    add(store, clean_name("A\u0308rmel"), 1)
    assert digests(store, " A\u0308rmel ") == [1]
