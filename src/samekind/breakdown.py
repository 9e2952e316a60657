"""An evaluation seen from closer: its curves with 95 % bands, and its rates group by group.

Knows scored pairs and trials and their classes. Draws nothing. Every band is pointwise, resampled over classes.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from samekind import metrics
from samekind.errors import InputError
from samekind.intervals import estimate
from samekind.metrics import Estimate, Floats
from samekind.scored import ScoredPairs, ScoredTrials


@dataclass(frozen=True, eq=False)
class Band:
    """A curve and its 95 % interval at each of K points.

    Args:
        at: (K,) float64, where.
        value, low, high: (K,) float64.
    """

    at: Floats
    value: Floats
    low: Floats
    high: Floats

    def __getitem__(self, part: slice) -> "Band":
        """Some of its points."""
        return Band(self.at[part], self.value[part], self.low[part], self.high[part])


@dataclass(frozen=True, eq=False)
class ReliabilityBand:
    """`metrics.Reliability` with intervals.

    Args:
        observed: at the mean stated probability of each of K bins, the share of genuine pairs.
        shares: (K,) float64, of all pairs in each bin.
    """

    observed: Band
    shares: Floats


@dataclass(frozen=True)
class GroupRates:
    """The rates of one group of classes, e.g. an alphabet.

    Args:
        name: of the group.
        classes: of it that were asked about.
        items: pairs or trials that involve it.
        rates: by name; only what can be measured and resampled.
    """

    name: str
    classes: int
    items: int
    rates: dict[str, Estimate]


def misses_at(scored: ScoredPairs, fmrs: ArrayLike, *, rng: np.random.Generator) -> Band:
    """The least FNMR whose FMR is at most each one asked for, as `metrics.fnmr_at_fmr`.

    Args:
        scored: the pairs.
        fmrs: (K,) float in [0, 1].
        rng: draws the resamples.
    """
    at = np.asarray(fmrs, dtype=np.float64)
    order = np.argsort(-scored.scores, kind="stable")  # once, so that sorting again is quick
    scores, same = scored.scores[order], scored.pairs.same[order]

    def rates(weights: Floats) -> Floats:
        curves = (metrics.error_curve(scores, same, weights=row[order]) for row in weights)
        return np.stack([curve.fnmr[np.searchsorted(curve.fmr, at, side="right") - 1] for curve in curves])

    return _band(at, rates, scored, rng)


def reliability_at(scored: ScoredPairs, *, bins: int = 10, rng: np.random.Generator) -> ReliabilityBand:
    """Stated probabilities, where both answers are equally likely beforehand, against what was true.

    Args:
        scored: pairs with log likelihood ratios; genuine pairs and impostors weigh the same in all.
        bins: as `metrics.reliability`.
        rng: draws the resamples.
    Raises:
        InputError: the model is not calibrated.
    """
    if scored.llr is None:
        raise InputError("expected pairs with log likelihood ratios, got none; calibrate the model")
    from scipy.special import expit

    stated, same = expit(scored.llr), scored.pairs.same
    place = np.minimum((stated * bins).astype(np.int64), bins - 1)  # as `metrics.reliability` has it

    def measured(weights: Floats) -> metrics.Reliability:
        even = weights / np.where(same, weights @ same, weights @ ~same)
        return metrics.reliability(stated, same, bins=bins, weights=even)

    def rates(weights: Floats) -> Floats:
        observed = np.full((len(weights), bins), 0.5)  # for bins that a resample leaves empty
        for row, drawn in zip(observed, weights, strict=True):
            row[np.bincount(place, drawn, minlength=bins) > 0] = measured(drawn).observed
        return observed[:, np.unique(place)]

    found = measured(np.ones(len(same)))
    return ReliabilityBand(_band(found.stated, rates, scored, rng), found.shares)


def risk_at(
    scored: ScoredPairs | ScoredTrials, threshold: float | None, coverages: ArrayLike, *, rng: np.random.Generator
) -> Band:
    """The share of errors among the surest answers, when at least so many questions are answered.

    The surest pair is the one farthest from the threshold, the surest trial the one whose best class leads by most.

    Args:
        scored: the pairs or trials.
        threshold: of the pairs; trials need none.
        coverages: (K,) float in (0, 1], the share answered; see `metrics.risk_coverage`.
        rng: draws the resamples.
    """
    at = np.asarray(coverages, dtype=np.float64)
    right, sureness = _answers(scored, threshold)
    order = np.argsort(-sureness, kind="stable")  # once, so that sorting again is quick
    right, sureness = right[order], sureness[order]

    def rates(weights: Floats) -> Floats:
        curves = (metrics.risk_coverage(sureness, right, weights=row[order]) for row in weights)
        least = at * (1 - 1e-12)  # so that rounding asks for no more than there are
        return np.stack([curve.risk[np.searchsorted(curve.coverage, least)] for curve in curves])

    return _band(at, rates, scored, rng)


def by_group(
    scored: ScoredPairs | ScoredTrials, threshold: float | None, *, rng: np.random.Generator
) -> tuple[GroupRates, ...]:
    """The rates of each group, the worst first.

    Of pairs: misses among the genuine pairs of the group, false matches among the impostors with at least one side in
    it, both at the threshold, and the equal error rate of both. Of trials: errors where a class of the group is asked
    about.

    A rate of 0 has no spread to resample. Its interval then ends where so many classes without any error leave the
    rate with 97.5 % confidence: at 1 - 0.025 ** (1 / n), with n classes, or n pairs of classes that share none.

    Args:
        scored: the pairs or trials.
        threshold: of the pairs; where None, only the equal error rate is given.
        rng: draws the resamples.
    Returns:
        The groups that occur; none where the data has no groups or only one.
    """
    data = scored.data
    if data.groups is None or len(set(data.groups)) < 2:
        return ()
    names, of_class = np.unique(np.asarray(data.groups), return_inverse=True)
    left, right = scored.classes
    groups = []
    for group, name in enumerate(names):
        inside = (of_class[left] == group) | (of_class[right] == group)
        if inside.any():
            asked = np.unique(np.concatenate([side[inside & (of_class[side] == group)] for side in (left, right)]))
            rates = _group_rates(scored, threshold, inside, len(asked), rng=rng)
            groups.append(GroupRates(str(name), len(asked), int(inside.sum()), rates))
    return tuple(sorted(groups, key=_worst_first)) if len(groups) > 1 else ()


def _group_rates(
    scored: ScoredPairs | ScoredTrials,
    threshold: float | None,
    inside: NDArray[np.bool_],
    classes: int,
    *,
    rng: np.random.Generator,
) -> dict[str, Estimate]:
    left, right = scored.classes
    if isinstance(scored, ScoredTrials):
        kinds = {"error": (inside, classes)}
    else:
        same = scored.pairs.same
        kinds = {"misses": (inside & same, classes), "false matches": (inside & ~same, max(1, classes // 2))}
    rates = {}
    if isinstance(scored, ScoredTrials) or threshold is not None:
        wrong = 1 - _answers(scored, threshold)[0].astype(np.float64)
        for name, (kind, independent) in kinds.items():
            if len(np.unique(np.concatenate([left[kind], right[kind]]))) > 1:
                rates[name] = _rate(wrong[kind], (left[kind], right[kind]), independent, rng=rng)
    if isinstance(scored, ScoredPairs) and inside[same].any() and inside[~same].any():
        statistics = metrics.pair_statistics(scored.scores[inside], same[inside], names=("eer",))
        rates |= estimate(statistics, (left[inside], right[inside]), rng=rng)
    return rates


def _rate(
    wrong: Floats,
    classes: tuple[NDArray[np.int64], NDArray[np.int64]],
    independent: int,
    *,
    rng: np.random.Generator,
) -> Estimate:
    def statistics(weights: Floats) -> dict[str, Floats]:
        return {"rate": weights @ wrong / weights.sum(axis=1)}

    found = estimate(statistics, classes, rng=rng)["rate"]
    return found if found.value > 0 else Estimate(0.0, 0.0, 1 - 0.025 ** (1 / independent))


def _worst_first(group: GroupRates) -> tuple[float, str]:
    return -max((estimate.value for estimate in group.rates.values()), default=0.0), group.name


def _answers(scored: ScoredPairs | ScoredTrials, threshold: float | None) -> tuple[NDArray[np.bool_], Floats]:
    """Of each pair or trial, whether the answer is right (P,), and how sure it is (P,)."""
    if isinstance(scored, ScoredTrials):
        second, first = np.partition(scored.scores.astype(np.float64), -2, axis=1)[:, -2:].T
        return scored.right, np.asarray(first - second)
    if threshold is None:
        raise InputError("expected a threshold to decide pairs by, got None")
    scores = scored.scores.astype(np.float64)  # compared as `metrics` does
    return (scores >= threshold) == scored.pairs.same, np.abs(scores - threshold)


def _band(
    at: Floats, rates: Callable[[Floats], Floats], scored: ScoredPairs | ScoredTrials, rng: np.random.Generator
) -> Band:
    def statistics(weights: Floats) -> dict[str, Floats]:
        return {str(place): column for place, column in enumerate(rates(weights).T)}

    found = estimate(statistics, scored.classes, rng=rng).values()
    value, low, high = np.array([(each.value, each.low, each.high) for each in found]).T
    return Band(at, value, low, high)
