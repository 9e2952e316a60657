"""A search in memory follows its store, and is that of the matrix."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from samekind.calibration import Calibration
from samekind.errors import GalleryError
from samekind.gallery import search as module
from samekind.gallery.identification import evidence
from samekind.gallery.search import Hits, Search
from samekind.gallery.store import Model, Store, StoredSample, open_store
from samekind.gallery.transactions import enroll, find, new_id, now, remove
from samekind.similarity import combine, cosine

MODEL = Model("f" * 64, "cosine", 8)
CALIBRATION = Calibration(
    slope=16.0, intercept=-10.0, covariance=None, quantile=2.0, prior=0.5, pairs=100, classes=50, data="none"
)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = open_store(tmp_path / "gallery.db", founding=MODEL)
    yield opened
    opened.close()


def embedding(number: int) -> NDArray[np.float32]:
    return np.random.default_rng(number).normal(size=8).astype(np.float32)


def add(store: Store, name: str, *numbers: int) -> None:
    with store.writing() as rows:
        samples = [StoredSample(new_id(), f"{number:064x}", now(), embedding(number), b"") for number in numbers]
        enroll(rows, name, samples, model=MODEL)


def ask(search: Search, store: Store, number: int, *, count: int = 3, without: str | None = None) -> Hits:
    with store.reading() as rows:
        key = None if without is None else rows.keys([find(rows, without).id])[0]
        return search.search(rows, embedding(number), count, calibration=CALIBRATION, without=key)


def names(store: Store, hits: Hits) -> list[str]:
    with store.reading() as rows:
        return [identity.name for _, identity in rows.by_keys(hits.keys)]


@pytest.mark.parametrize("part", [1, 4, 20_000])
def test_it_follows_every_change(store: Store, part: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PART", part)
    search = Search(store, MODEL, cosine)
    held: dict[str, list[int]] = {}
    for number in range(12):
        add(store, f"n{number % 7}", number, 100 + number)
        held.setdefault(f"n{number % 7}", []).extend([number, 100 + number])
        if number == 9:
            with store.writing() as rows:
                remove(rows, [find(rows, "n3").id])
            del held["n3"]
        expected = {
            name: float(cosine(embedding(55), combine(np.stack([embedding(n) for n in numbers]))))
            for name, numbers in held.items()
        }
        hits = ask(search, store, 55)
        order = sorted(expected, key=lambda name: -expected[name])
        assert names(store, hits) == order[:3]
        assert hits.scores.tolist() == [expected[name] for name in order[:3]]
        rest = np.array([expected[name] for name in order[3:]], dtype=np.float32)
        assert hits.others == pytest.approx(evidence(CALIBRATION, rest), rel=1e-4)
        sizes = [len(numbers) for numbers in held.values()]
        assert (hits.identities, hits.references) == (len(held), (min(sizes), max(sizes)))


def test_one_that_is_left_out_counts_nowhere(store: Store) -> None:
    search = Search(store, MODEL, cosine)
    for number in range(4):
        add(store, f"n{number}", number)
    hits = ask(search, store, 2, without="n2")
    assert "n2" not in names(store, hits)
    assert hits.identities == 3
    assert hits.others == -np.inf


def test_an_empty_collection_has_no_hits(store: Store) -> None:
    hits = ask(Search(store, MODEL, cosine), store, 1)
    assert (len(hits.keys), hits.identities, hits.references, hits.others) == (0, 0, (1, 1), -np.inf)


def test_an_older_moment_takes_nothing_back(store: Store) -> None:
    search = Search(store, MODEL, cosine)
    add(store, "a", 1)
    with store.reading() as before:
        add(store, "b", 2)
        assert ask(search, store, 1).identities == 2
        hits = search.search(before, embedding(1), 3, calibration=CALIBRATION)
        assert hits.identities == 2
        assert len(before.by_keys(hits.keys)) == 1  # who asks of that moment finds no name for the newer one


def test_another_models_collection_is_refused(store: Store) -> None:
    search = Search(store, MODEL, cosine)
    add(store, "a", 1)
    ask(search, store, 1)
    with store.writing() as rows:
        rows.set_model(replace(MODEL, fingerprint="e" * 64))
        rows.set_embeddings(find(rows, "a").id, {})
    with pytest.raises(GalleryError, match="gallery reembed"):
        ask(search, store, 1)
    with store.reading() as rows, pytest.raises(GalleryError, match="gallery reembed"):
        Search(store, MODEL, cosine).warm(rows)
