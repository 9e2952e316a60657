"""The Siamese network: one encoder, used twice, and a head that says how alike two embeddings are.

Knows embeddings of pairs. Knows nothing of data or of training.
"""

import torch
from torch import Tensor, nn

from samekind.errors import InputError
from samekind.losses import euclidean_distance


class SiameseNetwork(nn.Module):
    """Two images through one encoder with shared weights (Bromley et al. 1993).

    Args:
        encoder: any module (B, C, H, W) -> (B, D).

    Example:
        >>> import torch
        >>> from samekind import ContrastiveLoss, SiameseNetwork
        >>> from samekind.encoders import SmallEncoder
        >>> network = SiameseNetwork(SmallEncoder())
        >>> x1, x2 = torch.rand(8, 1, 32, 32), torch.rand(8, 1, 32, 32)
        >>> same = torch.tensor([1, 0, 1, 0, 1, 0, 1, 0])
        >>> z1, z2 = network(x1, x2)
        >>> ContrastiveLoss(margin=2.0)(z1, z2, same).shape
        torch.Size([])
    """

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward_one(self, x: Tensor) -> Tensor:
        """Embed images: (B, C, H, W) -> (B, D)."""
        z: Tensor = self.encoder(x)
        return z

    def forward(self, x1: Tensor, x2: Tensor) -> tuple[Tensor, Tensor]:
        """Embed both sides of B pairs: (B, C, H, W) twice -> (B, D) twice."""
        return self.forward_one(x1), self.forward_one(x2)


class EuclideanHead(nn.Module):
    """Minus the Euclidean distance: (..., D), (..., D) -> (...)."""

    def forward(self, z1: Tensor, z2: Tensor) -> Tensor:
        return -euclidean_distance(z1, z2)


class CosineHead(nn.Module):
    """Cosine of the angle: (..., D), (..., D) -> (...)."""

    def forward(self, z1: Tensor, z2: Tensor) -> Tensor:
        unit1, unit2 = nn.functional.normalize(z1, dim=-1), nn.functional.normalize(z2, dim=-1)
        # of all pairs, (B, 1, D) and (1, B, D), it makes one matrix product, and no (B, B, D)
        return torch.einsum("...d,...d->...", unit1, unit2)


class WeightedL1Head(nn.Module):
    """Koch's learned weighted L1 distance: the logit of "same".

    Args:
        dim: embedding size D.
    Source: Koch, Zemel, Salakhutdinov 2015, section 3.1; differs: a bias, as in every published implementation.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(dim) * 0.2)  # section 3.2: fully connected weights
        self.bias = nn.Parameter(torch.zeros(()))

    def forward(self, z1: Tensor, z2: Tensor) -> Tensor:
        """(..., D), (..., D) -> (...)."""
        return (z1 - z2).abs() @ self.weight + self.bias


def build_head(name: str, dim: int) -> nn.Module:
    """A head by name; each has its counterpart in `samekind.similarity`. Raises InputError for an unknown name."""
    if name == "euclidean":
        return EuclideanHead()
    if name == "cosine":
        return CosineHead()
    if name == "weighted-l1":
        return WeightedL1Head(dim)
    raise InputError(f"unknown head {name!r}; expected euclidean, cosine or weighted-l1")
