"""The metrics against scikit-learn, against loops that follow the definitions, and by their laws."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from scipy.interpolate import interp1d
from scipy.optimize import brentq
from sklearn.calibration import calibration_curve
from sklearn.isotonic import IsotonicRegression
from sklearn.metrics import accuracy_score, log_loss, roc_auc_score, roc_curve

from samekind import metrics
from samekind.errors import InputError

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Metric = Callable[[Floats, Bools], float]

METRICS: dict[str, Metric] = {
    "auc": metrics.auc,
    "eer": metrics.eer,
    "accuracy": lambda scores, same: metrics.accuracy(scores, same, threshold=0.5),
    "fnmr_at_fmr": lambda scores, same: metrics.fnmr_at_fmr(scores, same, fmr=0.1),
    "cllr": metrics.cllr,
    "min_cllr": metrics.min_cllr,
    "error_curve": lambda scores, same: float(metrics.error_curve(scores, same).fmr[-1]),
}


def overlapping(seed: int, *, n: int = 400, decimals: int = 1) -> tuple[Floats, Bools]:
    """Scores of both kinds that overlap and, rounded so, tie often."""
    rng = np.random.default_rng(seed)
    same = rng.random(n) < 0.4
    return np.round(rng.normal(size=n) + same, decimals), same


@st.composite
def scored(draw: st.DrawFn) -> tuple[Floats, Bools]:
    n = draw(st.integers(2, 30))
    scores = draw(arrays(np.float64, n, elements=st.integers(-8, 8).map(float)))
    same = draw(arrays(np.bool_, n))
    same[0], same[1] = True, False
    return scores, same


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("decimals", [1, 6])
def test_auc_and_eer_agree_with_scikit_learn(seed: int, decimals: int) -> None:
    scores, same = overlapping(seed, decimals=decimals)
    fmr, tmr, _ = roc_curve(same, scores, drop_intermediate=False)
    assert metrics.auc(scores, same) == pytest.approx(roc_auc_score(same, scores), abs=1e-12)
    crossing = brentq(lambda x: 1 - x - float(interp1d(fmr, tmr)(x)), 0, 1, xtol=1e-14)
    assert metrics.eer(scores, same) == pytest.approx(crossing, abs=1e-9)


def test_the_curve_is_the_one_of_scikit_learn() -> None:
    scores, same = overlapping(0)
    fmr, tmr, thresholds = roc_curve(same, scores, drop_intermediate=False)
    curve = metrics.error_curve(scores, same)
    np.testing.assert_array_equal(curve.thresholds, thresholds)
    np.testing.assert_allclose(curve.fmr, fmr, atol=1e-15)
    np.testing.assert_allclose(curve.fnmr, 1 - tmr, atol=1e-15)


def test_a_point_of_the_curve_is_what_its_threshold_does() -> None:
    scores, same = overlapping(1)
    curve = metrics.error_curve(scores, same)
    for threshold, fmr, fnmr in zip(curve.thresholds, curve.fmr, curve.fnmr, strict=True):
        assert fmr == np.mean(scores[~same] >= threshold)
        assert fnmr == np.mean(scores[same] < threshold)


@pytest.mark.parametrize("fmr", [0.0, 0.004, 0.05, 0.3, 1.0])
def test_fnmr_at_fmr_is_the_least_over_all_thresholds(fmr: float) -> None:
    scores, same = overlapping(2)
    allowed = [t for t in [*scores, np.inf] if np.mean(scores[~same] >= t) <= fmr]
    least = min(np.mean(scores[same] < t) for t in allowed)
    assert metrics.fnmr_at_fmr(scores, same, fmr=fmr) == least


def test_an_fmr_that_is_met_exactly_is_allowed() -> None:
    scores = np.append(np.arange(100.0), 98.5)  # one impostor of 100 lies above the genuine pair
    assert metrics.fnmr_at_fmr(scores, np.arange(101) == 100, fmr=0.01) == 0
    assert metrics.fnmr_at_fmr(scores, np.arange(101) == 100, fmr=0.0099) == 1


@pytest.mark.parametrize("threshold", [-1.0, 0.3, 0.5, 9.0])
def test_accuracy_counts_a_score_at_the_threshold_as_same(threshold: float) -> None:
    scores, same = overlapping(3)
    assert 0.3 in scores
    expected = accuracy_score(same, scores >= threshold)
    assert metrics.accuracy(scores, same, threshold=threshold) == pytest.approx(expected)


@pytest.mark.parametrize("seed", range(3))
def test_cllr_is_the_balanced_log_loss_in_bits(seed: int) -> None:
    llr, same = overlapping(seed)
    weights = np.where(same, 1 / same.sum(), 1 / (~same).sum())
    expected = log_loss(same, 1 / (1 + np.exp(-llr)), sample_weight=weights) / np.log(2)
    assert metrics.cllr(llr, same) == pytest.approx(expected)


@pytest.mark.parametrize("seed", range(3))
def test_min_cllr_is_the_cllr_of_isotonic_regression(seed: int) -> None:
    scores, same = overlapping(seed)
    posterior = IsotonicRegression(y_min=1e-12, y_max=1 - 1e-12).fit_transform(scores, same)
    prior = same.mean()
    llr = np.log(posterior / (1 - posterior)) - np.log(prior / (1 - prior))
    assert metrics.min_cllr(scores, same) == pytest.approx(metrics.cllr(llr, same), abs=1e-6)


@pytest.mark.parametrize(("name", "chance"), [("auc", 0.5), ("eer", 0.5), ("accuracy", 0.5), ("min_cllr", 1.0)])
@pytest.mark.parametrize("constant", [0.0, 0.5, 3.0])
def test_constant_scores_are_chance(name: str, chance: float, constant: float) -> None:
    assert METRICS[name](np.full(20, constant), np.arange(20) < 10) == pytest.approx(chance, abs=1e-12)


def test_not_knowing_costs_one_bit() -> None:
    assert metrics.cllr(np.zeros(6), np.arange(6) < 2) == pytest.approx(1)


@pytest.mark.parametrize(("name", "best"), [("auc", 1), ("eer", 0), ("fnmr_at_fmr", 0), ("min_cllr", 0)])
def test_separated_scores_are_perfect(name: str, best: float) -> None:
    scores = np.array([3.0, 2.0, 1.0, 0.0])
    assert METRICS[name](scores, np.array([True, True, False, False])) == best


@given(scored())
def test_a_rising_map_changes_nothing(case: tuple[Floats, Bools]) -> None:
    scores, same = case
    for metric in (metrics.auc, metrics.eer, metrics.min_cllr):
        assert metric(np.exp(scores / 4) - 7, same) == pytest.approx(metric(scores, same), abs=1e-12)


@given(scored())
def test_order_does_not_matter(case: tuple[Floats, Bools]) -> None:
    scores, same = case
    for metric in METRICS.values():
        assert metric(scores[::-1], same[::-1]) == pytest.approx(metric(scores, same), abs=1e-12)


@given(scored())
def test_the_other_sign_is_the_other_side_of_chance(case: tuple[Floats, Bools]) -> None:
    scores, same = case
    assert metrics.auc(-scores, same) == pytest.approx(1 - metrics.auc(scores, same))
    assert metrics.eer(-scores, same) == pytest.approx(1 - metrics.eer(scores, same))


@given(scored())
def test_min_cllr_is_never_more_than_cllr(case: tuple[Floats, Bools]) -> None:
    assert metrics.min_cllr(*case) <= metrics.cllr(*case) + 1e-12


@given(scored(), st.integers(0, 2**32))
def test_a_weight_is_a_repetition(case: tuple[Floats, Bools], seed: int) -> None:
    scores, same = case
    weights = np.random.default_rng(seed).integers(0, 4, size=len(scores))
    weights[:2] = 1, 2
    repeated, repeated_same = np.repeat(scores, weights), np.repeat(same, weights)
    pairs = [
        (metrics.auc(scores, same, weights=weights), metrics.auc(repeated, repeated_same)),
        (metrics.eer(scores, same, weights=weights), metrics.eer(repeated, repeated_same)),
        (metrics.cllr(scores, same, weights=weights), metrics.cllr(repeated, repeated_same)),
        (metrics.min_cllr(scores, same, weights=weights), metrics.min_cllr(repeated, repeated_same)),
        (
            metrics.accuracy(scores, same, threshold=1, weights=weights),
            metrics.accuracy(repeated, repeated_same, threshold=1),
        ),
        (
            metrics.fnmr_at_fmr(scores, same, fmr=0.3, weights=weights),
            metrics.fnmr_at_fmr(repeated, repeated_same, fmr=0.3),
        ),
    ]
    for weighted, by_hand in pairs:
        assert weighted == pytest.approx(by_hand, abs=1e-12)


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize(
    ("scores", "same", "said"),
    [
        (np.array([0.1, np.nan]), np.array([True, False]), "1 of 2 NaN"),
        (np.array([0.1, np.inf]), np.array([True, False]), "infinite"),
        (np.array([0.1, 0.2]), np.array([True, True]), "genuine and impostor"),
        (np.array([0.1, 0.2]), np.array([False, False]), "genuine and impostor"),
        (np.array([]), np.array([], dtype=bool), "genuine and impostor"),
        (np.array([0.1, 0.2]), np.array([1, 0]), "same as bool"),
        (np.array([0.1, 0.2]), np.array([True]), "one shape"),
        (np.array([[0.1, 0.2]]), np.array([[True, False]]), "one shape"),
    ],
)
def test_what_cannot_be_measured_is_an_error(name: str, scores: Floats, same: Bools, said: str) -> None:
    with pytest.raises(InputError, match=said):
        METRICS[name](scores, same)


@pytest.mark.parametrize("weights", [[1.0, -1.0, 1.0], [1.0, np.nan, 1.0], [1.0, 0.0, 0.0], [1.0, 1.0]])
def test_weights_that_mean_nothing_are_an_error(weights: list[float]) -> None:
    with pytest.raises(InputError):
        metrics.auc([0.3, 0.2, 0.1], np.array([True, False, False]), weights=weights)


def test_arguments_out_of_range_are_errors() -> None:
    scores, same = overlapping(0)
    with pytest.raises(InputError, match="FMR"):
        metrics.fnmr_at_fmr(scores, same, fmr=1.5)
    with pytest.raises(InputError, match="threshold"):
        metrics.accuracy(scores, same, threshold=float("nan"))
    with pytest.raises(InputError, match="min_cllr"):
        metrics.pair_statistics(scores, same, names=("f1",))


def test_pair_statistics_are_the_public_metrics_by_name() -> None:
    scores, same = overlapping(4)
    weights = np.random.default_rng(0).integers(1, 4, size=(3, len(scores))).astype(np.float64)
    compute = metrics.pair_statistics(scores, same, names=metrics.PAIR_METRICS, threshold=0.5, llr=2 * scores)
    for row, of_row in enumerate(weights):
        expected = {
            "accuracy": metrics.accuracy(scores, same, threshold=0.5, weights=of_row),
            "eer": metrics.eer(scores, same, weights=of_row),
            "auc": metrics.auc(scores, same, weights=of_row),
            "fnmr@fmr=0.01": metrics.fnmr_at_fmr(scores, same, fmr=0.01, weights=of_row),
            "fnmr@fmr=0.001": metrics.fnmr_at_fmr(scores, same, fmr=0.001, weights=of_row),
            "min_cllr": metrics.min_cllr(scores, same, weights=of_row),
            "cllr": metrics.cllr(2 * scores, same, weights=of_row),
        }
        assert {name: values[row] for name, values in compute(weights).items()} == pytest.approx(expected)


def test_what_was_not_given_is_left_out_and_not_guessed() -> None:
    scores, same = overlapping(4)
    found = metrics.pair_statistics(scores, same, names=metrics.PAIR_METRICS)(np.ones((1, len(scores))))
    assert set(metrics.PAIR_METRICS) - set(found) == {"accuracy", "cllr"}


def forecasts(seed: int, *, n: int = 500) -> tuple[Floats, Bools]:
    rng = np.random.default_rng(seed)
    probability = rng.beta(0.7, 0.7, size=n)
    return probability, rng.random(n) < probability**1.5


@pytest.mark.parametrize("bins", [1, 4, 10, 50])
def test_reliability_is_scikit_learns_calibration_curve(bins: int) -> None:
    probability, same = forecasts(0)
    found = metrics.reliability(probability, same, bins=bins)
    observed, stated = calibration_curve(same, probability, n_bins=bins)
    np.testing.assert_allclose(found.observed, observed)
    np.testing.assert_allclose(found.stated, stated)
    assert found.shares.sum() == pytest.approx(1)
    gap = np.abs(observed - stated) @ (np.histogram(probability, bins, (0, 1))[0] / len(same))
    assert metrics.expected_calibration_error(probability, same, bins=bins) == pytest.approx(gap)


def test_reliability_keeps_both_ends_and_leaves_out_empty_bins() -> None:
    found = metrics.reliability([0.0, 0.05, 0.95, 1.0], np.array([False, True, True, True]))
    np.testing.assert_allclose([found.stated, found.observed, found.shares], [[0.025, 0.975], [0.5, 1], [0.5, 0.5]])
    assert metrics.expected_calibration_error([0.0, 1.0], np.array([False, True])) == 0
    assert metrics.expected_calibration_error([0.0, 1.0], np.array([True, False])) == 1


def test_weights_count_as_copies_in_reliability() -> None:
    (probability, same), weights = forecasts(1), np.random.default_rng(0).integers(0, 4, 500)
    weighted = metrics.reliability(probability, same, weights=weights)
    copied = metrics.reliability(np.repeat(probability, weights), np.repeat(same, weights))
    np.testing.assert_allclose(weighted.observed, copied.observed)
    np.testing.assert_allclose(weighted.shares, copied.shares)


@pytest.mark.parametrize("probability", [[-0.1, 0.5], [0.5, 1.1]])
def test_what_is_no_probability_is_an_error(probability: list[float]) -> None:
    with pytest.raises(InputError, match="expected probabilities in"):
        metrics.reliability(probability, np.array([True, False]))
    with pytest.raises(InputError, match="0 bins"):
        metrics.reliability([0.5, 0.5], np.array([True, False]), bins=0)


@given(st.integers(0, 1000))
def test_risk_over_coverage_follows_its_definition(seed: int) -> None:
    rng = np.random.default_rng(seed)
    sureness, right = np.round(rng.normal(size=30), 1), rng.random(30) < 0.7
    found = metrics.risk_coverage(sureness, right)
    for coverage, risk, least in zip(found.coverage, found.risk, np.unique(sureness)[::-1], strict=True):
        assert coverage == pytest.approx(np.mean(sureness >= least))
        assert risk == pytest.approx(np.mean(~right[sureness >= least]))
    assert found.coverage[-1] == 1


def test_risk_weighs_questions_and_leaves_out_what_is_never_answered() -> None:
    right = np.array([True, False, True, False])
    found = metrics.risk_coverage([3, 2, 1, -np.inf], right, weights=[1, 1, 2, 4])
    np.testing.assert_allclose([found.coverage, found.risk], [[1 / 8, 2 / 8, 4 / 8], [0, 1 / 2, 1 / 4]])


def test_risk_of_nothing_is_an_error() -> None:
    with pytest.raises(InputError, match="at least one question"):
        metrics.risk_coverage([-np.inf], np.array([True]))
    with pytest.raises(InputError, match="without NaN"):
        metrics.risk_coverage([np.nan], np.array([True]))
    with pytest.raises(InputError, match="right as bool"):
        metrics.risk_coverage([1.0], np.array([1.0]))
