"""`samekind verify`."""

import json
from typing import Annotated

import typer

from samekind.commands.options import BUNDLE_HELP, AsJson


def verify(
    query: Annotated[str, typer.Argument(metavar="QUERY", help="An image.")],
    references: Annotated[list[str], typer.Argument(metavar="REFERENCE", help="One image of a class, or several.")],
    model: Annotated[str, typer.Option(help=BUNDLE_HELP)] = "omniglot",
    as_json: AsJson = False,
) -> None:
    """Decide whether QUERY shows the same kind of thing as the REFERENCEs.

    Exit code 0: same, 1: different, 3: cannot tell.
    """
    from dataclasses import asdict

    from samekind.verifier import Verifier

    decision = Verifier.load(model).verify(query, references)
    if as_json:
        typer.echo(json.dumps(asdict(decision)))
    else:
        typer.echo(
            f"{'same' if decision.same else 'different'}: probability of same {decision.probability:.1%}, "
            f"score {decision.score:.4f}, threshold {decision.threshold:.4f}"
            + "".join(f" ({reason})" for reason in decision.reasons)
        )
    raise typer.Exit(0 if decision.same else 1)
