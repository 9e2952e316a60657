"""Losses of metric learning: functions of a score matrix and of which of its pairs are positive and negative.

A score is larger for more alike pairs; a distance appears only inside the textbook `ContrastiveLoss` and where a
formula of the literature is written in it. Knows nothing of images or encoders.
"""

from collections.abc import Callable
from typing import TypeAlias, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from samekind.errors import InputError, MissingExtraError

PairLoss: TypeAlias = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(scores (Q, R), positives (Q, R) bool, negatives (Q, R) bool) -> () loss."""


def contrastive(
    scores: Tensor, positives: Tensor, negatives: Tensor, *, margin: float = 1.0, hardest: int | None = 4
) -> Tensor:
    """Pull positives to distance zero, push negatives beyond the margin.

    Args:
        scores: (Q, R) float, minus the Euclidean distance; larger is more alike.
        positives: (Q, R) bool, true where both sides show one class; the diagonal is already false.
        negatives: (Q, R) bool, true where the classes differ.
        margin: distance beyond which a negative costs nothing; > 0.
        hardest: of each query, only its this many closest negatives count; None counts all; >= 1.
    Returns:
        () float >= 0, attached to the graph: half the mean over positives plus half the mean over those negatives.
    Raises:
        InputError: shapes differ, no pair of a kind is marked, or margin or hardest is out of range.
    Source: Hadsell, Chopra, LeCun 2006, eq. 4; differs: one mean for each kind of pair instead of one sum, and the
        choice of negatives, because nearly all of a batch's negatives soon lie beyond the margin and teach nothing.
    """
    _check(scores, positives, negatives)
    _check_margin(margin)
    distances = -scores
    pull = distances[positives].square().mean()
    if hardest is None:
        push = F.relu(margin - distances[negatives]).square().mean()
    else:
        if hardest < 1:
            raise InputError(f"expected hardest >= 1 or None, got {hardest}")
        most = min(hardest, int(negatives.sum(dim=1).max()))
        closest = distances.masked_fill(~negatives, torch.inf).topk(most, dim=1, largest=False).values
        push = F.relu(margin - closest[closest.isfinite()]).square().mean()
    return (pull + push) / 2


def triplet(scores: Tensor, positives: Tensor, negatives: Tensor, *, margin: float = 0.2) -> Tensor:
    """Every query's least alike positive must score above its most alike negative, by a margin.

    Args:
        scores: (Q, R) float; larger is more alike.
        positives: (Q, R) bool.
        negatives: (Q, R) bool.
        margin: by which the positive's score must be larger; > 0.
    Returns:
        () float >= 0, mean over the queries that have both kinds of pair.
    Raises:
        InputError: shapes differ, no query has pairs of both kinds, or margin is not positive.
    Source: Hermans, Beyer, Leibe 2017, eq. 5 (batch hard); differs: mean instead of sum.
    """
    _check(scores, positives, negatives)
    _check_margin(margin)
    hardest_positive = scores.masked_fill(~positives, torch.inf).amin(dim=1)
    hardest_negative = scores.masked_fill(~negatives, -torch.inf).amax(dim=1)
    complete = positives.any(dim=1) & negatives.any(dim=1)
    if not complete.any():
        raise InputError("expected a query with both positive and negative pairs; draw several images of each class")
    return F.relu(margin + hardest_negative[complete] - hardest_positive[complete]).mean()


def supervised_contrastive(
    scores: Tensor, positives: Tensor, negatives: Tensor, *, temperature: float = 0.07
) -> Tensor:
    """Each positive of a query must win against all of its other pairs.

    Args:
        scores: (Q, R) float, cosine; larger is more alike.
        positives: (Q, R) bool.
        negatives: (Q, R) bool.
        temperature: scores are divided by it; > 0.
    Returns:
        () float >= 0, mean over the queries that have a positive.
    Raises:
        InputError: shapes differ, no pair of a kind is marked, or temperature is not positive.
    Source: Khosla et al. 2020, eq. 2 (mean over positives outside the logarithm).
    """
    _check(scores, positives, negatives)
    if not temperature > 0:
        raise InputError(f"expected a temperature > 0, got {temperature}")
    logits = (scores / temperature).masked_fill(~(positives | negatives), -torch.inf)
    log_share = logits - logits.logsumexp(dim=1, keepdim=True)
    counts = positives.sum(dim=1)
    total = -log_share.masked_fill(~positives, 0.0).sum(dim=1)
    return (total / counts.clamp(min=1))[counts > 0].mean()


def pair_cross_entropy(scores: Tensor, positives: Tensor, negatives: Tensor) -> Tensor:
    """Binary cross-entropy of "same" against "different", both kinds of pair with equal weight.

    Args:
        scores: (Q, R) float, logit of "same".
        positives: (Q, R) bool.
        negatives: (Q, R) bool.
    Returns:
        () float >= 0.
    Raises:
        InputError: shapes differ or no pair of a kind is marked.
    Source: Koch, Zemel, Salakhutdinov 2015, section 3.2; differs: all pairs of the batch, each kind averaged on its
        own, which is what his half-and-half pairs are in expectation; his L2 penalty is the optimiser's weight decay.
    """
    _check(scores, positives, negatives)
    return (F.softplus(-scores[positives]).mean() + F.softplus(scores[negatives]).mean()) / 2


def masks(labels: Tensor) -> tuple[Tensor, Tensor]:
    """Which pairs of a batch are positive and negative.

    Args:
        labels: (B,) int.
    Returns:
        positives and negatives, (B, B) bool each; the diagonal is false in both.
    """
    same = labels[:, None] == labels[None, :]
    itself = torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    return same & ~itself, ~same


class ContrastiveLoss(nn.Module):
    """The contrastive loss as textbooks print it: on given pairs.

    Args:
        margin: distance beyond which a pair of different classes costs nothing; > 0.
    Raises:
        InputError: margin is not positive.
    Source: Hadsell, Chopra, LeCun 2006, eq. 4 without its halves; differs: label 1 means *same* (theirs: 0), mean
        over the pairs instead of sum.
    """

    def __init__(self, margin: float = 2.0) -> None:
        super().__init__()
        _check_margin(margin)
        self.margin = margin

    def forward(self, z1: Tensor, z2: Tensor, label: Tensor) -> Tensor:
        """Mean loss of B pairs.

        Args:
            z1: (B, D) float.
            z2: (B, D) float.
            label: (B,) bool, or numbers 0 and 1: 1 where both show the same class.
        Returns:
            () float >= 0; its gradient is finite where z1 equals z2.
        Raises:
            InputError: shapes differ, there is no pair, or a label is neither 0 nor 1.
        """
        if z1.shape != z2.shape or z1.ndim != 2 or label.shape != z1.shape[:1] or not len(label):
            raise InputError(
                "expected z1 and z2 (B, D) and label (B,) with B >= 1, "
                f"got {tuple(z1.shape)}, {tuple(z2.shape)}, {tuple(label.shape)}"
            )
        if not ((label == 0) | (label == 1)).all():
            raise InputError("expected labels 1 (same class) or 0 (different), got other values")
        distances = euclidean_distance(z1, z2)
        pull = distances.square()
        push = F.relu(self.margin - distances).square()
        return torch.where(label.bool(), pull, push).mean()


def euclidean_distance(z1: Tensor, z2: Tensor) -> Tensor:
    """Euclidean distance along the last axis, with gradient zero instead of NaN where both are equal.

    Args:
        z1: (..., D) float.
        z2: (..., D) float; leading axes broadcast.
    Returns:
        (...) float >= 0.
    """
    squared = (z1 - z2).square().sum(dim=-1)
    equal = squared == 0
    return torch.where(equal, squared, squared.masked_fill(equal, 1.0).sqrt())


def library_loss(name: str) -> Callable[[Tensor, Tensor], Tensor]:
    """A loss of the library pytorch-metric-learning, with its default arguments.

    Args:
        name: class name there, e.g. "MultiSimilarityLoss".
    Returns:
        A function of embeddings (B, D) and labels (B,).
    Raises:
        MissingExtraError: the library is not installed.
        InputError: it has no such loss, or one that needs arguments.
    """
    try:
        from pytorch_metric_learning import losses
    except ImportError:
        raise MissingExtraError("pytorch-metric-learning is not installed: pip install 'samekind[pml]'") from None
    known = getattr(losses, name, None)
    if not isinstance(known, type):
        raise InputError(f"pytorch-metric-learning has no loss {name!r}")
    try:
        return cast("Callable[[Tensor, Tensor], Tensor]", known())
    except TypeError as error:
        raise InputError(f"{name} cannot be made without arguments ({error}); use it from Python instead") from None


LOSSES: dict[str, tuple[PairLoss, str]] = {
    "contrastive": (contrastive, "euclidean"),
    "triplet": (triplet, "euclidean"),
    "supcon": (supervised_contrastive, "cosine"),
    "cross-entropy": (pair_cross_entropy, "weighted-l1"),
}
"""By name: the loss and the head that makes its scores."""


def learns_comparison(name: str) -> bool:
    """Whether a loss learns how embeddings are compared: a weight for each of an embedding's numbers."""
    return name in LOSSES and LOSSES[name][1] == "weighted-l1"


def _check(scores: Tensor, positives: Tensor, negatives: Tensor) -> None:
    if scores.ndim != 2 or not scores.shape == positives.shape == negatives.shape:
        shapes = (tuple(scores.shape), tuple(positives.shape), tuple(negatives.shape))
        raise InputError(f"expected scores, positives and negatives of one shape (Q, R), got {shapes}")
    if not positives.any() or not negatives.any():
        raise InputError("expected at least one positive and one negative pair; draw several images of several classes")


def _check_margin(margin: float) -> None:
    if not margin > 0:
        raise InputError(f"expected a margin > 0, got {margin}")
