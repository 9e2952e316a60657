"""A calibration from the scores that a model gives to pairs of classes it never saw.

Knows pairs, searches and calibration. Whether a network or a bundle's graph gives the scores, it does not know.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from samekind.calibration import Calibration, calibrate, fit_searches
from samekind.data.labelled import LabelledImages
from samekind.images import Preprocessing
from samekind.protocols import PairScorer
from samekind.quality import Domain
from samekind.tournament import impostor_scores
from samekind.trials import Pairs, balanced_pairs

CALIBRATION_PAIRS = 10_000
SEARCH_COMPARISONS = 200_000


@dataclass(frozen=True, eq=False)
class Fitted:
    """A calibration, and what it was fitted to.

    Args:
        calibration: of pairs and of searches; nothing is certified.
        pairs: P of them.
        scores: (P,) float32, of the pairs.
    """

    calibration: Calibration
    pairs: Pairs
    scores: NDArray[np.float32]


def fit(
    score: PairScorer,
    data: LabelledImages,
    pixels: NDArray[np.uint8],
    *,
    preprocessing: Preprocessing,
    prior: float = 0.5,
    rng: np.random.Generator,
) -> Fitted:
    """Draw pairs and searches, and fit a map from score to likelihood ratio to each.

    Args:
        score: of pairs of the images, by index.
        data: classes that the model never saw, each with at least two images; N images.
        pixels: (N, C, H, W) uint8, as the model sees them.
        preprocessing: that made them; the domain is of whole images, which are read again only where it frames.
        prior: at which probabilities are stated, in (0, 1).
        rng: draws pairs and impostors.
    Raises:
        InputError: the prior is out of range, or there are too few classes or images.
    """
    whole = data.pixels(preprocessing.whole) if preprocessing.frame else pixels
    pairs = balanced_pairs(data, pairs=CALIBRATION_PAIRS, impostors="any", rng=rng)
    scores = score(pairs.left, pairs.right)
    of_pairs = calibrate(
        scores,
        data.labels[pairs.left],
        data.labels[pairs.right],
        data=data.name,
        prior=prior,
        domain=Domain.of(whole, invert=preprocessing.invert),
    )
    (of_searches,) = rng.spawn(1)  # leaves what the generator draws next as it is
    strangers = impostor_scores(score, data.labels, comparisons=SEARCH_COMPARISONS, rng=of_searches)
    search = fit_searches(scores[pairs.same], strangers.scores)
    return Fitted(replace(of_pairs, search=search), pairs, scores)
