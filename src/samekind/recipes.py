"""What to learn with and for how long: the choices of a training, by name.

Knows choices. Trains nothing.
"""

import math
from dataclasses import dataclass, field

from samekind.augment import KOCH_WARP, Warp
from samekind.errors import InputError
from samekind.images import Preprocessing


@dataclass(frozen=True)
class Recipe:
    """Everything that decides what is learned from given data, apart from how long and the seed.

    Args:
        encoder: by name, see `build_encoder`.
        loss: by name, see LOSSES; or "pml:" and the name of a loss of pytorch-metric-learning.
        preprocessing: size and colour of the input, among others.
        dim: embedding size D.
        classes, images: of a batch, P and K.
        within: share of batches drawn from within few groups.
        groups_at_once: from how many.
        turns: whether a class of characters turned by 90, 180 and 270 degrees counts as three more classes.
        mirrors: whether a class of characters seen in a mirror counts as one more, in each of its turns.
        chimeras: share of the classes of a batch that are put together of halves of two; in [0, 1).
        practice: share of all batches that are of generated characters: at first twice as many, at the end none; in
            [0, 0.5].
        views: of each image when a bundle embeds it, see `samekind.views`; training does not depend on it.
        warp: of every image.
        optimiser: "adamw" with a cosine schedule, or "koch": SGD, 1 % less learning rate after every pass over the
            data, momentum rising from 0.5 (Koch, Zemel, Salakhutdinov 2015, section 3.2).
        learning_rate: at its highest; > 0.
        weight_decay: of matrices and kernels; of "koch" the L2 penalty; >= 0.
        warm_up: share of training during which the learning rate rises to its highest, in [0, 1].
    Raises:
        InputError: a number is out of its range. A name that is unknown is found where it is looked up.
    """

    encoder: str = "small"
    loss: str = "contrastive"
    preprocessing: Preprocessing = field(default_factory=Preprocessing)
    dim: int = 64
    classes: int = 64
    images: int = 4
    within: float = 0.5
    groups_at_once: int = 2
    turns: bool = True
    mirrors: bool = True
    chimeras: float = 0.25
    practice: float = 0.4
    views: int = 4
    warp: Warp = field(default_factory=Warp)
    optimiser: str = "adamw"
    learning_rate: float = 3e-3
    weight_decay: float = 0.02
    warm_up: float = 0.05

    def __post_init__(self) -> None:
        if self.dim < 1 or not self.learning_rate > 0 or not self.weight_decay >= 0 or not 0 <= self.warm_up <= 1:
            raise InputError(
                "expected dim >= 1, learning_rate > 0, weight_decay >= 0 and warm_up in [0, 1], "
                f"got {self.dim}, {self.learning_rate}, {self.weight_decay} and {self.warm_up}"
            )
        if not 0 <= self.chimeras < 1 or not 0 <= self.practice <= 0.5:
            raise InputError(
                f"expected chimeras in [0, 1) and practice in [0, 0.5], got {self.chimeras} and {self.practice}"
            )


FRAME = 1.15
"""Of drawings: a little ground stays around the ink."""

FRAMED_WARP = Warp(scale=0.15, translation=0.04)
"""Gentler than the others': a frame has taken away most of place and size already."""

RECIPES: dict[str, Recipe] = {
    "small": Recipe(preprocessing=Preprocessing(frame=FRAME), warp=FRAMED_WARP, learning_rate=8e-3),
    "residual": Recipe(
        encoder="residual",
        preprocessing=Preprocessing(size=48, frame=FRAME),
        loss="supcon",
        warp=FRAMED_WARP,
        learning_rate=8e-3,
    ),
    "koch": Recipe(
        encoder="koch",
        loss="cross-entropy",
        preprocessing=Preprocessing(size=105),
        dim=4096,
        images=2,
        within=0.0,
        turns=False,
        mirrors=False,
        chimeras=0.0,
        practice=0.0,
        views=1,
        warp=KOCH_WARP,
        optimiser="koch",
        learning_rate=0.01,
        weight_decay=1e-4,
        warm_up=0.0,
    ),
}
"""By the name of the encoder: what suits it."""


@dataclass(frozen=True)
class Budget:
    """How long to train: exactly one of the two is given.

    Args:
        minutes: of wall time; > 0, finite.
        steps: of the optimiser; >= 1. Only a training by steps can be repeated exactly.
    """

    minutes: float | None = None
    steps: int | None = None

    def __post_init__(self) -> None:
        if (self.minutes is None) == (self.steps is None):
            raise InputError("expected either minutes or steps, got both or neither")
        if self.minutes is not None and not 0 < self.minutes < math.inf:
            raise InputError(f"expected minutes > 0, got {self.minutes}")
        if self.steps is not None and self.steps < 1:
            raise InputError(f"expected steps >= 1, got {self.steps}")

    def progress(self, steps: int, seconds: float) -> float:
        """Share of the budget that is spent, in [0, 1]."""
        spent = steps / self.steps if self.steps is not None else seconds / (60 * (self.minutes or 1))
        return min(1.0, spent)
