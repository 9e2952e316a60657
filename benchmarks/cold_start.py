"""How long one decision takes from a cold process, and what the command and the import cost before that.

Every process is a new one; files are in the page cache. Each round starts every process once, in turn.
Floors: `samekind verify` at most 0.5 s over `import onnxruntime`, `samekind --help` at most 0.3 s, `import samekind` at
most 0.1 s over a Python that does nothing.
"""

import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from results import Repeated, arguments, interleaved, keep, repeated
from samekind import glyphs


def process(*command: str, fine: tuple[int, ...] = (0,)) -> Callable[[], None]:
    """A call that runs a command to its end and stops the benchmark where its exit code is not a fine one."""

    def call() -> None:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode not in fine:
            raise SystemExit(f"{' '.join(command)}: exit code {done.returncode}: {done.stderr.strip()}")

    return call


def over(seconds: dict[str, list[float]], longer: str, shorter: str) -> dict[str, object]:
    """The difference of two medians, and of each round."""
    difference = repeated(seconds[longer]).median - repeated(seconds[shorter]).median
    of_rounds = repeated([a - b for a, b in zip(seconds[longer], seconds[shorter], strict=True)])
    return {"difference_of_medians": difference, "of_rounds": of_rounds}


def main() -> None:
    parser = arguments(__file__, __doc__)
    parser.add_argument("--model", default="omniglot", help="bundle that decides")
    parser.add_argument("--rounds", type=int, default=15, help="how often each process is started")
    given = parser.parse_args()
    command = Path(sys.executable).with_name("samekind")
    if not command.is_file():
        raise SystemExit(f"no command samekind beside {sys.executable}: install the package into this environment")
    with tempfile.TemporaryDirectory() as folder:
        drawings, pair = glyphs(1, 2), (f"{folder}/query.png", f"{folder}/reference.png")
        for index, path in enumerate(pair):
            drawings[index][0].save(path)
        seconds = interleaved(
            {
                "python": process(sys.executable, "-c", "pass"),
                "import samekind": process(sys.executable, "-c", "import samekind"),
                "samekind --help": process(str(command), "--help"),
                "import onnxruntime": process(sys.executable, "-c", "import onnxruntime"),
                "samekind verify": process(str(command), "verify", *pair, "--model", given.model, fine=(0, 1)),
            },
            rounds=given.rounds,
        )
    summed: dict[str, Repeated] = {name: repeated(values) for name, values in seconds.items()}
    keep(
        given.out,
        {
            "seconds": summed,
            "verify_over_import_onnxruntime": over(seconds, "samekind verify", "import onnxruntime"),
            "import_over_bare_python": over(seconds, "import samekind", "python"),
            "floors": {"verify_over_import_onnxruntime": 0.5, "samekind --help": 0.3, "import_over_bare_python": 0.1},
        },
    )


if __name__ == "__main__":
    main()
