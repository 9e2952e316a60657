"""How good scores of pairs are.

Knows scores and which of them are genuine. Knows nothing of images, classes, models or protocols.
The words are those of ISO/IEC 19795-1: a pair is genuine (one class) or an impostor (two), and it matches at a
threshold t where score >= t. FMR is the share of impostors that match, FNMR the share of genuine pairs that do not.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from samekind.errors import InputError

Floats: TypeAlias = NDArray[np.float64]
Statistics: TypeAlias = Callable[[Floats], dict[str, Floats]]
"""From weights (B, P) of P pairs or trials to the value of each metric (B,), by name."""


@dataclass(frozen=True)
class Estimate:
    """A measured value and its 95 % interval; `intervals` makes it."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, eq=False)
class ErrorCurve:
    """Every operating point that the scores allow; what a ROC or DET plot draws.

    Args:
        thresholds: (K,) float64, falling; first infinity (nothing matches), then each distinct score.
        fmr: (..., K) float64 in [0, 1], rising from 0 to 1.
        fnmr: (..., K) float64 in [0, 1], falling from 1 to 0.
    """

    thresholds: Floats
    fmr: Floats
    fnmr: Floats


@dataclass(frozen=True, eq=False)
class Reliability:
    """How often "same" was true where its probability lay in each of K bins; what a reliability diagram draws.

    Args:
        stated: (K,) float64 in [0, 1], mean probability of a bin.
        observed: (K,) float64 in [0, 1], share of genuine pairs in it.
        shares: (K,) float64 > 0, of all pairs; sums to 1.
    """

    stated: Floats
    observed: Floats
    shares: Floats


@dataclass(frozen=True, eq=False)
class RiskCoverage:
    """What remains of the errors where only the surest questions are answered.

    Args:
        coverage: (K,) float64 in (0, 1], rising to 1: share of questions answered.
        risk: (K,) float64 in [0, 1], share of errors among these.
    """

    coverage: Floats
    risk: Floats


def error_curve(scores: ArrayLike, same: ArrayLike, *, weights: ArrayLike | None = None) -> ErrorCurve:
    """FMR and FNMR at every threshold that makes a difference; equal scores stand or fall together.

    Args:
        scores: (P,) float, larger is more alike.
        same: (P,) bool, true where the pair is genuine.
        weights: (P,) float >= 0, how often each pair counts; None: once.
    Returns:
        The curve, with K = 1 + the number of distinct scores.
    Raises:
        InputError: shapes differ, a score is not finite, or genuine or impostor pairs have no weight.
    """
    checked_scores, checked_same, checked_weights = _checked(scores, same, weights)
    return _sweep(checked_scores, checked_same)(checked_weights)


def auc(scores: ArrayLike, same: ArrayLike, *, weights: ArrayLike | None = None) -> float:
    """Area under the ROC curve: how often a genuine pair outscores an impostor; a tie counts half.

    Args, Raises: as `error_curve`.
    Returns:
        A float in [0, 1]; 0.5 for constant scores.
    """
    return float(_auc(error_curve(scores, same, weights=weights)))


def eer(scores: ArrayLike, same: ArrayLike, *, weights: ArrayLike | None = None) -> float:
    """Equal error rate: where FMR = FNMR on the straight lines between neighbouring operating points.

    Args, Raises: as `error_curve`.
    Returns:
        A float in [0, 1]; 0.5 for constant scores.
    """
    return float(_eer(error_curve(scores, same, weights=weights)))


def fnmr_at_fmr(scores: ArrayLike, same: ArrayLike, *, fmr: float, weights: ArrayLike | None = None) -> float:
    """The least FNMR over the thresholds whose FMR is at most the one asked for; no interpolation.

    Args, Raises: as `error_curve`; InputError also where fmr is not in [0, 1].
        fmr: the FMR allowed. With fewer than 1 / fmr impostors this demands that none of them matches.
    Returns:
        A float in [0, 1].
    """
    if not 0 <= fmr <= 1:
        raise InputError(f"expected an FMR in [0, 1], got {fmr}")
    return float(_fnmr_at_fmr(error_curve(scores, same, weights=weights), fmr=fmr))


def accuracy(scores: ArrayLike, same: ArrayLike, *, threshold: float, weights: ArrayLike | None = None) -> float:
    """Share of right decisions where score >= threshold means same.

    Args, Raises: as `error_curve`; InputError also where the threshold is NaN.
    Returns:
        A float in [0, 1].
    """
    checked_scores, checked_same, checked_weights = _checked(scores, same, weights)
    return float(_weighted_mean(_right(checked_scores, checked_same, threshold), checked_weights))


def cllr(llr: ArrayLike, same: ArrayLike, *, weights: ArrayLike | None = None) -> float:
    """Cost of log likelihood ratios in bits: what their errors cost over all priors.

    Args:
        llr: (P,) float, natural logarithm of p(score | same) / p(score | different).
        same, weights: as `error_curve`.
    Returns:
        A float >= 0; 0 is perfect, 1 is the cost of always saying 0 ("I do not know").
    Raises: as `error_curve`.
    Source: Brümmer, du Preez 2006, "Application-independent evaluation of speaker detection", eq. 37.
    """
    checked_llr, checked_same, checked_weights = _checked(llr, same, weights)
    return float(_cllr(checked_llr, checked_same, checked_weights))


def min_cllr(scores: ArrayLike, same: ArrayLike, *, weights: ArrayLike | None = None) -> float:
    """The least `cllr` that any rising map from these scores to log likelihood ratios reaches.

    Args, Raises: as `error_curve`.
    Returns:
        A float in [0, 1]; 1 for constant scores.
    Source: Brümmer, du Preez 2006, section 4: the map is isotonic regression (pool adjacent violators).
    """
    return float(_min_cllr(error_curve(scores, same, weights=weights)))


def reliability(
    probability: ArrayLike, same: ArrayLike, *, bins: int = 10, weights: ArrayLike | None = None
) -> Reliability:
    """Stated probabilities of "same" against how often it was true, in bins of equal width.

    Genuine pairs and impostors count as they come: for a prior of one half give as many of each, or such weights.

    Args:
        probability: (P,) float in [0, 1].
        same, weights: as `error_curve`.
        bins: how many, >= 1; those without a pair are left out. A probability on a border belongs to the bin above it.
    Raises: as `error_curve`; InputError also where a probability is not in [0, 1] or there is no bin.
    Source: DeGroot, Fienberg 1983, "The comparison and evaluation of forecasters".
    """
    stated, checked_same, checked_weights = _checked(probability, same, weights)
    if not (stated.min() >= 0 and stated.max() <= 1) or bins < 1:
        raise InputError(
            f"expected probabilities in [0, 1] and a bin, got {stated.min()} to {stated.max()}, {bins} bins"
        )
    place = np.minimum((stated * bins).astype(np.int64), bins - 1)
    held, of_stated, of_same = (
        np.bincount(place, checked_weights * values, minlength=bins)
        for values in (np.ones(len(stated)), stated, checked_same)
    )
    full = held > 0
    return Reliability(of_stated[full] / held[full], of_same[full] / held[full], held[full] / held.sum())


def expected_calibration_error(
    probability: ArrayLike, same: ArrayLike, *, bins: int = 10, weights: ArrayLike | None = None
) -> float:
    """Mean distance of stated from observed over the bins of `reliability`, each by its share of pairs.

    Args, Raises: as `reliability`.
    Returns:
        A float in [0, 1]; 0 where every bin keeps its word.
    Source: Naeini, Cooper, Hauskrecht 2015, "Obtaining well calibrated probabilities using Bayesian binning".
    """
    found = reliability(probability, same, bins=bins, weights=weights)
    return float(found.shares @ np.abs(found.stated - found.observed))


def risk_coverage(sureness: ArrayLike, right: ArrayLike, *, weights: ArrayLike | None = None) -> RiskCoverage:
    """The share of errors among the answered, when the least sure questions are left unanswered.

    Args:
        sureness: (T,) float, larger is answered earlier, such as the absolute log-likelihood ratio; equal ones are
            answered together. Questions that are never answered are marked by minus infinity.
        right: (T,) bool, whether the answer would be right.
        weights: (T,) float >= 0, how often each question counts; None: once.
    Returns:
        The curve, from the surest to all that are ever answered; K is the number of distinct finite values.
    Raises:
        InputError: shapes differ, right is not bool, a sureness is NaN, or nothing is answered.
    Source: El-Yaniv, Wiener 2010, "On the foundations of noise-free selective classification".
    """
    sure, true = np.asarray(sureness, dtype=np.float64), np.asarray(right)
    counts = np.ones(sure.shape) if weights is None else np.asarray(weights, dtype=np.float64)
    if sure.ndim != 1 or not sure.shape == true.shape == counts.shape or true.dtype != np.bool_ or np.isnan(sure).any():
        raise InputError(f"expected sureness without NaN and right as bool, both (T,), got {sure.shape}, {true.shape}")
    order = np.argsort(-sure, kind="stable")
    order = order[sure[order] > -np.inf]
    answered, errors = np.cumsum(counts[order]), np.cumsum(counts[order] * ~true[order])
    ends = np.flatnonzero(np.append(sure[order][1:] != sure[order][:-1], True)) if len(order) else np.empty(0, np.int64)
    ends = ends[answered[ends] > 0]
    if not len(ends):
        raise InputError("expected at least one question that is answered, got none")
    return RiskCoverage(answered[ends] / counts.sum(), errors[ends] / answered[ends])


def _checked(scores: ArrayLike, same: ArrayLike, weights: ArrayLike | None) -> tuple[Floats, NDArray[np.bool_], Floats]:
    scores, same = np.asarray(scores, dtype=np.float64), np.asarray(same)
    weights = np.ones(scores.shape) if weights is None else np.asarray(weights, dtype=np.float64)
    if scores.ndim != 1 or not scores.shape == same.shape == weights.shape:
        shapes = f"{scores.shape}, {same.shape}, {weights.shape}"
        raise InputError(f"expected scores, same and weights of one shape (P,), got {shapes}")
    if same.dtype != np.bool_:
        raise InputError(f"expected same as bool, true for a genuine pair, got {same.dtype}")
    if not np.isfinite(scores).all():
        bad = int((~np.isfinite(scores)).sum())
        raise InputError(f"expected finite scores, got {bad} of {len(scores)} NaN or infinite; find out what made them")
    if not (np.isfinite(weights).all() and (weights >= 0).all()):
        raise InputError("expected finite weights >= 0")
    genuine, impostor = weights[same].sum(), weights[~same].sum()
    if not (genuine > 0 and impostor > 0):
        raise InputError(f"expected genuine and impostor pairs, got weights {genuine:g} and {impostor:g}")
    return scores, same, weights


# Below, weights are (..., P) and results (...): the same formulas serve one value and a block of resamples.


def _sweep(scores: Floats, same: NDArray[np.bool_]) -> Callable[[Floats], ErrorCurve]:
    """Sort once, then make the curve for any weights by cumulative sums."""
    order = np.argsort(-scores, kind="stable")
    falling, genuine = scores[order], same[order]
    ends = np.flatnonzero(np.append(falling[1:] != falling[:-1], True))  # the last of each run of equal scores
    thresholds = np.append(np.inf, falling[ends])

    def matched(weights: Floats) -> Floats:
        total = np.cumsum(weights, axis=-1)[..., ends]
        return np.concatenate([np.zeros((*total.shape[:-1], 1)), total], axis=-1)  # (..., K)

    def curve(weights: Floats) -> ErrorCurve:
        ordered = weights[..., order]
        impostors, genuines = matched(ordered * ~genuine), matched(ordered * genuine)
        all_impostors, all_genuines = impostors[..., -1:], genuines[..., -1:]
        return ErrorCurve(thresholds, impostors / all_impostors, (all_genuines - genuines) / all_genuines)

    return curve


def _auc(curve: ErrorCurve) -> Floats:
    return np.asarray(np.trapezoid(1 - curve.fnmr, curve.fmr, axis=-1))


def _eer(curve: ErrorCurve) -> Floats:
    difference = curve.fmr - curve.fnmr  # rises from -1 to 1
    right = np.argmax(difference >= 0, axis=-1)
    below, above = _at(difference, right - 1), _at(difference, right)
    start, stop = _at(curve.fmr, right - 1), _at(curve.fmr, right)
    return start + (stop - start) * below / (below - above)


def _fnmr_at_fmr(curve: ErrorCurve, *, fmr: float) -> Floats:
    last = (curve.fmr <= fmr).sum(axis=-1) - 1  # FNMR only falls, so the last allowed point is the least
    return _at(curve.fnmr, last)


def _min_cllr(curve: ErrorCurve) -> Floats:
    from scipy.optimize import isotonic_regression  # takes a fifth of a second, and a decision needs none of it
    from scipy.special import xlogy

    genuine, impostor = -np.diff(curve.fnmr), np.diff(curve.fmr)  # (..., K - 1), the share that has each score
    costs = np.empty(genuine.shape[:-1])
    for row in np.ndindex(costs.shape):
        held = genuine[row] + impostor[row] > 0
        g, i = genuine[row][held], impostor[row][held]
        posterior = isotonic_regression(g / (g + i), weights=g + i, increasing=False).x  # of "same", at even priors
        costs[row] = -(xlogy(g, posterior).sum() + xlogy(i, 1 - posterior).sum()) / (2 * np.log(2))
    return costs


def _cllr(llr: Floats, same: NDArray[np.bool_], weights: Floats) -> Floats:
    bits = np.logaddexp(0, np.where(same, -llr, llr)) / np.log(2)
    return (_weighted_mean(bits, weights * same) + _weighted_mean(bits, weights * ~same)) / 2


def _right(scores: Floats, same: NDArray[np.bool_], threshold: float) -> Floats:
    if np.isnan(threshold):
        raise InputError("expected a threshold, got NaN")
    right: NDArray[np.bool_] = (scores >= threshold) == same
    return right.astype(np.float64)


def _at(values: Floats, index: NDArray[np.integer]) -> Floats:
    """From values (..., K) the one at index (...)."""
    found: Floats = np.take_along_axis(values, np.asarray(index)[..., None], axis=-1)[..., 0]
    return found


def _weighted_mean(values: Floats, weights: Floats) -> Floats:
    return np.asarray(weights @ values / weights.sum(axis=-1))


_OF_CURVE: dict[str, Callable[[ErrorCurve], Floats]] = {
    "eer": _eer,
    "auc": _auc,
    "fnmr@fmr=0.01": partial(_fnmr_at_fmr, fmr=0.01),
    "fnmr@fmr=0.001": partial(_fnmr_at_fmr, fmr=0.001),
    "min_cllr": _min_cllr,
}

PAIR_METRICS = ("accuracy", *_OF_CURVE, "cllr")
"""Names that `pair_statistics` knows."""


def pair_statistics(
    scores: ArrayLike,
    same: ArrayLike,
    *,
    names: tuple[str, ...],
    threshold: float | None = None,
    llr: ArrayLike | None = None,
) -> Statistics:
    """The named metrics of scored pairs, for `intervals.estimate`.

    Args:
        scores, same: as `error_curve`.
        names: of PAIR_METRICS.
        threshold: for accuracy; where it is None, accuracy is left out.
        llr: (P,) float, for cllr; where it is None, cllr is left out.
    Raises:
        InputError: a name is unknown, or as `error_curve`.
    """
    if unknown := sorted(set(names) - set(PAIR_METRICS)):
        raise InputError(f"expected metrics among {', '.join(PAIR_METRICS)}; got {', '.join(unknown)}")
    checked_scores, checked_same, _ = _checked(scores, same, None)
    right = None if threshold is None else _right(checked_scores, checked_same, threshold)
    checked_llr = None if llr is None else _checked(llr, same, None)[0]
    sweep = _sweep(checked_scores, checked_same)

    def statistics(weights: Floats) -> dict[str, Floats]:
        curve = sweep(weights)
        values = {name: metric(curve) for name, metric in _OF_CURVE.items() if name in names}
        if "accuracy" in names and right is not None:
            values["accuracy"] = _weighted_mean(right, weights)
        if "cllr" in names and checked_llr is not None:
            values["cllr"] = _cllr(checked_llr, checked_same, weights)
        return {name: values[name] for name in names if name in values}

    return statistics
