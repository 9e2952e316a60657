"""`samekind enroll`."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from samekind.commands.galleries import FILE, Collection, Where, opened, spoken
from samekind.commands.options import BUNDLE_HELP, AsJson, OnBadImage
from samekind.console import counting_progress, say
from samekind.errors import EnrolmentRefusedError, ImageError, InputError

if TYPE_CHECKING:
    from samekind.gallery.gallery import Gallery
    from samekind.gallery.records import Enrolment

AT_ONCE = 100  # images of one identity that are in memory at the same time


@dataclass
class _Tally:
    """What became of a folder."""

    identities: int = 0
    enrolled: int = 0
    skipped: int = 0
    bad: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    concerns: list[str] = field(default_factory=list)
    enrolments: list[str] = field(default_factory=list)


def enroll(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="Of whoever or whatever it is.")] = None,
    images: Annotated[list[str] | None, typer.Argument(metavar="IMAGE", help="Images of it.")] = None,
    folder: Annotated[
        Path | None, typer.Option(help="In place of NAME and IMAGEs: a folder with one sub-folder an identity.")
    ] = None,
    metadata: Annotated[
        list[str] | None, typer.Option(metavar="KEY=TEXT", help="To note; may be repeated, replaces what was noted.")
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Enroll nothing of an identity whose images give rise to concerns.")
    ] = False,
    on_bad_image: OnBadImage = "skip",
    gallery: Where = FILE,
    collection: Collection = "default",
    model: Annotated[str, typer.Option(help=BUNDLE_HELP)] = "omniglot",
    as_json: AsJson = False,
) -> None:
    """Enroll an identity by images of it, or a folder of identities. The gallery is made where it is missing.

    Images that an identity holds already are skipped, so a folder that was interrupted can simply be enrolled again.
    What was enrolled is printed with an id to take it back by: `samekind gallery undo ID`.
    """
    if (folder is None) == (name is None):
        raise InputError("expected either NAME and IMAGEs or --folder")
    if folder is not None and metadata:
        raise InputError("expected --metadata of one identity, got it with --folder")
    noted = None if metadata is None else _pairs(metadata)
    if name is not None:
        with opened(gallery, collection, model, create=True) as into:
            done = into.enroll(name, list(images or ()), metadata=noted, strict=strict)
        _print(done, list(images or ()), as_json=as_json)
        return
    assert folder is not None
    from samekind.data.folder import images_of

    of_name = images_of(folder)
    tally = _Tally(identities=len(of_name))
    total = sum(map(len, of_name.values()))
    with (
        opened(gallery, collection, model, create=True) as into,
        counting_progress("enrolling", total, "images") as report,
    ):
        count = 0
        for identity, files in of_name.items():
            for start in range(0, len(files), AT_ONCE):
                part = files[start : start + AT_ONCE]
                _enroll_part(into, identity, part, tally, strict=strict, skip=on_bad_image == "skip")
                count += len(part)
                report(count)
    _print_tally(tally, as_json=as_json)
    if tally.refused:
        raise typer.Exit(2)


def _enroll_part(
    gallery: "Gallery", name: str, files: tuple[Path, ...], tally: _Tally, *, strict: bool, skip: bool
) -> None:
    """Images of one identity; those that cannot be read are noted, and left out where they may be."""
    left = list(files)
    while left:
        try:
            done = gallery.enroll(name, left, strict=strict)
        except ImageError:
            wrong = {file: why for file in left if (why := _unreadable(file))}
            if not skip or not wrong:
                raise
            tally.bad += wrong.values()
            left = [file for file in left if file not in wrong]
        except EnrolmentRefusedError as error:
            tally.refused.append(name)
            tally.concerns += spoken(error.concerns, left)
            return
        else:
            tally.enrolled += len(done.samples)
            tally.skipped += len(done.skipped)
            tally.concerns += spoken(done.concerns, left)
            tally.enrolments += [done.id] if done.id else []
            return


def _unreadable(file: Path) -> str | None:
    """Why an image cannot be read."""
    from samekind.images import crop

    try:
        crop(file)
    except ImageError as error:
        return str(error)
    return None


def _pairs(texts: list[str]) -> dict[str, str]:
    """KEY=TEXT, several times, as a dictionary."""
    if wrong := next((text for text in texts if not text.partition("=")[1]), None):
        raise InputError(f"expected metadata as KEY=TEXT, got {wrong}")
    return {key: value for key, _, value in (text.partition("=") for text in texts)}


def _print(done: "Enrolment", images: list[str], *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(asdict(done)))
        return
    for line in spoken(done.concerns, images):
        say(f"warning: {line}")
    skipped = f", {len(done.skipped)} skipped that it holds already" if done.skipped else ""
    undo = f"; `samekind gallery undo {done.id}` takes it back" if done.id else ""
    typer.echo(
        f"{done.identity.name}: {len(done.samples)} enrolled{skipped}, {done.identity.samples} in all "
        f"({done.identity.id}){undo}"
    )


def _print_tally(tally: _Tally, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(asdict(tally)))
        return
    for line in tally.bad:
        say(f"left out: {line}")
    for line in tally.concerns:
        say(f"warning: {line}")
    for name in tally.refused:
        say(f"refused: {name}; nothing of these images was enrolled")
    typer.echo(
        f"{tally.identities} identities: {tally.enrolled} images enrolled, {tally.skipped} skipped that they hold "
        f"already, {len(tally.bad)} unreadable, {len(tally.refused)} identities refused"
    )
