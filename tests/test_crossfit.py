"""Cross-fitting: each model is deaf to the classes that it judges, and together they judge any two."""

from dataclasses import replace

import numpy as np
import pytest

from conftest import TINY
from samekind.audit import View, audit
from samekind.crossfit import FOLDS, cross_fit
from samekind.data.glyphs import glyphs
from samekind.data.labelled import LabelledImages
from samekind.errors import InputError
from samekind.recipes import Budget


def fitted(data: LabelledImages, *, steps: int = 3, seed: int = 0) -> tuple[View, ...]:
    return cross_fit(data, recipe=TINY, budget=Budget(steps=steps), rng=np.random.default_rng(seed))


@pytest.mark.slow
def test_a_model_never_learns_from_a_class_that_it_judges() -> None:
    data = glyphs(9, 4, seed=5)
    views = fitted(data)
    assert len(views) == FOLDS
    assert (np.sum([~view.unseen for view in views], axis=0) == 1).all()  # each class is learned by one model
    for view in views:
        judged = view.unseen[data.labels]
        changed = [255 - np.asarray(item) if unseen else item for item, unseen in zip(data.items, judged, strict=True)]
        again = fitted(replace(data, items=changed))
        same = next(other for other in again if np.array_equal(other.unseen, view.unseen))
        np.testing.assert_array_equal(same.embeddings[~judged], view.embeddings[~judged])
        assert not np.array_equal(same.embeddings[judged], view.embeddings[judged])


@pytest.mark.slow
def test_wrong_labels_are_found_by_models_that_learned_from_them() -> None:
    data = glyphs(90, 8, seed=5)
    rng = np.random.default_rng(0)
    labels = data.labels.copy()
    wrong = rng.choice(len(data), 36, replace=False)
    labels[wrong] = (labels[wrong] + rng.integers(1, 90, 36)) % 90
    spoiled = replace(data, labels=labels)
    first = audit(spoiled, fitted(spoiled, steps=80), kinds=("mislabelled",)).findings["mislabelled"][:36]
    assert np.isin([finding.sides[0].images[0] for finding in first], wrong).mean() > 0.6  # by chance 0.05


@pytest.mark.slow
def test_the_generator_decides() -> None:
    data = glyphs(9, 4, seed=5)
    first, again, other = fitted(data), fitted(data), fitted(data, seed=1)
    np.testing.assert_array_equal(first[0].embeddings, again[0].embeddings)
    assert any(not np.array_equal(a.unseen, b.unseen) for a, b in zip(first, other, strict=True))


def test_too_few_classes_are_refused() -> None:
    with pytest.raises(InputError, match="at least 6 classes to share out, got 5"):
        fitted(glyphs(5, 4, seed=5))
