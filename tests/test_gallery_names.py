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


@pytest.mark.parametrize("unseen", "\u200b\u2060\ufeff\u202a\u202e\u2066\u2069")
def test_two_names_do_not_look_the_same(unseen: str) -> None:
    for name in (f"c{unseen}0", f"c0{unseen}", f"{unseen}c0"):
        with pytest.raises(InputError, match=rf"without invisible characters, got one with U\+{ord(unseen):04X}"):
            clean_name(name)


@pytest.mark.parametrize("name", ["\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645", "\u0915\u094d\u200d\u0937"])
def test_joiners_that_scripts_need_stay(name: str) -> None:
    assert clean_name(name) == name


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
