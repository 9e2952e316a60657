"""Searches of a gallery, half of whose queries show nobody enrolled: how often a stranger is found, and what is stated.

On classes that the model never saw: false positive identification rate (FPIR) and share of enrolled that are found
rightly, with the uncertified threshold of the shipped calibration, with one certified on half of the classes for the
other half, and where the threshold would have to lie for an FPIR of 0.1 had one known all scores.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from guard import unseen
from results import arguments, keep
from samekind.calibration import Calibration
from samekind.certification import certify_gallery
from samekind.data.source import load
from samekind.errors import BundleError, UncertifiableError
from samekind.gallery.identification import evidence, posterior, threshold_for
from samekind.protocols import embedding_scorer
from samekind.similarity import Similarity, combine
from samekind.verifier import Verifier

Indices = NDArray[np.int64]

KNOWN = 0.1


class Searches:
    """Scores of queries against galleries of classes drawn at random.

    Args:
        embeddings: (N, D) of images.
        labels: (N,) their classes.
        similarity: of the model.
    """

    def __init__(self, embeddings: NDArray[np.float32], labels: Indices, similarity: Similarity) -> None:
        self.embeddings, self.labels, self.similarity = embeddings, labels, similarity
        self.score = embedding_scorer(embeddings, similarity)

    def draw(
        self, classes: Indices, *, size: int, samples: int, rng: np.random.Generator
    ) -> tuple[NDArray[np.float32], Indices]:
        """Scores (Q, size) of two images of each class, and the column of its own class, -1 for strangers."""
        images = [rng.permutation(np.flatnonzero(self.labels == label)) for label in classes]
        enrolled = np.stack([combine(self.embeddings[of_class[:samples]]) for of_class in images[:size]])
        queries = np.concatenate([of_class[samples : samples + 2] for of_class in images])
        scores = np.stack([self.similarity(self.embeddings[query], enrolled) for query in queries])
        place = np.repeat(np.arange(len(classes)), 2)
        return scores, np.where(place < size, place, -1)

    def certified(
        self, classes: Indices, *, size: int, samples: int, target: float, rng: np.random.Generator
    ) -> float | None:
        """The threshold that these classes certify, or None."""
        kept = np.flatnonzero(np.isin(self.labels, classes))
        try:
            return certify_gallery(
                lambda queries, references: self.score(kept[queries], kept[references]),
                self.labels[kept],
                identities=size,
                target_fmr=target,
                references=samples,
                rounds=50,
                rng=rng,
            ).threshold
        except UncertifiableError:
            return None


def measure(
    searches: Searches,
    calibration: Calibration,
    *,
    size: int,
    samples: int,
    target: float,
    repetitions: int,
    rng: np.random.Generator,
) -> dict[str, Any] | None:
    """Means over draws of galleries of one size; None where there are too few classes."""
    classes = np.unique(searches.labels)
    if len(classes) // 2 < 1.1 * size:
        return None
    rows: dict[str, list[tuple[float, float]]] = {}
    stated, observed, weights = [], [], []
    for _ in range(repetitions):
        order = rng.permutation(classes)
        asked, kept = order[: len(order) // 2], order[len(order) // 2 :]
        scores, truth = searches.draw(asked, size=size, samples=samples, rng=rng)
        best, who, strange = scores.max(axis=1), scores.argmax(axis=1), truth < 0
        thresholds = {
            "not certified": threshold_for(calibration, identities=size).score,
            "certified": searches.certified(kept, size=size, samples=samples, target=target, rng=rng),
            f"had one known that of an FPIR of {KNOWN:g}": float(np.quantile(best[strange], 1 - KNOWN)),
        }
        for name, threshold in thresholds.items():
            if threshold is not None:
                found = best >= threshold
                rates = float(found[strange].mean()), float((found & (who == truth))[~strange].mean())
                rows.setdefault(name, []).append(rates)
        for row, at in zip(scores, who, strict=True):
            rest = evidence(calibration, np.delete(row, at))
            stated.append(float(posterior(calibration, row[[at]], others=rest, identities=size).matches[0]))
        observed.append(who == truth)
        weights.append(np.where(strange, 0.5 / strange.mean(), 0.5 / (~strange).mean()))
    return {
        "identities": size,
        "samples": samples,
        "first candidate": reliability(np.array(stated), np.concatenate(observed), np.concatenate(weights)),
        **{
            name: {
                "fpir": round(float(np.mean([fpir for fpir, _ in rates])), 4),
                "draws with a greater fpir than the target": round(float(np.mean([f > target for f, _ in rates])), 4),
                "found rightly": round(float(np.mean([share for _, share in rates])), 4),
            }
            for name, rates in rows.items()
        },
    }


def reliability(
    stated: NDArray[np.float64], right: NDArray[np.bool_], weights: NDArray[np.float64]
) -> dict[str, float]:
    """Stated and observed probability of the first candidate, queries weighted as at a prior of one half."""
    place = np.minimum((stated * 10).astype(np.int64), 9)
    total = np.bincount(place, weights, minlength=10)
    gap = np.abs(np.bincount(place, weights * (stated - right), minlength=10))
    return {
        "stated": round(float(np.average(stated, weights=weights)), 4),
        "observed": round(float(np.average(right, weights=weights)), 4),
        "expected calibration error": round(float(gap.sum() / total.sum()), 4),
    }


def main() -> None:
    parser = arguments(__file__, __doc__)
    parser.add_argument("--model", default="omniglot", help="bundle to measure")
    parser.add_argument("--data", default="omniglot:evaluation", help="classes that it never saw")
    parser.add_argument("--sizes", type=int, nargs="+", default=[10, 30, 100, 240], help="of galleries")
    parser.add_argument("--target", type=float, default=0.3, help="FPIR to certify")
    parser.add_argument("--repetitions", type=int, default=50, help="draws of classes and galleries")
    parser.add_argument("--seed", type=int, default=0, help="of the draws")
    given = parser.parse_args()
    verifier, rng = Verifier.load(given.model), np.random.default_rng(given.seed)
    calibration = verifier.bundle.manifest.calibration
    if calibration is None:
        raise BundleError(f"{given.model}: expected a calibrated bundle; calibrate it")
    data = unseen(verifier, load(given.data).images)
    embeddings = verifier.embed_pixels(data.pixels(verifier.preprocessing))
    searches = Searches(embeddings, data.labels, verifier.similarity)
    found = [
        measure(
            searches,
            calibration,
            size=size,
            samples=samples,
            target=given.target,
            repetitions=given.repetitions,
            rng=rng,
        )
        for size in given.sizes
        for samples in (1, 3)
    ]
    keep(
        given.out,
        {
            "classes": len(data.classes),
            "target": given.target,
            "searches": [figures for figures in found if figures is not None],
        },
    )


if __name__ == "__main__":
    main()
