"""Who a query shows: against a loop, laws that hold for any scores, and what the answer says in words."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from samekind.calibration import Calibration
from samekind.certification import Certificate
from samekind.errors import InputError
from samekind.gallery.identification import Match, decide, evidence, posterior, threshold_for
from samekind.gallery.records import Identification

CALIBRATION = Calibration(
    slope=8.0, intercept=-3.0, covariance=None, quantile=2.0, prior=0.4, pairs=100, classes=50, data="none"
)
SCORES = st.lists(st.floats(-1, 1), min_size=1, max_size=30)


def certificate(threshold: float, *, identities: int, references: int = 1, fpir: float = 0.1) -> Certificate:
    return Certificate(threshold, fpir, 0.95, 0.0, fpir, 500, references, identities)


def array(scores: list[float]) -> NDArray[np.float64]:
    return np.array(scores, dtype=np.float64)


def matches(*scores: float) -> list[Match]:
    return [Match(f"{at:032x}", f"identity {at}", score, 1) for at, score in enumerate(scores)]


def ask(*scores: float, flaws: tuple[str, ...] = (), top: int = 5) -> Identification:
    return decide(CALIBRATION, matches(*scores), others=-math.inf, identities=len(scores), flaws=flaws, top=top)


@given(SCORES)
def test_probabilities_are_those_of_a_loop(scores: list[float]) -> None:
    prior = CALIBRATION.prior
    odds = [prior / len(scores) * math.exp(CALIBRATION.slope * s + CALIBRATION.intercept) for s in scores]
    total = 1 - prior + sum(odds)
    found = posterior(CALIBRATION, array(scores), others=-math.inf, identities=len(scores))
    assert found.matches == pytest.approx([each / total for each in odds])
    assert found.nobody == pytest.approx((1 - prior) / total)
    assert found.others == 0


@given(SCORES, st.integers(0, 30))
def test_probabilities_add_up_to_one_however_many_are_named(scores: list[float], named: int) -> None:
    everything = array(scores)
    rest = evidence(CALIBRATION, everything[named:])
    found = posterior(CALIBRATION, everything[:named], others=rest, identities=len(scores))
    assert found.matches.sum() + found.others + found.nobody == pytest.approx(1)
    whole = posterior(CALIBRATION, everything, others=-math.inf, identities=len(scores))
    assert found.matches == pytest.approx(whole.matches[:named])
    assert found.others == pytest.approx(whole.matches[named:].sum())


@given(st.data(), SCORES)
def test_the_order_of_the_identities_does_not_matter(data: st.DataObject, scores: list[float]) -> None:
    given_matches = matches(*scores)
    shuffled = data.draw(st.permutations(given_matches))
    one, other = (
        decide(CALIBRATION, each, others=-math.inf, identities=len(scores), top=30)
        for each in (given_matches, shuffled)
    )
    assert one == other
    assert [c.score for c in one.candidates] == sorted(scores, reverse=True)


@given(SCORES, st.floats(0, 1))
def test_a_larger_score_is_likelier_and_takes_from_all_others(scores: list[float], more: float) -> None:
    before = posterior(CALIBRATION, array(scores), others=-math.inf, identities=len(scores))
    raised = array(scores)
    raised[0] += more
    after = posterior(CALIBRATION, raised, others=-math.inf, identities=len(scores))
    assert after.matches[0] >= before.matches[0] * (1 - 1e-12)
    assert (after.matches[1:] <= before.matches[1:] * (1 + 1e-12)).all()
    assert after.nobody <= before.nobody * (1 + 1e-12)


@given(SCORES, SCORES)
def test_another_identity_never_makes_one_likelier(scores: list[float], added: list[float]) -> None:
    before = posterior(CALIBRATION, array(scores), others=-math.inf, identities=len(scores))
    rest = evidence(CALIBRATION, array(added))
    after = posterior(CALIBRATION, array(scores), others=rest, identities=len(scores) + len(added))
    assert (after.matches <= before.matches * (1 + 1e-12)).all()


@given(
    st.lists(st.tuples(st.floats(-1, 1), st.sampled_from([1, 2, 5, 10, 100]), st.integers(1, 3)), max_size=6),
    st.integers(0, 300),
    st.integers(0, 300),
    st.integers(1, 4),
)
def test_another_identity_never_lowers_the_threshold(
    certified: list[tuple[float, int, int]], one: int, other: int, references: int
) -> None:
    certificates = tuple(certificate(t, identities=n, references=k) for t, n, k in certified)
    calibration = replace(CALIBRATION, certificates=certificates)
    fewer, more = (
        threshold_for(calibration, identities=n, references=(references, references)) for n in sorted((one, other))
    )
    assert fewer.score <= more.score
    if more.certified_fpir is not None:
        assert fewer.certified_fpir is not None, "what holds for many identities holds for fewer"


def test_without_a_certificate_it_is_the_score_where_one_identity_is_as_likely_as_nobody() -> None:
    for n in (1, 10, 1_000_000):
        threshold = threshold_for(CALIBRATION, identities=n)
        assert threshold.certified_fpir is None
        at = posterior(CALIBRATION, array([threshold.score]), others=-math.inf, identities=n)
        assert at.matches[0] == pytest.approx(at.nobody)
    assert threshold_for(CALIBRATION, identities=1).score == pytest.approx(CALIBRATION.threshold), "as for a pair"
    assert threshold_for(CALIBRATION, identities=0) == threshold_for(CALIBRATION, identities=1)


def test_the_certificate_is_that_of_the_next_larger_gallery() -> None:
    certificates = (
        certificate(0.6, identities=1),
        certificate(0.7, identities=10, fpir=0.2),
        certificate(0.8, identities=100, fpir=0.3),
    )
    calibration = replace(CALIBRATION, certificates=certificates)
    found = {n: threshold_for(calibration, identities=n) for n in (1, 2, 10, 11, 100, 101)}
    assert [(t.score, t.certified_fpir) for n, t in found.items() if n <= 100] == [
        (0.6, 0.1),
        (0.7, 0.2),
        (0.7, 0.2),
        (0.8, 0.3),
        (0.8, 0.3),
    ]
    assert found[101].certified_fpir is None
    assert found[101].score >= 0.8, "a larger gallery is not easier"


def test_only_the_certified_number_of_references_is_promised() -> None:
    certificates = (certificate(0.7, identities=10), certificate(0.9, identities=10, references=3))
    calibration = replace(CALIBRATION, certificates=certificates)
    found = {
        (fewest, most): threshold_for(calibration, identities=10, references=(fewest, most))
        for fewest, most in ((1, 1), (1, 2), (2, 2), (3, 3), (3, 4))
    }
    assert {key: (t.score, t.certified_fpir) for key, t in found.items()} == {
        (1, 1): (0.7, 0.1),
        (1, 2): (0.7, None),
        (2, 2): (0.7, None),
        (3, 3): (0.9, 0.1),
        (3, 4): (0.9, None),
    }


def test_a_large_gallery_costs_one_pass_and_stays_right() -> None:
    scores = np.random.default_rng(0).normal(size=300_000).astype(np.float32)
    exact = CALIBRATION.slope * scores.astype(np.float64) + CALIBRATION.intercept
    assert evidence(CALIBRATION, scores) == pytest.approx(np.logaddexp.reduce(exact), abs=1e-5)
    assert evidence(CALIBRATION, scores[:0]) == -math.inf
    far = np.array([-1e6, -2e6], np.float32)
    assert evidence(CALIBRATION, far) == pytest.approx(-8e6 - 3), "neither over nor under what a float can be"
    assert evidence(CALIBRATION, -far) == pytest.approx(16e6 - 3)


@pytest.mark.parametrize("score", [-1e300, 1e300])
def test_probabilities_stay_finite(score: float) -> None:
    found = posterior(CALIBRATION, array([score, 0.0]), others=0.0, identities=5)
    assert found.matches.sum() + found.others + found.nobody == pytest.approx(1)


def test_no_probability_is_surer_than_the_calibration_classes_allow() -> None:
    (candidate,) = ask(1e3).candidates
    assert candidate.probability == 1 - 1 / 52
    (stranger,) = ask(-1e3).candidates
    assert stranger.probability == 0


def test_answers() -> None:
    assert ask().answer == "nobody"
    assert ask(-0.5, 0.0).answer == "nobody"
    found = ask(0.1, 0.9)
    assert found.answer == "found"
    assert found.reasons == ()
    assert [c.name for c in found.candidates] == ["identity 1", "identity 0"]
    tied = ask(0.9, 0.95)
    assert tied.answer == "cannot tell"
    assert tied.reasons == ("identity 1 and identity 0 are about equally likely",)
    assert ask(-0.5, -0.5).answer == "nobody", "tied below the threshold"
    flawed = ask(0.9, flaws=("too small",))
    assert (flawed.answer, flawed.reasons) == ("cannot tell", ("query: too small",))
    assert ask(flaws=("too small",)).answer == "nobody", "nobody is enrolled"


def test_where_no_score_can_pass_it_does_not_say_nobody() -> None:
    def answer(identities: int) -> Identification:
        return decide(CALIBRATION, matches(1.0), others=-math.inf, identities=identities, reachable=1.0)

    assert answer(1).answer == "found"
    assert threshold_for(CALIBRATION, identities=1_000).score > 1
    assert answer(1_000).answer == "cannot tell"
    assert answer(1_000).reasons[0].startswith("among 1,000 identities not even the same image passes")


def test_in_a_search_its_own_map_decides() -> None:
    steeper = replace(CALIBRATION, search=(16.0, -9.0))
    assert threshold_for(steeper, identities=100).score == pytest.approx((math.log(100 * 0.6 / 0.4) + 9) / 16)
    scores = array([0.5, 0.2])
    as_if = replace(CALIBRATION, slope=16.0, intercept=-9.0)
    assert evidence(steeper, scores) == pytest.approx(evidence(as_if, scores))
    one, other = (posterior(c, scores, others=-1.0, identities=3) for c in (steeper, as_if))
    assert one.matches == pytest.approx(other.matches)
    assert CALIBRATION.tied(array([0.9, 0.8]))
    assert not steeper.tied(array([0.9, 0.8]))


def test_as_many_candidates_as_asked_for_and_a_tie_beyond_them_counts() -> None:
    answer = ask(0.9, 0.9, 0.1, top=1)
    assert len(answer.candidates) == 1
    assert answer.answer == "cannot tell"
    assert answer.identities == 3
    assert answer.prior == CALIBRATION.prior
    assert [c.name for c in ask(0.2, 0.9, 0.9, top=2).candidates] == ["identity 1", "identity 2"], "ties by name"


def test_wrong_numbers_are_refused() -> None:
    with pytest.raises(InputError, match="at least 1 candidate, got 0"):
        ask(0.5, top=0)
    with pytest.raises(InputError, match="at most as many scores as identities \\(1\\), got 2"):
        posterior(CALIBRATION, array([0.1, 0.2]), others=-math.inf, identities=1)
    for identities, references in ((-1, (1, 1)), (1, (0, 1)), (1, (2, 1))):
        with pytest.raises(InputError, match="expected identities >= 0"):
            threshold_for(CALIBRATION, identities=identities, references=references)
