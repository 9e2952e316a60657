"""Names and metadata: what is kept, what is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from samekind.errors import InputError
from samekind.gallery.names import LONGEST_NAME, MOST_METADATA, clean_metadata, clean_name


@pytest.mark.parametrize("name", ["", "   ", "a\nb", "a\x00", "x" * (LONGEST_NAME + 1), "\ud800", "a\u2028b"])
def test_names_that_are_none(name: str) -> None:
    with pytest.raises(InputError, match="expected a name"):
        clean_name(name)


@given(st.text())
def test_a_cleaned_name_is_clean(text: str) -> None:
    try:
        cleaned = clean_name(text)
    except InputError:
        return
    assert clean_name(cleaned) == cleaned


@pytest.mark.parametrize("metadata", [{"a": 1}, {"a": "x" * MOST_METADATA}, {"\x00": ""}, {"a": "\udfff"}])
def test_metadata_that_are_none(metadata: dict[str, str]) -> None:
    with pytest.raises(InputError, match="expected"):
        clean_metadata(metadata)
