"""A data set as everything here takes it: images with a class each, and perhaps a group and a source.

Knows how to read one image and to count. Knows nothing of where a data set comes from.
"""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from samekind.errors import InputError
from samekind.images import ImageLike, Preprocessing, open_image


@dataclass(frozen=True, eq=False)
class LabelledImages:
    """N images, each of one class.

    Args:
        name: what a person calls it, e.g. "omniglot:background".
        items: N images: paths, encoded bytes or arrays; read when asked for.
        names: N short names, to tell a person which image is meant.
        labels: (N,) int64, index into classes.
        classes: names of the classes, in the order of the labels.
        groups: the group of each class (an alphabet), or None.
        sources: (N,) int64, who or what made each image (a drawer), or None.
        characters: true where a class turned by 90 degrees is another class and images are dark ink on light ground.
    Raises:
        InputError: lengths differ, or a label is no index into classes.
    """

    name: str
    items: Sequence[ImageLike]
    names: tuple[str, ...]
    labels: NDArray[np.int64]
    classes: tuple[str, ...]
    groups: tuple[str, ...] | None = None
    sources: NDArray[np.int64] | None = None
    characters: bool = False

    def __post_init__(self) -> None:
        n = len(self.items)
        if not n == len(self.names) == len(self.labels) or (self.sources is not None and len(self.sources) != n):
            raise InputError(f"{self.name}: expected as many names, labels and sources as images ({n})")
        if self.groups is not None and len(self.groups) != len(self.classes):
            raise InputError(f"{self.name}: expected one group a class, got {len(self.groups)} for {len(self.classes)}")
        if n and not (self.labels.min() >= 0 and self.labels.max() < len(self.classes)):
            raise InputError(f"{self.name}: expected labels in 0..{len(self.classes) - 1}")

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> tuple[Image.Image, int]:
        """The image, decoded and upright, and its label. Raises ImageError where it cannot be read."""
        return open_image(self.items[index]), int(self.labels[index])

    def take(self, indices: NDArray[np.integer]) -> "LabelledImages":
        """The images at these indices, in this order; the classes stay as they are."""
        return replace(
            self,
            items=[self.items[i] for i in indices],
            names=tuple(self.names[i] for i in indices),
            labels=self.labels[indices],
            sources=None if self.sources is None else self.sources[indices],
        )

    def take_classes(self, classes: NDArray[np.integer]) -> "LabelledImages":
        """The images of these classes only, with labels counted anew from 0 in this order."""
        position = np.full(len(self.classes), -1, dtype=np.int64)
        position[classes] = np.arange(len(classes))
        kept = self.take(np.flatnonzero(position[self.labels] >= 0))
        return replace(
            kept,
            labels=position[kept.labels],
            classes=tuple(self.classes[c] for c in classes),
            groups=None if self.groups is None else tuple(self.groups[c] for c in classes),
        )

    def pixels(self, preprocessing: Preprocessing) -> NDArray[np.uint8]:
        """All images through the one preprocessing path: (N, C, H, W) uint8."""
        shape = (preprocessing.channels, preprocessing.size, preprocessing.size)
        stacked = np.empty((len(self), *shape), dtype=np.uint8)
        for index, item in enumerate(self.items):
            stacked[index] = preprocessing.pixels(item)
        return stacked

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write every image as PNG into one sub-folder a class, the layout that `samekind train` reads.

        Args:
            folder: a new or empty folder.
        Raises:
            InputError: the folder holds something, cannot be written, or the name of a class is no path below it.
            ImageError: an image cannot be read.
        """
        root = Path(folder)
        for name in self.classes:
            if Path(name).is_absolute() or ".." in Path(name).parts:
                raise InputError(f"expected names of classes that are paths below {root}, got {name!r}")
        try:
            root.mkdir(parents=True, exist_ok=True)
            if any(root.iterdir()):
                raise InputError(f"{root}: expected a new or empty folder, got one that holds something")
            for index in range(len(self)):
                image, label = self[index]
                place = root / self.classes[label]
                place.mkdir(parents=True, exist_ok=True)
                image.save(place / f"{index:06d}.png")
        except OSError as error:
            raise InputError(f"{root}: cannot be written ({error.strerror})") from None

    @cached_property
    def group_labels(self) -> NDArray[np.int64]:
        """(N,) int64, the group of each image, counted from 0; all 0 where there are no groups."""
        if self.groups is None:
            return np.zeros(len(self), dtype=np.int64)
        of_class = np.unique(np.asarray(self.groups), return_inverse=True)[1]
        return of_class.astype(np.int64)[self.labels]

    @cached_property
    def digests(self) -> tuple[str, ...]:
        """SHA-256 of each image as it is stored (N hexadecimal strings)."""
        return tuple(hashlib.sha256(_stored(item)).hexdigest() for item in self.items)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over classes and images, in an order that does not depend on how they were listed."""
        groups = self.groups or ("",) * len(self.classes)
        rows = sorted(
            f"{groups[label]}\t{self.classes[label]}\t{digest}"
            for label, digest in zip(self.labels, self.digests, strict=True)
        )
        return hashlib.sha256("\n".join(rows).encode(errors="surrogateescape")).hexdigest()  # as the names are on disk


def _stored(item: ImageLike) -> bytes:
    if isinstance(item, bytes):
        return item
    if isinstance(item, np.ndarray):
        return f"{item.shape}{item.dtype}".encode() + item.tobytes()
    if isinstance(item, Image.Image):
        return f"{item.size}{item.mode}".encode() + item.tobytes()
    return Path(item).read_bytes()
