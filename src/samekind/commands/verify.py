"""`samekind verify`."""

import json
from typing import TYPE_CHECKING, Annotated

import typer

from samekind.commands.options import BUNDLE_HELP, AsJson

if TYPE_CHECKING:
    from samekind.verifier import Decision

CANNOT_TELL = 3


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
        typer.echo(_spoken(decision))
    raise typer.Exit(CANNOT_TELL if decision.same is None else int(not decision.same))


def _spoken(decision: "Decision") -> str:
    d = decision
    interval = f"{d.probability:.1%} (95 % interval {d.probability_low:.1%} to {d.probability_high:.1%})"
    certified = "" if d.certified_fmr is None else f", certified FMR {d.certified_fmr:g}"
    figures = f"score {d.score:.4f}, threshold {d.threshold:.4f}{certified}"
    if d.same is None:
        return f"cannot tell: {'; '.join(d.reasons)}; probability of same {interval}, {figures}"
    said = f"{'same' if d.same else 'different'}: probability of same {interval}, {figures}"
    return said + "".join(f" ({reason})" for reason in d.reasons)
