"""Explanations: what was built into a score is found in it, and what a map says can be seen when parts are deleted."""

import copy
import runpy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from scipy.stats import spearmanr

from samekind.data.glyphs import glyphs
from samekind.data.labelled import LabelledImages
from samekind.errors import InputError
from samekind.explain import (
    GRID,
    HIDDEN,
    MASKS,
    MATCHES,
    Probe,
    delete,
    embed_without,
    explain,
    fall,
    inked_patches,
    nearest,
    probe,
    tenth_of,
)
from samekind.images import Preprocessing
from samekind.similarity import euclidean
from samekind.verifier import Verifier

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
DRAWINGS = 3  # of each class


@pytest.fixture(scope="module")
def verifier() -> Verifier:
    return Verifier.load("omniglot", threads=1)


@pytest.fixture(scope="module")
def data() -> LabelledImages:
    return glyphs(8, DRAWINGS, seed=5)


@pytest.fixture(scope="module")
def probes(verifier: Verifier, data: LabelledImages) -> list[Probe]:
    """Two drawings of each of six classes, one after the other."""
    rng = np.random.default_rng(0)
    return [probe(verifier, data.items[DRAWINGS * c + i], rng=rng) for c in range(6) for i in (0, 1)]


def dot(left: NDArray[np.floating], right: NDArray[np.floating]) -> NDArray[np.float32]:
    return np.asarray((left * right).sum(axis=-1), dtype=np.float32)


def linear(inked: list[int], of_patch: NDArray[np.float64], whole: NDArray[np.float64], *, seed: int) -> Probe:
    """A probe of a model whose embedding loses (P, D) `of_patch` with each hidden patch."""
    hidden = np.random.default_rng(seed).random((MASKS, len(inked))) < HIDDEN
    embeddings = (whole - hidden @ of_patch).astype(np.float32)
    pixels = np.zeros((1, 12, 12), dtype=np.uint8)
    return Probe(pixels, np.array(inked), hidden, embeddings, whole.astype(np.float32))


def test_worth_and_matches_that_were_built_in_are_found() -> None:
    # Each left patch has a direction of its own, which exactly one right patch shares: those two answer each other.
    left_patches, right_patches, partner = [3, 40, 77, 110], [9, 14, 60, 143], [2, 0, 3, 1]
    strength = np.array([0.9, 0.7, 0.5, 0.3])
    left_of, right_of = np.diag(strength), np.zeros((4, 4))
    right_of[partner] = np.eye(4)
    left = linear(left_patches, left_of, np.array([1.0, 1.0, -1.0, 1.0]), seed=1)
    right = linear(right_patches, right_of, np.array([1.0, 2.0, 1.0, 1.0]), seed=2)
    found = explain(left, right, dot)
    expected = np.zeros(GRID * GRID)
    expected[left_patches] = strength * [1.0, 2.0, 1.0, 1.0]
    assert found.left.ravel() == pytest.approx(expected, abs=0.12 * expected.max())  # the ridge takes a little
    assert found.right.min() < -0.5  # the one that meets the negative part
    assert found.score == 3.0
    places = [(divmod(left_patches[i], GRID), divmod(right_patches[partner[i]], GRID)) for i in range(4)]
    assert [(match.left, match.right) for match in found.matches] == places
    assert [match.weight for match in found.matches] == pytest.approx(strength, rel=0.2)


def test_the_weightiest_matches_are_named_and_no_patch_twice(verifier: Verifier, probes: list[Probe]) -> None:
    for left, right in zip(probes[::2], probes[1::2], strict=True):
        matches = explain(left, right, verifier.similarity).matches
        assert len({m.left for m in matches}) == len({m.right for m in matches}) == len(matches) > 0
        assert [m.weight for m in matches] == sorted((m.weight for m in matches), reverse=True)
        assert all(m.weight > 0 for m in matches)
    strength = np.linspace(1, 2, MATCHES + 2)
    sides = [linear(list(range(len(strength))), np.diag(strength), np.zeros(len(strength)), seed=s) for s in (0, 1)]
    found = explain(sides[0], sides[1], dot).matches
    assert {match.left for match in found} == {(0, column) for column in range(2, MATCHES + 2)}


def test_the_sides_can_be_exchanged(verifier: Verifier, probes: list[Probe]) -> None:
    one, other = (explain(a, b, verifier.similarity) for a, b in (probes[:2], probes[1::-1]))
    assert np.array_equal(one.left, other.right)
    assert np.array_equal(one.right, other.left)
    assert one.score == other.score
    assert {(m.left, m.right) for m in one.matches} == {(m.right, m.left) for m in other.matches}


def test_any_similarity_can_be_explained(probes: list[Probe]) -> None:
    found = explain(probes[0], probes[1], euclidean)
    assert found.score == float(euclidean(probes[0].whole, probes[1].whole))
    assert found.left.any()


def test_the_score_is_the_verifiers(verifier: Verifier, data: LabelledImages, probes: list[Probe]) -> None:
    found = explain(probes[0], probes[1], verifier.similarity)
    assert found.score == verifier.verify(data.items[0], data.items[1]).score


def test_each_patch_with_ink_is_hidden_equally_often_and_no_other(verifier: Verifier, probes: list[Probe]) -> None:
    for image in probes[:2]:
        assert image.hidden.shape == (MASKS, len(image.inked))
        assert set(image.hidden.sum(axis=0)) == {round(HIDDEN * MASKS)}
        blocks = image.pixels[0].reshape(GRID, 4, GRID, 4)
        assert set(image.inked) == set(np.flatnonzero((255 - blocks.min(axis=(1, 3))).ravel() > 25))
    worth = explain(probes[0], probes[1], verifier.similarity).left.ravel()
    assert set(np.flatnonzero(worth)) <= set(probes[0].inked)


def test_the_same_generator_gives_the_same_map_and_another_nearly(verifier: Verifier, data: LabelledImages) -> None:
    def worth(seed: int) -> NDArray[np.floating]:
        rng = np.random.default_rng(seed)
        left, right = (probe(verifier, data.items[i], rng=rng) for i in (0, 1))
        return explain(left, right, verifier.similarity).left.ravel()[left.inked]

    first, other = worth(1), worth(2)
    assert np.array_equal(first, worth(1))
    assert not np.array_equal(first, other)
    assert spearmanr(first, other).statistic > 0.6


def test_hiding_nothing_and_everything(verifier: Verifier, probes: list[Probe]) -> None:
    image, n = probes[0], len(probes[0].inked)
    hidden = np.stack([np.zeros(n, dtype=np.bool_), np.ones(n, dtype=np.bool_)])
    z = embed_without(verifier, image.pixels, image.inked, hidden)
    assert z[0] == pytest.approx(image.whole, abs=1e-5)
    blank = embed_without(verifier, image.pixels, np.arange(GRID * GRID), np.ones((1, GRID * GRID), dtype=np.bool_))
    assert blank[0] == pytest.approx(verifier.embed([np.full((48, 48), 255, dtype=np.uint8)])[0], abs=1e-5)
    assert verifier.similarity(z[1], blank[0]) > verifier.similarity(z[0], blank[0]) + 0.2  # only traces are left


def test_a_fall_is_what_the_score_loses(verifier: Verifier, data: LabelledImages, probes: list[Probe]) -> None:
    left, right = probes[:2]
    hidden = np.zeros((1, len(left.inked)), dtype=np.bool_)
    hidden[0, :5] = True
    without = left.pixels[0].copy()
    for patch in left.inked[:5]:
        row, column = divmod(int(patch), GRID)
        without[4 * row : 4 * row + 4, 4 * column : 4 * column + 4] = 255
    whole, parts, other = verifier.embed_pixels(np.stack([left.pixels, without[None], right.pixels]))
    before, after = (float(verifier.similarity(one, other)) for one in (whole, parts))
    assert fall(verifier, left, right, hidden) == pytest.approx(before - after, abs=1e-5)
    assert abs(before - after) > 1e-3


def test_a_blank_image_has_a_map_of_zeros(verifier: Verifier, probes: list[Probe]) -> None:
    rng = np.random.default_rng(0)
    blank = probe(verifier, np.full((30, 30), 255, dtype=np.uint8), rng=rng)
    found = explain(blank, probes[0], verifier.similarity)
    assert not found.left.any()
    assert found.matches == ()
    test = delete(verifier, blank, probes[0], found.left, rng=rng)
    assert (test.patches, test.moved, test.by_chance) == (0, 0.0, 0.0)


@pytest.mark.parametrize("size", [8, 12, 20, 48, 105])
@pytest.mark.parametrize("channels", [1, 3])
def test_ink_is_found_in_inputs_of_any_size(size: int, channels: int) -> None:
    preprocessing = Preprocessing(size=size, channels=channels, mean=(0.0,) * channels, std=(1.0,) * channels)
    pixels = np.full((channels, size, size), 255, dtype=np.uint8)
    assert not len(inked_patches(pixels, preprocessing))
    light = replace(preprocessing, invert=False)  # then white is ink
    assert len(inked_patches(pixels, light)) == min(size, GRID) ** 2
    pixels[-1, 0, 0] = pixels[0, size - 1, size // 2] = 0
    row, column = (place * GRID // size for place in (size - 1, size // 2))
    assert list(inked_patches(pixels, preprocessing)) == [0, row * GRID + column]


def test_the_tenth_is_at_least_one(probes: list[Probe]) -> None:
    for n, k in ((0, 0), (1, 1), (4, 1), (14, 1), (16, 2), (36, 4)):
        assert tenth_of(replace(probes[0], inked=np.arange(n))) == k


def test_deleting_what_a_map_points_at_moves_the_score_more_than_chance(
    verifier: Verifier, probes: list[Probe]
) -> None:
    rng = np.random.default_rng(3)
    by_map, by_shuffled, by_chance = [], [], []
    for left, right in zip(probes[::2], probes[1::2], strict=True):
        worth = explain(left, right, verifier.similarity).left
        shuffled = np.zeros_like(worth)
        shuffled.ravel()[left.inked] = rng.permutation(worth.ravel()[left.inked])
        test = delete(verifier, left, right, worth, rng=rng)
        assert test.patches == tenth_of(left)
        by_map.append(test.moved)
        by_chance.append(test.by_chance)
        by_shuffled.append(delete(verifier, left, right, shuffled, rng=rng).moved)
    assert np.mean(by_map) > 1.5 * np.mean(by_chance)
    assert np.mean(by_map) > 1.5 * np.mean(by_shuffled)


@pytest.mark.slow
def test_the_map_of_a_network_that_learned_nothing_is_another(
    verifier: Verifier, data: LabelledImages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(BENCHMARKS)
    shuffle: Any = runpy.run_path(str(BENCHMARKS / "explain.py"))["randomised"]
    rng = np.random.default_rng(4)
    nothing = Verifier(shuffle(verifier.bundle, tmp_path / "nothing", rng=rng), threads=1)

    def worth(model: Verifier, index: int) -> NDArray[np.floating]:
        left, right = (probe(model, data.items[i], rng=rng) for i in (index, index + 1))
        return explain(left, right, model.similarity).left.ravel()[left.inked]

    indices = range(0, 6 * DRAWINGS, DRAWINGS)
    of_nothing = [spearmanr(worth(verifier, i), worth(nothing, i)).statistic for i in indices]
    of_itself = [spearmanr(worth(verifier, i), worth(verifier, i)).statistic for i in indices[:2]]
    assert np.mean(of_nothing) < 0.4
    assert np.mean(of_itself) > 0.6


def test_matches_move_with_the_drawing(verifier: Verifier, data: LabelledImages) -> None:
    rng, near = np.random.default_rng(5), []
    unframed = copy.copy(verifier)  # a frame would take the shift away
    unframed.preprocessing = replace(verifier.preprocessing, frame=0.0)
    for index in range(0, 4 * DRAWINGS, DRAWINGS):
        image = data[index][0].convert("L").resize((96, 96))
        shifted = Image.new("L", (96, 96), 255)
        shifted.paste(image, (16, 0))  # two patches to the right
        left, right = (probe(unframed, side, rng=rng) for side in (image, shifted))
        matches = explain(left, right, verifier.similarity).matches
        near += [abs(m.right[0] - m.left[0]) <= 1 and abs(m.right[1] - m.left[1] - 2) <= 1 for m in matches]
    assert len(near) > 8
    assert np.mean(near) > 0.7


def test_the_nearest_are_the_nearest(verifier: Verifier, data: LabelledImages) -> None:
    z = verifier.embed(data.items)
    for index in (0, 7, 23):
        scores = verifier.similarity(z, z[index])
        scores[index] = -9
        same = data.labels == data.labels[index]
        expected = int(np.where(same, scores, -9).argmax()), int(np.where(same, -9, scores).argmax())
        query = verifier.preprocessing.pixels(data.items[index])
        assert nearest(verifier, query, data) == expected
        stranger = data.take(np.flatnonzero(np.arange(len(data)) != index))
        name = data.classes[data.labels[index]]
        found = nearest(verifier, query, stranger, class_name=name)
        assert tuple(stranger.names[i] for i in found) == tuple(data.names[i] for i in expected)


def test_the_nearest_of_an_unknown_class_are_refused(verifier: Verifier, data: LabelledImages) -> None:
    query = verifier.preprocessing.pixels(data.items[0])
    with pytest.raises(InputError, match="name its class"):
        nearest(verifier, query, data.take_classes(np.arange(1, 8)))
    with pytest.raises(InputError, match=r"one of its classes .*, got 'nothing'"):
        nearest(verifier, query, data, class_name="nothing")
    twice = data.take(np.array([0, 0, 5]))
    with pytest.raises(InputError, match="2 classes with that image"):
        nearest(verifier, query, replace(twice, labels=np.array([0, 1, 1])))
    with pytest.raises(InputError, match="another image of the class"):
        nearest(verifier, query, data.take(np.array([0, 5, 6])))
    with pytest.raises(InputError, match="another class"):
        nearest(verifier, query, data.take(np.array([0, 1, 2])))
