"""`samekind gallery`: what is enrolled, and its upkeep."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from samekind.commands.galleries import FILE, Collection, Where, opened_store, who
from samekind.commands.options import BUNDLE_HELP, AsJson
from samekind.console import counting_progress, say
from samekind.errors import InputError

Who = Annotated[str, typer.Argument(metavar="NAME", help="Of an identity, or its id.")]

gallery = typer.Typer(help="List, show, remove, carry and check what is enrolled.")


@gallery.command("list")
def list_(
    search: Annotated[str, typer.Option(metavar="TEXT", help="Only names that hold it, in any case.")] = "",
    after: Annotated[str | None, typer.Option(metavar="NAME", help="Only names behind it.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="Identities at most.")] = 100,
    where: Where = FILE,
    collection: Collection = "default",
    as_json: AsJson = False,
) -> None:
    """List identities by name, with their numbers of images."""
    with opened_store(where, collection) as store, store.reading() as rows:
        found = rows.identities(after=after, limit=limit + 1, search=search)
        counts = rows.counts()
    shown, more = found[:limit], len(found) > limit
    if as_json:
        following = shown[-1].name if more else None
        listed = [asdict(identity) for identity in shown]
        typer.echo(json.dumps({"identities": listed, "next": following, "total": counts.identities}))
        return
    for identity in shown:
        typer.echo(f"{identity.id}  {identity.created}  {identity.samples:>5}  {identity.name}")
    say(f"{counts.identities:,} identities, {counts.samples:,} images")
    if more:
        say(f"--after {shown[-1].name!r} shows more")


@gallery.command()
def show(name: Who, where: Where = FILE, collection: Collection = "default", as_json: AsJson = False) -> None:
    """Show an identity with its metadata, its images, and the enrolments that `gallery undo` takes back."""
    with opened_store(where, collection) as store, store.reading() as rows:
        identity = who(rows, name)
        samples, enrolments = rows.samples(identity.id), rows.enrolments(identity.id)
    if as_json:
        lists = {"items": [asdict(one) for one in samples], "enrolments": [asdict(one) for one in enrolments]}
        typer.echo(json.dumps({**asdict(identity), **lists}))
        return
    typer.echo(f"{identity.name}\n  id {identity.id}, since {identity.created}")
    for key, text in identity.metadata.items():
        typer.echo(f"  {key}: {text}")
    for sample in samples:
        typer.echo(f"  image {sample.id}  {sample.created}  SHA-256 {sample.digest}")
    for enrolment in enrolments:
        typer.echo(f"  enrolment {enrolment.id}  {enrolment.created}  {enrolment.samples} images")


@gallery.command()
def remove(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="NAME", help="Of identities, or their ids; all go together.")
    ] = None,
    sample: Annotated[
        str | None, typer.Option(metavar="ID", help="In place of NAMEs: one image; an identity goes with its last.")
    ] = None,
    where: Where = FILE,
    collection: Collection = "default",
    as_json: AsJson = False,
) -> None:
    """Remove identities, or one image, for good: nothing of them is left in the gallery's file.

    The file is written anew for it, which takes a second for 100,000 images. Where somebody reads it meanwhile, traces
    may be left: standard error says so, and `samekind gallery check` until they are gone.
    """
    from samekind.gallery import transactions

    if bool(names) == (sample is not None):
        raise InputError("expected either NAMEs or --sample")
    with opened_store(where, collection) as store, store.writing() as rows:
        before = rows.counts()
        if sample is not None:
            transactions.remove_sample(rows, sample)
        else:
            transactions.remove(rows, list(dict.fromkeys(who(rows, name).id for name in names or ())))
        after = rows.counts()
    done = {"identities": before.identities - after.identities, "samples": before.samples - after.samples}
    _done(done, f"removed {done['identities']} identities, {done['samples']} images", as_json=as_json)


@gallery.command()
def undo(
    enrolment: Annotated[str, typer.Argument(metavar="ID", help="As `samekind enroll` or `gallery show` printed it.")],
    where: Where = FILE,
    collection: Collection = "default",
    as_json: AsJson = False,
) -> None:
    """Take back what one `enroll` did; metadata that it replaced come back."""
    from samekind.gallery import transactions

    with opened_store(where, collection) as store, store.writing() as rows:
        removed = transactions.undo(rows, enrolment)
    _done({"removed": removed}, f"removed {removed} images", as_json=as_json)


@gallery.command()
def export(
    archive: Annotated[Path, typer.Argument(metavar="ARCHIVE", help="File to write; an older archive is replaced.")],
    where: Where = FILE,
    collection: Collection = "default",
    as_json: AsJson = False,
) -> None:
    """Write the collection to one file, to keep or to carry elsewhere."""
    from samekind.gallery.transfer import export as write

    with opened_store(where, collection) as store:
        done = write(store, archive)
    written = {"archive": str(done.path), "identities": done.identities, "samples": done.samples}
    _done(written, f"{done.path}: {done.identities:,} identities, {done.samples:,} images", as_json=as_json)


@gallery.command("import")
def import_(
    archive: Annotated[Path, typer.Argument(metavar="ARCHIVE", help="File of `samekind gallery export`.")],
    where: Where = FILE,
    collection: Collection = "default",
    as_json: AsJson = False,
) -> None:
    """Add what an archive holds, all of it or, where it is not whole, nothing. The gallery is made where it is missing.

    Identities of one name become one: images that it holds already are skipped, and its metadata stay.
    """
    from contextlib import closing

    from samekind.gallery.archive import Archive
    from samekind.gallery.store import open_store
    from samekind.gallery.transfer import load

    with (
        closing(Archive(archive)) as checked,
        closing(open_store(where, collection, founding=checked.model)) as store,
    ):
        done = load(store, checked)
    said = (
        f"{done.identities:,} identities: {done.added:,} images added, {done.skipped:,} skipped that they hold already"
    )
    _done(asdict(done), said, as_json=as_json)


@gallery.command()
def check(where: Where = FILE, collection: Collection = "default", as_json: AsJson = False) -> None:
    """Check that the gallery is whole: its file, and every picture and embedding in it.

    Exit code 0: whole, 1: something is wrong.
    """
    from samekind.gallery.examination import problems

    with opened_store(where, collection) as store:
        found = problems(store)
    if as_json:
        typer.echo(json.dumps({"problems": found}))
    else:
        typer.echo("\n".join(found) or "whole")
    raise typer.Exit(int(bool(found)))


@gallery.command()
def reembed(
    model: Annotated[str, typer.Option(help=f"Which embeds all anew. {BUNDLE_HELP}")] = "omniglot",
    where: Where = FILE,
    collection: Collection = "default",
    as_json: AsJson = False,
) -> None:
    """Embed all images anew, from their stored pictures, by another model, whose the collection then is."""
    from samekind.gallery.reembedding import reembed as anew
    from samekind.verifier import Verifier

    verifier = Verifier.load(model)
    with opened_store(where, collection) as store:
        with store.reading() as rows:
            total = rows.counts().samples
        with counting_progress("embedding", total, "images") as report:
            count = anew(store, verifier, report=report)
    fingerprint = verifier.bundle.fingerprint
    _done({"samples": count, "fingerprint": fingerprint}, f"{count:,} images embedded by {model}", as_json=as_json)


def _done(content: Mapping[str, object], said: str, *, as_json: bool) -> None:
    typer.echo(json.dumps(content) if as_json else said)
