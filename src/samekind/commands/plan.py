"""`samekind plan`."""

import json
from typing import TYPE_CHECKING, Annotated

import typer

from samekind.commands.options import DATA_HELP, AsJson, DataDir, OnBadImage, load

if TYPE_CHECKING:
    from samekind.planner import Plan


def plan(
    data: Annotated[str, typer.Argument(metavar="DATA", help=DATA_HELP)],
    target_fmr: Annotated[float, typer.Option(help="False match rate to certify.")] = 0.001,
    confidence: Annotated[float, typer.Option(help="Of the certificate.")] = 0.95,
    on_bad_image: OnBadImage = "skip",
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Say what the classes and images of DATA can prove, and what to collect next.

    The classes must be new to the model: of those that it is trained on none counts.
    """
    from dataclasses import asdict

    from samekind import planner

    labelled = load(data, data_dir=data_dir, on_bad_image=on_bad_image)
    made = planner.plan(labelled, target_fmr=target_fmr, confidence=confidence)
    if as_json:
        typer.echo(json.dumps(asdict(made)))
    else:
        _print(made)


def _print(made: "Plan") -> None:
    typer.echo(f"{made.data}: {made.images:,} images of {made.classes:,} classes, at least {made.fewest} of each")
    typer.echo(f"\nsmallest rates that these classes can certify with {made.confidence:.0%} confidence:")
    for one in made.references:
        what = f"false matches with {one.references} reference{'s' if one.references > 1 else ''}"
        typer.echo(f"  {_rate(one.smallest_fmr)}  {what} ({one.classes:,} classes have images enough)")
    for gallery in made.galleries:
        typer.echo(f"  {_rate(gallery.smallest_fpir)}  false identifications among {gallery.enrolled:,} enrolled")
    typer.echo("\nwhat to collect next:")
    for sentence in made.advice:
        typer.echo(f"  {sentence}")


def _rate(rate: float) -> str:
    return f"{rate:<8.2g}" if rate < 1 else "none    "
