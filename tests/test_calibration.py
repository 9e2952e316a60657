"""From scores to decisions: against scikit-learn's logistic regression, and where the data is easy or hopeless."""

import math
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from samekind.calibration import SEARCH_SHARE, Calibration, calibrate, fit_searches
from samekind.certification import Certificate
from samekind.errors import InputError

Scores = NDArray[np.float32]
Same = NDArray[np.bool_]


def scores_of(genuine: int = 300, impostor: int = 900, *, apart: float = 1.5, seed: int = 0) -> tuple[Scores, Same]:
    rng = np.random.default_rng(seed)
    same = rng.permutation(np.arange(genuine + impostor) < genuine)
    return (rng.normal(size=len(same)) + apart * same).astype(np.float32), same


CLASSES = 2000


def fit(scores: Scores, same: Same, *, classes: int = CLASSES, prior: float = 0.5) -> Calibration:
    """Genuine pairs go round the classes, and so do impostors, each with the class that follows."""
    left = np.empty(len(same), dtype=np.int64)
    for kind in (same, ~same):
        left[kind] = np.arange(kind.sum()) % classes
    return calibrate(scores, left, np.where(same, left, (left + 1) % classes), data="nowhere", prior=prior)


def made(slope: float = 2.0, intercept: float = -1.0, **changes: object) -> Calibration:
    rest: dict[str, object] = {
        "covariance": (0.04, 0.01, 0.09),
        "quantile": 2.0,
        "prior": 0.5,
        "pairs": 200,
        "classes": 99,
        "data": "",
    }
    return Calibration(slope, intercept, **{**rest, **changes})  # type: ignore[arg-type]


def certificate(references: int, threshold: float, identities: int = 1) -> Certificate:
    return Certificate(threshold, 0.01, 0.95, 0.001, 0.009, 99, references, identities)


def with_effects(classes: int, *, pairs: int, effect: float, rng: np.random.Generator) -> Calibration:
    """Fitted to scores whose true log-likelihood ratio is 3 s - 4.5, with a share `effect` of variance of classes."""
    left = rng.integers(classes, size=2 * pairs)
    right = left.copy()
    right[pairs:] = (left[pairs:] + rng.integers(1, classes, size=pairs)) % classes
    half, whole = np.sqrt(effect / 2) * rng.normal(size=classes), np.sqrt(effect) * rng.normal(size=classes)
    mean = np.where(left == right, 3 + whole[left], half[left] + half[right])
    scores = mean + np.sqrt(1 - effect) * rng.normal(size=2 * pairs)
    return calibrate(scores.astype(np.float32), left, right, data="simulated")


@pytest.mark.parametrize(("scale", "shift"), [(1.0, 0.0), (0.02, -3.0), (40.0, 100.0)])
@pytest.mark.parametrize("impostor", [20_000, 60_000])
def test_with_many_pairs_it_is_scikit_learns_logistic_regression(scale: float, shift: float, impostor: int) -> None:
    scores, same = scores_of(20_000, impostor)
    scores = (scale * scores + shift).astype(np.float32)
    centred = (scores.astype(np.float64) - shift) / scale  # where scikit-learn's own optimiser is exact
    reference = LogisticRegression(C=np.inf, class_weight="balanced", tol=1e-10).fit(centred[:, None], same)
    found = fit(scores, same)
    np.testing.assert_allclose(found.slope * scale, reference.coef_[0, 0], rtol=2e-3)
    expected = np.clip(reference.decision_function(centred[:, None]), -found.bound, found.bound)
    np.testing.assert_allclose(found.llr(scores), expected, rtol=2e-3, atol=2e-3)


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
    found = fit(scores, same)
    np.testing.assert_allclose(found.slope * scores + found.intercept, expected, rtol=1e-3, atol=1e-3)


def test_few_separable_pairs_claim_no_certainty() -> None:
    same = np.arange(24) < 12
    found = fit(np.where(same, 0.9, 0.1).astype(np.float32), same)
    assert found.probability(0.9) == pytest.approx(13 / 14, abs=1e-3)
    assert found.probability(0.1) == pytest.approx(1 / 14, abs=1e-3)
    many = np.arange(24_000) < 12_000
    assert fit(np.where(many, 0.9, 0.1).astype(np.float32), many).probability(0.9) > 0.999


def test_says_what_it_was_fitted_on() -> None:
    scores, same = scores_of()
    found = fit(scores, same, classes=17)
    assert (found.pairs, found.classes, found.data) == (1200, 17, "nowhere")
    assert found.quantile == pytest.approx(stats.t.ppf(0.975, 16))


@settings(max_examples=30)
@given(st.integers(0, 1000), st.floats(0.1, 50), st.floats(-50, 50))
def test_a_monotone_map_of_the_scores_moves_the_threshold_with_it(seed: int, scale: float, shift: float) -> None:
    scores, same = scores_of(100, 100, seed=seed)
    there = fit((scores * scale + shift).astype(np.float32), same)
    np.testing.assert_allclose(there.threshold, fit(scores, same).threshold * scale + shift, rtol=1e-3, atol=1e-2)


def test_threshold_is_where_both_answers_are_equally_likely() -> None:
    found = fit(*scores_of())
    assert found.threshold_for(3) == found.threshold
    assert found.llr(np.array([found.threshold]))[0] == pytest.approx(0, abs=1e-12)
    assert found.probability(found.threshold) == pytest.approx(0.5)
    assert found.probability(found.threshold + 0.01) > 0.5 > found.probability(found.threshold - 0.01)


def test_probability_is_the_logistic_function_of_the_ratio_and_the_prior() -> None:
    found = made()
    for score in (-1.0, 0.0, 0.5, 2.0):
        assert found.probability(score) == pytest.approx(1 / (1 + math.exp(1 - 2 * score)))
        assert found.probability(score, prior=0.2) == pytest.approx(1 / (1 + 4 * math.exp(1 - 2 * score)))
    assert made(prior=0.2).probability(0.7) == found.probability(0.7, prior=0.2)
    assert made(prior=0.2).probability(made(prior=0.2).threshold) == pytest.approx(0.5)


@pytest.mark.parametrize("classes", [2, 10, 99])
def test_no_claim_goes_beyond_the_rule_of_succession(classes: int) -> None:
    found = made(classes=classes)
    for score, chance in ((1e6, (classes + 1) / (classes + 2)), (-1e6, 1 / (classes + 2))):
        for claim in (found.probability(score), found.probability_low(score), found.probability_high(score)):
            assert claim == pytest.approx(chance)


def test_a_prior_that_the_classes_cannot_outweigh_is_an_error() -> None:
    made(prior=0.01)
    with pytest.raises(InputError, match=r"between 0\.0833 and 0\.9167, got 0\.05.*10 classes"):
        made(prior=0.05, classes=10)
    for prior in (0.0, 1.0, -1.0, math.nan):
        with pytest.raises(InputError, match="prior in"):
            made(prior=prior)
        with pytest.raises(InputError, match="prior in"):
            made().probability(0.5, prior=prior)


def test_the_interval_is_of_slope_and_intercept_together() -> None:
    found = made()
    score = np.array([-0.5, 0.0, 1.5])
    half = 2 * np.sqrt(0.04 * score**2 + 0.02 * score + 0.09)
    low, high = found.llr_interval(score)
    np.testing.assert_allclose([low, high], [2 * score - 1 - half, 2 * score - 1 + half])
    assert found.probability_low(1.5) == pytest.approx(expit(2 - half[2]))
    assert found.probability_high(1.5, prior=0.2) == pytest.approx(expit(2 + half[2] - math.log(4)))


def test_it_is_undecided_where_the_interval_holds_one_half() -> None:
    found = made()
    assert found.undecided(found.threshold)
    assert found.undecided(0.7)
    assert not found.undecided(2.0)
    assert not found.undecided(-1.0)
    assert not made(prior=0.8).undecided(0.7)
    assert made(covariance=None).undecided(1e6), "two classes tell nothing of a third"


def test_the_certificate_is_that_of_the_references_or_of_the_next_fewer() -> None:
    found = made(certificates=(certificate(2, 0.7), certificate(5, 0.6), certificate(1, 0.1, identities=50)))
    assert found.certificate(1) is None
    assert found.threshold_for(1) == found.threshold
    for references, threshold in ((2, 0.7), (4, 0.7), (5, 0.6), (99, 0.6)):
        assert found.threshold_for(references) == threshold


def test_two_identities_are_tied_where_neither_is_three_times_as_likely() -> None:
    found, clear = made(), math.log(3) / 2
    assert found.tied(np.array([0.1, 0.9, 0.9 - clear + 0.01]))
    assert not found.tied(np.array([0.9 - clear - 0.01, 0.1, 0.9]))
    assert not found.tied(np.array([0.5]))
    with pytest.raises(InputError, match="N >= 1"):
        found.tied(np.empty(0))


def test_one_step_agrees_with_leaving_out_each_class_and_fitting_anew() -> None:
    rng, n = np.random.default_rng(3), 40
    left = rng.integers(n, size=4000)
    right = np.where(np.arange(4000) < 2000, left, (left + rng.integers(1, n, size=4000)) % n)
    effects = 0.5 * rng.normal(size=n)
    scores = (rng.normal(size=4000) + 2 * (left == right) + effects[left] + effects[right]).astype(np.float32)
    whole = calibrate(scores, left, right, data="")
    assert whole.covariance is not None
    fits = []
    for out in range(n):
        kept = (left != out) & (right != out)
        part = calibrate(scores[kept], left[kept], right[kept], data="")
        fits.append((part.slope, part.intercept))
    moved = np.asarray(fits) - [whole.slope, whole.intercept]
    expected = (n - 1) / n * moved.T @ moved
    (a, b), (_, d) = expected
    np.testing.assert_allclose(whole.covariance, (a, b, d), rtol=0.1)


def test_the_interval_follows_the_unit_of_the_scores() -> None:
    scores, same = scores_of()
    here, there = fit(scores, same, classes=30), fit((40 * scores + 100).astype(np.float32), same, classes=30)
    np.testing.assert_allclose(
        there.llr_interval(40 * np.array([0.5, 1.0]) + 100), here.llr_interval(np.array([0.5, 1.0])), rtol=1e-3
    )


def test_pairs_that_share_classes_make_the_interval_wider_than_pairs_alone() -> None:
    few = with_effects(30, pairs=2000, effect=0.5, rng=np.random.default_rng(0))
    many = with_effects(1000, pairs=2000, effect=0.5, rng=np.random.default_rng(0))
    (few_low, few_high), (low, high) = (c.llr_interval(np.array([1.5])) for c in (few, many))
    assert few_high - few_low > 2 * (high - low)


@pytest.mark.slow
@pytest.mark.parametrize(("classes", "effect"), [(30, 0.2), (100, 0.5)])
def test_intervals_cover_the_true_ratio(classes: int, effect: float) -> None:
    rng, scores = np.random.default_rng(1), np.array([0.5, 1.0, 1.5, 2.0, 2.5])
    truth, hits = 3 * scores - 4.5, []
    for _ in range(400):
        low, high = with_effects(classes, pairs=2000, effect=effect, rng=rng).llr_interval(scores)
        hits.append((low <= truth) & (truth <= high))
    assert 0.92 < np.mean(hits) < 0.98


def test_of_two_classes_nothing_is_known_of_the_next() -> None:
    found = fit(*scores_of(), classes=2)
    assert found.covariance is None
    assert found.probability_low(0.9) == pytest.approx(1 / 4)
    assert found.probability_high(0.9) == pytest.approx(3 / 4)


def test_classes_of_another_shape_are_an_error() -> None:
    with pytest.raises(InputError, match="one shape"):
        calibrate(np.zeros(4, np.float32), np.zeros(4, np.int64), np.zeros(3, np.int64), data="")


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
        made(slope, intercept)


def test_the_map_for_searches_is_weighted_logistic_regression() -> None:
    rng = np.random.default_rng(3)
    genuine, impostors = rng.normal(2, 1, 400).astype(np.float32), rng.gumbel(-1, 1, 3_000).astype(np.float32)
    slope, intercept = fit_searches(genuine, impostors)
    scores, same = np.concatenate([genuine, impostors]), np.arange(3_400) < 400
    weight = np.where(same, SEARCH_SHARE / 400, (1 - SEARCH_SHARE) / 3_000)
    reference = LogisticRegression(C=np.inf, tol=1e-9, max_iter=1_000).fit(scores[:, None], same, 1e5 * weight)
    odds = np.log(SEARCH_SHARE / (1 - SEARCH_SHARE))
    assert slope == pytest.approx(reference.coef_[0, 0], rel=0.02)  # Platt's targets are not quite 1 and 0
    assert intercept == pytest.approx(reference.intercept_[0] - odds, rel=0.05)


@given(st.floats(0.1, 50), st.floats(-20, 20))
def test_the_map_for_searches_moves_with_the_scores(scale: float, shift: float) -> None:
    rng = np.random.default_rng(4)
    genuine, impostors = rng.normal(2, 1, 300), rng.normal(-1, 1, 900)
    slope, intercept = fit_searches(genuine.astype(np.float32), impostors.astype(np.float32))
    moved = [(scores * scale + shift).astype(np.float32) for scores in (genuine, impostors)]
    other_slope, other_intercept = fit_searches(*moved)
    assert other_slope * scale == pytest.approx(slope, rel=1e-2)
    assert other_slope * shift + other_intercept == pytest.approx(intercept, rel=1e-2, abs=1e-2)


def test_where_the_map_is_affine_searches_have_the_same_one_as_pairs() -> None:
    rng = np.random.default_rng(5)
    slope, intercept = fit_searches(
        rng.normal(1.5, 1, 100_000).astype(np.float32), rng.normal(-1.5, 1, 100_000).astype(np.float32)
    )
    assert (slope, intercept) == pytest.approx((3, 0), abs=0.1)


@pytest.mark.parametrize("search", [(1.0,), (0.0, 1.0), (1.0, 2.0, 3.0)])
def test_a_map_for_searches_that_is_none_is_refused(search: tuple[float, ...]) -> None:
    with pytest.raises(InputError, match="expected a slope > 0 and an intercept for searches"):
        made(search=search)
