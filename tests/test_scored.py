"""What follows from the scores of pairs and trials at once, against loops over them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from samekind.scored import ScoredPairs, ScoredTrials
from samekind.trials import Pairs, Trials
from test_trials import data_of

LEVELS = st.sampled_from([-1.0, 0.0, 0.5, 1.0])


def trials_of(scores: list[list[float]], correct: list[int]) -> ScoredTrials:
    """Trials over classes 0, 1, 2, ... of two images each: the query is the second of the class that is correct."""
    ways = len(scores[0])
    references = np.tile(2 * np.arange(ways)[None, :, None], (len(scores), 1, 1))
    trials = Trials(2 * np.array(correct) + 1, references, np.array(correct))
    return ScoredTrials(data_of([2] * ways), trials, np.array(scores, dtype=np.float32))


@given(st.lists(st.tuples(st.lists(LEVELS, min_size=3, max_size=3), st.integers(0, 2)), min_size=1, max_size=8))
def test_margins_and_rivals_are_those_of_a_loop(drawn: list[tuple[list[float], int]]) -> None:
    scored = trials_of([scores for scores, _ in drawn], [correct for _, correct in drawn])
    for trial, (scores, correct) in enumerate(drawn):
        others = {way: score for way, score in enumerate(scores) if way != correct}
        assert scored.scores[trial, scored.rivals[trial]] == max(others.values())
        assert scored.rivals[trial] != correct
        assert scored.margins[trial] == scores[correct] - max(others.values())
        assert scored.right[trial] == all(scores[correct] > score for score in others.values())
        assert scored.truth[trial].tolist() == [way == correct for way in range(3)]
        assert scored.classes[0][trial] == scored.classes[1][trial] == correct


def test_margins_of_close_scores_are_exact() -> None:
    near = np.nextafter(np.float32(1), np.float32(2))
    assert trials_of([[1.0, float(near)]], [1]).margins[0] == pytest.approx(1.1920929e-07)


def test_pairs_know_their_classes_and_their_truth() -> None:
    pairs = Pairs(np.array([0, 1]), np.array([1, 4]), np.array([True, False]))
    scored = ScoredPairs(data_of([2, 2, 2]), pairs, np.zeros(2, np.float32))
    assert [side.tolist() for side in scored.classes] == [[0, 0], [0, 2]]
    assert scored.truth.tolist() == [True, False]
    assert scored.drawn is pairs
    assert trials_of([[1.0, 0.0]], [0]).drawn.correct.tolist() == [0]
