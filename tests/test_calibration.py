"""From scores to decisions: against scikit-learn's logistic regression, and where the data is easy or hopeless."""

import math
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from samekind.calibration import Calibration, calibrate
from samekind.errors import InputError

Scores = NDArray[np.float32]
Same = NDArray[np.bool_]


def scores_of(genuine: int = 300, impostor: int = 900, *, apart: float = 1.5, seed: int = 0) -> tuple[Scores, Same]:
    rng = np.random.default_rng(seed)
    same = rng.permutation(np.arange(genuine + impostor) < genuine)
    return (rng.normal(size=len(same)) + apart * same).astype(np.float32), same


def fit(scores: Scores, same: Same) -> Calibration:
    return calibrate(scores, same, classes=20, data="nowhere")


@pytest.mark.parametrize(("scale", "shift"), [(1.0, 0.0), (0.02, -3.0), (40.0, 100.0)])
@pytest.mark.parametrize("impostor", [20_000, 60_000])
def test_with_many_pairs_it_is_scikit_learns_logistic_regression(scale: float, shift: float, impostor: int) -> None:
    scores, same = scores_of(20_000, impostor)
    scores = (scale * scores + shift).astype(np.float32)
    centred = (scores.astype(np.float64) - shift) / scale  # where scikit-learn's own optimiser is exact
    reference = LogisticRegression(C=np.inf, class_weight="balanced", tol=1e-10).fit(centred[:, None], same)
    found = fit(scores, same)
    np.testing.assert_allclose(found.slope * scale, reference.coef_[0, 0], rtol=2e-3)
    np.testing.assert_allclose(found.llr(scores), reference.decision_function(centred[:, None]), rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize(("genuine", "impostor"), [(3, 5), (6, 18), (300, 900)])
def test_it_is_the_logistic_regression_of_platts_targets(genuine: int, impostor: int) -> None:
    scores, same = scores_of(genuine, impostor)
    target = np.where(same, (genuine + 1) / (genuine + 2), 1 / (impostor + 2))
    weight = np.where(same, 0.5 / genuine, 0.5 / impostor)
    both = np.concatenate([scores, scores]).astype(np.float64)[:, None]  # each pair once as genuine, once as impostor
    answers = np.repeat([True, False], len(scores))
    weights = np.concatenate([weight * target, weight * (1 - target)])
    reference = LogisticRegression(C=np.inf, tol=1e-10).fit(both, answers, sample_weight=len(scores) * weights)
    expected = reference.decision_function(scores.astype(np.float64)[:, None])
    np.testing.assert_allclose(fit(scores, same).llr(scores), expected, rtol=1e-3, atol=1e-3)


def test_few_separable_pairs_claim_no_certainty() -> None:
    same = np.arange(24) < 12
    found = fit(np.where(same, 0.9, 0.1).astype(np.float32), same)
    assert found.probability(0.9) == pytest.approx(13 / 14, abs=1e-3)
    assert found.probability(0.1) == pytest.approx(1 / 14, abs=1e-3)
    many = np.arange(24_000) < 12_000
    assert fit(np.where(many, 0.9, 0.1).astype(np.float32), many).probability(0.9) > 0.999


def test_says_what_it_was_fitted_on() -> None:
    scores, same = scores_of()
    found = calibrate(scores, same, classes=17, data="omniglot")
    assert (found.pairs, found.classes, found.data) == (1200, 17, "omniglot")


@settings(max_examples=30)
@given(st.integers(0, 1000), st.floats(0.1, 50), st.floats(-50, 50))
def test_a_monotone_map_of_the_scores_moves_the_threshold_with_it(seed: int, scale: float, shift: float) -> None:
    scores, same = scores_of(100, 100, seed=seed)
    there = fit((scores * scale + shift).astype(np.float32), same)
    np.testing.assert_allclose(there.threshold, fit(scores, same).threshold * scale + shift, rtol=1e-3, atol=1e-2)


def test_threshold_is_where_both_answers_are_equally_likely() -> None:
    found = fit(*scores_of())
    assert found.llr(np.array([found.threshold]))[0] == pytest.approx(0, abs=1e-12)
    assert found.probability(found.threshold) == pytest.approx(0.5)
    assert found.probability(found.threshold + 0.01) > 0.5 > found.probability(found.threshold - 0.01)


def test_probability_is_the_logistic_function_and_never_overflows() -> None:
    found = Calibration(slope=2.0, intercept=-1.0, pairs=2, classes=2, data="")
    for score in (-3.0, 0.0, 0.5, 4.0):
        assert found.probability(score) == pytest.approx(1 / (1 + math.exp(1 - 2 * score)))
    assert found.probability(-1e6) == 0
    assert found.probability(1e6) == 1


def test_separable_scores_stay_finite() -> None:
    scores = np.concatenate([np.linspace(0.9, 1.0, 50), np.linspace(-1.0, -0.9, 50)]).astype(np.float32)
    found = fit(scores, scores > 0)
    assert math.isfinite(found.slope)
    assert 0 < found.slope < 100
    assert abs(found.threshold) < 0.2
    assert found.probability(0.95) == pytest.approx(51 / 52, abs=0.01)


def test_two_values_are_enough() -> None:
    found = fit(np.array([0.5, 0.25], dtype=np.float32), np.array([True, False]))
    assert found.threshold == pytest.approx(0.375, abs=1e-3)


def test_hopeless_scores_are_an_error() -> None:
    scores, same = scores_of(apart=-1)
    with pytest.raises(InputError, match="nothing was learned"):
        fit(scores, same)
    with pytest.raises(InputError, match="nothing was learned"):
        fit(np.zeros(10, dtype=np.float32), np.arange(10) < 5)
    with pytest.raises(InputError, match="nothing was learned"):
        fit(np.full(10, np.nan, dtype=np.float32), np.arange(10) < 5)


@pytest.mark.parametrize("value", [True, False])
def test_one_kind_of_pair_is_an_error(value: bool) -> None:
    with pytest.raises(InputError, match="expected genuine and impostor pairs"):
        fit(np.zeros(4, dtype=np.float32), np.full(4, value))


@pytest.mark.parametrize(
    ("slope", "intercept"), [(0.0, 1.0), (-1.0, 1.0), (math.nan, 0.0), (1.0, math.inf), (sys.float_info.max * 10, 0.0)]
)
def test_a_map_that_decides_nothing_is_an_error(slope: float, intercept: float) -> None:
    with pytest.raises(InputError, match="finite intercept and a slope > 0"):
        Calibration(slope, intercept, pairs=2, classes=2, data="")
