"""`samekind explain`."""

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from samekind.commands.options import BUNDLE_HELP, DATA_HELP, AsJson, DataDir, OnBadImage, load
from samekind.errors import InputError
from samekind.version import __version__

if TYPE_CHECKING:
    import numpy as np

    from samekind.explain_page import Pair
    from samekind.images import ImageLike
    from samekind.verifier import Verifier

CLASS_HELP = "--among: the class of QUERY, where it is not one of DATA's images."


def explain(
    query: Annotated[str, typer.Argument(metavar="QUERY", help="An image.")],
    reference: Annotated[str, typer.Argument(metavar="REFERENCE", help="Another.")],
    out: Annotated[Path, typer.Option(help="The page to write.")],
    model: Annotated[str, typer.Option(help=BUNDLE_HELP)] = "omniglot",
    among: Annotated[str | None, typer.Option(metavar="DATA", help=f"Show the nearest of: {DATA_HELP}")] = None,
    class_name: Annotated[str | None, typer.Option("--class", metavar="NAME", help=CLASS_HELP)] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of what is hidden.")] = 0,
    on_bad_image: OnBadImage = "skip",
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Show which parts of QUERY and REFERENCE carried their score, on a page.

    With --among also QUERY's nearest image of its own class and its nearest of another.
    """
    import numpy as np

    from samekind.explain import GRID, nearest
    from samekind.explain_page import write_explanation
    from samekind.verifier import Verifier

    if class_name is not None and among is None:
        raise InputError("expected --among DATA with --class, got none")
    verifier = Verifier.load(model)
    others: list[tuple[str, str, str, ImageLike, bool | None]] = [
        ("Query and reference", "", Path(reference).name, reference, None)
    ]
    if among is not None:
        data = load(among, data_dir=data_dir, on_bad_image=on_bad_image)
        found = nearest(verifier, verifier.preprocessing.pixels(query), data, class_name=class_name)
        for index, truth in zip(found, (True, False), strict=True):
            title = "Nearest true match" if truth else "Nearest impostor"
            of_class = data.classes[data.labels[index]]
            note = (
                f"Of {'the same' if truth else 'any other'} class in {data.name}, the most like the query: {of_class}."
            )
            others.append((title, note, Path(data.names[index]).name, data.items[index], truth))
    pairs = _pairs(verifier, query, others, np.random.default_rng(seed))
    if as_json:
        content = {"bundle": model, "version": __version__, "grid": GRID, "report": str(out)}
        typer.echo(json.dumps(content | {"pairs": [_as_json(pair) for pair in pairs]}))
    else:
        for pair in pairs:
            typer.echo(f"{pair.title}: score {pair.score:.4f}")
    write_explanation(out, pairs, bundle=model)  # last, so that a page that cannot be written costs no figures
    if not as_json:
        typer.echo(f"report: {out}")


def _pairs(
    verifier: "Verifier",
    query: "ImageLike",
    others: "list[tuple[str, str, str, ImageLike, bool | None]]",
    rng: "np.random.Generator",
) -> "list[Pair]":
    """The query explained against each of the others: title, note, name, image and truth."""
    from samekind.explain import delete, explain, probe
    from samekind.explain_page import PICTURE, Pair, Side

    decides = verifier.bundle.manifest.calibration is not None
    large = replace(verifier.preprocessing, size=PICTURE)
    left = probe(verifier, query, rng=rng)
    pairs = []
    for title, note, name, image, truth in others:
        right = probe(verifier, image, rng=rng)
        found = explain(left, right, verifier.similarity)
        tests = (
            delete(verifier, left, right, found.left, rng=rng),
            delete(verifier, right, left, found.right, rng=rng),
        )
        pairs.append(
            Pair(
                title,
                note,
                Side(Path(str(query)).name, large.pixels(query), found.left, tests[0]),
                Side(name, large.pixels(image), found.right, tests[1]),
                found.matches,
                found.score,
                verifier.verify(query, image) if decides else None,
                truth,
            )
        )
    return pairs


def _as_json(pair: "Pair") -> dict[str, object]:
    decision = pair.decision
    return {
        "title": pair.title,
        "score": pair.score,
        "same": None if decision is None else decision.same,
        "truth": pair.truth,
        "images": [
            {"name": side.name, "map": side.worth.round(6).tolist(), "test": asdict(side.test)}
            for side in (pair.left, pair.right)
        ],
        "matches": [asdict(match) for match in pair.matches],
    }
