"""What a data set can prove, before anything is trained: error rates, differences, and what to collect next.

Knows how many images each class has. Knows nothing of images or models.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from samekind.certification import classes_needed, smallest_fmr
from samekind.data.labelled import LabelledImages
from samekind.errors import InputError

REFERENCES = (1, 2, 5, 10)
GALLERIES = (10, 100, 1_000, 10_000)

DISAGREEMENT = 0.05
"""Share of trials in which one of two models is right and the other wrong, as far as nothing better is known."""

CLUSTERING = 0.1
"""Correlation of such trials within a class, as far as nothing better is known."""

POWER = 0.8
LEVEL = 0.05


@dataclass(frozen=True)
class WithReferences:
    """What can be certified for decisions with K references.

    Args:
        references: K.
        classes: that have K + 1 images, to be references and query.
        smallest_fmr: that they can certify; 1 where they can certify none.
    """

    references: int
    classes: int
    smallest_fmr: float


@dataclass(frozen=True)
class WithGallery:
    """What can be certified for searches among N enrolled classes.

    Args:
        enrolled: N.
        smallest_fpir: share of searches that find anybody though nobody is there (ISO/IEC 19795-1), the smallest that
            the classes can certify; 1 where they can certify none.
    """

    enrolled: int
    smallest_fpir: float


@dataclass(frozen=True)
class Plan:
    """What the classes and images at hand can prove.

    Args:
        data: name of the data set.
        images, classes: how many.
        fewest, median: images of a class.
        target_fmr, confidence: that are asked for.
        certifiable: whether the classes at hand can certify the target with one reference.
        classes_needed: the fewest that the target takes.
        references: for K of REFERENCES.
        galleries: for N of GALLERIES, with one reference each.
        difference: in accuracy between two models that these images show, or None where they show none.
        with_twice_the_classes, with_twice_the_images: what that difference would be with more of either.
        advice: what to collect next, in sentences.
    """

    data: str
    images: int
    classes: int
    fewest: int
    median: float
    target_fmr: float
    confidence: float
    certifiable: bool
    classes_needed: int
    references: tuple[WithReferences, ...]
    galleries: tuple[WithGallery, ...]
    difference: float | None
    with_twice_the_classes: float | None
    with_twice_the_images: float | None
    advice: tuple[str, ...]


def plan(data: LabelledImages, *, target_fmr: float = 0.001, confidence: float = 0.95) -> Plan:
    """What these classes can prove if none of them is trained on.

    Args:
        data: the classes to calibrate and to test on.
        target_fmr: the false match rate to certify; in (0, 1).
        confidence: of the certificate; in (0, 1).
    Returns:
        The plan.
    Raises:
        InputError: a rate is out of its range, or there are fewer than two classes of two images.
    """
    for name, value in (("target FMR", target_fmr), ("confidence", confidence)):
        if not 0 < value < 1:
            raise InputError(f"expected a {name} in (0, 1), got {value}")
    counts = np.bincount(data.labels, minlength=len(data.classes))
    if (counts >= 2).sum() < 2:
        raise InputError(f"{data.name}: expected at least two classes of two images, got {(counts >= 2).sum()}")
    references = tuple(_with_references(counts, k, confidence) for k in REFERENCES)
    usable, reachable = references[0].classes, references[0].smallest_fmr
    needed = classes_needed(target_fmr, confidence)
    difference = smallest_difference(counts.tolist())
    more_classes = smallest_difference(np.tile(counts, 2).tolist())
    more_images = smallest_difference((2 * counts).tolist())
    return Plan(
        data=data.name,
        images=len(data),
        classes=len(counts),
        fewest=int(counts.min()),
        median=float(np.median(counts)),
        target_fmr=target_fmr,
        confidence=confidence,
        certifiable=reachable <= target_fmr,
        classes_needed=needed,
        references=references,
        galleries=tuple(WithGallery(n, smallest_fmr(usable, confidence, identities=n)) for n in GALLERIES),
        difference=difference,
        with_twice_the_classes=more_classes,
        with_twice_the_images=more_images,
        advice=(
            _on_target(references[0], target_fmr=target_fmr, confidence=confidence, needed=needed),
            *_on_references(references),
            _on_difference(difference, more_classes, more_images),
        ),
    )


def _with_references(counts: NDArray[np.int64], references: int, confidence: float) -> WithReferences:
    classes = int((counts > references).sum())
    return WithReferences(references, classes, smallest_fmr(classes, confidence))


def _on_target(single: WithReferences, *, target_fmr: float, confidence: float, needed: int) -> str:
    if single.smallest_fmr <= target_fmr:
        return (
            f"{single.classes:,} classes can certify a false match rate of {target_fmr:g} with {confidence:.0%} "
            "confidence: no more are needed, unless the model makes errors at that threshold."
        )
    return (
        f"{needed - single.classes:,} more classes, {needed:,} in all, could certify a false match rate of "
        f"{target_fmr:g} with {confidence:.0%} confidence, and twice as many leave room for errors; more images of a "
        "class do not help."
    )


def _on_references(references: Sequence[WithReferences]) -> list[str]:
    single = references[0]
    poorest = next((one for one in references if one.classes < single.classes), None)
    if poorest is None:
        return []
    return [
        f"{poorest.references + 1} images of each class would certify {poorest.references} references as well as one; "
        f"{single.classes - poorest.classes} of {single.classes} classes have fewer."
    ]


def _on_difference(difference: float | None, more_classes: float | None, more_images: float | None) -> str:
    now = "No difference" if difference is None else f"A difference of {100 * difference:.2f} points"
    if more_classes is None:
        return f"{now} in accuracy between two models can be seen here; twice the classes would not be enough either."
    images = "none" if more_images is None else f"{100 * more_images:.2f} points"
    better = "classes" if more_images is None or more_classes <= more_images else "images"
    return (
        f"{now} in accuracy between two models can be seen here, if they disagree in {DISAGREEMENT:.0%} of trials; "
        f"with twice the classes {100 * more_classes:.2f} points, with twice the images of each {images}: "
        f"collect {better} first."
    )


def smallest_difference(
    images: Sequence[int],
    *,
    disagreement: float = DISAGREEMENT,
    clustering: float = CLUSTERING,
    level: float = LEVEL,
    power: float = POWER,
) -> float | None:
    """The smallest difference in accuracy between two models on the same trials that a test would show.

    Args:
        images: of each class; each is asked about once.
        disagreement: share of trials in which exactly one of the two models is right; in (0, 1].
        clustering: correlation within a class of the difference of both models; in [0, 1].
        level: of the two-sided test.
        power: how often the difference would be seen.
    Returns:
        A fraction in (0, disagreement], or None where not even the largest one would be seen.
    Raises:
        InputError: there is no image, or a rate is out of its range.
    Source: McNemar 1947 (the paired test); Connor 1987, "Sample size for testing differences in proportions for the
        paired-sample design", eq. 1; Kish 1965 (images of one class count 1 / (1 + (m - 1) * clustering) each, where m
        is the number of images that the class of an image has in the mean).
    """
    from scipy.optimize import brentq
    from scipy.stats import norm

    counts = np.asarray(images, dtype=np.float64)
    if not (counts.sum() > 0 and 0 < disagreement <= 1 and 0 <= clustering <= 1 and 0 < level < 0.5 <= power < 1):
        raise InputError(
            "expected images, disagreement in (0, 1], clustering in [0, 1], level in (0, 0.5) and power in [0.5, 1), "
            f"got {counts.sum():g}, {disagreement}, {clustering}, {level} and {power}"
        )
    mean = float((counts**2).sum() / counts.sum())
    independent = float(counts.sum()) / (1 + (mean - 1) * clustering)
    for_level, for_power = float(norm.isf(level / 2)), float(norm.ppf(power))

    def missing(difference: float) -> float:
        spread = math.sqrt(max(0.0, disagreement - difference**2))
        return for_level * math.sqrt(disagreement) + for_power * spread - difference * math.sqrt(independent)

    if missing(disagreement) > 0:
        return None
    return float(brentq(missing, 0.0, disagreement))
