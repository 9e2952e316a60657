"""Embeddings and metadata come out of a table as they went in, or an error says that they are damaged."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from samekind.errors import GalleryError
from samekind.gallery.encoding import blob_of, embedded_of, notes_of, numbers_of, text_of


@given(arrays.arrays(np.float32, st.integers(0, 9), elements=st.floats(width=32, allow_nan=False)))
def test_numbers_are_kept_bit_for_bit(embedding: NDArray[np.float32]) -> None:
    kept = numbers_of(blob_of(embedding))
    assert kept.dtype == np.float32
    np.testing.assert_array_equal(kept, embedding)


@given(st.dictionaries(st.text(), st.text(), max_size=4))
def test_metadata_are_kept(metadata: dict[str, str]) -> None:
    assert notes_of(text_of(metadata)) == metadata
    assert text_of(dict(reversed(metadata.items()))) == text_of(metadata)


def test_rows_in_any_order_come_in_that_of_the_keys() -> None:
    rows = [(7, blob_of(np.array([1, 2], np.float32))), (3, blob_of(np.array([3, 4], np.float32)))]
    found = embedded_of([3, 5, 7], rows, 2)
    assert found.keys.tolist() == [3, 5, 7]
    assert found.sizes.tolist() == [1, 0, 1]
    assert found.embeddings.tolist() == [[3, 4], [1, 2]]


def test_what_is_damaged_is_named() -> None:
    with pytest.raises(GalleryError, match="cut off"):
        numbers_of(b"12345")
    with pytest.raises(GalleryError, match="has not 3 numbers"):
        embedded_of([1], [(1, bytes(8))], 3)
    for text in ("", "{", "[1]", "7"):
        with pytest.raises(GalleryError, match="metadata cannot be read"):
            notes_of(text)
