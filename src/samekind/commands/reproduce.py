"""`samekind reproduce`."""

import json
from pathlib import Path
from typing import Annotated

import typer

from samekind.commands.evaluate import BASELINE, measure
from samekind.commands.options import AsJson, DataDir


def reproduce(
    card: Annotated[Path, typer.Argument(metavar="CARD", help="Made by `samekind evaluate --card`.")],
    bundle: Annotated[str | None, typer.Option(help="In place of the card's: a folder or a name.")] = None,
    data: Annotated[str | None, typer.Option(help="In place of the card's: a name, a folder or a CSV.")] = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Run the evaluation of a CARD again and say what differs.

    Exit code 0: it reproduces, 1: it does not.
    """
    from dataclasses import asdict

    from samekind.card import read_card
    from samekind.comparison import AGREES, WITHIN, compare, reproduces

    record = read_card(card)
    options, name = record.options, record.model.name
    of_baseline = bundle is None and name.startswith(BASELINE)
    again = measure(
        None if of_baseline else bundle or name,
        name.removeprefix(BASELINE) if of_baseline else None,
        protocol=record.protocol,
        data=data or record.data.source,
        data_dir=data_dir,
        on_bad_image="skip",
        ways=options.ways,
        shots=options.shots,
        count=options.trials if options.pairs is None else options.pairs,
        impostors=options.impostors,
        seed=record.seed,
    ).card()
    findings = compare(record, again)
    done = reproduces(findings)
    if as_json:
        found = [asdict(finding) for finding in findings]
        typer.echo(json.dumps({"card": str(card), "reproduces": done, "findings": found}))
    else:
        for finding in findings:
            values = "" if finding.verdict == AGREES else f": {finding.got}, expected {finding.expected}"
            typer.echo(f"{finding.field} {finding.verdict}{values}" + (f" ({finding.why})" if finding.why else ""))
        agree, within = (sum(finding.verdict == verdict for finding in findings) for verdict in (AGREES, WITHIN))
        typer.echo(
            f"{'reproduced' if done else 'not reproduced'}: {agree} fields agree, {within} within the last digits "
            f"(scores may differ by {again.tolerance.score:.1e}), {len(findings) - agree - within} differ"
        )
    raise typer.Exit(0 if done else 1)
