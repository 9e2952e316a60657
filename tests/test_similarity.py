"""Scores of embeddings: against scipy, symmetric to the last bit, and of the right sign."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from scipy.spatial import distance

from samekind.errors import InputError
from samekind.similarity import SIMILARITIES, Similarity, combine, cosine, euclidean, weighted_l1

Embeddings = NDArray[np.float32]
VALUES = st.floats(-100, 100, width=32).filter(lambda value: value == 0 or abs(value) > 1e-3)
PAIRS = arrays(np.float32, (2, 3, 5), elements=VALUES)

WEIGHT = np.array([-1.0, -0.5, 0.0, 0.25, -2.0], dtype=np.float32)
ALL: dict[str, Similarity] = {**SIMILARITIES, "weighted_l1": weighted_l1(WEIGHT, 0.5)}


def two_sets(seed: int = 0, *, dtype: type[np.floating] = np.float32) -> tuple[NDArray[np.floating], ...]:
    left, right = np.random.default_rng(seed).normal(size=(2, 7, 5)).astype(dtype)
    return left, right


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_each_is_its_formula(dtype: type[np.floating]) -> None:
    left, right = two_sets(dtype=dtype)
    rows = list(zip(left, right, strict=True))
    np.testing.assert_allclose(euclidean(left, right), [-distance.euclidean(a, b) for a, b in rows], rtol=1e-5)
    np.testing.assert_allclose(cosine(left, right), [1 - distance.cosine(a, b) for a, b in rows], rtol=1e-4)
    expected = [np.sum(WEIGHT * np.abs(a - b)) + 0.5 for a, b in rows]
    np.testing.assert_allclose(weighted_l1(WEIGHT, 0.5)(left, right), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", ALL)
@given(pair=PAIRS)
def test_sides_can_be_exchanged_to_the_last_bit(name: str, pair: Embeddings) -> None:
    left, right = pair
    if name == "cosine":
        left, right = left + np.float32(101), right + np.float32(101)  # no row all zero
    np.testing.assert_array_equal(ALL[name](left, right), ALL[name](right, left))


@pytest.mark.parametrize("name", ALL)
def test_leading_axes_broadcast_and_the_result_is_float32(name: str) -> None:
    left, right = two_sets(dtype=np.float64)
    matrix = ALL[name](left[:, None], right[None])
    assert matrix.shape == (7, 7)
    assert matrix.dtype == ALL[name](left[0], right[0]).dtype == np.float32
    np.testing.assert_allclose(np.diag(matrix), ALL[name](left, right), rtol=1e-6)


@pytest.mark.parametrize("name", ALL)
def test_the_order_of_the_batch_does_not_matter(name: str) -> None:
    left, right = two_sets()
    np.testing.assert_array_equal(ALL[name](left[::-1], right[::-1]), ALL[name](left, right)[::-1])


@given(PAIRS, st.floats(0.0, 0.9))
def test_nearer_is_never_less_alike(pair: Embeddings, step: float) -> None:
    left, right = pair
    nearer = (right + np.float32(step) * (left - right)).astype(np.float32)
    assert (euclidean(left, nearer) >= euclidean(left, right) - 1e-3).all()


def test_equal_embeddings_score_highest() -> None:
    left, _ = two_sets()
    assert (euclidean(left, left) == 0).all()
    np.testing.assert_allclose(cosine(left, left), 1, rtol=1e-6)
    assert (weighted_l1(WEIGHT, 0.5)(left, left) == 0.5).all()


def test_cosine_ignores_length_and_euclidean_does_not() -> None:
    left, right = two_sets()
    np.testing.assert_allclose(cosine(3 * left, right), cosine(left, right), rtol=1e-5)
    assert (euclidean(3 * left, right) != euclidean(left, right)).all()


def test_known_by_name() -> None:
    assert {"euclidean": euclidean, "cosine": cosine} == SIMILARITIES


def test_several_references_count_by_their_mean() -> None:
    rng = np.random.default_rng(0)
    references = rng.normal(size=(7, 3, 5)).astype(np.float32)
    unit = references / np.linalg.norm(references, axis=-1, keepdims=True)
    merged = combine(unit)
    assert merged.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(merged, axis=-1), 1, rtol=1e-5)  # unit embeddings stay so
    np.testing.assert_allclose(cosine(merged, unit.mean(axis=-2)), 1, rtol=1e-5)
    np.testing.assert_allclose(combine(unit[:, ::-1]), merged, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(combine(np.repeat(references[:, :1], 4, axis=1)), references[:, 0], rtol=1e-5)


def test_one_reference_is_itself() -> None:
    reference = np.random.default_rng(0).normal(size=(2, 1, 5)).astype(np.float32)
    np.testing.assert_array_equal(combine(reference), reference[:, 0])


def test_references_that_cancel_out_are_nothing_and_no_division() -> None:
    assert combine(np.array([[1.0, 0.0], [-1.0, 0.0]])).tolist() == [0.0, 0.0]


@pytest.mark.parametrize("embeddings", [np.zeros((3, 0, 4), dtype=np.float32), np.zeros(4, dtype=np.float32)])
def test_no_reference_is_an_error(embeddings: NDArray[np.float32]) -> None:
    with pytest.raises(InputError, match="at least one reference"):
        combine(embeddings)
