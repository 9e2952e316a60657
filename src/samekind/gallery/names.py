"""Names and metadata as a gallery keeps them. Knows text."""

import unicodedata
from collections.abc import Mapping

from samekind.errors import InputError

LONGEST_NAME = 200
MOST_METADATA = 10_000
"""Characters of metadata, keys and values together."""

UNSEEN = frozenset("\u200b\u2060\ufeff\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Characters by which two names look the same and are not; the joiners U+200C and U+200D, which scripts need, are not
among them."""


def normal(name: str) -> str:
    """The one form of a name by which it is found: NFC, trimmed."""
    return unicodedata.normalize("NFC", name).strip()


def clean_name(name: str) -> str:
    """A name as it is kept: NFC, trimmed.

    Raises:
        InputError: it is empty, longer than LONGEST_NAME, or holds a control character, a half of a surrogate pair or
            one of UNSEEN.
    """
    cleaned = normal(name)
    if not 1 <= len(cleaned) <= LONGEST_NAME:
        raise InputError(f"expected a name of 1 to {LONGEST_NAME} characters, got {len(cleaned)}")
    if bad := next((c for c in cleaned if unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp")), None):
        raise InputError(f"expected a name without control characters, got one with U+{ord(bad):04X}")
    if bad := next((c for c in cleaned if c in UNSEEN), None):
        raise InputError(f"expected a name without invisible characters, got one with U+{ord(bad):04X}; leave it out")
    return cleaned


def clean_metadata(metadata: Mapping[str, str]) -> dict[str, str]:
    """Metadata as they are kept.

    Raises:
        InputError: they hold something else than text, more than MOST_METADATA characters, or a character that no file
            can hold.
    """
    cleaned = dict(metadata)
    if not all(isinstance(text, str) for pair in cleaned.items() for text in pair):
        raise InputError("expected metadata of text by text")
    if (length := sum(len(key) + len(value) for key, value in cleaned.items())) > MOST_METADATA:
        raise InputError(f"expected at most {MOST_METADATA:,} characters of metadata, got {length:,}")
    if any(c == "\x00" or "\ud800" <= c <= "\udfff" for pair in cleaned.items() for text in pair for c in text):
        raise InputError("expected metadata without zero characters and halves of surrogate pairs")
    return cleaned
