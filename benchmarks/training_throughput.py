"""How much of the processor the small encoder's real training step uses, augmentation included.

Model FLOP/s of `samekind.training.train` over those of a product of two 2048 x 2048 matrices in the same process, in
turn. The model's FLOP are those of its convolutions and linear layers: 2 a multiply-add, 3 times the forward pass for a
whole step (so the first layer's gradient by its input, which nobody computes, is counted: 0.8 % for the small encoder).
Where the processor multiplies bfloat16 natively, training does so: then the ratio is given to the product in either
precision, and training is also held to float32. Floor: 0.4.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from arithmetic import forward_flop, product_flops
from results import Repeated, arguments, keep, ratio, repeated
from samekind import training
from samekind.augment import Warp
from samekind.encoders import build_encoder
from samekind.examples import Examples
from samekind.images import Preprocessing
from samekind.recipes import RECIPES, Budget, Recipe
from samekind.sampling import ClassBatches

WARM_UP_STEPS = 5


def model_flop(recipe: Recipe) -> int:
    """Floating point operations that training spends on one image: three times those of the forward pass."""
    size, channels = recipe.preprocessing.size, recipe.preprocessing.channels
    return 3 * forward_flop(build_encoder(recipe.encoder, size, channels, recipe.dim), size=size, channels=channels)


def images_per_second(recipe: Recipe, pixels: NDArray[np.uint8], labels: NDArray[np.int64], *, steps: int) -> float:
    """Of a training, without its first steps."""
    ends: list[float] = []
    training.train(
        Examples(pixels, labels, labels // 20),  # alphabets of twenty characters
        recipe=recipe,
        budget=Budget(steps=steps + WARM_UP_STEPS),
        report=lambda progress: ends.append(time.perf_counter()),
        device="cpu",
    )
    return steps * recipe.classes * recipe.images / (ends[-1] - ends[WARM_UP_STEPS - 1])


@contextmanager
def timed_pieces(recipe: Recipe) -> Iterator[dict[str, float]]:
    """Within it, the pieces of the real training step add the seconds that they take to what it yields."""
    seconds: dict[str, float] = defaultdict(float)

    def timed(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            started = time.perf_counter()
            try:
                return call(*args, **kwargs)
            finally:
                seconds[name] += time.perf_counter() - started

        return wrapped

    def timed_objective(name: str, dim: int) -> tuple[training.Objective, nn.Module, str]:
        objective, head, head_name = build_objective(name, dim)
        return timed("loss", objective), head, head_name

    build_objective = training.build_objective
    pieces: tuple[tuple[str, type, str], ...] = (
        ("batch", ClassBatches, "draw"),
        ("normalise", Preprocessing, "normalise"),
        ("warp", Warp, "__call__"),
        ("forward", type(build_encoder(recipe.encoder, recipe.preprocessing.size, 1, recipe.dim)), "forward"),
        ("backward", Tensor, "backward"),
        ("optimiser", torch.optim.AdamW, "step"),
    )
    with ExitStack() as stack:
        stack.enter_context(patch.object(training, "build_objective", timed_objective))
        for name, owner, attribute in pieces:
            stack.enter_context(patch.object(owner, attribute, timed(name, getattr(owner, attribute))))
        yield seconds


def shares_of_step(
    recipe: Recipe, pixels: NDArray[np.uint8], labels: NDArray[np.int64], *, steps: int
) -> dict[str, float]:
    """Which fraction of a step each piece takes; the rest (indexing, copies, watching) is "other"."""
    with timed_pieces(recipe) as seconds:
        started = 0.0

        def report(progress: training.Progress) -> None:
            nonlocal started
            if progress.steps == WARM_UP_STEPS:
                started = time.perf_counter()
                seconds.clear()

        budget = Budget(steps=steps + WARM_UP_STEPS)
        training.train(
            Examples(pixels, labels, labels // 20), recipe=recipe, budget=budget, report=report, device="cpu"
        )
        total = time.perf_counter() - started
    shares = {name: value / total for name, value in seconds.items()}
    return shares | {"other": 1 - sum(shares.values())}


def main() -> None:
    parser = arguments(__file__, __doc__)
    parser.add_argument("--recipe", choices=["small", "residual"], default="small", help="what to train")
    parser.add_argument("--rounds", type=int, default=5, help="trainings of each kind")
    parser.add_argument("--steps", type=int, default=60, help="of each training that are timed")
    given = parser.parse_args()
    recipe = RECIPES[given.recipe]
    size, channels = recipe.preprocessing.size, recipe.preprocessing.channels
    labels = np.repeat(np.arange(400), 10)
    pixels = np.random.default_rng(0).integers(256, size=(len(labels), channels, size, size), dtype=np.uint8)
    flop, native = model_flop(recipe), training.runs_bf16(torch.device("cpu"))
    rates: dict[str, list[float]] = defaultdict(list)
    products: dict[str, list[float]] = defaultdict(list)
    for _ in range(given.rounds):
        products["float32"].append(product_flops(torch.float32))
        if native:
            products["bfloat16"].append(product_flops(torch.bfloat16))
            rates["bfloat16"].append(images_per_second(recipe, pixels, labels, steps=given.steps))
        with patch.object(training, "runs_bf16", lambda place: False):
            rates["float32"].append(images_per_second(recipe, pixels, labels, steps=given.steps))
    ratios: dict[str, Repeated] = {
        f"training_in_{precision}_over_product_in_{of}": ratio([flop * rate for rate in measured], products[of])
        for precision, measured in rates.items()
        for of in products
        if of in ("float32", precision)
    }
    keep(
        given.out,
        {
            "recipe": given.recipe,
            "training_precision_here": "bfloat16" if native else "float32",
            "threads": torch.get_num_threads(),
            "model_flop_per_image": flop,
            "images_per_second": {precision: repeated(measured) for precision, measured in rates.items()},
            "product_flop_per_second": {precision: repeated(measured) for precision, measured in products.items()},
            "ratios": ratios,
            "shares_of_step": shares_of_step(recipe, pixels, labels, steps=given.steps),
            "floors": {"training_over_product": 0.4},
        },
    )


if __name__ == "__main__":
    main()
