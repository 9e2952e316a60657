"""Models that judge the very data they learn from, and yet never a class that they saw.

Knows how to share out classes and what `audit` takes. Each step lives in a module of its own.
"""

from collections.abc import Callable

import numpy as np

from samekind.audit import View
from samekind.data.labelled import LabelledImages
from samekind.errors import InputError
from samekind.examples import Examples
from samekind.export import Network, embed
from samekind.recipes import Budget, Recipe
from samekind.similarity import SIMILARITIES
from samekind.training import Progress, train

FOLDS = 3
"""Parts of the classes, and models: the fewest for which any two classes have a model that saw neither."""


def cross_fit(
    data: LabelledImages,
    *,
    recipe: Recipe,
    budget: Budget,
    rng: np.random.Generator,
    report: Callable[[Progress], None] = lambda progress: None,
) -> tuple[View, ...]:
    """Share the classes out in three parts, train a small model on each, and embed all images with each.

    A model learns from one part and judges the two others. So any two classes are compared by a model that saw neither:
    the one that learned from the part that neither is in, or the two where both are in one part.

    Args:
        data: at least six classes of two images each.
        recipe: what to learn with; its loss compares by "euclidean" or "cosine".
        budget: of each model.
        rng: draws parts and seeds.
        report: called after every step.
    Returns:
        One view a model.
    Raises:
        InputError: there are too few classes, or the loss learns its own comparison.
        CollapseError: training goes nowhere.
    """
    count = len(data.classes)
    if count < 2 * FOLDS:
        raise InputError(f"{data.name}: expected at least {2 * FOLDS} classes to share out, got {count}; use a model")
    pixels = data.pixels(recipe.preprocessing)
    views = []
    for part in np.array_split(rng.permutation(count), FOLDS):
        learned = data.take_classes(np.sort(part))
        unseen = np.ones(count, dtype=bool)
        unseen[part] = False
        trained = train(
            Examples(pixels[~unseen[data.labels]], learned.labels, learned.group_labels),
            recipe=recipe,
            budget=budget,
            seed=int(rng.integers(1 << 31)),
            report=report,
        )
        if trained.head_name not in SIMILARITIES:
            raise InputError(f"expected a loss that compares by {' or '.join(SIMILARITIES)}, got {recipe.loss}")
        views.append(View(embed(Network.of(trained), pixels), SIMILARITIES[trained.head_name], unseen))
    return tuple(views)
