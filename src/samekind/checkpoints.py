"""The whole state of a training in one file, written atomically, so that it goes on after an interruption.

Knows tensors and generators. Knows nothing of what is trained.
"""

import contextlib
import hashlib
import json
import math
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save as serialise
from torch import Tensor, nn

from samekind.errors import InputError
from samekind.examples import Examples
from samekind.recipes import Recipe
from samekind.version import __version__


@dataclass(eq=False)
class State:
    """All that changes while a network is trained.

    Args:
        network: with everything that is learned.
        optimiser: of its parameters.
        generator: draws the warps.
        rng: draws the images.
        identity: of the training, from `fingerprint`.
        steps: done.
        seconds: spent.
        mean_loss: over the latest steps.
        stuck: how many looks in a row found it where a constant network has it.
    """

    network: nn.Module
    optimiser: torch.optim.Optimizer
    generator: torch.Generator
    rng: np.random.Generator
    identity: str
    steps: int = 0
    seconds: float = 0.0
    mean_loss: float = math.nan
    stuck: int = 0


def fingerprint(recipe: Recipe, seed: int, *parts: Examples) -> str:
    """SHA-256 of what a training is of: a checkpoint of another one must not be resumed."""
    described = hashlib.sha256(json.dumps([__version__, asdict(recipe), seed], sort_keys=True).encode())
    for part in parts:
        for array in (part.pixels, part.labels, part.groups):
            described.update(np.ascontiguousarray(array).data)
    return described.hexdigest()


def save(path: Path, state: State) -> None:
    """Write the state to one safetensors file, atomically.

    Raises:
        InputError: the file cannot be written, or the disk is full; an older checkpoint stays as it was.
    """
    tensors = {f"network.{name}": value for name, value in state.network.state_dict().items()}
    for index, slots in state.optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser.{index}.{name}": value for name, value in slots.items() if value is not None}
    tensors["generator"] = state.generator.get_state()
    about = {
        "identity": state.identity,
        "steps": state.steps,
        "seconds": state.seconds,
        "mean_loss": state.mean_loss,
        "stuck": state.stuck,
        "rng": state.rng.bit_generator.state,
    }
    staged = path.with_name(f".{path.name}.part")  # what a killed process left of it is written over
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        contiguous = {name: value.cpu().contiguous() for name, value in tensors.items()}
        staged.write_bytes(serialise(contiguous, metadata={"samekind": json.dumps(about)}))
        os.replace(staged, path)
    except OSError as error:
        reason = error.strerror or error
        raise InputError(f"{path}: the checkpoint cannot be written ({reason}); make room or choose another") from None
    finally:
        with contextlib.suppress(OSError):  # where nothing can be written there is nothing to remove
            staged.unlink(missing_ok=True)


def load(path: Path, state: State) -> None:
    """Set a new state to the one that `save` wrote.

    Raises:
        InputError: the file is damaged, or of a training with other data, recipe, seed or version of samekind.
    """
    try:
        with safe_open(path, framework="pt") as file:
            about: dict[str, Any] = json.loads(file.metadata()["samekind"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (it is no mapping)
        identity = about["identity"]
    except Exception as error:
        raise InputError(f"{path}: not a checkpoint ({error}); delete it to start anew") from None
    if identity != state.identity:
        raise InputError(f"{path}: of a training with other data, settings, seed or version; delete it to start anew")
    prefix = "network."
    network = {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
    state.network.load_state_dict(network)
    parameters = [p for group in state.optimiser.param_groups for p in group["params"]]
    slots: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        if name.startswith("optimiser."):
            _, index, slot = name.split(".")
            like = parameters[int(index)]
            # a fused optimiser walks memory in order: its numbers must lie as the parameter's do
            laid_out = torch.empty_like(like).copy_(tensor) if tensor.shape == like.shape else tensor
            slots.setdefault(int(index), {})[slot] = laid_out
    state.optimiser.load_state_dict({"state": slots, "param_groups": state.optimiser.state_dict()["param_groups"]})
    state.generator.set_state(tensors["generator"])
    state.rng.bit_generator.state = about["rng"]
    state.steps, state.seconds = about["steps"], about["seconds"]
    state.mean_loss, state.stuck = about["mean_loss"], about["stuck"]
