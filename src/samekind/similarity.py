"""Scores of pairs of embeddings. Larger always means more alike: a distance becomes a score here and nowhere else.

Knows arrays. Knows nothing of images, models or thresholds.
"""

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from samekind.errors import InputError

FloatArray: TypeAlias = NDArray[np.floating]
Similarity: TypeAlias = Callable[[FloatArray, FloatArray], NDArray[np.float32]]


def euclidean(left: FloatArray, right: FloatArray) -> NDArray[np.float32]:
    """Minus the Euclidean distance.

    Args:
        left: (..., D) floating point.
        right: (..., D) floating point; leading axes broadcast against those of left.
    Returns:
        (...) float32 <= 0, 0 where both are equal; bit for bit the same when the sides are exchanged.
    """
    difference = left - right
    squared = np.einsum("...d,...d->...", difference, difference, dtype=np.float32, casting="same_kind")
    distance: NDArray[np.float32] = np.sqrt(squared)
    return -distance


def cosine(left: FloatArray, right: FloatArray) -> NDArray[np.float32]:
    """Cosine of the angle between two embeddings.

    Args:
        left: (..., D) floating point, no row all zero.
        right: (..., D) floating point; leading axes broadcast against those of left.
    Returns:
        (...) float32 in [-1, 1] up to rounding; the same when the sides are exchanged.
    """
    product = np.einsum("...d,...d->...", left, right, dtype=np.float32, casting="same_kind")
    norms = np.linalg.norm(left, axis=-1) * np.linalg.norm(right, axis=-1)
    return np.asarray(product / norms, dtype=np.float32)


def weighted_l1(weight: FloatArray, bias: float) -> Similarity:
    """Koch's learned metric, before its sigmoid.

    Args:
        weight: (D,) float, alpha of the paper; negative where a difference speaks against "same".
        bias: added to the sum.
    Returns:
        A similarity: (..., D), (..., D) -> (...) float32, the logit of "same".
    Source: Koch, Zemel, Salakhutdinov 2015, section 3.1; differs: a bias, as in every published implementation.
    """

    def similarity(left: FloatArray, right: FloatArray) -> NDArray[np.float32]:
        total = np.einsum("...d,d->...", np.abs(left - right), weight, dtype=np.float32, casting="same_kind")
        return np.asarray(total + np.float32(bias), dtype=np.float32)

    return similarity


SIMILARITIES: dict[str, Similarity] = {"euclidean": euclidean, "cosine": cosine}
"""Those without learned parameters, by name."""


def combine(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """One score for several references of one class: their mean.

    Args:
        scores: (..., R) float32, one a reference; R >= 1.
    Returns:
        (...) float32.
    Raises:
        InputError: there is no reference.
    """
    if scores.ndim == 0 or scores.shape[-1] == 0:
        raise InputError("expected at least one reference, got none")
    return np.asarray(scores.mean(axis=-1, dtype=np.float32))
