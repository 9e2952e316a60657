"""`samekind audit`."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from samekind.commands.options import BUNDLE_HELP, DATA_HELP, AsJson, DataDir, OnBadImage, load, needs_extra
from samekind.console import say, training_progress
from samekind.errors import InputError
from samekind.version import __version__

if TYPE_CHECKING:
    from samekind.audit import Audit, View
    from samekind.bundle import Provenance
    from samekind.data.labelled import LabelledImages

DEFAULT_MINUTES = 6.0
NAMED = 5  # findings of a kind that a terminal shows


def audit(
    data: Annotated[str, typer.Argument(metavar="DATA", help=DATA_HELP)],
    model: Annotated[
        str | None,
        typer.Option(help=f"{BUNDLE_HELP} Judges only classes that it never saw.  [default: train three small ones]"),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Write a page that shows each finding.")] = None,
    most: Annotated[int, typer.Option(min=1, help="Findings of a kind, in the page and in JSON.")] = 24,
    minutes: Annotated[
        float | None,
        typer.Option(
            help=f"Without a model: train for so long in all.  [default: {DEFAULT_MINUTES:g}, without --steps]"
        ),
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Without a model: steps of each; can be repeated exactly.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Without a model: of their training.")] = 0,
    on_bad_image: OnBadImage = "skip",
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """List what may be wrong with the images of DATA: copies, wrong labels, outliers, classes that are one or two.

    Each image is judged by a model that never saw its class.
    """
    labelled = load(data, data_dir=data_dir, on_bad_image=on_bad_image)
    if model is not None and not (minutes is None and steps is None):
        raise InputError("expected either --model or a training (--minutes, --steps), got both")
    from samekind import audit as auditing

    if model is None:
        views = _cross_fitted(labelled, minutes=minutes, steps=steps, seed=seed)
        judged_by = "three small models, each on classes that it did not learn from"
    else:
        labelled, view = _unseen(labelled, model)
        views, judged_by = (view,), f"{model}, which never saw these classes"
    found = auditing.audit(labelled, views)
    if as_json:
        typer.echo(json.dumps({"version": __version__, "judged_by": judged_by, **found.as_json(most=most)}))
    else:
        _print(found)
    if out is not None:  # last, so that a page that cannot be written costs no findings
        from samekind.audit_page import write_audit

        write_audit(out, found, judged_by=judged_by, most=most)
        say(f"{out}: page written")


def _cross_fitted(data: "LabelledImages", *, minutes: float | None, steps: int | None, seed: int) -> "tuple[View, ...]":
    """Three models trained on the data itself."""
    with needs_extra("train"):
        from samekind.building import choose_recipe
        from samekind.crossfit import FOLDS, cross_fit
        from samekind.recipes import Budget
    import numpy as np

    total = DEFAULT_MINUTES if minutes is None and steps is None else minutes
    budget = Budget(minutes=None if total is None else total / FOLDS, steps=steps)
    recipe = choose_recipe(data, loss="supcon", notify=say)
    say(f"training {FOLDS} small models, each on a third of the classes; each judges the others")
    with training_progress() as report:
        return cross_fit(data, recipe=recipe, budget=budget, rng=np.random.default_rng(seed), report=report)


def _unseen(data: "LabelledImages", model: str) -> "tuple[LabelledImages, View]":
    """The classes that a bundle never saw, and what it makes of them."""
    import numpy as np

    from samekind.audit import View
    from samekind.verifier import Verifier

    verifier = Verifier.load(model)
    provenance = verifier.bundle.manifest.provenance
    if _learned_from(data, provenance):
        held_out = [index for index, name in enumerate(data.classes) if name in provenance.held_out_classes]
        if len(held_out) < 2:
            raise InputError(f"{model} was trained on {data.name}: it cannot judge what it saw; leave out --model")
        say(
            f"{model} was trained on {data.name}: only the {len(held_out)} of {len(data.classes)} classes that it did "
            "not see are judged; leave out --model to judge all"
        )
        data = data.take_classes(np.asarray(held_out, dtype=np.int64))
    else:
        say(f"{model} was trained on {provenance.data}, other data than these: taken as never seen")
    embeddings = verifier.embed_pixels(data.pixels(verifier.preprocessing))
    return data, View(embeddings, verifier.similarity, np.ones(len(data.classes), dtype=bool))


def _learned_from(data: "LabelledImages", provenance: "Provenance") -> bool:
    """Whether a model was trained on these data, or on what had their name then: images may have changed since."""
    return provenance.data_fingerprint == data.fingerprint or provenance.data == data.name


def _print(found: "Audit") -> None:
    from samekind.audit_page import TITLES

    data = found.data
    typer.echo(f"{data.name}: {len(data)} images of {len(data.classes)} classes")
    for name, title in TITLES.items():
        listed = found.findings[name]
        typer.echo(f"{title.name}: {found.likely(name)} likely, of {len(listed)} listed")
        for finding in listed[: min(NAMED, found.likely(name))]:
            sides = " | ".join(
                f"{side.role} {data.names[side.images[0]] if side.role == 'image' else data.classes[side.label]}"
                for side in finding.sides
            )
            typer.echo(f"  {finding.score:.3f}  {sides}")
