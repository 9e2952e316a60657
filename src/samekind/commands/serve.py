"""`samekind serve`."""

import json
import os
from pathlib import Path
from typing import Annotated

import typer

from samekind.commands.galleries import FILE, Collection, Where
from samekind.commands.options import BUNDLE_HELP, AsJson, needs_extra
from samekind.console import say


def serve(
    model: Annotated[str, typer.Option(help=BUNDLE_HELP)] = "omniglot",
    gallery: Where = FILE,
    collection: Collection = "default",
    no_gallery: Annotated[bool, typer.Option("--no-gallery", help="Only verify; keep nothing.")] = False,
    host: Annotated[
        str, typer.Option(help="Address to listen at; any but this machine's own needs --keys.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen at; 0: any that is free.")] = 8000,
    keys: Annotated[
        Path | None, typer.Option(help="File of `samekind keys`.  [default: no keys; only this machine is answered]")
    ] = None,
    cors: Annotated[
        list[str] | None, typer.Option(metavar="ORIGIN", help="Another web page that may call; may be repeated.")
    ] = None,
    requests: Annotated[int, typer.Option(min=1, help="At a time; more are refused.")] = 64,
    megabytes: Annotated[int, typer.Option(min=1, help="Of one request; larger ones are refused.")] = 32,
    threads: Annotated[int | None, typer.Option(min=1, help="Of a forward pass.  [default: half of the cores]")] = None,
    as_json: AsJson = False,
) -> None:
    """Serve a model and a gallery, which is made where there is none, over HTTP, with a web page.

    Ctrl-C or SIGTERM ends it, once what was begun is done. A line of JSON a request goes to standard error.
    """
    with needs_extra("serve"):
        from samekind.service.app import create_app
        from samekind.service.keys import KeyRing
        from samekind.service.server import bind, run
        from samekind.service.settings import MEGA, Limits, Settings
    from samekind.gallery.gallery import Gallery
    from samekind.verifier import Verifier

    ring = None if keys is None else KeyRing(keys)
    body = megabytes * MEGA
    limits = Limits(requests=requests, body=body, held=max(8 * body, Limits().held))
    settings = Settings(limits, origins=tuple(cors or ()), loopback_only=ring is None)
    with bind(host, port, has_keys=bool(ring)) as bound:
        loaded = Verifier.load(model, threads=threads or max(1, (os.cpu_count() or 1) // 2))

        def enrolled(model: Verifier) -> Gallery:
            return Gallery.open(gallery, model, collection=collection)

        app = create_app(loaded, gallery=None if no_gallery else enrolled, settings=settings, ring=ring, log=say)
        about = {"url": bound.url, "model": str(loaded.bundle.path), "fingerprint": loaded.bundle.fingerprint}

        def ready() -> None:
            if as_json:
                typer.echo(json.dumps(about))
            else:
                say(f"serving {loaded.bundle.path.name} at {bound.url}; Ctrl-C stops it")

        run(app, bound, ready=ready, write=say, grace=settings.limits.seconds)
