"""Losses: each against a loop on literal pairs, against the library that has it, and by its laws."""

import math
from collections.abc import Callable
from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pytorch_metric_learning import distances, losses, miners
from torch import Tensor

from samekind.errors import InputError
from samekind.losses import (
    LOSSES,
    ContrastiveLoss,
    PairLoss,
    contrastive,
    euclidean_distance,
    library_loss,
    masks,
    pair_cross_entropy,
    supervised_contrastive,
    triplet,
)

LABELS = torch.tensor([0, 0, 1, 1, 1, 2, 0, 2])


def embeddings(seed: int = 0, *, unit: bool = True, dtype: torch.dtype = torch.float64) -> Tensor:
    z = torch.randn((len(LABELS), 4), generator=torch.Generator().manual_seed(seed), dtype=dtype)
    return torch.nn.functional.normalize(z, dim=1) if unit else z


def distance_scores(z: Tensor) -> Tensor:
    return -torch.cdist(z, z, compute_mode="donot_use_mm_for_euclid_dist")


def lists(scores: Tensor, positives: Tensor, negatives: Tensor) -> list[tuple[list[float], list[float]]]:
    """Scores of the positives and of the negatives of each query."""
    return [
        ([s for s, p in zip(row, ps, strict=True) if p], [s for s, n in zip(row, ns, strict=True) if n])
        for row, ps, ns in zip(scores.tolist(), positives.tolist(), negatives.tolist(), strict=True)
    ]


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


def contrastive_loop(rows: list[tuple[list[float], list[float]]], margin: float, hardest: int | None) -> float:
    pull = [score**2 for same, _ in rows for score in same]
    push = [max(0.0, margin + score) ** 2 for _, other in rows for score in sorted(other, reverse=True)[:hardest]]
    return (mean(pull) + mean(push)) / 2


def triplet_loop(rows: list[tuple[list[float], list[float]]], margin: float) -> float:
    return mean([max(0.0, margin + max(other) - min(same)) for same, other in rows if same and other])


def supervised_loop(rows: list[tuple[list[float], list[float]]], temperature: float) -> float:
    each = []
    for same, other in rows:
        if same:
            total = sum(math.exp(score / temperature) for score in same + other)
            each.append(mean([-math.log(math.exp(score / temperature) / total) for score in same]))
    return mean(each)


def cross_entropy_loop(rows: list[tuple[list[float], list[float]]]) -> float:
    same = [-math.log(1 / (1 + math.exp(-score))) for row, _ in rows for score in row]
    other = [-math.log(1 - 1 / (1 + math.exp(-score))) for _, row in rows for score in row]
    return (mean(same) + mean(other)) / 2


@pytest.mark.parametrize("margin", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("hardest", [None, 1, 2, 4, 99])
def test_contrastive_is_its_loop(margin: float, hardest: int | None) -> None:
    scores = distance_scores(embeddings())
    pairs = masks(LABELS)
    found = contrastive(scores, *pairs, margin=margin, hardest=hardest)
    assert float(found) == pytest.approx(contrastive_loop(lists(scores, *pairs), margin, hardest))


@pytest.mark.parametrize("margin", [0.1, 0.5])
def test_triplet_is_its_loop(margin: float) -> None:
    scores = distance_scores(embeddings())
    pairs = masks(LABELS)
    assert float(triplet(scores, *pairs, margin=margin)) == pytest.approx(triplet_loop(lists(scores, *pairs), margin))


@pytest.mark.parametrize("temperature", [0.05, 0.1, 1.0])
def test_supervised_contrastive_is_its_loop(temperature: float) -> None:
    z = embeddings()
    pairs = masks(LABELS)
    found = supervised_contrastive(z @ z.T, *pairs, temperature=temperature)
    assert float(found) == pytest.approx(supervised_loop(lists(z @ z.T, *pairs), temperature))


def test_cross_entropy_is_its_loop() -> None:
    scores = 3 * distance_scores(embeddings()) + 1
    pairs = masks(LABELS)
    assert float(pair_cross_entropy(scores, *pairs)) == pytest.approx(cross_entropy_loop(lists(scores, *pairs)))


def test_queries_need_not_be_the_references() -> None:
    z = embeddings()
    scores = distance_scores(z)[:3]  # the third query has no positive among these references
    positives = torch.zeros(3, 8, dtype=torch.bool)
    positives[0, 1] = positives[1, 0] = positives[1, 6] = True
    negatives = torch.zeros(3, 8, dtype=torch.bool)
    negatives[:, 2:6] = True
    rows = lists(scores, positives, negatives)
    assert float(contrastive(scores, positives, negatives, hardest=3)) == pytest.approx(contrastive_loop(rows, 1.0, 3))
    assert float(triplet(scores, positives, negatives)) == pytest.approx(triplet_loop(rows, 0.2))
    found = supervised_contrastive(scores, positives, negatives, temperature=0.1)
    assert float(found) == pytest.approx(supervised_loop(rows, 0.1))
    assert float(pair_cross_entropy(scores, positives, negatives)) == pytest.approx(cross_entropy_loop(rows))


def test_rows_without_pairs_leave_the_gradient_finite() -> None:
    for loss in (contrastive, triplet, supervised_contrastive, pair_cross_entropy):
        scores = distance_scores(embeddings()).requires_grad_()
        positives, negatives = masks(LABELS)
        positives[3] = False
        negatives[3] = False
        loss(scores, positives, negatives).backward()  # type: ignore[no-untyped-call]
        assert scores.grad is not None
        assert scores.grad.isfinite().all()
        assert not scores.grad[3].any()


@pytest.mark.parametrize("temperature", [0.1, 0.5])
def test_supervised_contrastive_is_that_of_the_library(temperature: float) -> None:
    z = embeddings(dtype=torch.float32)
    expected = losses.SupConLoss(temperature=temperature)(z, LABELS)
    torch.testing.assert_close(supervised_contrastive(z @ z.T, *masks(LABELS), temperature=temperature), expected)


def test_triplet_is_that_of_the_library_with_its_hardest_miner() -> None:
    z = embeddings(dtype=torch.float32)
    euclidean = distances.LpDistance(normalize_embeddings=False)
    hardest = miners.BatchHardMiner(distance=euclidean)(z, LABELS)
    loss = losses.TripletMarginLoss(margin=0.2, distance=euclidean, reducer=None)
    total = loss(z, LABELS, hardest) * _nonzero(z)  # the library averages over the triplets that cost something
    torch.testing.assert_close(triplet(distance_scores(z), *masks(LABELS)), total / len(LABELS))


def _nonzero(z: Tensor) -> int:
    rows = lists(distance_scores(z), *masks(LABELS))
    return sum(0.2 + max(other) - min(same) > 0 for same, other in rows)


def test_the_textbook_loss_over_all_pairs_by_the_distances_of_the_library() -> None:
    z = embeddings(dtype=torch.float32)
    positives, negatives = masks(LABELS)
    left, right = (positives | negatives).nonzero(as_tuple=True)
    ours = ContrastiveLoss(margin=1.2)(z[left], z[right], positives[left, right])
    d = distances.LpDistance(normalize_embeddings=False)(z)
    expected = torch.where(positives, d**2, (1.2 - d).clamp(min=0) ** 2)[positives | negatives].mean()
    torch.testing.assert_close(ours, expected)


# Laws.

BY_NAME: dict[str, PairLoss] = {
    "contrastive": partial(contrastive, hardest=None),
    "contrastive of the hardest": contrastive,
    "triplet": triplet,
    "supcon": supervised_contrastive,
    "cross-entropy": pair_cross_entropy,
}
POSITIVES, NEGATIVES = (mask.flatten().nonzero()[:, 0].tolist() for mask in masks(LABELS))
SCORES = st.lists(st.floats(-2, 0, width=32), min_size=64, max_size=64)


@pytest.mark.parametrize("name", [name for name in BY_NAME if name != "supcon"])
@settings(max_examples=25)
@given(values=SCORES, at=st.sampled_from(POSITIVES), step=st.floats(0, 1, width=32))
def test_pulling_a_positive_closer_never_raises_the_loss(name: str, values: list[float], at: int, step: float) -> None:
    positives, negatives = masks(LABELS)
    scores = torch.tensor(values, dtype=torch.float64).reshape(8, 8)
    closer = scores.flatten().clone()
    closer[at] += step * -closer[at]  # towards 0, the score of equal embeddings
    loss = BY_NAME[name]
    assert loss(closer.reshape(8, 8), positives, negatives) <= loss(scores, positives, negatives) + 1e-9


@settings(max_examples=25)
@given(values=SCORES, query=st.integers(0, 7), step=st.floats(0, 1, width=32))
def test_pulling_all_positives_closer_never_raises_supervised_contrastive(
    values: list[float], query: int, step: float
) -> None:
    """One alone may: it then takes more than its share from the query's other positives."""
    scores = torch.tensor(values, dtype=torch.float64).reshape(8, 8)
    closer = scores.clone()
    closer[query, masks(LABELS)[0][query]] += step
    before, after = (supervised_contrastive(s, *masks(LABELS)) for s in (scores, closer))
    assert after <= before + 1e-9


@pytest.mark.parametrize("name", BY_NAME)
@settings(max_examples=25)
@given(values=SCORES, at=st.sampled_from(NEGATIVES), step=st.floats(0, 1, width=32))
def test_pushing_a_negative_away_never_raises_the_loss(name: str, values: list[float], at: int, step: float) -> None:
    positives, negatives = masks(LABELS)
    scores = torch.tensor(values, dtype=torch.float64)
    farther = scores.clone()
    farther[at] -= step
    loss = BY_NAME[name]
    before, after = (loss(s.reshape(8, 8), positives, negatives) for s in (scores, farther))
    assert after <= before + 1e-9


@pytest.mark.parametrize("name", BY_NAME)
@settings(max_examples=25)
@given(values=SCORES, order=st.permutations(range(8)))
def test_the_order_of_the_batch_does_not_matter(name: str, values: list[float], order: list[int]) -> None:
    scores = torch.tensor(values, dtype=torch.float64).reshape(8, 8)
    loss = BY_NAME[name]
    there = loss(scores[order][:, order], *masks(LABELS[order]))
    assert float(there) == pytest.approx(float(loss(scores, *masks(LABELS))))


@pytest.mark.parametrize("name", BY_NAME)
@settings(max_examples=20)
@given(values=SCORES)
def test_no_loss_is_negative(name: str, values: list[float]) -> None:
    assert BY_NAME[name](torch.tensor(values).reshape(8, 8), *masks(LABELS)) >= 0


def test_every_loss_has_the_right_sign() -> None:
    """Descending the gradient makes positives more alike and negatives less."""
    for loss, _ in LOSSES.values():
        scores = (0.1 * torch.randn((8, 8), generator=torch.Generator().manual_seed(0)) - 0.3).requires_grad_()
        positives, negatives = masks(LABELS)
        loss(scores, positives, negatives).backward()  # type: ignore[no-untyped-call]
        assert scores.grad is not None
        assert scores.grad[positives].sum() < 0
        assert scores.grad[negatives].sum() > 0


@pytest.mark.parametrize(
    "with_value",
    [
        lambda s, p, n, v: contrastive(s, p, n, margin=v),
        lambda s, p, n, v: contrastive(s, p, n, hardest=int(10 * v)),
        lambda s, p, n, v: triplet(s, p, n, margin=v),
        lambda s, p, n, v: supervised_contrastive(s, p, n, temperature=v),
    ],
    ids=["contrastive margin", "contrastive hardest", "triplet margin", "supcon temperature"],
)
def test_every_parameter_matters(with_value: Callable[[Tensor, Tensor, Tensor, float], Tensor]) -> None:
    scores = distance_scores(embeddings())
    assert with_value(scores, *masks(LABELS), 0.1) != with_value(scores, *masks(LABELS), 0.9)


# The textbook form.


def textbook_loop(z1: Tensor, z2: Tensor, label: Tensor, margin: float) -> float:
    each = []
    for a, b, same in zip(z1.tolist(), z2.tolist(), label.tolist(), strict=True):
        distance = math.dist(a, b)
        each.append(distance**2 if same else max(0.0, margin - distance) ** 2)
    return mean(each)


@pytest.mark.parametrize("margin", [0.5, 2.0, 5.0])
def test_contrastive_loss_is_its_loop(margin: float) -> None:
    z1, z2 = embeddings(1, unit=False), embeddings(2, unit=False)
    label = torch.tensor([1, 0, 0, 1, 1, 0, 0, 1])
    expected = pytest.approx(textbook_loop(z1, z2, label, margin))
    for form in (label, label.bool(), label.float()):
        assert float(ContrastiveLoss(margin)(z1, z2, form)) == expected
    assert ContrastiveLoss().margin == 2.0


def test_contrastive_loss_of_three_pairs_by_hand() -> None:
    z1 = torch.tensor([[0.0, 0.0], [0.0, 0.0], [0.0, 0.0]])
    z2 = torch.tensor([[3.0, 4.0], [0.0, 1.0], [3.0, 4.0]])
    loss = ContrastiveLoss(margin=2.0)
    assert float(loss(z1[:1], z2[:1], torch.tensor([1]))) == pytest.approx(25)
    assert float(loss(z1[1:2], z2[1:2], torch.tensor([0]))) == pytest.approx(1)
    assert float(loss(z1[2:], z2[2:], torch.tensor([False]))) == 0
    assert float(loss(z1, z2, torch.tensor([1, 0, 0]))) == pytest.approx(26 / 3)


@pytest.mark.parametrize("same", [0, 1])
def test_gradient_is_finite_where_the_embeddings_are_equal(same: int) -> None:
    z1 = torch.ones(3, 4, requires_grad=True)
    z2 = torch.ones(3, 4, requires_grad=True)
    loss = ContrastiveLoss()(z1, z2, torch.full((3,), same))
    loss.backward()
    for z in (z1, z2):
        assert z.grad is not None
        assert z.grad.isfinite().all()
    assert loss.item() == (0.0 if same else 4.0)


def test_gradient_is_that_of_finite_differences() -> None:
    z1, z2 = embeddings(1), embeddings(2)
    label = torch.tensor([1, 0, 0, 1, 1, 0, 0, 1])

    def of(left: Tensor, right: Tensor) -> Tensor:
        result: Tensor = ContrastiveLoss(1.5)(left, right, label)
        return result

    assert torch.autograd.gradcheck(of, (z1.requires_grad_(), z2.requires_grad_()))


@given(st.lists(st.floats(-1e3, 1e3, width=32), min_size=8, max_size=8))
def test_distance_is_that_of_the_library(values: list[float]) -> None:
    left, right = torch.tensor(values).reshape(2, 4)
    torch.testing.assert_close(euclidean_distance(left, right), torch.dist(left, right), atol=1e-6, rtol=1e-5)


def test_tiny_distances_have_a_gradient_of_length_one() -> None:
    z = torch.tensor([1e-18, 0.0], requires_grad=True)
    euclidean_distance(z, torch.zeros(2)).backward()  # type: ignore[no-untyped-call]
    assert z.grad is not None
    assert float(z.grad.norm()) == pytest.approx(1, rel=1e-3)


def test_masks() -> None:
    positives, negatives = masks(torch.tensor([5, 5, 7]))
    assert positives.tolist() == [[False, True, False], [True, False, False], [False, False, False]]
    assert negatives.tolist() == [[False, False, True], [False, False, True], [True, True, False]]


# Errors.


@pytest.mark.parametrize("margin", [0.0, -1.0, math.nan])
def test_a_margin_that_is_not_positive_is_an_error(margin: float) -> None:
    with pytest.raises(InputError, match="margin > 0"):
        ContrastiveLoss(margin)
    for loss in (contrastive, triplet):
        with pytest.raises(InputError, match="margin > 0"):
            loss(distance_scores(embeddings()), *masks(LABELS), margin=margin)


def test_values_out_of_range_are_errors() -> None:
    scores = distance_scores(embeddings())
    for temperature in (0.0, -1.0, math.nan):
        with pytest.raises(InputError, match="temperature > 0"):
            supervised_contrastive(scores, *masks(LABELS), temperature=temperature)
    with pytest.raises(InputError, match="hardest >= 1 or None, got 0"):
        contrastive(scores, *masks(LABELS), hardest=0)


@pytest.mark.parametrize("name", LOSSES)
def test_wrong_masks_are_errors(name: str) -> None:
    loss, _ = LOSSES[name]
    scores = distance_scores(embeddings())
    positives, negatives = masks(LABELS)
    for wrong in ((scores[:4], positives, negatives), (scores, positives[:, :4], negatives), (scores[0],) * 3):
        with pytest.raises(InputError, match="one shape"):
            loss(*wrong)
    nothing = torch.zeros_like(positives)
    for wrong in ((scores, nothing, negatives), (scores, positives, nothing)):
        with pytest.raises(InputError, match="at least one positive and one negative pair"):
            loss(*wrong)


def test_triplet_needs_a_query_with_both_kinds() -> None:
    positives = torch.tensor([[True, True], [False, False]])
    with pytest.raises(InputError, match="both positive and negative"):
        triplet(torch.zeros(2, 2), positives, ~positives)


@pytest.mark.parametrize(
    ("z1", "z2", "label"),
    [
        ((3, 4), (3, 5), (3,)),
        ((3, 4), (2, 4), (3,)),
        ((3, 4), (3, 4), (3, 1)),
        ((4,), (4,), (4,)),
        ((0, 4),) * 2 + ((0,),),
    ],
)
def test_pairs_of_wrong_shape_are_errors(z1: tuple[int, ...], z2: tuple[int, ...], label: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match=r"expected z1 and z2 \(B, D\) and label \(B,\)"):
        ContrastiveLoss()(torch.zeros(z1), torch.zeros(z2), torch.zeros(label))


@pytest.mark.parametrize("value", [-1.0, 2.0, 0.5, math.nan])
def test_labels_other_than_0_and_1_are_errors(value: float) -> None:
    with pytest.raises(InputError, match="labels 1"):
        ContrastiveLoss()(torch.zeros(2, 3), torch.ones(2, 3), torch.tensor([1.0, value]))


# The library's losses.


def test_a_loss_of_the_library() -> None:
    z = embeddings(dtype=torch.float32)
    found = library_loss("MultiSimilarityLoss")(z, LABELS)
    torch.testing.assert_close(found, losses.MultiSimilarityLoss()(z, LABELS))


@pytest.mark.parametrize("name", ["NoSuchLoss", "multi_similarity_loss", "__name__"])
def test_a_name_that_the_library_does_not_have_is_an_error(name: str) -> None:
    with pytest.raises(InputError, match=f"pytorch-metric-learning has no loss '{name}'"):
        library_loss(name)


def test_a_loss_that_needs_arguments_is_an_error() -> None:
    with pytest.raises(InputError, match="ArcFaceLoss cannot be made without arguments"):
        library_loss("ArcFaceLoss")
