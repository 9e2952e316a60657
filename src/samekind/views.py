"""Several views of one image, embedded by one encoder: a self-ensemble.

Knows tensors of images and encoders. Knows nothing of training or of data.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from samekind.errors import InputError

VIEWS: tuple[tuple[int, bool, float, float, float], ...] = (
    (0, False, 8.0, 1.0, 1.0),
    (2, False, -8.0, 1.0, 1.0),
    (1, True, 0.0, 0.88, 1.0),
    (3, True, 0.0, 1.0, 0.88),
)
"""Quarter turns, whether mirrored before, then degrees of rotation and the scale along both axes.

Where an encoder has learned that a character in another pose is another character, it looks at each pose with other
eyes, and the mean of what it says of four is right more often than what it says of one. A small warp of each, within
what training showed it, helps telling pairs apart. Chosen on background alphabets (`docs/experiments.md`).
"""

COUNTS = (1, len(VIEWS))


class SelfEnsemble(nn.Module):
    """An encoder that looks at each image several times: the embeddings of its views, side by side.

    The cosine of two such embeddings is the mean of the views' cosines where the encoder's have length 1; the squared
    Euclidean distance is the mean of the views' squared distances.

    Args:
        encoder: (B, C, size, size) -> (B, D).
        size: height and width of the input.
    """

    grids: Tensor

    def __init__(self, encoder: nn.Module, size: int) -> None:
        super().__init__()
        self.encoder = encoder
        rows = torch.tensor([_sources(*view) for view in VIEWS])
        grids = F.affine_grid(rows, [len(VIEWS), 1, size, size], align_corners=False)
        self.register_buffer("grids", grids, persistent=False)  # (V, size, size, 2)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, size, size), 0 where there is nothing -> (B, V * D)."""
        views = [
            F.grid_sample(x, grid.expand(x.shape[0], -1, -1, -1), align_corners=False) for grid in self.grids.unbind()
        ]
        together: Tensor = self.encoder(torch.cat(views))  # (V * B, D), as one batch
        return together.reshape(len(views), -1, together.shape[1]).transpose(0, 1).flatten(1) / math.sqrt(len(views))


def with_views(encoder: nn.Module, count: int, *, size: int) -> nn.Module:
    """The encoder as a decision uses it: itself for one view, its self-ensemble for several.

    Args:
        encoder: (B, C, size, size) -> (B, D).
        count: of views; one of COUNTS.
        size: height and width of the input.
    Returns:
        A module (B, C, size, size) -> (B, count * D).
    Raises:
        InputError: the count is none of COUNTS.
    """
    if count not in COUNTS:
        raise InputError(f"expected {' or '.join(map(str, COUNTS))} views, got {count}")
    return encoder if count == 1 else SelfEnsemble(encoder, size).train(encoder.training)


def _sources(turns: int, mirrored: bool, degrees: float, wide: float, high: float) -> list[list[float]]:
    """From where a pixel goes to where it comes from: two rows of an affine map, as `augment.Warp` composes them."""
    angle = math.radians(degrees) + turns * math.pi / 2
    cos, sin = math.cos(angle), math.sin(angle)
    flip = -1.0 if mirrored else 1.0
    return [[flip * cos / wide, -flip * sin / high, 0.0], [sin / wide, cos / high, 0.0]]
