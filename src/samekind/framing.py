"""Which square of an image a network looks at: all of it, or the part around the ink.

Knows Pillow images and the colour of their ground. Knows nothing of files, models or normalisation.
"""

import math
from typing import TypeAlias

import numpy as np
from PIL import Image

Square: TypeAlias = tuple[float, float, float]
"""Centre x, centre y and side in pixels; it may reach beyond the image."""

_NOISE = 25  # levels of 255 from the ground: no more than a scanner or a codec leaves
_LOOK = 160  # pixels: no finer than this the ink is looked for, so that a speck of dust is none
_LEAST = 1 / 8  # of the image's longer side: more a dot is not magnified


def whole_square(image: Image.Image) -> Square:
    """The square that holds the image, centred on it to a whole pixel."""
    side = max(image.size)
    x, y = (side / 2 - (side - length) // 2 for length in image.size)
    return x, y, float(side)


def ink_square(image: Image.Image, ground: tuple[int, ...], frame: float) -> Square | None:
    """A square around the ink: around what differs from the ground by more than half of what differs most.

    Args:
        image: of mode L or RGB.
        ground: its level, one a channel, in 0 to 255.
        frame: side of the square over the longer side of the ink's box; >= 1.
    Returns:
        The square, or None where nothing differs from the ground.
    """
    step = math.ceil(max(image.size) / _LOOK)
    small = image.reduce(step) if step > 1 else image
    levels = np.asarray(small, dtype=np.int16).reshape(small.height, small.width, -1)
    differs = np.abs(levels - np.asarray(ground, dtype=np.int16)).max(axis=-1)
    most = int(differs.max())
    if most <= _NOISE:
        return None
    ink = differs > most / 2
    across, down = np.flatnonzero(ink.any(axis=0)), np.flatnonzero(ink.any(axis=1))
    left, right, top, bottom = (step * float(edge) for edge in (across[0], across[-1] + 1, down[0], down[-1] + 1))
    side = max(frame * max(right - left, bottom - top), _LEAST * max(image.size))
    return (left + right) / 2, (top + bottom) / 2, side


def resized(image: Image.Image, square: Square, size: int, ground: tuple[int, ...]) -> Image.Image:
    """What lies in the square, as an image of another size; beyond the image there is ground.

    Args:
        image: of mode L or RGB.
        square: of the image.
        size: width and height of the result in pixels.
        ground: its level, one a channel, in 0 to 255.
    """
    x, y, side = square
    left, top = x - side / 2, y - side / 2
    # resizing wants a box inside the image: pad it by whole pixels, as many as it takes on either side
    first_x, first_y = min(0, math.floor(left)), min(0, math.floor(top))
    last_x, last_y = max(image.width, math.ceil(left + side)), max(image.height, math.ceil(top + side))
    if (first_x, first_y, last_x, last_y) != (0, 0, *image.size):
        colour = ground[0] if image.mode == "L" else ground
        padded = Image.new(image.mode, (last_x - first_x, last_y - first_y), colour)
        padded.paste(image, (-first_x, -first_y))
        image, left, top = padded, left - first_x, top - first_y
    if (left, top, side, *image.size) == (0, 0, size, size, size):
        return image
    box = (left, top, left + side, top + side)
    return image.resize((size, size), Image.Resampling.BILINEAR, box=box)
