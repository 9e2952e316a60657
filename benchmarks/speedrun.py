"""How soon a training on two cores is as good as those before it: Koch's verification and Lake's trials, to each line.

Ours is `samekind train`, a cold process for each budget: its wall time holds starting Python, reading the archive,
looking for leaks, training, calibration and export. Beside it, in turn, what a user would write with
pytorch-metric-learning (`peer.py`), whose clock runs for its training alone. A line counts as reached at the first
budget where the mean over seeds is there.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from results import arguments, keep, samekind

LINES: dict[str, tuple[str, float]] = {
    "Koch's verification, 0.9342": ("koch accuracy", 0.9342),
    "Koch's one-shot error, 0.08": ("lake error", 0.08),
    "people, 0.045": ("lake error", 0.045),
    "BPL, 0.033": ("lake error", 0.033),
    "ConvARC, 0.015": ("lake error", 0.015),
}
"""What to reach: a metric and its value. Koch 2015; Lake 2015 (people, BPL); Shyam 2017 (ConvARC)."""


def ours(minutes: float, seed: int, encoder: str) -> dict[str, float]:
    """One training from a cold process, measured on the evaluation alphabets."""
    with tempfile.TemporaryDirectory() as folder:
        bundle = f"{folder}/bundle"
        budget = ("--minutes", str(minutes), "--seed", str(seed), "--encoder", encoder)
        started = time.perf_counter()
        trained: dict[str, Any] = samekind("train", "omniglot:background", "--out", bundle, *budget)
        wall = time.perf_counter() - started
        koch: dict[str, Any] = samekind("evaluate", bundle, "--protocol", "koch")
        lake: dict[str, Any] = samekind("evaluate", bundle, "--protocol", "lake")
    return {
        "minutes": minutes,
        "wall_minutes": wall / 60,
        "steps": trained["steps"],
        "images_per_second": trained["images_per_second"],
        "koch accuracy": koch["metrics"]["accuracy"]["value"],
        "lake error": lake["metrics"]["error"]["value"],
    }


def peers(minutes: list[float], seed: int, loss: str) -> list[dict[str, float]]:
    """The peer's training, looked at after each of these times."""
    script = str(Path(__file__).with_name("peer.py"))
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "peer.json"
        times = ("--minutes", *map(str, minutes))
        command = [sys.executable, script, "--loss", loss, "--seed", str(seed), *times, "--out", str(out)]
        subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
        looks: list[dict[str, float]] = json.loads(out.read_text())["figures"]["looks"]
    return looks


def means(runs: list[list[dict[str, float]]]) -> list[dict[str, float]]:
    """From one list of looks a seed to the mean of each look."""
    return [{key: float(np.mean([look[key] for look in same])) for key in same[0]} for same in zip(*runs, strict=True)]


def reached(looks: list[dict[str, float]], clock: str) -> dict[str, float | None]:
    """By line the minutes of the first look that is there; None where none is."""
    found: dict[str, float | None] = {}
    for line, (metric, value) in LINES.items():
        there = [
            look[clock] for look in looks if (look[metric] >= value if "accuracy" in metric else look[metric] <= value)
        ]
        found[line] = min(there, default=None)
    return found


def main() -> None:
    parser = arguments(__file__, __doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1], help="one series of trainings each")
    parser.add_argument("--minutes", type=float, nargs="+", default=[0.5, 1.0, 2.0, 3.0, 5.0], help="budgets")
    parser.add_argument("--encoder", default="small", help="what to train")
    parser.add_argument("--peer-loss", default="SupConLoss", choices=["ContrastiveLoss", "SupConLoss"], help="which")
    given = parser.parse_args()
    our_runs, peer_runs = [], []
    for seed in given.seeds:
        our_runs.append([ours(minutes, seed, given.encoder) for minutes in given.minutes])
        peer_runs.append(peers(given.minutes, seed, given.peer_loss))
    our_means, peer_means = means(our_runs), means(peer_runs)
    keep(
        given.out,
        {
            "samekind": {"means": our_means, "minutes_to": reached(our_means, "wall_minutes"), "seeds": our_runs},
            "peer": {
                "loss": given.peer_loss,
                "means": peer_means,
                "minutes_to": reached(peer_means, "minutes"),
                "seeds": peer_runs,
            },
            "lake_error_over_peers": [
                {"minutes": a["minutes"], "ratio": a["lake error"] / b["lake error"]}
                for a, b in zip(our_means, peer_means, strict=True)
            ],
            "seeds": given.seeds,
        },
    )


if __name__ == "__main__":
    main()
