"""Protocols by name: chance, truth, ties, options, and the JSON that comes out."""

import json
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from samekind.data.labelled import LabelledImages
from samekind.errors import InputError
from samekind.protocols import (
    PROTOCOLS,
    Evaluation,
    Model,
    PairScorer,
    embedding_scorer,
    run,
    score_pairs,
    score_trials,
    shifted,
)
from samekind.scored import ScoredPairs, ScoredTrials
from samekind.similarity import euclidean
from samekind.trials import LAKE_ALPHABETS, Indices, Trials
from test_trials import data_of, drawn_by

DATA = {
    "lake": drawn_by({"run01": 20, "run02": 20}, drawers=range(2)),
    "within-alphabet": drawn_by({"a": 20, "b": 21}, drawers=range(4)),
    "one-shot": data_of([3] * 25),
    "koch": drawn_by(dict.fromkeys(LAKE_ALPHABETS, 3), drawers=range(1, 21)),
    "verification": drawn_by({"a": 10, "b": 11}, drawers=range(6)),
}
METRICS = {
    "lake": ["error"],
    "within-alphabet": ["error"],
    "one-shot": ["accuracy"],
    "koch": ["accuracy", "eer", "auc"],
    "verification": ["accuracy", "eer", "auc", "fnmr@fmr=0.01", "fnmr@fmr=0.001", "cllr", "min_cllr"],
}


def constant(data: LabelledImages) -> PairScorer:
    return lambda left, right: np.full(len(left), 0.25, dtype=np.float32)


def truth(data: LabelledImages) -> PairScorer:
    return lambda left, right: (data.labels[left] == data.labels[right]).astype(np.float32)


def noise(data: LabelledImages) -> PairScorer:
    """One random embedding an image, that follows the image's name wherever it stands."""
    seeds = [int(name.removeprefix("image")) for name in data.names]
    return embedding_scorer(np.stack([np.random.default_rng(s).normal(size=4) for s in seeds]), euclidean)


def broken(data: LabelledImages) -> PairScorer:
    return lambda left, right: np.full(len(left), np.nan, dtype=np.float32)


def evaluated(name: str, model: Model, *, seed: int = 0) -> Evaluation:
    """The protocol on its small data, with fewer trials than it takes by default."""
    data = DATA[name]
    if name == "within-alphabet":
        return run(name, model, data=data, trials=400, seed=seed)
    if name == "one-shot":
        return run(name, model, data=data, trials=400, seed=seed)
    return run(name, model, data=data, seed=seed)


def with_llr(scorer: object, threshold: float) -> Model:
    assert callable(scorer)
    return Model(scorer, threshold=threshold, llr=lambda scores: scores - scores.mean())


@pytest.mark.parametrize("name", PROTOCOLS)
@pytest.mark.parametrize("threshold", [0.0, 0.25, 0.5])
def test_a_constant_model_scores_chance_or_worse(name: str, threshold: float) -> None:
    metrics = evaluated(name, with_llr(constant, threshold)).metrics
    assert list(metrics) == METRICS[name]
    chance = {"error": 1, "accuracy": 0.5, "eer": 0.5, "auc": 0.5, "cllr": 1, "min_cllr": 1}
    if name == "one-shot":
        chance["accuracy"] = 0  # every trial is a tie
    for metric, estimate in metrics.items():
        assert estimate.value == pytest.approx(chance.get(metric, 1), abs=1e-6)
        if metric != "accuracy":  # its share of genuine pairs sways with the classes drawn
            assert estimate.low == pytest.approx(estimate.high, abs=1e-6)


@pytest.mark.parametrize("name", PROTOCOLS)
def test_a_model_that_knows_makes_no_error(name: str) -> None:
    metrics = evaluated(name, with_llr(truth, 0.5)).metrics
    best = {"accuracy": 1, "auc": 1, "cllr": metrics["cllr"].value if "cllr" in metrics else 0}
    assert {metric: estimate.value for metric, estimate in metrics.items()} == {
        metric: best.get(metric, 0) for metric in METRICS[name]
    }


@pytest.mark.parametrize(
    ("name", "metric", "chance"), [("within-alphabet", "error", 0.95), ("one-shot", "accuracy", 0.05)]
)
def test_noise_scores_chance(name: str, metric: str, chance: float) -> None:
    estimate = evaluated(name, Model(noise)).metrics[metric]
    assert estimate.value == pytest.approx(chance, abs=0.04)
    assert estimate.low < estimate.value < estimate.high


def test_trials_are_resampled_by_the_class_asked_about() -> None:
    def knows_half_of_the_classes(data: LabelledImages) -> PairScorer:
        return lambda left, right: ((data.labels[left] == data.labels[right]) & (data.labels[left] < 5)) * np.float32(1)

    estimate = run("one-shot", Model(knows_half_of_the_classes), data=data_of([3] * 10), ways=5, trials=2_000)
    accuracy = estimate.metrics["accuracy"]
    assert accuracy.value == pytest.approx(0.5, abs=0.05)
    assert accuracy.high - accuracy.low == pytest.approx(0.6, abs=0.11)  # ten observations, not two thousand


@pytest.mark.parametrize("name", PROTOCOLS)
def test_scores_that_are_not_finite_are_an_error(name: str) -> None:
    with pytest.raises(InputError, match="finite scores"):
        evaluated(name, Model(broken))


@pytest.mark.parametrize("name", PROTOCOLS)
def test_the_seed_decides_and_is_kept(name: str) -> None:
    one, again, other = (evaluated(name, Model(noise), seed=seed) for seed in (1, 1, 2))
    assert one.as_json() == again.as_json()
    assert other.seed == 2
    if name == "lake":  # its trials are given; the seed only draws the resamples
        assert one.metrics["error"].value == other.metrics["error"].value
    else:
        assert one.metrics != other.metrics


@pytest.mark.parametrize("name", PROTOCOLS)
def test_an_evaluation_becomes_the_json_that_is_promised(name: str) -> None:
    evaluation = evaluated(name, with_llr(noise, -2.0))
    record = json.loads(json.dumps(evaluation.as_json(), allow_nan=False))
    assert list(record) == ["protocol", "data", "n_trials", "seed", "metrics", "data_fingerprint"]
    assert record["protocol"] == name
    assert record["data"] == "blank"
    assert record["data_fingerprint"] == DATA[name].fingerprint
    assert list(record["metrics"]) == METRICS[name]
    assert all(list(estimate) == ["value", "low", "high"] for estimate in record["metrics"].values())


@pytest.mark.parametrize("name", ["koch", "verification"])
def test_pairs_come_back_scored(name: str) -> None:
    evaluation = evaluated(name, Model(noise))
    scored = evaluation.scored
    assert isinstance(scored, ScoredPairs)
    assert evaluation.n_trials == len(scored.pairs) == len(scored.scores)
    expected = noise(scored.data)(scored.pairs.left, scored.pairs.right)
    np.testing.assert_array_equal(scored.scores, expected)


@pytest.mark.parametrize("name", ["koch", "verification"])
def test_without_threshold_and_llr_their_metrics_are_absent(name: str) -> None:
    assert set(METRICS[name]) - set(evaluated(name, Model(noise)).metrics) == {"accuracy", "cllr"} & set(METRICS[name])


def test_the_threshold_and_the_llr_of_the_model_are_used() -> None:
    data = DATA["verification"]
    strict = run("verification", Model(noise, threshold=9.0, llr=lambda scores: scores), data=data).metrics
    loose = run("verification", Model(noise, threshold=-1.5, llr=lambda scores: 0 * scores), data=data).metrics
    assert strict["accuracy"].value == 0.5
    assert loose["accuracy"].value != 0.5
    assert loose["cllr"].value == pytest.approx(1)
    assert strict["cllr"].value > 1


def test_options_reach_their_protocol() -> None:
    data, groups = DATA["one-shot"], DATA["verification"]
    guess = Model(noise)
    assert run("one-shot", guess, data=data, trials=30).n_trials == 30
    assert run("one-shot", guess, data=data, ways=2, trials=2_000).metrics["accuracy"].value > 0.4
    assert run("within-alphabet", guess, data=DATA["within-alphabet"], trials=60).n_trials == 60
    assert run("verification", guess, data=groups, pairs=50).n_trials == 50
    with pytest.raises(InputError, match="4 images a class"):
        run("one-shot", guess, data=data, shots=3, trials=10)
    for name in ("koch", "verification"):
        scored = run(name, guess, data=DATA[name], impostors="same-group").scored
        assert isinstance(scored, ScoredPairs)
        group = scored.data.group_labels
        assert (group[scored.pairs.left] == group[scored.pairs.right]).all()


def test_defaults_are_those_of_the_design() -> None:
    assert PROTOCOLS["within-alphabet"].defaults.trials >= 20_000
    one_shot = PROTOCOLS["one-shot"].defaults
    assert (one_shot.ways, one_shot.shots, one_shot.trials) == (20, 1, 10_000)
    assert (PROTOCOLS["koch"].defaults.pairs, PROTOCOLS["koch"].defaults.impostors) == (10_000, "any")
    assert {name: list(protocol.metrics) for name, protocol in PROTOCOLS.items()} == METRICS
    assert PROTOCOLS["lake"].data == "omniglot:runs"
    assert {PROTOCOLS[name].data for name in METRICS if name != "lake"} == {"omniglot:evaluation"}


def test_an_option_that_a_protocol_does_not_take_is_an_error() -> None:
    with pytest.raises(InputError, match=r"lake takes \(no options\), got ways, trials"):
        run("lake", Model(truth), data=DATA["lake"], ways=20, trials=400)
    with pytest.raises(InputError, match="got shots"):
        run("within-alphabet", Model(truth), data=DATA["within-alphabet"], shots=1)
    with pytest.raises(InputError, match="got pairs"):
        run("koch", Model(truth), data=DATA["koch"], pairs=100)
    with pytest.raises(InputError, match="got impostors"):
        run("one-shot", Model(truth), data=DATA["one-shot"], impostors="any")


def test_an_unknown_protocol_lists_the_known_ones() -> None:
    with pytest.raises(InputError, match="lake, within-alphabet, one-shot, koch, verification; got 'omni'"):
        run("omni", Model(truth), data=DATA["lake"])


def test_a_negative_seed_is_an_error() -> None:
    with pytest.raises(InputError, match="seed"):
        run("lake", Model(truth), data=DATA["lake"], seed=-1)


def given_scores(scores: list[float]) -> Model:
    def scorer_of(data: LabelledImages) -> PairScorer:
        def score(left: Indices, right: Indices) -> NDArray[np.float32]:
            given = np.asarray(scores, dtype=np.float32)
            means: NDArray[np.float32] = given if right.ndim == 1 else given.reshape(right.shape).mean(axis=1)
            return means

        return score

    return Model(scorer_of)


@pytest.mark.parametrize(
    ("scores", "right"),
    [
        ([5, 1, 1, 1, 1, 1], True),  # two shots of the true class, then two of each other: means 3, 1, 1
        ([1, 1, 5, -4, 0, 0], True),  # the best single shot is another's, the best mean is not: 1, 0.5, 0
        ([1, 1, 2, 0, 0, 0], False),  # a tie: 1, 1, 0
        ([0, 0, 1, 1, 0, 0], False),
    ],
)
def test_the_shots_of_a_class_reach_the_model_together_and_a_tie_is_wrong(scores: list[float], right: bool) -> None:
    trials = Trials(np.array([0]), np.array([[[1, 2], [3, 4], [5, 6]]]), np.array([0]))
    assert score_trials(given_scores(scores).scorer_of, data_of([3, 2, 2]), trials).right.tolist() == [right]


def test_each_image_that_occurs_is_embedded_once_and_no_other() -> None:
    seen: list[tuple[str, ...]] = []

    def scorer_of(data: LabelledImages) -> PairScorer:
        seen.append(data.names)
        return noise(data)

    data = data_of([5, 5])
    left, right = np.array([7, 2, 2, 7]), np.array([2, 9, 7, 2])
    scores = score_pairs(scorer_of, data, left, right)
    assert seen == [("image2", "image7", "image9")]
    np.testing.assert_array_equal(scores, noise(data)(left, right))


def test_many_pairs_are_scored_in_blocks_that_join_in_order() -> None:
    data = data_of([30, 30])
    left, right = np.random.default_rng(0).integers(60, size=(2, 9_000))
    np.testing.assert_array_equal(score_pairs(noise, data, left, right), noise(data)(left, right))


def test_a_model_that_gives_too_few_scores_is_an_error() -> None:
    with pytest.raises(InputError, match="scores from the model"):
        score_pairs(given_scores([1.0]).scorer_of, data_of([2, 2]), np.array([0, 1]), np.array([2, 3]))


def test_the_scores_of_trials_come_back() -> None:
    evaluation = evaluated("one-shot", Model(noise))
    scored = evaluation.scored
    assert isinstance(scored, ScoredTrials)
    assert scored.scores.shape == (400, 20)
    assert scored.right.mean() == evaluation.metrics["accuracy"].value
    query, reference = scored.trials.queries[7], scored.trials.references[7, 3, 0]
    assert scored.scores[7, 3] == noise(scored.data)(np.array([query]), np.array([reference]))[0]


def test_an_evaluation_holds_the_options_of_its_draw() -> None:
    assert run("one-shot", Model(noise), data=DATA["one-shot"], ways=3, trials=30).options.ways == 3
    assert evaluated("within-alphabet", Model(noise)).options.trials == 400


@pytest.mark.parametrize("name", PROTOCOLS)
def test_no_shift_changes_nothing_though_the_trials_are_drawn_again(name: str) -> None:
    model = with_llr(noise, -2.0)
    evaluation = evaluated(name, model, seed=5)
    assert shifted(evaluation, model, 0.0) == evaluation.metrics


@pytest.mark.parametrize("name", PROTOCOLS)
def test_scores_that_are_off_stay_within_the_shifted_ones(name: str) -> None:
    off = 0.05

    def wobbling(data: LabelledImages) -> PairScorer:
        exact, rng = noise(data), np.random.default_rng(9)

        def score(left: Indices, right: Indices) -> NDArray[np.float32]:
            return exact(left, right) + rng.uniform(-off, off, len(left)).astype(np.float32)

        return score

    def model(scorer: object) -> Model:
        assert callable(scorer)
        return Model(scorer, threshold=-2.0, llr=lambda scores: 2 * scores + 4)

    evaluation, wobbled = (evaluated(name, model(scorer)) for scorer in (noise, wobbling))
    ends = [shifted(evaluation, model(noise), by) for by in (-1.001 * off, 1.001 * off)]
    for metric, estimate in wobbled.metrics.items():
        for part in ("value", "low", "high"):
            low, high = sorted(getattr(end[metric], part) for end in ends)
            assert low - 1e-9 <= getattr(estimate, part) <= high + 1e-9
        assert ends[0][metric].value != ends[1][metric].value


def test_an_evaluation_without_scores_cannot_be_shifted() -> None:
    evaluation = replace(evaluated("koch", Model(noise)), scored=None)
    with pytest.raises(InputError, match="without"):
        shifted(evaluation, Model(noise), 0.1)
