"""Whether an image can be judged at all: what is wrong with it alone, and whether calibration saw anything like it.

Knows pixels. Knows nothing of classes, models or scores. Embeddings do not serve here: a network maps noise and
photographs into the midst of its classes, as measured in `docs/experiments.md`.
"""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from samekind.errors import InputError

Floats: TypeAlias = NDArray[np.float64]

LEAST_CONTRAST = 0.02
"""Standard deviation of grey levels, of a range of 1, below which an image shows nothing."""

SATURATED = 0.02
"""An image without contrast whose mean is as close as this to black or white is called saturated, not blank."""

LEAST_SIDE = 0.5
"""Share of the input's side that the longer side of an image must have."""

STATISTICS = ("brightness", "contrast", "roughness", "sharpness")
SPREAD = (0.005, 0.995)
"""Quantiles of calibration images between which an image is like them ..."""
MARGIN = 1.5
"""... widened by this factor: a stroke half as broad again is still drawing."""

_LEVELS = np.arange(256) / 255
_LEAST = 1e-3  # a statistic below this is as good as zero


def flaws(image: Image.Image, *, size: int) -> tuple[str, ...]:
    """Why nothing can be said of an image, whatever it is compared with.

    Args:
        image: upright, of mode L or RGB, as `images.open_image` gives it.
        size: of the network's input in pixels.
    Returns:
        Reasons, none for a good image: too small, blank (one colour, as good as no contrast) or saturated (that, and
        black or white).
    """
    found = []
    if max(image.size) < LEAST_SIDE * size:
        found.append(f"too small: {image.width} x {image.height} pixels, expected a side of {LEAST_SIDE * size:g}")
    # counts instead of floats of all pixels, which would take 20 times the image's memory
    counts = np.asarray(image.histogram(), dtype=np.float64).reshape(-1, 256) / (image.width * image.height)
    means = counts @ _LEVELS  # (C,)
    spreads = (counts * (_LEVELS - means[:, None]) ** 2).sum(axis=1)
    if spreads.max() < LEAST_CONTRAST**2:
        mean = float(means.mean())
        saturated = min(mean, 1 - mean) <= SATURATED
        found.append(f"saturated: all {'white' if mean > 0.5 else 'black'}" if saturated else "blank: one colour")
    return tuple(found)


@dataclass(frozen=True)
class Domain:
    """What the images of calibration looked like: the range of each of STATISTICS.

    Brightness is the mean level (of ink, where a bundle inverts), contrast the levels' standard deviation, roughness
    the mean difference of neighbouring pixels, down and across, and sharpness roughness over contrast.

    Args:
        low: (4,) least value that is like calibration.
        high: (4,) greatest.
    """

    low: tuple[float, ...]
    high: tuple[float, ...]

    def __post_init__(self) -> None:
        if not len(self.low) == len(self.high) == len(STATISTICS):
            raise InputError(
                f"expected {len(STATISTICS)} ranges ({', '.join(STATISTICS)}), got {len(self.low)}, {len(self.high)}"
            )

    @classmethod
    def of(cls, pixels: NDArray[np.uint8], *, invert: bool) -> "Domain":
        """The domain of calibration images.

        Args:
            pixels: (N, C, H, W) uint8, from `Preprocessing.pixels`, N >= 1.
            invert: of the preprocessing.
        """
        low, high = np.quantile(_statistics(pixels, invert), SPREAD, axis=0)
        return cls(tuple((low / MARGIN).tolist()), tuple((high * MARGIN).tolist()))

    def outside(self, pixels: NDArray[np.uint8], *, invert: bool) -> tuple[str, ...]:
        """In what an image is unlike anything in calibration: one reason at most, none where it is alike.

        Args:
            pixels: (C, H, W) uint8, from `Preprocessing.pixels`.
            invert: of the preprocessing.
        """
        (values,) = _statistics(pixels[None], invert)
        strange = [
            f"{name} {value:.2f}, seen {low:.2f} to {high:.2f}"
            for name, value, low, high in zip(STATISTICS, values, self.low, self.high, strict=True)
            if not low <= value <= high
        ]
        return (f"unlike anything in calibration ({'; '.join(strange)})",) if strange else ()


def _statistics(pixels: NDArray[np.uint8], invert: bool) -> Floats:
    """(N, C, H, W) uint8 -> (N, 4), each >= _LEAST."""
    found = np.empty((len(pixels), len(STATISTICS)))
    for row, image in zip(found, pixels, strict=True):  # one by one: a data set of floats may not fit into memory
        levels = image.astype(np.float64) / 255
        if invert:
            levels = 1 - levels
        contrast = max(float(levels.std()), _LEAST)
        roughness = np.abs(np.diff(levels, axis=-1)).mean() + np.abs(np.diff(levels, axis=-2)).mean()
        row[:] = levels.mean(), contrast, roughness, roughness / contrast
    return np.maximum(found, _LEAST)
