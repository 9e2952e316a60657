"""Every protocol on one bundle or several.

Bundles given together are taken for trainings with different seeds: their mean comes with Student's interval, beside
each bundle's own interval over classes. `--again` takes over what an earlier result says of the same bundle, by its
fingerprint, so that one more can be added to it. `--cards` keeps a card of each evaluation in the first bundle's folder
and writes the figures into its model card. Floors for the shipped one are in the result.
"""

import json
import shlex
from pathlib import Path
from typing import Any

from results import OverSeeds, arguments, keep, over_seeds, processor, samekind
from samekind import load_bundle
from samekind.bundle import CARD, MEASURED, without_measured
from samekind.card import CARDS

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


IN_CARDS_ONLY = ("auc", "fnmr@fmr=0.001")
"""Metrics that a model card leaves to the cards of the evaluations: `omniglot-small` is to stay below a megabyte."""


def evaluate(bundle: str, *, protocols: list[str], seed: int, cards: Path | None) -> dict[str, Any]:
    """By protocol: how many trials, which data and the metrics; a card of each in a folder, where one is given."""
    figures = {}
    for name in protocols:
        protocol = name.partition(" ")[0]
        kept = () if cards is None else ("--card", str(cards / f"{name.replace(' ', '-')}.json"))
        answer: dict[str, Any] = samekind(
            "evaluate", bundle, "--protocol", protocol, *PROTOCOLS[name], "--seed", str(seed), *kept
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


def as_markdown(measured: dict[str, Any], means: dict[str, OverSeeds], command: str) -> list[str]:
    """The lines of a model card that say what was measured."""
    begin, end = MEASURED
    several = any(mean.low is not None for mean in means.values())
    lines = [
        begin,
        "",
        "## Measured",
        "",
        "On the evaluation alphabets, of which nothing was used for a choice. Intervals (95 %) of this bundle are over "
        "classes" + (", those of the mean over trainings with other seeds Student's." if several else "."),
        "",
        f"| protocol | trials | metric | this bundle |{' mean of seeds |' * several}",
        f"| --- | --- | --- | --- |{' --- |' * several}",
    ]
    for name, of_protocol in measured.items():
        for metric, value in of_protocol["metrics"].items():
            if metric in IN_CARDS_ONLY:
                continue
            row = f"| `{name}` | {of_protocol['n_trials']:,} | {metric} | {_shown(**value)} |"
            if several:
                mean = means[f"{name} {metric}"]
                row += f" {_shown(mean.mean, mean.low, mean.high)} |"
            lines.append(row)
    return [*lines, "", f"Command: `{command}`, on {processor()}.", "", end]


def _shown(value: float, low: float | None, high: float | None) -> str:
    return f"{value:.4f}" + ("" if low is None or high is None else f" ({low:.4f} to {high:.4f})")


def write_card(path: Path, lines: list[str]) -> None:
    """Put what was measured at the end of a model card, in place of what stood there of it."""
    text = without_measured(path.read_text(encoding="utf-8")).rstrip()
    path.write_text("\n".join([text, "", *lines, ""]), encoding="utf-8")


def main() -> None:
    parser = arguments(__file__, __doc__)
    parser.add_argument("bundles", nargs="*", default=["omniglot"], help="bundles to measure")
    parser.add_argument("--protocols", nargs="+", choices=list(PROTOCOLS), default=list(PROTOCOLS), help="which")
    parser.add_argument("--seed", type=int, default=0, help="of trials and intervals")
    parser.add_argument("--again", action="store_true", help="keep what --out says of bundles that are the same")
    parser.add_argument("--cards", action="store_true", help="keep cards in the first bundle's folder")
    given = parser.parse_args()
    if len({Path(bundle).name for bundle in given.bundles}) < len(given.bundles):
        parser.error("figures go by the names of the bundles' folders: name each folder differently")
    opened = {Path(bundle).name: load_bundle(bundle) for bundle in given.bundles}
    fingerprints = {name: bundle.fingerprint for name, bundle in opened.items()}
    first, folder = next((name, bundle.path) for name, bundle in opened.items())
    if given.cards:
        (folder / CARDS).mkdir(exist_ok=True)
    known = earlier(given.out, fingerprints) if given.again else {}
    figures = {
        name: known.get(name)
        or evaluate(
            bundle,
            protocols=given.protocols,
            seed=given.seed,
            cards=folder / CARDS if given.cards and name == first else None,
        )
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
    if given.cards:
        command = shlex.join(["benchmarks/bundle_figures.py", *opened, "--cards"])
        write_card(folder / CARD, as_markdown(figures[first], means, command))


if __name__ == "__main__":
    main()
