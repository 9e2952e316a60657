"""How sure a measured value is: 95 % intervals by resampling whole classes.

Knows the classes of what was measured. Knows nothing of scores, images or models.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from samekind.errors import InputError
from samekind.metrics import Estimate, Floats, Statistics

RESAMPLES = 1_000
_BLOCK = 1_000_000  # weights held in memory at a time: 8 MB an array


def estimate(
    statistics: Statistics,
    classes: tuple[NDArray[np.integer], NDArray[np.integer]],
    *,
    rng: np.random.Generator,
    resamples: int = RESAMPLES,
) -> dict[str, Estimate]:
    """Each metric with its 95 % percentile interval, resampled over classes and not over pairs.

    A resample draws as many classes as there are, with replacement; a class drawn w times counts w-fold. An item of
    one class (a genuine pair, a trial) then weighs w, one of two classes (an impostor pair) the product of both.
    Where a resample leaves no genuine or no impostor pair, it is drawn anew, so few classes give too narrow an
    interval; so does a rate of exactly 0 or 1, which has no spread to resample.

    Args:
        statistics: what to compute from weights (B, P).
        classes: two times (P,) int, the classes of both sides of each item; twice the same for trials.
        rng: draws the resamples.
        resamples: how many, >= 2.
    Returns:
        The estimates by name, in the order of statistics.
    Raises:
        InputError: there are fewer than two classes, or fewer than two resamples.
    Source: Efron 1979; the weights of impostor pairs: Owen 2007, "The pigeonhole bootstrap".
    """
    left, right = classes
    if resamples < 2:
        raise InputError(f"expected at least 2 resamples, got {resamples}")
    values = statistics(np.ones((1, len(left))))
    blocks = [statistics(weights) for weights in _resampled(left, right, rng=rng, resamples=resamples)]
    estimates = {}
    for name, value in values.items():
        low, high = np.quantile(np.concatenate([block[name] for block in blocks]), [0.025, 0.975])
        estimates[name] = Estimate(float(value[0]), float(low), float(high))
    return estimates


def _resampled(
    left: NDArray[np.integer], right: NDArray[np.integer], *, rng: np.random.Generator, resamples: int
) -> Iterator[Floats]:
    """Weights (B, P) of one block of resamples after the other, `resamples` rows in all."""
    names, position = np.unique(np.stack([left, right]), return_inverse=True)
    n = len(names)
    if n < 2:
        raise InputError(f"expected at least 2 classes to resample, got {n}")
    first, second = position.reshape(2, -1)
    single = first == second
    kinds = [kind.astype(np.float64) for kind in (single, ~single) if kind.any()]
    done = 0
    while done < resamples:
        rows = min(resamples - done, max(1, _BLOCK // len(single)))
        drawn = rng.integers(n, size=(rows, n)) + n * np.arange(rows)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=rows * n).reshape(rows, n).astype(np.float64)
        weights = counts[:, first] * np.where(single, 1.0, counts[:, second])
        usable = np.all([weights @ kind > 0 for kind in kinds], axis=0)
        done += int(usable.sum())
        if usable.any():
            yield weights[usable]
