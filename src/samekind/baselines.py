"""Measures without any learning, to hold a trained model against.

Knows ink on paper. Knows nothing of networks or protocols.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from samekind.data.labelled import LabelledImages
from samekind.errors import InputError
from samekind.protocols import PairScorer, ScorerOf
from samekind.trials import Indices


def hausdorff(data: LabelledImages) -> PairScorer:
    """Minus the Modified Hausdorff Distance of the ink, each image centred on its mean ink coordinate.

    Args:
        data: dark ink on light ground; a pixel darker than mid-grey is ink.
    Returns:
        A scorer of pairs: float32 <= 0 in pixels, 0 where the ink is equal up to a shift; symmetric. Of several
        references the mean counts.
    Raises:
        InputError: an image has no ink.
    Source: Dubuisson, Jain 1994, "A modified Hausdorff distance for object matching", eq. 6 and 8; centred as in
        demo_classification.m of Lake, Salakhutdinov, Tenenbaum 2015, where it errs in 38.8 % of the 400 trials.
    """
    ink = [_ink(data, index) for index in range(len(data))]
    trees = [KDTree(points) for points in ink]

    def distance(i: int, j: int) -> float:
        there, back = trees[j].query(ink[i])[0], trees[i].query(ink[j])[0]
        return max(float(np.mean(there)), float(np.mean(back)))

    def score(left: Indices, right: Indices) -> NDArray[np.float32]:
        several = right.reshape(len(left), -1)
        distances = [np.mean([distance(i, j) for j in others]) for i, others in zip(left, several, strict=True)]
        return -np.asarray(distances, dtype=np.float32)

    return score


def _ink(data: LabelledImages, index: int) -> NDArray[np.float64]:
    """Coordinates of the ink, (I, 2) float64, their mean at 0."""
    grey = np.asarray(data[index][0].convert("L"))
    coordinates = np.argwhere(grey < 128)
    if not len(coordinates):
        raise InputError(f"{data.names[index]}: expected dark ink on light ground, found no ink")
    centred: NDArray[np.float64] = coordinates - coordinates.mean(axis=0)
    return centred


BASELINES: dict[str, ScorerOf] = {"hausdorff": hausdorff}
"""By name."""
