"""What a data set can prove: the certificates are those of `certification`, the differences those of a simulation."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from samekind.certification import classes_needed, smallest_fmr
from samekind.data.labelled import LabelledImages
from samekind.errors import InputError
from samekind.planner import GALLERIES, REFERENCES, plan, smallest_difference


def data_of(*images: int) -> LabelledImages:
    """Classes of so many images; nothing looks at their pixels."""
    labels = np.repeat(np.arange(len(images)), images)
    names = tuple(map(str, range(len(labels))))
    return LabelledImages("some", [b""] * len(labels), names, labels, tuple(f"class {i}" for i in range(len(images))))


def seen(classes: int, images: int, *, difference: float, disagreement: float, clustering: float) -> float:
    """How often McNemar's test, its variance taken over classes, shows the difference, by simulation.

    Of the trials of a class a share p disagree-and-first-is-right; p varies between classes as a beta distribution
    does whose intraclass correlation is `clustering`. All disagreeing trials favour one or the other model.
    """
    rng = np.random.default_rng(0)
    favoured = (1 + difference / disagreement) / 2  # of the disagreeing trials
    spread = (1 - clustering) / clustering
    share = rng.dirichlet(
        spread * np.array([disagreement * favoured, disagreement * (1 - favoured), 1 - disagreement]), (1_000, classes)
    )
    won, lost, _ = np.moveaxis(rng.multinomial(images, share), -1, 0)
    gain = (won - lost).astype(np.float64)
    error = gain.std(axis=1, ddof=1) / np.sqrt(classes)
    return float(np.mean(np.abs(gain.mean(axis=1)) > stats.norm.isf(0.025) * error))


@pytest.mark.parametrize(("classes", "images", "clustering"), [(200, 20, 0.1), (400, 10, 0.3), (500, 5, 0.02)])
def test_the_smallest_difference_is_seen_as_often_as_was_asked_for(
    classes: int, images: int, clustering: float
) -> None:
    found = smallest_difference([images] * classes, disagreement=0.2, clustering=clustering)
    assert found is not None
    kinds = {"disagreement": 0.2, "clustering": clustering}
    assert seen(classes, images, difference=found, **kinds) == pytest.approx(0.8, abs=0.05)
    assert seen(classes, images, difference=found / 2, **kinds) < 0.4


def test_power_and_level_count() -> None:
    images = [20] * 100
    usual = smallest_difference(images)
    surer, stricter = smallest_difference(images, power=0.95), smallest_difference(images, level=0.01)
    assert usual is not None
    assert surer is not None
    assert stricter is not None
    assert usual < surer
    assert usual < stricter


@settings(max_examples=30)
@given(st.lists(st.integers(2, 30), min_size=20, max_size=60))
def test_more_of_anything_never_hides_a_difference(images: list[int]) -> None:
    hidden = float("inf")
    now = smallest_difference(images) or hidden
    assert (smallest_difference([*images, *images]) or hidden) <= now
    assert (smallest_difference([2 * count for count in images]) or hidden) <= now


def test_images_that_say_the_same_add_nothing() -> None:
    assert smallest_difference([5] * 300, clustering=1.0) == pytest.approx(
        smallest_difference([50] * 300, clustering=1.0)
    )


def test_too_little_shows_nothing() -> None:
    assert smallest_difference([2, 2]) is None


@pytest.mark.parametrize("wrong", [{"disagreement": 0.0}, {"clustering": 1.5}, {"level": 0.0}, {"power": 1.0}])
def test_rates_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(InputError, match="expected images"):
        smallest_difference([5, 5], **wrong)


def test_certificates_count_the_classes_that_have_the_images() -> None:
    made = plan(data_of(*[12] * 20, *[6] * 30, *[2] * 50), confidence=0.9)
    assert [(one.references, one.classes) for one in made.references] == [(1, 100), (2, 50), (5, 50), (10, 20)]
    assert [one.smallest_fmr for one in made.references] == [smallest_fmr(n, 0.9) for n in (100, 50, 50, 20)]
    assert tuple(one.references for one in made.references) == REFERENCES
    assert [(one.enrolled, one.smallest_fpir) for one in made.galleries] == [
        (n, smallest_fmr(100, 0.9, identities=n)) for n in GALLERIES
    ]
    assert (made.images, made.classes, made.fewest, made.median) == (520, 100, 2, 4.0)


def test_a_class_of_one_image_proves_nothing() -> None:
    assert plan(data_of(*[4] * 10, 1, 1)).references[0].classes == 10


def test_the_advice_follows_the_target() -> None:
    classes = classes_needed(0.01, 0.95)
    enough, short = plan(data_of(*[3] * classes), target_fmr=0.01), plan(data_of(*[3] * (classes - 7)), target_fmr=0.01)
    assert enough.certifiable
    assert not short.certifiable
    assert "no more are needed" in enough.advice[0]
    assert short.advice[0].startswith(f"7 more classes, {classes} in all")
    assert plan(data_of(*[3] * classes), target_fmr=0.01, confidence=0.99).certifiable is False


def test_the_advice_names_the_scarce_images() -> None:
    advice = plan(data_of(*[3] * 10, *[8] * 4)).advice
    assert any(line.startswith("6 images of each class") and "10 of 14 classes have fewer" in line for line in advice)
    assert not any("images of each class would certify" in line for line in plan(data_of(*[11] * 10)).advice)


def test_the_advice_says_what_twice_as_much_would_show() -> None:
    made = plan(data_of(*[20] * 200))
    assert made.difference is not None
    assert made.with_twice_the_classes is not None
    assert f"{100 * made.difference:.2f} points" in made.advice[-1]
    assert f"twice the classes {100 * made.with_twice_the_classes:.2f}" in made.advice[-1]
    assert made.advice[-1].endswith("collect classes first.")
    assert "No difference" in plan(data_of(2, 2)).advice[-1]


@pytest.mark.parametrize("wrong", [{"target_fmr": 0.0}, {"target_fmr": 1.0}, {"confidence": 1.0}])
def test_a_plan_refuses_impossible_rates(wrong: dict[str, float]) -> None:
    with pytest.raises(InputError, match=r"in \(0, 1\)"):
        plan(data_of(5, 5), **wrong)


def test_a_plan_needs_two_classes_of_two() -> None:
    with pytest.raises(InputError, match="two classes of two images"):
        plan(replace(data_of(5, 1)))
