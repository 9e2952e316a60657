"""From scores to probabilities and decisions, fitted on classes that training never saw.

Knows scores of pairs and the classes of both sides. Knows nothing of images or of the model that made the scores.
"""

import math
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from samekind.certification import Certificate
from samekind.errors import InputError
from samekind.quality import Domain

Floats: TypeAlias = NDArray[np.float64]

CONFIDENCE = 0.95
"""Of the interval of a probability."""

SEARCH_SHARE = 0.03
"""Of genuine comparisons among those that the map for searches is fitted to; by numbers (`docs/experiments.md`)."""

CLEAR_ODDS = 3.0
"""The best of several identities must be so many times as likely as the second, or they are tied."""


@dataclass(frozen=True)
class Calibration:
    """An affine map from a score to the log-likelihood ratio of "same" against "different", and how sure it is.

    The map is of scores against one reference. A mean over several is steadier, so that its probability is understated
    in both directions; its certified threshold is its own.

    Args:
        slope: nats a unit of score; > 0.
        intercept: nats.
        covariance: of slope and intercept, over draws of the calibration classes: variance of the slope, covariance,
            variance of the intercept; None where there are fewer than three classes, then nothing is known of it.
        quantile: how many standard errors either way make the interval: Student's, of classes - 1 degrees of freedom.
        prior: probability of "same" before the images were looked at, at which probabilities are stated; in (0, 1), and
            not so extreme that the `bound` cannot outweigh it.
        pairs: how many pairs it was fitted on, half of them genuine.
        classes: of how many classes.
        data: name of the data set that those classes are from.
        domain: what its images looked like; None: not known, and no image is held to be strange.
        certificates: thresholds with a certified false match rate, for different numbers of references.
        search: slope and intercept of such a map for searches, where most comparisons are impostors and those count
            whose scores are rarest; None: not known, and that of pairs serves.
    Source: Bruemmer, du Preez 2006 (affine calibration by logistic regression).
    """

    slope: float
    intercept: float
    covariance: tuple[float, ...] | None
    quantile: float
    prior: float
    pairs: int
    classes: int
    data: str
    domain: Domain | None = None
    certificates: tuple[Certificate, ...] = ()
    search: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        if not (np.isfinite([self.slope, self.intercept]).all() and self.slope > 0):
            raise InputError(f"expected a finite intercept and a slope > 0, got {self.intercept}, {self.slope}")
        if self.search is not None and not (len(self.search) == 2 and self.search[0] > 0):
            raise InputError(f"expected a slope > 0 and an intercept for searches, got {self.search}")
        if self.covariance is not None and len(self.covariance) != 3:
            raise InputError(f"expected a covariance of three numbers, got {len(self.covariance)}")
        if not abs(_log_odds(self.prior)) < self.bound:
            least = 1 / (self.classes + 2)
            raise InputError(
                f"expected a prior between {least:.4f} and {1 - least:.4f}, got {self.prior}: "
                f"what {self.classes} classes can tell does not outweigh it; calibrate on more"
            )

    @property
    def bound(self) -> float:
        """The largest log-likelihood ratio, either way, that these classes support, in nats.

        Where n classes gave no counterexample, the odds against one in the next class are n + 1 to 1 (Laplace's rule of
        succession). Pairs of one class are no independent witnesses, so classes count and not pairs.
        """
        return math.log(self.classes + 1)

    @property
    def threshold(self) -> float:
        """The score from which "same" is the likelier answer at the stated prior."""
        return -(self.intercept + _log_odds(self.prior)) / self.slope

    def certificate(self, references: int) -> Certificate | None:
        """What is certified for so many references: their own certificate, or that of the next fewer that has one."""
        fitting = [c for c in self.certificates if c.references <= references and c.identities == 1]
        return max(fitting, key=lambda c: c.references, default=None)

    def threshold_for(self, references: int) -> float:
        """The score from which so many references say "same": certified where it can be, else `threshold`."""
        certificate = self.certificate(references)
        return self.threshold if certificate is None else certificate.threshold

    def llr(self, scores: NDArray[np.floating]) -> Floats:
        """Log-likelihood ratios in nats: (...) -> (...) within plus and minus `bound`, > 0 where "same" is likelier."""
        return np.clip(self.slope * scores.astype(np.float64) + self.intercept, -self.bound, self.bound)

    def llr_interval(self, scores: NDArray[np.floating]) -> tuple[Floats, Floats]:
        """Both ends of the 95 % interval of each `llr`, over draws of the calibration classes: twice (...)."""
        score = scores.astype(np.float64)
        if self.covariance is None:
            return np.full_like(score, -self.bound), np.full_like(score, self.bound)
        of_slope, of_both, of_intercept = self.covariance
        variance = of_slope * score**2 + 2 * of_both * score + of_intercept
        half = self.quantile * np.sqrt(np.maximum(variance, 0))  # rounding may leave a little less than nothing
        middle = self.slope * score + self.intercept
        return np.clip(middle - half, -self.bound, self.bound), np.clip(middle + half, -self.bound, self.bound)

    def probability(self, score: float, *, prior: float | None = None) -> float:
        """Probability of "same", in (0, 1).

        Args:
            score: of a pair.
            prior: of "same" before the images were looked at, in (0, 1); None: the calibration's own.
        """
        return self._probability(self.llr(np.asarray(score)), prior)

    def probability_low(self, score: float, *, prior: float | None = None) -> float:
        """The lower end of the probability's 95 % interval. Args as `probability`."""
        return self._probability(self.llr_interval(np.asarray(score))[0], prior)

    def probability_high(self, score: float, *, prior: float | None = None) -> float:
        """The upper end of the probability's 95 % interval. Args as `probability`."""
        return self._probability(self.llr_interval(np.asarray(score))[1], prior)

    def undecided(self, score: float) -> bool:
        """Whether the interval of the probability lies across one half, so that another draw might decide otherwise.

        It is asked where no certificate sets the threshold: in a certified one the draw of the classes is allowed for.
        """
        low, high = self.llr_interval(np.asarray(score))
        odds = _log_odds(self.prior)
        return bool(low + odds < 0 < high + odds)

    @property
    def search_map(self) -> tuple[float, float]:
        """Slope and intercept of the log-likelihood ratio in a search."""
        slope, intercept = self.search or (self.slope, self.intercept)
        return slope, intercept

    def search_llr(self, scores: NDArray[np.floating]) -> Floats:
        """Log-likelihood ratios in a search, in nats and without a bound: (...) -> (...)."""
        slope, intercept = self.search_map
        return np.asarray(slope * scores.astype(np.float64) + intercept)

    def tied(self, scores: NDArray[np.floating]) -> bool:
        """Whether the best of several identities is not clearly the best: less than CLEAR_ODDS as likely as the second.

        Args:
            scores: (N,) float, of one query against each identity, N >= 1.
        Raises:
            InputError: there is no score.
        """
        if scores.ndim != 1 or not len(scores):
            raise InputError(f"expected scores (N,) with N >= 1, got {scores.shape}")
        best = self.search_llr(np.sort(scores)[-2:])
        return len(best) == 2 and bool(best[1] - best[0] < math.log(CLEAR_ODDS))

    def _probability(self, llr: Floats, prior: float | None) -> float:
        odds = float(llr) + _log_odds(self.prior if prior is None else prior)
        return (1 + math.tanh(odds / 2)) / 2  # the logistic function, no overflow


def calibrate(
    scores: NDArray[np.float32],
    left: NDArray[np.integer],
    right: NDArray[np.integer],
    *,
    data: str,
    prior: float = 0.5,
    domain: Domain | None = None,
) -> Calibration:
    """Fit the affine map by logistic regression, genuine and impostor pairs with equal weight.

    Args:
        scores: (P,) float, larger is more alike.
        left: (P,) int, class of one side.
        right: (P,) int, class of the other; a pair is genuine where both are equal.
        data: the data set they are from.
        prior: at which probabilities are stated, in (0, 1).
        domain: what the images look like.
    Returns:
        The calibration, without certificates. Its threshold is where its probability is one half, so that a decision
        and its probability never contradict each other.
    Raises:
        InputError: shapes differ, one kind of pair is missing, the prior is out of range, or genuine pairs do not
            score above impostors.
    Source: Platt 1999, "Probabilistic outputs for support vector machines", section 2.2: the targets are not 1 and 0
        but what as many pairs can tell, (n + 1) / (n + 2) and 1 / (n + 2); differs: both kinds weigh the same.
    """
    from scipy.special import expit, stdtrit

    if scores.ndim != 1 or not scores.shape == left.shape == right.shape:
        raise InputError(f"expected scores and classes of one shape (P,), got {scores.shape}, {left.shape}")
    same = left == right
    genuine, impostors = int(same.sum()), int((~same).sum())
    if not genuine or not impostors:
        raise InputError(f"expected genuine and impostor pairs, got {genuine} and {impostors}")
    if not scores[same].mean(dtype=np.float64) > scores[~same].mean(dtype=np.float64):
        raise InputError("genuine pairs score no higher than impostors on held-out classes: nothing was learned")
    centre, spread = float(np.median(scores)), float(scores.std(dtype=np.float64))  # optimisers like unit scale
    x = np.stack([(scores - centre) / spread, np.ones(len(scores))], axis=1)  # (P, 2)
    found, weight, target = _regression(x, same, share=0.5)
    chance = expit(x @ found)
    gradients = (weight * (chance - target))[:, None] * x
    names, position = np.unique(np.concatenate([left, right]), return_inverse=True)
    sides = position.reshape(2, -1)
    covariance = None
    if len(names) > 2:
        spreads = _jackknife(gradients, x, weight * chance * (1 - chance), same, sides)
        scale = np.array([[1 / spread, 0.0], [-centre / spread, 1.0]])  # back to the scores' own unit
        (of_slope, of_both), (_, of_intercept) = (scale @ spreads @ scale.T).tolist()
        covariance = (of_slope, of_both, of_intercept)
    slope = float(found[0] / spread)
    return Calibration(
        slope,
        float(found[1] - slope * centre),
        covariance=covariance,
        quantile=float(stdtrit(len(names) - 1, (1 + CONFIDENCE) / 2)),
        prior=prior,
        pairs=len(scores),
        classes=len(names),
        data=data,
        domain=domain,
    )


def fit_searches(genuine: NDArray[np.float32], impostors: NDArray[np.float32]) -> tuple[float, float]:
    """Slope and intercept for `Calibration.search`: the same fit, with SEARCH_SHARE of the weight on genuine scores.

    Args:
        genuine: (G,) float, G >= 1.
        impostors: (I,) float, as many as there are: what counts is their upper end.
    Source: Bruemmer, du Preez 2006, section 5 (logistic regression weighted by the prior of the application).
    """
    scores = np.concatenate([genuine, impostors]).astype(np.float64)
    same = np.arange(len(scores)) < len(genuine)
    centre, spread = float(scores.mean()), float(scores.std())
    x = np.stack([(scores - centre) / spread, np.ones(len(scores))], axis=1)
    found, _, _ = _regression(x, same, share=SEARCH_SHARE)
    slope = float(found[0] / spread)
    return slope, float(found[1] - slope * centre)


def _regression(x: Floats, same: NDArray[np.bool_], *, share: float) -> tuple[Floats, Floats, Floats]:
    """Logistic regression on x (P, 2): parameters (2,) of the log-likelihood ratio, weights (P,) and targets (P,)."""
    from scipy.optimize import minimize
    from scipy.special import expit

    genuine, impostors = int(same.sum()), int((~same).sum())
    # never 1 and 0: where the two kinds are separable the slope stays finite, and few pairs claim no certainty
    target = np.where(same, (genuine + 1) / (genuine + 2), 1 / (impostors + 2))
    weight = np.where(same, share / genuine, (1 - share) / impostors)
    odds = _log_odds(share)

    def loss(parameters: Floats) -> tuple[float, Floats]:
        logit = x @ parameters + odds
        return float(weight @ (np.logaddexp(0, logit) - target * logit)), (weight * (expit(logit) - target)) @ x

    return minimize(loss, np.array([1.0, 0.0]), jac=True, method="BFGS").x, weight, target


def _jackknife(
    gradients: Floats, x: Floats, curvature: Floats, same: NDArray[np.bool_], sides: NDArray[np.integer]
) -> Floats:
    """Covariance of the two parameters over draws of the classes: (2, 2).

    Leaves out one class after the other with all pairs that it is in, and takes one Newton step to the new optimum.
    Chosen by coverage among it, the sandwich of Aronow, Samii, Assenova 2015 and the t quantile's degrees of freedom.

    Source: Efron, Stein 1981 (never too small in expectation); one step: Cook, Weisberg 1982.
    """
    n = int(sides.max()) + 1
    # each kind weighs one half however many of its pairs are left out: only what differs from its mean counts
    centred = gradients - np.where(same[:, None], gradients[same].mean(axis=0), gradients[~same].mean(axis=0))
    hessians = (curvature[:, None, None] * x[:, :, None] * x[:, None, :]).reshape(-1, 4)
    terms = np.concatenate([centred, hessians], axis=1)
    # a genuine pair lies in one class, an impostor pair in two
    of_class = np.stack(
        [
            np.bincount(sides[0], column, minlength=n) + np.bincount(sides[1], column * ~same, minlength=n)
            for column in terms.T
        ],
        axis=1,
    )  # (n, 6)
    left = (hessians.sum(axis=0) - of_class[:, 2:]).reshape(-1, 2, 2)
    steps = np.linalg.solve(left, of_class[:, :2, None])[..., 0]  # (n, 2)
    return np.asarray((n - 1) / n * steps.T @ steps)


def _log_odds(probability: float) -> float:
    if not 0 < probability < 1:
        raise InputError(f"expected a prior in (0, 1), got {probability}")
    return math.log(probability / (1 - probability))
