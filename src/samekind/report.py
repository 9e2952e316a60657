"""One HTML page that shows how a model decided: figures with intervals, curves, and pairs to look at.

Knows evaluations and how a person reads them. Knows nothing of models: it gets what was measured. The page is one
file: no script, no network, every picture inside.
"""

import base64
import io
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.resources import files
from pathlib import Path

import numpy as np
from jinja2 import Environment, StrictUndefined
from numpy.typing import NDArray
from PIL import Image

from samekind.data.labelled import LabelledImages
from samekind.errors import InputError
from samekind.metrics import Estimate
from samekind.protocols import Evaluation, ScoredPairs
from samekind.version import __version__

THUMBNAIL = 160
"""Pictures on the page are at most this many pixels wide and high."""

MEASURES = {
    "accuracy": "Accuracy",
    "auc": "Area under the ROC curve",
    "cllr": "Cllr",
    "eer": "Equal error rate",
    "error": "Error",
    "fnmr@fmr=0.001": "Misses at 0.1 % false matches",
    "fnmr@fmr=0.01": "Misses at 1 % false matches",
    "min_cllr": "Cllr if ideally calibrated",
}
"""What a person calls each metric; one that is not here goes by its own name."""

BITS = frozenset({"cllr", "min_cllr"})
"""Metrics in bits; all others are fractions, shown in percent."""

QUESTIONS = {
    "koch": "Pairs of drawings from 10 alphabets: one character by two people, or two characters?",
    "lake": "The official 20 runs: which of 20 characters of one alphabet is it, after one look at each?",
    "one-shot": "Which of several classes is it, after a look at each?",
    "verification": "Pairs of images: one class, or two?",
    "within-alphabet": "Runs like Lake's, many more: which of 20 characters of one alphabet is it?",
}
"""What each protocol asks."""


@dataclass(frozen=True)
class Reference:
    """A published figure to stand beside a measured one: who, the value as a fraction, and where it is printed."""

    name: str
    value: float
    source: str


KOCH = "Koch, Zemel, Salakhutdinov 2015"
LAKE = "Lake, Salakhutdinov, Tenenbaum 2015"
REFERENCES = {
    ("koch", "accuracy"): (Reference("Siamese network", 0.9342, f"{KOCH}, table 1"),),
    ("lake", "error"): (
        Reference("Siamese network", 0.08, f"{KOCH}, table 2"),
        Reference("People", 0.045, LAKE),
        Reference("Bayesian program learning", 0.033, LAKE),
    ),
}
"""By protocol and metric."""


@dataclass(frozen=True)
class Picture:
    """One image of a pair: a PNG data URI, group and class, its own name, whether it is so small that pixels show."""

    source: str
    group: str
    kind: str
    name: str
    small: bool


@dataclass(frozen=True)
class Card:
    """One pair: both pictures, the score, the truth, and what the model said (None where it has no threshold)."""

    left: Picture
    right: Picture
    score: float
    same: bool
    said: bool | None


@dataclass(frozen=True)
class Strip:
    """A row of pairs with a title, and a sentence on what they are or why there are none."""

    title: str
    note: str
    cards: tuple[Card, ...]


@dataclass(frozen=True)
class Row:
    """One line of the table of figures, as it is read: name, value, 95 % interval, and published figures beside it."""

    name: str
    value: str
    interval: str
    references: tuple[Reference, ...]


@dataclass(frozen=True)
class Section:
    """All that the page shows of one evaluation; plots and strips are empty where it has no scored pairs.

    Args:
        evaluation: what was measured.
        asks: the question of its protocol.
        rows: its lines of the table.
        plots: histogram, DET and ROC as SVG data URIs, by name.
        strips: pairs to look at.
    """

    evaluation: Evaluation
    asks: str
    rows: tuple[Row, ...]
    plots: Mapping[str, str]
    strips: tuple[Strip, ...]


def write_report(
    path: str | os.PathLike[str],
    evaluations: Sequence[Evaluation],
    *,
    bundle: str,
    threshold: float | None,
    details: Mapping[str, str] | None = None,
    title: str = "Are these two images of the same kind?",
    cards: int = 6,
    date: datetime | None = None,
) -> None:
    """Write the page, whole or not at all.

    Args:
        path: the file to write; one that is there is replaced once the new one is complete.
        evaluations: at least one; the first figure of each opens the page, in this order.
        bundle: what a person calls the model.
        threshold: the score from which the model says "same", or None where it has no threshold.
        details: further lines about the model, by name, e.g. {"Encoder": "small", "Training": "4 minutes"}.
        title: the question that the page answers.
        cards: the most pairs to show in each strip; >= 1.
        date: when it was measured; now where None.
    Raises:
        InputError: there is no evaluation, cards is below 1, or the file cannot be written.
        ImageError: an image of a pair cannot be read.
    """
    if not evaluations:
        raise InputError("expected at least one evaluation to report on, got none")
    if cards < 1:
        raise InputError(f"expected at least 1 pair to show in each strip, got {cards}")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters.update(percent=_percent, number=_number, said=_said)
    template = environment.from_string(files("samekind").joinpath("report.html.j2").read_text(encoding="utf-8"))
    page = template.render(
        bundle=bundle,
        date=date or datetime.now().astimezone(),
        details=details or {},
        sections=[_section(evaluation, threshold, cards) for evaluation in evaluations],
        threshold=threshold,
        title=title,
        version=__version__,
    )
    _write(Path(path), page)


def _section(evaluation: Evaluation, threshold: float | None, cards: int) -> Section:
    scored = evaluation.scored
    return Section(
        evaluation,
        QUESTIONS.get(evaluation.protocol, ""),
        tuple(_row(evaluation.protocol, name, estimate) for name, estimate in evaluation.metrics.items()),
        {} if scored is None else _plots(scored, threshold),
        () if scored is None else _strips(scored, threshold, cards),
    )


def _row(protocol: str, name: str, estimate: Estimate) -> Row:
    digits, unit, scale = (3, "bits", 1) if name in BITS else (2, "%", 100)
    value, low, high = (f"{scale * x:.{digits}f}" for x in (estimate.value, estimate.low, estimate.high))
    return Row(
        MEASURES.get(name, name),
        f"{value}\N{NO-BREAK SPACE}{unit}",
        f"{low}\N{EN DASH}{high}\N{NO-BREAK SPACE}{unit}",
        REFERENCES.get((protocol, name), ()),
    )


def _plots(scored: ScoredPairs, threshold: float | None) -> dict[str, str]:
    from samekind import plots  # and with it Matplotlib, which a table of figures on a terminal does not need

    figures = {
        draw.__name__: draw(scored.scores, scored.pairs.same, threshold=threshold)
        for draw in (plots.histogram, plots.det, plots.roc)
    }
    return {name: _data_uri(plots.svg(figure).encode(), "svg+xml") for name, figure in figures.items()}


def _strips(scored: ScoredPairs, threshold: float | None, cards: int) -> tuple[Strip, ...]:
    scores, same = scored.scores.astype(np.float64), scored.pairs.same  # compared as `metrics` does
    said = None if threshold is None else scores >= threshold
    rising = np.argsort(scores, kind="stable")
    genuine, impostors = rising[same[rising]], rising[~same[rising]]
    if said is None:
        false_matches, misses = impostors[::-1], genuine
        match_title, match_note = "Most alike impostors", "Two classes with the highest scores."
        miss_title, miss_note = "Least alike genuine pairs", "One class with the lowest scores."
    else:
        false_matches = impostors[said[impostors]][::-1]
        misses = genuine[~said[genuine]]
        match_title, miss_title = "Worst false matches", "Worst misses"
        match_note = _count(len(false_matches), len(impostors), "impostor pairs", "a false match", "highest")
        miss_note = _count(len(misses), len(genuine), "genuine pairs", "a miss", "lowest")
    rows = (
        (match_title, match_note, false_matches),
        (miss_title, miss_note, misses),
        ("Best genuine matches", "One class, the highest scores.", genuine[::-1]),
        ("Most clearly different", "Two classes, the lowest scores.", impostors),
    )
    return tuple(
        Strip(title, note, tuple(_card(scored, int(pair), said) for pair in order[:cards]))
        for title, note, order in rows
    )


def _count(wrong: int, total: int, pairs: str, what: str, extreme: str) -> str:
    if not wrong:
        return f"None: not one of {total:,} {pairs} is {what}."
    return f"{wrong:,} of {total:,} {pairs}; the {extreme} scores come first."


def _card(scored: ScoredPairs, pair: int, said: NDArray[np.bool_] | None) -> Card:
    return Card(
        _picture(scored.data, int(scored.pairs.left[pair])),
        _picture(scored.data, int(scored.pairs.right[pair])),
        float(scored.scores[pair]),
        bool(scored.pairs.same[pair]),
        None if said is None else bool(said[pair]),
    )


def _picture(data: LabelledImages, index: int) -> Picture:
    image, label = data[index]
    image.thumbnail((THUMBNAIL, THUMBNAIL), Image.Resampling.LANCZOS)
    stream = io.BytesIO()
    image.save(stream, format="PNG", optimize=True)
    group = "" if data.groups is None else data.groups[label]
    kind = data.classes[label].removeprefix(f"{group}/")
    small = max(image.size) <= THUMBNAIL // 2
    return Picture(_data_uri(stream.getvalue(), "png"), group, kind, data.names[index], small)


def _data_uri(content: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.2f}\N{NO-BREAK SPACE}%"


def _number(value: float) -> str:
    return f"{value:.3f}".replace("-", "\N{MINUS SIGN}")


def _said(same: bool) -> str:
    return "same" if same else "different"


def _write(path: Path, page: str) -> None:
    if path.exists() and not path.is_file():
        raise InputError(f"{path}: a folder or a device; expected a file for the report, such as report.html")
    part = path.with_name(f".{path.name}.part")  # what a killed process left of it is written over
    try:
        try:
            # the name of a file may hold bytes that are no text: they are shown as such
            part.write_text(page, encoding="utf-8", errors="backslashreplace")
            os.replace(part, path)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise InputError(f"{path}: the report cannot be written ({error.strerror}); choose another file") from None
