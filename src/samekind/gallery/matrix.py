"""What is searched, in memory: one embedding an identity, and which of them are most like a query. Exact.

Knows arrays and similarities. Knows nothing of stores, names or decisions.

Rows lie in blocks, so that growing copies nothing. Scores of all rows come from one matrix product a block, which
rounds otherwise than the model's own similarity does; so the best by the product, and all that may be as good up to its
largest rounding error, are scored again by the similarity itself.
"""

import mmap
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from samekind.gallery.store import Embedded, Keys
from samekind.similarity import Similarity, combine

Floats: TypeAlias = NDArray[np.float32]

BLOCK = 8_192
"""Rows of a block."""

_UNIT = 2.0**-24  # largest relative rounding error of a float32 operation
_AT_ONCE = 4_096  # rows that a similarity sees at a time: what it computes in between stays small


@dataclass(frozen=True, eq=False)
class Found:
    """The most alike identities.

    Args:
        keys: (K,) int64, best first.
        scores: (K,) float32, by the model's own similarity.
        others: (N - K,) float32, scores of all other identities up to rounding, in no order.
        fewest, most: samples that an identity has; 0 where there is none.
    """

    keys: Keys
    scores: Floats
    others: Floats
    fewest: int
    most: int


class Matrix:
    """Combined embeddings of identities. Safe to be used from several threads: many search, or one changes it.

    Args:
        dim: embedding size D.
        head: of the model; how it compares.
        similarity: of the model.
    """

    def __init__(self, dim: int, *, head: str, similarity: Similarity) -> None:
        self._dim = dim
        self._head = head
        self._similarity = similarity
        self._blocks: list[Floats] = []
        self._lengths: list[Floats] = []  # of the rows of each block
        self._keys: Keys = np.empty(0, np.int64)
        self._sizes: NDArray[np.int32] = np.empty(0, np.int32)
        self._ascending = True  # whether keys are in order themselves, as they are until somebody goes
        self._order: Keys | None = None  # else positions by key, once somebody asked for them
        self._count = 0
        self._turns = _Turns()

    def __len__(self) -> int:
        return self._count

    @property
    def nbytes(self) -> int:
        """Of all that is held."""
        rows = sum(array.nbytes for array in (*self._blocks, *self._lengths))
        return rows + self._keys.nbytes + self._sizes.nbytes + (0 if self._order is None else self._order.nbytes)

    def apply(self, embedded: Embedded) -> None:
        """Take up identities as they are now; those without samples are forgotten.

        Args:
            embedded: each identity at most once, embeddings of size D.
        """
        combined, kept = _combined(embedded)
        with self._turns.alone():
            at = self._positions(embedded.keys)
            for position in sorted(at[(embedded.sizes == 0) & (at >= 0)].tolist(), reverse=True):
                self._forget(position)
            at = self._positions(embedded.keys[kept])  # forgetting moves rows
            sizes = embedded.sizes[kept]
            for position, row, size in zip(at[at >= 0].tolist(), combined[at >= 0], sizes[at >= 0], strict=True):
                self._put(position, row)
                self._sizes[position] = size
            self._append(embedded.keys[kept][at < 0], combined[at < 0], sizes[at < 0])

    def search(self, query: Floats, count: int, *, without: int | None = None) -> Found:
        """The identities that are most like a query.

        Args:
            query: (D,) float32, not all zero.
            count: how many, K at most; >= 1.
            without: the key of an identity that is left out.
        Returns:
            K of them, and the scores of the others.
        """
        with self._turns.together():
            scores = self._roughly(query)
            left = np.ones(self._count, dtype=bool)
            if without is not None and (at := int(self._positions(np.array([without]))[0])) >= 0:
                left[at], scores[at] = False, -np.inf
            count = min(count, int(left.sum()))
            if not count:
                return Found(self._keys[:0], scores[:0], scores[:0], 0, 0)
            least = self._least(query, float(np.partition(scores, len(scores) - count)[len(scores) - count]))
            candidates = np.flatnonzero((scores >= least) & left)
            exact = self._exactly(query, candidates)
            scores[candidates] = exact
            best = np.lexsort((self._keys[candidates], -exact))[:count]
            left[candidates[best]] = False
            sizes = self._sizes[: self._count]
            return Found(
                keys=self._keys[candidates[best]],
                scores=exact[best],
                others=scores[left],
                fewest=int(sizes.min()),
                most=int(sizes.max()),
            )

    def _roughly(self, query: Floats) -> Floats:
        """Scores of all rows (N,), of a matrix product where there is one; see `_least` for how rough they are."""
        scores = np.empty(self._count, np.float32)
        length = np.linalg.norm(query)
        for start, block, lengths in self._filled():
            part = scores[start : start + len(block)]
            if self._head == "cosine":
                np.matmul(block, query / length, out=part)
                part /= lengths
            elif self._head == "euclidean":
                np.matmul(block, -2 * query, out=part)
                part += lengths * lengths
                part += length * length
                np.sqrt(np.maximum(part, 0, out=part), out=part)
                np.negative(part, out=part)
            else:
                for at in range(0, len(block), _AT_ONCE):
                    part[at : at + _AT_ONCE] = self._similarity(query, block[at : at + _AT_ONCE])
        return scores

    def _least(self, query: Floats, kth: float) -> float:
        """The rough score that a row has at least whose exact score is not below that of the k-th best rough one."""
        error = 2 * (self._dim + 4) * _UNIT  # of a product of D numbers, relative to both lengths
        if self._head == "cosine":
            return kth - 2 * error
        if self._head == "euclidean":
            longest = max(float(lengths.max()) for _, _, lengths in self._filled())
            square = error * (longest + float(np.linalg.norm(query))) ** 2
            return -float(np.sqrt(kth**2 + 2 * square))
        return kth

    def _exactly(self, query: Floats, positions: Keys) -> Floats:
        """Scores (P,) by the similarity."""
        scores = np.empty(len(positions), np.float32)
        for at in range(0, len(positions), _AT_ONCE):
            part = positions[at : at + _AT_ONCE]
            rows = np.stack([self._blocks[p // BLOCK][p % BLOCK] for p in part.tolist()])
            scores[at : at + _AT_ONCE] = self._similarity(query, rows)
        return scores

    def _filled(self) -> Iterator[tuple[int, Floats, Floats]]:
        """Of each block where it starts, its rows and their lengths."""
        for start, block, lengths in zip(range(0, self._count, BLOCK), self._blocks, self._lengths, strict=False):
            filled = min(BLOCK, self._count - start)
            yield start, block[:filled], lengths[:filled]

    def _positions(self, keys: Keys) -> Keys:
        """Where these keys are (I,); -1 where they are not."""
        if not self._count:
            return np.full(len(keys), -1, np.int64)
        known = self._keys[: self._count]
        if self._ascending:
            at = np.minimum(np.searchsorted(known, keys), self._count - 1)
        else:
            if self._order is None:
                self._order = np.argsort(known, kind="stable")
            at = self._order[np.minimum(np.searchsorted(known, keys, sorter=self._order), self._count - 1)]
        return np.where(known[at] == keys, at, -1)

    def _put(self, position: int, row: Floats) -> None:
        self._blocks[position // BLOCK][position % BLOCK] = row
        self._lengths[position // BLOCK][position % BLOCK] = np.linalg.norm(row)

    def _append(self, keys: Keys, rows: Floats, sizes: Keys) -> None:
        end = self._count + len(keys)
        while len(self._blocks) * BLOCK < end:
            self._blocks.append(_block(self._dim))
            self._lengths.append(np.empty(BLOCK, np.float32))
        capacity = len(self._blocks) * BLOCK
        if len(self._keys) < capacity:
            self._keys = np.concatenate([self._keys, np.empty(capacity - len(self._keys), np.int64)])
            self._sizes = np.concatenate([self._sizes, np.empty(capacity - len(self._sizes), np.int32)])
        self._keys[self._count : end] = keys
        self._order = None
        self._ascending &= bool((np.diff(self._keys[max(self._count - 1, 0) : end]) > 0).all())
        self._sizes[self._count : end] = sizes
        done = 0
        while done < len(keys):
            block, at = divmod(self._count + done, BLOCK)
            part = rows[done : done + BLOCK - at]
            self._blocks[block][at : at + len(part)] = part
            self._lengths[block][at : at + len(part)] = np.linalg.norm(part, axis=1)
            done += len(part)
        self._count = end

    def _forget(self, position: int) -> None:
        """The last row takes its place."""
        last = self._count - 1
        self._put(position, self._blocks[last // BLOCK][last % BLOCK])
        self._keys[position], self._sizes[position] = self._keys[last], self._sizes[last]
        self._count, self._order = last, None
        self._ascending = last == 0 or (self._ascending and position == last)


class _Turns:
    """Many at the same time, or one alone; those who wait to be alone come first."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._inside = 0
        self._waiting = 0

    @contextmanager
    def together(self) -> Iterator[None]:
        with self._changed:
            self._changed.wait_for(lambda: self._inside >= 0 and not self._waiting)
            self._inside += 1
        try:
            yield
        finally:
            with self._changed:
                self._inside -= 1
                self._changed.notify_all()

    @contextmanager
    def alone(self) -> Iterator[None]:
        with self._changed:
            self._waiting += 1
            self._changed.wait_for(lambda: self._inside == 0)
            self._waiting -= 1
            self._inside = -1
        try:
            yield
        finally:
            with self._changed:
                self._inside = 0
                self._changed.notify_all()


def _block(dim: int) -> Floats:
    """Rows in memory of their own: among what is read and dropped between two blocks they would leave holes."""
    return np.frombuffer(mmap.mmap(-1, BLOCK * dim * 4), np.float32).reshape(BLOCK, dim)


def _combined(embedded: Embedded) -> tuple[Floats, NDArray[np.bool_]]:
    """One row for each identity that has samples, and which those are."""
    kept = embedded.sizes > 0
    sizes = embedded.sizes[kept]
    starts = np.cumsum(sizes) - sizes
    rows = np.empty((len(sizes), embedded.embeddings.shape[1]), np.float32)
    for size in np.unique(sizes).tolist():
        alike = sizes == size
        rows[alike] = combine(embedded.embeddings[starts[alike, None] + np.arange(size)])
    return rows, kept
