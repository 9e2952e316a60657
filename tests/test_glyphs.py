"""Generated characters: reproducible, unlimited, like handwriting."""

import hashlib

import numpy as np
import pytest
from numpy.typing import NDArray

from samekind.data.glyphs import glyphs
from samekind.data.labelled import LabelledImages
from samekind.errors import InputError
from samekind.images import Preprocessing


def array(data: LabelledImages, index: int) -> NDArray[np.uint8]:
    item = data.items[index]
    assert isinstance(item, np.ndarray)
    return item.astype(np.uint8)


def test_counts_names_and_alphabets() -> None:
    data = glyphs(45, 3)
    assert len(data) == 135
    assert data.labels.tolist() == [c for c in range(45) for _ in range(3)]
    assert data.sources is not None
    assert data.sources.tolist() == [1, 2, 3] * 45
    assert data.groups == ("alphabet001",) * 20 + ("alphabet002",) * 20 + ("alphabet003",) * 5
    assert data.classes[0] == "alphabet001/character01"
    assert data.classes[44] == "alphabet003/character05"
    assert data.names[1] == "alphabet001/character01/02"
    assert len(set(data.classes)) == 45
    assert data.characters


def test_ink_is_black_on_white_and_neither_missing_nor_everywhere() -> None:
    data = glyphs(60, 5)
    for index in range(len(data)):
        image = array(data, index)
        assert image.shape == (105, 105)
        assert set(np.unique(image).tolist()) == {0, 255}
        assert 0.008 < (image == 0).mean() < 0.3
    on_border = [(array(data, i)[[0, -1]] == 0).any() or (array(data, i)[:, [0, -1]] == 0).any() for i in range(300)]
    assert np.mean(on_border) < 0.03


def test_the_same_seed_gives_the_same_bytes_everywhere() -> None:
    # Golden: taken once. It may change only together with the generator, and then every bundle trained on it.
    data = glyphs(40, 4, seed=3)
    whole = hashlib.sha256(b"".join(array(data, index).tobytes() for index in range(len(data)))).hexdigest()
    assert whole == "f2c028027b3212a94d6992b0bef819ff70b4e78319a4f14b182abe419699303f"


def test_a_class_does_not_depend_on_how_many_are_asked_for() -> None:
    few, many = glyphs(23, 2, seed=5), glyphs(41, 6, seed=5)
    for index in range(len(few)):
        other = many.names.index(few.names[index])
        np.testing.assert_array_equal(array(few, index), array(many, other))


def test_another_seed_gives_other_characters() -> None:
    left, right = glyphs(10, 1, seed=0), glyphs(10, 1, seed=1)
    assert all((array(left, i) != array(right, i)).any() for i in range(10))
    assert len(set(glyphs(100, 4).digests)) == 400


def test_a_character_is_more_like_itself_than_like_others() -> None:
    data = glyphs(100, 6)
    pixels = data.pixels(Preprocessing(size=20)).reshape(600, -1).astype(np.float64)
    pixels -= pixels.mean(axis=1, keepdims=True)
    pixels /= np.linalg.norm(pixels, axis=1, keepdims=True)
    scores = pixels[0::6] @ pixels[1::6].T  # first drawer against the second
    right = (scores.argmax(axis=1) == np.arange(100)).mean()
    assert 0.1 < right < 0.6  # neither noise nor copies: 0.22 on as many characters of Omniglot


def test_a_drawer_has_a_hand_of_their_own() -> None:
    data = glyphs(100, 8)
    ink = np.asarray([(array(data, i) == 0).mean() for i in range(800)]).reshape(100, 8)
    relative = ink / ink.mean(axis=1, keepdims=True)
    between = relative.mean(axis=0).std()
    assert between > 3 * relative.std(axis=0).mean() / np.sqrt(100)


def test_counts_below_one_are_refused() -> None:
    for classes, drawings, seed in ((0, 1, 0), (1, 0, 0), (1, 1, -1)):
        with pytest.raises(InputError, match="at least 1 class"):
            glyphs(classes, drawings, seed=seed)
