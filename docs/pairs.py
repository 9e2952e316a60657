"""Draws docs/pairs.png: pairs of characters that the program `glyphs` drew, with the shipped model's decisions.

The first pairs of a fixed seed, half of them genuine; none is picked. Run: python docs/pairs.py
"""

import argparse
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from samekind import Verifier, glyphs
from samekind.trials import balanced_pairs

SAME, DIFFERENT, UNDECIDED, INK = "#0072b2", "#d55e00", "#6b7785", "#1f2933"


def main() -> None:
    """Write the picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="omniglot")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("pairs.png"))
    arguments = parser.parse_args()
    data = glyphs(100, seed=7)
    drawn = balanced_pairs(data, pairs=200, impostors="same-group", rng=np.random.default_rng(7))
    genuine, impostor = np.flatnonzero(drawn.same)[:6], np.flatnonzero(~drawn.same)[:6]
    verifier = Verifier.load(arguments.model)
    figure = Figure(figsize=(9, 2.6), dpi=150)
    cells = figure.subplots(2, 6, gridspec_kw={"hspace": 0.75, "wspace": 0.12})
    for row, indices in enumerate((genuine, impostor)):
        for cell, index in zip(cells[row], indices, strict=True):
            sides = [data[int(side[index])][0] for side in (drawn.left, drawn.right)]
            decision = verifier.verify(sides[0], sides[1])
            picture = np.concatenate([np.asarray(side.convert("L")) for side in sides], axis=1)
            cell.imshow(picture, cmap="gray", vmin=0, vmax=255, interpolation="antialiased")
            cell.axvline(picture.shape[1] / 2, color="#d0d5db", linewidth=0.8)
            if decision.same is None:
                colour, title = UNDECIDED, "cannot tell"
            else:
                colour = SAME if decision.same else DIFFERENT
                sure = decision.probability if decision.same else 1 - decision.probability
                title = f"{'same' if decision.same else 'different'} {sure:.0%}"
                title += "" if decision.same == bool(drawn.same[index]) else " \N{BALLOT X}"
            cell.set_title(title, fontsize=8, color=colour, fontweight="bold")
            cell.set(xticks=[], yticks=[])
            for spine in cell.spines.values():
                spine.set(color=colour, linewidth=1.4)
    for row, text in ((1.0, "Two drawings of one character"), (0.51, "Two characters of one alphabet")):
        figure.text(0.125, row, text, fontsize=9.5, color=INK)
    figure.savefig(arguments.out, bbox_inches="tight", facecolor="white")


if __name__ == "__main__":
    main()
