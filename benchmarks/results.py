"""What every benchmark shares: how it repeats, and the JSON that it prints and keeps.

Knows the machine, the clock and the form of a result. Knows nothing of what is measured.
"""

import argparse
import datetime
import json
import os
import platform
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path

import numpy as np

CHECKOUT = Path(__file__).resolve().parent.parent
PACKAGES = ("samekind", "numpy", "onnxruntime", "torch", "pytorch-metric-learning")


@dataclass(frozen=True)
class Repeated:
    """One quantity, measured several times: median, least and greatest value and how many."""

    median: float
    min: float
    max: float
    runs: int


@dataclass(frozen=True)
class OverSeeds:
    """One quantity, once a seed: mean and 95 % t-interval; None and None where there is only one seed."""

    mean: float
    low: float | None
    high: float | None
    values: tuple[float, ...]


def repeated(values: Sequence[float]) -> Repeated:
    """Sum up repeated measurements, at least one, to six digits."""
    median, least, greatest = (float(f"{value:.6g}") for value in (np.median(values), min(values), max(values)))
    return Repeated(median, least, greatest, len(values))


def ratio(numerator: Sequence[float], denominator: Sequence[float]) -> Repeated:
    """Sum up what two interleaved series of measurements give when divided round by round."""
    return repeated([a / b for a, b in zip(numerator, denominator, strict=True)])


def over_seeds(values: Sequence[float]) -> OverSeeds:
    """Mean over independent trainings with Student's interval; at least one value."""
    from scipy import stats

    mean = float(np.mean(values))
    if len(values) < 2:
        return OverSeeds(mean, None, None, tuple(values))
    half = float(stats.t.ppf(0.975, len(values) - 1) * stats.sem(values))
    return OverSeeds(mean, mean - half, mean + half, tuple(values))


def interleaved(candidates: dict[str, Callable[[], object]], *, rounds: int) -> dict[str, list[float]]:
    """Time each candidate once a round, in turn, so that a busy moment hits all of them.

    Args:
        candidates: by name; each is called once more before the first round, untimed.
        rounds: how many; >= 1.
    Returns:
        By name the seconds of each round.
    """
    for call in candidates.values():
        call()
    seconds: dict[str, list[float]] = {name: [] for name in candidates}
    for _ in range(rounds):
        for name, call in candidates.items():
            started = time.perf_counter()
            call()
            seconds[name].append(time.perf_counter() - started)
    return seconds


def samekind(*arguments: str) -> dict[str, object]:
    """Run the command `samekind ... --json` in a process of its own; its messages go to standard error."""
    command = [sys.executable, "-m", "samekind", *arguments, "--json"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    answer: dict[str, object] = json.loads(done.stdout)
    return answer


def arguments(script: str, description: str | None) -> argparse.ArgumentParser:
    """A parser that knows --out already: by default the script's own name with .json, beside it."""
    first_line = (description or "").strip().partition("\n")[0]
    parser = argparse.ArgumentParser(
        description=first_line, formatter_class=argparse.ArgumentDefaultsHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--out", type=Path, default=Path(script).with_suffix(".json"), help="where to keep the result")
    return parser


def keep(out: Path, figures: dict[str, object]) -> None:
    """Print the result as one JSON object and write it to a file.

    Args:
        out: the file.
        figures: what was measured; Repeated and OverSeeds may be values at any depth.
    """
    content = {
        "benchmark": Path(sys.argv[0]).stem,
        "command": shlex.join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *map(_shown, sys.argv[1:])]),
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "commit": _commit(),
        "machine": {
            "processor": processor(),
            "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
            "load_average": [round(value, 2) for value in os.getloadavg()] if hasattr(os, "getloadavg") else None,
            "system": f"{platform.system()} {platform.machine()}",
            "python": platform.python_version(),
        },
        "versions": _versions(),
        "figures": figures,
    }
    text = json.dumps(content, indent=2, default=asdict)
    print(text)
    out.write_text(text + "\n", encoding="utf-8")


def _shown(argument: str) -> str:
    """An absolute path says something of one machine only: its last part is kept."""
    return Path(argument).name if os.path.isabs(argument) else argument


def _commit() -> str:
    """Of the checkout, with "-dirty" where files differ from it; "unknown" outside of one."""
    command = ["git", "-C", str(CHECKOUT), "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def processor() -> str:
    """What this machine calls its processor."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown"


def _versions() -> dict[str, str]:
    found = {}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found
