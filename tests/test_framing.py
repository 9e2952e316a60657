"""Which square of an image a network looks at."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from samekind.bundle import shipped
from samekind.framing import ink_square, resized, whole_square
from samekind.verifier import Verifier

WHITE = (255,)


def sheet(height: int = 60, width: int = 80, level: int = 255) -> NDArray[np.uint8]:
    return np.full((height, width), level, dtype=np.uint8)


def test_the_square_lies_around_the_box_of_the_ink() -> None:
    drawn = sheet()
    drawn[10, 30] = drawn[20, 70] = 0
    assert ink_square(Image.fromarray(drawn), WHITE, 1.5) == (50.5, 15.5, 1.5 * 41)


@pytest.mark.parametrize("level", [255, 240])
def test_where_nothing_differs_from_the_ground_there_is_no_ink(level: int) -> None:
    assert ink_square(Image.fromarray(sheet(level=level)), WHITE, 1.0) is None


def test_paper_that_is_not_quite_white_is_no_ink() -> None:
    drawn = sheet(level=200)
    drawn[20:30, 40:50] = 20
    assert ink_square(Image.fromarray(drawn), WHITE, 1.0) == (45, 25, 10)


def test_a_colour_that_differs_in_one_channel_is_ink() -> None:
    drawn = np.full((60, 80, 3), 255, dtype=np.uint8)
    drawn[20:40, 40:50, 2] = 0
    assert ink_square(Image.fromarray(drawn), (255, 255, 255), 1.0) == (45, 30, 20)


def test_a_speck_of_dust_on_a_large_sheet_is_no_ink() -> None:
    drawn = sheet(1600, 1600)
    drawn[800:1200, 400:800] = 0
    drawn[5, 5] = 0
    assert ink_square(Image.fromarray(drawn), WHITE, 1.0) == (600, 1000, 400)


def test_a_dot_is_not_magnified_without_end() -> None:
    drawn = sheet()
    drawn[7, 7] = 0
    assert ink_square(Image.fromarray(drawn), WHITE, 1.0) == (7.5, 7.5, 10)


@given(width=st.integers(1, 40), height=st.integers(1, 40))
def test_the_whole_square_holds_the_image_and_shows_ground_around_it(width: int, height: int) -> None:
    image = Image.fromarray(sheet(height, width, level=10))
    side = max(width, height)
    shown = np.asarray(resized(image, whole_square(image), side, WHITE))
    left, top = (side - width) // 2, (side - height) // 2
    expected = sheet(side, side)
    expected[top : top + height, left : left + width] = 10
    np.testing.assert_array_equal(shown, expected)


def test_beyond_the_image_there_is_ground() -> None:
    shown = np.asarray(resized(Image.fromarray(sheet(20, 20, level=0)), (0.0, 20.0, 20.0), 20, (77,)))
    assert (shown[:10, 10:] == 0).all()
    assert (shown[10:] == 77).all()
    assert (shown[:, :10] == 77).all()


def test_a_part_in_the_corner_of_an_image_of_the_wanted_size_is_still_magnified() -> None:
    drawn = sheet(48, 48)
    drawn[:20, :20] = 0
    shown = np.asarray(resized(Image.fromarray(drawn), (10.0, 10.0, 20.0), 48, WHITE))
    assert not shown[:45, :45].any()


@pytest.mark.skipif("omniglot" not in shipped(), reason="the bundle omniglot is not in this checkout")
def test_noise_is_no_drawing_though_it_is_framed() -> None:
    verifier = Verifier.load("omniglot", threads=1)
    noise = np.random.default_rng(0).integers(0, 256, (105, 105)).astype(np.uint8)
    assert "unlike anything in calibration" in "".join(verifier.look(noise).flaws)
