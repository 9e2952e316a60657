"""All samples of a collection through another model, from their crops.

Knows the store and models. Knows nothing of scores.
"""

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from samekind.gallery.records import Identity
from samekind.gallery.rows import Rows
from samekind.gallery.store import Model, Store, StoredSample
from samekind.verifier import Verifier


def model_of(verifier: Verifier) -> Model:
    """What a collection notes of a model."""
    manifest = verifier.bundle.manifest
    return Model(verifier.bundle.fingerprint, manifest.head, manifest.dim)


def everybody(rows: Rows, *, at_once: int = 1_000) -> Iterator[Identity]:
    """All identities, in the order of their names."""
    after: str | None = None
    while part := rows.identities(after=after, limit=at_once):
        yield from part
        after = part[-1].name


def reembed(store: Store, verifier: Verifier, *, report: Callable[[int], None] | None = None) -> int:
    """Embed all samples anew, in one transaction; nobody sees a part of it.

    What takes long happens before the transaction; it embeds only what came in meanwhile.

    Args:
        store: whose collection.
        verifier: the other model, or the same.
        report: told after each identity how many samples are embedded.
    Returns:
        How many samples.
    """
    done: dict[str, NDArray[np.float32]] = {}

    def embedded(samples: tuple[StoredSample, ...]) -> dict[str, NDArray[np.float32]]:
        missing = [sample for sample in samples if sample.id not in done]
        done.update(zip((sample.id for sample in missing), verifier.embed([s.crop for s in missing]), strict=True))
        return {sample.id: done[sample.id] for sample in samples}

    with store.reading() as rows:
        for identity in everybody(rows):
            embedded(rows.contents(identity.id))
            if report is not None:
                report(len(done))
    count = 0
    with store.writing() as rows:
        rows.set_model(model_of(verifier))
        for identity in everybody(rows):
            renewed = embedded(rows.contents(identity.id))
            rows.set_embeddings(identity.id, renewed)
            count += len(renewed)
    return count
