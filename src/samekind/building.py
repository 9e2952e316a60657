"""From labelled images to a bundle: split by class, look for leaks, train, calibrate, export.

Knows the order of the steps. Each step lives in a module of its own.
"""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from samekind import training
from samekind.augment import Warp
from samekind.bundle import Bundle, Provenance, refuse_other
from samekind.data.glyphs import glyphs
from samekind.data.labelled import LabelledImages
from samekind.data.splits import find_leaks, split_classes
from samekind.encoders import build_encoder
from samekind.errors import InputError
from samekind.examples import Examples
from samekind.export import Network, write_bundle
from samekind.images import Preprocessing
from samekind.losses import learns_comparison
from samekind.recipes import RECIPES, Budget, Recipe
from samekind.training import Progress
from samekind.version import __version__

HELD_OUT = 0.1
"""Share of the classes that training never sees, two at least: they set the threshold."""

FEW = 10
"""Fewer held-out classes than this, and a message says so."""

PRACTICE_CLASSES = 500
"""Generated characters, twenty drawings of each, made in a few seconds; 4,000 teach no more."""

PRACTICE_SEED = 1_000_000
"""Added to the seed for them, so that they are none of the `glyphs` that somebody trains on or measures with."""

NAMED = 5
"""How many pairs of images a message names before it says how many more there are."""


@dataclass(frozen=True)
class Built:
    """A new bundle, and what to know of its making.

    Args:
        bundle: on disk.
        steps: of the optimiser.
        seconds: of training.
        images_per_second: over the whole training.
        loss: mean over the latest steps.
    """

    bundle: Bundle
    steps: int
    seconds: float
    images_per_second: float
    loss: float


def choose_recipe(
    data: LabelledImages,
    *,
    encoder: str = "small",
    loss: str | None = None,
    size: int | None = None,
    colour: bool = False,
    notify: Callable[[str], None] = lambda line: None,
) -> Recipe:
    """The recipe of an encoder, fitted to the data.

    Args:
        data: to train on.
        encoder: by name; of RECIPES, or "timm:NAME", which follows the recipe of the residual one.
        loss: by name, or None for the recipe's own.
        size: of the input in pixels, or None for the recipe's own.
        colour: whether colour counts; characters have none.
        notify: called with a line for a person where the data makes the recipe another one.
    Returns:
        A recipe: for characters with turns, mirrors, chimeras, practice, several views and a frame around dark ink; for
        other images with the ground (the median of their borders) at 0, so that what a warp moves in from outside
        looks like ground.
    Raises:
        InputError: the encoder is unknown, or colour is asked of characters.
    """
    if encoder not in RECIPES and not encoder.startswith("timm:"):
        raise InputError(f"unknown encoder {encoder!r}; expected one of {', '.join(RECIPES)} or timm:NAME")
    if colour and data.characters:
        raise InputError(f"{data.name} is drawn in black: leave out --colour")
    recipe = RECIPES.get(encoder, replace(RECIPES["residual"], encoder=encoder))
    side = recipe.preprocessing.size if size is None else size
    if colour:
        preprocessing = Preprocessing.for_photos(side)
    else:
        frame = recipe.preprocessing.frame if data.characters else 0.0
        preprocessing = Preprocessing(size=side, invert=data.characters or _light_ground(data), frame=frame)
    unframed = recipe.preprocessing.frame and not preprocessing.frame
    counts = np.bincount(data.labels, minlength=len(data.classes))
    least = int(counts.min())
    if least < recipe.images:
        poorest = data.classes[int(counts.argmin())]
        notify(f"{poorest} has {least} images only, so batches hold {least} images a class and not {recipe.images}")
    return replace(
        recipe,
        loss=recipe.loss if loss is None else loss,
        preprocessing=preprocessing,
        warp=Warp() if unframed else recipe.warp,
        turns=data.characters and recipe.turns,
        mirrors=data.characters and recipe.mirrors,
        chimeras=recipe.chimeras if data.characters else 0.0,
        practice=recipe.practice if data.characters else 0.0,
        views=recipe.views if data.characters and not learns_comparison(loss or recipe.loss) else 1,
        images=min(recipe.images, least),
    )


def build_bundle(
    data: LabelledImages,
    path: Path,
    *,
    recipe: Recipe,
    budget: Budget,
    seed: int = 0,
    resume: bool = False,
    checkpoint_seconds: float = 30.0,
    command: str = "",
    notify: Callable[[str], None] = lambda line: None,
    report: Callable[[Progress], None] = lambda progress: None,
) -> Built:
    """Train on most classes, set the threshold on the others, write the bundle.

    Args:
        data: of at least four classes with two images each.
        path: of the bundle's folder. Beside it, `<name>.checkpoint` keeps the state while training runs.
        recipe: what to learn with.
        budget: how long.
        seed: of the split and the training.
        resume: go on from the checkpoint of an interrupted training; where there is none, training begins.
        checkpoint_seconds: between two checkpoints.
        command: noted in the bundle.
        notify: called with a line for a person, now and then.
        report: called after every step.
    Raises:
        InputError: an unknown loss or encoder, a size that it cannot take, too few classes or images, one image is of
            two classes, or the bundle cannot be written: found out before training, unless the disk fills up meanwhile.
        MissingExtraError: loss or encoder is of a library that is not installed.
        CollapseError: training goes nowhere.
        ExportError: the exported graph does not decide as the network does.
    """
    _refuse_place(path)
    # only to refuse what cannot be built before all images are read
    training.build_objective(recipe.loss, recipe.dim)
    build_encoder(recipe.encoder, recipe.preprocessing.size, recipe.preprocessing.channels, recipe.dim)
    # the name of a folder may hold bytes that are no text, and a bundle's manifest is text
    data = replace(data, name=data.name.encode(errors="backslashreplace").decode())
    _refuse_shared(data)
    if (count := len(data.classes)) < 4:
        raise InputError(
            f"{data.name}: expected at least four classes, two to learn from and two for the threshold; got {count}"
        )
    split = split_classes(data, max(HELD_OUT, 2 / count), rng=np.random.default_rng(seed))
    held_out = split.held_out.classes
    if leaks := find_leaks(split.train, split.held_out):
        alike = _name_pairs([(leak.left, leak.right) for leak in leaks])
        notify(f"look nearly the same though of two classes: {alike}")
    checkpoint = path.with_name(path.name + ".checkpoint")
    if checkpoint.exists() and not resume:
        notify(
            f"{checkpoint} of an interrupted training is there and will be replaced; "
            "only `samekind train --resume` goes on from one"
        )
    if resume and not checkpoint.exists():
        notify(f"{checkpoint}: no such file to resume from; training begins anew")
    notify(f"{len(split.train)} images of {len(split.train.classes)} classes; {len(held_out)} held out")
    if len(held_out) < FEW:
        notify(
            f"the threshold rests on {len(held_out)} classes only; with more classes it and its probabilities get surer"
        )
    practice = None
    if recipe.practice:
        notify(f"and {PRACTICE_CLASSES} generated classes to practise on at first")
        practice = Examples.of(glyphs(PRACTICE_CLASSES, seed=seed + PRACTICE_SEED), recipe)
    trained = training.train(
        Examples.of(split.train, recipe),
        practice=practice,
        recipe=recipe,
        budget=budget,
        seed=seed,
        checkpoint=checkpoint,
        resume=resume,
        checkpoint_seconds=checkpoint_seconds,
        report=report,
    )
    provenance = Provenance(
        version=__version__,
        command=command,
        data=data.name,
        data_fingerprint=data.fingerprint,
        classes=len(split.train.classes),
        held_out_classes=held_out,
        images=len(split.train),
        loss=recipe.loss,
        steps=trained.steps,
        images_seen=trained.images_seen,
        seconds=round(trained.seconds, 1),
        device=trained.device,
        seed=seed,
    )
    bundle = write_bundle(path, Network.of(trained), split.held_out, provenance)
    checkpoint.unlink(missing_ok=True)
    return Built(bundle, trained.steps, trained.seconds, trained.images_seen / trained.seconds, trained.loss)


def _light_ground(data: LabelledImages) -> bool:
    looked_at = data.take(np.linspace(0, len(data) - 1, min(len(data), 200)).astype(np.int64))
    pixels = looked_at.pixels(Preprocessing(size=16, invert=False))
    border = np.concatenate([pixels[..., 0, :], pixels[..., -1, :], pixels[..., 0], pixels[..., -1]], axis=None)
    return bool(np.median(border) >= 128)


def _refuse_place(path: Path) -> None:
    """Find out before a training, not after it, that its bundle cannot be written."""
    try:
        if path.is_symlink():
            raise InputError(f"{path}: a link; choose the folder behind it, or another --out")
        refuse_other(path)
        str(path).encode()  # the model card names it
        there = next(parent for parent in path.absolute().parents if parent.exists())
        with tempfile.TemporaryDirectory(prefix=f".{path.name}.checkpoint.", dir=there):
            pass
    except UnicodeEncodeError:
        raise InputError(f"{path}: a name that is no text; choose another --out") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror}); choose another --out") from None


def _refuse_shared(data: LabelledImages) -> None:
    """The same file in two classes, wherever these go: no threshold could be right for both."""
    first: dict[str, int] = {}
    shared = []
    for index, digest in enumerate(data.digests):
        before = first.setdefault(digest, index)
        if data.labels[before] != data.labels[index]:
            shared.append((data.names[before], data.names[index]))
    if shared:
        raise InputError(f"{data.name}: the same image is in two classes, {_name_pairs(shared)}; remove one")


def _name_pairs(pairs: list[tuple[str, str]]) -> str:
    named = "; ".join(f"{left} and {right}" for left, right in pairs[:NAMED])
    return named + (f"; and {len(pairs) - NAMED} more" if len(pairs) > NAMED else "")
