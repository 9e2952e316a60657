"""One HTML page that shows how a model decided: figures with intervals, curves, and pairs to look at.

Knows evaluations and how a person reads them. Knows nothing of models: it gets what was measured. The page is one
file: no script, no network, every picture inside.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np

from samekind.breakdown import Band, GroupRates, by_group, misses_at, reliability_at, risk_at
from samekind.errors import InputError
from samekind.exhibits import Strip, strips
from samekind.metrics import Estimate
from samekind.pages import data_uri, render, write_whole
from samekind.protocols import Evaluation
from samekind.scored import ScoredPairs, ScoredTrials
from samekind.version import __version__

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MEASURES = {
    "accuracy": "Accuracy",
    "auc": "Area under the ROC curve",
    "cllr": "Cllr",
    "eer": "Equal error rate",
    "error": "Error",
    "false matches": "False matches",
    "fnmr@fmr=0.001": "Misses at 0.1 % false matches",
    "fnmr@fmr=0.01": "Misses at 1 % false matches",
    "fnmr@fmr=0.1": "Misses at 10 % false matches",
    "min_cllr": "Cllr if ideally calibrated",
    "misses": "Misses",
}
"""What a person calls each metric; one that is not here goes by its own name."""

FMRS = (0.1, 0.01, 0.001)
"""False match rates at which the page gives the misses."""

COVERAGES = np.arange(1, 51) / 50
"""Where the curve of risk over coverage is measured."""

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
class Row:
    """One line of the table of figures, as it is read: name, value, 95 % interval, and published figures beside it."""

    name: str
    value: str
    interval: str
    references: tuple[Reference, ...]


@dataclass(frozen=True)
class Plot:
    """A picture of figures: its title, the SVG as a data URI, and what it shows, in words."""

    title: str
    source: str
    words: str


@dataclass(frozen=True)
class Section:
    """All that the page shows of one evaluation; beyond the rows nothing where it does not hold its scores.

    Args:
        evaluation: what was measured.
        asks: the question of its protocol.
        counted: what was scored, "pairs" or "trials".
        rows: its lines of the table.
        plots: curves.
        groups: its rates by group, the worst first; their names are in the order of the first.
        strips: pairs or trials to look at.
    """

    evaluation: Evaluation
    asks: str
    counted: str
    rows: tuple[Row, ...]
    plots: tuple[Plot, ...] = ()
    groups: tuple[GroupRates, ...] = ()
    strips: tuple[Strip, ...] = ()


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
        cards: the most pairs or trials to show in each strip; >= 1.
        date: when it was measured; now where None.
    Raises:
        InputError: there is no evaluation, cards is below 1, or the file cannot be written.
        ImageError: an image to show cannot be read.
    """
    if not evaluations:
        raise InputError("expected at least one evaluation to report on, got none")
    if cards < 1:
        raise InputError(f"expected at least 1 pair to show in each strip, got {cards}")
    page = render(
        "report.html.j2",
        bundle=bundle,
        date=date or datetime.now().astimezone(),
        details=details or {},
        sections=[_section(evaluation, threshold, cards) for evaluation in evaluations],
        threshold=threshold,
        title=title,
        version=__version__,
        measures=MEASURES,
        read=read,
    )
    write_whole(path, page, what="report")


def read(name: str, estimate: Estimate) -> tuple[str, str]:
    """The value and the interval of a metric as a person reads them."""
    digits, unit, scale = (3, "bits", 1) if name in BITS else (2, "%", 100)
    rounded = (round(scale * x, digits) + 0.0 for x in (estimate.value, estimate.low, estimate.high))  # no minus 0
    value, low, high = (f"{x:.{digits}f}" for x in rounded)
    return f"{value}\N{NO-BREAK SPACE}{unit}", f"{low}\N{EN DASH}{high}\N{NO-BREAK SPACE}{unit}"


def _section(evaluation: Evaluation, threshold: float | None, cards: int) -> Section:
    scored, asks = evaluation.scored, QUESTIONS.get(evaluation.protocol, "")
    if scored is None:
        return Section(evaluation, asks, "trials", _rows(evaluation.protocol, evaluation.metrics))
    rng = np.random.default_rng(evaluation.seed)
    if isinstance(scored, ScoredPairs):
        from samekind import plots  # and with it Matplotlib, which a table of figures on a terminal does not need

        fmrs = plots.fmrs(scored.pairs.same)
        band = misses_at(scored, [*fmrs, *FMRS], rng=rng)
        metrics = _with_fixed_rates(evaluation.metrics, band[len(fmrs) :])
        pictures = _plots_of_pairs(scored, threshold, band[: len(fmrs)], rng)
    else:
        metrics, pictures = evaluation.metrics, (_risk_plot(scored, threshold, rng),)
    return Section(
        evaluation,
        asks,
        "pairs" if isinstance(scored, ScoredPairs) else "trials",
        _rows(evaluation.protocol, metrics),
        pictures,
        by_group(scored, threshold, rng=rng),
        strips(scored, threshold, most=cards),
    )


def _with_fixed_rates(metrics: Mapping[str, Estimate], band: Band) -> dict[str, Estimate]:
    """All metrics, and the misses at every rate of FMRS, before those in bits."""
    rates = {f"fnmr@fmr={fmr:g}": Estimate(*map(float, rest)) for fmr, *rest in zip(*astuple(band), strict=True)}
    rates |= {name: metrics[name] for name in rates if name in metrics}
    others = {name: estimate for name, estimate in metrics.items() if name not in rates | dict.fromkeys(BITS)}
    return {**others, **rates, **{name: estimate for name, estimate in metrics.items() if name in BITS}}


def _plots_of_pairs(
    scored: ScoredPairs, threshold: float | None, band: Band, rng: np.random.Generator
) -> tuple[Plot, ...]:
    from samekind import plots

    scores, same = scored.scores, scored.pairs.same
    shown = [
        _plot(
            "Scores of genuine and impostor pairs",
            plots.histogram(scores, same, threshold=threshold),
            "Histograms of the scores of genuine and of impostor pairs"
            f"{'' if threshold is None else ' with the threshold'}. The less they overlap, the better the model tells "
            "classes apart.",
        ),
        _plot(
            "DET curve: misses over false matches",
            plots.det(scores, same, threshold=threshold, band=band),
            "The rate of misses over the rate of false matches at every threshold, on normal-deviate axes. The nearer "
            "the curve to the lower left corner, the better.",
        ),
        _plot(
            "ROC curve: true over false matches",
            plots.roc(scores, same, threshold=threshold, band=band),
            "The rate of true matches over the rate of false matches at every threshold. The nearer the curve to the "
            "upper left corner, the better.",
        ),
    ]
    if scored.llr is not None:
        shown.append(
            _plot(
                "Reliability: is a stated probability one?",
                plots.reliability(reliability_at(scored, rng=rng)),
                "The share of genuine pairs over the stated probability of one class. The nearer the points to the "
                "diagonal, the truer the probabilities.",
            )
        )
    if threshold is not None:
        shown.append(_risk_plot(scored, threshold, rng))
    return tuple(shown)


def _risk_plot(scored: ScoredPairs | ScoredTrials, threshold: float | None, rng: np.random.Generator) -> Plot:
    from samekind import plots

    return _plot(
        "Errors if only the surest are answered",
        plots.risk_coverage(risk_at(scored, threshold, COVERAGES, rng=rng)),
        "The share of errors among the answered questions over the share that is answered, the surest first. The "
        "sooner the curve falls to the left, the better the model knows when it may be wrong.",
    )


def _plot(title: str, figure: "Figure", words: str) -> Plot:
    from samekind import plots

    return Plot(title, data_uri(plots.svg(figure).encode(), "svg+xml"), words)


def _rows(protocol: str, metrics: Mapping[str, Estimate]) -> tuple[Row, ...]:
    return tuple(
        Row(MEASURES.get(name, name), *read(name, estimate), REFERENCES.get((protocol, name), ()))
        for name, estimate in metrics.items()
    )
