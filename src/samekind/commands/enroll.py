"""`samekind enroll`."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from samekind.commands.galleries import FILE, Collection, Where, opened, spoken
from samekind.commands.options import BUNDLE_HELP, AsJson
from samekind.console import counting_progress, say
from samekind.errors import EnrolmentRefusedError, ImageError, InputError

if TYPE_CHECKING:
    from samekind.gallery.gallery import Gallery
    from samekind.gallery.records import Enrolment

AT_ONCE = 100  # images of one identity that are in memory at the same time


@dataclass
class _Tally:
    """What became of a folder, so far as it was gone through; what was taken back is not in it."""

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
    on_bad_image: Annotated[
        Literal["skip", "error"] | None,
        typer.Option(help="Of --folder: what to do with images that cannot be read (default: skip)."),
    ] = None,
    gallery: Where = FILE,
    collection: Collection = "default",
    model: Annotated[str, typer.Option(help=BUNDLE_HELP)] = "omniglot",
    as_json: AsJson = False,
) -> None:
    """Enroll an identity by images of it, or a folder of identities. The gallery is made where it is missing.

    Images that an identity holds already are skipped, so a folder that was interrupted can simply be enrolled again.
    `samekind gallery undo ID` takes back what was enrolled. The id is printed, those of a folder with --json;
    `samekind gallery show NAME` lists those of an identity.
    """
    if (folder is None) == (name is None):
        raise InputError("expected either NAME and IMAGEs or --folder")
    if folder is not None and metadata:
        raise InputError("expected --metadata of one identity, got it with --folder")
    if name is not None and on_bad_image is not None:
        raise InputError("expected --on-bad-image with --folder, got it with NAME; leave out the images to be skipped")
    noted = None if metadata is None else _pairs(metadata)
    if name is not None:
        _check(name, images or (), noted=noted)
        with opened(gallery, collection, model, create=True) as into:
            done = into.enroll(name, list(images or ()), metadata=noted, strict=strict)
        _print(done, list(images or ()), as_json=as_json)
        return
    assert folder is not None
    from samekind.data.folder import images_of

    of_name = images_of(folder)
    _check_names(folder, of_name)
    tally = _Tally()
    total = sum(map(len, of_name.values()))
    try:
        with (
            opened(gallery, collection, model, create=True) as into,
            counting_progress("enrolling", total, "images") as report,
        ):
            count = 0
            for identity, files in of_name.items():
                tally.identities += 1
                _enroll_all(into, identity, files, tally, strict=strict, skip=on_bad_image != "error")
                count += len(files)
                report(count)
    except BaseException:  # an interruption too
        if tally.enrolments:
            _print_tally(tally, as_json=as_json)
        raise
    _print_tally(tally, as_json=as_json)
    if tally.refused:
        raise typer.Exit(2)


def _check(name: str, images: Sequence[str], *, noted: dict[str, str] | None) -> None:
    """Refuse what is wrong with a name and images before a gallery is made for them."""
    from samekind.gallery.names import clean_metadata, clean_name
    from samekind.images import crop

    clean_name(name)
    clean_metadata(noted or {})
    if not images and noted is None:
        raise InputError(f"expected at least one image of {name}, got none")
    for image in images:
        if not Path(image).is_fifo():  # which can be read only once
            crop(image)


def _check_names(folder: Path, names: Iterable[str]) -> None:
    """Refuse a folder before the first of it is enrolled where one of its names is none."""
    from samekind.gallery.names import clean_name

    for name in names:
        try:
            clean_name(name)
        except InputError as error:
            raise InputError(f"{folder}: {name!r}: {error}") from None


def _enroll_all(
    gallery: "Gallery", name: str, files: tuple[Path, ...], tally: _Tally, *, strict: bool, skip: bool
) -> None:
    """Images of one identity, a part at a time; where one part is refused, those before it are taken back."""
    before = len(tally.enrolments)
    for start in range(0, len(files), AT_ONCE):
        if not _enroll_part(gallery, name, files[start : start + AT_ONCE], tally, strict=strict, skip=skip):
            while len(tally.enrolments) > before:
                tally.enrolled -= gallery.undo(tally.enrolments[-1])
                tally.enrolments.pop()
            return


def _enroll_part(
    gallery: "Gallery", name: str, files: tuple[Path, ...], tally: _Tally, *, strict: bool, skip: bool
) -> bool:
    """Whether they were not refused; images that cannot be read are noted, and left out where they may be."""
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
            return False
        else:
            tally.enrolled += len(done.samples)
            tally.skipped += len(done.skipped)
            tally.concerns += spoken(done.concerns, left)
            tally.enrolments += [done.id] if done.id else []
            return True
    return True


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
        say(f"refused: {name}; nothing of its images here was enrolled")
    typer.echo(
        f"{tally.identities} identities: {tally.enrolled} images enrolled, {tally.skipped} skipped that they hold "
        f"already, {len(tally.bad)} unreadable, {len(tally.refused)} identities refused"
    )
    if tally.enrolments:
        say("`samekind gallery show NAME` lists the enrolments of an identity, `gallery undo ID` takes one back")
