"""The ways to measure a model that are published or agreed on, each by name.

Knows how trials are judged. Knows models only as functions from a data set to scores of pairs of its images.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from samekind import trials as draws
from samekind.data.labelled import LabelledImages
from samekind.errors import InputError
from samekind.intervals import estimate
from samekind.metrics import Estimate, Floats, pair_statistics
from samekind.scored import ScoredPairs, ScoredTrials
from samekind.similarity import Similarity, combine
from samekind.trials import Indices, Pairs, Trials

PairScorer: TypeAlias = Callable[[Indices, Indices], NDArray[np.float32]]
"""From two times (P,) int64, indices into one data set, to (P,) float32, larger is more alike.

The second may be (P, R): R references of one class for each, which count as one.
"""

ScorerOf: TypeAlias = Callable[[LabelledImages], PairScorer]
"""Binds a model to data: embeds each image once and answers for all pairs of them."""

_BLOCK = 4_096  # pairs scored at a time: with Koch's 4,096-unit embedding 64 MB a side


@dataclass(frozen=True)
class Model:
    """What is measured.

    Args:
        scorer_of: scores pairs of images of a data set.
        threshold: score >= threshold means same; None where the model has none, then no accuracy of pairs is given.
        llr: from scores (P,) to natural log likelihood ratios (P,); None: not calibrated, then no cllr is given.
    """

    scorer_of: ScorerOf
    threshold: float | None = None
    llr: Callable[[NDArray[np.float32]], ArrayLike] | None = None


@dataclass(frozen=True)
class Options:
    """What a protocol lets its user choose; see the functions of `trials` for each."""

    ways: int = 20
    shots: int = 1
    trials: int = 10_000
    pairs: int = 10_000
    impostors: str = "any"


@dataclass(frozen=True, eq=False)
class Evaluation:
    """The outcome of a protocol.

    Args:
        protocol: its name.
        data: the name of the data set.
        n_trials: how many pairs or trials were judged.
        seed: what drew them.
        metrics: by name, as fractions.
        data_fingerprint: of the whole data set.
        scored: the pairs or the trials with their scores.
        options: of the draw.
    """

    protocol: str
    data: str
    n_trials: int
    seed: int
    metrics: dict[str, Estimate]
    data_fingerprint: str
    scored: ScoredPairs | ScoredTrials | None = None
    options: Options = Options()

    def as_json(self) -> dict[str, object]:
        """What was measured, without the single scores, in types that JSON has."""
        return {
            "protocol": self.protocol,
            "data": self.data,
            "n_trials": self.n_trials,
            "seed": self.seed,
            "metrics": {name: asdict(value) for name, value in self.metrics.items()},
            "data_fingerprint": self.data_fingerprint,
        }


@dataclass(frozen=True)
class Protocol:
    """One way to measure.

    Args:
        data: the data set that it is meant for, by name.
        draw: what is compared.
        metrics: what it prints.
        uses: the options that it takes.
        defaults: their values where none is given.
    """

    data: str
    draw: Callable[[LabelledImages, Options, np.random.Generator], Pairs | Trials]
    metrics: tuple[str, ...]
    uses: tuple[str, ...] = ()
    defaults: Options = Options()


def run(
    name: str,
    model: Model,
    *,
    data: LabelledImages,
    ways: int | None = None,
    shots: int | None = None,
    trials: int | None = None,
    pairs: int | None = None,
    impostors: str | None = None,
    seed: int = 0,
) -> Evaluation:
    """Measure a model by a protocol.

    In a trial a tie counts against the model: it is right only where the true class scores more than every other. So
    a model with one score for everything errs in all trials; of pairs it gets half right.

    Args:
        name: of PROTOCOLS.
        model: what to measure.
        data: classes that the model never saw; PROTOCOLS names each protocol's own.
        ways, shots, trials, pairs, impostors: in place of the protocol's defaults.
        seed: draws trials, then resamples; the same seed gives the same trials for every model.
    Returns:
        The metrics with 95 % intervals, resampled over classes (in trials: those of the queries).
    Raises:
        InputError: the protocol is unknown, does not take a given option or cannot be run on this data, or a score
            is not finite.
    """
    if name not in PROTOCOLS:
        raise InputError(f"expected a protocol among {', '.join(PROTOCOLS)}; got {name!r}")
    protocol = PROTOCOLS[name]
    asked = {"ways": ways, "shots": shots, "trials": trials, "pairs": pairs, "impostors": impostors}
    if unused := [option for option, value in asked.items() if value is not None and option not in protocol.uses]:
        takes = ", ".join(protocol.uses) or "no options"
        raise InputError(f"expected only options that {name} takes ({takes}), got {', '.join(unused)}")
    if seed < 0:
        raise InputError(f"expected a seed >= 0, got {seed}")
    defaults = protocol.defaults
    options = Options(
        ways=defaults.ways if ways is None else ways,
        shots=defaults.shots if shots is None else shots,
        trials=defaults.trials if trials is None else trials,
        pairs=defaults.pairs if pairs is None else pairs,
        impostors=defaults.impostors if impostors is None else impostors,
    )
    rng = np.random.default_rng(seed)
    drawn = protocol.draw(data, options, rng)
    scored: ScoredPairs | ScoredTrials
    if isinstance(drawn, Pairs):
        scores = score_pairs(model.scorer_of, data, drawn.left, drawn.right)
        scored = ScoredPairs(data, drawn, scores, None if model.llr is None else np.asarray(model.llr(scores)))
    else:
        scored = score_trials(model.scorer_of, data, drawn)
    metrics = _metrics(scored, protocol.metrics, threshold=model.threshold, rng=rng)
    return Evaluation(name, data.name, len(drawn), seed, metrics, data.fingerprint, scored, options)


def shifted(evaluation: Evaluation, model: Model, by: float) -> dict[str, Estimate]:
    """The metrics had the model scored every true answer higher by this much and every other lower, all else equal.

    With `by` < 0 every metric comes out no better than it would from any other change of scores by at most |by|, with
    `by` > 0 no worse: together they bound what the last digits of floating point can do.

    Args:
        evaluation: from `run`.
        model: what it measured; its llr rises with the score.
        by: added to scores of genuine pairs or true classes, taken from the others.
    Returns:
        The metrics by name, from the same resamples as the evaluation's.
    Raises:
        InputError: the evaluation does not hold its scores.
    """
    protocol, scored, rng = PROTOCOLS[evaluation.protocol], evaluation.scored, np.random.default_rng(evaluation.seed)
    if scored is None:
        raise InputError("expected an evaluation with its scores, got one without; take it from `run`")
    protocol.draw(scored.data, evaluation.options, rng)  # leaves the generator where the resamples begin
    moved = (scored.scores + np.where(scored.truth, by, -by)).astype(np.float32)
    if isinstance(scored, ScoredPairs):
        scored = replace(scored, scores=moved, llr=None if model.llr is None else np.asarray(model.llr(moved)))
    else:
        scored = replace(scored, scores=moved)
    return _metrics(scored, protocol.metrics, threshold=model.threshold, rng=rng)


def embedding_scorer(embeddings: NDArray[np.floating], similarity: Similarity) -> PairScorer:
    """Scores of pairs from embeddings that are already there.

    Args:
        embeddings: (N, D) floating point, one row an image.
        similarity: (P, D), (P, D) -> (P,), larger is more alike.
    """

    def score(left: Indices, right: Indices) -> NDArray[np.float32]:
        of_right = embeddings[right]
        return similarity(embeddings[left], of_right if right.ndim == 1 else combine(of_right))

    return score


def score_pairs(scorer_of: ScorerOf, data: LabelledImages, left: Indices, right: Indices) -> NDArray[np.float32]:
    """Scores of pairs; only the images that occur in one are embedded, each once.

    Args:
        scorer_of: the model.
        data: N images.
        left: (P,) int64 in [0, N).
        right: (P,) or (P, R) int64 in [0, N).
    Returns:
        (P,) float32, finite.
    Raises:
        InputError: the model gives another number of scores, or one that is not finite.
    """
    used, position = np.unique(np.concatenate([left, right.ravel()]), return_inverse=True)
    first, second = position[: len(left)], position[len(left) :].reshape(right.shape)
    score = scorer_of(data.take(used))
    starts = range(0, len(left), _BLOCK)
    scores = np.concatenate([score(first[at : at + _BLOCK], second[at : at + _BLOCK]) for at in starts])
    if scores.shape != left.shape:
        raise InputError(f"expected {left.shape} scores from the model, got {scores.shape}")
    if bad := int((~np.isfinite(scores)).sum()):
        raise InputError(f"expected finite scores from the model, got {bad} of {len(scores)} NaN or infinite")
    return scores


def score_trials(scorer_of: ScorerOf, data: LabelledImages, trials: Trials) -> ScoredTrials:
    """What the model gives each class of each trial.

    Args:
        scorer_of: the model.
        data: what the trials index.
        trials: T of them, with K classes of S references.
    Raises:
        InputError: as `score_pairs`.
    """
    count, ways, shots = trials.references.shape
    references = trials.references.reshape(count * ways, shots)
    flat = score_pairs(scorer_of, data, np.repeat(trials.queries, ways), references[:, 0] if shots == 1 else references)
    return ScoredTrials(data, trials, flat.reshape(count, ways))


def _metrics(
    scored: ScoredPairs | ScoredTrials, names: tuple[str, ...], *, threshold: float | None, rng: np.random.Generator
) -> dict[str, Estimate]:
    if isinstance(scored, ScoredTrials):
        right = scored.right.astype(np.float64)
        outcomes = {"accuracy": right, "error": 1 - right}

        def statistics(weights: Floats) -> dict[str, Floats]:
            return {name: weights @ outcomes[name] / weights.sum(axis=1) for name in names}

        return estimate(statistics, scored.classes, rng=rng)
    same = scored.pairs.same
    of_pairs = pair_statistics(scored.scores, same, names=names, threshold=threshold, llr=scored.llr)
    return estimate(of_pairs, scored.classes, rng=rng)


def _lake(data: LabelledImages, options: Options, rng: np.random.Generator) -> Trials:
    return draws.lake_trials(data)


def _within_alphabet(data: LabelledImages, options: Options, rng: np.random.Generator) -> Trials:
    return draws.within_group_trials(data, trials=options.trials, rng=rng)


def _one_shot(data: LabelledImages, options: Options, rng: np.random.Generator) -> Trials:
    return draws.episodes(data, ways=options.ways, shots=options.shots, trials=options.trials, rng=rng)


def _koch(data: LabelledImages, options: Options, rng: np.random.Generator) -> Pairs:
    return draws.koch_pairs(data, pairs=options.pairs, impostors=options.impostors, rng=rng)


def _verification(data: LabelledImages, options: Options, rng: np.random.Generator) -> Pairs:
    return draws.balanced_pairs(data, pairs=options.pairs, impostors=options.impostors, rng=rng)


PROTOCOLS: dict[str, Protocol] = {
    "lake": Protocol("omniglot:runs", _lake, ("error",)),
    "within-alphabet": Protocol(
        "omniglot:evaluation", _within_alphabet, ("error",), uses=("trials",), defaults=Options(trials=20_000)
    ),
    "one-shot": Protocol("omniglot:evaluation", _one_shot, ("accuracy",), uses=("ways", "shots", "trials")),
    "koch": Protocol("omniglot:evaluation", _koch, ("accuracy", "eer", "auc"), uses=("impostors",)),
    "verification": Protocol(
        "omniglot:evaluation",
        _verification,
        ("accuracy", "eer", "auc", "fnmr@fmr=0.01", "fnmr@fmr=0.001", "cllr", "min_cllr"),
        uses=("pairs", "impostors"),
    ),
}
