"""The Siamese network: one encoder for both sides, and heads that equal those that decide."""

import numpy as np
import pytest
import torch
from torch import nn

from samekind.encoders import SmallEncoder
from samekind.errors import InputError
from samekind.losses import ContrastiveLoss
from samekind.siamese import SiameseNetwork, WeightedL1Head, build_head
from samekind.similarity import SIMILARITIES, weighted_l1


def test_both_sides_go_through_one_encoder() -> None:
    network = SiameseNetwork(SmallEncoder(16, dim=8)).eval()
    x1, x2 = torch.rand(3, 1, 16, 16), torch.rand(3, 1, 16, 16)
    z1, z2 = network(x1, x2)
    assert z1.shape == z2.shape == (3, 8)
    assert torch.equal(z1, network.forward_one(x1))
    assert torch.equal(z2, network.forward_one(x2))
    assert torch.equal(z1, network(x2, x1)[1])
    shared = {id(p) for p in network.parameters()}
    assert shared == {id(p) for p in network.encoder.parameters()}, "no weights but the encoder's"


def test_any_module_is_an_encoder_and_learns_from_both_sides() -> None:
    network = SiameseNetwork(nn.Sequential(nn.Flatten(), nn.Linear(12, 2)))
    x1, x2 = torch.rand(4, 3, 2, 2), torch.rand(4, 3, 2, 2)
    same = torch.tensor([1, 0, 1, 0])
    optimiser = torch.optim.SGD(network.parameters(), lr=0.1)
    history = []
    for _ in range(30):
        loss = ContrastiveLoss(margin=1.0)(*network(x1, x2), same)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        history.append(loss.item())
    assert history[-1] < 0.7 * history[0]


@pytest.mark.parametrize("name", ["euclidean", "cosine", "weighted-l1"])
def test_a_head_is_its_counterpart_in_numpy(name: str) -> None:
    torch.manual_seed(1)
    left, right = torch.randn(5, 1, 7), torch.randn(1, 6, 7)
    head = build_head(name, 7)
    if isinstance(head, WeightedL1Head):
        nn.init.constant_(head.bias, 0.3)
        similarity = weighted_l1(head.weight.detach().numpy(), 0.3)
    else:
        similarity = SIMILARITIES[name]
    with torch.no_grad():
        scores = head(left, right)
    assert scores.shape == (5, 6)
    np.testing.assert_allclose(scores.numpy(), similarity(left.numpy(), right.numpy()), atol=2e-6)


def test_only_kochs_head_learns() -> None:
    assert [p.shape for p in build_head("weighted-l1", 9).parameters()] == [(9,), ()]
    assert not list(build_head("euclidean", 9).parameters())
    assert not list(build_head("cosine", 9).parameters())


def test_kochs_head_starts_as_his_fully_connected_layers() -> None:
    torch.manual_seed(0)
    assert float(WeightedL1Head(20_000).weight.detach().std()) == pytest.approx(0.2, rel=0.03)


def test_an_unknown_head_lists_the_known_ones() -> None:
    with pytest.raises(InputError, match="unknown head 'l2'; expected euclidean, cosine or weighted-l1"):
        build_head("l2", 4)
