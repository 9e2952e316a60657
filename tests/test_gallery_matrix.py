"""The matrix finds what a search one by one would find, bit for bit, however it came to hold what it holds."""

import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from samekind.gallery import matrix as module
from samekind.gallery.matrix import Matrix
from samekind.gallery.store import Embedded
from samekind.similarity import Similarity, combine, cosine, euclidean, weighted_l1

DIM = 8
HEADS: dict[str, Similarity] = {
    "cosine": cosine,
    "euclidean": euclidean,
    "weighted-l1": weighted_l1(np.linspace(-1, 0.2, DIM, dtype=np.float32), 0.5),
}
Samples = dict[int, NDArray[np.float32]]


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that few rows fill several."""
    monkeypatch.setattr(module, "BLOCK", 7)


def embedded(samples: Samples) -> Embedded:
    return Embedded(
        np.array(list(samples), dtype=np.int64),
        np.array([len(rows) for rows in samples.values()], dtype=np.int64),
        np.concatenate([np.empty((0, DIM), np.float32), *samples.values()]),
    )


def fresh(head: str = "cosine") -> Matrix:
    return Matrix(DIM, head=head, similarity=HEADS[head])


def draw(rng: np.random.Generator, count: int) -> NDArray[np.float32]:
    """Rows on a grid, so that many scores are equal."""
    return (rng.integers(-2, 3, size=(count, DIM)) + 0.25).astype(np.float32)


def one_by_one(samples: Samples, query: NDArray[np.float32], head: str) -> list[tuple[int, float]]:
    scores = {key: float(HEADS[head](query, combine(rows))) for key, rows in samples.items() if len(rows)}
    return sorted(scores.items(), key=lambda item: (-item[1], item[0]))


@pytest.mark.parametrize("head", HEADS)
@given(seed=st.integers(0, 10_000), steps=st.integers(1, 6), count=st.integers(1, 9))
def test_any_history_finds_what_a_search_one_by_one_finds(head: str, seed: int, steps: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    filled = fresh(head)
    held: Samples = {}
    for _ in range(steps):
        keys = rng.choice(40, size=rng.integers(1, 20), replace=False).tolist()
        change = {key: draw(rng, int(rng.integers(0, 4))) for key in keys}
        filled.apply(embedded(change))
        held = {key: rows for key, rows in {**held, **change}.items() if len(rows)}
        query = draw(rng, 1)[0]
        expected = one_by_one(held, query, head)
        found = filled.search(query, count)
        assert len(filled) == len(held)
        assert list(zip(found.keys.tolist(), found.scores.tolist(), strict=True)) == expected[:count]
        np.testing.assert_allclose(np.sort(found.others), sorted(s for _, s in expected[count:]), atol=2e-3)
        sizes = [len(rows) for rows in held.values()]
        assert (found.fewest, found.most) == ((min(sizes), max(sizes)) if sizes else (0, 0))
        if expected:
            best = expected[0][0]
            without = filled.search(query, count, without=best)
            assert without.keys.tolist() == [key for key, _ in expected[1 : count + 1]]
            assert len(without.keys) + len(without.others) == len(held) - 1


def test_the_best_of_rows_closer_than_rounding_is_the_best() -> None:
    rng = np.random.default_rng(5)
    base = rng.normal(size=DIM).astype(np.float32) * 100
    rows = (base + rng.normal(size=(500, DIM)) * 1e-4).astype(np.float32)
    samples = {key: row[None] for key, row in enumerate(rows)}
    for head in HEADS:
        filled = fresh(head)
        filled.apply(embedded(samples))
        for query in (base, rows[17]):
            found = filled.search(query, 5)
            expected = one_by_one(samples, query, head)
            assert found.scores.tolist() == [score for _, score in expected[:5]]


def test_an_empty_matrix_finds_nobody() -> None:
    found = fresh().search(np.ones(DIM, np.float32), 5)
    assert (len(found.keys), len(found.others), found.fewest, found.most) == (0, 0, 0, 0)


def test_the_last_one_can_be_left_out() -> None:
    filled = fresh()
    filled.apply(embedded({3: np.ones((1, DIM), np.float32)}))
    assert len(filled.search(np.ones(DIM, np.float32), 5, without=3).keys) == 0
    assert len(filled.search(np.ones(DIM, np.float32), 5, without=4).keys) == 1


def test_memory_is_little_more_than_the_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BLOCK", 1_000)
    wide = Matrix(128, head="cosine", similarity=cosine)
    rows = np.ones((500, 128), np.float32)
    for start in range(0, 40_000, 500):
        wide.apply(Embedded(np.arange(start, start + 500), np.ones(500, np.int64), rows))
    assert wide.nbytes <= 1.1 * 40_000 * 128 * 4


def test_searches_while_it_changes_see_whole_rows() -> None:
    filled, wrong, stop = fresh(), [], threading.Event()
    low, high = np.ones((1, DIM), np.float32), np.full((1, DIM), 3, np.float32)
    mixed = np.concatenate([low, high])
    filled.apply(embedded(dict.fromkeys(range(20), low)))

    def search() -> None:
        while not stop.is_set():
            found = filled.search(low[0], 30)
            if not set(found.scores.tolist()) <= {float(cosine(low[0], low[0]))} or len(found.keys) not in (19, 20):
                wrong.append(found)

    threads = [threading.Thread(target=search) for _ in range(3)]
    for thread in threads:
        thread.start()
    for round_ in range(200):
        change = {5: (low, high, mixed)[round_ % 3], 7: low[: round_ % 2], 100 + round_: low[:0]}
        filled.apply(embedded(change))
    stop.set()
    for thread in threads:
        thread.join()
    assert not wrong
