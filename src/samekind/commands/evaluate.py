"""`samekind evaluate`."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from samekind.commands.options import BUNDLE_HELP, DATA_HELP, AsJson, DataDir, OnBadImage, load
from samekind.console import print_evaluations, say
from samekind.errors import InputError
from samekind.version import __version__

if TYPE_CHECKING:
    from samekind.bundle import Provenance
    from samekind.card import Card, Subject
    from samekind.data.labelled import LabelledImages
    from samekind.protocols import Evaluation, Model

BASELINE = "baseline:"
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
    card: Annotated[Path | None, typer.Option(help="Write what `samekind reproduce` runs again.")] = None,
    on_bad_image: OnBadImage = "skip",
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Measure a bundle on classes that it never saw, by a named protocol."""
    measured = measure(
        bundle,
        baseline,
        protocol=protocol,
        data=data,
        data_dir=data_dir,
        on_bad_image=on_bad_image,
        ways=ways,
        shots=shots,
        count=trials,
        impostors=impostors,
        seed=seed,
    )
    name, evaluation = measured.subject.name, measured.evaluation
    if as_json:
        typer.echo(json.dumps({"bundle": name, "version": __version__, **evaluation.as_json()}))
    else:
        print_evaluations([evaluation])
    if card is not None:  # last, so that a file that cannot be written costs no figures
        from samekind.card import write_card

        write_card(card, measured.card())
        say(f"{card}: card written")
    if report is not None:
        from samekind.report import write_report

        write_report(report, [evaluation], bundle=name, threshold=measured.model.threshold)
        say(f"{report}: report written")


@dataclass(frozen=True, eq=False)
class Measured:
    """An evaluation, and all that its card says of where it comes from."""

    evaluation: "Evaluation"
    model: "Model"
    subject: "Subject"
    source: str
    split: str

    def card(self) -> "Card":
        """The card; it takes about as long as the intervals did."""
        from samekind.card import make_card

        return make_card(self.evaluation, self.model, subject=self.subject, source=self.source, split=self.split)


def measure(
    bundle: str | None,
    baseline: str | None,
    *,
    protocol: str,
    data: str | None,
    data_dir: Path | None,
    on_bad_image: str,
    ways: int | None,
    shots: int | None,
    count: int | None,
    impostors: str | None,
    seed: int,
) -> Measured:
    """Run a protocol on what a person named; see `evaluate`, and `protocols.run` for the options.

    Of the data that a bundle was trained on only its held-out classes are used.
    """
    from samekind.protocols import PROTOCOLS, run

    if protocol not in PROTOCOLS:
        raise InputError(f"expected a protocol among {', '.join(PROTOCOLS)}; got {protocol!r}")
    subject, model, provenance = _model(bundle, baseline)
    source, split = PROTOCOLS[protocol].data if data is None else data, "all"
    labelled = load(source, data_dir=data_dir, on_bad_image=on_bad_image)
    if provenance is not None and provenance.data_fingerprint == labelled.fingerprint:
        labelled, split = _unseen(labelled, provenance), "held-out"
    of_pairs = "pairs" in PROTOCOLS[protocol].uses
    evaluation = run(
        protocol,
        model,
        data=labelled,
        ways=ways,
        shots=shots,
        trials=None if of_pairs else count,
        pairs=count if of_pairs else None,
        impostors=impostors,
        seed=seed,
    )
    return Measured(evaluation, model, subject, source, split)


def _model(bundle: str | None, baseline: str | None) -> "tuple[Subject, Model, Provenance | None]":
    """What is measured, and where a bundle comes from."""
    from samekind.card import Subject, digest_of

    if bundle is None and baseline is not None:
        from samekind.baselines import BASELINES
        from samekind.protocols import Model

        if baseline not in BASELINES:
            raise InputError(f"unknown baseline {baseline!r}; expected one of {', '.join(BASELINES)}")
        return Subject(f"{BASELINE}{baseline}", None, None, None), Model(BASELINES[baseline]), None
    if bundle is None or baseline is not None:
        raise InputError("expected either a BUNDLE or --baseline, got both or neither")
    from samekind.verifier import Verifier

    verifier = Verifier.load(bundle)
    manifest = verifier.bundle.manifest
    calibration = None if manifest.calibration is None else digest_of(manifest.calibration)
    subject = Subject(bundle, verifier.bundle.fingerprint, calibration, verifier.model.threshold)
    return subject, verifier.model, manifest.provenance


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
