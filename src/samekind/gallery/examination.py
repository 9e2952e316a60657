"""Whether a gallery is whole: the engine's own check, and whether each sample is what it must be.

Knows rows and pictures. Repairs nothing.
"""

import io

import numpy as np
from PIL import Image

from samekind.errors import GalleryError
from samekind.gallery.reembedding import everybody
from samekind.gallery.store import Store, StoredSample


def problems(store: Store) -> tuple[str, ...]:
    """What is wrong, in words; nothing where all is whole."""
    found: list[str] = []
    try:
        found += store.check()
        with store.reading() as rows:
            dim = rows.state().model.dim
            for identity in everybody(rows):
                samples = rows.contents(identity.id)
                if not samples:
                    found.append(f"{identity.name}: no sample is left of it")
                for sample in samples:
                    if what := _wrong(sample, dim):
                        found.append(f"{identity.name}: sample {sample.id}: {what}")
    except GalleryError as error:  # too damaged to be read to its end
        found.append(str(error))
    return tuple(found)


def _wrong(sample: StoredSample, dim: int) -> str | None:
    if sample.embedding.shape != (dim,):
        return f"an embedding of {len(sample.embedding)} numbers, expected {dim}"
    if not np.isfinite(sample.embedding).all():
        return "an embedding that is not finite"
    try:
        with Image.open(io.BytesIO(sample.crop), formats=["PNG"]) as picture:
            picture.verify()
    except Exception as error:  # decoders raise OSError, SyntaxError, struct.error, ...
        return f"a damaged picture ({error})"
    return None
