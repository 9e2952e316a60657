"""What to learn from: pixels with their classes, and batches of them in every pose.

Knows pixels, classes and recipes. Knows nothing of networks or losses.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from samekind.data.labelled import LabelledImages
from samekind.errors import InputError
from samekind.recipes import Recipe
from samekind.sampling import ClassBatches


@dataclass(frozen=True, eq=False)
class Examples:
    """Images to learn from.

    Args:
        pixels: (N, C, H, W) uint8, from `Preprocessing.pixels`.
        labels: (N,) int64 >= 0, class of each image.
        groups: (N,) int64 >= 0, group of each image; all equal where there are none.
    """

    pixels: NDArray[np.uint8]
    labels: NDArray[np.int64]
    groups: NDArray[np.int64]

    @classmethod
    def of(cls, data: LabelledImages, recipe: Recipe) -> Self:
        """A data set as a recipe looks at it."""
        return cls(data.pixels(recipe.preprocessing), data.labels, data.group_labels)


class Feed:
    """Batches of examples in all their poses: a class turned or mirrored is another class.

    Args:
        examples: to draw from.
        recipe: which poses, and what a batch holds.
        rng: draws them.
    Raises:
        InputError: the examples do not fit the recipe, or are too few for a batch.
    """

    def __init__(self, examples: Examples, recipe: Recipe, rng: np.random.Generator) -> None:
        _check(examples, recipe)
        self._pixels, self._normalise = examples.pixels, recipe.preprocessing.normalise
        self._turns, mirrors = 4 if recipe.turns else 1, 2 if recipe.mirrors else 1
        # in pose p image i is image i + p * N of a data set as many times as large
        labels, groups = (
            np.concatenate([of + pose * (of.max(initial=0) + 1) for pose in range(self._turns * mirrors)])
            for of in (examples.labels, examples.groups)
        )
        self._labels = torch.from_numpy(labels)
        self._batches = ClassBatches(
            labels,
            groups,
            classes=recipe.classes,
            images=recipe.images,
            within=recipe.within,
            groups_at_once=recipe.groups_at_once,
            rng=rng,
        )
        self.images = len(labels)
        self.images_each = self._batches.images
        self.batch_size = self._batches.classes * self._batches.images

    def draw(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The next batch.

        Returns:
            (B, C, H, W) float32 in their first pose, (B,) int64 classes, and how to bring each image into its pose:
            (B,) int64 quarter turns and (B,) bool, whether mirrored before.
        """
        drawn = self._batches.draw()
        pose, image = np.divmod(drawn, len(self._pixels))
        x = torch.from_numpy(self._normalise(self._pixels[image]))
        mirrored, turns = np.divmod(pose, self._turns)
        return x, self._labels[drawn], torch.from_numpy(turns), torch.from_numpy(mirrored == 1)


def _check(examples: Examples, recipe: Recipe) -> None:
    pixels, labels, groups = examples.pixels, examples.labels, examples.groups
    size, channels = recipe.preprocessing.size, recipe.preprocessing.channels
    if pixels.dtype != np.uint8 or pixels.shape[1:] != (channels, size, size):
        raise InputError(
            f"expected pixels (N, {channels}, {size}, {size}) uint8 for this recipe, got {pixels.shape} {pixels.dtype}"
        )
    if not labels.shape == groups.shape == pixels.shape[:1]:
        raise InputError(f"expected {len(pixels)} labels and groups, one an image, got {labels.shape}, {groups.shape}")
    if len(labels) and labels.min() < 0:
        raise InputError(f"expected labels >= 0, got {labels.min()}")
