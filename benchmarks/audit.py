"""What `samekind audit` finds of errors planted in Omniglot's labels.

In the shipped bundle's held-out background classes, and in data that it never saw: 5 % of the labels are exchanged for
any other class or for one of the same alphabet; ten classes are cut into two folders; ten pairs of classes are merged.
Precision is that of the first findings, as many as errors were planted. With --steps the labels of the background set
are exchanged too, and judged by three models trained on these very labels. Floor: precision 0.9 for labels.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from results import arguments, keep, repeated
from samekind.audit import View, audit
from samekind.data import source
from samekind.data.labelled import LabelledImages
from samekind.verifier import Verifier

Indices = NDArray[np.int64]

SHARE = 0.05
PLANTED = 10  # classes cut in two, and pairs of classes merged


def exchanged(data: LabelledImages, *, within: bool, rng: np.random.Generator) -> Indices:
    """Labels of which a share is of another class, of the same group where `within`."""
    labels = data.labels.copy()
    groups = np.asarray(data.groups)
    for image in rng.choice(len(data), round(SHARE * len(data)), replace=False):
        true = data.labels[image]
        others = np.flatnonzero((groups == groups[true]) if within else np.ones(len(groups), dtype=bool))
        labels[image] = rng.choice(others[others != true])
    return labels


def cut(data: LabelledImages, *, rng: np.random.Generator) -> tuple[LabelledImages, set[frozenset[int]]]:
    """The data with some classes in two folders, and which folders belong together."""
    labels, count = data.labels.copy(), len(data.classes)
    chosen = rng.choice(count, PLANTED, replace=False)
    for at, label in enumerate(chosen):
        images = rng.permutation(np.flatnonzero(data.labels == label))
        labels[images[: len(images) // 2]] = count + at
    classes = (*data.classes, *(f"{data.classes[label]} again" for label in chosen))
    groups = np.concatenate([np.asarray(data.groups), np.asarray(data.groups)[chosen]])
    halves = {frozenset((int(label), count + at)) for at, label in enumerate(chosen)}
    return replace(data, labels=labels, classes=classes, groups=tuple(groups)), halves


def merged(
    data: LabelledImages, *, within: bool, rng: np.random.Generator
) -> tuple[LabelledImages, set[frozenset[int]]]:
    """The data with some pairs of classes in one folder, and these folders."""
    groups, free = np.asarray(data.groups), np.ones(len(data.classes), dtype=bool)
    labels = data.labels.copy()
    pairs: list[tuple[int, int]] = []
    for label in rng.permutation(len(data.classes)):
        others = np.flatnonzero(free & ((groups == groups[label]) | (not within)))
        others = others[others != label]
        if free[label] and len(others) and len(pairs) < PLANTED:
            other = int(rng.choice(others))
            free[[label, other]] = False
            labels[labels == other] = label
            pairs.append((int(label), other))
    kept = np.setdiff1d(np.arange(len(data.classes)), [other for _, other in pairs])
    position = {int(old): new for new, old in enumerate(kept)}
    found = replace(data, labels=labels).take_classes(kept)
    return found, {frozenset((position[label],)) for label, _ in pairs}


def of_labels(data: LabelledImages, views: tuple[View, ...], *, labels: Indices) -> dict[str, float]:
    """What is found of exchanged labels."""
    wrong = labels != data.labels
    found = audit(replace(data, labels=labels), views, kinds=("mislabelled",)).findings["mislabelled"]
    images = np.asarray([finding.sides[0].images[0] for finding in found])
    named = np.asarray([finding.sides[2].label for finding in found]) == data.labels[images]
    first, likely = images[: int(wrong.sum())], images[[finding.likely for finding in found]]
    return {
        "planted": int(wrong.sum()),
        "precision": float(wrong[first].sum() / wrong.sum()),
        "right_class_named": float(named[wrong[images]].sum() / wrong.sum()),
        "likely_precision": float(wrong[likely].mean()) if len(likely) else 1.0,
        "likely_recall": float(wrong[likely].sum() / wrong.sum()),
    }


def of_classes(data: LabelledImages, view: View, kind: str, planted: set[frozenset[int]]) -> dict[str, float]:
    """What is found of folders cut or merged."""
    view = replace(view, unseen=np.ones(len(data.classes), dtype=bool))
    found = audit(data, (view,), kinds=(kind,)).findings[kind]
    right = np.asarray([frozenset(side.label for side in finding.sides) in planted for finding in found], dtype=bool)
    likely = np.asarray([finding.likely for finding in found], dtype=bool)
    return {
        "planted": len(planted),
        "precision": float(right[: len(planted)].sum() / len(planted)),
        "likely": int(likely.sum()),
        "likely_recall": float(right[likely].sum() / len(planted)),
    }


def over(rounds: list[dict[str, float]]) -> dict[str, object]:
    """Each figure over the seeds."""
    return {name: repeated([one[name] for one in rounds]) for name in rounds[0]}


def held_out(data: LabelledImages, verifier: Verifier) -> LabelledImages:
    """Of the data that a bundle was trained on, the classes that it never saw."""
    provenance = verifier.bundle.manifest.provenance
    if data.fingerprint != provenance.data_fingerprint:
        return data
    kept = [index for index, name in enumerate(data.classes) if name in provenance.held_out_classes]
    return data.take_classes(np.asarray(kept, dtype=np.int64))


def by_bundle(data: LabelledImages, verifier: Verifier, *, seeds: int) -> dict[str, object]:
    """All plants, judged by a bundle that saw none of the classes."""
    embeddings = verifier.embed_pixels(data.pixels(verifier.preprocessing))
    view = View(embeddings, verifier.similarity, np.ones(len(data.classes), dtype=bool))
    rounds: dict[str, list[dict[str, float]]] = {}
    for seed in range(seeds):
        for name, within in (("any", False), ("same-group", True)):
            labels = exchanged(data, within=within, rng=np.random.default_rng(seed))
            rounds.setdefault(f"labels {name}", []).append(of_labels(data, (view,), labels=labels))
            folders, pairs = merged(data, within=within, rng=np.random.default_rng(seed))
            rounds.setdefault(f"merged {name}", []).append(of_classes(folders, view, "two-classes", pairs))
        folders, pairs = cut(data, rng=np.random.default_rng(seed))
        rounds.setdefault("cut", []).append(of_classes(folders, view, "one-class", pairs))
    untouched = audit(data, (view,))
    return {
        "classes": len(data.classes),
        "images": len(data),
        **{name: over(each) for name, each in rounds.items()},
        "untouched": {kind: untouched.likely(kind) for kind in untouched.findings},
    }


def by_cross_fitting(data: LabelledImages, *, steps: int) -> dict[str, object]:
    """Exchanged labels, judged by models trained on them."""
    from samekind.building import choose_recipe
    from samekind.crossfit import cross_fit
    from samekind.recipes import Budget

    found: dict[str, object] = {"classes": len(data.classes), "images": len(data), "steps": steps}
    for name, within in (("any", False), ("same-group", True)):
        labels = exchanged(data, within=within, rng=np.random.default_rng(0))
        wrong = replace(data, labels=labels)
        recipe = choose_recipe(wrong, loss="supcon")
        views = cross_fit(wrong, recipe=recipe, budget=Budget(steps=steps), rng=np.random.default_rng(0))
        found[f"labels {name}"] = of_labels(data, views, labels=labels)
    return found


def main() -> None:
    parser = arguments(__file__, __doc__)
    parser.add_argument(
        "--data", nargs="+", default=["omniglot:background", "omniglot:evaluation"], help="what to audit"
    )
    parser.add_argument("--bundle", default="omniglot", help="that judges")
    parser.add_argument("--seeds", type=int, default=5, help="plants")
    parser.add_argument("--steps", type=int, default=0, help="of each of three models to cross-fit; 0: none")
    given = parser.parse_args()
    verifier = Verifier.load(given.bundle)
    figures: dict[str, object] = {}
    for name in given.data:
        data = source.load(name).images
        figures[name] = by_bundle(held_out(data, verifier), verifier, seeds=given.seeds)
        if given.steps and name == given.data[0]:
            figures[f"{name}, cross-fitted"] = by_cross_fitting(data, steps=given.steps)
    keep(given.out, figures | {"floors": {"precision of labels": 0.9}})


if __name__ == "__main__":
    main()
