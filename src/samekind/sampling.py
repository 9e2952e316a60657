"""Batches for metric learning: which images to look at together. Takes labels, not a data set.

Knows labels and groups. Knows nothing of images or networks.
"""

import numpy as np
from numpy.typing import NDArray

from samekind.errors import InputError


class ClassBatches:
    """Endless batches of P classes x K images, a share of them drawn from within few groups.

    Classes of one group (one alphabet) look alike, so such a batch holds hard impostors; the other batches keep the
    embedding apart across groups.

    Args:
        labels: (N,) int, class of each image.
        groups: (N,) int, group of each image; a class lies in one group.
        classes: classes a batch, P >= 2; fewer where the data has fewer.
        images: images of each class, K >= 2.
        within: share of batches drawn from within few groups, in [0, 1].
        groups_at_once: how many groups such a batch is drawn from, >= 1.
        rng: the only source of randomness; its state is all that a checkpoint has to keep.
    Raises:
        InputError: an argument is out of range, there are fewer than two classes, a class has fewer than K images or
            lies in several groups.
    """

    def __init__(
        self,
        labels: NDArray[np.integer],
        groups: NDArray[np.integer],
        *,
        classes: int = 64,
        images: int = 4,
        within: float = 0.5,
        groups_at_once: int = 2,
        rng: np.random.Generator,
    ) -> None:
        if classes < 2 or images < 2 or groups_at_once < 1 or not 0 <= within <= 1:
            raise InputError(
                "expected classes >= 2, images >= 2, groups_at_once >= 1 and within in [0, 1], "
                f"got {classes}, {images}, {groups_at_once}, {within}"
            )
        if labels.ndim != 1 or labels.shape != groups.shape:
            raise InputError(f"expected labels (N,) and groups (N,), got {labels.shape} and {groups.shape}")
        present, first, position, counts = np.unique(labels, return_index=True, return_inverse=True, return_counts=True)
        if len(present) < 2:
            raise InputError(f"expected images of at least two classes, got {len(present)}")
        if counts.min() < images:
            raise InputError(
                f"expected at least {images} images of every class, got {counts.min()} of class "
                f"{present[counts.argmin()]}; lower the images a class or leave that class out"
            )
        by_class = np.argsort(labels, kind="stable")
        self._images_of = np.split(by_class, np.cumsum(counts)[:-1])  # position of a class -> its image indices
        group_of = groups[first]
        if (astray := np.flatnonzero(groups != group_of[position])).size:
            raise InputError(f"expected every class in one group, got class {labels[astray[0]]} in several")
        self._classes_of = [np.flatnonzero(group_of == g) for g in np.unique(group_of)]
        self.classes = min(classes, len(present))
        self.images = images
        self.within = within if len(self._classes_of) > 1 else 0.0
        self.groups_at_once = groups_at_once
        self.rng = rng

    def draw(self) -> NDArray[np.int64]:
        """The next batch: (P * K,) int64 indices into the labels, images of one class side by side."""
        chosen = self._within_groups() if self.rng.random() < self.within else self._anywhere()
        return np.concatenate([self.rng.choice(self._images_of[c], self.images, replace=False) for c in chosen])

    def _anywhere(self) -> NDArray[np.int64]:
        return self.rng.choice(len(self._images_of), self.classes, replace=False)

    def _within_groups(self) -> NDArray[np.int64]:
        """Classes of `groups_at_once` groups, or of as many more as it takes to fill the batch."""
        order = self.rng.permutation(len(self._classes_of))
        pool: list[NDArray[np.int64]] = []
        for count, group in enumerate(order, start=1):
            pool.append(self._classes_of[group])
            if count >= self.groups_at_once and sum(map(len, pool)) >= self.classes:
                break
        return self.rng.choice(np.concatenate(pool), self.classes, replace=False)
