"""`samekind train`."""

import json
from pathlib import Path
from typing import Annotated

import typer

from samekind.commands.options import DATA_HELP, AsJson, DataDir, OnBadImage, command_line, load, needs_extra, summary
from samekind.console import say, training_progress

LOSS_HELP = "contrastive, triplet, supcon, cross-entropy or pml:NAME."
DEFAULT_MINUTES = 10.0


def train(
    data: Annotated[str, typer.Argument(metavar="DATA", help=DATA_HELP)],
    out: Annotated[Path, typer.Option(help="Folder of the bundle to write.")],
    encoder: Annotated[str, typer.Option(help="small, residual, koch or timm:NAME.")] = "small",
    loss: Annotated[
        str | None,
        typer.Option(help=f"{LOSS_HELP}  [default: the encoder's]"),
    ] = None,
    minutes: Annotated[
        float | None, typer.Option(help=f"Train for so long.  [default: {DEFAULT_MINUTES:g}, without --steps]")
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Train for so many steps: can be repeated exactly.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of weights, batches, warps and split.")] = 0,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where an interrupted training stopped.")] = False,
    size: Annotated[int | None, typer.Option(help="Input size in pixels.  [default: the encoder's]")] = None,
    colour: Annotated[bool, typer.Option("--colour", help="Look at colour, not only at grey.")] = False,
    on_bad_image: OnBadImage = "skip",
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Train on the classes of DATA and write a bundle that can verify pairs of classes it never saw."""
    with needs_extra("train"):
        from samekind.building import build_bundle, choose_recipe
        from samekind.recipes import Budget
    budget = Budget(minutes=DEFAULT_MINUTES if minutes is None and steps is None else minutes, steps=steps)
    labelled = load(data, data_dir=data_dir, on_bad_image=on_bad_image)
    recipe = choose_recipe(labelled, encoder=encoder, loss=loss, size=size, colour=colour, notify=say)
    with training_progress() as report:
        built = build_bundle(
            labelled,
            out,
            recipe=recipe,
            budget=budget,
            seed=seed,
            resume=resume,
            command=command_line(),
            notify=say,
            report=report,
        )
    outcome = summary(built)
    if as_json:
        typer.echo(json.dumps(outcome))
    else:
        typer.echo(f"{built.bundle.path}: {built.steps} steps in {built.seconds / 60:.1f} min, loss {built.loss:.4f}")
