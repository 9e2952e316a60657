"""`samekind identify`."""

import json
from typing import TYPE_CHECKING, Annotated

import typer

from samekind.commands.galleries import FILE, Collection, Where, opened
from samekind.commands.options import BUNDLE_HELP, AsJson

if TYPE_CHECKING:
    from samekind.gallery.records import Identification

EXIT = {"found": 0, "nobody": 1, "cannot tell": 3}


def identify(
    image: Annotated[str, typer.Argument(metavar="IMAGE", help="An image of somebody or something.")],
    top: Annotated[int, typer.Option(min=1, help="Candidates to name at most.")] = 5,
    gallery: Where = FILE,
    collection: Collection = "default",
    model: Annotated[str, typer.Option(help=BUNDLE_HELP)] = "omniglot",
    as_json: AsJson = False,
) -> None:
    """Say who of those enrolled IMAGE shows, or that it shows nobody of them.

    Exit code 0: found, 1: nobody, 3: cannot tell.
    """
    from dataclasses import asdict

    with opened(gallery, collection, model, create=False) as within:
        found = within.identify(image, top=top)
    if as_json:
        typer.echo(json.dumps(asdict(found)))
    else:
        _print(found)
    raise typer.Exit(EXIT[found.answer])


def _print(found: "Identification") -> None:
    certified = "" if found.certified_fpir is None else f", certified FPIR {found.certified_fpir:g}"
    searched = f"{found.identities:,} searched, threshold {found.threshold:.4f}{certified}"
    if found.answer == "found":
        typer.echo(f"{found.candidates[0].name}: {searched}")
    elif found.answer == "nobody":
        typer.echo(f"nobody here: {searched}")
    else:
        typer.echo(f"cannot tell: {'; '.join(found.reasons)}: {searched}")
    for candidate in found.candidates:
        images = "1 image" if candidate.samples == 1 else f"{candidate.samples} images"
        typer.echo(f"  {candidate.probability:7.2%}  score {candidate.score:.4f}  {candidate.name} ({images})")
