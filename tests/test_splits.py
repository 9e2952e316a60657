"""Class-disjoint splits, and the images that leak across them."""

import io
import os
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from samekind.data import omniglot
from samekind.data.glyphs import glyphs
from samekind.data.labelled import LabelledImages
from samekind.data.splits import CLOSEST, find_leaks, split_classes
from samekind.errors import InputError

GLYPHS = glyphs(240, 3)


def toy(classes: int, groups: int | None = None) -> LabelledImages:
    """Three one-pixel images a class, each unlike any other."""
    n = 3 * classes
    return LabelledImages(
        name="toy",
        items=[np.full((1, 1), i, dtype=np.uint16) for i in range(n)],
        names=tuple(f"image{i}" for i in range(n)),
        labels=np.arange(n, dtype=np.int64) % classes,
        classes=tuple(f"class{c}" for c in range(classes)),
        groups=None if groups is None else tuple(f"group{c % groups}" for c in range(classes)),
    )


@given(st.integers(4, 40), st.floats(0.05, 0.95), st.integers(0, 2**32), st.sampled_from([None, 3, 12]))
def test_no_class_and_no_image_is_on_both_sides(classes: int, fraction: float, seed: int, groups: int | None) -> None:
    data = toy(classes, groups)
    try:
        split = split_classes(data, fraction, rng=np.random.default_rng(seed))
    except InputError:
        return
    left, right = split.train, split.held_out
    assert set(left.classes) | set(right.classes) == set(data.classes)
    assert not set(left.classes) & set(right.classes)
    assert sorted(left.names + right.names) == sorted(data.names)
    if groups is not None and min(groups, classes) >= 10 and fraction < 0.8:
        assert not set(left.groups or ()) & set(right.groups or ())
    elif groups is not None and min(groups, classes) >= 10:
        assert min(len(left.classes), len(right.classes)) >= 2
    else:
        assert len(right.classes) == round(fraction * classes)


def test_the_fraction_is_of_groups_where_there_are_ten() -> None:
    split = split_classes(GLYPHS, 0.25, rng=np.random.default_rng(0))
    assert len(set(split.held_out.groups or ())) == 3
    assert len(split.held_out.classes) == 60
    fewer = split_classes(GLYPHS.take_classes(np.arange(180)), 0.25, rng=np.random.default_rng(0))
    assert len(fewer.held_out.classes) == 45
    assert len(set(fewer.held_out.groups or ())) > 3


def uneven(sizes: list[int]) -> LabelledImages:
    """Groups of these many classes."""
    of_class = [f"group{group}" for group, size in enumerate(sizes) for _ in range(size)]
    return replace(toy(len(of_class)), groups=tuple(of_class))


@pytest.mark.parametrize("sizes", [[1] * 9 + [20], [20] + [1] * 9, [1] * 10, [2] + [1] * 10, [20, *[1] * 13]])
@pytest.mark.parametrize("fraction", [0.01, 0.1, 0.5])
def test_uneven_groups_are_held_out_whole_at_any_seed(sizes: list[int], fraction: float) -> None:
    data = uneven(sizes)
    for seed in range(30):
        split = split_classes(data, fraction, rng=np.random.default_rng(seed))
        assert min(len(split.train.classes), len(split.held_out.classes)) >= 2
        assert not set(split.train.groups or ()) & set(split.held_out.groups or ())
        groups = len(set(split.held_out.groups or ()))
        wanted = max(1, round(fraction * len(sizes)))
        assert wanted <= groups <= max(wanted, 2)  # a second group only beside one of a single class


def test_classes_are_held_out_where_whole_groups_would_leave_too_few() -> None:
    data = uneven([1] * 9 + [20])
    seen = set()
    for seed in range(30):
        split = split_classes(data, 0.9, rng=np.random.default_rng(seed))
        assert min(len(split.train.classes), len(split.held_out.classes)) >= 2
        parted = bool(set(split.train.groups or ()) & set(split.held_out.groups or ()))
        assert len(split.held_out.classes) == (26 if parted else 9)
        seen.add(parted)
    assert seen == {True, False}
    with pytest.raises(InputError, match="at least two classes on each side of the split, got 1 and 9 of 10"):
        split_classes(uneven([1] * 10), 0.9, rng=np.random.default_rng(0))


def test_the_generator_draws() -> None:
    def held_out(seed: int) -> tuple[str, ...]:
        return split_classes(toy(30), 0.3, rng=np.random.default_rng(seed)).held_out.classes

    assert held_out(1) == held_out(1)
    assert held_out(1) != held_out(2)


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.1, 1.5, float("nan")])
def test_a_fraction_out_of_range_is_refused(fraction: float) -> None:
    with pytest.raises(InputError, match="between 0 and 1"):
        split_classes(toy(10), fraction, rng=np.random.default_rng(0))


def test_too_few_classes_are_refused() -> None:
    with pytest.raises(InputError, match="at least two classes on each side of the split, got 2 and 1 of 3"):
        split_classes(toy(3), 0.4, rng=np.random.default_rng(0))


def saved(image: Image.Image, kind: str) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind)
    return stream.getvalue()


def shifted(image: Image.Image, right: int, down: int) -> Image.Image:
    return Image.fromarray(np.roll(np.asarray(image), (down, right), axis=(0, 1)))


COPIES: dict[str, Callable[[Image.Image], bytes]] = {
    "re-encoded": lambda image: saved(image, "JPEG"),
    "smaller": lambda image: saved(image.resize((64, 64), Image.Resampling.BICUBIC), "PNG"),
    "larger": lambda image: saved(image.resize((200, 200), Image.Resampling.BICUBIC), "PNG"),
    "brighter": lambda image: saved(image.point(lambda level: min(255, level * 0.9 + 25)), "PNG"),
    "right": lambda image: saved(shifted(image, 1, 0), "PNG"),
    "up and left": lambda image: saved(shifted(image, -1, -1), "PNG"),
}


@pytest.mark.parametrize("kind", sorted(COPIES))
def test_planted_copies_are_found_and_named(kind: str) -> None:
    left, right = GLYPHS.take(np.arange(0, 300)), GLYPHS.take(np.arange(400, 700))
    chosen = list(range(0, 300, 15))
    copies = [COPIES[kind](left[index][0]) for index in chosen]
    planted = replace(
        right,
        items=[*right.items, *copies],
        names=(*right.names, *(f"copy of {left.names[index]}" for index in chosen)),
        labels=np.concatenate([right.labels, np.full(len(copies), right.labels[0])]),
        sources=None,
    )
    leaks = find_leaks(left, planted)
    assert find_leaks(left, right) == ()
    named = {(leak.left, leak.right) for leak in leaks}
    assert {(left.names[index], f"copy of {left.names[index]}") for index in chosen} <= named
    assert {leak.kind for leak in leaks} == {"near-duplicate"}
    assert all(0.95 <= leak.similarity <= 1.0001 for leak in leaks)
    assert len(leaks) < 1.5 * len(chosen)  # a look-alike within the class may be flagged beside it


def test_identical_images_are_named_once() -> None:
    left, right = GLYPHS.take(np.arange(0, 20)), GLYPHS.take(np.array([500, 7, 501, 7]))
    leaks = find_leaks(left, right)
    assert [(leak.left, leak.right, leak.kind, leak.similarity) for leak in leaks] == [
        (GLYPHS.names[7], GLYPHS.names[7], "identical", 1.0)
    ] * 2


def test_the_similarity_is_heeded() -> None:
    left = GLYPHS.take(np.arange(0, 60, 3))
    right = replace(left, items=[COPIES["smaller"](left[index][0]) for index in range(len(left))])
    loose, strict = find_leaks(left, right, similarity=0.9), find_leaks(left, right, similarity=0.99)
    assert len(loose) == 20
    assert len(strict) < 10
    assert all(leak.similarity >= 0.99 for leak in strict)
    for value in (0.0, 1.1):
        with pytest.raises(InputError, match="similarity"):
            find_leaks(left, right, similarity=value)


def test_empty_sides_and_plain_images_leak_nothing() -> None:
    empty = GLYPHS.take(np.arange(0))
    assert find_leaks(empty, GLYPHS) == find_leaks(GLYPHS, empty) == ()
    plain = replace(toy(4), items=[np.full((30, 30), 20 * i, dtype=np.uint8) for i in range(12)])
    assert find_leaks(plain.take(np.arange(6)), plain.take(np.arange(6, 12))) == ()


def on_one_ground(count: int) -> LabelledImages:
    """Photographs of one table: each shows a thing of its own, and all of them look alike when small."""
    rng = np.random.default_rng(5)
    down, across = np.mgrid[:96, :96]
    ground = 60 + down + 20 * np.sin(across / 9)
    items = []
    for _ in range(count):
        photo = ground.copy()
        top, left = rng.integers(30, 50, 2)
        photo[top : top + 16, left : left + 16] += np.kron(rng.normal(0, 60, (4, 4)), np.ones((4, 4)))
        items.append(np.clip(photo, 0, 255).astype(np.uint8))
    return replace(
        toy(count), items=items, names=tuple(f"photo{i}" for i in range(count)), labels=np.arange(count, dtype=np.int64)
    )


def test_of_many_look_alikes_only_the_closest_are_compared() -> None:
    photos = on_one_ground(100)
    left, right = photos.take(np.arange(80)), photos.take(np.arange(80, 100))
    # at so low a similarity every pair that is compared is named
    compared = find_leaks(left, right, similarity=1e-6)
    assert Counter(leak.right for leak in compared) == dict.fromkeys(right.names, CLOSEST)
    copied = replace(right, items=[COPIES["smaller"](left[4 * index][0]) for index in range(20)])
    named = {(leak.left, leak.right) for leak in find_leaks(left, copied, similarity=0.98)}
    assert named == {(left.names[4 * index], right.names[index]) for index in range(20)}


@pytest.mark.skipif("SAMEKIND_DATA" not in os.environ, reason="SAMEKIND_DATA names no folder with Omniglot")
@pytest.mark.parametrize(
    ("seed", "classes", "alphabets"),
    [
        (0, 90, {"Arcadian", "Early_Aramaic", "Sanskrit"}),
        (1, 62, {"Blackfoot_(Canadian_Aboriginal_Syllabics)", "Hebrew", "Latin"}),
        (2, 95, {"Blackfoot_(Canadian_Aboriginal_Syllabics)", "Gujarati", "N_Ko"}),
    ],
)
def test_models_were_trained_on_these_splits_of_omniglot(seed: int, classes: int, alphabets: set[str]) -> None:
    split = split_classes(omniglot.load("background"), 0.1, rng=np.random.default_rng(seed))
    assert set(split.held_out.groups or ()) == alphabets
    assert len(split.held_out.classes) == classes


@pytest.mark.slow
@pytest.mark.skipif("SAMEKIND_DATA" not in os.environ, reason="SAMEKIND_DATA names no folder with Omniglot")
def test_different_drawings_of_omniglot_are_almost_never_flagged() -> None:
    split = split_classes(omniglot.load("background"), 0.2, rng=np.random.default_rng(0))
    leaks = find_leaks(split.train, split.held_out)
    assert len(leaks) < 40  # of 58 million pairs
    assert "identical" not in {leak.kind for leak in leaks}
