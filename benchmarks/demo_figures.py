"""What `samekind demo` reaches, over seeds: Koch's verification and Lake's one-shot errors on unseen alphabets.

Each seed is a training of its own. Each value comes with its interval over classes, the mean over seeds with Student's.
Floors at 4 minutes on two cores: koch accuracy 0.94, lake error 0.08.
"""

import tempfile
from typing import Any

from results import OverSeeds, arguments, keep, over_seeds, samekind


def metrics_of(answer: dict[str, Any]) -> dict[str, dict[str, float]]:
    """From "protocol metric" to value, low and high."""
    return {
        f"{evaluation['protocol']} {name}": estimate
        for evaluation in answer["evaluations"]
        for name, estimate in evaluation["metrics"].items()
    }


def main() -> None:
    parser = arguments(__file__, __doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="one training each")
    parser.add_argument("--minutes", default="4", help="of each training")
    given = parser.parse_args()
    seeds: dict[str, object] = {}
    values: dict[str, list[float]] = {}
    for seed in given.seeds:
        with tempfile.TemporaryDirectory() as folder:
            answer: dict[str, Any] = samekind(
                "demo", "--minutes", given.minutes, "--seed", str(seed), "--out", f"{folder}/demo"
            )
        if answer["data"] != "omniglot:background":
            raise SystemExit(f"expected a demo on omniglot:background, got one on {answer['data']}; set SAMEKIND_DATA")
        metrics = metrics_of(answer)
        seeds[str(seed)] = {
            "data": answer["data"],
            "steps": answer["steps"],
            "seconds": answer["seconds"],
            "images_per_second": answer["images_per_second"],
            "loss": answer["loss"],
            "metrics": metrics,
        }
        for name, estimate in metrics.items():
            values.setdefault(name, []).append(estimate["value"])
    means: dict[str, OverSeeds] = {name: over_seeds(measured) for name, measured in values.items()}
    keep(
        given.out,
        {
            "minutes": float(given.minutes),
            "over_seeds": means,
            "seeds": seeds,
            "floors": {"koch accuracy": 0.94, "lake error": 0.08},
        },
    )


if __name__ == "__main__":
    main()
