"""Batches: P classes x K images, no image twice, a share of them from within few groups."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from samekind.errors import InputError
from samekind.sampling import ClassBatches

Labels = NDArray[np.int64]


def grouped(groups: int = 6, classes: int = 5, images: int = 4) -> tuple[Labels, Labels]:
    """Labels and groups of so many groups, of so many classes each, of so many images each."""
    labels = np.repeat(np.arange(groups * classes), images)
    return labels, labels // classes


def batches(
    classes: int = 5, images: int = 3, within: float = 0.0, groups_at_once: int = 1, seed: int = 0
) -> ClassBatches:
    labels, groups = grouped()
    return ClassBatches(
        labels,
        groups,
        classes=classes,
        images=images,
        within=within,
        groups_at_once=groups_at_once,
        rng=np.random.default_rng(seed),
    )


def draws(drawing: ClassBatches, count: int) -> list[Labels]:
    """So many batches, one after the other."""
    return [drawing.draw() for _ in range(count)]


@given(
    counts=st.lists(st.integers(2, 5), min_size=2, max_size=12),
    groups=st.integers(1, 4),
    classes=st.integers(2, 15),
    within=st.sampled_from([0.0, 0.5, 1.0]),
    at_once=st.integers(1, 5),
    seed=st.integers(0, 1000),
)
def test_every_batch_is_p_classes_of_k_different_images(  # noqa: PLR0917 (hypothesis names them)
    counts: list[int], groups: int, classes: int, within: float, at_once: int, seed: int
) -> None:
    images, rng = 2, np.random.default_rng(seed)
    labels = rng.permutation(np.repeat(np.arange(len(counts)) * 3, counts))  # neither sorted nor counted from 0
    drawing = ClassBatches(
        labels, labels % groups, classes=classes, images=images, within=within, groups_at_once=at_once, rng=rng
    )
    for drawn in draws(drawing, 5):
        assert drawn.dtype == np.int64
        assert len(set(drawn.tolist())) == len(drawn)
        of_class = labels[drawn].reshape(-1, images)
        assert (of_class == of_class[:, :1]).all()
        assert len(set(of_class[:, 0].tolist())) == len(of_class) == min(classes, len(counts)) == drawing.classes


def test_sizes_are_those_asked_for() -> None:
    assert batches(classes=4, images=3).draw().shape == (12,)
    assert batches(classes=7, images=2).draw().shape == (14,)
    assert batches(classes=99, images=2).draw().shape == (60,), "fewer where the data has fewer"


def test_each_image_of_each_class_comes_up() -> None:
    seen = set(np.concatenate(draws(batches(), 200)).tolist())
    assert seen == set(range(120))


@pytest.mark.parametrize("within", [0.0, 0.3, 1.0])
def test_the_share_within_groups_is_kept(within: float) -> None:
    _, groups = grouped()
    single = [len(set(groups[drawn].tolist())) == 1 for drawn in draws(batches(within=within), 400)]
    assert abs(np.mean(single) - within) < 0.08


@pytest.mark.parametrize("at_once", [1, 2, 3])
def test_a_batch_within_groups_is_from_as_many_as_asked_for(at_once: int) -> None:
    _, groups = grouped()
    drawing = batches(within=1.0, groups_at_once=at_once)
    assert max(len(set(groups[drawn].tolist())) for drawn in draws(drawing, 50)) == at_once


def test_more_groups_are_taken_where_few_do_not_fill_the_batch() -> None:
    _, groups = grouped()
    for drawn in draws(batches(classes=12, within=1.0), 20):
        assert drawn.shape == (36,)
        assert len(set(groups[drawn].tolist())) == 3


def test_one_group_is_no_group() -> None:
    labels, _ = grouped()
    drawing = ClassBatches(labels, np.zeros_like(labels), within=1.0, classes=4, images=2, rng=np.random.default_rng(0))
    seen = {tuple(sorted(set(labels[drawn].tolist()))) for drawn in draws(drawing, 20)}
    assert len(seen) > 10


def test_the_generator_decides_alone() -> None:
    first, again, other = batches(seed=1), batches(seed=1), batches(seed=2)
    assert [b.tolist() for b in draws(first, 3)] == [b.tolist() for b in draws(again, 3)]
    assert other.draw().tolist() != batches(seed=1).draw().tolist()
    restored = batches(seed=9)
    restored.rng.bit_generator.state = first.rng.bit_generator.state
    assert restored.draw().tolist() == first.draw().tolist(), "its state is all that a checkpoint has to keep"


@pytest.mark.parametrize(
    ("classes", "images", "within", "at_once"),
    [(1, 2, 0.5, 1), (2, 1, 0.5, 1), (2, 2, -0.1, 1), (2, 2, 1.1, 1), (2, 2, 0.5, 0)],
)
def test_arguments_out_of_range_are_errors(classes: int, images: int, within: float, at_once: int) -> None:
    with pytest.raises(InputError, match="expected classes >= 2"):
        batches(classes, images, within, at_once)


def refuse(labels: list[int], groups: list[int], match: str) -> None:
    with pytest.raises(InputError, match=match):
        ClassBatches(np.array(labels), np.array(groups), classes=2, images=2, rng=np.random.default_rng(0))


def test_data_that_cannot_be_drawn_from_is_an_error() -> None:
    refuse([], [], "at least two classes, got 0")
    refuse([4, 4], [0, 0], "at least two classes, got 1")
    refuse([4, 4, 7], [0, 0, 0], "at least 2 images of every class, got 1 of class 7")
    refuse([4, 4, 7, 7], [0, 0, 0], r"labels \(N,\) and groups \(N,\), got \(4,\) and \(3,\)")
    refuse([4, 4, 7, 7], [0, 0, 1, 2], "every class in one group, got class 7 in several")
