"""What may be wrong with labelled images, ranked: copies, wrong labels, outliers, classes that are one or two.

Knows images, labels, and embeddings by models that never saw the classes. Knows nothing of how models are trained.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from samekind.data.labelled import LabelledImages
from samekind.data.splits import find_leaks
from samekind.errors import InputError
from samekind.similarity import Similarity, cosine

Floats = NDArray[np.float32]
Indices = NDArray[np.int64]

KINDS = ("mislabelled", "near-duplicate", "one-class", "two-classes", "outlier")
"""What is looked for; `Audit` says what each is."""

MATES = 1 / 3
"""An image resembles a class as much as it does the most similar third of the members, in the mean."""

FAR = 0.5
"""An image that resembles its class less is nearer to what strangers resemble it than to what members do."""

ONE_CLASS = -0.05
"""Two classes that resemble each other as much as themselves, up to this, are likely one ..."""

LOOK_ALIKE = -0.2
"""... and are listed up to this."""

TWO_CLASSES = 0.2
"""A class whose two parts resemble each other less than themselves, by this much, is likely two."""

PART = 0.2
"""A smaller share of a class is no class of its own: those are wrong labels."""

SHOWN = 3
"""Pictures of a side at most."""

_NUMBERS = 1 << 24  # held in memory at a time while scores are computed: 64 MB


@dataclass(frozen=True, eq=False)
class View:
    """What one model makes of classes that it never saw.

    Args:
        embeddings: (N, D) float32, of every image of the data; only those of unseen classes are compared.
        similarity: how this model compares embeddings.
        unseen: (C,) bool, the classes that it never saw.
    """

    embeddings: Floats
    similarity: Similarity
    unseen: NDArray[np.bool_]


@dataclass(frozen=True)
class Side:
    """Some images of a finding: the part they play, their class, and their indices, to be looked at in this order."""

    role: str
    label: int
    images: tuple[int, ...]


@dataclass(frozen=True)
class Finding:
    """One thing to look at.

    Args:
        score: larger is more suspicious; comparable within a kind, see `Audit`.
        likely: whether it passes the mark of its kind. What does not is listed too, to see where suspicion ends.
        sides: what to compare.
    """

    score: float
    likely: bool
    sides: tuple[Side, ...]


@dataclass(frozen=True, eq=False)
class Audit:
    """What was found.

    Args:
        data: that was looked at.
        findings: by kind, those of the highest score first. The kinds, and what their scores are:
            "mislabelled": images that resemble another class more than their own; how much more.
            "near-duplicate": images of two classes that are one; correlation of the pixels, 1 for identical files.
            "one-class": pairs of classes; how much more alike they are to each other than to themselves.
            "two-classes": classes in two parts; how much more alike the parts are to themselves than to each other.
            "outlier": images that resemble no class as its members do; how far they are from their own. One may be
                mislabelled too: it is like no class, and another is like it by chance.
    """

    data: LabelledImages
    findings: dict[str, tuple[Finding, ...]]

    def likely(self, kind: str) -> int:
        """How many findings of a kind pass its mark."""
        return sum(finding.likely for finding in self.findings[kind])

    def as_json(self, *, most: int) -> dict[str, object]:
        """Counts, and the first findings of each kind with the names of classes and images, in types that JSON has."""
        return {
            "data": self.data.name,
            "data_fingerprint": self.data.fingerprint,
            "images": len(self.data),
            "classes": len(self.data.classes),
            "kinds": {
                kind: {
                    "likely": self.likely(kind),
                    "listed": len(found),
                    "findings": [self._finding(finding) for finding in found[:most]],
                }
                for kind, found in self.findings.items()
            },
        }

    def _finding(self, finding: Finding) -> dict[str, object]:
        sides = [
            {
                "role": side.role,
                "class": self.data.classes[side.label],
                "images": [self.data.names[i] for i in side.images],
            }
            for side in finding.sides
        ]
        return {"score": round(finding.score, 4), "likely": finding.likely, "sides": sides}


def audit(data: LabelledImages, views: Sequence[View], *, kinds: Sequence[str] = KINDS) -> Audit:
    """Rank what may be wrong.

    How much an image resembles a class is the mean of its scores against the third of the members (without itself) that
    is most like it. So it stands where members are mislabelled themselves, or are of two kinds. It is on a scale on
    which 0 is what images and strange classes have, and 1 what images and their own class have, both in the median. An
    image passes for a member of a class where it resembles it as members do: not below the lower fence of Tukey, which
    is the quartile less 1.5 times the distance of the quartiles.

    Args:
        data: at least two classes, two images each.
        views: what models make of the images; any two classes must be unseen to at least one. Where several models saw
            neither class, the mean of what they say counts.
        kinds: what to look for.
    Returns:
        The findings of these kinds.
    Raises:
        InputError: there are too few images, a kind is unknown, the views do not fit, or a model cannot tell these
            classes apart.
        ImageError: an image cannot be read.
    """
    if unknown := set(kinds) - set(KINDS):
        raise InputError(f"unknown kind {', '.join(sorted(unknown))}; expected some of {', '.join(KINDS)}")
    members = _members(data)
    scales = [_Scale.of(data, members, view) for view in views]
    resemblance = _mean(scales, data)
    typical = [of[np.argsort(-resemblance[of, label], kind="stable")] for label, of in enumerate(members)]
    look_for: dict[str, Callable[[], tuple[Finding, ...]]] = {
        "mislabelled": lambda: _mislabelled(data.labels, resemblance, typical),
        "near-duplicate": lambda: _near_duplicates(data),
        "one-class": lambda: _one_class(resemblance, members, typical),
        "two-classes": lambda: _two_classes(scales, members, typical),
        "outlier": lambda: _outliers(data.labels, resemblance, typical),
    }
    return Audit(data, {kind: look_for[kind]() for kind in kinds})


@dataclass(frozen=True, eq=False)
class _Scale:
    """A view, the scores that images and classes reach (N, C), NaN where seen, and those that become 0 and 1."""

    view: View
    reached: Floats
    zero: float
    one: float

    @classmethod
    def of(cls, data: LabelledImages, members: list[Indices], view: View) -> "_Scale":
        if len(view.embeddings) != len(data) or view.unseen.shape != (len(data.classes),):
            raise InputError(
                f"expected embeddings of {len(data)} images and {len(data.classes)} marks of classes, "
                f"got {len(view.embeddings)} and {view.unseen.shape}"
            )
        reached = np.full((len(data), len(data.classes)), np.nan, dtype=np.float32)
        rows = np.flatnonzero(view.unseen[data.labels])
        for label in np.flatnonzero(view.unseen):
            of = members[label]
            mates = max(1, round(MATES * len(of)))
            reached[rows, label] = _best(_scores(view, rows, of), mates)
            others = ~np.eye(len(of), dtype=bool)
            reached[of, label] = _best(_scores(view, of, of)[others].reshape(len(of), -1), mates)
        mine = np.arange(len(view.unseen)) == data.labels[:, None]
        known = ~np.isnan(reached)
        if not (known & ~mine).any():
            raise InputError("expected at least two classes that a model never saw, got fewer")
        zero, one = float(np.median(reached[known & ~mine])), float(np.median(reached[known & mine]))
        if not one > zero:
            raise InputError(f"{data.name}: a model tells these classes no better apart than chance; use another model")
        return cls(view, reached, zero, one)

    def __call__(self, scores: Floats) -> Floats:
        return np.asarray((scores - self.zero) / (self.one - self.zero), dtype=np.float32)


def _members(data: LabelledImages) -> list[Indices]:
    members = [np.flatnonzero(data.labels == label) for label in range(len(data.classes))]
    if len(members) < 2 or min(map(len, members)) < 2:
        raise InputError(f"{data.name}: expected at least two classes of two images each; fill or remove the others")
    return members


def _scores(view: View, rows: Indices, columns: Indices) -> Floats:
    """(R, M) scores of each of these images against each of those."""
    left, right = view.embeddings[rows], view.embeddings[columns]
    block = max(1, _NUMBERS // max(1, right.size))
    scores = np.concatenate(
        [view.similarity(left[at : at + block, None], right[None]) for at in range(0, len(left), block)]
    )
    # a cosine hardly tells very like from like; the distance of the embeddings scaled to length 1 does
    return -np.sqrt(np.maximum(2 - 2 * scores, 0)) if view.similarity is cosine else scores


def _best(scores: Floats, mates: int) -> Floats:
    """(R,) means of the so many highest of each row."""
    return np.asarray(np.partition(scores, -mates, axis=1)[:, -mates:].mean(axis=1))


def _mean(scales: Sequence[_Scale], data: LabelledImages) -> Floats:
    """(N, C) resemblance of images and classes, over the models that saw neither the image's class nor that one."""
    total = np.zeros((len(data), len(data.classes)), dtype=np.float32)
    count = np.zeros(total.shape, dtype=np.float32)
    for scale in scales:
        known = ~np.isnan(scale.reached)
        total[known] += scale(scale.reached[known])
        count += known
    if not count.all():
        raise InputError("expected for any two classes a model that saw neither; bring more models, or fewer classes")
    return total / count


def _fence(resemblance: Floats, labels: Indices) -> float:
    lower, upper = np.quantile(resemblance[np.arange(len(labels)), labels], [0.25, 0.75])
    return float(lower - 1.5 * (upper - lower))


def _own_and_best(resemblance: Floats, labels: Indices) -> tuple[Floats, Floats, Indices]:
    """Of each image: resemblance to its own class, the highest to another, and which that is."""
    rows = np.arange(len(labels))
    others = resemblance.copy()
    others[rows, labels] = -np.inf
    best = others.argmax(axis=1)
    return resemblance[rows, labels], others[rows, best], best


def _mislabelled(labels: Indices, resemblance: Floats, typical: list[Indices]) -> tuple[Finding, ...]:
    own, other, best = _own_and_best(resemblance, labels)
    margin = other - own
    candidates = np.flatnonzero(margin > 0)
    found = candidates[np.argsort(-margin[candidates], kind="stable")]
    return tuple(
        Finding(
            float(margin[image]),
            bool(own[image] < FAR),
            (
                Side("image", int(labels[image]), (int(image),)),
                Side("listed as", int(labels[image]), _first(typical[labels[image]], but=image)),
                Side("most like", int(best[image]), _first(typical[best[image]])),
            ),
        )
        for image in found
    )


def _outliers(labels: Indices, resemblance: Floats, typical: list[Indices]) -> tuple[Finding, ...]:
    own, other, _ = _own_and_best(resemblance, labels)
    candidates = np.flatnonzero(np.maximum(own, other) < _fence(resemblance, labels))
    found = candidates[np.argsort(own[candidates], kind="stable")]
    return tuple(
        Finding(
            float(1 - own[image]),
            bool(own[image] < FAR),
            (
                Side("image", int(labels[image]), (int(image),)),
                Side("listed as", int(labels[image]), _first(typical[labels[image]], but=image)),
            ),
        )
        for image in found
    )


def _near_duplicates(data: LabelledImages) -> tuple[Finding, ...]:
    numbered = replace(data, names=tuple(map(str, range(len(data)))))  # names need not be unique
    found = {}
    for leak in find_leaks(numbered, numbered):
        pair = (min(int(leak.left), int(leak.right)), max(int(leak.left), int(leak.right)))
        if data.labels[pair[0]] != data.labels[pair[1]]:
            found[pair] = (leak.kind != "identical", -leak.similarity)
    return tuple(
        Finding(-found[pair][1], True, tuple(Side("image", int(data.labels[image]), (image,)) for image in pair))
        for pair in sorted(found, key=lambda pair: (found[pair], pair))
    )


def _one_class(resemblance: Floats, members: list[Indices], typical: list[Indices]) -> tuple[Finding, ...]:
    medians = np.stack([np.median(resemblance[of], axis=0) for of in members])
    itself = medians.diagonal()
    gain = (medians + medians.T - itself[:, None] - itself[None]) / 2
    left, right = np.triu_indices(len(members), 1)
    candidates = np.flatnonzero(gain[left, right] > LOOK_ALIKE)
    found = candidates[np.argsort(-gain[left, right][candidates], kind="stable")]
    return tuple(
        Finding(
            float(gain[a, b]),
            bool(gain[a, b] >= ONE_CLASS),
            (Side("class", int(a), _first(typical[a])), Side("class", int(b), _first(typical[b]))),
        )
        for a, b in zip(left[found], right[found], strict=True)
    )


def _two_classes(scales: Sequence[_Scale], members: list[Indices], typical: list[Indices]) -> tuple[Finding, ...]:
    found = []
    for label, of in enumerate(members):
        seen_by = [scale for scale in scales if scale.view.unseen[label]]
        within = np.mean([scale(_scores(scale.view, typical[label], typical[label])) for scale in seen_by], axis=0)
        first = _cut(within)
        if min(first.sum(), (~first).sum()) < max(2, PART * len(of)):
            continue
        apart = float(np.median(within[np.ix_(first, ~first)]))
        gap = min(_within(within[np.ix_(part, part)]) for part in (first, ~first)) - apart
        if gap > 0:
            parts = (typical[label][first], typical[label][~first])
            sides = tuple(Side(f"{len(part)} of {len(of)}", label, tuple(part.tolist())) for part in parts)
            found.append(Finding(gap, gap >= TWO_CLASSES, sides))
    return tuple(sorted(found, key=lambda finding: -finding.score))


def _cut(scores: Floats) -> NDArray[np.bool_]:
    """(M,) which of two parts, from scores (M, M): the sign of the leading coordinate of classical scaling."""
    centred = scores - scores.mean(axis=0) - scores.mean(axis=1)[:, None] + scores.mean()
    leading = np.linalg.eigh(centred)[1][:, -1]
    return np.asarray(leading > 0)


def _within(scores: Floats) -> float:
    return float(np.median(scores[~np.eye(len(scores), dtype=bool)]))


def _first(images: Indices, *, but: int | None = None) -> tuple[int, ...]:
    return tuple(int(image) for image in images if image != but)[:SHOWN]
