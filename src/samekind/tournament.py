"""Who meets whom: impostor comparisons of a labelled set, in rounds in which no class takes part twice.

Knows labels and the order of a round-robin tournament. Knows models only as functions that score, and nothing of
thresholds. What shares no class is independent, and a bound on error rates needs nothing else: see `certification`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from samekind.errors import InputError

Indices: TypeAlias = NDArray[np.int64]

ReferenceScorer: TypeAlias = Callable[[Indices, Indices], NDArray[np.float32]]
"""From queries (P,) and R references of one class for each (P, R), both indices of images, to scores (P,)."""

_BLOCK = 65_536  # images of references scored at a time: with 64 numbers an embedding 16 MB


@dataclass(frozen=True, eq=False)
class Impostors:
    """P scored comparisons of a query of one class with references of another.

    Args:
        scores: (P,) float32.
        left: (P,) int64, class of the query.
        right: (P,) int64, class of the references.
    """

    scores: NDArray[np.float32]
    left: Indices
    right: Indices


def impostor_scores(
    score: ReferenceScorer,
    labels: Indices,
    *,
    references: int = 1,
    comparisons: int = 500_000,
    rng: np.random.Generator,
) -> Impostors:
    """Scores of impostors, for `certification.certify`: of every pair of classes, or of as many whole rounds as fit.

    Args:
        score: the model; called with a block of comparisons at a time.
        labels: (N,) int64, class of each image.
        references: images of the other class that a query is compared with; >= 1.
        comparisons: about how many, >= 1; in a round each class asks at least once.
        rng: draws queries and references.
    Returns:
        The comparisons; in a round each class asks and is asked for, with the same number of queries.
    Raises:
        InputError: a number is out of range, there are fewer than two classes, or a class has too few images.
    """
    if references < 1 or comparisons < 1:
        raise InputError(f"expected references >= 1 and comparisons >= 1, got {references} and {comparisons}")
    names, images = np.unique(labels), _image_table(labels, references)
    n = len(names)
    rounds = min(_modulus(n), max(2, comparisons // n))  # in one round of an odd number a class would be missing
    fewest = int((images >= 0).sum(axis=1).min())
    asked = min(fewest, max(1, comparisons // (rounds * n)))
    order, scores, left, right = _order(n), [], [], []
    for at in range(rounds):
        one, other = (order[places] for places in _partners(n, at))
        drawn = _shuffled(images, rng)  # what a class asks with and what it is asked for with may be the same images
        scores.append(_score(score, drawn[one, :asked].ravel(), drawn[:, :references], np.repeat(other, asked)))
        left.append(names[np.repeat(one, asked)])
        right.append(names[np.repeat(other, asked)])
    return Impostors(np.concatenate(scores), np.concatenate(left), np.concatenate(right))


def search_scores(
    score: ReferenceScorer,
    labels: Indices,
    *,
    identities: int,
    references: int = 1,
    rounds: int,
    rng: np.random.Generator,
) -> NDArray[np.float32]:
    """The best score of searches among enrolled classes by a class that is not enrolled.

    In each round the classes are parted at random into blocks: one class asks, the others are enrolled.

    Args:
        score, labels, references: as `impostor_scores`.
        identities: enrolled classes of a block, >= 1.
        rounds: how often the classes are parted anew; >= 1.
        rng: draws blocks, queries and references.
    Returns:
        (rounds, classes // (identities + 1)) float32, one search a block.
    Raises:
        InputError: as `impostor_scores`; also where the classes do not fill one block.
    """
    images = _image_table(labels, references)
    blocks = len(images) // (identities + 1)
    if references < 1 or identities < 1 or rounds < 1 or blocks < 1:
        raise InputError(
            f"expected references, identities and rounds >= 1 and more classes than identities, got {references}, "
            f"{identities}, {rounds} and {len(images)} classes"
        )
    best = np.empty((rounds, blocks), np.float32)
    for at in range(rounds):
        order = rng.permutation(len(images))[: blocks * (identities + 1)].reshape(blocks, identities + 1)
        drawn = _shuffled(images, rng)
        queries = np.repeat(drawn[order[:, 0], 0], identities)
        found = _score(score, queries, drawn[:, :references], order[:, 1:].ravel())
        best[at] = found.reshape(blocks, identities).max(axis=1)
    return best


def rounds_of(first: Indices, second: Indices, n: int) -> Indices:
    """Lay out pairs of classes in rounds in which no class takes part twice.

    All pairs of n classes fill the n - 1 rounds of a tournament (n where one class has to sit out). Whole rounds of it,
    as `impostor_scores` draws them, stay whole; any other choice of pairs is put into the first round that is free.

    Args:
        first: (P,) int64 in [0, n).
        second: (P,) int64 in [0, n), another class than first; no pair twice.
    Returns:
        (P,) int64 >= 0.
    Source: the circle method of round-robin tournaments (Kirkman 1847); else greedy edge colouring.
    """
    place = np.argsort(_order(n))
    low, high = np.minimum(place[first], place[second]), np.maximum(place[first], place[second])
    rounds = np.asarray((low + np.where(high == _modulus(n), low, high)) % _modulus(n))
    if len(rounds) >= 0.9 * (n // 2) * len(np.unique(rounds)):
        return rounds
    busy = [0] * n  # of each class a bit for every round that it takes part in
    for pair in np.random.default_rng(n).permutation(len(rounds)).tolist():
        one, other = int(first[pair]), int(second[pair])
        taken = busy[one] | busy[other]
        free = ~taken & (taken + 1)  # the lowest bit that is not set
        busy[one] |= free
        busy[other] |= free
        rounds[pair] = free.bit_length() - 1
    return rounds


def _modulus(n: int) -> int:
    """Rounds in which each of n classes meets every other once: n - 1, or n where one class has to sit out."""
    return n - 1 + n % 2


def _order(n: int) -> Indices:
    """Class of each place in the tournament. Arbitrary but always the same: neighbours in a list of classes often
    resemble each other, and rounds should all be alike."""
    return np.random.default_rng(n).permutation(n)


def _partners(n: int, at: int) -> tuple[Indices, Indices]:
    """Who meets whom in one round, by place; each meeting twice, once from either side."""
    modulus = _modulus(n)
    place = np.arange(modulus)
    partner = (at - place) % modulus
    alone = np.flatnonzero(partner == place)  # exactly one, as the modulus is odd
    if n > modulus:
        partner[alone] = modulus
        return np.append(place, modulus), np.append(partner, alone)
    return np.delete(place, alone), np.delete(partner, alone)


def _image_table(labels: Indices, references: int) -> Indices:
    """Images of each class, -1 where it has no more: (classes, most) int64."""
    order = np.argsort(labels, kind="stable")
    names, starts, counts = np.unique(labels[order], return_index=True, return_counts=True)
    if len(names) < 2:
        raise InputError(f"expected images of at least 2 classes, got {len(names)}")
    if counts.min() < references:
        poorest = names[counts.argmin()]
        raise InputError(
            f"expected at least {references} images of every class, one a reference, got {counts.min()} of class "
            f"{poorest}; leave it out or ask for fewer references"
        )
    column = np.arange(counts.max())
    return np.where(column < counts[:, None], order[np.minimum(starts[:, None] + column, len(order) - 1)], -1)


def _shuffled(images: Indices, rng: np.random.Generator) -> Indices:
    """Each row in a random order of its own, with what is missing at the end."""
    keys = np.where(images >= 0, rng.random(images.shape), 2.0)
    return np.take_along_axis(images, np.argsort(keys, axis=1), axis=1)


def _score(score: ReferenceScorer, queries: Indices, enrolled: Indices, others: Indices) -> NDArray[np.float32]:
    """Scores of queries (P,) against the enrolled images (n, R) of other classes (P,), a block at a time."""

    step = max(1, _BLOCK // enrolled.shape[1])
    starts = range(0, len(queries), step)
    return np.concatenate([score(queries[i : i + step], enrolled[others[i : i + step]]) for i in starts])
