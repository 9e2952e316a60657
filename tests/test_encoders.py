"""Encoders: shapes, Koch's network as published, and clear errors."""

import importlib.util
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor, nn

from samekind.encoders import ENCODERS, KochEncoder, ResidualEncoder, SmallEncoder, Unit, build_encoder, probe
from samekind.errors import InputError, MissingExtraError
from samekind.siamese import WeightedL1Head


@pytest.mark.parametrize(
    ("name", "size", "channels", "dim"),
    [
        ("small", 32, 1, 64),
        ("small", 48, 3, 10),
        ("residual", 48, 1, 16),
        ("residual", 32, 3, 20),
        ("koch", 65, 1, 7),
        ("koch", 84, 3, 5),
    ],
)
def test_from_images_to_embeddings(name: str, size: int, channels: int, dim: int) -> None:
    encoder = build_encoder(name, size, channels, dim).eval()
    with torch.inference_mode():
        z = encoder(torch.rand(3, channels, size, size))
    assert z.shape == (3, dim)
    assert z.isfinite().all()
    if name == "koch":
        assert z.min() >= 0
        assert z.max() <= 1
    else:
        torch.testing.assert_close(z.norm(dim=1), torch.ones(3))


def test_widths_are_those_of_the_blocks() -> None:
    small = SmallEncoder(16, widths=(4, 6))
    assert [tuple(p.shape[:2]) for p in small.blocks.parameters() if p.ndim == 4] == [(4, 1), (6, 4)]
    assert small(torch.rand(2, 1, 16, 16)).shape == (2, 64)
    residual = ResidualEncoder(16, 1, 8, widths=(4, 6))
    assert residual(torch.rand(2, 1, 16, 16)).shape == (2, 8)
    assert residual.project.in_features == 6 * 4 * 4


def test_a_residual_block_starts_as_its_shortcut() -> None:
    block = ResidualEncoder(32, 1, 8, widths=(4, 6)).eval().stages[0][1]  # type: ignore[index]
    x = torch.rand(2, 6, 5, 5)
    torch.testing.assert_close(block(x), x)


def test_every_weight_learns() -> None:
    for name in ("small", "residual"):
        encoder = build_encoder(name, 16, 1, 4)
        for module in encoder.modules():
            if isinstance(module, nn.BatchNorm2d):
                nn.init.ones_(module.weight)
        (encoder(torch.rand(4, 1, 16, 16)) * torch.randn(4, 4)).sum().backward()
        still = [n for n, p in encoder.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
        assert not still


def test_kochs_network_has_his_number_of_parameters() -> None:
    with torch.device("meta"):
        encoder, head = KochEncoder(), WeightedL1Head(4096)
        assert encoder(torch.empty(2, 1, 105, 105)).shape == (2, 4096)
    count = sum(p.numel() for module in (encoder, head) for p in module.parameters())
    assert count == 38_951_745


def test_kochs_network_starts_as_he_says() -> None:
    torch.manual_seed(0)
    encoder = KochEncoder(84, 1, 64)

    def moments(values: Sequence[Tensor]) -> tuple[float, float]:
        together = torch.cat([v.detach().flatten() for v in values])
        return float(together.mean()), float(together.std())

    convolutions = [m for m in encoder.convolutions if isinstance(m, nn.Conv2d)]
    assert moments([m.weight for m in convolutions]) == pytest.approx((0.0, 0.01), abs=2e-4)
    assert moments([encoder.project.weight]) == pytest.approx((0.0, 0.2), abs=2e-3)
    biases = [p for name, p in encoder.named_parameters() if name.endswith("bias")]
    assert moments(biases) == pytest.approx((0.5, 0.01), abs=2e-3)


def test_lengths_are_one() -> None:
    torch.testing.assert_close(Unit()(torch.tensor([[3.0, 4.0]])), torch.tensor([[0.6, 0.8]]))


@pytest.mark.parametrize(("name", "size"), [("small", 30), ("small", 0), ("residual", 40), ("koch", 64)])
def test_a_size_that_does_not_fit_is_an_error(name: str, size: int) -> None:
    with pytest.raises(InputError, match=f"expected an input size .*got {size}"):
        build_encoder(name, size, 1, 8)


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(InputError, match="unknown encoder 'smal'; expected one of small, residual, koch or timm:NAME"):
        build_encoder("smal", 32, 1, 8)
    assert list(ENCODERS) == ["small", "residual", "koch"]


def test_a_foreign_encoder_must_take_the_size() -> None:
    encoder = nn.Sequential(nn.Conv2d(3, 4, 9), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4 * 8 * 8, 5), nn.Dropout())
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    assert probe(encoder, 16, 3, 5, name="theirs") is encoder
    assert encoder.training
    assert all(torch.equal(before[name], value) for name, value in encoder.state_dict().items())
    for size, channels in ((17, 3), (8, 3), (16, 1)):
        with pytest.raises(
            InputError, match=f"theirs takes no images of {size} pixels .*choose another size"
        ) as caught:
            probe(encoder, size, channels, 5, name="theirs")
        assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match=r"expected an embedding \(1, 6\) of theirs at 16 pixels, got \(1, 5\)"):
        probe(encoder, 16, 3, 6, name="theirs")


@pytest.mark.skipif(importlib.util.find_spec("timm") is not None, reason="timm is installed")
def test_without_timm_the_error_names_the_command() -> None:
    with pytest.raises(MissingExtraError, match=r"pip install 'samekind\[timm\]'"):
        build_encoder("timm:resnet18", 32, 1, 8)


@pytest.mark.skipif(importlib.util.find_spec("timm") is None, reason="timm is not installed")
def test_any_network_of_timm() -> None:
    encoder = build_encoder("timm:resnet18", 32, 3, 8).eval()
    assert encoder(torch.rand(2, 3, 32, 32)).shape == (2, 8)
    with pytest.raises(InputError, match="timm knows no network 'resnet'"):
        build_encoder("timm:resnet", 32, 3, 8)
    with pytest.raises(InputError, match="timm:vit_tiny_patch16_224 takes no images of 32 pixels"):
        build_encoder("timm:vit_tiny_patch16_224", 32, 3, 8)
