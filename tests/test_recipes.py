"""Recipes and budgets: what is out of range is refused."""

import math
from dataclasses import replace

import pytest

from samekind.encoders import ENCODERS
from samekind.errors import InputError
from samekind.recipes import RECIPES, Budget, Recipe


def test_there_is_a_recipe_for_every_encoder() -> None:
    assert set(RECIPES) == set(ENCODERS)
    assert all(name == recipe.encoder for name, recipe in RECIPES.items())


def test_kochs_recipe_is_his() -> None:
    koch = RECIPES["koch"]
    assert (koch.loss, koch.optimiser, koch.preprocessing.size, koch.dim) == ("cross-entropy", "koch", 105, 4096)
    assert koch.classes * koch.images == 128
    assert not koch.turns


@pytest.mark.parametrize(
    "wrong",
    [
        {"dim": 0},
        {"learning_rate": 0.0},
        {"learning_rate": math.nan},
        {"weight_decay": -1.0},
        {"warm_up": 1.5},
        {"warm_up": -0.1},
    ],
)
def test_numbers_out_of_range_are_errors(wrong: dict[str, float]) -> None:
    with pytest.raises(InputError, match="expected dim >= 1"):
        replace(Recipe(), **wrong)  # type: ignore[arg-type]


def test_a_budget_is_one_of_two() -> None:
    for minutes, steps in ((None, None), (1.0, 10)):
        with pytest.raises(InputError, match="either minutes or steps"):
            Budget(minutes=minutes, steps=steps)


@pytest.mark.parametrize("minutes", [0.0, -1.0, math.nan, math.inf])
def test_minutes_are_positive(minutes: float) -> None:
    with pytest.raises(InputError, match=f"minutes > 0, got {minutes}"):
        Budget(minutes=minutes)


@pytest.mark.parametrize("steps", [0, -3])
def test_steps_are_positive(steps: int) -> None:
    with pytest.raises(InputError, match=f"steps >= 1, got {steps}"):
        Budget(steps=steps)


def test_progress_is_the_share_that_is_spent() -> None:
    assert Budget(steps=40).progress(10, 1e9) == 0.25
    assert Budget(steps=40).progress(50, 0) == 1
    assert Budget(minutes=2).progress(10**9, 30) == 0.25
    assert Budget(minutes=2).progress(0, 121) == 1
