"""Intervals: against a resampling loop that repeats the items of the classes drawn, and by their coverage."""

import time

import numpy as np
import pytest
from numpy.typing import NDArray

from samekind import metrics
from samekind.errors import InputError
from samekind.intervals import _resampled, estimate
from samekind.metrics import PAIR_METRICS, Estimate, Floats, Statistics, pair_statistics

Ints = NDArray[np.int64]


def pairs_of_classes(n: int, *, pairs: int, spread: float, seed: int) -> tuple[Floats, Ints, Ints]:
    """Half genuine pairs and half impostors of n classes; each class is as hard as it is, by `spread`."""
    rng = np.random.default_rng(seed)
    left = rng.integers(n, size=pairs)
    right = np.where(np.arange(pairs) < pairs // 2, left, (left + rng.integers(1, n, size=pairs)) % n)
    ease = spread * rng.normal(size=n)
    return rng.normal(size=pairs) + np.where(left == right, 1 + ease[left], -ease[left] * ease[right]), left, right


def mean_of(outcomes: Floats) -> Statistics:
    return lambda weights: {"mean": weights @ outcomes / weights.sum(axis=1)}


def test_weights_are_those_of_repeated_classes() -> None:
    left, right = np.array([3, 3, 7, 9]), np.array([3, 7, 9, 9])
    for block in _resampled(left, right, rng=np.random.default_rng(0), resamples=200):
        for row in block:
            of_3, of_9 = row[0], row[3]
            of_7 = 3 - of_3 - of_9
            assert list(row) == [of_3, of_3 * of_7, of_7 * of_9, of_9]


def test_an_interval_is_that_of_a_resampling_loop() -> None:
    scores, left, right = pairs_of_classes(12, pairs=300, spread=0.8, seed=0)
    same = left == right
    found = estimate(pair_statistics(scores, same, names=("auc",)), (left, right), rng=np.random.default_rng(1))["auc"]
    rng, values = np.random.default_rng(2), []
    for _ in range(1_000):
        drawn = rng.integers(12, size=12)
        items = [
            pair
            for pair in range(300)
            for _ in range(np.sum(drawn == left[pair]) * (1 if same[pair] else np.sum(drawn == right[pair])))
        ]
        values.append(metrics.auc(scores[items], same[items]))
    low, high = np.quantile(values, [0.025, 0.975])
    assert found.value == metrics.auc(scores, same)
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.02)


def test_classes_are_resampled_and_not_items() -> None:
    classes = np.repeat(np.arange(10), 100)
    outcomes = np.repeat([0.0, 1.0], 500)  # whole classes right or wrong: ten observations, not a thousand
    found = estimate(mean_of(outcomes), (classes, classes), rng=np.random.default_rng(0))["mean"]
    assert found.value == 0.5
    assert found.high - found.low == pytest.approx(0.6, abs=0.11)  # that of 10 coin tosses


def test_a_95_percent_interval_covers_the_truth_about_95_times_in_100() -> None:
    covered = 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        outcomes = np.repeat(rng.normal(size=60), 5) + rng.normal(size=300)
        classes = np.repeat(np.arange(60), 5)
        found = estimate(mean_of(outcomes), (classes, classes), rng=rng, resamples=300)["mean"]
        covered += found.low <= 0 <= found.high
    assert 88 <= covered <= 99


def test_the_same_generator_gives_the_same_interval_and_another_another() -> None:
    scores, left, right = pairs_of_classes(20, pairs=200, spread=0.5, seed=0)
    statistics = pair_statistics(scores, left == right, names=("eer",))

    def with_seed(seed: int) -> Estimate:
        return estimate(statistics, (left, right), rng=np.random.default_rng(seed))["eer"]

    assert with_seed(1) == with_seed(1)
    assert with_seed(1) != with_seed(2)


def test_as_many_resamples_as_asked_for_even_where_some_are_drawn_anew() -> None:
    left, right = np.array([0, 0, 1]), np.array([0, 1, 1])  # one resample in two leaves out a class, and so the pair
    blocks = list(_resampled(left, right, rng=np.random.default_rng(0), resamples=50))
    weights = np.concatenate(blocks)
    assert weights.shape == (50, 3)
    assert (weights[:, 1] > 0).all()


def test_one_class_or_one_resample_is_an_error() -> None:
    one = np.zeros(4, dtype=np.int64)
    with pytest.raises(InputError, match="2 classes"):
        estimate(mean_of(np.ones(4)), (one, one), rng=np.random.default_rng(0))
    with pytest.raises(InputError, match="2 resamples"):
        estimate(mean_of(np.ones(4)), (one, one + np.arange(4)), rng=np.random.default_rng(0), resamples=1)


def test_ten_thousand_pairs_take_seconds_on_one_core() -> None:
    scores, left, right = pairs_of_classes(400, pairs=10_000, spread=0.5, seed=0)
    statistics = pair_statistics(scores, left == right, names=PAIR_METRICS, threshold=0.5, llr=scores)
    before = time.process_time()
    estimate(statistics, (left, right), rng=np.random.default_rng(0))
    assert time.process_time() - before < 5  # 0.9 s on an idle core
