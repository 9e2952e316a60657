"""From scores to decisions: a threshold and a probability, fitted on classes that training never saw.

Knows scores of pairs. Knows nothing of images or of the model that made the scores.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from samekind.errors import InputError


@dataclass(frozen=True)
class Calibration:
    """An affine map from a score to the log-likelihood ratio of "same" against "different".

    Args:
        slope: nats a unit of score; > 0.
        intercept: nats.
        pairs: how many pairs it was fitted on, half of them genuine.
        classes: of how many classes.
        data: name of the data set that those classes are from.
    Source: Bruemmer, du Preez 2006 (affine calibration by logistic regression).
    """

    slope: float
    intercept: float
    pairs: int
    classes: int
    data: str

    def __post_init__(self) -> None:
        if not (np.isfinite([self.slope, self.intercept]).all() and self.slope > 0):
            raise InputError(f"expected a finite intercept and a slope > 0, got {self.intercept}, {self.slope}")

    @property
    def threshold(self) -> float:
        """The score from which "same" is the likelier answer where both are equally likely beforehand."""
        return -self.intercept / self.slope

    def llr(self, scores: NDArray[np.float32]) -> NDArray[np.float64]:
        """Log-likelihood ratios in nats: (...) -> (...), > 0 where "same" is likelier."""
        return self.slope * scores.astype(np.float64) + self.intercept

    def probability(self, score: float) -> float:
        """Probability of "same" where both answers are equally likely beforehand, in [0, 1]."""
        return (1 + math.tanh((self.slope * score + self.intercept) / 2)) / 2  # the logistic function, no overflow


def calibrate(scores: NDArray[np.float32], same: NDArray[np.bool_], *, classes: int, data: str) -> Calibration:
    """Fit the affine map by logistic regression, genuine and impostor pairs with equal weight.

    Args:
        scores: (P,) float, larger is more alike.
        same: (P,) bool, true for genuine pairs.
        classes: of how many classes the pairs are.
        data: the data set they are from.
    Returns:
        The calibration. Its threshold and its probability of one half are the same point, so that a decision and its
        probability never contradict each other.
    Raises:
        InputError: one kind of pair is missing, or genuine pairs do not score above impostors.
    Source: Platt 1999, "Probabilistic outputs for support vector machines", section 2.2: the targets are not 1 and 0
        but what as many pairs can tell, (n + 1) / (n + 2) and 1 / (n + 2); differs: both kinds weigh the same.
    """
    from scipy.optimize import minimize
    from scipy.special import expit

    genuine, impostor = scores[same].astype(np.float64), scores[~same].astype(np.float64)
    if not len(genuine) or not len(impostor):
        raise InputError(f"expected genuine and impostor pairs, got {len(genuine)} and {len(impostor)}")
    if not genuine.mean() > impostor.mean():
        raise InputError("genuine pairs score no higher than impostors on held-out classes: nothing was learned")
    centre, spread = float(np.median(scores)), float(scores.std())  # an optimiser works best near unit scale
    counts = [len(genuine), len(impostor)]
    # never 1 and 0: where the two kinds are separable the slope stays finite, and few pairs claim no certainty
    target = np.repeat([(len(genuine) + 1) / (len(genuine) + 2), 1 / (len(impostor) + 2)], counts)
    weight = np.repeat([0.5 / len(genuine), 0.5 / len(impostor)], counts)
    x = (np.concatenate([genuine, impostor]) - centre) / spread

    def loss(parameters: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        logit = parameters[0] * x + parameters[1]
        slope = weight * (expit(logit) - target)
        return float(weight @ (np.logaddexp(0, logit) - target * logit)), np.array([slope @ x, slope.sum()])

    found = minimize(loss, np.array([1.0, 0.0]), jac=True, method="BFGS")
    slope = float(found.x[0] / spread)
    return Calibration(slope, float(found.x[1] - slope * centre), pairs=len(scores), classes=classes, data=data)
