"""Networks from one image to one embedding. Any `nn.Module` (B, C, H, W) -> (B, D) is an encoder; these are ours.

Knows layers. Knows nothing of pairs, losses or data.
"""

from collections.abc import Callable
from itertools import pairwise
from typing import TypeAlias, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from samekind.errors import InputError, MissingExtraError

EncoderFactory: TypeAlias = Callable[[int, int, int], nn.Module]


class Unit(nn.Module):
    """Scale every embedding to length 1: (B, D) -> (B, D)."""

    def forward(self, z: Tensor) -> Tensor:
        return F.normalize(z, dim=-1)


def conv_block(inputs: int, outputs: int, *, pool: bool = True) -> nn.Sequential:
    """3x3 convolution, batch norm, ReLU and, where asked, 2x2 max pooling."""
    layers: list[nn.Module] = [
        nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    ]
    return nn.Sequential(*layers, *([nn.MaxPool2d(2)] if pool else []))


class SmallEncoder(nn.Module):
    """Four convolution blocks and a linear layer: fast on two cores.

    The first block is narrow: at full resolution with one channel in, it costs memory traffic rather than arithmetic.
    The last one is, too: so a bundle of it stays below a megabyte.

    Args:
        size: height and width of the input; a multiple of 16.
        channels: of the input.
        dim: embedding size D.
        widths: channels of the four blocks.
    """

    def __init__(
        self, size: int = 32, channels: int = 1, dim: int = 64, *, widths: tuple[int, ...] = (32, 64, 128, 96)
    ) -> None:
        super().__init__()
        if size < 1 or size % 2 ** len(widths):
            raise InputError(f"expected an input size that is a multiple of {2 ** len(widths)}, got {size}")
        inputs = (channels, *widths[:-1])
        self.blocks = nn.Sequential(*(conv_block(i, o) for i, o in zip(inputs, widths, strict=True)))
        self.project = nn.Linear(widths[-1] * (size // 2 ** len(widths)) ** 2, dim)
        self.unit = Unit()

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, size, size) -> (B, D), each row of length 1."""
        z: Tensor = self.unit(self.project(self.blocks(x).flatten(1)))
        return z


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut (He, Zhang, Ren, Sun 2016)."""

    def __init__(self, inputs: int, outputs: int, *, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
        self.first_norm = nn.BatchNorm2d(outputs)
        self.second = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.second_norm = nn.BatchNorm2d(outputs)
        nn.init.zeros_(self.second_norm.weight)  # each block starts as its shortcut
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(
                nn.AvgPool2d(stride) if stride > 1 else nn.Identity(),
                nn.Conv2d(inputs, outputs, 1, bias=False),
                nn.BatchNorm2d(outputs),
            )

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) -> (B, outputs, H / stride, W / stride)."""
        y = F.relu(self.first_norm(self.first(x)), inplace=True)
        return F.relu(self.second_norm(self.second(y)) + self.shortcut(x), inplace=True)


class ResidualEncoder(nn.Module):
    """A small residual network: for accuracy.

    Args:
        size: height and width of the input; a multiple of 16.
        channels: of the input.
        dim: embedding size D.
        widths: channels of the stem and of each stage; every stage halves the side.
    """

    def __init__(
        self, size: int = 48, channels: int = 1, dim: int = 64, *, widths: tuple[int, ...] = (32, 64, 96, 112)
    ) -> None:
        super().__init__()
        if size < 1 or size % 2 ** len(widths):
            raise InputError(f"expected an input size that is a multiple of {2 ** len(widths)}, got {size}")
        self.stem = conv_block(channels, widths[0])
        pairs = pairwise(widths)
        self.stages = nn.Sequential(
            *(nn.Sequential(ResidualBlock(i, o, stride=2), ResidualBlock(o, o, stride=1)) for i, o in pairs)
        )
        side = size // 2 ** len(widths)
        self.project = nn.Linear(widths[-1] * side * side, dim)
        self.unit = Unit()

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, size, size) -> (B, D), each row of length 1."""
        z: Tensor = self.unit(self.project(self.stages(self.stem(x)).flatten(1)))
        return z


class KochEncoder(nn.Module):
    """Koch's network up to the layer that is compared: 4096 sigmoid units.

    Args:
        size: height and width of the input; 105 in the paper; >= 65.
        channels: of the input; 1 in the paper.
        dim: units of the last layer; 4096 in the paper.
    Source: Koch, Zemel, Salakhutdinov 2015, figure 4 and section 3.2 (initialisation).
    """

    def __init__(self, size: int = 105, channels: int = 1, dim: int = 4096) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        side = size
        inputs = channels
        for outputs, kernel, pool in ((64, 10, True), (128, 7, True), (128, 4, True), (256, 4, False)):
            layers += [nn.Conv2d(inputs, outputs, kernel), nn.ReLU(inplace=True)]
            side = side - kernel + 1
            if pool:
                layers.append(nn.MaxPool2d(2))
                side //= 2
            inputs = outputs
            if side < 1:
                raise InputError(f"expected an input size of at least 65 pixels for Koch's network, got {size}")
        self.convolutions = nn.Sequential(*layers)
        self.project = nn.Linear(256 * side * side, dim)
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                nn.init.normal_(module.weight, 0.0, 0.01 if isinstance(module, nn.Conv2d) else 0.2)
                nn.init.normal_(cast(Tensor, module.bias), 0.5, 0.01)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, size, size) -> (B, D) in (0, 1)."""
        return torch.sigmoid(self.project(self.convolutions(x).flatten(1)))


def timm_encoder(name: str, size: int, channels: int, dim: int) -> nn.Module:
    """Any network of the timm library, untrained, with an embedding of length 1 on top.

    Args:
        name: as timm knows it, e.g. "resnet18".
        size: height and width of the input.
        channels: of the input.
        dim: embedding size D.
    Raises:
        MissingExtraError: timm is not installed.
        InputError: timm knows no such network, or it cannot take images of that size.
    """
    try:
        import timm
    except ImportError:
        raise MissingExtraError("timm is not installed: pip install 'samekind[timm]'") from None
    if not timm.is_model(name):
        raise InputError(f"timm knows no network {name!r}; `timm.list_models()` lists those it knows")
    network = timm.create_model(name, pretrained=False, in_chans=channels, num_classes=dim)
    return probe(nn.Sequential(network, Unit()), size, channels, dim, name=f"timm:{name}")


def probe(encoder: nn.Module, size: int, channels: int, dim: int, *, name: str) -> nn.Module:
    """An encoder that is not ours, once it has shown on a blank image that it takes the size.

    Args:
        encoder: any; its weights and running means stay as they are.
        size: height and width of the input.
        channels: of the input.
        dim: embedding size D.
        name: by which an error calls it.
    Returns:
        The encoder itself, in training mode as one is that was just built.
    Raises:
        InputError: it fails, or gives embeddings of another size.
    """
    try:
        with torch.no_grad():
            shape = tuple(encoder.eval()(torch.zeros(1, channels, size, size)).shape)
    except Exception as error:  # each network has its own way to say so
        reason = " ".join(str(error).split())
        raise InputError(f"{name} takes no images of {size} pixels ({reason}); choose another size") from None
    if shape != (1, dim):
        raise InputError(f"expected an embedding {(1, dim)} of {name} at {size} pixels, got {shape}; choose another")
    return encoder.train()


ENCODERS: dict[str, EncoderFactory] = {"small": SmallEncoder, "residual": ResidualEncoder, "koch": KochEncoder}
"""By name: (size, channels, dim) -> encoder."""


def build_encoder(name: str, size: int, channels: int, dim: int) -> nn.Module:
    """An encoder by name.

    Args:
        name: one of ENCODERS, or "timm:" and a name that timm knows.
        size: height and width of the input.
        channels: of the input.
        dim: embedding size D.
    Raises:
        InputError: the name is unknown or the size does not fit.
        MissingExtraError: a network of timm is asked for and timm is not installed.
    """
    if name.startswith("timm:"):
        return timm_encoder(name.removeprefix("timm:"), size, channels, dim)
    if name not in ENCODERS:
        raise InputError(f"unknown encoder {name!r}; expected one of {', '.join(ENCODERS)} or timm:NAME")
    return ENCODERS[name](size, channels, dim)
