"""Which uploaded images are taken: of known formats and of so many pixels; judged by their content alone.

Knows the headers of image files. Knows nothing of HTTP.
"""

import io
from collections.abc import Mapping, Sequence

from PIL import Image, UnidentifiedImageError

from samekind.errors import ImageError
from samekind.images import open_image

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF")
"""What cameras, scanners and browsers write. Of the rest that Pillow reads some run programs (EPS), or hold an image of
another size than they say (ICO)."""


def inspect(images: Mapping[str, Sequence[bytes]], *, pixels: int) -> int:
    """Look at the headers of images.

    Args:
        images: by the name of their field.
        pixels: that one may have at most.
    Returns:
        Pixels of all of them.
    Raises:
        ImageError: one is of no known format or of too many pixels; the text begins with the name of its field.
    """
    total = 0
    for name, several in images.items():
        for number, image in enumerate(several, 1):
            which = _which(name, number, several)
            width, height = _size(image, which)
            if not 0 < width * height <= pixels:
                got = f"{width} x {height}"
                raise ImageError(f"{which}: expected an image of 1 to {pixels} pixels, got {got}; scale it down")
            total += width * height
    return total


def blame(images: Mapping[str, Sequence[bytes]], error: ImageError) -> ImageError:
    """The same error, of the image that it is of.

    Args:
        images: by the name of their field, at least one of which cannot be decoded.
        error: raised for one of them, under the name "<N bytes>", which it has in the library.
    """
    for name, several in images.items():
        for number, image in enumerate(several, 1):
            try:
                open_image(image)
            except ImageError as found:
                return ImageError(f"{_which(name, number, several)}: {str(found).partition('>: ')[2]}")
    return error


def _which(name: str, number: int, several: Sequence[bytes]) -> str:
    return f"{name} {number}" if len(several) > 1 else name


def _size(image: bytes, which: str) -> tuple[int, int]:
    if not image:
        raise ImageError(f"{which}: expected an image, got no bytes")
    try:
        with Image.open(io.BytesIO(image), formats=FORMATS) as opened:
            return opened.size
    except UnidentifiedImageError:
        raise ImageError(f"{which}: expected an image ({', '.join(FORMATS)}), got something else") from None
    except Exception:  # decoders raise OSError, SyntaxError, struct.error, ...: each means a damaged file
        raise ImageError(f"{which}: damaged or truncated image, or one of far too many pixels") from None
