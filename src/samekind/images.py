"""The one way from an image, wherever it comes from, to the numbers that a network sees.

Knows file formats, colour, size and normalisation. Knows nothing of classes, models or decisions.
"""

import io
import math
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from samekind.errors import ImageError, InputError, MissingDataError
from samekind.framing import ink_square, resized, whole_square

ImageLike: TypeAlias = str | os.PathLike[str] | bytes | Image.Image | NDArray[np.generic]

MAX_PIXELS = 64_000_000
"""An image of more pixels than this is refused before it is decoded."""

CROP_SIDE = 160
"""Pixels of the longer side of a crop."""


@dataclass(frozen=True)
class Preprocessing:
    """How an image becomes a network's input; a bundle stores exactly this.

    Args:
        size: height and width of the input in pixels; >= 8.
        channels: 1 for grey, 3 for RGB.
        invert: true where ink is dark on a light ground, so that ink becomes 1 and ground 0.
        mean: one value a channel, subtracted after scaling to [0, 1] and inverting.
        std: one value a channel, divided by after that; > 0.
        frame: 0 to look at the whole image; >= 1 to look at a square around the ink only, of this many times the
            longer side of the ink's box. It takes away where on the sheet and how large somebody wrote.
    Raises:
        InputError: a value is out of its range, or mean and std do not fit the channels.
    """

    size: int = 32
    channels: int = 1
    invert: bool = True
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    frame: float = 0.0

    def __post_init__(self) -> None:
        if self.size < 8:
            raise InputError(f"expected an input size of at least 8 pixels, got {self.size}")
        if self.channels not in (1, 3):
            raise InputError(f"expected 1 channel (grey) or 3 (RGB), got {self.channels}")
        if not len(self.mean) == len(self.std) == self.channels:
            raise InputError(f"expected {self.channels} values of mean and std, got {len(self.mean)}, {len(self.std)}")
        if min(self.std) <= 0:
            raise InputError(f"expected a positive std, got {self.std}")
        if self.frame != 0 and not 1 <= self.frame < math.inf:
            raise InputError(f"expected a frame of 0 (the whole image) or >= 1, got {self.frame}")

    @classmethod
    def for_photos(cls, size: int) -> "Preprocessing":
        """Colour photographs: RGB, centred on mid-grey."""
        return cls(size=size, channels=3, invert=False, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))

    @property
    def ground(self) -> tuple[int, ...]:
        """The level of each channel, in 0 to 255, that becomes 0 in `normalise`: there is nothing."""
        return tuple(round(255 * ((1 - m) if self.invert else m)) for m in self.mean)

    @property
    def whole(self) -> "Preprocessing":
        """The same without a frame: framed, noise and scenes look much like drawings."""
        return replace(self, frame=0.0)

    @property
    def mode(self) -> str:
        """Pillow's name of the colour that counts."""
        return "L" if self.channels == 1 else "RGB"

    @property
    def draft(self) -> tuple[str, tuple[int, int]]:
        """What `open_image` decodes of an image at least: more of it where only a part of it may be looked at."""
        side = (8 if self.frame else 2) * self.size
        return self.mode, (side, side)

    def pixels(self, image: ImageLike) -> NDArray[np.uint8]:
        """Decode, turn upright, convert, pad to a square, cut to the frame and resize.

        Args:
            image: a path, encoded bytes, a PIL image, or an array as `open_image` takes it.
        Returns:
            (C, H, W) uint8 with H = W = size; the ground colour that pads becomes 0 in `normalise`.
        Raises:
            ImageError: the image cannot be read.
        """
        opened = open_image(image, draft=self.draft).convert(self.mode)
        square = ink_square(opened, self.ground, self.frame) if self.frame else None
        opened = resized(opened, square or whole_square(opened), self.size, self.ground)
        array = np.asarray(opened, dtype=np.uint8)
        return array[None] if self.channels == 1 else np.ascontiguousarray(array.transpose(2, 0, 1))

    def normalise(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Scale to [0, 1], invert where asked, subtract the mean, divide by the std.

        Args:
            pixels: (..., C, H, W) uint8, from `pixels`.
        Returns:
            (..., C, H, W) float32.
        """
        scaled = pixels.astype(np.float32) / np.float32(255)
        if self.invert:
            scaled = np.float32(1) - scaled
        mean = np.asarray(self.mean, dtype=np.float32)[:, None, None]
        std = np.asarray(self.std, dtype=np.float32)[:, None, None]
        return (scaled - mean) / std

    def __call__(self, image: ImageLike) -> NDArray[np.float32]:
        """From an image to a network's input: (C, H, W) float32. Raises ImageError where it cannot be read."""
        return self.normalise(self.pixels(image))


def open_image(image: ImageLike, *, draft: tuple[str, tuple[int, int]] | None = None) -> Image.Image:
    """Decode an image and turn it upright.

    Args:
        image: a path, encoded bytes, a PIL image, or an array (H, W), (H, W, 3) or (H, W, 4): bool, uint8, uint16,
            or floating point in [0, 1]. Of an animation the first frame is taken, as Pillow shows it.
        draft: the mode and the least size wanted; lets a JPEG be decoded at a fraction of its size.
    Returns:
        A PIL image of mode L or RGB; transparent parts show white, 16 bits a channel are scaled to 8.
    Raises:
        MissingDataError: there is no file at that path.
        ImageError: it is no image, or truncated, empty, or of more than MAX_PIXELS pixels.
    """
    if isinstance(image, np.ndarray):
        return _flatten(_from_array(image))
    name, source = _source(image)
    try:
        opened = source if isinstance(source, Image.Image) else Image.open(source)
        size = f"{opened.width} x {opened.height}"
        if not opened.width * opened.height:
            raise ImageError(f"an image of {size} pixels; expected at least one")
        if opened.width * opened.height > MAX_PIXELS:
            raise ImageError(f"{size} pixels are more than the {MAX_PIXELS} allowed; scale it down")
        if draft is not None and opened is not image:  # a caller's image stays as it is
            opened.draft(*draft)
        opened.load()
        return _flatten(ImageOps.exif_transpose(opened))
    except ImageError as error:
        raise ImageError(f"{name}: {error}") from None
    except UnidentifiedImageError:
        raise ImageError(f"{name}: not an image in a format that Pillow reads") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise ImageError(f"{name}: more than the {MAX_PIXELS} pixels allowed; scale it down") from None
    except Exception as error:  # decoders raise OSError, SyntaxError, struct.error, ...: each means a damaged file
        raise ImageError(f"{name}: damaged or truncated image ({str(error) or type(error).__name__})") from None


def crop(image: ImageLike, *, side: int = CROP_SIDE) -> bytes:
    """A small copy that stands for an image: what a gallery keeps of it, and embeds.

    Args:
        image: as `open_image` takes it.
        side: the longer side in pixels; a smaller image keeps its size.
    Returns:
        PNG, grey where the image has no colour. A crop of it shows the same pixels.
    Raises:
        MissingDataError: there is no file at that path.
        ImageError: the image cannot be read.
    """
    opened = open_image(image, draft=("RGB", (2 * side, 2 * side)))
    if (longer := max(opened.size)) > side:
        width, height = (max(1, round(length * side / longer)) for length in opened.size)
        opened = opened.resize((width, height), Image.Resampling.BILINEAR)
    if opened.mode == "RGB":
        channels = np.asarray(opened)
        if (channels == channels[..., :1]).all():
            opened = opened.getchannel(0)
    stream = io.BytesIO()
    Image.fromarray(np.asarray(opened)).save(
        stream, "PNG"
    )  # from the pixels alone: nothing else of the file goes along
    return stream.getvalue()


def read_file(path: Path) -> bytes:
    """Read a file whole.

    Raises:
        MissingDataError: there is no such file.
        ImageError: it is a folder or cannot be read.
    """
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise MissingDataError(f"{path}: no such file; expected an image") from None
    except IsADirectoryError:
        raise ImageError(f"{path}: a folder; expected an image file") from None
    except OSError as error:
        raise ImageError(f"{path}: cannot be read ({error.strerror})") from None
    except ValueError as error:
        raise ImageError(f"{str(path)!r}: not the name of a file ({error})") from None


def _source(image: ImageLike) -> tuple[str, Image.Image | io.BytesIO]:
    """What to call it in an error, and what to decode."""
    if isinstance(image, Image.Image):
        return f"<{image.mode} image>", image
    if isinstance(image, (bytes, bytearray)):
        name, data = f"<{len(image)} bytes>", bytes(image)
    elif isinstance(image, (str, os.PathLike)):
        name, data = str(image), read_file(Path(image))
    else:
        raise InputError(f"expected a path, bytes, a PIL image or an array, got {type(image).__name__}")
    if not data:
        raise ImageError(f"{name}: the file is empty; expected an image")
    return name, io.BytesIO(data)


def _from_array(array: NDArray[np.generic]) -> Image.Image:
    shape_fits = array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (3, 4))
    if not shape_fits or 0 in array.shape:
        raise ImageError(f"expected an array (H, W), (H, W, 3) or (H, W, 4), got {array.shape}")
    if array.dtype == np.bool_:
        return Image.fromarray(array.astype(np.uint8) * np.uint8(255))
    if array.dtype == np.uint8:
        return Image.fromarray(array)
    if array.dtype == np.uint16:
        return Image.fromarray((array.astype(np.uint16) // 256).astype(np.uint8))
    if np.issubdtype(array.dtype, np.floating):
        low, high = float(array.min()), float(array.max())
        if not (low >= 0 and high <= 1):  # NaN fails too
            raise ImageError(f"expected floating point pixels in [0, 1], got [{low}, {high}]; scale them")
        return Image.fromarray(np.round(array.astype(np.float64) * 255).astype(np.uint8))
    raise ImageError(f"expected pixels of type bool, uint8, uint16 or floating point, got {array.dtype}")


def _flatten(image: Image.Image) -> Image.Image:
    """To L or RGB: transparency over white, more than 8 bits scaled down."""
    if image.mode == "F":
        raise ImageError("expected 8 or 16 bits a channel, got floating point pixels; convert the image")
    if image.mode.startswith("I"):
        array = np.asarray(image, dtype=np.int64)
        if array.min() < 0 or array.max() > 65535:
            raise ImageError(f"expected 16-bit pixels in [0, 65535], got [{array.min()}, {array.max()}]")
        return Image.fromarray((array // 256).astype(np.uint8))
    if image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        ground = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
        return Image.alpha_composite(ground, rgba).convert("RGB")
    if image.mode in ("L", "RGB"):
        return image
    return image.convert("L" if image.mode == "1" else "RGB")
