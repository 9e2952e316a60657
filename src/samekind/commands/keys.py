"""`samekind keys`: who may use a service."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from samekind.commands.options import AsJson
from samekind.console import say

if TYPE_CHECKING:
    from samekind.service.keys import Key

KeysFile = Annotated[Path, typer.Option("--keys", help="File that holds them; readable by its owner only.")]
FILE = Path("samekind-keys.json")

keys = typer.Typer(help="Make, list and revoke the keys of a service.")


@keys.command()
def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Of whoever it is for.")],
    scope: Annotated[
        list[str], typer.Option(help="What it is for: verify, read, enroll or admin (all of it); may be repeated.")
    ],
    path: KeysFile = FILE,
    as_json: AsJson = False,
) -> None:
    """Make a key and print it, this once: only a hash of it is stored."""
    from samekind.service.keys import create_key

    created = create_key(path, name, scopes=tuple(scope))
    if as_json:
        typer.echo(json.dumps({**_shown(created.key), "key": created.text}))
    else:
        say(f"a key for {name} ({', '.join(created.key.scopes)}); it cannot be shown again:")
        typer.echo(created.text)


@keys.command("list")
def list_(path: KeysFile = FILE, as_json: AsJson = False) -> None:
    """Say which keys there are."""
    from samekind.service.keys import list_keys

    found = list_keys(path)
    if as_json:
        typer.echo(json.dumps({"keys": [_shown(key) for key in found]}))
        return
    for key in found:
        typer.echo(f"{key.id}  {key.created}  {','.join(key.scopes)}  {key.name}")


@keys.command()
def revoke(
    which: Annotated[str, typer.Argument(metavar="KEY", help="Its name or its id.")],
    path: KeysFile = FILE,
    as_json: AsJson = False,
) -> None:
    """Take a key away; a running service refuses it from its next request on."""
    from samekind.service.keys import revoke_key

    key = revoke_key(path, which)
    if as_json:
        typer.echo(json.dumps({"revoked": _shown(key)}))
    else:
        say(f"revoked the key of {key.name} ({key.id})")


def _shown(key: "Key") -> dict[str, object]:
    shown = asdict(key)
    del shown["digest"]
    return shown
