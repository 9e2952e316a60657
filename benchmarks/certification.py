"""Certified thresholds: how often they break their promise, and what they cost.

Simulated scores, whose true rates are known in closed form, with strong class effects or with a few "wolf" classes that
match everybody; then Omniglot. The floor: the true rate exceeds the target in at most 5 % of draws of the classes.
"""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, stats

from results import arguments, keep
from samekind.certification import Certificate, certify, certify_gallery, smallest_fmr
from samekind.data.source import load
from samekind.metrics import Estimate
from samekind.tournament import Impostors, Indices, ReferenceScorer, impostor_scores
from samekind.verifier import Verifier

Floats = NDArray[np.float64]

CONFIDENCE = 0.95
IMAGES = 20  # of each Omniglot class
NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(201)  # integrates over a standard normal class effect
WEIGHTS /= WEIGHTS.sum()


@dataclass(frozen=True)
class World:
    """Simulated scores: the effects of both classes, what the query adds, and the mean of what each reference adds.

    Args:
        effects: standard deviation of a class's effect.
        wolves: share of classes whose pairs score higher by `leap`, be there one wolf in a pair or two.
        leap: see wolves.
        query, reference: standard deviations of what a query and a reference add.
        genuine: by how much a genuine pair scores higher than an impostor without a wolf.
    """

    effects: float
    wolves: float = 0.0
    leap: float = 8.0
    query: float = 0.4
    reference: float = 0.6
    genuine: float = 4.0

    def scorer(self, n: int, *, images: int, rng: np.random.Generator) -> tuple[ReferenceScorer, Indices]:
        """A new draw of n classes with so many images each: scores as a function of image numbers, and the labels."""
        effect, wolf = self.effects * rng.normal(size=n), rng.random(n) < self.wolves

        def score(queries: Indices, references: Indices) -> NDArray[np.float32]:
            one, other = queries // images, references[:, 0] // images
            noise = self.query * rng.normal(size=len(one))
            noise += self.reference * rng.normal(size=references.shape).mean(axis=1)
            total = effect[one] + effect[other] + self.leap * (wolf[one] | wolf[other]) + noise
            return total.astype(np.float32)

        return score, np.repeat(np.arange(n), images)

    def fmr(self, threshold: float, *, references: int = 1, identities: int = 1) -> float:
        """The true share of searches that find anybody; without wolves where identities > 1."""
        noise = math.hypot(self.query, self.reference / math.sqrt(references))
        if identities > 1:
            # given the effect of the class that asks, the scores of the enrolled are independent
            below = stats.norm.cdf((threshold - self.effects * NODES) / math.hypot(noise, self.effects))
            return float(WEIGHTS @ (1 - below**identities))
        spread = math.hypot(noise, self.effects * math.sqrt(2))
        tame = (1 - self.wolves) ** 2
        plain, wild = stats.norm.sf(threshold, scale=spread), stats.norm.sf(threshold, loc=self.leap, scale=spread)
        return float(tame * plain + (1 - tame) * wild)

    def fnmr(self, threshold: float, *, references: int = 1) -> float:
        noise = math.hypot(self.query, self.reference / math.sqrt(references))
        return float(stats.norm.cdf(threshold, loc=self.genuine, scale=math.hypot(noise, self.effects)))

    def oracle(self, rate: float, *, references: int = 1, identities: int = 1) -> float:
        """The threshold that has exactly this rate."""

        def excess(threshold: float) -> float:
            return self.fmr(threshold, references=references, identities=identities) - rate

        return float(optimize.brentq(excess, -20, 40))


@dataclass(frozen=True)
class Outcome:
    """Over all repetitions.

    Args:
        violations: share in which the true rate exceeds the target, with the exact 95 % interval of that share.
        reached: mean of the true rate over the target.
        fnmr: mean at the certified thresholds.
        oracle_fnmr: at the threshold whose true rate is the target.
        naive_violations: as violations, where all pairs are taken for independent (Clopper-Pearson).
    """

    case: str
    classes: int
    target: float
    references: int
    identities: int
    repetitions: int
    violations: Estimate
    reached: float
    fnmr: float
    oracle_fnmr: float
    naive_violations: float | None


def _share(events: NDArray[np.bool_]) -> Estimate:
    """With the interval of Clopper and Pearson: repetitions are independent."""
    interval = stats.binomtest(int(events.sum()), len(events)).proportion_ci(0.95, "exact")
    return Estimate(float(events.mean()), float(interval.low), float(interval.high))


def naive(scores: NDArray[np.float32], target: float) -> float:
    """The loosest threshold by Clopper and Pearson's bound, as if no two pairs had a class in common."""
    return float(np.sort(scores)[::-1][_naive_matches(len(scores), target)])  # right above it, to be exact


@cache
def _naive_matches(pairs: int, target: float) -> int:
    matches = np.arange(pairs)
    return int(np.count_nonzero(stats.beta.ppf(CONFIDENCE, matches + 1, pairs - matches) <= target)) - 1


def simulate(
    case: str, world: World, *, n: int, target: float, references: int = 1, repetitions: int, rng: np.random.Generator
) -> Outcome:
    """Certify on new classes again and again; compare with the truth."""
    found, ignorant = [], []
    for _ in range(repetitions):
        score, labels = world.scorer(n, images=10, rng=rng)
        drawn = impostor_scores(score, labels, references=references, comparisons=4_000, rng=rng)
        found.append(_certified(drawn, target, references).threshold)
        ignorant.append(naive(drawn.scores, target))
    true = np.array([world.fmr(threshold, references=references) for threshold in found])
    too_many = np.array([world.fmr(threshold, references=references) > target for threshold in ignorant])
    return Outcome(
        case=case,
        classes=n,
        target=target,
        references=references,
        identities=1,
        repetitions=repetitions,
        violations=_share(true > target),
        reached=float(true.mean() / target),
        fnmr=float(np.mean([world.fnmr(threshold, references=references) for threshold in found])),
        oracle_fnmr=world.fnmr(world.oracle(target, references=references), references=references),
        naive_violations=float(too_many.mean()),
    )


def simulate_gallery(
    case: str,
    world: World,
    *,
    n: int,
    identities: int,
    target: float,
    rounds: int,
    repetitions: int,
    by_sum: bool = False,
    rng: np.random.Generator,
) -> Outcome:
    """As `simulate`, for searches; or from single comparisons by the union bound, at target / identities each."""
    found = []
    for _ in range(repetitions):
        score, labels = world.scorer(n, images=1, rng=rng)
        if by_sum:
            drawn = impostor_scores(score, labels, comparisons=20_000, rng=rng)
            certificate = _certified(drawn, target / identities, 1)
        else:
            certificate = certify_gallery(
                score, labels, identities=identities, target_fmr=target, rounds=rounds, confidence=CONFIDENCE, rng=rng
            )
        found.append(certificate.threshold)
    true = np.array([world.fmr(threshold, identities=identities) for threshold in found])
    return Outcome(
        case=case,
        classes=n,
        target=target,
        references=1,
        identities=identities,
        repetitions=repetitions,
        violations=_share(true > target),
        reached=float(true.mean() / target),
        fnmr=float(np.mean([world.fnmr(threshold) for threshold in found])),
        oracle_fnmr=world.fnmr(world.oracle(target, identities=identities)),
        naive_violations=None,
    )


def simulations(repetitions: int, *, rng: np.random.Generator) -> list[Outcome]:
    """All worlds, from 10 to 1,000 classes, near the smallest certifiable rate and at four times it."""
    outcomes = []
    for n in (10, 30, 100, 300, 1_000):
        for times in (1.25, 4) if n > 10 else (1.25,):
            target = times * smallest_fmr(n, CONFIDENCE)
            worlds = {
                "class effects": World(effects=0.8),
                # wolves alone make the rate 2 % too high: it is certified wherever too few of them are drawn
                "wolves, worst case": World(effects=0.0, wolves=1 - math.sqrt(1 - 1.02 * target), genuine=12.0),
            }
            for case, world in worlds.items():
                outcomes.append(simulate(case, world, n=n, target=target, repetitions=repetitions, rng=rng))
    for references in (1, 2, 5, 10):
        outcomes.append(
            simulate(
                "references",
                World(effects=0.5),
                n=200,
                target=0.1,
                references=references,
                repetitions=repetitions,
                rng=rng,
            )
        )
    return outcomes


def galleries(repetitions: int, *, rng: np.random.Generator) -> list[Outcome]:
    """Searches among 10 to 10,000 enrolled, with 20 independent searches a round; and by the union bound."""
    cases = [
        (10, 20, repetitions),
        (100, 10, repetitions),
        (1_000, 5, repetitions),
        (10_000, 2, repetitions // 2),
    ]
    outcomes = [
        simulate_gallery(
            "searches",
            World(effects=0.8),
            n=20 * (identities + 1),
            identities=identities,
            target=0.3,
            rounds=rounds,
            repetitions=times,
            rng=rng,
        )
        for identities, rounds, times in cases
    ]
    outcomes += [
        simulate_gallery(
            "union bound",
            World(effects=0.8),
            n=20 * (identities + 1),
            identities=identities,
            target=0.3,
            rounds=1,
            repetitions=repetitions // 5,
            by_sum=True,
            rng=rng,
        )
        for identities in (10, 100)
    ]
    return outcomes


def _mean_embedding(embeddings: NDArray[np.float32]) -> ReferenceScorer:
    def score(queries: Indices, references: Indices) -> NDArray[np.float32]:
        centre = embeddings[references].mean(axis=1)
        product = np.einsum("pd,pd->p", embeddings[queries], centre) / np.linalg.norm(centre, axis=1)
        return np.asarray(product, np.float32)

    return score


def _mean_score(embeddings: NDArray[np.float32]) -> ReferenceScorer:
    return lambda queries, references: _each(embeddings, queries, references).mean(axis=1)


def _best_score(embeddings: NDArray[np.float32]) -> ReferenceScorer:
    return lambda queries, references: _each(embeddings, queries, references).max(axis=1)


def _each(embeddings: NDArray[np.float32], queries: Indices, references: Indices) -> NDArray[np.float32]:
    return np.asarray(np.einsum("pd,prd->pr", embeddings[queries], embeddings[references]), np.float32)


RULES: dict[str, Callable[[NDArray[np.float32]], ReferenceScorer]] = {
    "mean score": _mean_score,
    "best score": _best_score,
    "mean embedding": _mean_embedding,
}
"""How several references become one score."""


def genuine_scores(
    score: ReferenceScorer, classes: Indices, *, references: int, draws: int, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Queries of each class against other images of it."""
    images = rng.permuted(np.tile(np.arange(IMAGES), (draws * len(classes), 1)), axis=1)
    images += IMAGES * np.tile(classes, draws)[:, None]
    return score(images[:, 0], images[:, 1 : references + 1])


def combinations(embeddings: NDArray[np.float32], *, rng: np.random.Generator) -> dict[str, object]:
    """FNMR at fixed FMR of each rule, on held-out background classes: what the choice of the rule rests on."""
    n = len(embeddings) // IMAGES
    table: dict[str, object] = {}
    for references in (1, 2, 5, 10):
        seeds = rng.integers(2**32, size=2)  # the same draws for every rule
        for name, rule in RULES.items():
            impostor, genuine = (np.random.default_rng(seed) for seed in seeds)
            scores = impostor_scores(
                rule(embeddings), np.repeat(np.arange(n), IMAGES), references=references, rng=impostor
            ).scores
            same = genuine_scores(rule(embeddings), np.arange(n), references=references, draws=200, rng=genuine)
            table[f"{name}, K={references}"] = {
                f"fnmr@fmr={rate}": float((same < np.quantile(scores, 1 - rate)).mean()) for rate in (0.01, 0.001)
            }
    return table


def resampled_halves(
    embeddings: NDArray[np.float32],
    groups: Indices,
    *,
    references: int,
    target: float,
    repetitions: int,
    rng: np.random.Generator,
) -> dict[str, object]:
    """Certify on the classes of a random half of the groups, measure on those of the other half.

    Args:
        groups: (classes,) int, of each class; all different to draw halves of the classes.
    """
    score, names = _mean_embedding(embeddings), np.unique(groups)
    rates, misses = [], []
    for _ in range(repetitions):
        chosen = np.isin(groups, rng.permutation(names)[: len(names) // 2])
        here, there = np.flatnonzero(chosen), np.flatnonzero(~chosen)
        threshold = _certified(_of_classes(score, here, references, rng=rng), target, references).threshold
        rates.append(float((_of_classes(score, there, references, rng=rng).scores >= threshold).mean()))
        same = genuine_scores(score, there, references=references, draws=20, rng=rng)
        misses.append(float((same < threshold).mean()))
    return {
        "references": references,
        "target": target,
        "repetitions": repetitions,
        "violations": float((np.array(rates) > target).mean()),  # halves overlap: no interval
        "fmr_mean": float(np.mean(rates)),
        "fmr_max": float(np.max(rates)),
        "fnmr_mean": float(np.mean(misses)),
    }


def _of_classes(score: ReferenceScorer, classes: Indices, references: int, *, rng: np.random.Generator) -> Impostors:
    images = (IMAGES * classes[:, None] + np.arange(IMAGES)).ravel()
    return impostor_scores(
        lambda queries, others: score(images[queries], images[others]),
        np.repeat(classes, IMAGES),
        references=references,
        comparisons=60_000,
        rng=rng,
    )


def _certified(drawn: Impostors, target: float, references: int) -> Certificate:
    return certify(
        drawn.scores, drawn.left, drawn.right, target_fmr=target, confidence=CONFIDENCE, references=references
    )


def omniglot(model: str, repetitions: int, *, rng: np.random.Generator) -> dict[str, object]:
    """The rules on held-out background classes, then halves of the evaluation classes."""
    verifier = Verifier.load(model)

    def embed(name: str, only: tuple[str, ...] | None = None) -> tuple[NDArray[np.float32], Indices]:
        data = load(name).images
        if only is not None:
            data = data.take_classes(np.flatnonzero(np.isin(data.classes, only)))
        ordered = data.take(np.argsort(data.labels, kind="stable"))
        embeddings = verifier.embed_pixels(ordered.pixels(verifier.preprocessing))
        return embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True), ordered.group_labels[::IMAGES]

    held_out, _ = embed("omniglot:background", verifier.bundle.manifest.provenance.held_out_classes)
    figures: dict[str, object] = {"combining references": combinations(held_out, rng=rng)}
    unseen, alphabets = embed("omniglot:evaluation")
    halves = {"alphabets": alphabets, "classes": np.arange(len(alphabets))}
    for name, groups in halves.items():
        figures[f"halves of the {name}"] = [
            resampled_halves(unseen, groups, references=k, target=0.05, repetitions=repetitions, rng=rng)
            for k in (1, 2, 5, 10)
        ]
    return figures


def main() -> None:
    parser = arguments(__file__, __doc__)
    parser.add_argument("--model", default="omniglot", help="bundle with a cosine head, for Omniglot")
    parser.add_argument("--repetitions", type=int, default=1_000, help="of each simulation")
    parser.add_argument("--halves", type=int, default=100, help="random halves of Omniglot")
    parser.add_argument("--seed", type=int, default=0, help="of everything")
    given = parser.parse_args()
    rng = np.random.default_rng(given.seed)
    outcomes = [*simulations(given.repetitions, rng=rng), *galleries(given.repetitions, rng=rng)]
    keep(
        given.out,
        {
            "most_violations": asdict(max((outcome.violations for outcome in outcomes), key=lambda share: share.value)),
            "simulated": [asdict(outcome) for outcome in outcomes],
            "omniglot": omniglot(given.model, given.halves, rng=rng),
            "floors": {"violations": 1 - CONFIDENCE},
        },
    )


if __name__ == "__main__":
    main()
