"""The record attempt: several trainings of the shipped recipe asked together, without a limit of size.

`make record` trains what is not there yet (each goes on from its checkpoint after an interruption), measures the
ensemble by every protocol that needs no threshold, and writes `record.json` and `record.md`. The score of a pair is the
mean of the members' scores. Each test image of `lake` is judged on its own; beside it stands what comes out where the
20 test images of a run may be told apart by exclusion (one-to-one assignment), which is another task.
"""

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from results import arguments, keep
from samekind.bundle import MANIFEST
from samekind.data.labelled import LabelledImages
from samekind.data.source import load
from samekind.protocols import PROTOCOLS, Evaluation, Model, PairScorer, embedding_scorer, run
from samekind.scored import ScoredTrials
from samekind.similarity import cosine
from samekind.trials import LAKE_WAYS
from samekind.verifier import Verifier

MEASURED: dict[str, dict[str, str]] = {
    "lake": {},
    "within-alphabet": {},
    "one-shot": {},
    "koch": {},
    "koch same-group": {"impostors": "same-group"},
}
"""Options of each, by the name that its figures get."""

PUBLISHED = {"lake error": "ConvARC with context 0.015, BPL 0.033, people 0.045, Koch 0.080"}
"""Shyam, Gupta, Dukkipati 2017; Lake, Salakhutdinov, Tenenbaum 2015; Koch, Zemel, Salakhutdinov 2015."""


def train(folder: Path, *, encoder: str, steps: int, seed: int) -> Path:
    """The bundle of one member, trained where it is not there yet."""
    path = folder / f"{encoder}-{steps}-seed{seed}"
    if not (path / MANIFEST).is_file():
        command = ["train", "omniglot:background", "--out", str(path), "--encoder", encoder, "--steps", str(steps)]
        subprocess.run([sys.executable, "-m", "samekind", *command, "--seed", str(seed), "--resume"], check=True)
    return path


def ensemble(members: Sequence[Verifier]) -> Model:
    """The mean of the members' cosines, as one embedding: theirs side by side, each of length 1."""

    def embed(data: LabelledImages) -> NDArray[np.float32]:
        return np.concatenate([one.embed_pixels(data.pixels(one.preprocessing)) for one in members], axis=1)

    def scorer_of(data: LabelledImages) -> PairScorer:
        return embedding_scorer(embed(data), cosine)

    return Model(scorer_of)


def assigned(evaluation: Evaluation) -> float:
    """Error of `lake` where each run's test images are assigned one-to-one, as the scores are highest in sum."""
    scored = evaluation.scored
    assert isinstance(scored, ScoredTrials)
    wrong = 0
    for start in range(0, len(scored.trials), LAKE_WAYS):
        of_run = slice(start, start + LAKE_WAYS)
        _, chosen = linear_sum_assignment(scored.scores[of_run], maximize=True)
        wrong += int((chosen != scored.trials.correct[of_run]).sum())
    return wrong / len(scored.trials)


def as_markdown(figures: dict[str, Any], command: str) -> str:
    """What came out, for a person."""
    rows = [
        f"| `{name}` {metric} | {e['value']:.4f} | {e['low']:.4f} to {e['high']:.4f} | {figures['trials'][name]:,} | "
        f"{PUBLISHED.get(f'{name} {metric}', '')} |"
        for name, metrics in figures["metrics"].items()
        for metric, e in metrics.items()
    ]
    members = "\n".join(
        f"- `{one['command']}`: {one['minutes']:.0f} minutes on {one['device']}" for one in figures["members"]
    )
    return "\n".join(
        [
            "# The record attempt",
            "",
            (__doc__ or "").strip().partition("\n\n")[2],
            "",
            "| protocol | value | 95 % interval, over classes | trials | published |",
            "| --- | --- | --- | --- | --- |",
            *rows,
            "",
            "With one-to-one assignment within a run, another task than Lake's: error "
            f"{figures['lake error, assigned']:.4f}.",
            "",
            f"Command: `{command}`. The members:",
            "",
            members,
            "",
        ]
    )


def main() -> None:
    parser = arguments(__file__, __doc__)
    parser.add_argument("--folder", type=Path, default=Path("record-members"), help="where the members are, or go")
    parser.add_argument("--encoder", default="residual", help="of each member")
    parser.add_argument("--steps", type=int, default=4_000, help="of each member")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="one member each")
    given = parser.parse_args()
    paths = [train(given.folder, encoder=given.encoder, steps=given.steps, seed=seed) for seed in given.seeds]
    members = [Verifier.load(path) for path in paths]
    model = ensemble(members)
    found = {}
    for name, options in MEASURED.items():
        protocol = name.partition(" ")[0]
        found[name] = run(protocol, model, data=load(PROTOCOLS[protocol].data).images, **options)  # type: ignore[arg-type]
    provenances = [member.bundle.manifest.provenance for member in members]
    figures: dict[str, Any] = {
        "metrics": {
            name: {metric: asdict(value) for metric, value in one.metrics.items()} for name, one in found.items()
        },
        "trials": {name: one.n_trials for name, one in found.items()},
        "lake error, assigned": assigned(found["lake"]),
        "members": [
            {"command": p.command, "seed": p.seed, "minutes": p.seconds / 60, "device": p.device} for p in provenances
        ],
        "floors": {"lake error": 0.015},
    }
    keep(given.out, figures)
    given.out.with_suffix(".md").write_text(as_markdown(figures, "make record"), encoding="utf-8")


if __name__ == "__main__":
    main()
