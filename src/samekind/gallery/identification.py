"""Who a query shows: from the scores against all enrolled identities to an answer.

Knows scores and the calibration. Knows nothing of images, models or where identities are kept.

Before the query is looked at, it shows somebody enrolled with probability `prior`, each of N identities alike, or
nobody. A score's likelihood ratio, from the calibration's map for searches and without a bound, weighs each identity
against nobody; then the probabilities of all identities and of nobody add up to 1. So the same score says less in a
larger gallery, as it must: more strangers had a chance to reach it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from samekind.calibration import Calibration
from samekind.errors import InputError
from samekind.gallery.records import Candidate, Identification

Floats: TypeAlias = NDArray[np.float64]

_BLOCK = 65_536  # scores exponentiated at a time: stays in the processor's cache


@dataclass(frozen=True)
class Match:
    """An identity and how alike the query is to it.

    Args:
        id, name: of the identity.
        score: by the bundle's own similarity, exactly.
        samples: how many images stand for it.
    """

    id: str
    name: str
    score: float
    samples: int


@dataclass(frozen=True)
class Threshold:
    """From which score the best of so many identities counts as found.

    Args:
        score: of it.
        certified_fpir: the false positive identification rate that it is certified for; None: not certified.
    """

    score: float
    certified_fpir: float | None


@dataclass(frozen=True, eq=False)
class Posterior:
    """Probabilities that add up to 1, before any bound.

    Args:
        matches: (K,) of the identities given.
        others: of any other identity.
        nobody: of nobody enrolled.
    """

    matches: Floats
    others: float
    nobody: float


def decide(
    calibration: Calibration,
    matches: Sequence[Match],
    *,
    others: float,
    identities: int,
    references: tuple[int, int] = (1, 1),
    flaws: Sequence[str] = (),
    reachable: float = math.inf,
    top: int = 5,
) -> Identification:
    """Answer who the query shows.

    Args:
        calibration: of the model that gave the scores.
        matches: the most alike identities, in any order; at least two where there are two, and `top` where there are.
        others: `evidence` of all identities that are not among the matches.
        identities: N, how many were searched, the matches included.
        references: least and greatest number of samples that an identity has.
        flaws: why nothing can be said of the query.
        reachable: the score of the query with itself, which no identity can exceed.
        top: how many candidates to name.
    Returns:
        "nobody" where the best score is below the threshold or nobody is enrolled; "cannot tell" where the query is
        flawed, the best two above the threshold are tied, or no score could pass the threshold; else "found". The
        candidates are sorted by score, then by name; no probability exceeds 1 - 1 / (n + 2) of n calibration classes
        (Laplace's rule of succession).
    Raises:
        InputError: there are more matches than identities, or top is less than 1.
    """
    if top < 1:
        raise InputError(f"expected to name at least 1 candidate, got {top}")
    threshold = threshold_for(calibration, identities=identities, references=references)
    ranked = sorted(matches, key=lambda match: (-match.score, match.name))
    scores = np.array([match.score for match in ranked])
    worth = posterior(calibration, scores, others=others, identities=identities).matches
    stated = np.minimum(worth, 1 - 1 / (calibration.classes + 2)).tolist()
    found = bool(ranked) and ranked[0].score >= threshold.score
    reasons = [f"query: {flaw}" for flaw in flaws] if ranked else []
    if found and calibration.tied(scores):
        reasons.append(f"{ranked[0].name} and {ranked[1].name} are about equally likely")
    if ranked and threshold.score > reachable:  # then a "nobody" would say nothing of the query
        reasons.append(
            f"among {identities:,} identities not even the same image passes: calibrate with --identities, on more "
            "classes, or with a larger --prior if queries mostly show somebody enrolled"
        )
    return Identification(
        answer="cannot tell" if reasons else "found" if found else "nobody",
        candidates=tuple(
            Candidate(match.id, match.name, match.score, probability, match.samples)
            for match, probability in zip(ranked[:top], stated[:top], strict=True)
        ),
        threshold=threshold.score,
        identities=identities,
        prior=calibration.prior,
        certified_fpir=threshold.certified_fpir,
        reasons=tuple(reasons),
    )


def threshold_for(calibration: Calibration, *, identities: int, references: tuple[int, int] = (1, 1)) -> Threshold:
    """The threshold for so many identities; more identities never lower it.

    Certified where a certificate is for as many identities or more, and exactly for the number of references that all
    have. One for fewer references sets the threshold too, but promises nothing, as in `Verifier.verify`. Where no
    certificate reaches as far it is the score from which one identity alone is likelier than nobody.

    Args:
        calibration: of the model.
        identities: N; that of an empty gallery is that of one identity.
        references: least and greatest number of samples that an identity has.
    Raises:
        InputError: identities is negative, or the numbers of references are out of order or less than 1.
    """
    fewest, most = references
    if identities < 0 or not 1 <= fewest <= most:
        raise InputError(f"expected identities >= 0 and 1 <= fewest <= most references, got {identities}, {references}")
    n = max(identities, 1)
    usable = max((c.references for c in calibration.certificates if c.references <= fewest), default=None)
    certificates = [c for c in calibration.certificates if c.references == usable]
    reaching = min((c for c in certificates if c.identities >= n), key=lambda c: c.identities, default=None)
    # what a smaller gallery demands a larger one demands too; a stricter threshold breaks no promise
    demanded = max((c.threshold for c in certificates if c.identities < n), default=-math.inf)
    if reaching is not None:
        promised = reaching.references == fewest == most
        return Threshold(max(reaching.threshold, demanded), reaching.target_fmr if promised else None)
    even = math.log1p(-calibration.prior) - math.log(calibration.prior) + math.log(n)
    slope, intercept = calibration.search_map
    return Threshold(max((even - intercept) / slope, demanded), None)


def posterior(calibration: Calibration, scores: NDArray[np.floating], *, others: float, identities: int) -> Posterior:
    """What each identity and nobody is worth.

    Args:
        calibration: of the model.
        scores: (K,) float, of some of the identities.
        others: `evidence` of all the others; minus infinity where there are none.
        identities: N >= K.
    Raises:
        InputError: there are more scores than identities.
    """
    if len(scores) > identities:
        raise InputError(f"expected at most as many scores as identities ({identities}), got {len(scores)}")
    share = math.log(calibration.prior) - math.log(max(identities, 1))
    odds = np.append(share + calibration.search_llr(scores), share + others)
    nobody = math.log1p(-calibration.prior)
    total = np.logaddexp(np.logaddexp.reduce(odds), nobody)
    *of_matches, of_others = np.exp(odds - total).tolist()
    return Posterior(np.array(of_matches), of_others, math.exp(nobody - total))


def evidence(calibration: Calibration, scores: NDArray[np.floating]) -> float:
    """Logarithm of the sum of the likelihood ratios of these scores (N,); minus infinity where there are none.

    Scores known up to rounding serve, and those of parts are joined by `numpy.logaddexp`. A million take some
    milliseconds.
    """
    if not len(scores):
        return -math.inf
    slope, intercept = calibration.search_map
    highest, rise, total = float(scores.max()), scores.dtype.type(slope), 0.0
    for start in range(0, len(scores), _BLOCK):  # float32 stays so: each term is good to 1e-6, which is enough
        total += float(np.exp(rise * (scores[start : start + _BLOCK] - highest)).sum(dtype=np.float64))
    return slope * highest + intercept + math.log(total)
