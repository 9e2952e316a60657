"""Thresholds that keep a promise: false match rates certified for classes that nobody has seen yet.

Knows scores of impostors and the classes they are of. Knows nothing of images or of the model that made the scores.

Impostor pairs that share a class depend on each other. So the pairs of classes are laid out in rounds in which no class
takes part twice (`tournament`). Within a round every pair of classes is a fair bet against the claim "the false match
rate is at least p": it multiplies a capital of 1 by a factor whose expectation is at most 1 where the claim holds. The
capital averaged over all rounds keeps this property, whatever the rounds share, so where the claim holds it reaches
1 / (1 - confidence) with probability at most 1 - confidence (Markov). `docs/trust.md` explains it at length.

Sources: Hoeffding 1963, "Probability inequalities for sums of bounded random variables", section 5 (averages over
arrangements into independent terms); Waudby-Smith, Ramdas 2024, "Estimating means of bounded random variables by
betting"; Angelopoulos, Bates, Candes, Jordan, Lei 2021, "Learn then test" (from strict to loose at one level).
"""

import math
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from samekind.errors import InputError, UncertifiableError
from samekind.tournament import Indices, ReferenceScorer, rounds_of, search_scores

Floats: TypeAlias = NDArray[np.float64]

_SLACK = 1e-9  # between logarithms that differ by rounding only


@dataclass(frozen=True)
class Certificate:
    """What calibration classes prove of a threshold.

    Over repeated draws of the calibration classes, the true false match rate at the threshold exceeds `target_fmr` in
    at most 1 - `confidence` of the cases. Each pair of classes weighs the same in it.

    Args:
        threshold: score >= threshold means same.
        target_fmr: what is promised; in (0, 1).
        confidence: of the promise; in (0, 1).
        observed_fmr: of the calibration classes at this threshold, mean over pairs of classes.
        upper_fmr: the bound for this threshold, had it been fixed before the scores were seen; <= target_fmr.
        classes: how many calibration classes.
        references: of a decision; it holds for exactly so many.
        identities: among how many enrolled classes a query is searched. Above 1 the rate is that of searches which find
            anybody though the query's class is not enrolled (FPIR in ISO/IEC 19795-1).
    """

    threshold: float
    target_fmr: float
    confidence: float
    observed_fmr: float
    upper_fmr: float
    classes: int
    references: int
    identities: int = 1

    @property
    def promise(self) -> str:
        """The certified rate in words: "FMR <= 0.01", or "FPIR <= 0.1 among 100 identities"."""
        if self.identities == 1:
            return f"FMR <= {self.target_fmr:g}"
        return f"FPIR <= {self.target_fmr:g} among {self.identities:,} identities"


def certify(
    scores: ArrayLike,
    left: ArrayLike,
    right: ArrayLike,
    *,
    target_fmr: float,
    confidence: float = 0.95,
    references: int = 1,
) -> Certificate:
    """The loosest threshold whose false match rate is certified.

    Args:
        scores: (P,) float, of impostors; larger is more alike. Those of one pair of classes count as one together.
        left: (P,) int or str, class of one side.
        right: (P,) int or str, class of the other. Which pairs of classes are there must not depend on their scores.
            Best are all of them; where some are missing the bound holds, but proves less.
        target_fmr: in (0, 1).
        confidence: in (0, 1).
        references: over how many each score is; noted in the certificate.
    Returns:
        The certificate. Its threshold is the next number, in the precision of the scores, above an impostor's score.
    Raises:
        InputError: an argument is out of range, a score is not finite, or both sides of a pair are of one class.
        UncertifiableError: the target cannot be certified here even if no impostor matches.
    """
    _check(target_fmr=target_fmr, confidence=confidence, references=references)
    values, left, right = np.asarray(scores), np.asarray(left), np.asarray(right)
    if values.ndim != 1 or not values.shape == left.shape == right.shape or not len(values):
        shapes = f"{values.shape}, {left.shape}, {right.shape}"
        raise InputError(f"expected scores, left and right of one shape (P,) with P >= 1, got {shapes}")
    names, position = np.unique(np.concatenate([left, right]), return_inverse=True)
    first, second = position.reshape(2, -1)
    if shared := int((first == second).sum()):
        raise InputError(f"expected impostors only, got {shared} of {len(values)} pairs with one class on both sides")
    n = len(names)
    pairs, of_pair = np.unique(np.minimum(first, second) * n + np.maximum(first, second), return_inverse=True)
    units = _Units(values, of_pair, rounds_of(pairs // n, pairs % n, n))
    return _loosest(units, Certificate(math.inf, target_fmr, confidence, 0.0, 0.0, n, references))


def certify_gallery(
    score: ReferenceScorer,
    labels: Indices,
    *,
    identities: int,
    target_fmr: float,
    confidence: float = 0.95,
    references: int = 1,
    rounds: int = 100,
    rng: np.random.Generator,
) -> Certificate:
    """The loosest threshold whose false *identification* rate among enrolled classes is certified.

    As `certify`, with searches by one class among `identities` others in place of pairs of classes. It takes half the
    classes that certifying target_fmr / identities for single comparisons would, and loses nothing to that sum.

    Args:
        score: the model.
        labels: (N,) int64, class of each image.
        identities: enrolled classes, >= 1.
        target_fmr: share of searches that may find anybody though the query's class is not enrolled; in (0, 1).
        confidence: in (0, 1).
        references: images that each class is enrolled with, >= 1.
        rounds: how often the classes are parted anew, >= 1; more make it depend less on the draw.
        rng: draws blocks of classes, queries and references.
    Returns:
        The certificate, for so many identities or fewer.
    Raises:
        InputError: an argument is out of range, a class has too few images, or a score is not finite.
        UncertifiableError: as `certify`; found out before anything is scored.
    """
    _check(target_fmr=target_fmr, confidence=confidence, references=references, identities=identities)
    n = len(np.unique(labels))
    if n < classes_needed(target_fmr, confidence, identities=identities):
        raise _uncertifiable(target_fmr, confidence, classes=n, identities=identities)
    best = search_scores(score, labels, identities=identities, references=references, rounds=rounds, rng=rng)
    units = _Units(best.ravel(), np.arange(best.size), np.repeat(np.arange(rounds), best.shape[1]))
    return _loosest(units, Certificate(math.inf, target_fmr, confidence, 0.0, 0.0, n, references, identities))


def smallest_fmr(classes: int, confidence: float, *, identities: int = 1) -> float:
    """The smallest rate that so many classes certify, and only if none of their impostors matches; in (0, 1].

    Source: Clopper, Pearson 1934, for no match in m independent trials: (1 - p) ** m = 1 - confidence; here m is
        classes // (identities + 1).
    """
    _check(confidence=confidence, identities=identities)
    independent = classes // (identities + 1)
    return -math.expm1(math.log1p(-confidence) / independent) if independent > 0 else 1.0


def classes_needed(target_fmr: float, confidence: float, *, identities: int = 1) -> int:
    """The fewest classes that can certify a rate, see `smallest_fmr`; with twice as many some impostors may match."""
    _check(target_fmr=target_fmr, confidence=confidence, identities=identities)
    return (identities + 1) * math.ceil(math.log1p(-confidence) / math.log1p(-target_fmr) - _SLACK)


class _Units:
    """Scores by unit: a pair of classes, or one that asks and those enrolled.

    Args:
        scores: (P,) float.
        of_score: (P,) int, the unit of each score.
        rounds: (U,) int, the round of each unit; units of one round have no class in common.
    """

    def __init__(self, scores: NDArray[np.generic], of_score: Indices, rounds: Indices) -> None:
        self.scores = scores if np.issubdtype(scores.dtype, np.floating) else scores.astype(np.float64)
        if bad := int((~np.isfinite(self.scores)).sum()):
            raise InputError(f"expected finite scores, got {bad} of {len(scores)} NaN or infinite")
        self.of_score = of_score
        self.sizes = np.bincount(of_score)
        self.rounds = np.unique(rounds, return_inverse=True)[1]

    def matches(self, threshold: np.floating) -> Floats:
        """(U,) in [0, 1], the share of each unit's scores that match."""
        return np.bincount(self.of_score[self.scores >= threshold], minlength=len(self.sizes)) / self.sizes


def _loosest(units: _Units, blank: Certificate) -> Certificate:
    """Fill in what the scores say.

    The evidence only falls as a threshold is lowered, so testing from strict to loose until the first failure finds the
    same threshold as bisection; such a sequence of tests errs no more often than one test.
    """
    target, confidence = blank.target_fmr, blank.confidence
    if not _refuted(np.zeros(len(units.sizes)), units.rounds, target, confidence):
        raise _uncertifiable(
            target, confidence, classes=blank.classes, identities=blank.identities, pairs=len(units.sizes)
        )
    falling = np.unique(units.scores)[::-1]
    passed, failed = -1, len(falling) - 1  # where everything matches nothing is refuted
    while failed - passed > 1:
        middle = (passed + failed) // 2
        if _refuted(units.matches(falling[middle]), units.rounds, target, confidence):
            passed = middle
        else:
            failed = middle
    threshold = np.nextafter(falling[failed], np.array(np.inf, falling.dtype))  # a decision compares at this precision
    matches = units.matches(threshold)
    observed = float(matches.mean())
    low, high = observed, target
    while high - low > 1e-4 * target:
        bound = (low + high) / 2
        low, high = (low, bound) if _refuted(matches, units.rounds, bound, confidence) else (bound, high)
    return Certificate(
        threshold=float(threshold),
        target_fmr=target,
        confidence=confidence,
        observed_fmr=observed,
        upper_fmr=high,
        classes=blank.classes,
        references=blank.references,
        identities=blank.identities,
    )


def _refuted(matches: Floats, rounds: Indices, fmr: float, confidence: float) -> bool:
    """Whether these shares of matches (U,) in these rounds (U,) refute that the rate is `fmr` or more.

    A unit's factor falls on a straight line from `won`, where nothing matches, to `lost`, where everything does, and is
    1 at a share of `fmr`: a fair bet. `spared` = 0 is the boldest one, with which no match in m pairs gives exactly
    Clopper and Pearson's bound, and `spared` = u, where m KL(u || fmr) = log(1 / (1 - confidence)), gives Chernoff's.
    Halfway between was the best in simulation (`docs/experiments.md`).
    """
    if not 0 < fmr < 1 or matches.mean() > fmr:
        return False
    needed = -math.log1p(-confidence)
    spared = _chernoff_share(fmr, len(rounds) / (rounds.max() + 1), needed) / 2
    won, lost = (1 - spared) / (1 - fmr), spared / fmr
    with np.errstate(divide="ignore"):  # the boldest bet can lose everything
        capital = np.bincount(rounds, np.log(won - matches * (won - lost)))  # logarithm of each round's
    return bool(np.logaddexp.reduce(capital) - math.log(len(capital)) >= needed - _SLACK)


def _chernoff_share(fmr: float, independent: float, needed: float) -> float:
    """The u <= fmr at which independent * KL(u || fmr) = needed, in [0, 1); 0 where u = 0 gives no more than that."""
    from scipy.optimize import brentq  # takes a fifth of a second to import, and a decision needs none of it

    def excess(share: float) -> float:
        divergence = (1 - share) * (math.log1p(-share) - math.log1p(-fmr))
        return independent * (divergence + (share * math.log(share / fmr) if share else 0.0)) - needed

    return float(brentq(excess, 0.0, fmr)) if excess(0.0) > 0 else 0.0


def _uncertifiable(
    target_fmr: float, confidence: float, *, classes: int, identities: int, pairs: int = 0
) -> UncertifiableError:
    least = smallest_fmr(classes, confidence, identities=identities)
    count = classes_needed(target_fmr, confidence, identities=identities)
    what = f"an FMR of {target_fmr:g}" if identities == 1 else f"an FPIR of {target_fmr:g} among {identities:,}"
    if classes < count:
        text = (
            f"expected at least {count:,} classes to certify {what} with confidence {confidence:g}, got {classes:,}, "
            f"which certify {least:.2g} at best; add about {count - classes:,} classes or ask for a larger rate"
        )
    else:
        text = (
            f"expected scores of all {classes * (classes - 1) // 2:,} pairs of {classes:,} classes to certify {what}, "
            f"got {pairs:,} of them; add the others or ask for a larger rate"
        )
    return UncertifiableError(text, smallest_fmr=least, classes_needed=count)


def _check(*, target_fmr: float = 0.5, confidence: float = 0.5, references: int = 1, identities: int = 1) -> None:
    if not (0 < target_fmr < 1 and 0 < confidence < 1):
        raise InputError(f"expected rate and confidence between 0 and 1, got {target_fmr} and {confidence}")
    if references < 1 or identities < 1:
        raise InputError(f"expected references >= 1 and identities >= 1, got {references} and {identities}")
