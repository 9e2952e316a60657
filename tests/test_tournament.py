"""Rounds of pairs of classes, and the impostors drawn in them."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from samekind.errors import InputError
from samekind.tournament import Indices, impostor_scores, rounds_of, search_scores


@given(st.integers(2, 40))
def test_in_a_round_no_class_meets_two_others(n: int) -> None:
    first, second = np.array(list(combinations(range(n), 2))).T
    rounds = rounds_of(first, second, n)
    assert len(set(rounds)) == n - 1 + n % 2
    for number in set(rounds):
        met = np.concatenate([first[rounds == number], second[rounds == number]])
        assert len(set(met)) == len(met) == n - n % 2
    np.testing.assert_array_equal(rounds, rounds_of(second, first, n))


@given(st.integers(2, 40), st.integers(0, 1_000), st.floats(0.01, 1))
def test_any_choice_of_pairs_goes_into_rounds(n: int, seed: int, share: float) -> None:
    pairs = np.array(list(combinations(range(n), 2)))
    kept = pairs[np.random.default_rng(seed).random(len(pairs)) <= share]
    rounds = rounds_of(kept[:, 0], kept[:, 1], n)
    for number in set(rounds):
        met = kept[rounds == number]
        assert len(np.unique(met)) == met.size


def test_pairs_without_a_class_in_common_fill_one_round() -> None:
    classes = np.random.default_rng(0).permutation(60).reshape(30, 2)
    assert set(rounds_of(classes[:, 0], classes[:, 1], 60)) == {0}


def test_random_pairs_fill_most_of_their_rounds() -> None:
    pairs = np.array(list(combinations(range(200), 2)))
    kept = pairs[np.random.default_rng(0).permutation(len(pairs))[:2_000]]  # each class in about 20
    assert len(kept) / len(set(rounds_of(kept[:, 0], kept[:, 1], 200))) > 50


def index_of_reference(queries: Indices, references: Indices) -> NDArray[np.float32]:
    return references[:, 0].astype(np.float32)


@given(st.integers(2, 12), st.integers(1, 3), st.integers(1, 2_000))
def test_impostors_are_of_two_classes_and_come_in_whole_rounds(n: int, references: int, comparisons: int) -> None:
    labels = np.random.default_rng(n).permutation(np.repeat(10 * np.arange(n), 4))
    asked: list[tuple[Indices, Indices]] = []

    def score(queries: Indices, others: Indices) -> NDArray[np.float32]:
        asked.append((queries, others))
        return np.zeros(len(queries), np.float32)

    drawn = impostor_scores(score, labels, references=references, comparisons=comparisons, rng=np.random.default_rng(0))
    queries, others = (np.concatenate(side) for side in zip(*asked, strict=True))
    assert others.shape == (len(drawn.scores), references)
    np.testing.assert_array_equal(labels[queries], drawn.left)
    np.testing.assert_array_equal(labels[others], np.repeat(drawn.right[:, None], references, axis=1))
    assert (drawn.left != drawn.right).all()
    assert all(len(set(row)) == references for row in others)
    assert set(drawn.left) == set(labels)
    assert len(drawn.scores) <= max(comparisons, 2 * n)
    counts = np.bincount(drawn.left // 10)
    assert counts.max() - counts.min() <= 4 * (n % 2)  # in a round of an odd number one class sits out


def test_enough_comparisons_cover_every_pair_of_classes_from_both_sides() -> None:
    labels = np.repeat(np.arange(9), 5)
    drawn = impostor_scores(index_of_reference, labels, comparisons=10_000, rng=np.random.default_rng(0))
    assert len(set(zip(drawn.left.tolist(), drawn.right.tolist(), strict=True))) == 9 * 8
    assert len(drawn.scores) == 9 * 8 * 5


def test_a_block_at_a_time_gives_the_same_scores(monkeypatch: pytest.MonkeyPatch) -> None:
    labels = np.repeat(np.arange(30), 4)
    whole: list[int] = []
    parts: list[int] = []
    for lengths, block in ((whole, 65_536), (parts, 40)):
        monkeypatch.setattr("samekind.tournament._BLOCK", block)

        def score(queries: Indices, others: Indices, lengths: list[int] = lengths) -> NDArray[np.float32]:
            lengths.append(others.size)
            return np.asarray(queries + 0.01 * others.sum(axis=1), np.float32)

        drawn = impostor_scores(score, labels, references=4, rng=np.random.default_rng(0))
        lengths.append(hash(drawn.scores.tobytes()))
    assert whole[-1] == parts[-1]
    assert max(parts[:-1]) <= 40 < max(whole[:-1])


def test_a_search_asks_every_enrolled_class_of_its_block_and_no_other() -> None:
    labels = np.repeat(np.arange(23), 3)
    met: list[tuple[int, int]] = []

    def score(queries: Indices, others: Indices) -> NDArray[np.float32]:
        met.extend(zip(labels[queries].tolist(), labels[others[:, 0]].tolist(), strict=True))
        return labels[others[:, 0]].astype(np.float32)

    best = search_scores(score, labels, identities=4, references=2, rounds=3, rng=np.random.default_rng(0))
    assert best.shape == (3, 4)
    pairs = np.array(met).reshape(3, 4, 4, 2)  # rounds, blocks, enrolled, sides
    for blocks in pairs:
        assert all(len(set(block[:, 0])) == 1 for block in blocks)
        classes = [*blocks[:, 0, 0], *blocks[..., 1].ravel()]
        assert len(set(classes)) == len(classes) == 20
    np.testing.assert_array_equal(best, pairs[..., 1].max(axis=2))


@pytest.mark.parametrize(
    ("labels", "references", "message"),
    [
        ([0, 0, 0], 1, "at least 2 classes, got 1"),
        ([0, 0, 7], 2, "at least 2 images of every class.* got 1 of class 7"),
        ([0, 0, 1, 1], 0, "references >= 1"),
    ],
)
def test_too_little_is_an_error(labels: list[int], references: int, message: str) -> None:
    with pytest.raises(InputError, match=message):
        impostor_scores(index_of_reference, np.array(labels), references=references, rng=np.random.default_rng(0))


def test_numbers_out_of_range_are_errors() -> None:
    labels, rng = np.repeat(np.arange(5), 2), np.random.default_rng(0)
    with pytest.raises(InputError, match="comparisons >= 1"):
        impostor_scores(index_of_reference, labels, comparisons=0, rng=rng)
    for identities, rounds in ((5, 1), (0, 1), (2, 0)):
        with pytest.raises(InputError, match="more classes than identities"):
            search_scores(index_of_reference, labels, identities=identities, rounds=rounds, rng=rng)
