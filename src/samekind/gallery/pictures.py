"""Whether a crop is what `images.crop` makes. Knows PNG, and nothing of galleries."""

import io

from PIL import Image

LONGEST = 4_096
"""Pixels of a side; a crop has no more than its model's input."""


def damage(crop: bytes) -> str | None:
    """What is wrong with it; None where it is a PNG of a fitting size whose checksums are right."""
    try:
        with Image.open(io.BytesIO(crop), formats=["PNG"]) as picture:
            if max(picture.size) > LONGEST:
                return f"a picture of {picture.width} x {picture.height} pixels"
            picture.verify()
    except Exception as error:  # decoders raise OSError, SyntaxError, struct.error, ...
        return f"a damaged picture ({str(error) or type(error).__name__})"
    return None
