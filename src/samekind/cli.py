"""The command `samekind`: wires everything, and is the only place that does.

With --json one JSON object goes to standard output and nothing else; progress and messages go to standard error.
Exit codes: 0 done, same or found, 1 different or nobody, 2 wrong use or bad input, 3 cannot tell.
Each command imports what it needs when it runs, so that `--help` is quick and only `train` and `demo` import torch.
"""

import io
import sys
import warnings
from typing import Annotated

import typer

from samekind.commands.audit import audit
from samekind.commands.calibrate import calibrate
from samekind.commands.demo import demo
from samekind.commands.enroll import enroll
from samekind.commands.evaluate import evaluate
from samekind.commands.explain import explain
from samekind.commands.gallery import gallery
from samekind.commands.identify import identify
from samekind.commands.keys import keys
from samekind.commands.plan import plan
from samekind.commands.reproduce import reproduce
from samekind.commands.serve import serve
from samekind.commands.train import train
from samekind.commands.verify import verify
from samekind.console import complain, say
from samekind.errors import NoThresholdError, SamekindError
from samekind.version import __version__

WRONG = 2
CANNOT_TELL = 3
INTERRUPTED = 130  # what shells expect of a command that was stopped by Ctrl-C

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Are these two images of the same kind of thing? Train, verify and measure one-shot image verification.",
)


@app.callback(invoke_without_command=True)
def root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """Are these two images of the same kind of thing?"""
    if version:
        typer.echo(f"samekind {__version__}")
        raise typer.Exit
    need_command(context)


def need_command(context: typer.Context) -> None:
    """Say which commands there are where none was given."""
    if context.invoked_subcommand is None:
        say(context.get_help())
        raise typer.Exit(WRONG)


for command in (verify, enroll, identify, explain, train, calibrate, evaluate, reproduce, audit, plan, demo, serve):
    app.command()(command)
for name, group in (("gallery", gallery), ("keys", keys)):
    group.callback(invoke_without_command=True, help=group.info.help)(need_command)
    app.add_typer(group, name=name)


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
