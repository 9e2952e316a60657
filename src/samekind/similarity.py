"""Scores of pairs of embeddings, and how several references become one.

Larger always means more alike: a distance becomes a score here and nowhere else.

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


def combine(embeddings: FloatArray) -> FloatArray:
    """One embedding for several references of one class: their mean, made as long as they are on average.

    Chosen by numbers over the mean and the best of their scores (`docs/experiments.md`).

    Args:
        embeddings: (..., R, D) floating point, a row a reference; R >= 1.
    Returns:
        (..., D), of the same dtype; of one reference itself.
    Raises:
        InputError: there is no reference.
    """
    if embeddings.ndim < 2 or embeddings.shape[-2] == 0:
        raise InputError("expected at least one reference, got none")
    if embeddings.shape[-2] == 1:
        return embeddings[..., 0, :]
    mean = embeddings.mean(axis=-2)
    length = np.linalg.norm(mean, axis=-1, keepdims=True)
    wanted = np.linalg.norm(embeddings, axis=-1).mean(axis=-1, keepdims=True)
    scaled: FloatArray = mean * (wanted / np.where(length > 0, length, 1)).astype(mean.dtype)
    return scaled
