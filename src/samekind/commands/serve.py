"""`samekind serve`."""

from typing import Annotated

import typer

from samekind.commands.options import BUNDLE_HELP, needs_extra


def serve(
    model: Annotated[str, typer.Option(help=BUNDLE_HELP)] = "omniglot",
    host: Annotated[str, typer.Option(help="Address to listen at.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen at; 0: any that is free.")] = 8000,
) -> None:
    """Serve a model over HTTP, with a web page."""
    with needs_extra("serve"):
        import uvicorn

        from samekind.service.app import create_app
    from samekind.verifier import Verifier

    app = create_app(Verifier.load(model, threads=1))
    uvicorn.run(app, host=host, port=port, access_log=False, server_header=False)
