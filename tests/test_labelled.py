"""Labelled images: lengths, parts, digests and fingerprints."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from samekind.data.folder import load_folder
from samekind.data.glyphs import glyphs
from samekind.data.labelled import LabelledImages
from samekind.errors import InputError
from samekind.images import Preprocessing


def small(n: int = 6) -> LabelledImages:
    """n images of three classes, image i all of grey level i."""
    return LabelledImages(
        name="small",
        items=[np.full((8, 8), i, dtype=np.uint8) for i in range(n)],
        names=tuple(f"image{i}" for i in range(n)),
        labels=np.arange(n, dtype=np.int64) % 3,
        classes=("a", "b", "c"),
        groups=("x", "y", "x"),
        sources=np.arange(n, dtype=np.int64) * 10,
    )


def test_length_and_item() -> None:
    data = small()
    assert len(data) == 6
    image, label = data[4]
    assert (np.asarray(image) == 4).all()
    assert label == 1


def test_group_of_each_image() -> None:
    assert small().group_labels.tolist() == [0, 1, 0, 0, 1, 0]
    assert replace(small(), groups=None).group_labels.tolist() == [0] * 6


@given(st.lists(st.integers(0, 5), max_size=12))
def test_take_keeps_everything_together(indices: list[int]) -> None:
    part = small().take(np.asarray(indices, dtype=np.int64))
    assert part.names == tuple(f"image{i}" for i in indices)
    assert part.labels.tolist() == [i % 3 for i in indices]
    assert part.sources is not None
    assert part.sources.tolist() == [10 * i for i in indices]
    assert [int(np.asarray(part[k][0])[0, 0]) for k in range(len(part))] == indices


@given(st.permutations([0, 1, 2]), st.integers(1, 3))
def test_take_classes_counts_labels_anew(order: list[int], count: int) -> None:
    data, chosen = small(), order[:count]
    part = data.take_classes(np.asarray(chosen))
    assert part.classes == tuple(data.classes[c] for c in chosen)
    assert part.groups == tuple("xyx"[c] for c in chosen)
    for name, label in zip(part.names, part.labels, strict=True):
        assert part.classes[label] == data.classes[int(data.labels[data.names.index(name)])]
    assert len(part) == 2 * count


def test_pixels_are_those_of_the_preprocessing() -> None:
    preprocessing = Preprocessing(size=8)
    pixels = small().pixels(preprocessing)
    assert pixels.shape == (6, 1, 8, 8)
    np.testing.assert_array_equal(pixels[:, 0, 0, 0], np.arange(6))


def test_digests_tell_stored_images_apart(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"abc")
    square: NDArray[np.uint8] = np.zeros((2, 8), dtype=np.uint8)
    data = LabelledImages(
        "d", [path, b"abc", square, square.reshape(8, 2)], tuple("abcd"), np.zeros(4, np.int64), ("k",)
    )
    first, second, third, fourth = data.digests
    assert first == second
    assert len({second, third, fourth}) == 3


def test_fingerprint_is_of_content_not_of_order() -> None:
    data = small()
    assert data.take(np.array([3, 0, 5, 1, 4, 2])).fingerprint == data.fingerprint
    assert data.take_classes(np.array([2, 0, 1])).fingerprint == data.fingerprint
    assert data.take(np.arange(5)).fingerprint != data.fingerprint
    assert replace(data, labels=data.labels[::-1].copy()).fingerprint != data.fingerprint
    assert replace(data, groups=("x", "y", "z")).fingerprint != data.fingerprint
    assert replace(data, classes=("a", "b", "d")).fingerprint != data.fingerprint


def test_lengths_that_differ_are_refused() -> None:
    data = small()
    with pytest.raises(InputError, match="as many"):
        replace(data, names=data.names[:-1])
    with pytest.raises(InputError, match="as many"):
        replace(data, sources=np.zeros(3, dtype=np.int64))
    with pytest.raises(InputError, match="group"):
        replace(data, groups=("x",))
    with pytest.raises(InputError, match=r"labels in 0\.\.2"):
        replace(data, labels=data.labels + 1)
    with pytest.raises(InputError, match=r"labels in 0\.\.2"):
        replace(data, labels=data.labels - 1)


def test_saved_data_is_read_back_as_it_was(tmp_path: Path) -> None:
    drawn = glyphs(22, 2, seed=3)
    drawn.save(tmp_path / "drawn")
    again = load_folder(tmp_path / "drawn").images
    assert again.classes == drawn.classes
    assert again.groups == drawn.groups
    for index in range(len(drawn)):
        assert np.array_equal(np.asarray(again[index][0]), np.asarray(drawn[index][0]))
    with pytest.raises(InputError, match="empty folder"):
        drawn.save(tmp_path / "drawn")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(InputError, match="cannot be written"):
        drawn.save(tmp_path / "file" / "below")
    with pytest.raises(InputError, match="paths below"):
        replace(drawn, classes=("../outside", *drawn.classes[1:])).save(tmp_path / "other")
