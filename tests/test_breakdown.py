"""Curves and groups against loops over the pairs, and the laws that intervals keep."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import expit
from scipy.stats import beta

from samekind import metrics
from samekind.breakdown import Band, by_group, misses_at, reliability_at, risk_at
from samekind.errors import InputError
from samekind.scored import ScoredPairs, ScoredTrials
from samekind.trials import Pairs, Trials, balanced_pairs
from test_trials import drawn_by

DATA = drawn_by({"a": 6, "b": 5, "c": 4}, drawers=range(5))
THRESHOLD = 1.0


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def pairs(*, gap: float = 2.0, seed: int = 3) -> ScoredPairs:
    """Normal scores of pairs of the data, genuine ones higher by the gap; their log likelihood ratios are exact."""
    drawn = balanced_pairs(DATA, pairs=240, impostors="any", rng=rng(seed))
    scores = (rng(seed + 1).normal(size=len(drawn)) + gap * drawn.same).astype(np.float32)
    return ScoredPairs(DATA, drawn, scores, gap * scores.astype(np.float64) - gap**2 / 2)


def trials(right: float = 0.7) -> ScoredTrials:
    """Two-way trials about every image: its class against the next."""
    queries = np.arange(len(DATA))
    true, other = DATA.labels, (DATA.labels + 1) % len(DATA.classes)
    first = 5 * np.stack([true, other], axis=1)
    reference = np.where(first == queries[:, None], first + 1, first)
    drawn = Trials(queries, reference[..., None], np.zeros(len(queries), np.int64))
    score = rng(8).normal(size=len(queries)).astype(np.float32)
    best = np.where(rng(7).random(len(queries)) < right, np.abs(score), -np.abs(score))
    return ScoredTrials(DATA, drawn, np.stack([best, np.zeros_like(best)], axis=1))


def around(band: Band) -> bool:
    return bool(((band.low <= band.value + 1e-12) & (band.value <= band.high + 1e-12)).all())


def test_misses_are_those_of_metrics_at_each_rate() -> None:
    scored, fmrs = pairs(), [0.0, 0.004, 0.01, 0.1, 0.5, 1.0]
    band = misses_at(scored, fmrs, rng=rng())
    expected = [metrics.fnmr_at_fmr(scored.scores, scored.pairs.same, fmr=fmr) for fmr in fmrs]
    assert band.value.tolist() == expected
    assert band.at.tolist() == fmrs
    assert around(band)
    assert (band.high - band.low)[:4].min() > 0
    assert band[2:4].at.tolist() == [0.01, 0.1]
    assert band[2:4].high.tolist() == band.high[2:4].tolist()


def test_bands_are_resampled_over_classes_and_not_over_pairs() -> None:
    scored = pairs()
    bad = np.isin(DATA.labels[scored.pairs.left], [0, 1, 2]) & scored.pairs.same
    clumped = replace(scored, scores=np.where(bad, -9, 9 * scored.pairs.same).astype(np.float32))
    shuffled = np.flatnonzero(scored.pairs.same)
    spread = clumped.scores.copy()
    spread[shuffled] = rng(2).permutation(clumped.scores[shuffled])
    narrow = misses_at(replace(scored, scores=spread), [0.1], rng=rng())
    wide = misses_at(clumped, [0.1], rng=rng())
    assert wide.value[0] == narrow.value[0] > 0.1
    assert wide.high[0] - wide.low[0] > 1.5 * (narrow.high[0] - narrow.low[0])


@pytest.mark.parametrize("threshold", [0.5, THRESHOLD])
def test_risk_is_the_share_of_errors_among_the_surest(threshold: float) -> None:
    scored, coverages = pairs(), np.array([0.1, 0.35, 0.8, 1.0])
    band = risk_at(scored, threshold, coverages, rng=rng())
    surest = sorted(range(len(scored.pairs)), key=lambda i: -abs(float(scored.scores[i]) - threshold))
    for coverage, value in zip(coverages, band.value, strict=True):
        answered = surest[: round(coverage * len(surest))]
        wrong = [(float(scored.scores[i]) >= threshold) != scored.pairs.same[i] for i in answered]
        assert value == pytest.approx(np.mean(wrong))
    accuracy = metrics.accuracy(scored.scores, scored.pairs.same, threshold=threshold)
    assert band.value[-1] == pytest.approx(1 - accuracy)
    assert around(band)


def test_risk_of_trials_goes_by_the_lead_of_the_best_class() -> None:
    scored = trials()
    band = risk_at(scored, None, [0.2, 1.0], rng=rng())
    lead = np.abs(scored.scores[:, 0])
    answered = np.argsort(-lead)[: len(lead) // 5]
    assert band.value.tolist() == pytest.approx([1 - scored.right[answered].mean(), 1 - scored.right.mean()])


def test_equally_sure_answers_stand_or_fall_together() -> None:
    scored = pairs()
    constant = replace(scored, scores=np.zeros(len(scored.pairs), np.float32))
    band = risk_at(constant, THRESHOLD, [0.02, 0.5, 1.0], rng=rng())
    assert band.value.tolist() == [0.5, 0.5, 0.5]
    assert band.low[0] == band.low[2]


def test_pairs_without_a_threshold_have_no_risk() -> None:
    with pytest.raises(InputError, match="threshold"):
        risk_at(pairs(), None, [1.0], rng=rng())


@pytest.mark.parametrize("bins", [4, 10])
def test_reliability_is_what_a_loop_counts(bins: int) -> None:
    scored = pairs()
    found = reliability_at(scored, bins=bins, rng=rng())
    assert scored.llr is not None
    stated, rows = expit(scored.llr), []
    for start in np.arange(bins) / bins:
        inside = (stated >= start) & (stated < start + 1 / bins)
        if inside.any():
            rows.append((stated[inside].mean(), scored.pairs.same[inside].mean(), inside.mean()))
    at, observed, shares = np.array(rows).T
    np.testing.assert_allclose(found.observed.at, at)
    np.testing.assert_allclose(found.observed.value, observed)
    np.testing.assert_allclose(found.shares, shares)
    assert around(found.observed)


def test_unbalanced_pairs_are_weighed_as_the_stated_prior_has_it() -> None:
    scored = pairs()
    kept = np.flatnonzero(scored.pairs.same | (np.arange(len(scored.pairs)) % 3 == 0))
    assert scored.llr is not None
    drawn = Pairs(scored.pairs.left[kept], scored.pairs.right[kept], scored.pairs.same[kept])
    thinned = ScoredPairs(DATA, drawn, scored.scores[kept], scored.llr[kept])
    both = [reliability_at(each, bins=2, rng=rng()).observed.value for each in (scored, thinned)]
    np.testing.assert_allclose(both[0], both[1], atol=0.1)


def test_true_probabilities_lie_on_the_diagonal_and_false_ones_do_not() -> None:
    scored = pairs(gap=1.5)
    assert scored.llr is not None
    honest = reliability_at(scored, bins=5, rng=rng()).observed
    assert ((honest.low <= honest.at) & (honest.at <= honest.high)).all()
    boastful = reliability_at(replace(scored, llr=6 * scored.llr), bins=5, rng=rng()).observed
    assert boastful.low[0] > boastful.at[0]
    assert boastful.high[-1] < boastful.at[-1]


def test_a_model_without_calibration_has_no_reliability() -> None:
    with pytest.raises(InputError, match="calibrate"):
        reliability_at(replace(pairs(), llr=None), rng=rng())


def test_groups_of_pairs_are_what_a_loop_counts() -> None:
    scored = pairs()
    groups = np.asarray(DATA.groups)[DATA.labels]
    found = by_group(scored, THRESHOLD, rng=rng())
    assert sorted(group.name for group in found) == ["a", "b", "c"]
    worst = [max(estimate.value for estimate in group.rates.values()) for group in found]
    assert worst == sorted(worst, reverse=True)
    for group in found:
        inside = (groups[scored.pairs.left] == group.name) | (groups[scored.pairs.right] == group.name)
        same, said = scored.pairs.same[inside], scored.scores[inside].astype(np.float64) >= THRESHOLD
        assert group.items == inside.sum()
        assert group.classes == DATA.groups.count(group.name) if DATA.groups else 0
        assert group.rates["misses"].value == pytest.approx(np.mean(~said[same]))
        assert group.rates["false matches"].value == pytest.approx(np.mean(said[~same]))
        assert group.rates["eer"].value == pytest.approx(metrics.eer(scored.scores[inside], same))
        assert all(estimate.low <= estimate.value <= estimate.high for estimate in group.rates.values())


def test_groups_of_trials_are_those_asked_about() -> None:
    scored = trials()
    asked = np.asarray(DATA.groups)[DATA.labels[scored.trials.queries]]
    for group in by_group(scored, None, rng=rng()):
        assert list(group.rates) == ["error"]
        assert group.rates["error"].value == pytest.approx(1 - scored.right[asked == group.name].mean())
        assert group.items == (asked == group.name).sum()


def test_without_a_threshold_groups_have_only_what_needs_none() -> None:
    assert all(list(group.rates) == ["eer"] for group in by_group(pairs(), None, rng=rng()))


def test_a_group_without_an_error_may_still_err() -> None:
    found = {group.name: group for group in by_group(trials(right=1.1), None, rng=rng())}
    for name, classes in (("a", 6), ("b", 5), ("c", 4)):
        estimate = found[name].rates["error"]
        assert (estimate.value, estimate.low) == (0, 0)
        assert estimate.high == pytest.approx(beta.ppf(0.975, 1, classes))  # Clopper, Pearson 1934
    perfect = replace(pairs(), scores=(2 * pairs().pairs.same).astype(np.float32))
    rates = {group.name: group.rates for group in by_group(perfect, THRESHOLD, rng=rng())}
    assert rates["a"]["misses"].high == pytest.approx(beta.ppf(0.975, 1, 6))
    assert rates["a"]["false matches"].high == pytest.approx(beta.ppf(0.975, 1, 3))  # three pairs that share no class


@pytest.mark.parametrize("groups", [None, ("all",) * 15])
def test_one_group_is_no_breakdown(groups: tuple[str, ...] | None) -> None:
    scored = pairs()
    assert by_group(replace(scored, data=replace(DATA, groups=groups)), THRESHOLD, rng=rng()) == ()


def test_a_group_of_one_class_has_no_interval_for_its_misses() -> None:
    scored = pairs()
    alone = replace(scored, data=replace(DATA, groups=("one", *["rest"] * 14)))
    found = {group.name: group.rates for group in by_group(alone, THRESHOLD, rng=rng())}
    assert list(found["one"]) == ["false matches", "eer"]
    assert list(found["rest"]) == ["misses", "false matches", "eer"]
