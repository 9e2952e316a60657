"""Whether a gallery is whole: the engine's own check, and whether each sample is what it must be.

Knows rows and pictures. Repairs nothing.
"""

import numpy as np

from samekind.errors import GalleryError
from samekind.gallery.pictures import damage
from samekind.gallery.records import Identity
from samekind.gallery.reembedding import everybody
from samekind.gallery.rows import Rows
from samekind.gallery.store import Store, StoredSample


def problems(store: Store) -> tuple[str, ...]:
    """What is wrong, in words; nothing where all is whole."""
    found: list[str] = []
    try:
        found += store.check()
        with store.reading() as rows:
            dim = rows.state().model.dim
            for identity in everybody(rows):
                found += [f"{identity.name}: {what}" for what in _wrong_with(rows, identity, dim)]
    except GalleryError as error:  # too damaged to be read to its end
        found.append(str(error))
    return tuple(found)


def _wrong_with(rows: Rows, identity: Identity, dim: int) -> list[str]:
    try:
        samples = rows.contents(identity.id)
    except GalleryError as error:
        return [str(error)]
    if not samples:
        return ["no sample is left of it"]
    if len(samples) != identity.samples:
        return [f"{len(samples)} samples, where {identity.samples} were counted"]
    return [f"sample {sample.id}: {what}" for sample in samples if (what := _wrong(sample, dim))]


def _wrong(sample: StoredSample, dim: int) -> str | None:
    if sample.embedding.shape != (dim,):
        return f"an embedding of {len(sample.embedding)} numbers, expected {dim}"
    if not np.isfinite(sample.embedding).all():
        return "an embedding that is not finite"
    return damage(sample.crop)
