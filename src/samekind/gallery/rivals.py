"""What the guard has to be told of a gallery: who else holds an image, and who else it looks like.

Knows rows, the search and the model. Judges nothing itself.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from samekind.gallery.guard import Entry, Rival, concerns
from samekind.gallery.intake import Taken
from samekind.gallery.records import Concern
from samekind.gallery.rows import Rows
from samekind.gallery.search import Hits, Search
from samekind.similarity import combine
from samekind.verifier import Verifier


def concerns_of(
    rows: Rows,
    search: Search,
    name: str,
    *,
    taken: Sequence[Taken],
    embeddings: NDArray[np.float32],
    verifier: Verifier,
) -> tuple[Concern, ...]:
    """What there is to say against images that are about to be enrolled.

    Args:
        rows: of a reading transaction.
        search: of the same collection.
        name: of the identity, enrolled or new.
        taken: N images, none of which it holds.
        embeddings: (N, D) float32.
        verifier: the model.
    Returns:
        Concerns by position among `taken`. The guard judges by the calibration: of a model without one, nothing.
    """
    calibration = verifier.bundle.manifest.calibration
    if calibration is None or not taken:
        return ()
    found = rows.find(name)
    (key,) = rows.keys([found.id]) if found else (None,)

    def others(embedding: NDArray[np.float32]) -> Hits:
        return search.search(rows, embedding, 1, calibration=calibration, without=key)

    def rival(hits: Hits) -> Rival | None:
        for other, identity in rows.by_keys(hits.keys[:1]):
            return Rival(identity.name, rows.embedded([other]).embeddings)
        return None

    entries = [
        Entry(
            embedding,
            one.digest,
            flaws=one.look.flaws,
            holders=tuple(other.name for other in rows.holding(one.digest) if other.name != name),
            rival=rival(others(embedding)),
        )
        for one, embedding in zip(taken, embeddings, strict=True)
    ]
    of_all = others(combine(embeddings))
    return concerns(
        entries,
        name=name,
        own=rows.embedded([] if key is None else [key]).embeddings,
        identities=of_all.identities,
        rival=rival(of_all) if key is None else None,
        calibration=calibration,
        similarity=verifier.similarity,
    )
