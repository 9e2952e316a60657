"""The curves run through the rates that a loop counts, and mark the threshold where it decides."""

from collections.abc import Callable
from xml.etree import ElementTree

import matplotlib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure
from matplotlib.patches import StepPatch
from numpy.typing import NDArray
from scipy.stats import norm

from samekind import metrics, plots
from samekind.breakdown import Band, ReliabilityBand

PLOTS: tuple[Callable[..., Figure], ...] = (plots.det, plots.roc, plots.histogram)


def pairs(n: int = 400, gap: float = 2.0) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    rng = np.random.default_rng(0)
    same = np.arange(n) % 4 == 0
    return (rng.normal(size=n) + gap * same).astype(np.float32), same


def points(figure: Figure, label: str = "") -> NDArray[np.float64]:
    """The points (K, 2) of the one line whose label starts so, or of the first line, which is the curve."""
    lines = figure.axes[0].lines
    chosen = [line for line in lines if str(line.get_label()).startswith(label)] if label else lines[:1]
    assert len(chosen) == 1
    return np.asarray(chosen[0].get_xydata(), dtype=np.float64)


def marked(figure: Figure, label: str) -> tuple[float, float]:
    ((x, y),) = points(figure, label)
    return float(x), float(y)


@pytest.mark.parametrize("threshold", [0.5, 1.7])
def test_det_marks_the_error_rates_at_the_threshold(threshold: float) -> None:
    scores, same = pairs()
    fmr = sum(s >= threshold for s in scores[~same]) / np.sum(~same)
    fnmr = sum(s < threshold for s in scores[same]) / np.sum(same)
    x, y = marked(plots.det(scores, same, threshold=threshold), "threshold")
    assert (norm.cdf(x), norm.cdf(y)) == pytest.approx((fmr, fnmr))


@pytest.mark.parametrize("threshold", [0.5, 1.7])
def test_roc_marks_the_rates_at_the_threshold(threshold: float) -> None:
    scores, same = pairs()
    expected = np.mean(scores[~same] >= threshold), np.mean(scores[same] >= threshold)
    assert marked(plots.roc(scores, same, threshold=threshold), "threshold") == pytest.approx(expected)


def test_det_marks_the_equal_error_rate_on_the_diagonal() -> None:
    scores, same = pairs()
    x, y = marked(plots.det(scores, same, threshold=None), "equal error")
    assert x == y
    assert norm.cdf(x) == pytest.approx(metrics.eer(scores, same))


def test_curves_pass_through_every_operating_point() -> None:
    scores, same = pairs(40)
    det = points(plots.det(scores, same, threshold=None))
    roc = points(plots.roc(scores, same, threshold=None))
    for threshold in scores:
        fmr, fnmr = np.mean(scores[~same] >= threshold), np.mean(scores[same] < threshold)
        at_edge = norm.ppf(np.clip([fmr, fnmr], 0.5 / 30, 1 - 0.5 / 30))
        assert np.abs(det - at_edge).sum(axis=1).min() < 1e-9
        assert np.abs(roc - (max(fmr, 0.5 / 30), 1 - fnmr)).sum(axis=1).min() < 1e-9


def test_normal_scores_give_a_straight_det_curve() -> None:
    quantiles = norm.ppf((np.arange(2_000) + 0.5) / 2_000)
    scores, same = np.concatenate([quantiles, quantiles + 2]), np.arange(4_000) >= 2_000
    x, y = points(plots.det(scores, same, threshold=None)).T
    middle = (np.abs(x) < 2) & (np.abs(y) < 2)
    assert y[middle] == pytest.approx(-2 - x[middle], abs=0.02)


def test_histogram_shows_shares_of_each_kind_and_the_threshold() -> None:
    scores, same = pairs()
    figure = plots.histogram(scores, same, threshold=1.25)
    stairs = [patch.get_data() for patch in figure.axes[0].patches if isinstance(patch, StepPatch)]
    assert [sum(values) for values, *_ in stairs] == pytest.approx([1, 1, 1, 1])
    middles = [np.average(edges[1:], weights=values) for values, edges, _ in stairs]
    assert middles[0] < middles[2] - 1.5  # impostors first, genuine pairs two higher
    assert points(figure, "threshold")[:, 0].tolist() == [1.25, 1.25]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["impostor", "genuine", "threshold 1.25"]


@pytest.mark.parametrize("level", [0.0, 0.3, -1e6, 1e12])
@pytest.mark.parametrize("spread", [0.0, 1e-12, 1e-7])
def test_a_histogram_of_nearly_one_score_is_drawn(level: float, spread: float) -> None:
    exact = np.array([level, level * (1 + spread), level, level])
    for scores in (exact, exact.astype(np.float32)):
        figure = plots.histogram(scores, np.array([True, False, True, False]), threshold=None)
        assert sum(figure.axes[0].patches[0].get_data().values) == pytest.approx(1)  # type: ignore[attr-defined]


@pytest.mark.parametrize("draw", PLOTS)
def test_without_a_threshold_none_is_marked(draw: Callable[..., Figure]) -> None:
    scores, same = pairs()
    figure = draw(scores, same, threshold=None)
    assert not any(str(line.get_label()).startswith("threshold") for line in figure.axes[0].lines)


@settings(max_examples=15, deadline=None)
@given(
    scores=st.lists(st.sampled_from([-1e6, -1.0, 0.0, 0.25, 1.0, 3.0]), min_size=2, max_size=12),
    draw=st.sampled_from(PLOTS),
    threshold=st.none() | st.sampled_from([-2e6, 0.0, 1.0, 50.0]),
    data=st.data(),
)
def test_every_plot_of_any_scores_is_well_formed(
    scores: list[float], draw: Callable[..., Figure], threshold: float | None, data: st.DataObject
) -> None:
    same = np.arange(len(scores)) < data.draw(st.integers(1, len(scores) - 1))
    text = plots.svg(draw(np.asarray(scores, dtype=np.float32), same, threshold=threshold))
    assert ElementTree.fromstring(text).tag.endswith("svg")
    assert "nan" not in text.lower().replace("dominant", "")


def test_svg_is_the_same_for_the_same_scores_and_leaves_no_settings_behind() -> None:
    before = dict(matplotlib.rcParams)
    scores, same = pairs()
    first, second = (plots.svg(plots.det(scores, same, threshold=1.0)) for _ in range(2))
    assert first == second
    assert dict(matplotlib.rcParams) == before


@pytest.mark.parametrize("gap", [-4.0, 0.0, 2.0, 50.0])
def test_det_view_holds_the_equal_error_rate_of_any_model(gap: float) -> None:
    scores, same = pairs(gap=gap)
    figure = plots.det(scores, same, threshold=None)
    low, high = figure.axes[0].get_xlim()
    assert low <= marked(figure, "equal error")[0] <= high
    assert gap < 2 or high == pytest.approx(norm.ppf(0.6))
    assert figure.axes[0].get_ylim() == (low, high)


def band(at: list[float], value: list[float], reach: float = 0.05) -> Band:
    middle = np.asarray(value)
    return Band(np.asarray(at), middle, np.clip(middle - reach, 0, 1), np.clip(middle + reach, 0, 1))


def shade(figure: Figure) -> NDArray[np.float64]:
    """The corners (K, 2) of the one shaded band."""
    (found,) = figure.axes[0].collections
    return np.concatenate([np.asarray(path.vertices) for path in found.get_paths()])


def test_bands_lie_around_their_curves() -> None:
    scores, same = pairs()
    fmrs = [0.01, 0.1, 0.4]
    around = band(fmrs, [metrics.fnmr_at_fmr(scores, same, fmr=fmr) for fmr in fmrs])
    det = norm.cdf(shade(plots.det(scores, same, threshold=None, band=around)))
    roc = shade(plots.roc(scores, same, threshold=None, band=around))
    for fmr, low, high in zip(around.at, around.low, around.high, strict=True):
        for rate in (low, high):
            assert np.abs(roc - (fmr, 1 - rate)).sum(axis=1).min() < 1e-9
            assert np.abs(det - (fmr, max(rate, 0.5 / 300))).sum(axis=1).min() < 1e-9
    assert not plots.det(scores, same, threshold=None).axes[0].collections


def test_bands_are_measured_over_the_whole_view() -> None:
    same = np.arange(400) % 4 == 0
    fmrs = plots.fmrs(same)
    assert (np.diff(fmrs) > 0).all()
    assert fmrs[0] < 1 / 300
    assert fmrs[-1] == 1
    assert len(plots.fmrs(same, points=7)) == 8


def test_reliability_stands_at_what_was_stated() -> None:
    measured = ReliabilityBand(band([0.05, 0.4, 0.9], [0.0, 0.5, 1.0]), np.array([0.5, 0.2, 0.3]))
    axes = plots.reliability(measured).axes[0]
    (container,) = [found for found in axes.containers if found.get_label() == "observed"]
    points, caps, (whiskers,) = container.lines  # type: ignore[attr-defined]
    assert points.get_xydata().tolist() == [[0.05, 0.0], [0.4, 0.5], [0.9, 1.0]]
    ends = np.array(whiskers.get_segments())[:, :, 1]
    assert ends == pytest.approx(np.stack([measured.observed.low, measured.observed.high], axis=1))
    assert len(caps) == 2
    heights = [bar.get_height() for bar in axes.patches]  # type: ignore[attr-defined]
    assert heights == [0.5, 0.2, 0.3]


@pytest.mark.parametrize("errors", [[0.0, 0.0, 0.0], [0.0, 0.01, 0.2]])
def test_risk_ends_at_the_error_of_all_answers(errors: list[float]) -> None:
    figure = plots.risk_coverage(band([0.1, 0.5, 1.0], errors, reach=0.01))
    assert points(figure).tolist() == [[0.1, errors[0]], [0.5, errors[1]], [1.0, errors[2]]]
    assert marked(figure, "all answered") == (1.0, errors[2])
    assert figure.axes[0].get_ylim()[1] >= max(errors) + 0.01
    assert ElementTree.fromstring(plots.svg(figure)).tag.endswith("svg")
