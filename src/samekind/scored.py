"""What a model gave the pairs or the trials that were drawn: scores, and what follows from them at once.

Knows which answer is true and of which classes each pair or trial is. Knows nothing of models, metrics or protocols.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from samekind.data.labelled import LabelledImages
from samekind.trials import Indices, Pairs, Trials

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class ScoredPairs:
    """Pairs of a data set and what the model gave them.

    Args:
        data: what the pairs index.
        pairs: P of them.
        scores: (P,) float32.
        llr: (P,) float64, natural log likelihood ratios; None where the model is not calibrated.
    """

    data: LabelledImages
    pairs: Pairs
    scores: NDArray[np.float32]
    llr: Floats | None = None

    @property
    def drawn(self) -> Pairs:
        """What was scored."""
        return self.pairs

    @property
    def truth(self) -> NDArray[np.bool_]:
        """(P,) bool, the scores that should be high: those of genuine pairs."""
        return self.pairs.same

    @property
    def classes(self) -> tuple[Indices, Indices]:
        """Two times (P,) int64, the classes of both sides: what intervals are resampled over."""
        return self.data.labels[self.pairs.left], self.data.labels[self.pairs.right]


@dataclass(frozen=True, eq=False)
class ScoredTrials:
    """Trials of a data set and what the model gave each of their classes.

    Args:
        data: what the trials index.
        trials: T of them, with K classes of S references.
        scores: (T, K) float32, over the references of each class.
    """

    data: LabelledImages
    trials: Trials
    scores: NDArray[np.float32]

    @property
    def drawn(self) -> Trials:
        """What was scored."""
        return self.trials

    @property
    def truth(self) -> NDArray[np.bool_]:
        """(T, K) bool, the scores that should be high: those of the true class."""
        return np.asarray(np.arange(self.scores.shape[1]) == self.trials.correct[:, None])

    @property
    def classes(self) -> tuple[Indices, Indices]:
        """Twice (T,) int64, the class of the query: what intervals are resampled over."""
        asked = self.data.labels[self.trials.queries]
        return asked, asked

    @cached_property
    def rivals(self) -> Indices:
        """(T,) int64 in [0, K), which of the other classes scores highest."""
        return np.asarray(np.where(self.truth, -np.inf, self.scores).argmax(axis=1), dtype=np.int64)

    @cached_property
    def margins(self) -> Floats:
        """(T,) float64, by how much the true class outscores every other; a tie, 0, is wrong as less than 0 is."""
        ways = np.stack([self.trials.correct, self.rivals], axis=1)
        true, other = np.take_along_axis(self.scores, ways, axis=1).astype(np.float64).T
        return np.asarray(true - other)

    @property
    def right(self) -> NDArray[np.bool_]:
        """(T,) bool."""
        return self.margins > 0
