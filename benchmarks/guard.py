"""Whether the enrolment guard finds planted wrong samples, and how seldom it warns of good ones.

Images are added to a gallery whose identities have 1, 3 or 5 samples: good ones, and planted among them images of
another enrolled class (any, or one of the same alphabet), of a class that is not enrolled, the same picture again (as
another file), and images that show nothing. Then new identities come, of which half are enrolled already. The ratios of
the guard were chosen with `--data omniglot:background`, which takes the classes held out of training.
"""

import io
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from results import arguments, keep
from samekind.calibration import Calibration
from samekind.data.labelled import LabelledImages
from samekind.data.source import load
from samekind.errors import BundleError
from samekind.gallery.guard import Entry, Rival, concerns
from samekind.gallery.records import Concern
from samekind.images import open_image
from samekind.quality import flaws
from samekind.similarity import combine
from samekind.verifier import Verifier
from trust import bad_images

Embeddings = NDArray[np.float32]
Indices = NDArray[np.int64]

PLANTED = {"another, any": 0.04, "another, same alphabet": 0.04, "not enrolled": 0.04, "same image": 0.04, "poor": 0.04}
"""Shares of the images added; the others are good."""

DUE = {
    "looks like another": ("another, any", "another, same alphabet"),
    "unlike its identity": ("another, any", "another, same alphabet", "not enrolled"),
    "same image": ("same image",),
    "poor image": ("poor",),
}
"""By kind of concern: for which planted images it is right."""

NAMING = ("looks like another", "same image")
"""Kinds that name an identity."""


@dataclass(frozen=True)
class Added:
    """One image that was added: what it was, the concerns, and the name that would be right."""

    what: str
    found: tuple[Concern, ...]
    name: str | None = None


class Pool:
    """Images that the model never saw, embedded once.

    Args:
        verifier: the model.
        data: the images.
        poor: images that show nothing.
    """

    def __init__(self, verifier: Verifier, data: LabelledImages, poor: list[NDArray[np.uint8]]) -> None:
        self.verifier, self.data = verifier, data
        calibration = verifier.bundle.manifest.calibration
        if calibration is None:
            raise BundleError("expected a calibrated bundle; calibrate it")
        self.calibration: Calibration = calibration
        self.pixels = data.pixels(verifier.preprocessing)
        self.embeddings = verifier.embed_pixels(self.pixels)
        self.images = [np.flatnonzero(data.labels == label) for label in range(len(data.classes))]
        self.groups = np.asarray(data.groups if data.groups is not None else ("",) * len(data.classes))
        self.poor = [self.entry_of(_png(image)) for image in poor]

    def entry_of(self, image: bytes) -> Entry:
        """As `Gallery.enroll` makes it of a file."""
        opened = open_image(image)
        pixels = self.verifier.preprocessing.pixels(opened)
        found = flaws(opened, size=self.verifier.preprocessing.size)
        if not found and self.calibration.domain is not None:
            found = self.calibration.domain.outside(pixels, invert=self.verifier.preprocessing.invert)
        (embedding,) = self.verifier.embed([image])
        return Entry(embedding, digest=f"{hash(image)}", flaws=found)

    def entry(self, index: int) -> Entry:
        """Of one of the images."""
        opened = open_image(self.data.items[index])
        found = flaws(opened, size=self.verifier.preprocessing.size)
        if not found and self.calibration.domain is not None:
            found = self.calibration.domain.outside(self.pixels[index], invert=self.verifier.preprocessing.invert)
        return Entry(self.embeddings[index], digest=str(index), flaws=found)

    def again(self, index: int) -> Entry:
        """The same picture as another file."""
        return self.entry_of(_png(np.asarray(open_image(self.data.items[index]))))


class Enrolled:
    """A gallery: the first `samples` of each class's images, in an order of its own, are enrolled."""

    def __init__(self, pool: Pool, classes: Indices, *, samples: int, rng: np.random.Generator) -> None:
        self.pool, self.classes, self.samples = pool, classes, samples
        self.images = {int(c): rng.permutation(pool.images[c]) for c in classes}
        rows = [self.of(int(c)) for c in classes]
        self.matrix = np.stack([combine(row) for row in rows])

    def of(self, label: int) -> Embeddings:
        return np.asarray(self.pool.embeddings[self.images[label][: self.samples]])

    def rival(self, embedding: Embeddings, *, but: int = -1) -> Rival:
        """Who but one class resembles an image most."""
        scores = self.pool.verifier.similarity(embedding, self.matrix)
        best = int(self.classes[np.where(self.classes == but, -np.inf, scores).argmax()])
        return Rival(str(best), self.of(best))

    def add(self, label: int, entries: list[Entry], *, new: bool) -> tuple[Concern, ...]:
        """What the guard says of images for a class."""
        if not new:
            entries = [replace(e, rival=self.rival(e.embedding, but=label)) for e in entries]
            own, rival = self.of(label), None
        else:
            entries = [replace(e, rival=self.rival(e.embedding)) for e in entries]
            together = combine(np.stack([e.embedding for e in entries]))
            own, rival = np.empty((0, self.matrix.shape[1]), np.float32), self.rival(together)
        return concerns(
            entries,
            name="its own",
            own=own,
            identities=len(self.classes) - (not new),
            rival=rival,
            calibration=self.pool.calibration,
            similarity=self.pool.verifier.similarity,
        )


def additions(gallery: Enrolled, strangers: Indices, *, rng: np.random.Generator) -> Iterator[Added]:
    """Ten images for each identity, one at a time, some of them planted."""
    pool, kinds, shares = gallery.pool, list(PLANTED), list(PLANTED.values())
    for label in gallery.classes.tolist():
        others = gallery.classes[gallery.classes != label]
        family = others[pool.groups[others] == pool.groups[label]]
        for index in gallery.images[label][gallery.samples : gallery.samples + 10]:
            what = str(rng.choice([*kinds, "good"], p=[*shares, 1 - sum(shares)]))
            entry, name = pool.entry(int(index)), None
            if what.startswith("another"):
                choice = family if what.endswith("alphabet") and len(family) else others
                wrong = int(rng.choice(choice))
                entry, name = pool.entry(int(gallery.images[wrong][-1])), str(wrong)
            elif what == "not enrolled":
                entry = pool.entry(int(rng.choice(pool.images[int(rng.choice(strangers))])))
            elif what == "same image":
                entry, name = pool.again(int(rng.choice(gallery.images[label][: gallery.samples]))), "its own"
            elif what == "poor":
                entry = pool.poor[int(rng.integers(len(pool.poor)))]
            yield Added(what, gallery.add(label, [entry], new=False), name)


def newcomers(gallery: Enrolled, strangers: Indices, *, images: int, rng: np.random.Generator) -> Iterator[Added]:
    """Identities that are new, and as many that are enrolled already."""
    pool = gallery.pool
    for label in strangers.tolist():
        chosen = rng.permutation(pool.images[label])[:images]
        yield Added("new", gallery.add(label, [pool.entry(int(i)) for i in chosen], new=True))
    for label in rng.permutation(gallery.classes)[: len(strangers)].tolist():
        chosen = gallery.images[label][gallery.samples :][:images]
        yield Added("enrolled", gallery.add(label, [pool.entry(int(i)) for i in chosen], new=True), str(label))


def rates(added: list[Added]) -> dict[str, Any]:
    """Precision and recall of each kind of concern, and how often good images are warned of.

    An image of a class that is not enrolled may be said to look like another's, and is: it counts against the precision
    of that kind, and for its precision among all wrong images.
    """
    good = [a for a in added if a.what == "good"]
    figures: dict[str, Any] = {"images": len(added), "good images": len(good)}
    for kind, due in DUE.items():
        warned = _with(added, kind)
        figures[kind] = {
            "precision": _share(sum(a.what in due for a in warned), len(warned)),
            "precision among all that is wrong": _share(sum(a.what != "good" for a in warned), len(warned)),
            "of good images": _share(len(_with(good, kind)), len(good)),
        }
        for what in due:
            planted = [a for a in added if a.what == what]
            hit = _with(planted, kind)
            figures[kind][f"recall: {what}"] = _share(len(hit), len(planted))
            if kind in NAMING:
                figures[kind][f"named rightly: {what}"] = _share(len(_named(hit, kind)), len(hit))
    wrong, warned = [a for a in added if a.what != "good"], [a for a in added if a.found]
    figures["any concern"] = {
        "precision": _share(sum(a.what != "good" for a in warned), len(warned)),
        "recall": _share(sum(bool(a.found) for a in wrong), len(wrong)),
        "of good images": _share(sum(bool(a.found) for a in good), len(good)),
    }
    return figures


def of_newcomers(added: list[Added]) -> dict[str, Any]:
    """How often somebody enrolled already is named, and somebody new is taken for enrolled."""

    kind = "looks like another"
    new, enrolled = ([a for a in added if a.what == what] for what in ("new", "enrolled"))
    found, taken = _with(enrolled, kind), _with(new, kind)
    return {
        "identities": len(added),
        "recall": _share(len(found), len(enrolled)),
        "named rightly": _share(len(_named(found, kind)), len(found)),
        "of new identities": _share(len(taken), len(new)),
        "precision, half of them new": _share(len(found), len(found) + len(taken)),
    }


def _with(added: list[Added], kind: str) -> list[Added]:
    return [a for a in added if any(c.kind == kind for c in a.found)]


def _named(added: list[Added], kind: str) -> list[Added]:
    return [a for a in added if any(c.kind == kind and c.other == a.name for c in a.found)]


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 4) if whole else None


def _png(image: NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    return buffer.getvalue()


def unseen(verifier: Verifier, data: LabelledImages) -> LabelledImages:
    """Of the model's own training data the classes that were held out of it."""
    held = np.isin(data.classes, verifier.bundle.manifest.provenance.held_out_classes)
    return data.take_classes(np.flatnonzero(held)) if held.any() else data


def main() -> None:
    parser = arguments(__file__, __doc__)
    parser.add_argument("--model", default="omniglot", help="bundle to measure")
    parser.add_argument("--data", default="omniglot:evaluation", help="classes that it never saw")
    parser.add_argument("--repetitions", type=int, default=3, help="galleries of each kind")
    parser.add_argument("--seed", type=int, default=0, help="of galleries, images and what is planted")
    given = parser.parse_args()
    verifier, rng = Verifier.load(given.model), np.random.default_rng(given.seed)
    data = unseen(verifier, load(given.data).images)
    drawings = [np.asarray(data[int(i)][0].convert("L")) for i in rng.permutation(len(data))[:20]]
    pool = Pool(verifier, data, [image for made in bad_images(drawings, rng).values() for image in made])
    figures: dict[str, Any] = {"classes": len(data.classes), "planted": PLANTED}
    for samples in (1, 3, 5):
        added: list[Added] = []
        new: dict[int, list[Added]] = {1: [], 3: []}
        for _ in range(given.repetitions):
            order = rng.permutation(len(data.classes))
            enrolled, strangers = order[: (9 * len(order)) // 10], order[(9 * len(order)) // 10 :]
            gallery = Enrolled(pool, enrolled, samples=samples, rng=rng)
            added += additions(gallery, strangers, rng=rng)
            for images in new:
                new[images] += newcomers(gallery, strangers, images=images, rng=rng)
        figures[f"{samples} samples"] = {
            **rates(added),
            **{f"new identities, {images} images": of_newcomers(seen) for images, seen in new.items()},
        }
    keep(given.out, figures)


if __name__ == "__main__":
    main()
