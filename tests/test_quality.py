"""Images that cannot be judged are told from drawings, whatever is the matter with them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageFilter

from samekind.data.glyphs import glyphs
from samekind.errors import InputError
from samekind.images import Preprocessing
from samekind.quality import LEAST_CONTRAST, Domain, flaws

SIZE = 32
PREPROCESSING = Preprocessing(size=SIZE)
DATA = glyphs(40, 5, seed=1)
DOMAIN = Domain.of(DATA.pixels(PREPROCESSING), invert=True)


def drawing(index: int = 0) -> Image.Image:
    return DATA[index][0].convert("L")


def outside(image: Image.Image | np.ndarray) -> tuple[str, ...]:
    return DOMAIN.outside(PREPROCESSING.pixels(image), invert=True)


@given(st.integers(12, 243), st.sampled_from(["L", "RGB"]))
def test_one_colour_is_blank(level: int, mode: str) -> None:
    assert flaws(Image.new("L", (60, 50), level).convert(mode), size=SIZE) == ("blank: one colour",)


@pytest.mark.parametrize(("level", "says"), [(0, "black"), (3, "black"), (252, "white"), (255, "white")])
def test_black_and_white_are_saturated(level: int, says: str) -> None:
    assert flaws(Image.new("L", (60, 50), level), size=SIZE) == (f"saturated: all {says}",)


def test_hardly_any_contrast_is_blank_and_a_dot_is_not() -> None:
    noise = np.random.default_rng(0).normal(128, 3, (60, 60)).astype(np.uint8)
    assert flaws(Image.fromarray(noise), size=SIZE) == ("blank: one colour",)
    dot = np.full((60, 60), 255, np.uint8)
    dot[30:33, 30:33] = 0
    assert flaws(Image.fromarray(dot), size=SIZE) == ()


@given(st.integers(0, 255), st.integers(0, 40), st.sampled_from([1, 3]), st.integers(0, 9))
def test_contrast_is_the_standard_deviation_of_the_levels(level: int, step: int, channels: int, seed: int) -> None:
    levels = np.random.default_rng(seed).choice([level, min(level + step, 255)], (40, 40, channels)).astype(np.uint8)
    spread = float((levels.reshape(-1, channels) / 255).std(axis=0).max())
    if abs(spread - LEAST_CONTRAST) > 1e-9:
        image = Image.fromarray(levels[..., 0] if channels == 1 else levels)
        assert bool(flaws(image, size=32)) == (spread < LEAST_CONTRAST)


def test_colour_alone_is_contrast() -> None:
    red_and_green = np.zeros((60, 60, 3), np.uint8)
    red_and_green[:30, :, 0] = red_and_green[30:, :, 1] = 200
    assert flaws(Image.fromarray(red_and_green), size=SIZE) == ()


@pytest.mark.parametrize(
    ("width", "height", "small"), [(15, 15, True), (16, 16, False), (16, 4, False), (10, 15, True)]
)
def test_an_image_of_less_than_half_the_input_is_too_small(width: int, height: int, small: bool) -> None:
    found = flaws(drawing().resize((width, height)), size=SIZE)
    assert [reason.partition(":")[0] for reason in found] == ["too small"] * small
    if small:
        assert f"{width} x {height} pixels, expected a side of 16" in found[0]


def test_several_flaws_are_all_named() -> None:
    assert len(flaws(Image.new("L", (4, 4), 100), size=SIZE)) == 2


def test_drawings_of_other_classes_are_like_calibration() -> None:
    others = glyphs(40, 5, seed=2)
    strange = [bool(outside(others[index][0])) for index in range(len(others))]
    assert np.mean(strange) <= 0.02


OTHERS = {
    "noise": np.random.default_rng(0).integers(0, 256, (60, 60)).astype(np.uint8),
    "inverted": 255 - np.asarray(drawing()),
    "gradient": np.tile(np.linspace(0, 255, 60).astype(np.uint8), (60, 1)),
    "checks": np.asarray(255 * (np.indices((60, 60)).sum(axis=0) // 4 % 2), np.uint8),
    "cloud": np.asarray(
        Image.effect_noise((60, 60), 200).filter(ImageFilter.GaussianBlur(4)).point(lambda v: 4 * v - 384)
    ),
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_images_are_unlike_calibration_and_it_says_in_what(name: str) -> None:
    (reason,) = outside(OTHERS[name])
    assert reason.startswith("unlike anything in calibration (")
    assert "seen" in reason


def test_each_statistic_counts() -> None:
    pixels = PREPROCESSING.pixels(drawing())
    assert DOMAIN.outside(pixels, invert=True) == ()
    for at in range(4):
        high = tuple(1e-4 if place == at else value for place, value in enumerate(DOMAIN.high))
        low = tuple(1e4 if place == at else value for place, value in enumerate(DOMAIN.low))
        assert Domain(DOMAIN.low, high).outside(pixels, invert=True)
        assert Domain(low, DOMAIN.high).outside(pixels, invert=True)


def test_a_strange_image_in_calibration_does_not_open_the_door() -> None:
    pixels = np.concatenate([DATA.pixels(PREPROCESSING), np.zeros((1, 1, SIZE, SIZE), np.uint8)])
    assert Domain.of(pixels, invert=True).outside(PREPROCESSING.pixels(OTHERS["noise"]), invert=True)


def test_the_polarity_counts() -> None:
    pixels = DATA.pixels(PREPROCESSING)
    turned, straight = Domain.of(255 - pixels, invert=False), Domain.of(pixels, invert=True)
    np.testing.assert_allclose([turned.low, turned.high], [straight.low, straight.high])
    assert Domain.of(pixels, invert=False) != Domain.of(pixels, invert=True)


def test_another_number_of_ranges_is_an_error() -> None:
    with pytest.raises(InputError, match="expected 4 ranges"):
        Domain((0.0,), (1.0,))
