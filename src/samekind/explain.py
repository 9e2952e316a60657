"""Which parts of two images carried their score: maps over patches, and patches that answer each other.

Knows a model by how its score moves when parts of an image are hidden. Knows nothing of what is inside the model, and
nothing of pages.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from samekind.data.labelled import LabelledImages
from samekind.errors import InputError
from samekind.images import ImageLike, Preprocessing
from samekind.similarity import Similarity
from samekind.verifier import Verifier

GRID = 12
"""Patches a side."""

MASKS = 256
"""Times that an image is embedded, each time with other parts hidden."""

HIDDEN = 0.2
"""Of the patches that hold ink, the share hidden at a time."""

TENTH = 0.1
"""Of the patches that hold ink, the share that is hidden to test a map."""

MATCHES = 5
"""Pairs of patches named at most."""

_INK = 25  # levels of 255 from the ground: less is noise of a scanner or a codec
_RIDGE = 0.01  # of the masks: keeps apart what was hidden together by chance, and changes little else
_CHANCES = 32  # random deletions that a test is held against

Bools = NDArray[np.bool_]
Floats = NDArray[np.floating]
Indices = NDArray[np.int64]
Place = tuple[int, int]


@dataclass(frozen=True, eq=False)
class Probe:
    """An image, and what a model makes of it when parts are hidden.

    Args:
        pixels: (C, H, W) uint8, from `Preprocessing.pixels`.
        inked: (P,) int64, row * GRID + column of the patches that differ from the ground; only these are hidden.
        hidden: (M, P) bool, which of them; each is hidden equally often.
        embeddings: (M, D) float32, of the image with those hidden.
        whole: (D,) float32, of the image as it is.
    """

    pixels: NDArray[np.uint8]
    inked: Indices
    hidden: Bools
    embeddings: NDArray[np.float32]
    whole: NDArray[np.float32]


@dataclass(frozen=True)
class Match:
    """A patch of each image, as (row, column), and how much less hiding the one is felt once the other is hidden."""

    left: Place
    right: Place
    weight: float


@dataclass(frozen=True, eq=False)
class Explanation:
    """What carried the score of two images.

    Args:
        score: of the two as they are.
        left: (GRID, GRID) float64, how far the score falls when a patch of the left image is hidden: > 0 where it
            speaks for "same", < 0 where it speaks for "different", 0 where there is no ink.
        right: the same of the right image.
        matches: patches that answer each other, the weightiest first; at most MATCHES.
    """

    score: float
    left: Floats
    right: Floats
    matches: tuple[Match, ...]


@dataclass(frozen=True)
class Deletion:
    """The test of a map: how far the score moves, up or down, when patches are hidden at once.

    Args:
        patches: how many.
        moved: by hiding the weightiest; >= 0.
        by_chance: by hiding as many others that hold ink, on average over random draws; >= 0.
    """

    patches: int
    moved: float
    by_chance: float


def probe(verifier: Verifier, image: ImageLike, *, rng: np.random.Generator) -> Probe:
    """Embed an image with random parts hidden behind the colour of the ground.

    Args:
        verifier: the model.
        image: a path, encoded bytes, a PIL image or an array.
        rng: draws what is hidden.
    Returns:
        What `explain` compares; one probe serves in any number of pairs.
    Raises:
        ImageError: the image cannot be read.
    """
    pixels = verifier.preprocessing.pixels(image)
    inked = inked_patches(pixels, verifier.preprocessing)
    turns = rng.permuted(np.repeat(np.arange(MASKS)[:, None], len(inked), axis=1), axis=0)
    hidden = turns < round(HIDDEN * MASKS)
    embeddings = embed_without(verifier, pixels, inked, hidden)
    return Probe(pixels, inked, hidden, embeddings, verifier.embed_pixels(pixels[None])[0])


def explain(left: Probe, right: Probe, similarity: Similarity) -> Explanation:
    """How much each patch carried the score of two images, and which patches answer each other.

    The worth of a patch is its slope in a linear fit of the score over what was hidden, the other image being whole.
    Two patches answer each other where hiding the one is felt less once the other is hidden: the slope of both
    together over all pairs of masks, which needs no further embedding. Of these the mutually strongest are named.

    Args:
        left: a probe.
        right: another, by the same model.
        similarity: of that model.
    Returns:
        The maps and the matches; the sides exchanged where the probes are.
    Source: Petsiuk, Das, Saenko 2018, "RISE" (random masks); differs: patches instead of smooth masks, each hidden
        equally often, and a ridge regression instead of a mean. Both together: Grabisch, Roubens 1999, the interaction
        index of two players of a game; differs: a fit over random coalitions.
    """
    crossed = np.stack([similarity(z, right.embeddings) for z in left.embeddings])  # (M, M)
    together = _slopes(left.hidden, _slopes(right.hidden, crossed.T).T)  # (P, P)
    return Explanation(
        float(similarity(left.whole, right.whole)),
        _map(left, -_slopes(left.hidden, similarity(left.embeddings, right.whole))),
        _map(right, -_slopes(right.hidden, similarity(right.embeddings, left.whole))),
        _matches(together, left.inked, right.inked),
    )


def delete(verifier: Verifier, image: Probe, other: Probe, worth: Floats, *, rng: np.random.Generator) -> Deletion:
    """Test a map: hide its weightiest tenth of the patches that hold ink, and as many at random.

    Args:
        verifier: the model.
        image: parts of it are hidden.
        other: stays whole.
        worth: (GRID, GRID) float, the map of `image`; the sign does not count.
        rng: draws the random deletions.
    Returns:
        The movements; all 0 where the image holds no ink.
    Source: Petsiuk, Das, Saenko 2018, section 4.2; differs: one step of deletion, held against chance.
    """
    n, k = len(image.inked), tenth_of(image)
    weightiest = np.argsort(-np.abs(worth.ravel()[image.inked]), kind="stable")
    order = np.concatenate([weightiest[None], np.argsort(rng.random((_CHANCES, n)), axis=1)])
    moved = np.abs(fall(verifier, image, other, np.argsort(order, axis=1) < k))
    return Deletion(k, float(moved[0]), float(moved[1:].mean()))


def tenth_of(image: Probe) -> int:
    """How many patches make the tenth that tests a map: at least one where there is ink."""
    return min(len(image.inked), max(1, round(TENTH * len(image.inked))))


def fall(verifier: Verifier, image: Probe, other: Probe, hidden: Bools) -> Floats:
    """How far the score falls when patches of one image are hidden: (M, P) bool, which of `inked` -> (M,) float32."""
    z = embed_without(verifier, image.pixels, image.inked, hidden)
    return verifier.similarity(image.whole, other.whole) - verifier.similarity(z, other.whole)


def embed_without(
    verifier: Verifier, pixels: NDArray[np.uint8], patches: Indices, hidden: Bools
) -> NDArray[np.float32]:
    """Embed an image once for each way to hide patches.

    Args:
        verifier: the model.
        pixels: (C, H, W) uint8.
        patches: (P,) int64, row * GRID + column.
        hidden: (M, P) bool, which of them.
    Returns:
        (M, D) float32.
    """
    every = np.zeros((len(hidden), GRID * GRID), dtype=np.bool_)
    every[:, patches] = hidden
    covered = every[:, _patch_of_pixel(verifier.preprocessing.size)][:, None]  # (M, 1, H, W)
    return verifier.embed_pixels(np.where(covered, _ground(verifier.preprocessing), pixels))


def inked_patches(pixels: NDArray[np.uint8], preprocessing: Preprocessing) -> Indices:
    """Patches that differ from the ground: (C, H, W) uint8 -> (P,) int64, row * GRID + column, rising."""
    differs = np.abs(pixels.astype(np.int16) - _ground(preprocessing)).max(axis=0) > _INK
    return np.unique(_patch_of_pixel(preprocessing.size)[differs])


def nearest(
    verifier: Verifier, query: NDArray[np.uint8], data: LabelledImages, *, class_name: str | None = None
) -> tuple[int, int]:
    """The image of the query's class that is most like it, and that of any other class.

    Args:
        verifier: the model that says how alike.
        query: (C, H, W) uint8, from `Preprocessing.pixels`; images equal to it are left out.
        data: where to look.
        class_name: the query's; None where the query is one of the images, which then tell it.
    Returns:
        Two indices into data.
    Raises:
        InputError: the class is unknown or not unique, or a side has no image.
        ImageError: an image cannot be read.
    """
    pixels = data.pixels(verifier.preprocessing)
    itself = (pixels == query).all(axis=(1, 2, 3))
    label = _label(data, itself, class_name)
    scores = verifier.similarity(verifier.embed_pixels(pixels), verifier.embed_pixels(query[None]))
    member = data.labels == label
    sides = [np.flatnonzero(side & ~itself) for side in (member, ~member)]
    for side, what in zip(sides, (f"another image of the class {data.classes[label]!r}", "another class"), strict=True):
        if not len(side):
            raise InputError(f"{data.name}: expected {what} to compare with, got none; add images")
    match, impostor = (int(side[scores[side].argmax()]) for side in sides)
    return match, impostor


def _label(data: LabelledImages, itself: Bools, class_name: str | None) -> int:
    if class_name is not None:
        if class_name not in data.classes:
            known = ", ".join(map(repr, data.classes[:3]))
            raise InputError(f"{data.name}: expected one of its classes ({known}, ...), got {class_name!r}")
        return data.classes.index(class_name)
    labels = np.unique(data.labels[itself])
    if len(labels) != 1:
        found = "none" if not len(labels) else f"{len(labels)} classes with that image"
        raise InputError(f"{data.name}: expected the query to be one of its images, got {found}; name its class")
    return int(labels[0])


def _patch_of_pixel(size: int) -> Indices:
    """(size, size) int64, row * GRID + column of the patch that each pixel is of."""
    position = np.arange(size) * GRID // size
    return position[:, None] * GRID + position


def _ground(preprocessing: Preprocessing) -> NDArray[np.uint8]:
    """(C, 1, 1) uint8."""
    return np.asarray(preprocessing.ground, dtype=np.uint8)[:, None, None]


def _slopes(hidden: Bools, scores: Floats) -> Floats:
    """Ridge regression of scores (M, ...) on what was hidden (M, P): (P, ...) float64, change a patch."""
    x = hidden - hidden.mean(axis=0)
    gram = x.T @ x + _RIDGE * len(x) * np.eye(x.shape[1])
    return np.asarray(np.linalg.solve(gram, x.T @ scores.astype(np.float64)))


def _map(image: Probe, worth: Floats) -> Floats:
    every = np.zeros(GRID * GRID)
    every[image.inked] = worth
    return every.reshape(GRID, GRID)


def _matches(together: Floats, left: Indices, right: Indices) -> tuple[Match, ...]:
    """Pairs of patches each of which is the other's strongest, from (P, P) weights."""
    if not together.size:
        return ()
    partner = together.argmax(axis=1)
    mutual = [(i, j) for i, j in enumerate(partner) if together[:, j].argmax() == i and together[i, j] > 0]
    strongest = sorted(mutual, key=lambda pair: -together[pair])[:MATCHES]
    return tuple(Match(_place(left[i]), _place(right[j]), float(together[i, j])) for i, j in strongest)


def _place(patch: int) -> Place:
    row, column = divmod(int(patch), GRID)
    return row, column
