"""From an image to what a gallery keeps of it and searches by: its digest, its crop, and how a model sees that.

Knows images and the model. Knows nothing of stores or identities.

The crop is what is embedded, at enrolment, at a search and when another model embeds all anew: so the same model gives
the same embedding each time.
"""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from samekind.errors import BundleError, ImageError, InputError
from samekind.images import CROP_SIDE, ImageLike, crop, read_file
from samekind.verifier import Look, Verifier


@dataclass(frozen=True, eq=False)
class Source:
    """An image that was read but not decoded.

    Args:
        name: for a person.
        image: bytes of a file, or what was given.
        digest: SHA-256 in hexadecimal, of the file, or of size and pixels where there is none.
    """

    name: str
    image: ImageLike
    digest: str


@dataclass(frozen=True, eq=False)
class Taken:
    """An image as a gallery takes it.

    Args:
        digest: of the source.
        crop: PNG.
        look: of the crop.
    """

    digest: str
    crop: bytes
    look: Look


def read(image: ImageLike) -> Source:
    """Read an image whole.

    Raises:
        MissingDataError: there is no file at that path.
        ImageError: it cannot be read.
        InputError: it is nothing that an image can come from.
    """
    if isinstance(image, (str, os.PathLike)):
        data = read_file(Path(image))
        return Source(str(image), data, hashlib.sha256(data).hexdigest())
    if isinstance(image, (bytes, bytearray)):
        data = bytes(image)
        return Source(f"<{len(data)} bytes>", data, hashlib.sha256(data).hexdigest())
    if isinstance(image, Image.Image):
        form, pixels = f"{image.mode} {image.size}", np.asarray(image)
    elif isinstance(image, np.ndarray):
        form, pixels = f"{image.dtype.str} {image.shape}", image
    else:
        raise InputError(f"expected a path, bytes, a PIL image or an array, got {type(image).__name__}")
    return Source(f"<{form}>", image, hashlib.sha256(form.encode() + pixels.tobytes()).hexdigest())


def take(source: Source, verifier: Verifier) -> Taken:
    """Make the crop, and look at it. Raises ImageError where the image cannot be decoded."""
    try:
        picture = crop(source.image, side=max(CROP_SIDE, verifier.preprocessing.size))
    except ImageError as error:
        if not isinstance(source.image, bytes):
            raise
        raise ImageError(f"{source.name}: {str(error).partition(': ')[2]}") from None  # bytes have no name of their own
    return Taken(source.digest, picture, verifier.look(picture))


def embed(taken: Sequence[Taken], verifier: Verifier) -> NDArray[np.float32]:
    """Embeddings (N, D).

    Raises:
        BundleError: the model gives nothing that can be compared.
    """
    embeddings = verifier.embed_looks([one.look for one in taken])
    if not (np.isfinite(embeddings).all() and embeddings.any(axis=1).all()):
        raise BundleError(
            f"{verifier.bundle.path}: this model gives an embedding that is zero or not finite; train again"
        )
    return embeddings


def listed(images: Sequence[ImageLike]) -> list[ImageLike]:
    """Several images. Raises InputError where it is one, which would be taken apart."""
    if isinstance(images, (str, bytes, bytearray, os.PathLike, Image.Image, np.ndarray)):
        raise InputError(f"expected a list of images, got {type(images).__name__}; put it into a list")
    return list(images)
