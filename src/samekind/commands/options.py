"""What several commands share: options, loading, summaries."""

import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from samekind.console import say
from samekind.errors import MissingExtraError

if TYPE_CHECKING:
    from samekind.building import Built
    from samekind.data.labelled import LabelledImages

DATA_HELP = "omniglot:background, omniglot:evaluation, omniglot:small1, omniglot:small2, glyphs, a folder or a CSV."
BUNDLE_HELP = "A bundle folder, or the name of a shipped bundle."

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output and nothing else.")]
DataDir = Annotated[Path | None, typer.Option(help="Folder with the archives of Omniglot.")]
OnBadImage = Annotated[Literal["skip", "error"], typer.Option(help="What to do with images that cannot be read.")]


def load(source: str, *, data_dir: Path | None, on_bad_image: str = "skip") -> "LabelledImages":
    """The images that a command was pointed at; what was left out of them is said on standard error."""
    from samekind.data import source as sources

    loaded = sources.load(source, data_dir=data_dir, on_bad_image=on_bad_image)
    if loaded.summary:
        say(loaded.summary)
    return loaded.images


def summary(built: "Built") -> dict[str, object]:
    """What --json says of a training."""
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
def needs_extra(extra: str) -> Iterator[None]:
    """Turn a failed import inside into the pip command that mends it."""
    try:
        yield
    except ImportError as error:
        if isinstance(error, MissingExtraError):
            raise
        raise MissingExtraError(f"{error.name} is not installed: pip install 'samekind[{extra}]'") from None


def command_line() -> str:
    """The line that runs, as a shell would take it."""
    line = shlex.join(["samekind", *sys.argv[1:]])
    return line.encode(errors="backslashreplace").decode()  # arguments may hold bytes that are no text
