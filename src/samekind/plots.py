"""Pictures of an evaluation: DET, ROC, histograms of scores, reliability, and risk over coverage.

Knows scores and Matplotlib's figure objects (never pyplot, whose figures are global state). Knows nothing of pages,
images or models.
"""

import io
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from samekind import metrics
from samekind.breakdown import Band, ReliabilityBand

# blue and vermilion of Okabe and Ito's palette: told apart with every kind of colour vision, and in grey print
GENUINE = "#0072b2"
IMPOSTOR = "#d55e00"
INK = "#1c2430"
MUTED = "#56606e"
CURVE = "#46566a"
SHADE = 0.2

BINS = 60
TICKS = (0.00001, 0.0001, 0.001, 0.01, 0.05, 0.2, 0.5, 0.8, 0.95)
STYLE: dict[Any, Any] = {  # Matplotlib's own stubs type the keys differently from release to release
    "svg.fonttype": "none",  # text stays text: small, sharp, in the fonts of the reader's machine
    "svg.hashsalt": "samekind",  # the same figure gives the same bytes
    "font.family": "sans-serif",
    "font.sans-serif": ["Segoe UI", "Helvetica Neue", "Roboto", "DejaVu Sans"],
    "font.size": 11.0,
    "axes.edgecolor": MUTED,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.labelcolor": INK,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "grid.color": MUTED,
    "grid.alpha": 0.18,
    "savefig.transparent": True,  # the page decides on what ground
    "legend.fontsize": 10.0,
    "legend.frameon": False,
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
}


@matplotlib.rc_context(STYLE)
def det(
    scores: NDArray[np.floating], same: NDArray[np.bool_], *, threshold: float | None, band: Band | None = None
) -> Figure:
    """The trade between the two errors on normal-deviate axes, on which normally distributed scores give a line.

    Args:
        scores: (P,) floating point; larger is more alike.
        same: (P,) bool, true for genuine pairs; both kinds occur.
        threshold: the operating point to mark, or None for none.
        band: of the FNMR, at each FMR; None for none.
    Returns:
        A figure. A rate of 0 or 1, which has no place on these axes, is drawn at half of one error from it.
    Source: Martin, Doddington, Kamm, Ordowski, Przybocki 1997, "The DET curve in assessment of detection task
        performance".
    """
    curve, equal = metrics.error_curve(scores, same), metrics.eer(scores, same)
    least = _least(same)

    def place(rate: NDArray[np.floating] | float) -> NDArray[np.float64]:
        return np.asarray(ndtri(np.clip(rate, least, 1 - least)), dtype=np.float64)

    figure, axes = _frame("False match rate", "False non-match rate (misses)")
    if band is not None:
        axes.fill_between(place(band.at), place(band.low), place(band.high), color=CURVE, alpha=SHADE, linewidth=0)
    axes.plot(place(curve.fmr), place(curve.fnmr), color=CURVE, linewidth=2)
    _mark(axes, float(place(equal)), float(place(equal)), label=f"equal error {_percent(equal)}", marker="o")
    if threshold is not None:
        fmr, fnmr = _rates(scores, same, threshold)
        label = f"threshold ({_percent(fmr)}, {_percent(fnmr)})"
        _mark(axes, float(place(fmr)), float(place(fnmr)), label=label, marker="D")
    view = (float(ndtri(least)), float(ndtri(0.6 if equal <= 0.5 else 1 - least)))
    ticks = [tick for tick in TICKS if 1.5 * least <= tick and float(ndtri(tick)) <= view[1]]  # none in the corner
    axes.set(xlim=view, ylim=view)
    axes.set_xticks(ndtri(ticks), [_tick(tick) for tick in ticks])
    axes.set_yticks(ndtri(ticks), [_tick(tick) for tick in ticks])
    _legend(figure)
    return figure


@matplotlib.rc_context(STYLE)
def roc(
    scores: NDArray[np.floating], same: NDArray[np.bool_], *, threshold: float | None, band: Band | None = None
) -> Figure:
    """The share of genuine pairs that is accepted, over the false match rate on a logarithmic axis.

    Args:
        scores: (P,) floating point; larger is more alike.
        same: (P,) bool, true for genuine pairs; both kinds occur.
        threshold: the operating point to mark, or None for none.
        band: of the FNMR, at each FMR; None for none.
    Returns:
        A figure. A false match rate of 0 is drawn at half of one false match.
    """
    curve = metrics.error_curve(scores, same)
    least = 0.5 / np.count_nonzero(~same)  # less than any rate but 0
    figure, axes = _frame("False match rate (logarithmic)", "True match rate")
    if band is not None:
        axes.fill_between(
            np.maximum(band.at, least), 1 - band.high, 1 - band.low, color=CURVE, alpha=SHADE, linewidth=0
        )
    axes.plot(np.maximum(curve.fmr, least), 1 - curve.fnmr, color=CURVE, linewidth=2)
    chance = np.geomspace(least, 1, 100)
    axes.plot(chance, chance, color=MUTED, linewidth=1, linestyle=(0, (4, 3)), label="chance")
    if threshold is not None:
        fmr, fnmr = _rates(scores, same, threshold)
        label = f"threshold ({_percent(fmr)}, {_percent(1 - fnmr)})"
        _mark(axes, max(fmr, least), 1 - fnmr, label=label, marker="D")
    axes.set(xscale="log", xlim=(least, 1), ylim=(0, 1))
    axes.xaxis.set_major_formatter(_tick)
    axes.yaxis.set_major_formatter(_tick)
    _legend(figure)
    return figure


@matplotlib.rc_context(STYLE)
def histogram(scores: NDArray[np.floating], same: NDArray[np.bool_], *, threshold: float | None) -> Figure:
    """How the scores of genuine and of impostor pairs are spread, each as a share of its own kind.

    Args:
        scores: (P,) floating point; larger is more alike.
        same: (P,) bool, true for genuine pairs; both kinds occur.
        threshold: where the line between "different" and "same" is drawn, or None for no line.
    Returns:
        A figure.
    """
    figure, axes = _frame("Score (larger is more alike)", "Share of pairs")
    exact = scores.astype(np.float64)  # in single precision the edges of near and large scores would coincide
    low, high = float(exact.min()), float(exact.max())
    least = 1e-6 * max(1.0, abs(low), abs(high))
    if high - low < least:  # a model with one score for everything is drawn, too
        low, high = low - least, high + least
    edges = np.linspace(low, high, BINS + 1)
    for kind, colour, name in ((~same, IMPOSTOR, "impostor"), (same, GENUINE, "genuine")):
        counts = np.histogram(exact[kind], edges)[0]
        share = counts / counts.sum()
        axes.stairs(share, edges, fill=True, color=colour, alpha=0.35)
        axes.stairs(share, edges, color=colour, linewidth=1.5, label=name)
    if threshold is not None:
        axes.axvline(
            threshold,
            color=INK,
            linewidth=1.4,
            linestyle=(0, (5, 3)),
            label=f"threshold {threshold:.3g}".replace("-", "\N{MINUS SIGN}"),
        )
    axes.yaxis.set_major_formatter(_tick)
    axes.locator_params(axis="x", nbins=5)
    axes.set_ylim(bottom=0)
    _legend(figure)
    return figure


@matplotlib.rc_context(STYLE)
def reliability(measured: ReliabilityBand) -> Figure:
    """How often "same" was true, over the probability that was stated: on the diagonal where it is one.

    Returns:
        A figure, with the share of all pairs in each bin as bars behind.
    """
    band = measured.observed
    figure, axes = _frame("Stated probability of one class", "Share that shows one class")
    axes.bar(band.at, measured.shares, width=0.03, color=CURVE, alpha=SHADE, label="share of pairs")
    axes.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle=(0, (4, 3)), label="as stated")
    reach = np.clip([band.value - band.low, band.high - band.value], 0, None)  # rounding may leave -1e-17
    axes.errorbar(
        band.at,
        band.value,
        yerr=reach,
        fmt="o",
        color=GENUINE,
        ms=5,
        capsize=3,
        clip_on=False,
        zorder=5,
        label="observed",
    )
    axes.set(xlim=(0, 1), ylim=(0, 1))
    axes.xaxis.set_major_formatter(_tick)
    axes.yaxis.set_major_formatter(_tick)
    _legend(figure)
    return figure


@matplotlib.rc_context(STYLE)
def risk_coverage(band: Band) -> Figure:
    """Errors among the answered questions, over the share that is answered, the surest first.

    Args:
        band: at each coverage, the share of errors.
    Returns:
        A figure.
    """
    figure, axes = _frame("Answered, the surest first", "Errors among the answered")
    axes.fill_between(band.at, band.low, band.high, color=CURVE, alpha=SHADE, linewidth=0)
    axes.plot(band.at, band.value, color=CURVE, linewidth=2)
    everything = float(band.value[-1])
    _mark(axes, float(band.at[-1]), everything, label=f"all answered {_percent(everything)}", marker="D")
    axes.set(xlim=(0, 1), ylim=(0, max(1.1 * float(band.high.max()), 0.001)))
    axes.xaxis.set_major_formatter(_tick)
    axes.yaxis.set_major_formatter(_tick)
    _legend(figure)
    return figure


def fmrs(same: NDArray[np.bool_], *, points: int = 60) -> NDArray[np.float64]:
    """Where to measure a band: (K,) false match rates, evenly spread over the axes of `det` and on to 1."""
    return np.append(ndtr(np.linspace(ndtri(_least(same)), ndtri(0.98), points)), 1.0)


@matplotlib.rc_context(STYLE)
def svg(figure: Figure) -> str:
    """The figure as an SVG document; the same figure gives the same text."""
    stream = io.StringIO()
    figure.savefig(stream, format="svg", metadata={"Date": None})
    return stream.getvalue()


def _frame(across: str, up: str) -> tuple[Figure, Axes]:
    # about as many points wide as a phone is pixels, so that text keeps its size there
    figure = Figure(figsize=(4.4, 3.9), layout="constrained")
    axes = figure.add_subplot(xlabel=across, ylabel=up)
    axes.tick_params(which="both", length=0, pad=6)
    return figure, axes


def _mark(axes: Axes, x: float, y: float, *, label: str, marker: str) -> None:
    # a ring around a diamond: where both fall on one point, both are seen
    size, face = (12, "none") if marker == "o" else (6, INK)
    axes.plot([x], [y], marker, ms=size, color=INK, mfc=face, mew=1.6, clip_on=False, zorder=5, label=label)


def _legend(figure: Figure) -> None:
    """In one line above the axes, where it hides nothing."""
    figure.legend(loc="outside upper left", ncols=3, columnspacing=1, handlelength=1.4, handletextpad=0.5, borderpad=0)


def _least(same: NDArray[np.bool_]) -> float:
    """A rate less than any that these pairs can show but 0."""
    return min(0.25, 0.5 / max(np.count_nonzero(same), np.count_nonzero(~same)))


def _tick(rate: float, _: float = 0) -> str:
    return f"{100 * rate:g} %"


def _percent(rate: float) -> str:
    return f"{100 * rate:.2f} %"


def _rates(scores: NDArray[np.floating], same: NDArray[np.bool_], threshold: float) -> tuple[float, float]:
    """FMR and FNMR at the threshold; in double precision, as `metrics` compares."""
    matches = scores.astype(np.float64) >= threshold
    return float(np.mean(matches[~same])), float(np.mean(~matches[same]))
