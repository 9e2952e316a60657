"""Drawn pairs and trials: what each must keep, on small data made of bare labels."""

import itertools
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from samekind import trials as draws
from samekind.data.labelled import LabelledImages
from samekind.errors import InputError
from samekind.trials import Pairs, Trials

BLANK = np.full((8, 8), 255, dtype=np.uint8)


def data_of(counts: list[int], *, groups: list[str] | None = None, sources: list[int] | None = None) -> LabelledImages:
    """Blank images, counts[c] of class c."""
    labels = np.repeat(np.arange(len(counts)), counts)
    return LabelledImages(
        name="blank",
        items=[BLANK] * len(labels),
        names=tuple(f"image{i}" for i in range(len(labels))),
        labels=labels,
        classes=tuple(f"class{c}" for c in range(len(counts))),
        groups=None if groups is None else tuple(groups),
        sources=None if sources is None else np.asarray(sources),
    )


def drawn_by(groups: dict[str, int], *, drawers: range) -> LabelledImages:
    """Groups of so many classes, each class drawn once by each drawer."""
    names = [name for name, classes in groups.items() for _ in range(classes)]
    return data_of([len(drawers)] * len(names), groups=names, sources=[*drawers] * len(names))


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def unordered(pairs: Pairs) -> list[frozenset[int]]:
    return [frozenset(pair) for pair in zip(pairs.left.tolist(), pairs.right.tolist(), strict=True)]


def arrays_of(drawn: Pairs | Trials) -> list[list[int]]:
    return [np.asarray(array).ravel().tolist() for array in vars(drawn).values()]


def test_episodes_hold_what_they_promise() -> None:
    data = data_of([3, 4, 5, 3, 9])
    drawn = draws.episodes(data, ways=4, shots=2, trials=500, rng=rng())
    assert len(drawn) == 500
    assert drawn.references.shape == (500, 4, 2)
    for query, references, correct in zip(drawn.queries, drawn.references, drawn.correct, strict=True):
        classes = data.labels[references]
        assert (classes == classes[:, :1]).all()  # the shots of a way are of one class
        assert len(set(classes[:, 0])) == 4
        assert data.labels[query] == classes[correct, 0]
        assert len({query, *references.ravel()}) == 9  # no image twice, the query least of all
    assert set(drawn.correct) == {0, 1, 2, 3}
    assert len(set(drawn.queries)) == len(data)
    assert len(set(drawn.references.ravel())) == len(data)


def test_each_class_is_asked_about_as_often() -> None:
    data = data_of([2, 2, 2, 40])
    drawn = draws.episodes(data, ways=2, shots=1, trials=8_000, rng=rng())
    asked = np.bincount(data.labels[drawn.queries])
    assert np.abs(asked - 2_000).max() < 200


def test_classes_without_images_are_no_classes() -> None:
    data = data_of([2, 0, 2])
    assert set(data.labels[draws.episodes(data, ways=2, shots=1, trials=50, rng=rng()).references].ravel()) == {0, 2}


@pytest.mark.parametrize(
    ("ways", "shots", "trials", "said"),
    [
        (4, 1, 1, "at least 4 classes, got 3"),
        (3, 2, 1, "at least 3 images a class .* got 2 of 'class1'"),
        (1, 1, 1, "ways"),
        (2, 0, 1, "shots"),
        (2, 1, 0, "trials"),
    ],
)
def test_too_little_for_an_episode_is_an_error(ways: int, shots: int, trials: int, said: str) -> None:
    with pytest.raises(InputError, match=said):
        draws.episodes(data_of([3, 2, 3]), ways=ways, shots=shots, trials=trials, rng=rng())


@given(st.lists(st.integers(1, 4), min_size=2, max_size=5), st.integers(1, 12), st.booleans())
def test_pairs_are_different_balanced_and_as_many_as_exist(counts: list[int], half: int, in_groups: bool) -> None:
    data = data_of(counts, groups=["ab"[c % 2] for c in range(len(counts))])
    group = data.group_labels
    every = list(itertools.combinations(range(len(data)), 2))
    genuine = sum(data.labels[i] == data.labels[j] for i, j in every)
    impostor = sum(data.labels[i] != data.labels[j] and (not in_groups or group[i] == group[j]) for i, j in every)
    kind = "same-group" if in_groups else "any"
    if not genuine or not impostor:
        with pytest.raises(InputError, match=f"{genuine} genuine and {impostor} impostor"):
            draws.balanced_pairs(data, pairs=2 * half, impostors=kind, rng=rng())
        return
    drawn = draws.balanced_pairs(data, pairs=2 * half, impostors=kind, rng=rng())
    each = min(half, genuine, impostor)
    assert len(drawn) == len(set(unordered(drawn))) == 2 * each
    assert all(len(pair) == 2 for pair in unordered(drawn))
    assert drawn.same.sum() == each
    np.testing.assert_array_equal(drawn.same, data.labels[drawn.left] == data.labels[drawn.right])
    assert not in_groups or (group[drawn.left] == group[drawn.right]).all()


def test_every_possible_pair_comes_equally_often() -> None:
    data = data_of([3, 1, 2])
    often: Counter[frozenset[int]] = Counter()
    for seed in range(3_000):
        often.update(unordered(draws.balanced_pairs(data, pairs=2, impostors="any", rng=rng(seed))))
    genuine = [n for pair, n in often.items() if len(set(data.labels[list(pair)])) == 1]
    impostor = [n for pair, n in often.items() if len(set(data.labels[list(pair)])) == 2]
    assert (len(genuine), len(impostor)) == (4, 11)
    assert np.abs(np.array(genuine) - 750).max() < 120
    assert np.abs(np.array(impostor) - 273).max() < 80


def test_a_genuine_pair_is_by_two_sources() -> None:
    data = data_of([4, 4], sources=[1, 1, 2, 2, 2, 2, 2, 3])
    drawn = draws.balanced_pairs(data, pairs=100, impostors="any", rng=rng())
    sources = np.asarray(data.sources)
    assert drawn.same.sum() == 4 + 3
    assert (sources[drawn.left] != sources[drawn.right])[drawn.same].all()


@pytest.mark.parametrize(
    ("pairs", "impostors", "said"), [(3, "any", "even"), (0, "any", "even"), (2, "hard", "same-group")]
)
def test_pairs_that_cannot_be_drawn_are_an_error(pairs: int, impostors: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        draws.balanced_pairs(data_of([2, 2]), pairs=pairs, impostors=impostors, rng=rng())


def test_same_group_impostors_need_groups() -> None:
    with pytest.raises(InputError, match="groups"):
        draws.balanced_pairs(data_of([2, 2]), pairs=2, impostors="same-group", rng=rng())


def test_within_group_trials_are_runs_like_lakes() -> None:
    data = drawn_by({"a": 22, "b": 20, "small": 19}, drawers=range(1, 6))
    drawn = draws.within_group_trials(data, trials=400, rng=rng())
    sources, seen = np.asarray(data.sources), set()
    assert drawn.references.shape == (400, 20, 1)
    for run in range(0, 400, 20):
        queries, references = drawn.queries[run : run + 20], drawn.references[run : run + 20, :, 0]
        assert (references == references[0]).all()
        groups = {(data.groups or ())[label] for label in data.labels[references[0]]}
        assert groups == {"a" if run % 40 == 0 else "b"}
        assert sorted(data.labels[queries]) == sorted(data.labels[references[0]])
        assert len(set(data.labels[queries])) == 20
        (support,), (query,) = set(sources[references[0]]), set(sources[queries])
        assert support != query
        seen |= {support, query}
    of_correct = np.take_along_axis(drawn.references[..., 0], drawn.correct[:, None], axis=1)[:, 0]
    np.testing.assert_array_equal(data.labels[of_correct], data.labels[drawn.queries])
    assert seen == {1, 2, 3, 4, 5}


@pytest.mark.parametrize(
    ("data", "trials", "said"),
    [
        (drawn_by({"a": 20}, drawers=range(2)), 30, "multiple of 20"),
        (drawn_by({"a": 20}, drawers=range(2)), 0, "multiple of 20"),
        (drawn_by({"a": 19}, drawers=range(2)), 20, "20 classes"),
        (drawn_by({"a": 20}, drawers=range(1)), 20, "same two sources"),
        (data_of([2] * 20), 20, "a group a class"),
        (data_of([2] * 20, groups=["a"] * 20, sources=[1] * 40), 20, "at most one image"),
    ],
)
def test_data_unfit_for_runs_is_an_error(data: LabelledImages, trials: int, said: str) -> None:
    with pytest.raises(InputError, match=said):
        draws.within_group_trials(data, trials=trials, rng=rng())


def test_lake_trials_ask_about_each_test_image_within_its_run() -> None:
    data = drawn_by({"run01": 3, "run02": 3}, drawers=range(2))
    drawn = draws.lake_trials(data)
    assert drawn.queries.tolist() == [1, 3, 5, 7, 9, 11]
    assert drawn.references[..., 0].tolist() == [[0, 2, 4]] * 3 + [[6, 8, 10]] * 3
    assert drawn.correct.tolist() == [0, 1, 2, 0, 1, 2]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (drawn_by({"run01": 3}, drawers=range(3)), "source 0"),
        (drawn_by({"run01": 3}, drawers=range(1, 3)), "source 0"),
        (drawn_by({"run01": 3, "run02": 2}, drawers=range(2)), "equally many"),
        (data_of([2, 1], groups=["a", "a"], sources=[0, 1, 0]), "source 0"),
        (data_of([2, 2]), "a group a class"),
    ],
)
def test_lake_needs_its_runs(data: LabelledImages, said: str) -> None:
    with pytest.raises(InputError, match=said):
        draws.lake_trials(data)


def test_koch_pairs_stay_with_his_alphabets_and_drawers() -> None:
    data = drawn_by({**dict.fromkeys(draws.LAKE_ALPHABETS, 2), "Keble": 2}, drawers=range(1, 21))
    sources, groups = np.asarray(data.sources), np.asarray(data.groups)
    for impostors, one_alphabet in (("any", False), ("same-group", True)):
        drawn = draws.koch_pairs(data, pairs=200, impostors=impostors, rng=rng())
        assert drawn.same.sum() == 100
        for side in (drawn.left, drawn.right):
            assert set(sources[side]) == {17, 18, 19, 20}
            assert set(groups[data.labels[side]]) == set(draws.LAKE_ALPHABETS)
        np.testing.assert_array_equal(drawn.same, data.labels[drawn.left] == data.labels[drawn.right])
        assert (sources[drawn.left] != sources[drawn.right])[drawn.same].all()
        within = groups[data.labels[drawn.left]] == groups[data.labels[drawn.right]]
        assert within.all() == one_alphabet


def test_koch_needs_his_alphabets() -> None:
    with pytest.raises(InputError, match="lacks Atlantean"):
        draws.koch_pairs(drawn_by({"Tibetan": 2}, drawers=range(1, 21)), pairs=2, impostors="any", rng=rng())


def test_the_same_seed_gives_the_same_draw_and_another_another() -> None:
    data = drawn_by({"a": 20, "b": 20}, drawers=range(4))

    def drawn(seed: int) -> list[list[list[int]]]:
        return [
            arrays_of(draws.episodes(data, ways=5, shots=2, trials=9, rng=rng(seed))),
            arrays_of(draws.within_group_trials(data, trials=40, rng=rng(seed))),
            arrays_of(draws.balanced_pairs(data, pairs=20, impostors="any", rng=rng(seed))),
        ]

    assert drawn(1) == drawn(1)
    assert all(one != other for one, other in zip(drawn(1), drawn(2), strict=True))


def test_a_seed_gives_these_trials_on_every_machine() -> None:
    data = drawn_by({"a": 20}, drawers=range(2))
    shots = draws.episodes(data, ways=3, shots=1, trials=3, rng=rng(7))
    pairs = draws.balanced_pairs(data, pairs=6, impostors="any", rng=rng(7))
    runs = draws.within_group_trials(data, trials=20, rng=rng(7))
    assert shots.references[..., 0].tolist() == [[36, 34, 31], [25, 20, 8], [27, 30, 1]]
    assert shots.queries.tolist() == [37, 21, 0]
    assert pairs.left.tolist() == [34, 22, 26, 23, 4, 20]
    assert pairs.right.tolist() == [35, 23, 27, 24, 29, 29]
    assert runs.queries[:10].tolist() == [6, 16, 24, 26, 28, 32, 20, 30, 2, 12]
