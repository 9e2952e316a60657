"""Draws docs/sure.png: how often the shipped model was right where it said how sure it is, on alphabets it never saw.

Run: python docs/sure.py
"""

import argparse
from pathlib import Path

import numpy as np

from samekind import Verifier, load, run
from samekind.breakdown import reliability_at
from samekind.plots import reliability
from samekind.scored import ScoredPairs


def main() -> None:
    """Write the picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="omniglot")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("sure.png"))
    arguments = parser.parse_args()
    data = load("omniglot:evaluation").images
    evaluation = run("verification", Verifier.load(arguments.model).model, data=data)
    if not isinstance(evaluation.scored, ScoredPairs):
        raise TypeError("expected a protocol of pairs")
    figure = reliability(reliability_at(evaluation.scored, rng=np.random.default_rng(0)))
    figure.savefig(arguments.out, dpi=150, bbox_inches="tight", facecolor="white")


if __name__ == "__main__":
    main()
