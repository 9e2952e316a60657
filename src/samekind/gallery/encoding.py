"""Embeddings and metadata as they lie in a table. Knows bytes and text, and nothing of tables."""

import json
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from samekind.errors import GalleryError
from samekind.gallery.store import Embedded


def blob_of(embedding: NDArray[np.float32]) -> bytes:
    """float32, the lowest byte first."""
    return embedding.astype("<f4").tobytes()


def embedded_of(keys: Sequence[int], rows: Iterable[tuple[int, bytes]], dim: int) -> Embedded:
    """Rows of (key, embedding), in any order of keys, put into that of `keys`."""
    of_key: dict[int, list[bytes]] = {key: [] for key in keys}
    for key, embedding in rows:
        of_key[key].append(embedding)
    sizes = np.fromiter((len(of_key[key]) for key in keys), np.int64, len(keys))
    numbers = numbers_of(b"".join(blob for key in keys for blob in of_key[key]))
    if len(numbers) != sizes.sum() * dim:
        raise GalleryError(f"damaged: an embedding has not {dim} numbers; `samekind gallery check` says which")
    return Embedded(np.asarray(keys, dtype=np.int64), sizes, numbers.reshape(-1, dim))


def numbers_of(blob: bytes) -> NDArray[np.float32]:
    """As they are stored: float32, the lowest byte first. Raises GalleryError where a part of one is missing."""
    if len(blob) % 4:
        raise GalleryError("damaged: an embedding is cut off; `samekind gallery check` says which")
    return np.frombuffer(blob, "<f4").astype(np.float32, copy=False)


def notes_of(text: str) -> dict[str, str]:
    """Metadata from JSON. Raises GalleryError where they cannot be read."""
    try:
        return dict(json.loads(text))
    except (ValueError, TypeError):
        raise GalleryError("damaged: metadata cannot be read; put a backup in place of the gallery") from None


def text_of(metadata: Mapping[str, str]) -> str:
    """Metadata as JSON, the same text for the same metadata."""
    return json.dumps(dict(metadata), ensure_ascii=False, sort_keys=True)
