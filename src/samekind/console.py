"""What the command prints for a person: progress, figures and complaints.

Knows how a terminal shows them. Knows nothing of commands. Figures go to standard output, all else to standard error.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from samekind.protocols import Evaluation
    from samekind.training import Progress


def say(line: str) -> None:
    """A line on standard error."""
    typer.echo(line, err=True)


def complain(what: str, *, code: int) -> int:
    """Say what is wrong in one line, whatever a library or a name put into it.

    Args:
        what: expected, got, what to do.
        code: of the exit.
    Returns:
        The code.
    """
    say(f"samekind: {' '.join(what.splitlines())}")
    return code


@contextmanager
def training_progress() -> "Iterator[Callable[[Progress], None]]":
    """Shows a training on standard error: share done, time left, images a second, loss.

    Yields:
        To be called after every step. On a terminal it moves a bar, elsewhere it says ten lines in all.
    """
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (
        TextColumn("training"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(elapsed_when_finished=False),
        TextColumn("{task.fields[note]}"),
    )
    console = Console(stderr=True)
    with Bar(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("training", total=1.0, note="", visible=False)  # until there is something to show
        printed = 0

        def report(progress: "Progress") -> None:
            nonlocal printed
            note = f"step {progress.steps}, loss {progress.loss:.4f}, {progress.images_per_second:,.0f} images/s"
            bar.update(task, completed=progress.share, note=note, visible=True)
            if not console.is_terminal and (tenths := int(progress.share * 10)) > printed:
                printed = tenths
                left = progress.seconds * (1 / progress.share - 1)
                say(f"{progress.share:.0%}, {note}, {left:.0f} s left")

        yield report


@contextmanager
def counting_progress(what: str, total: int, unit: str) -> Iterator[Callable[[int], None]]:
    """Shows on standard error how much of something is done.

    Args:
        what: is done, e.g. "enrolling".
        total: how many there are of it.
        unit: in the plural, e.g. "images".
    Yields:
        To be called with how many are done. On a terminal it moves a bar, elsewhere it says ten lines in all.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn(what),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(unit),
        TextColumn("left"),
        TimeRemainingColumn(elapsed_when_finished=False),
    )
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task(what, total=total)
        printed = 0

        def report(done: int) -> None:
            nonlocal printed
            bar.update(task, completed=done)
            if not console.is_terminal and total and (tenths := 10 * done // total) > printed:
                printed = tenths
                say(f"{what}: {done:,} of {total:,} {unit}")

        yield report


def print_evaluations(evaluations: "Sequence[Evaluation]") -> None:
    """A table on standard output: each metric with its interval, and published figures below it."""
    from rich.console import Console
    from rich.table import Table

    from samekind.report import BITS, REFERENCES

    table = Table("protocol", "metric", "value", "95 % interval", "trials", box=None, pad_edge=False)
    for evaluation in evaluations:
        for name, estimate in evaluation.metrics.items():
            show: Callable[[float], str] = "{:.3f}".format if name in BITS else "{:.2%}".format
            interval = f"{show(estimate.low)} to {show(estimate.high)}"
            table.add_row(evaluation.protocol, name, show(estimate.value), interval, str(evaluation.n_trials))
            for other in REFERENCES.get((evaluation.protocol, name), ()):
                table.add_row("", f"  {other.name}", show(other.value), other.source.split(",")[0])
    Console().print(table)
