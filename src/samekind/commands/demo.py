"""`samekind demo`."""

import json
from pathlib import Path
from typing import Annotated

import typer

from samekind.commands.options import AsJson, DataDir, command_line, load, needs_extra, summary
from samekind.console import print_evaluations, say, training_progress
from samekind.errors import MissingDataError
from samekind.version import __version__

DEMO_MINUTES = 4.0


def demo(
    out: Annotated[Path, typer.Option(help="Folder for the bundle and the report.")] = Path("samekind-demo"),
    minutes: Annotated[float, typer.Option(help="Of training.")] = DEMO_MINUTES,
    seed: Annotated[int, typer.Option(min=0, help="Of everything random.")] = 0,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Train a Siamese network for a few minutes, decide on classes it never saw, and write a report page."""
    with needs_extra("train"):
        from samekind.building import build_bundle, choose_recipe
        from samekind.recipes import Budget
    from samekind.protocols import PROTOCOLS, run
    from samekind.report import write_report
    from samekind.verifier import Verifier

    budget = Budget(minutes=minutes)
    try:
        background = load("omniglot:background", data_dir=data_dir)
        tests = [(name, load(PROTOCOLS[name].data, data_dir=data_dir)) for name in ("koch", "lake")]
    except MissingDataError as error:
        if data_dir is not None:  # it was said where to look
            raise
        from samekind.data.glyphs import glyphs

        say(f"Omniglot cannot be had ({error}); going on with glyphs, which are drawn by a program")
        background = glyphs(400, seed=seed)
        unseen = glyphs(100, seed=seed + 1)
        tests = [("verification", unseen), ("one-shot", unseen)]
    recipe = choose_recipe(background, encoder="small", loss="contrastive", notify=say)
    with training_progress() as progress:
        built = build_bundle(
            background,
            out / "bundle",
            recipe=recipe,
            budget=budget,
            seed=seed,
            command=command_line(),
            notify=say,
            report=progress,
        )
    verifier = Verifier(built.bundle)
    evaluations = [run(protocol, verifier.model, data=data, seed=seed) for protocol, data in tests]
    page = out / "report.html"
    device = built.bundle.manifest.provenance.device
    details = {
        "Trained on": f"{background.name}, {built.seconds / 60:.1f} minutes on {device}",
        "Loss": recipe.loss,
        "Encoder": recipe.encoder,
    }
    if as_json:
        measured = [evaluation.as_json() for evaluation in evaluations]
        typer.echo(json.dumps({**summary(built), "evaluations": measured, "report": str(page), "version": __version__}))
    else:
        print_evaluations(evaluations)
    # last, so that a page that cannot be written costs no figures
    write_report(page, evaluations, bundle=str(built.bundle.path), threshold=verifier.model.threshold, details=details)
    if not as_json:
        typer.echo(f"report: {page}")
