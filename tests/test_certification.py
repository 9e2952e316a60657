"""Certified thresholds: exact where theory is exact, not too loose in simulation, an error where nothing can be."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from samekind.certification import Certificate, certify, certify_gallery, classes_needed, smallest_fmr
from samekind.errors import InputError, UncertifiableError
from samekind.tournament import Indices, ReferenceScorer, impostor_scores

Floats = NDArray[np.float64]


def all_pairs(n: int) -> tuple[Indices, Indices]:
    left, right = np.triu_indices(n, 1)
    return left.astype(np.int64), right.astype(np.int64)


def with_effects(n: int, *, strength: float = 0.7, seed: int = 0) -> tuple[Floats, Indices, Indices]:
    rng = np.random.default_rng(seed)
    left, right = all_pairs(n)
    effect = strength * rng.normal(size=n)
    return effect[left] + effect[right] + rng.normal(size=len(left)), left, right


def scorer(effect: Floats, *, images: int, noise: float, rng: np.random.Generator) -> ReferenceScorer:
    def score(queries: Indices, references: Indices) -> NDArray[np.float32]:
        spread = noise * rng.normal(size=references.shape).mean(axis=1)
        return np.asarray(effect[queries // images] + effect[references[:, 0] // images] + spread, np.float32)

    return score


def test_without_a_match_it_is_clopper_and_pearsons_bound() -> None:
    for rate, pairs in ((1e-2, 299), (1e-3, 2_995), (1e-4, 29_956)):
        assert classes_needed(rate, 0.95) == 2 * pairs
        assert stats.binomtest(0, pairs, alternative="less").proportion_ci(0.95, "exact").high <= rate
        assert stats.binomtest(0, pairs - 1, alternative="less").proportion_ci(0.95, "exact").high > rate
        assert smallest_fmr(2 * pairs, 0.95) <= rate < smallest_fmr(2 * pairs - 2, 0.95)


@given(st.integers(2, 10_000), st.floats(0.5, 0.999), st.integers(1, 50))
def test_smallest_rate_and_fewest_classes_are_each_others_inverse(n: int, confidence: float, identities: int) -> None:
    least = smallest_fmr(n, confidence, identities=identities)
    if n <= identities:
        assert least == 1
    else:
        assert n - identities <= classes_needed(least, confidence, identities=identities) <= n


def test_at_the_smallest_rate_the_threshold_is_above_every_impostor() -> None:
    scores, left, right = with_effects(40)
    found = certify(scores, left, right, target_fmr=smallest_fmr(40, 0.95))
    assert found.threshold == np.nextafter(scores.max(), np.inf)
    assert found.observed_fmr == 0
    assert found.upper_fmr == pytest.approx(smallest_fmr(40, 0.95), rel=1e-3)


def test_certificate_says_what_it_is_of() -> None:
    scores, left, right = with_effects(50)
    found = certify(scores, left, right, target_fmr=0.2, confidence=0.9, references=5)
    assert (found.target_fmr, found.confidence, found.classes, found.references, found.identities) == (
        0.2,
        0.9,
        50,
        5,
        1,
    )
    assert found.observed_fmr == (scores >= found.threshold).mean()
    assert 0 < found.observed_fmr < found.upper_fmr <= 0.2


def test_every_pair_of_classes_weighs_the_same() -> None:
    scores, left, right = with_effects(50)
    often = np.random.default_rng(0).integers(1, 9, size=len(scores))
    repeated = certify(*(np.repeat(side, often) for side in (scores, left, right)), target_fmr=0.2)
    assert repeated == certify(scores, left, right, target_fmr=0.2)


@settings(max_examples=20)
@given(st.integers(0, 1_000))
def test_names_sides_and_order_of_the_pairs_do_not_matter(seed: int) -> None:
    scores, left, right = with_effects(30, seed=seed)
    rng = np.random.default_rng(seed)
    order, swap = rng.permutation(len(scores)), rng.random(len(scores)) < 0.5
    names = np.array([f"class {number:02}" for number in range(30)])
    one, other = names[np.where(swap, right, left)], names[np.where(swap, left, right)]
    plain = certify(scores, left, right, target_fmr=0.3)
    assert certify(scores[order], one[order], other[order], target_fmr=0.3) == plain


@settings(max_examples=20)
@given(st.integers(0, 1_000), st.floats(0.15, 0.9), st.floats(0.15, 0.9))
def test_asking_less_never_tightens(seed: int, one: float, other: float) -> None:
    scores, left, right = with_effects(50, seed=seed)
    strict, loose = (certify(scores, left, right, target_fmr=rate) for rate in sorted((one, other)))
    assert strict.threshold >= loose.threshold
    sure = certify(scores, left, right, target_fmr=one, confidence=0.97)
    assert sure.threshold >= certify(scores, left, right, target_fmr=one, confidence=0.9).threshold


@settings(max_examples=20)
@given(st.integers(0, 1_000), st.floats(0.1, 50), st.floats(-50, 50))
def test_a_monotone_map_of_the_scores_moves_the_threshold_with_it(seed: int, scale: float, shift: float) -> None:
    scores, left, right = with_effects(40, seed=seed)
    plain, moved = (certify(values, left, right, target_fmr=0.3) for values in (scores, scores * scale + shift))
    assert moved.observed_fmr == plain.observed_fmr
    assert moved.threshold == pytest.approx(plain.threshold * scale + shift, abs=1e-9)


def test_matches_of_few_classes_tell_less_than_matches_of_many() -> None:
    left, right = all_pairs(200)
    spread = (left + 3 * right) % 50 == 0  # one pair in fifty, of all classes
    hub = (left < 2) | (right < 2)  # the same share, all of them with one of two classes
    assert spread.mean() == pytest.approx(hub.mean(), rel=0.05)
    bounds = [certify(1.0 * matched, left, right, target_fmr=0.06) for matched in (spread, hub)]
    assert bounds[0].threshold < 1 < bounds[1].threshold


def test_one_round_is_a_bet_that_is_fair() -> None:
    """Over 0/1 outcomes of a round, in full: the capital reaches 1 / (1 - confidence) with at most that probability."""
    n, rate, confidence = 16, 0.6, 0.9
    left, right = np.arange(0, n, 2), np.arange(1, n, 2)
    accepted = 0.0
    for matches in range(n // 2 + 1):
        scores = 1.0 * (np.arange(n // 2) < matches)
        if certify(scores, left, right, target_fmr=rate, confidence=confidence).threshold < 1:
            accepted += stats.binom.pmf(matches, n // 2, rate)
    assert 0 <= accepted <= 1 - confidence


@pytest.mark.slow
@pytest.mark.parametrize("n", [12, 61, 150])
@pytest.mark.parametrize("times", [1.2, 3.0])
def test_too_loose_in_at_most_one_draw_of_twenty(n: int, times: float) -> None:
    """Wolves, which match everybody, make the rate 2 % too high: the worst that classes can do."""
    target = min(0.8, times * smallest_fmr(n, 0.95))
    wolves = 1 - math.sqrt(1 - 1.02 * target)
    rng, (left, right), draws = np.random.default_rng(n), all_pairs(n), 400
    broken = 0
    for _ in range(draws):
        wolf = rng.random(n) < wolves
        scores = 5.0 * (wolf[left] | wolf[right]) + 0.1 * rng.random(len(left))
        broken += certify(scores, left, right, target_fmr=target).threshold < 5
    assert broken <= stats.binom.ppf(0.999, draws, 0.05)


@pytest.mark.slow
def test_class_effects_do_not_make_it_too_loose_though_they_do_a_bound_of_pairs() -> None:
    n, target, draws = 80, 0.15, 300
    truth = stats.norm.isf(target, scale=math.sqrt(2 * 0.49 + 1))
    pairs = n * (n - 1) // 2
    matches = np.arange(pairs)
    allowed = np.count_nonzero(stats.beta.ppf(0.95, matches + 1, pairs - matches) <= target) - 1
    certified = naive = 0
    for seed in range(draws):
        scores, left, right = with_effects(n, seed=seed)
        certified += certify(scores, left, right, target_fmr=target).threshold < truth
        naive += np.sort(scores)[::-1][allowed] < truth
    assert certified <= 0.05 * draws
    assert naive > 0.2 * draws


def test_few_pairs_of_classes_prove_less() -> None:
    scores, left, right = with_effects(100)
    some = np.random.default_rng(0).random(len(scores)) < 0.2
    full = certify(scores, left, right, target_fmr=0.15)
    part = certify(scores[some], left[some], right[some], target_fmr=0.15)
    assert part.threshold > full.threshold
    hub = left == 0  # all share a class, so they are worth one
    with pytest.raises(UncertifiableError, match=r"all 4,950 pairs of 100 classes .* got 99 of them"):
        certify(scores[hub], left[hub], right[hub], target_fmr=0.15)


def test_too_few_classes_are_an_error_that_says_how_many() -> None:
    scores, left, right = with_effects(100)
    with pytest.raises(UncertifiableError, match=r"expected at least 598 classes.* got 100.* add about 498") as caught:
        certify(scores, left, right, target_fmr=0.01)
    assert caught.value.classes_needed == 598
    assert caught.value.smallest_fmr == pytest.approx(1 - 0.05 ** (1 / 50))
    assert certify(scores, left, right, target_fmr=caught.value.smallest_fmr).observed_fmr == 0


def test_a_constant_score_is_certified_to_match_nobody() -> None:
    left, right = all_pairs(100)
    found = certify(np.zeros(len(left), np.float32), left, right, target_fmr=0.1)
    assert found.threshold > 0
    assert found.observed_fmr == 0


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_threshold_keeps_its_place_at_the_precision_of_the_scores(dtype: type[np.floating]) -> None:
    scores, left, right = with_effects(60)
    values = scores.astype(dtype)
    found = certify(values, left, right, target_fmr=0.2)
    assert dtype(found.threshold) == found.threshold
    assert (values >= found.threshold).mean() == found.observed_fmr
    assert np.nextafter(dtype(found.threshold), dtype(-np.inf)) in values


def test_whole_numbers_are_scores_too() -> None:
    left, right = all_pairs(100)
    found = certify(np.where(left + right == 5, 7, 3), left, right, target_fmr=0.2)
    assert 3 < found.threshold < 7


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"target_fmr": 0.0}, "rate and confidence between 0 and 1"),
        ({"target_fmr": 1.0}, "rate and confidence between 0 and 1"),
        ({"confidence": 1.0}, "rate and confidence between 0 and 1"),
        ({"references": 0}, "references >= 1"),
        ({"scores": np.zeros(9)}, "one shape"),
        ({"scores": np.full(435, np.nan)}, "expected finite scores, got 435 of 435"),
        ({"left": np.arange(435), "right": np.arange(435)}, "got 435 of 435 pairs with one class on both sides"),
    ],
)
def test_what_cannot_be_is_an_error(change: dict[str, object], message: str) -> None:
    scores, left, right = with_effects(30)
    given = {"scores": scores, "left": left, "right": right, "target_fmr": 0.5, **change}
    with pytest.raises(InputError, match=message):
        certify(**given)  # type: ignore[arg-type]


def test_more_references_of_the_same_classes_lower_the_misses_and_not_the_promise() -> None:
    n, labels = 100, np.repeat(np.arange(100), 12)
    thresholds = []
    for references in (1, 2, 5, 10):
        score = scorer(np.zeros(n), images=12, noise=1.0, rng=np.random.default_rng(7))
        drawn = impostor_scores(score, labels, references=references, comparisons=20_000, rng=np.random.default_rng(0))
        found = certify(drawn.scores, drawn.left, drawn.right, target_fmr=0.15, references=references)
        assert stats.norm.sf(found.threshold * math.sqrt(references)) <= 0.15
        thresholds.append(found.threshold)
    assert thresholds == sorted(thresholds, reverse=True)


def certify_searches(
    *, identities: int = 10, n: int = 220, target: float = 0.3, seed: int = 0, rounds: int = 20
) -> Certificate:
    rng = np.random.default_rng(seed)
    score = scorer(0.5 * rng.normal(size=n), images=2, noise=0.5, rng=rng)
    labels = np.repeat(np.arange(n), 2)
    return certify_gallery(score, labels, identities=identities, target_fmr=target, rounds=rounds, rng=rng)


def false_identification(threshold: float, identities: int) -> float:
    """By quadrature over the effect of the class that asks; given it, the enrolled are independent."""
    effect = np.linspace(-4, 4, 2_001)
    below = stats.norm.cdf((threshold - effect) / math.hypot(0.5, 0.5)) ** identities
    return float(np.trapezoid((1 - below) * stats.norm.pdf(effect, scale=0.5), effect))


def test_a_gallery_is_certified_for_its_size() -> None:
    small, large = certify_searches(identities=10), certify_searches(identities=40, n=41 * 20)
    assert (small.identities, large.identities) == (10, 40)
    assert small.threshold < large.threshold
    assert 0 < small.observed_fmr < small.upper_fmr <= 0.3


def test_a_gallery_of_one_is_verification() -> None:
    rates = [
        stats.norm.sf(certify_searches(identities=1, n=400, target=0.05, seed=seed).threshold, scale=math.sqrt(0.75))
        for seed in range(5)
    ]
    assert 0.01 < np.mean(rates) < 0.05


@pytest.mark.slow
def test_searches_find_somebody_too_often_in_at_most_one_draw_of_twenty() -> None:
    thresholds = [certify_searches(seed=seed, rounds=5).threshold for seed in range(200)]
    rates = [false_identification(threshold, 10) for threshold in thresholds]
    assert np.mean(np.array(rates) > 0.3) <= 0.05
    assert np.mean(rates) > 0.1


def test_a_gallery_needs_more_classes_than_it_enrolls() -> None:
    with pytest.raises(UncertifiableError, match=r"FPIR of 0\.3 among 10 .* got 80") as caught:
        certify_searches(n=80)
    assert caught.value.classes_needed == 11 * math.ceil(math.log(0.05) / math.log(0.7))


def test_half_the_classes_of_the_union_bound_are_enough() -> None:
    for identities in (10, 1_000):
        direct, by_sum = classes_needed(0.1, 0.95, identities=identities), classes_needed(0.1 / identities, 0.95)
        assert direct / by_sum == pytest.approx(0.5, abs=0.06)


def test_impostors_fill_the_rounds_of_a_certificate() -> None:
    """A few whole rounds prove as much as all of them."""
    labels = np.repeat(np.arange(201), 3)
    score = scorer(np.zeros(201), images=3, noise=1.0, rng=np.random.default_rng(0))
    drawn = impostor_scores(score, labels, comparisons=1_000, rng=np.random.default_rng(0))
    assert len(drawn.scores) < 1_010
    assert certify(drawn.scores, drawn.left, drawn.right, target_fmr=smallest_fmr(201, 0.95)).observed_fmr == 0
