"""Which images a protocol compares: pairs and one-shot trials, drawn from labels alone.

Knows labels, groups and sources. Knows nothing of pixels, models or scores. Every draw is a pure function of the data
and a generator, without replacement: where the data has too little, an error says how much.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from samekind.data.labelled import LabelledImages
from samekind.errors import InputError

Indices = NDArray[np.int64]

LAKE_WAYS = 20
LAKE_ALPHABETS = (
    "Atlantean",
    "Ge_ez",
    "Glagolitic",
    "Gurmukhi",
    "Kannada",
    "Malayalam",
    "Manipuri",
    "Old_Church_Slavonic_(Cyrillic)",
    "Tengwar",
    "Tibetan",
)
"""The alphabets of Lake's 20 runs, and Koch's evaluation alphabets."""

KOCH_DRAWERS = (17, 18, 19, 20)
IMPOSTORS = ("any", "same-group")


@dataclass(frozen=True, eq=False)
class Pairs:
    """P pairs of images.

    Args:
        left: (P,) int64, index of one image.
        right: (P,) int64, index of the other.
        same: (P,) bool, true where both show one class.
    """

    left: Indices
    right: Indices
    same: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.same)


@dataclass(frozen=True, eq=False)
class Trials:
    """T questions "which of these K classes is it?".

    Args:
        queries: (T,) int64, index of the image asked about.
        references: (T, K, S) int64, indices of S images of each of K classes.
        correct: (T,) int64 in [0, K), which of the classes is the query's.
    """

    queries: Indices
    references: Indices
    correct: Indices

    def __len__(self) -> int:
        return len(self.queries)


def lake_trials(data: LabelledImages) -> Trials:
    """Lake's runs: each test image against the training images of its own run.

    Args:
        data: groups are runs; of each class one image of source 0 (training) and one of source 1 (test).
    Raises:
        InputError: the data is not of that form.
    Source: Lake, Salakhutdinov, Tenenbaum 2015; https://github.com/brendenlake/omniglot.
    """
    by_source = _image_table(data)
    if set(np.asarray(data.sources)) != {0, 1} or (by_source < 0).any():
        raise InputError(f"{data.name}: expected one training image (source 0) and one test image (source 1) a class")
    runs = _classes_by_group(data)
    if len({len(run) for run in runs}) != 1:
        raise InputError(f"{data.name}: expected runs of equally many classes, got {sorted({len(r) for r in runs})}")
    return _concatenate([_run(by_source, run, support=0, query=1) for run in runs])


def within_group_trials(data: LabelledImages, *, trials: int, rng: np.random.Generator) -> Trials:
    """More runs like Lake's: 20 classes of one group, all support by one source, all queries by another.

    Groups take turns, so each counts the same; a run's classes and its two sources are drawn anew. A group of fewer
    than 20 classes is left out.

    Args:
        data: with groups and sources; at most one image of a class by a source.
        trials: how many, a multiple of 20.
        rng: draws classes and sources.
    Raises:
        InputError: trials is no such multiple, or no group has 20 classes drawn by the same two sources.
    """
    if trials < LAKE_WAYS or trials % LAKE_WAYS:
        raise InputError(f"expected trials to be a positive multiple of {LAKE_WAYS} (one run), got {trials}")
    by_source = _image_table(data)
    groups = [group for group in _classes_by_group(data) if len(group) >= LAKE_WAYS]
    everywhere = [np.flatnonzero((by_source[group] >= 0).all(axis=0)) for group in groups]
    if not groups or min(map(len, everywhere)) < 2:
        raise InputError(
            f"{data.name}: expected groups of at least {LAKE_WAYS} classes, all drawn by the same two sources; "
            f"got {len(groups)} groups of that size, shared sources: {[len(sources) for sources in everywhere]}"
        )
    runs = []
    for number in range(trials // LAKE_WAYS):
        group, sources = groups[number % len(groups)], everywhere[number % len(groups)]
        classes = rng.permutation(group)[:LAKE_WAYS]
        support, query = rng.permutation(sources)[:2]
        runs.append(_run(by_source, classes, support=support, query=query))
    return _concatenate(runs)


def episodes(data: LabelledImages, *, ways: int, shots: int, trials: int, rng: np.random.Generator) -> Trials:
    """Trials over all classes: one query, and `shots` other images of its class and of each of ways - 1 others.

    Args:
        data: at least `ways` classes with images, each with at least shots + 1.
        ways: classes to choose from, K >= 2.
        shots: references of each class, S >= 1.
        trials: how many, T >= 1.
        rng: draws classes, images, and which of the classes is asked about.
    Raises:
        InputError: a number is out of range, or the data has too few classes or images.
    """
    if ways < 2 or shots < 1 or trials < 1:
        raise InputError(f"expected ways >= 2, shots >= 1 and trials >= 1, got {ways}, {shots} and {trials}")
    order = np.argsort(data.labels, kind="stable")
    classes, starts, counts = np.unique(data.labels[order], return_index=True, return_counts=True)
    if len(classes) < ways:
        raise InputError(f"{data.name}: expected at least {ways} classes, got {len(classes)}; ask for fewer ways")
    if counts.min() <= shots:
        poorest, few = data.classes[classes[counts.argmin()]], int((counts <= shots).sum())
        raise InputError(
            f"{data.name}: expected at least {shots + 1} images a class ({shots} shots and a query), "
            f"got {counts.min()} of {poorest!r} ({few} such classes); leave them out or ask for fewer shots"
        )
    chosen = _distinct(np.full(trials, len(classes)), ways, rng=rng)  # (T, K)
    images = order[starts[chosen][..., None] + _distinct(counts[chosen], shots + 1, rng=rng)]  # (T, K, S + 1)
    correct = rng.integers(ways, size=trials)
    return Trials(queries=images[np.arange(trials), correct, -1], references=images[..., :-1], correct=correct)


def koch_pairs(data: LabelledImages, *, pairs: int, impostors: str, rng: np.random.Generator) -> Pairs:
    """Koch's verification set: the alphabets of Lake's runs, drawers 17 to 20.

    Omniglot has 2,292 genuine pairs there, so at most 4,584 pairs come of it.

    Args:
        data: Omniglot's evaluation set, alphabets as groups and drawers as sources.
        pairs, impostors, rng: as `balanced_pairs`.
    Raises:
        InputError: an alphabet is missing, or as `balanced_pairs`.
    Source: Koch, Zemel, Salakhutdinov 2015, section 4.2; the paper leaves the number of pairs and whether the
        different ones share an alphabet open.
    """
    missing = sorted(set(LAKE_ALPHABETS) - set(data.groups or ()))
    if missing or data.sources is None:
        lacks = ", ".join(missing) or "the drawers"
        raise InputError(f"{data.name}: expected omniglot:evaluation with its alphabets and drawers, it lacks {lacks}")
    alphabet = np.asarray(data.groups)[data.labels]
    kept = np.flatnonzero(np.isin(alphabet, LAKE_ALPHABETS) & np.isin(data.sources, KOCH_DRAWERS))
    drawn = balanced_pairs(data.take(kept), pairs=pairs, impostors=impostors, rng=rng)
    return Pairs(kept[drawn.left], kept[drawn.right], drawn.same)


def balanced_pairs(data: LabelledImages, *, pairs: int, impostors: str, rng: np.random.Generator) -> Pairs:
    """Half genuine pairs, half impostors; each possible pair is equally likely and none comes twice.

    A genuine pair is two images of one class, by two sources where the data names them. Where the data has fewer
    genuine pairs or impostors than asked for, as many of each as the scarcer kind has: chance stays at 0.5.

    Args:
        data: any.
        pairs: how many to draw at most; even, >= 2.
        impostors: "any", two images of two classes, or "same-group", of two classes of one group.
        rng: draws the pairs.
    Returns:
        The pairs, the genuine ones first.
    Raises:
        InputError: an argument is out of range, there are no groups to stay in, or a kind of pair does not exist.
    """
    if pairs < 2 or pairs % 2:
        raise InputError(f"expected an even number of pairs, half of them genuine, got {pairs}")
    if impostors not in IMPOSTORS:
        raise InputError(f"expected impostors to be one of {', '.join(IMPOSTORS)}, got {impostors!r}")
    if impostors == "same-group" and data.groups is None:
        raise InputError(f'{data.name}: expected groups for impostors "same-group", there are none; use "any"')
    group = data.group_labels if impostors == "same-group" else np.zeros(len(data), dtype=np.int64)
    source = np.arange(len(data)) if data.sources is None else data.sources
    # Sorted so, the partners of each image that come after it are one stretch: of its class but not its source,
    # and of its group but not its class. Thus every possible pair has a number, and drawing numbers draws pairs.
    order = np.lexsort((source, data.labels, group))
    of_group, of_class = _stretch_ends(group[order]), _stretch_ends(data.labels[order])
    of_source = np.minimum(_stretch_ends(source[order]), of_class)
    possible = {"genuine": (of_source, of_class), "impostor": (of_class, of_group)}
    totals = {kind: int((stop - start).sum()) for kind, (start, stop) in possible.items()}
    if not min(totals.values(), default=0):
        found = " and ".join(f"{total} {kind}" for kind, total in totals.items())
        raise InputError(f"{data.name}: expected genuine and impostor pairs to be possible, got {found}; add images")
    each = min(pairs // 2, *totals.values())
    sides = [_draw(start, stop, each, rng=rng) for start, stop in possible.values()]
    left, right = (order[np.concatenate(side)] for side in zip(*sides, strict=True))
    return Pairs(left, right, data.labels[left] == data.labels[right])


def _stretch_ends(sorted_values: Indices) -> Indices:
    """Where each value's stretch of equal neighbours ends: (N,) -> (N,), exclusive."""
    changes = np.flatnonzero(np.append(sorted_values[1:] != sorted_values[:-1], True)) + 1
    return np.repeat(changes, np.diff(changes, prepend=0))


def _draw(start: Indices, stop: Indices, n: int, *, rng: np.random.Generator) -> tuple[Indices, Indices]:
    """Draw n different pairs (i, j) with start[i] <= j < stop[i]."""
    last = np.cumsum(stop - start)
    number = rng.choice(last[-1], size=n, replace=False)
    left = np.searchsorted(last, number, side="right")
    return left, stop[left] - (last[left] - number)


def _distinct(counts: Indices, size: int, *, rng: np.random.Generator) -> Indices:
    """`size` different integers in [0, count), every ordered choice equally likely: (...) -> (..., size)."""
    chosen = np.empty((*counts.shape, size), dtype=np.int64)
    for i in range(size):
        drawn = rng.integers(counts - i)  # a place among those not chosen yet
        for earlier in np.moveaxis(np.sort(chosen[..., :i], axis=-1), -1, 0):
            drawn += drawn >= earlier
        chosen[..., i] = drawn
    return chosen


def _image_table(data: LabelledImages) -> Indices:
    """The image of each class by each source, -1 where there is none: (classes, sources) int64."""
    if data.groups is None or data.sources is None:
        raise InputError(f"{data.name}: expected a group a class and a source an image (alphabets and drawers)")
    sources, column = np.unique(data.sources, return_inverse=True)
    table = np.full((len(data.classes), len(sources)), -1, dtype=np.int64)
    table[data.labels, column] = np.arange(len(data))
    if (table >= 0).sum() != len(data):
        raise InputError(f"{data.name}: expected at most one image of a class by a source, got more")
    return table


def _classes_by_group(data: LabelledImages) -> list[Indices]:
    groups, of_class = np.unique(np.asarray(data.groups), return_inverse=True)
    return [np.flatnonzero(of_class == group) for group in range(len(groups))]


def _run(by_source: Indices, classes: Indices, *, support: int, query: int) -> Trials:
    """One trial a class; all share the same references."""
    references = np.tile(by_source[classes, support], (len(classes), 1))
    return Trials(by_source[classes, query], references[..., None], np.arange(len(classes)))


def _concatenate(runs: list[Trials]) -> Trials:
    return Trials(
        np.concatenate([run.queries for run in runs]),
        np.concatenate([run.references for run in runs]),
        np.concatenate([run.correct for run in runs]),
    )
