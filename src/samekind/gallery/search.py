"""A search among all identities: in memory and in step with the store, or by the store's own index.

Knows embeddings, keys and revisions. Knows nothing of names or images, and decides nothing.
"""

import math
import threading
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from samekind.calibration import Calibration
from samekind.gallery.identification import evidence
from samekind.gallery.matrix import Matrix
from samekind.gallery.rows import Rows
from samekind.gallery.store import Counts, Embedded, Keys, Model, Position, Spread, Store
from samekind.gallery.transactions import refuse_other
from samekind.similarity import Similarity, combine

INDEXED = 100
"""Candidates that an index is asked for at least: it may miss some of the best."""

BACKGROUND = 8_000
"""Identities by which the evidence of all that an index did not give is estimated."""

DRIFT = 0.05
"""Share of its identities by which a collection may grow or shrink before that background is drawn anew."""

_PART = 4_000  # samples read at a time, more or less: what lies between the file and the matrix stays small


@dataclass(frozen=True, eq=False)
class Hits:
    """The identities that are most like a query.

    Args:
        keys: (K,) int64, best first.
        scores: (K,) float32, by the model's own similarity.
        others: evidence of all other identities, as `identification.decide` takes it.
        identities: N, how many there are.
        references: least and greatest number of samples that an identity has; (1, 1) where there is none.
    """

    keys: Keys
    scores: NDArray[np.float32]
    others: float
    identities: int
    references: tuple[int, int]


class Search:
    """Searches one collection for one model. Safe to be used from several threads.

    Args:
        store: holds the collection.
        model: that embedded it.
        similarity: of the model.
    """

    def __init__(self, store: Store, model: Model, similarity: Similarity) -> None:
        self.model = model
        self._store = store
        self._similarity = similarity
        self._matrix = Matrix(model.dim, head=model.head, similarity=similarity)
        self._turn = threading.Lock()
        self._position = Position()
        self._revision = -1
        self._spread: tuple[int, Spread] | None = None  # of a revision
        self._background: tuple[int, Embedded] | None = None  # of how many identities, one row each

    @property
    def nbytes(self) -> int:
        """Of the embeddings in memory."""
        return self._matrix.nbytes

    def warm(self, rows: Rows) -> None:
        """Read all that a search in memory needs, and no more than a sample where the store has an index.

        Raises:
            GalleryError: the collection is another model's.
        """
        self._check(rows)
        if self._store.nearest(rows, np.ones(self.model.dim, np.float32), 1) is None:
            self._follow(rows)
        else:
            self._sample(rows, rows.spread().identities)

    def search(
        self,
        rows: Rows,
        query: NDArray[np.float32],
        count: int,
        *,
        calibration: Calibration,
        without: int | None = None,
    ) -> Hits:
        """The most alike identities.

        Args:
            rows: of a reading transaction, no older than the one before.
            query: (D,) float32.
            count: how many, at least; >= 1.
            calibration: of the model.
            without: the key of an identity that is left out.
        Raises:
            GalleryError: the collection is another model's by now.
        """
        self._check(rows)
        nearest = self._store.nearest(rows, query, max(INDEXED, 4 * count))
        if nearest is not None:
            return self._indexed(rows, query, nearest, calibration, without)
        self._follow(rows)
        found = self._matrix.search(query, count, without=without)
        identities = len(found.keys) + len(found.others)
        references = (max(found.fewest, 1), max(found.most, 1))
        return Hits(found.keys, found.scores, evidence(calibration, found.others), identities, references)

    def _indexed(
        self, rows: Rows, query: NDArray[np.float32], keys: Keys, calibration: Calibration, without: int | None
    ) -> Hits:
        """Scores the candidates exactly, and estimates the evidence of all others by those of a sample."""
        if self._spread is None or self._spread[0] != rows.revision:
            self._spread = (rows.revision, rows.spread())
        spread = self._spread[1]
        candidates = _each_combined(rows.embedded(keys[keys != without]))  # some may be gone since
        count = len(candidates.keys)
        identities = max(spread.identities - (without is not None), count)
        if not count:
            return Hits(candidates.keys, np.empty(0, np.float32), -math.inf, identities, (1, 1))
        scores = self._similarity(query, candidates.embeddings)
        order = np.argsort(-scores, kind="stable")
        others = -math.inf
        if unseen := identities - count:
            background = self._sample(rows, spread.identities)
            rest = ~np.isin(background.keys, candidates.keys) & (background.keys != without)
            # none of the others is more alike than the last of the candidates, up to what the index missed
            alike = np.minimum(self._similarity(query, background.embeddings[rest]), scores[order[-1]])
            alike = alike if len(alike) else scores[order[-1:]]
            others = evidence(calibration, alike) + math.log(unseen / len(alike))
        references = (max(spread.fewest, 1), max(spread.most, 1))
        return Hits(candidates.keys[order], scores[order], others, identities, references)

    def _sample(self, rows: Rows, identities: int) -> Embedded:
        """Some identities, the same ones for whoever asks."""
        held = self._background
        if held is None or abs(identities - held[0]) > DRIFT * held[0]:
            held = (identities, _each_combined(rows.embedded(rows.some(BACKGROUND))))
            self._background = held
        return held[1]

    def _check(self, rows: Rows) -> None:
        """Where the collection changed: it must be the same model's still."""
        if rows.revision != self._revision:
            refuse_other(rows, self.model)

    def _follow(self, rows: Rows) -> None:
        """Bring the matrix to the revision of these rows, or leave it where it is further."""
        if rows.revision <= self._revision:
            return
        with self._turn:
            complete = rows.revision <= self._revision
            counts = rows.counts() if self._revision < 0 else Counts(1, 1)  # of what came in since there is little
            limit = max(1, _PART * counts.identities // max(counts.samples, 1))
            while not complete:
                changes = rows.changes(self._position, limit=limit)
                self._matrix.apply(changes.embedded)
                self._position, complete = changes.position, changes.complete
            self._revision = max(self._revision, rows.revision)


def _each_combined(embedded: Embedded) -> Embedded:
    """One row an identity; those without samples are left out."""
    there = np.flatnonzero(embedded.sizes)
    parts = np.split(embedded.embeddings, np.cumsum(embedded.sizes)[:-1]) if len(there) else []
    rows = [combine(parts[at]) for at in there]
    joined = np.stack(rows) if rows else embedded.embeddings[:0]
    return Embedded(embedded.keys[there], np.ones(len(there), np.int64), np.asarray(joined, dtype=np.float32))
