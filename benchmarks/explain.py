"""Whether the maps of `samekind explain` are faithful, on pairs of classes that the model never saw.

Deletion (Petsiuk, Das, Saenko 2018): hiding the weightiest tenth of the patches of one image, the other being whole,
against hiding as many at random; of the patches that hold ink, and of all. A pair counts by the mean of both sides.
Randomised weights (Adebayo et al. 2018): the rank correlation, over the patches with ink, of a map with that of a
network whose tensors were shuffled, each in itself; beside it, with a map of the same network from other masks.
Matches: a drawing against itself turned and shifted, where the true place of each patch is known.

Floors: in 0.95 of the pairs the weightiest tenth of the patches with ink moves the score more than chance, and the
interval of the mean difference lies above 0; the interval of the rank correlation with randomised weights ends below
0.2; 0.75 of the matches lie within 1.5 patches of the true place.
"""

import json
import shutil
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from PIL import Image
from scipy.stats import spearmanr

from results import arguments, keep, repeated
from samekind import LabelledImages, Verifier, load, load_bundle
from samekind.bundle import GRAPH, MANIFEST, Bundle, digest
from samekind.explain import (
    GRID,
    TENTH,
    Deletion,
    Explanation,
    Floats,
    Indices,
    Match,
    Probe,
    delete,
    embed_without,
    explain,
    fall,
    probe,
    tenth_of,
)
from samekind.images import ImageLike
from samekind.intervals import estimate
from samekind.trials import balanced_pairs

CHANCES = 32
NETWORKS = 3
NEAR = 1.5  # patches
TURN, SHIFT = 15.0, 1 / 6  # degrees; share of the width


@dataclass(frozen=True)
class Moved:
    """A kind of deletion: how far it moves the score, and how far what it is held against does: chance, if not said."""

    by_map: float
    against: float


def randomised(bundle: Bundle, folder: Path, *, rng: np.random.Generator) -> Bundle:
    """The bundle with each tensor of its graph shuffled: the same distributions, nothing learned."""
    shutil.copytree(bundle.path, folder)
    model = onnx.load(folder / GRAPH)
    for tensor in model.graph.initializer:
        values = onnx.numpy_helper.to_array(tensor)
        if np.issubdtype(values.dtype, np.floating):
            shuffled = rng.permutation(values.ravel()).reshape(values.shape)
            tensor.CopyFrom(onnx.numpy_helper.from_array(shuffled, tensor.name))
    onnx.save(model, folder / GRAPH)
    manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    manifest["digests"][GRAPH] = digest(folder / GRAPH)
    (folder / MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")
    return load_bundle(folder)


def deletions(
    verifier: Verifier, image: Probe, other: Probe, worth: Floats, *, rng: np.random.Generator
) -> dict[str, Moved]:
    """Each kind of deletion on one side of a pair."""
    of_inked = worth.ravel()[image.inked]
    weights = np.stack([of_inked, -of_inked, _ink(verifier, image), *rng.random((CHANCES, len(image.inked)))])
    same, different, inkiest, *chance = fall(verifier, image, other, _highest(weights, tenth_of(image))).tolist()
    weights = np.stack([np.abs(worth).ravel(), *rng.random((CHANCES, GRID * GRID))])
    hidden = _highest(weights, round(TENTH * GRID * GRID))
    z = embed_without(verifier, image.pixels, np.arange(GRID * GRID), hidden)
    of_all = np.abs(verifier.similarity(z, other.whole) - verifier.similarity(image.whole, other.whole))
    of_those: Deletion = delete(verifier, image, other, worth, rng=rng)
    return {
        "weightiest of those with ink": Moved(of_those.moved, of_those.by_chance),
        "weightiest of all": Moved(float(of_all[0]), float(of_all[1:].mean())),
        "most for same, fall": Moved(same, float(np.mean(chance))),
        "most for different, rise": Moved(-different, -float(np.mean(chance))),
        "most ink, no map": Moved(abs(inkiest), float(np.abs(chance).mean())),
        "weightiest against most ink": Moved(of_those.moved, abs(inkiest)),
    }


def rank_correlation(one: Explanation, other: Explanation, inked: Sequence[Indices], *, size_only: bool) -> float:
    """Of two explanations of one pair, over the patches with ink; the mean of both sides."""
    sides = zip((one.left, one.right), (other.left, other.right), inked, strict=True)
    maps = [(a.ravel()[patches], b.ravel()[patches]) for a, b, patches in sides]
    return float(np.mean([spearmanr(*((np.abs(a), np.abs(b)) if size_only else (a, b))).statistic for a, b in maps]))


def turned(image: Image.Image, *, rng: np.random.Generator) -> tuple[Image.Image, NDArray[np.float64]]:
    """A drawing turned and shifted, and the map (2, 3) from a place (row, column), in patches, to where it went."""
    degrees = float(rng.uniform(-TURN, TURN))
    down, right = (round(float(shift) * image.width) for shift in rng.uniform(-SHIFT, SHIFT, 2))
    drawn = image.convert("L").rotate(degrees, Image.Resampling.BILINEAR, fillcolor=255, translate=(right, down))
    cos, sin = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    turn = np.array([[cos, -sin], [sin, cos]])
    shift = np.array([down, right]) * GRID / image.width + GRID / 2 - turn @ np.full(2, GRID / 2)
    return drawn, np.column_stack([turn, shift])


def distances(match: Match, went: NDArray[np.float64], inked: Indices) -> tuple[float, float]:
    """From where a patch went, in patches: of its match, and of the patch with ink nearest to where it was before."""
    was = np.array(match.left) + 0.5
    true = went[:, :2] @ was + went[:, 2]
    places = np.column_stack(np.divmod(inked, GRID)) + 0.5
    stayed = places[np.linalg.norm(places - was, axis=1).argmin()]
    return float(np.linalg.norm(np.array(match.right) + 0.5 - true)), float(np.linalg.norm(stayed - true))


def over_classes(values: dict[str, list[float]], left: Indices, right: Indices) -> dict[str, dict[str, float]]:
    """The mean of each, (P,) values of pairs of these classes, with its interval resampled over classes."""
    arrays = {name: np.asarray(value, dtype=np.float64) for name, value in values.items()}
    found = estimate(
        lambda weights: {name: weights @ value / weights.sum(axis=1) for name, value in arrays.items()},
        (left, right),
        rng=np.random.default_rng(0),
    )
    return {name: asdict(value) for name, value in found.items()}


def measure_pairs(
    verifier: Verifier, networks: Sequence[Verifier], data: LabelledImages, *, pairs: int, rng: np.random.Generator
) -> dict[str, object]:
    """Deletions and randomised weights, over pairs of one group where there are groups."""
    drawn = balanced_pairs(data, pairs=pairs, impostors="same-group" if data.groups else "any", rng=rng)
    moved: list[dict[str, Moved]] = []
    ranks: dict[str, list[float]] = {"randomised weights": [], "randomised weights, size only": [], "other masks": []}
    seconds = []

    def explained(model: Verifier, images: Sequence[ImageLike]) -> tuple[list[Probe], Explanation]:
        probes = [probe(model, image, rng=rng) for image in images]
        return probes, explain(probes[0], probes[1], model.similarity)

    for number, indices in enumerate(zip(drawn.left, drawn.right, strict=True)):
        images = [data.items[index] for index in indices]
        started = time.perf_counter()
        (left, right), found = explained(verifier, images)
        seconds.append(time.perf_counter() - started)
        sides = (
            deletions(verifier, left, right, found.left, rng=rng),
            deletions(verifier, right, left, found.right, rng=rng),
        )
        moved.append({name: _mean([side[name] for side in sides]) for name in sides[0]})
        inked = (left.inked, right.inked)
        random = explained(networks[number % len(networks)], images)[1]
        ranks["randomised weights"].append(rank_correlation(found, random, inked, size_only=False))
        ranks["randomised weights, size only"].append(rank_correlation(found, random, inked, size_only=True))
        again = explained(verifier, images)[1]
        ranks["other masks"].append(rank_correlation(found, again, inked, size_only=False))
    classes = data.labels[drawn.left], data.labels[drawn.right]
    kinds = {"all": np.full(len(drawn), True), "genuine": drawn.same, "impostor": ~drawn.same}
    return {
        "pairs": len(drawn),
        "deletion": {
            name: {kind: _deletion([pair[name] for pair in moved], chosen, classes) for kind, chosen in kinds.items()}
            for name in moved[0]
        },
        "rank_correlation": over_classes(ranks, *classes),
        "seconds_a_pair": repeated(seconds),
    }


def measure_matches(
    verifier: Verifier, data: LabelledImages, *, drawings: int, rng: np.random.Generator
) -> dict[str, object]:
    """How many matches lie near the true place, and how many would if each patch had stayed where it was."""
    labels: list[int] = []
    near: dict[str, list[float]] = {"matches": [], "same place": []}
    for index in rng.choice(len(data), drawings, replace=False):
        image, label = data[int(index)]
        drawn, went = turned(image, rng=rng)
        left, right = probe(verifier, image, rng=rng), probe(verifier, drawn, rng=rng)
        for match in explain(left, right, verifier.similarity).matches:
            of_match, of_stayed = distances(match, went, right.inked)
            near["matches"].append(of_match <= NEAR)
            near["same place"].append(of_stayed <= NEAR)
            labels.append(label)
    classes = np.asarray(labels)
    return {"drawings": drawings, "matches": len(labels), "near_true_place": over_classes(near, classes, classes)}


def unseen(name: str, bundle: Bundle) -> LabelledImages:
    """The data, without the classes that the model was trained on."""
    data, provenance = load(name).images, bundle.manifest.provenance
    if data.fingerprint != provenance.data_fingerprint:
        return data
    return data.take_classes(np.flatnonzero(np.isin(data.classes, provenance.held_out_classes)))


def _deletion(moved: Sequence[Moved], chosen: NDArray[np.bool_], classes: tuple[Indices, Indices]) -> dict[str, object]:
    kept = [pair for pair, keep_it in zip(moved, chosen, strict=True) if keep_it]
    differences = [pair.by_map - pair.against for pair in kept]
    return {
        **asdict(_mean(kept)),
        **over_classes(
            {"difference": differences, "share_above": [float(value > 0) for value in differences]},
            *(side[chosen] for side in classes),
        ),
    }


def _mean(moved: Sequence[Moved]) -> Moved:
    return Moved(float(np.mean([side.by_map for side in moved])), float(np.mean([side.against for side in moved])))


def _highest(weights: NDArray[np.floating], k: int) -> NDArray[np.bool_]:
    """True at the k highest of each row: (M, P) -> (M, P)."""
    return np.argsort(np.argsort(-weights, axis=1, kind="stable"), axis=1) < k


def _ink(verifier: Verifier, image: Probe) -> Floats:
    """How much each patch with ink differs from the ground in all: (P,)."""
    levels = np.abs(verifier.preprocessing.normalise(image.pixels)).sum(axis=0)
    position = np.arange(len(levels)) * GRID // len(levels)
    sums = np.zeros((GRID, GRID))
    np.add.at(sums, (position[:, None], position), levels)
    return np.asarray(sums.ravel()[image.inked])


def main() -> None:
    parser = arguments(__file__, __doc__)
    parser.add_argument("--model", default="omniglot", help="a bundle")
    parser.add_argument("--data", default="omniglot:evaluation", help="of it the classes that the model never saw")
    parser.add_argument("--pairs", type=int, default=200, help="half of them genuine")
    parser.add_argument("--drawings", type=int, default=100, help="turned and shifted")
    given = parser.parse_args()
    bundle, rng = load_bundle(given.model), np.random.default_rng(0)
    data, verifier = unseen(given.data, bundle), Verifier(bundle, threads=1)
    with tempfile.TemporaryDirectory() as folder:
        shuffled = [randomised(bundle, Path(folder) / str(number), rng=rng) for number in range(NETWORKS)]
        networks = [Verifier(other, threads=1) for other in shuffled]
    keep(
        given.out,
        {
            "model": Path(given.model).name,
            "data": data.name,
            "classes": len(data.classes),
            **measure_pairs(verifier, networks, data, pairs=given.pairs, rng=rng),
            "known_places": measure_matches(verifier, data, drawings=given.drawings, rng=rng),
            "floors": {
                "weightiest of those with ink: share above": 0.95,
                "weightiest of those with ink: difference, low end": 0.0,
                "randomised weights: rank correlation, high end": 0.2,
                "matches near the true place": 0.75,
            },
        },
    )


if __name__ == "__main__":
    main()
