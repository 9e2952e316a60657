"""The Modified Hausdorff Distance: its definition, and the error that Lake published for it."""

import os

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from samekind.baselines import BASELINES, hausdorff
from samekind.data.labelled import LabelledImages
from samekind.errors import InputError
from samekind.protocols import Model, run


def drawings(*images: NDArray[np.uint8]) -> LabelledImages:
    n = len(images)
    names = tuple(f"drawing{i}" for i in range(n))
    return LabelledImages("drawings", list(images), names, np.arange(n), names, characters=True)


def scribble(seed: int, *, shift: int = 0) -> NDArray[np.uint8]:
    image = np.full((30, 30), 255, dtype=np.uint8)
    rows, columns = np.random.default_rng(seed).integers(5, 20, size=(2, 25))
    image[rows + shift, columns + 2 * shift] = 0
    return image


def test_it_is_the_larger_of_the_two_mean_nearest_distances() -> None:
    images = [scribble(0), scribble(1)]
    a, b = (np.argwhere(image == 0) - np.argwhere(image == 0).mean(axis=0) for image in images)
    distances = cdist(a, b)
    expected = max(distances.min(axis=0).mean(), distances.min(axis=1).mean())
    assert hausdorff(drawings(*images))(np.array([0]), np.array([1])) == pytest.approx(-expected)


def test_it_is_symmetric_blind_to_shifts_and_zero_only_for_equal_ink() -> None:
    score = hausdorff(drawings(scribble(0), scribble(1), scribble(0, shift=3)))
    forward, backward = score(np.array([0, 0, 1]), np.array([1, 2, 2])), score(np.array([1, 2, 2]), np.array([0, 0, 1]))
    np.testing.assert_array_equal(forward, backward)
    assert forward[1] == pytest.approx(0, abs=1e-6)
    assert forward[0] < -0.1
    assert forward.dtype == np.float32


def test_an_image_without_ink_is_an_error_that_names_it() -> None:
    with pytest.raises(InputError, match="drawing1: expected dark ink"):
        hausdorff(drawings(scribble(0), np.full((9, 9), 255, dtype=np.uint8)))


def test_it_is_known_by_name() -> None:
    assert {"hausdorff": hausdorff} == BASELINES


@pytest.mark.slow
@pytest.mark.skipif("SAMEKIND_DATA" not in os.environ, reason="needs Omniglot: name its folder in SAMEKIND_DATA")
def test_it_errs_in_155_of_lakes_400_trials() -> None:
    from samekind.data import omniglot

    evaluation = run("lake", Model(hausdorff), data=omniglot.load("runs"))
    assert evaluation.n_trials == 400
    assert evaluation.metrics["error"].value == pytest.approx(155 / 400)  # published: 38.8 %
    assert evaluation.metrics["error"].low < 0.3875 < evaluation.metrics["error"].high
