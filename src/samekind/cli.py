"""The command `samekind`: wires everything, and is the only place that does.

With --json one JSON object goes to standard output and nothing else; progress and messages go to standard error.
Exit codes: 0 done or same, 1 different, 2 wrong use or bad input, 3 cannot tell.
Each command imports what it needs when it runs, so that `--help` is quick and only `train` and `demo` import torch.
"""

import io
import json
import shlex
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from samekind.console import complain, print_evaluations, say, training_progress
from samekind.errors import InputError, MissingDataError, MissingExtraError, NoThresholdError, SamekindError
from samekind.version import __version__

if TYPE_CHECKING:
    from samekind.building import Built
    from samekind.bundle import Provenance
    from samekind.data.labelled import LabelledImages
    from samekind.protocols import Model

DATA_HELP = "omniglot:background, omniglot:evaluation, omniglot:small1, omniglot:small2, glyphs, a folder or a CSV."
LOSS_HELP = "contrastive, triplet, supcon, cross-entropy or pml:NAME."
BUNDLE_HELP = "A bundle folder, or the name of a shipped bundle."
IMPOSTORS_HELP = "koch, verification: any or same-group.  [default: any]"
DEFAULT_MINUTES = 10.0
DEMO_MINUTES = 4.0
WRONG = 2
CANNOT_TELL = 3
INTERRUPTED = 130  # what shells expect of a command that was stopped by Ctrl-C

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Are these two images of the same kind of thing? Train, verify and measure one-shot image verification.",
)

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output and nothing else.")]
DataDir = Annotated[Path | None, typer.Option(help="Folder with the archives of Omniglot.")]
OnBadImage = Annotated[Literal["skip", "error"], typer.Option(help="What to do with images that cannot be read.")]


@app.callback(invoke_without_command=True)
def root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """Are these two images of the same kind of thing?"""
    if version:
        typer.echo(f"samekind {__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        say(context.get_help())
        raise typer.Exit(WRONG)


@app.command()
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


@app.command()
def train(
    data: Annotated[str, typer.Argument(metavar="DATA", help=DATA_HELP)],
    out: Annotated[Path, typer.Option(help="Folder of the bundle to write.")],
    encoder: Annotated[str, typer.Option(help="small, residual, koch or timm:NAME.")] = "small",
    loss: Annotated[
        str | None,
        typer.Option(help=f"{LOSS_HELP}  [default: the encoder's]"),
    ] = None,
    minutes: Annotated[
        float | None, typer.Option(help=f"Train for so long.  [default: {DEFAULT_MINUTES:g}, without --steps]")
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Train for so many steps: can be repeated exactly.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of weights, batches, warps and split.")] = 0,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where an interrupted training stopped.")] = False,
    size: Annotated[int | None, typer.Option(help="Input size in pixels.  [default: the encoder's]")] = None,
    colour: Annotated[bool, typer.Option("--colour", help="Look at colour, not only at grey.")] = False,
    on_bad_image: OnBadImage = "skip",
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Train on the classes of DATA and write a bundle that can verify pairs of classes it never saw."""
    with _needs_extra("train"):
        from samekind.building import build_bundle, choose_recipe
        from samekind.recipes import Budget
    budget = Budget(minutes=DEFAULT_MINUTES if minutes is None and steps is None else minutes, steps=steps)
    labelled = _load(data, data_dir=data_dir, on_bad_image=on_bad_image)
    recipe = choose_recipe(labelled, encoder=encoder, loss=loss, size=size, colour=colour, notify=say)
    with training_progress() as report:
        built = build_bundle(
            labelled,
            out,
            recipe=recipe,
            budget=budget,
            seed=seed,
            resume=resume,
            command=_command_line(),
            notify=say,
            report=report,
        )
    summary = _summary(built)
    if as_json:
        typer.echo(json.dumps(summary))
    else:
        typer.echo(f"{built.bundle.path}: {built.steps} steps in {built.seconds / 60:.1f} min, loss {built.loss:.4f}")


@app.command()
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
    labelled = _load(source, data_dir=data_dir, on_bad_image=on_bad_image)
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


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder for the bundle and the report.")] = Path("samekind-demo"),
    minutes: Annotated[float, typer.Option(help="Of training.")] = DEMO_MINUTES,
    seed: Annotated[int, typer.Option(min=0, help="Of everything random.")] = 0,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Train a Siamese network for a few minutes, decide on classes it never saw, and write a report page."""
    with _needs_extra("train"):
        from samekind.building import build_bundle, choose_recipe
        from samekind.recipes import Budget
    from samekind.protocols import PROTOCOLS, run
    from samekind.report import write_report
    from samekind.verifier import Verifier

    budget = Budget(minutes=minutes)
    try:
        background = _load("omniglot:background", data_dir=data_dir)
        tests = [(name, _load(PROTOCOLS[name].data, data_dir=data_dir)) for name in ("koch", "lake")]
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
            command=_command_line(),
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
        typer.echo(
            json.dumps({**_summary(built), "evaluations": measured, "report": str(page), "version": __version__})
        )
    else:
        print_evaluations(evaluations)
    # last, so that a page that cannot be written costs no figures
    write_report(page, evaluations, bundle=str(built.bundle.path), threshold=verifier.model.threshold, details=details)
    if not as_json:
        typer.echo(f"report: {page}")


def main() -> None:
    """Run the command: every error raised on purpose and every wrong use is one line and an exit code."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # the name of a file may hold bytes that are no text
    warnings.filterwarnings("ignore", module=r"PIL\.")  # an image that cannot be read is named in one line, by us
    try:
        code = app(prog_name="samekind", standalone_mode=False)
        if code == INTERRUPTED:  # Typer made it of the interruption, and said nothing
            complain("interrupted", code=INTERRUPTED)
    except NoThresholdError as error:
        code = complain(str(error), code=CANNOT_TELL)
    except SamekindError as error:
        code = complain(str(error), code=WRONG)
    except (KeyboardInterrupt, typer.Abort):
        code = complain("interrupted", code=INTERRUPTED)
    except OSError as error:  # what no other place foresaw, such as a full disk behind standard output
        code = complain(f"{error.filename or 'the output'}: {error.strerror or error}", code=WRONG)
    except Exception as error:
        # Typer's own errors of usage have no public base class, but all of them know how to word themselves
        wording = getattr(error, "format_message", None)
        if wording is None:
            raise
        code = complain(f"{wording()} (see `samekind --help`)", code=WRONG)
    sys.exit(code if isinstance(code, int) else 0)


def _load(source: str, *, data_dir: Path | None, on_bad_image: str = "skip") -> "LabelledImages":
    from samekind.data.source import load

    loaded = load(source, data_dir=data_dir, on_bad_image=on_bad_image)
    if loaded.summary:
        say(loaded.summary)
    return loaded.images


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


def _summary(built: "Built") -> dict[str, object]:
    manifest = built.bundle.manifest
    return {
        "bundle": str(built.bundle.path),
        "fingerprint": built.bundle.fingerprint,
        "data": manifest.provenance.data,
        "data_fingerprint": manifest.provenance.data_fingerprint,
        "steps": built.steps,
        "seconds": round(built.seconds, 1),
        "images_per_second": round(built.images_per_second, 1),
        "loss": built.loss,
        "threshold": None if manifest.calibration is None else manifest.calibration.threshold,
    }


@contextmanager
def _needs_extra(extra: str) -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        if isinstance(error, MissingExtraError):
            raise
        raise MissingExtraError(f"{error.name} is not installed: pip install 'samekind[{extra}]'") from None


def _command_line() -> str:
    line = shlex.join(["samekind", *sys.argv[1:]])
    return line.encode(errors="backslashreplace").decode()  # arguments may hold bytes that are no text
