"""Training: one plain loop from labelled pixels to an encoder.

Knows networks, losses, batches and checkpoints. Knows nothing of files of images, thresholds or bundles.
"""

import contextlib
import ctypes
import functools
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from samekind import checkpoints
from samekind.augment import chimeras
from samekind.encoders import build_encoder
from samekind.errors import CollapseError, InputError
from samekind.examples import Examples, Feed
from samekind.losses import LOSSES, library_loss, masks
from samekind.recipes import Budget, Recipe
from samekind.siamese import build_head

Objective: TypeAlias = Callable[[Tensor, Tensor], Tensor]
"""From embeddings (B, D) and labels (B,) to a () loss."""

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # of mallopt, malloc.h
WATCH_STEPS = 200  # between two looks at whether training goes anywhere
COLLAPSED = 1e-3  # spread of the embeddings of a batch, over their size
STUCK = 0.02  # distance of the mean loss from the loss of a constant network, over the latter
STUCK_LOOKS = 5  # in a row; fewer, and a loss that passes by on its way would be stopped


@dataclass(frozen=True)
class Progress:
    """What a training says of itself.

    Args:
        steps: done.
        share: of the budget that is spent, in [0, 1].
        loss: mean over the latest steps.
        images_per_second: since this process began to train.
        seconds: of training, those before a resumption included.
    """

    steps: int
    share: float
    loss: float
    images_per_second: float
    seconds: float


@dataclass(frozen=True)
class Trained:
    """What came out.

    Args:
        encoder: in evaluation mode, on the CPU, float32.
        head: the same; without parameters unless it was learned.
        head_name: of the head, as `samekind.similarity` knows it.
        recipe: that was followed.
        steps, seconds, images_seen: that it took.
        loss: mean over the latest steps.
        device: that it was trained on.
    """

    encoder: nn.Module
    head: nn.Module
    head_name: str
    recipe: Recipe
    steps: int
    seconds: float
    images_seen: int
    loss: float
    device: str


def train(
    examples: Examples,
    *,
    recipe: Recipe,
    budget: Budget,
    practice: Examples | None = None,
    seed: int = 0,
    checkpoint: Path | None = None,
    resume: bool = False,
    checkpoint_seconds: float = 30.0,
    report: Callable[[Progress], None] = lambda progress: None,
    device: str | None = None,
) -> Trained:
    """Train an encoder.

    Args:
        examples: what is to be learned.
        recipe: what to learn with.
        budget: how long.
        practice: other classes that a share of the batches is drawn from; the recipe says how large a share.
        seed: of weights, batches and warps. The same seed, steps, machine and number of threads give the same weights.
        checkpoint: file to save the state to every now and then, atomically; None saves none.
        resume: go on from the checkpoint, to the same result as if training had never stopped; where the file is not
            there yet, training begins.
        checkpoint_seconds: between two checkpoints.
        report: called after every step.
        device: "cpu", "cuda", ...; None takes CUDA where there is one.
    Returns:
        The trained network.
    Raises:
        InputError: an argument is out of range, or the checkpoint is of another training.
        CollapseError: training goes nowhere.
    """
    if resume and checkpoint is None:
        raise InputError("expected the checkpoint to resume from, got none")
    place = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    torch.manual_seed(seed)
    identity = checkpoints.fingerprint(recipe, seed, *(part for part in (examples, practice) if part is not None))
    rng = np.random.default_rng(seed)
    main = Feed(examples, recipe, rng)
    other = main if practice is None else Feed(practice, recipe, rng)
    encoder = build_encoder(recipe.encoder, recipe.preprocessing.size, recipe.preprocessing.channels, recipe.dim)
    objective, head, head_name = build_objective(recipe.loss, recipe.dim)
    network = nn.ModuleDict({"encoder": encoder, "head": head}).to(place)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch declares it for tensors only
    optimiser = build_optimiser(recipe, network)
    state = checkpoints.State(network, optimiser, torch.Generator().manual_seed(seed), rng, identity)
    if resume and checkpoint is not None and checkpoint.exists():
        checkpoints.load(checkpoint, state)

    keep_memory()
    bf16 = runs_bf16(place)
    resumed_at, before = state.steps, state.seconds
    started = saved = time.monotonic()
    network.train()
    while (share := budget.progress(state.steps, state.seconds)) < 1:
        set_rates(optimiser, recipe, share, passes=state.steps * main.batch_size / main.images)
        feed = other if rng.random() < 2 * recipe.practice * (1 - share) else main
        x, y, turns, mirrored = (tensor.to(place) for tensor in feed.draw())
        x, y = chimeras(x, y, images_each=feed.images_each, share=recipe.chimeras, generator=state.generator)
        x = recipe.warp(x, generator=state.generator, quarter_turns=turns, mirrored=mirrored)
        with torch.autocast(place.type, torch.bfloat16, enabled=bf16):
            z = encoder(x.contiguous(memory_format=torch.channels_last))
        loss = objective(z.float(), y)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()

        now = time.monotonic()
        state.steps += 1
        state.seconds = before + now - started
        watch(state, objective, loss.detach(), z=z.detach().float(), labels=y)
        rate = (state.steps - resumed_at) * main.batch_size / (now - started)
        report(Progress(state.steps, budget.progress(state.steps, state.seconds), state.mean_loss, rate, state.seconds))
        if checkpoint is not None and now - saved > checkpoint_seconds:
            checkpoints.save(checkpoint, state)
            saved = time.monotonic()
    gpu = torch.cuda.get_device_name(place) if place.type == "cuda" else None
    network.eval().to("cpu").to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    return Trained(
        encoder=encoder,
        head=head,
        head_name=head_name,
        recipe=recipe,
        steps=state.steps,
        seconds=state.seconds,
        images_seen=state.steps * main.batch_size,
        loss=state.mean_loss,
        device=gpu or f"CPU, threads: {torch.get_num_threads()}",
    )


def build_objective(name: str, dim: int) -> tuple[Objective, nn.Module, str]:
    """From embeddings (B, D) and labels (B,) to a loss, with the head whose scores it works on.

    Args:
        name: one of LOSSES, or "pml:" and the name of a loss of pytorch-metric-learning.
        dim: embedding size D.
    Returns:
        The objective, the head and the name of the head.
    Raises:
        InputError: the name is unknown.
        MissingExtraError: pytorch-metric-learning is asked for and not installed.
    """
    if name.startswith("pml:"):
        return library_loss(name.removeprefix("pml:")), build_head("cosine", dim), "cosine"
    if name not in LOSSES:
        raise InputError(f"unknown loss {name!r}; expected one of {', '.join(LOSSES)} or pml:NAME")
    loss, head_name = LOSSES[name]
    head = build_head(head_name, dim)

    def objective(z: Tensor, labels: Tensor) -> Tensor:
        return loss(head(z[:, None], z[None]), *masks(labels))

    return objective, head, head_name


def build_optimiser(recipe: Recipe, network: nn.Module) -> torch.optim.Optimizer:
    """The recipe's optimiser; vectors (biases, norms) are not decayed. Raises InputError for an unknown name."""
    matrices = [p for p in network.parameters() if p.ndim > 1]
    vectors = [p for p in network.parameters() if p.ndim <= 1]
    groups = [{"params": matrices, "weight_decay": recipe.weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    if recipe.optimiser == "adamw":
        return torch.optim.AdamW(groups, lr=recipe.learning_rate, fused=True)
    if recipe.optimiser == "koch":
        return torch.optim.SGD(groups, lr=recipe.learning_rate, momentum=0.5)
    raise InputError(f"unknown optimiser {recipe.optimiser!r}; expected adamw or koch")


def set_rates(optimiser: torch.optim.Optimizer, recipe: Recipe, share: float, *, passes: float) -> None:
    """Set learning rate and momentum for the next step.

    Args:
        optimiser: of the recipe.
        recipe: whose schedule it is.
        share: of the budget that is spent, in [0, 1].
        passes: over the data that were made.
    """
    for group in optimiser.param_groups:
        if recipe.optimiser == "koch":
            group["lr"] = recipe.learning_rate * 0.99 ** math.floor(passes)
            group["momentum"] = 0.5 + 0.4 * share
        else:
            rise = min(1.0, share / recipe.warm_up) if recipe.warm_up else 1.0
            group["lr"] = recipe.learning_rate * rise * (1 + math.cos(math.pi * share)) / 2


def runs_bf16(place: torch.device) -> bool:
    """Whether the device multiplies bfloat16 natively and faster than float32, and not only in half the memory.

    Of processors with the instructions some take half of the time that float32 takes and some twice as much, so there
    it is measured, in a few milliseconds; both are far from the bound between them.
    """
    if place.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if place.type != "cpu":
        return False
    abilities = torch.cpu.get_capabilities()
    if not (abilities.get("avx512_bf16") or abilities.get("amx_bf16")):
        return False

    return _multiplies_bf16_faster()


@functools.cache  # two trainings of a process do the same
def _multiplies_bf16_faster() -> bool:
    squares = {dtype: torch.ones((512, 512), dtype=dtype) for dtype in (torch.float32, torch.bfloat16)}
    fastest = dict.fromkeys(squares, math.inf)
    for _ in range(12):  # in turn, so that a busy machine slows both; the first of each only wakes threads up
        for dtype, square in squares.items():
            started = time.perf_counter()
            torch.mm(square, square)
            fastest[dtype] = min(fastest[dtype], time.perf_counter() - started)
    return fastest[torch.bfloat16] < fastest[torch.float32]


def keep_memory() -> None:
    """Have the C library keep the memory that a step frees, where it can be told so (glibc).

    It would hand the large activations back to the system after every step and get them anew, page by page, in the
    next: a tenth of the time of a step on two cores.
    """
    with contextlib.suppress(AttributeError, OSError, TypeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(M_MMAP_MAX, 0)
        mallopt(M_TRIM_THRESHOLD, 2**31 - 1)


def watch(state: checkpoints.State, objective: Objective, loss: Tensor, *, z: Tensor, labels: Tensor) -> None:
    """Keep the mean loss, and stop a training that goes nowhere.

    Args:
        state: of the training; its mean loss is brought up to date.
        objective: that is trained.
        loss: () of the latest step.
        z: (B, D) float32, embeddings of the latest batch.
        labels: (B,) int, their classes.
    Raises:
        CollapseError: the loss is not finite, all embeddings are equal, or the loss has long been what a network gets
            that gives the same for every image: the margin in triplet, half its square in contrastive.
    """
    value = float(loss)
    if not math.isfinite(value):
        raise CollapseError(
            f"the loss is {value} after {state.steps} steps; lower the learning rate, or look for damaged images"
        )
    state.mean_loss = value if math.isnan(state.mean_loss) else 0.98 * state.mean_loss + 0.02 * value
    if state.steps % WATCH_STEPS:
        return
    if float(z.std(dim=0).mean()) <= COLLAPSED * float(z.abs().mean()):
        raise CollapseError(
            f"all embeddings are equal after {state.steps} steps (loss {state.mean_loss:.4f}); lower the learning "
            "rate, draw more classes a batch, or take the loss supcon"
        )
    with torch.no_grad():
        constant = float(objective(z[:1].expand_as(z), labels))
    state.stuck = state.stuck + 1 if abs(state.mean_loss - constant) < STUCK * constant else 0
    if state.stuck >= STUCK_LOOKS:
        raise CollapseError(
            f"the loss is stuck at {constant:.4f}, that of a network which gives the same for every image, "
            f"after {state.steps} steps; change the learning rate, weaken the warp, or take the loss supcon"
        )
