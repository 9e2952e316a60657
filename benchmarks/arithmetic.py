"""What arithmetic there is to do, and how fast the processor can do arithmetic at all.

Knows layers and matrices. Knows nothing of trainings or bundles.
"""

import torch
from torch import Tensor, nn

from results import interleaved, repeated

SIDE = 2048


def forward_flop(network: nn.Module, *, size: int, channels: int) -> int:
    """Floating point operations in the convolutions and linear layers of one image's forward pass.

    Two a multiply-add; all views of the image, where a network looks at several.
    """
    multiply_adds = 0

    def count(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal multiply_adds
        assert isinstance(module, nn.Conv2d | nn.Linear)
        multiply_adds += output.numel() * module.weight[0].numel()

    hooks = [m.register_forward_hook(count) for m in network.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    with torch.inference_mode():
        network.eval()(torch.zeros(1, channels, size, size))
    for hook in hooks:
        hook.remove()
    return 2 * multiply_adds


def product_flops(dtype: torch.dtype, *, products: int = 10) -> float:
    """FLOP/s of a product of two SIDE x SIDE matrices with the threads that torch has now, the median of several."""
    left, right = (torch.randn(SIDE, SIDE).to(dtype) for _ in range(2))
    seconds = interleaved({"product": lambda: left @ right}, rounds=products)
    return 2 * SIDE**3 / repeated(seconds["product"]).median
