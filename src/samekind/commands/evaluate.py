"""`samekind evaluate`."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from samekind.commands.options import BUNDLE_HELP, DATA_HELP, AsJson, DataDir, OnBadImage, load
from samekind.console import print_evaluations, say
from samekind.errors import InputError
from samekind.version import __version__

if TYPE_CHECKING:
    from samekind.bundle import Provenance
    from samekind.data.labelled import LabelledImages
    from samekind.protocols import Model

IMPOSTORS_HELP = "koch, verification: any or same-group.  [default: any]"


def evaluate(
    bundle: Annotated[str | None, typer.Argument(metavar="BUNDLE", help=BUNDLE_HELP)] = None,
    protocol: Annotated[str, typer.Option(help="lake, within-alphabet, one-shot, koch or verification.")] = "lake",
    data: Annotated[str | None, typer.Option(help=f"{DATA_HELP}  [default: the protocol's own]")] = None,
    baseline: Annotated[str | None, typer.Option(help="In place of a bundle: hausdorff.")] = None,
    trials: Annotated[int | None, typer.Option(help="How many trials or pairs.  [default: the protocol's]")] = None,
    ways: Annotated[int | None, typer.Option(help="one-shot: classes a trial.  [default: 20]")] = None,
    shots: Annotated[int | None, typer.Option(help="one-shot: references a class.  [default: 1]")] = None,
    impostors: Annotated[str | None, typer.Option(help=IMPOSTORS_HELP)] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of trials and intervals.")] = 0,
    report: Annotated[Path | None, typer.Option(help="Write a page that shows curves and decisions.")] = None,
    on_bad_image: OnBadImage = "skip",
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Measure a bundle on classes that it never saw, by a named protocol."""
    from samekind.protocols import PROTOCOLS, run

    if protocol not in PROTOCOLS:
        raise InputError(f"expected a protocol among {', '.join(PROTOCOLS)}; got {protocol!r}")
    name, model, provenance = _model(bundle, baseline)
    source = PROTOCOLS[protocol].data if data is None else data
    labelled = load(source, data_dir=data_dir, on_bad_image=on_bad_image)
    if provenance is not None and provenance.data_fingerprint == labelled.fingerprint:
        labelled = _unseen(labelled, provenance)
    of_pairs = "pairs" in PROTOCOLS[protocol].uses
    evaluation = run(
        protocol,
        model,
        data=labelled,
        ways=ways,
        shots=shots,
        trials=None if of_pairs else trials,
        pairs=trials if of_pairs else None,
        impostors=impostors,
        seed=seed,
    )
    if as_json:
        typer.echo(json.dumps({"bundle": name, "version": __version__, **evaluation.as_json()}))
    else:
        print_evaluations([evaluation])
    if report is not None:  # last, so that a page that cannot be written costs no figures
        from samekind.report import write_report

        write_report(report, [evaluation], bundle=name, threshold=model.threshold)
        say(f"{report}: report written")


def _model(bundle: str | None, baseline: str | None) -> "tuple[str, Model, Provenance | None]":
    """Name and model of a bundle or of a baseline, and where a bundle comes from."""
    if bundle is None and baseline is not None:
        from samekind.baselines import BASELINES
        from samekind.protocols import Model

        if baseline not in BASELINES:
            raise InputError(f"unknown baseline {baseline!r}; expected one of {', '.join(BASELINES)}")
        return f"baseline:{baseline}", Model(BASELINES[baseline]), None
    if bundle is None or baseline is not None:
        raise InputError("expected either a BUNDLE or --baseline, got both or neither")
    from samekind.verifier import Verifier

    verifier = Verifier.load(bundle)
    return bundle, verifier.model, verifier.bundle.manifest.provenance


def _unseen(data: "LabelledImages", provenance: "Provenance") -> "LabelledImages":
    """Of the data set that a model was trained on, what it was not trained on."""
    from dataclasses import replace

    import numpy as np

    held_out = [index for index, name in enumerate(data.classes) if name in provenance.held_out_classes]
    say(
        f"this model was trained on the other classes of this data; measured on the {len(held_out)} held-out ones, "
        "which also set the threshold"
    )
    return replace(data.take_classes(np.asarray(held_out, dtype=np.int64)), name=f"{data.name}, held-out classes")
