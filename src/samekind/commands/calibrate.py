"""`samekind calibrate`."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from samekind.commands.options import BUNDLE_HELP, DATA_HELP, AsJson, DataDir, OnBadImage, load
from samekind.console import say
from samekind.errors import InputError

if TYPE_CHECKING:
    from samekind.bundle import Bundle, Provenance
    from samekind.calibration import Calibration
    from samekind.data.labelled import LabelledImages

REFERENCES = range(1, 11)


def calibrate(
    bundle: Annotated[str, typer.Argument(metavar="BUNDLE", help=BUNDLE_HELP)],
    data: Annotated[str, typer.Argument(metavar="DATA", help=f"Classes unseen in training: {DATA_HELP}")],
    target_fmr: Annotated[
        float | None,
        typer.Option(help="False match rate to certify (FPIR for galleries).  [default: fit probabilities only]"),
    ] = None,
    confidence: Annotated[float, typer.Option(help="Of the certificate.")] = 0.95,
    references: Annotated[
        list[int] | None,
        typer.Option(min=1, help="How many references a decision has; may be repeated.  [default: 1 to 10]"),
    ] = None,
    identities: Annotated[
        list[int] | None,
        typer.Option(min=2, help="Certify searches among so many enrolled identities too; may be repeated."),
    ] = None,
    prior: Annotated[float, typer.Option(help="Share of questions whose answer is same.")] = 0.5,
    out: Annotated[Path | None, typer.Option(help="Folder to write.  [default: the bundle's own]")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the pairs that are drawn.")] = 0,
    on_bad_image: OnBadImage = "skip",
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Set probabilities and a certified threshold on classes that the model never saw."""
    import numpy as np

    from samekind.bundle import load_bundle, refuse_other, save_calibrated, shipped
    from samekind.verifier import Verifier

    loaded = load_bundle(bundle)
    if out is None and bundle in shipped():
        raise InputError(f"{bundle} comes with the package and stays as it is: name a folder by --out")
    path = loaded.path if out is None else out
    refuse_other(path)
    if identities and target_fmr is None:
        raise InputError("expected --target-fmr with --identities: the share of searches that may find a stranger")
    labelled = _unseen(load(data, data_dir=data_dir, on_bad_image=on_bad_image), loaded.manifest.provenance)
    calibration = Verifier(loaded).calibrated(
        labelled,
        references=_references(labelled, references),
        identities=tuple(sorted(set(identities or ()))),
        target_fmr=target_fmr,
        confidence=confidence,
        prior=prior,
        rng=np.random.default_rng(seed),
    )
    written = save_calibrated(loaded, path, calibration)
    if as_json:
        typer.echo(json.dumps(_summary(written, calibration)))
    else:
        typer.echo(f"{written.path}: calibrated on {calibration.classes} classes of {calibration.data}")
        for c in calibration.certificates:
            typer.echo(
                f"references: {c.references}, threshold {c.threshold:.4f}, {c.promise} with "
                f"{c.confidence:.0%} confidence (observed {c.observed_fmr:.2g})"
            )


def _unseen(data: "LabelledImages", provenance: "Provenance") -> "LabelledImages":
    """Of the data, what the model was not trained on, as far as that is known."""
    import numpy as np

    shared = np.isin(data.classes, provenance.held_out_classes)
    if data.fingerprint != provenance.data_fingerprint and not shared.any():
        return data
    say(f"{data.name}: the model was trained on classes of this data; only those held out of it are used")
    return data.take_classes(np.flatnonzero(shared))


def _references(data: "LabelledImages", asked: list[int] | None) -> tuple[int, ...]:
    """Those asked for, or of REFERENCES what every class has images for."""
    import numpy as np

    if asked is not None:
        return tuple(sorted(set(asked)))
    images = int(np.bincount(data.labels).min()) if len(data) else 0
    return tuple(count for count in REFERENCES if count <= images)


def _summary(bundle: "Bundle", calibration: "Calibration") -> dict[str, object]:
    from dataclasses import asdict

    return {
        "bundle": str(bundle.path),
        "fingerprint": bundle.fingerprint,
        "data": calibration.data,
        "classes": calibration.classes,
        "prior": calibration.prior,
        "threshold": calibration.threshold,
        "certificates": [asdict(certificate) for certificate in calibration.certificates],
    }
