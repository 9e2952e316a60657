"""Every protocol on one bundle or several.

Bundles given together are taken for trainings with different seeds: their mean comes with Student's interval, beside
each bundle's own interval over classes. `--again` takes over what an earlier result says of the same bundle, by its
fingerprint, so that one more can be added to it. Floors for the shipped one are in the result.
"""

import json
from pathlib import Path
from typing import Any

from results import OverSeeds, arguments, keep, over_seeds, samekind
from samekind import load_bundle

PROTOCOLS: dict[str, tuple[str, ...]] = {
    "lake": (),
    "within-alphabet": (),
    "one-shot": (),
    "koch": (),
    "koch same-group": ("--impostors", "same-group"),
    "verification": (),
    "verification same-group": ("--impostors", "same-group"),
}
"""Options of each, by the name that its figures get."""


def evaluate(bundle: str, *, protocols: list[str], seed: int) -> dict[str, Any]:
    """By protocol: how many trials, which data and the metrics."""
    figures = {}
    for name in protocols:
        protocol = name.partition(" ")[0]
        answer: dict[str, Any] = samekind(
            "evaluate", bundle, "--protocol", protocol, *PROTOCOLS[name], "--seed", str(seed)
        )
        figures[name] = {key: answer[key] for key in ("data", "n_trials", "seed", "metrics")}
    return figures


def earlier(out: Path, fingerprints: dict[str, str]) -> dict[str, Any]:
    """By bundle what an earlier result says of those that are still the same."""
    if not out.is_file():
        return {}
    found: dict[str, Any] = json.loads(out.read_text())["figures"]
    known = found.get("fingerprints", {})
    return {
        name: of_bundle for name, of_bundle in found["bundles"].items() if known.get(name) == fingerprints.get(name)
    }


def main() -> None:
    parser = arguments(__file__, __doc__)
    parser.add_argument("bundles", nargs="*", default=["omniglot"], help="bundles to measure")
    parser.add_argument("--protocols", nargs="+", choices=list(PROTOCOLS), default=list(PROTOCOLS), help="which")
    parser.add_argument("--seed", type=int, default=0, help="of trials and intervals")
    parser.add_argument("--again", action="store_true", help="keep what --out says of bundles that are the same")
    given = parser.parse_args()
    if len({Path(bundle).name for bundle in given.bundles}) < len(given.bundles):
        parser.error("figures go by the names of the bundles' folders: name each folder differently")
    fingerprints = {Path(bundle).name: load_bundle(bundle).fingerprint for bundle in given.bundles}
    known = earlier(given.out, fingerprints) if given.again else {}
    figures = {
        name: known.get(name) or evaluate(bundle, protocols=given.protocols, seed=given.seed)
        for name, bundle in ((Path(bundle).name, bundle) for bundle in given.bundles)
    }
    values: dict[str, list[float]] = {}
    for protocols in figures.values():
        for name, measured in protocols.items():
            for metric, estimate in measured["metrics"].items():
                values.setdefault(f"{name} {metric}", []).append(estimate["value"])
    means: dict[str, OverSeeds] = {name: over_seeds(measured) for name, measured in values.items()}
    keep(
        given.out,
        {
            "over_bundles": means,
            "bundles": figures,
            "fingerprints": fingerprints,
            "floors": {
                "lake error": 0.025,
                "within-alphabet error": 0.045,
                "one-shot accuracy": 0.965,
                "koch accuracy": 0.975,
                "koch same-group accuracy": 0.95,
            },
        },
    )


if __name__ == "__main__":
    main()
