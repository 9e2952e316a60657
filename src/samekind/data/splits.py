"""Parts of a data set that share nothing: no class, no image, no near copy of an image.

Knows labelled images and their pixels. Knows nothing of models or of what the parts are for.
"""

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from samekind.data.labelled import LabelledImages
from samekind.errors import InputError
from samekind.images import Preprocessing

Floats = NDArray[np.float32]

GROUPS_TO_SPLIT = 10
"""With at least as many groups, whole groups are held out."""

COARSE = Preprocessing(size=24)
FINE = Preprocessing(size=96)
COARSE_SIMILARITY = 0.85  # copies re-encoded, resized, brightened or shifted by 1 in 105 pixels stay above 0.88
SHIFT = 2  # pixels of the fine grid
CLOSEST = 8  # thumbnails compared again for each image, lest photos of one ground are all compared with all
BLOCK = 1024  # pairs, or rows of the similarity matrix, at a time


@dataclass(frozen=True)
class Split:
    """Two parts without a class in common, labels counted from 0 in each."""

    train: LabelledImages
    held_out: LabelledImages


@dataclass(frozen=True)
class Leak:
    """An image that lies on both sides.

    Args:
        left: name of the image on the left side.
        right: name of the image on the right side.
        kind: "identical" (the same bytes) or "near-duplicate".
        similarity: correlation of the pixels at the best shift, in [-1, 1]; 1 for identical ones.
    """

    left: str
    right: str
    kind: str
    similarity: float


def split_classes(data: LabelledImages, fraction: float, *, rng: np.random.Generator) -> Split:
    """Hold out a share of the classes, drawn at random.

    Args:
        data: of at least four classes. With at least ten groups whole groups are held out, so that no group is split;
            single classes only where the groups drawn would leave fewer than two classes to train on.
        fraction: share of the groups, or of the classes, to hold out; in (0, 1). Of groups as many more as it takes
            to hold out two classes.
        rng: draws them.
    Returns:
        Both parts, their classes in the order of the data.
    Raises:
        InputError: the fraction is out of its range, or a part would have fewer than two classes.
    """
    if not 0 < fraction < 1:
        raise InputError(f"expected a fraction between 0 and 1 to hold out, got {fraction}")
    count = len(data.classes)
    held_out = _draw_groups(data, fraction, rng)
    if len(held_out) == 0 or count - len(held_out) < 2:
        held_out = np.sort(rng.permutation(count)[: round(fraction * count)])
    train = np.setdiff1d(np.arange(count), held_out)
    if min(len(train), len(held_out)) < 2:
        raise InputError(
            f"{data.name}: expected at least two classes on each side of the split, got {len(train)} and"
            f" {len(held_out)} of {count}; change the fraction ({fraction}) or bring more classes"
        )
    return Split(data.take_classes(train), data.take_classes(held_out))


def _draw_groups(data: LabelledImages, fraction: float, rng: np.random.Generator) -> NDArray[np.int64]:
    """The classes of the groups drawn; none where there are too few groups to draw from."""
    names, group_of, sizes = np.unique(np.asarray(data.groups or ()), return_inverse=True, return_counts=True)
    if len(names) < GROUPS_TO_SPLIT:
        return np.empty(0, dtype=np.int64)
    order = rng.permutation(len(names))
    enough = int(np.searchsorted(np.cumsum(sizes[order]), 2)) + 1  # groups may be of a single class
    drawn = order[: max(enough, round(fraction * len(names)))]
    return np.flatnonzero(np.isin(group_of, drawn))


def find_leaks(left: LabelledImages, right: LabelledImages, *, similarity: float = 0.95) -> tuple[Leak, ...]:
    """Name the images that two data sets share, byte for byte or as near copies.

    Near copies are what a new encoding, another size, a little more light or a shift by a pixel makes of an image.
    Of the images on the left whose thumbnails correlate with one on the right, the eight that do so most are compared
    with it again at 96 x 96 pixels, at every shift of up to two.

    Measured at the default on Omniglot: all of 2,100 such copies are found; of 18 million pairs of different drawings
    6 are flagged, among them dots and single lines that are truly alike.

    Args:
        left: one side; the larger one, if any.
        right: the other side, such as the held-out classes.
        similarity: correlation from which a pair counts as near-duplicate; in (0, 1].
    Returns:
        Such pairs, in the order of the left side, then of the right: every identical one, and of each image on the
        right at most eight near-duplicates, those among the eight left images whose thumbnails are closest to its own.
    Raises:
        InputError: the similarity is out of its range.
        ImageError: an image cannot be read.
    """
    if not 0 < similarity <= 1:
        raise InputError(f"expected a similarity in (0, 1], got {similarity}")
    if not len(left) or not len(right):
        return ()
    where: dict[str, list[int]] = defaultdict(list)
    for index, digest in enumerate(right.digests):
        where[digest].append(index)
    found = {(row, column): 1.0 for row, digest in enumerate(left.digests) for column in where.get(digest, ())}
    identical = frozenset(found)
    candidates = np.asarray([pair for pair in _candidates(left, right) if pair not in identical], dtype=np.int64)
    if len(candidates):
        for (row, column), value in zip(candidates.tolist(), _aligned(left, right, candidates), strict=True):
            if value >= similarity:
                found[row, column] = float(value)
    return tuple(
        Leak(
            left=left.names[row],
            right=right.names[column],
            kind="identical" if (row, column) in identical else "near-duplicate",
            similarity=found[row, column],
        )
        for row, column in sorted(found)
    )


def _candidates(left: LabelledImages, right: LabelledImages) -> list[tuple[int, int]]:
    """Pairs whose thumbnails correlate, at most CLOSEST for each image on the right."""
    lefts, rights = _standardise(left.pixels(COARSE)), _standardise(right.pixels(COARSE))
    pairs: list[tuple[int, int]] = []
    for start in range(0, len(rights), BLOCK):
        for index, row in enumerate(rights[start : start + BLOCK] @ lefts.T, start):
            alike = np.flatnonzero(row > COARSE_SIMILARITY)
            closest = alike[np.argsort(-row[alike], kind="stable")[:CLOSEST]]
            pairs.extend((other, index) for other in closest.tolist())
    return pairs


def _aligned(left: LabelledImages, right: LabelledImages, pairs: NDArray[np.int64]) -> Floats:
    """(P,) correlation of each of the pairs (P, 2) at the shift that suits it best."""
    lefts, left_of = np.unique(pairs[:, 0], return_inverse=True)
    rights, right_of = np.unique(pairs[:, 1], return_inverse=True)
    left_pixels, right_pixels = left.take(lefts).pixels(FINE)[:, 0], right.take(rights).pixels(FINE)[:, 0]
    inner = FINE.size - 2 * SHIFT
    best = np.full(len(pairs), -1.0, dtype=np.float32)
    for start in range(0, len(pairs), BLOCK):
        chosen = slice(start, start + BLOCK)
        fixed = _standardise(left_pixels[left_of[chosen], SHIFT:-SHIFT, SHIFT:-SHIFT])
        moved = right_pixels[right_of[chosen]]
        for down, across in np.ndindex(2 * SHIFT + 1, 2 * SHIFT + 1):
            window = _standardise(moved[:, down : down + inner, across : across + inner])
            best[chosen] = np.maximum(best[chosen], np.einsum("pd,pd->p", fixed, window))
    return best


def _standardise(pixels: NDArray[np.uint8]) -> Floats:
    """(N, ...) to (N, D): mean 0 and length 1, or all zero where an image is of one colour."""
    flat = pixels.reshape(len(pixels), -1).astype(np.float32)
    flat -= flat.mean(axis=1, keepdims=True)
    length = np.sqrt(np.einsum("nd,nd->n", flat, flat))[:, None]
    length[length < 1e-3] = np.inf
    flat /= length
    return flat
