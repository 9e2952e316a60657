"""One experiment on the background alphabets: train a recipe on 24 of them, measure it on the six held out.

What `docs/experiments.md` lists comes from here; the evaluation alphabets are not looked at. Measured are *within*
(error of 20-way one-shot trials within one held-out alphabet, support and query by two drawers), *one-shot* (accuracy
of 20-way one-shot trials over all held-out characters) and *any* and *same* (accuracy on pairs at the best threshold,
impostors from any or from the same alphabet), with one view of each image and with several.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from results import arguments, keep
from samekind import LabelledImages, glyphs, training
from samekind.building import PRACTICE_CLASSES, PRACTICE_SEED
from samekind.data import source
from samekind.errors import InputError
from samekind.examples import Examples
from samekind.export import Network, embed
from samekind.protocols import embedding_scorer
from samekind.recipes import RECIPES, Budget, Recipe
from samekind.similarity import SIMILARITIES
from samekind.trials import Trials, balanced_pairs, episodes, within_group_trials
from samekind.views import COUNTS

HELD_OUT = ("Armenian", "Braille", "Grantha", "Japanese_(hiragana)", "Mkhedruli_(Georgian)", "Tagalog")


def measure(embeddings: NDArray[np.float32], head: str, data: LabelledImages) -> dict[str, float]:
    """The four figures of embeddings (N, D) of the held-out alphabets, and *within* by alphabet."""
    score = embedding_scorer(embeddings, SIMILARITIES[head])

    def right(trials: Trials) -> NDArray[np.bool_]:
        count, ways, _ = trials.references.shape
        scores = score(np.repeat(trials.queries, ways), trials.references.reshape(-1)).reshape(count, ways)
        true = scores[np.arange(count), trials.correct]
        return np.asarray((scores >= true[:, None]).sum(axis=1) == 1)  # a tie is an error

    within = within_group_trials(data, trials=8_000, rng=np.random.default_rng(0))
    within_right, alphabet = right(within), data.group_labels[within.queries]
    anywhere = episodes(data, ways=20, shots=1, trials=6_000, rng=np.random.default_rng(0))
    figures = {"within": 1 - float(within_right.mean()), "one-shot": float(right(anywhere).mean())}
    for name, impostors in (("any", "any"), ("same", "same-group")):
        pairs = balanced_pairs(data, pairs=8_000, impostors=impostors, rng=np.random.default_rng(0))
        same = pairs.same[np.argsort(-score(pairs.left, pairs.right), kind="stable")]
        best = np.cumsum(np.where(same, 1, -1)).max() + (~same).sum()  # those called same, and the others
        figures[name] = float(best / len(same))
    names = dict(enumerate(sorted(set(data.groups or ()))))
    return figures | {
        f"within {names[one]}": 1 - float(within_right[alphabet == one].mean()) for one in set(alphabet.tolist())
    }


def changed(recipe: Recipe, changes: Sequence[str]) -> Recipe:
    """The recipe with fields replaced: "dim=128", "warp.elastic=0.03", "preprocessing.size=32"."""
    for change in changes:
        name, _, text = change.partition("=")
        outer, _, inner = name.partition(".")
        if outer not in {field.name for field in fields(recipe)}:
            raise InputError(f"a recipe has no field {outer!r}")
        value: Any = text if text[:1].isalpha() and text not in ("true", "false") else json.loads(text)
        if inner:
            value = replace(getattr(recipe, outer), **{inner: value})
        recipe = replace(recipe, **{outer: value})
    return recipe


def main() -> None:
    parser = arguments(__file__, __doc__)
    parser.add_argument("--recipe", choices=list(RECIPES), default="residual", help="to begin with")
    parser.add_argument("--change", nargs="*", default=[], metavar="FIELD=VALUE", help="of the recipe, or of its warp")
    parser.add_argument("--steps", type=int, default=1_600, help="of the optimiser")
    parser.add_argument("--seed", type=int, default=0, help="of the training")
    parser.add_argument("--checkpoint", type=Path, default=None, help="to go on from, where it is there")
    given = parser.parse_args()
    recipe = changed(RECIPES[given.recipe], given.change)
    data = source.load("omniglot:background").images
    held = np.isin(np.asarray(data.groups), HELD_OUT)
    train, held_out = (data.take_classes(np.flatnonzero(part)) for part in (~held, held))
    generated = glyphs(PRACTICE_CLASSES, seed=given.seed + PRACTICE_SEED) if recipe.practice else None
    trained = training.train(
        Examples.of(train, recipe),
        recipe=recipe,
        practice=None if generated is None else Examples.of(generated, recipe),
        budget=Budget(steps=given.steps),
        seed=given.seed,
        checkpoint=given.checkpoint,
        resume=given.checkpoint is not None,
        device="cpu",
    )
    pixels = held_out.pixels(recipe.preprocessing)
    figures = {}
    for views in COUNTS:
        network = Network.of(replace(trained, recipe=replace(recipe, views=views)))
        figures[f"views: {views}"] = measure(embed(network, pixels), trained.head_name, held_out)
    keep(given.out, {"recipe": asdict(recipe), "steps": given.steps, "seconds": trained.seconds, "figures": figures})


if __name__ == "__main__":
    main()
