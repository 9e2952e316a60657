"""Random warps of a whole batch in one resampling, affine and elastic together; and new classes made of old ones.

Knows tensors of images. Knows nothing of losses or files.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from samekind.errors import InputError


@dataclass(frozen=True)
class Warp:
    """How far each image of a batch may be warped, each on its own.

    Args:
        rotation: largest turn in degrees, either way; >= 0.
        shear: largest shear, either way; >= 0.
        scale: largest relative change of size, along each axis on its own; in [0, 1).
        translation: largest shift as a fraction of the side, along each axis; >= 0.
        elastic: standard deviation of the elastic shift of a control point as a fraction of the side; >= 0.
        cells: control points of the elastic field along each axis; >= 4.
        probability: with which each of the affine components is applied to an image; in [0, 1].
    Raises:
        InputError: a value is out of its range.
    """

    rotation: float = 10.0
    shear: float = 0.3
    scale: float = 0.2
    translation: float = 0.08
    elastic: float = 0.02
    cells: int = 5
    probability: float = 1.0

    def __post_init__(self) -> None:
        extents = (self.rotation, self.shear, self.translation, self.elastic)
        if min(extents) < 0 or not 0 <= self.scale < 1 or self.cells < 4 or not 0 <= self.probability <= 1:
            raise InputError(f"expected extents >= 0, scale in [0, 1), cells >= 4, probability in [0, 1], got {self}")

    def __call__(
        self,
        images: Tensor,
        *,
        generator: torch.Generator,
        quarter_turns: Tensor | None = None,
        mirrored: Tensor | None = None,
    ) -> Tensor:
        """Warp a batch.

        Args:
            images: (B, C, H, W) floating point, H = W, 0 where there is nothing: that is what moves in at the border.
            generator: the only source of randomness, on the CPU.
            quarter_turns: (B,) int, turns by 90 degrees anticlockwise done in the same resampling, or None.
            mirrored: (B,) bool, images whose left and right are exchanged, before any turn, in the same resampling;
                or None.
        Returns:
            (B, C, H, W), same dtype and device.
        Raises:
            InputError: the images are not square, or there are not as many turns or mirrors as images.
        """
        if images.ndim != 4 or images.shape[2] != images.shape[3]:
            raise InputError(f"expected images (B, C, H, W) with H = W, got {tuple(images.shape)}")
        batch = images.shape[0]
        if quarter_turns is not None and quarter_turns.shape != (batch,):
            raise InputError(f"expected quarter_turns ({batch},), one an image, got {tuple(quarter_turns.shape)}")
        if mirrored is not None and mirrored.shape != (batch,):
            raise InputError(f"expected mirrored ({batch},), one an image, got {tuple(mirrored.shape)}")

        def uniform(extent: float, *columns: int) -> Tensor:
            drawn = (2 * torch.rand((batch, *columns), generator=generator) - 1) * extent
            applied = torch.rand((batch, *columns), generator=generator) < self.probability
            return drawn * applied

        angle = uniform(math.radians(self.rotation))
        shear = uniform(self.shear)
        scale = 1 / (1 + uniform(self.scale, 2))
        shift = 2 * uniform(self.translation, 2)
        if quarter_turns is not None:
            angle = angle + quarter_turns.cpu() * (math.pi / 2)
        cos, sin = torch.cos(angle), torch.sin(angle)
        # rotation @ shear @ scale, row by row
        rows = torch.stack(
            (
                torch.stack((cos * scale[:, 0], (cos * shear - sin) * scale[:, 1], shift[:, 0]), dim=1),
                torch.stack((sin * scale[:, 0], (sin * shear + cos) * scale[:, 1], shift[:, 1]), dim=1),
            ),
            dim=1,
        )  # (B, 2, 3), from where a pixel goes to where it comes from
        if mirrored is not None:
            rows[:, 0] *= torch.where(mirrored.cpu(), -1.0, 1.0)[:, None]
        grid = F.affine_grid(rows.to(images.device), list(images.shape), align_corners=False)
        if self.elastic > 0:
            coarse = torch.randn((batch, 2, self.cells, self.cells), generator=generator) * (2 * self.elastic)
            field = F.interpolate(
                coarse.to(images.device), size=images.shape[2:], mode="bicubic", align_corners=True
            )  # (B, 2, H, W)
            grid = grid + field.permute(0, 2, 3, 1)
        return F.grid_sample(images, grid.to(images.dtype), align_corners=False)


CUT_NEAR_MIDDLE = 0.1  # of the side: how far from the middle a chimera is cut, at most

KOCH_WARP = Warp(rotation=10.0, shear=0.3, scale=0.2, translation=2 / 105, elastic=0.0, probability=0.5)
"""Koch, Zemel, Salakhutdinov 2015, section 3.3: each component with probability one half."""


def chimeras(
    images: Tensor, labels: Tensor, *, images_each: int, share: float, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Turn some classes of a batch into new ones: each keeps one half and takes the other from a class that stays.

    Where the cut runs, at any angle and near the middle, belongs to the class: it is the same in all of its images. The
    class that gave a half is in the batch too, so half of an image is never enough to tell the two apart.

    Args:
        images: (P * K, C, H, W), the K images of a class side by side.
        labels: (P * K,) int >= 0, their classes.
        images_each: K.
        share: of the P classes that become chimeras, in [0, 1); those at the end of the batch.
        generator: draws the partners and the cuts, on the CPU.
    Returns:
        The images and their labels, of the same shapes; the labels of chimeras are below 0.
    Raises:
        InputError: the batch is not of whole classes, or the share is out of its range.
    """
    count, rest = divmod(len(images), images_each)
    if rest or labels.shape != images.shape[:1] or not 0 <= share < 1:
        raise InputError(
            f"expected a multiple of {images_each} images with as many labels and a share in [0, 1), "
            f"got {len(images)}, {len(labels)} and {share}"
        )
    made = round(share * count)
    if made == 0:
        return images, labels
    kept = count - made
    partners = torch.randint(kept, (made,), generator=generator)
    angle = 2 * math.pi * torch.rand(made, 1, 1, generator=generator)
    offset = CUT_NEAR_MIDDLE * (2 * torch.rand(made, 1, 1, generator=generator) - 1)
    y, x = (torch.linspace(-0.5, 0.5, side) for side in images.shape[2:])
    own = x * torch.cos(angle) + y[:, None] * torch.sin(angle) > offset  # (made, H, W)
    by_class = images.view(count, images_each, *images.shape[1:])
    mixed = torch.where(own[:, None, None].to(images.device), by_class[kept:], by_class[partners.to(images.device)])
    fresh = -1 - torch.arange(made, dtype=labels.dtype, device=labels.device)
    return (
        torch.cat([by_class[:kept], mixed]).flatten(0, 1),
        torch.cat([labels[: kept * images_each], fresh.repeat_interleave(images_each)]),
    )
