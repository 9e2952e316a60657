"""Whether a bundle's probabilities and abstentions can be trusted, on Omniglot's evaluation alphabets.

Nothing is fitted there. Coverage of intervals is measured in two ways: on simulated scores with class effects, whose
true log-likelihood ratio is known, and on classes drawn from the evaluation set, whose own fit is taken for the truth.
Goals: cllr - min_cllr <= 0.02; coverage 0.93 to 0.97; of bad images 0.95 abstain, of good ones at most 0.02.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage
from scipy.special import expit

from results import arguments, keep
from samekind import metrics
from samekind.calibration import Calibration, calibrate
from samekind.data.labelled import LabelledImages
from samekind.data.source import load
from samekind.errors import BundleError
from samekind.intervals import estimate
from samekind.trials import IMPOSTORS, Pairs, balanced_pairs
from samekind.verifier import ACROSS, Verifier

Floats = NDArray[np.float64]
Grey = NDArray[np.uint8]

PAIRS = 40_000
SIDE = 105
GRID = np.linspace(-4, 4, 9)  # log-likelihood ratios at which coverage is asked for


def probabilities(
    calibration: Calibration, scores: NDArray[np.float32], data: LabelledImages, pairs: Pairs, *, seed: int
) -> dict[str, Any]:
    """How good the log-likelihood ratios of scored pairs are, and how sure answers fare better."""
    llr, same = calibration.llr(scores), pairs.same
    classes = data.labels[pairs.left], data.labels[pairs.right]
    costs = metrics.pair_statistics(scores, same, names=("cllr", "min_cllr"), llr=llr)

    def with_difference(weights: Floats) -> dict[str, Floats]:
        values = costs(weights)
        return {**values, "difference": values["cllr"] - values["min_cllr"]}

    estimates = estimate(with_difference, classes, rng=np.random.default_rng(seed))
    right = (llr > 0) == same
    curve = metrics.risk_coverage(np.abs(llr), right)
    undecided = np.array([calibration.undecided(score) for score in scores.tolist()])
    return {
        "pairs": len(pairs),
        **{name: asdict(value) for name, value in estimates.items()},
        "expected_calibration_error": metrics.expected_calibration_error(expit(llr), same),
        "reliability": bins(calibration, scores, same, classes, seed=seed),
        "risk_at_coverage": {
            f"{share:g}": float(curve.risk[np.searchsorted(curve.coverage, share)])
            for share in (0.5, 0.8, 0.9, 0.95, 1)
        },
        "risk_of_decided": {"coverage": float((~undecided).mean()), "risk": float((~right)[~undecided].mean())},
    }


def bins(
    calibration: Calibration,
    scores: NDArray[np.float32],
    same: NDArray[np.bool_],
    classes: tuple[NDArray[np.int64], NDArray[np.int64]],
    *,
    seed: int,
) -> list[dict[str, Any]]:
    """Ten bins: what was stated, with its interval, and what was observed, with its own over these classes."""
    stated = expit(calibration.llr(scores))
    low, high = (expit(end) for end in calibration.llr_interval(scores))
    place = np.minimum((stated * 10).astype(np.int64), 9)
    held = {f"{at}": place == at for at in np.unique(place)}

    def observed(weights: Floats) -> dict[str, Floats]:
        return {name: (weights @ (inside & same)) / np.maximum(weights @ inside, 1e-9) for name, inside in held.items()}

    found = estimate(observed, classes, rng=np.random.default_rng(seed))
    rows = []
    for name, inside in held.items():
        said = {"stated": stated[inside].mean(), "stated_low": low[inside].mean(), "stated_high": high[inside].mean()}
        shown = found[name]
        rows.append(
            {
                **{key: float(value) for key, value in said.items()},
                "observed": asdict(shown),
                "share": float(inside.mean()),
                "within": bool(said["stated_low"] <= shown.high and shown.low <= said["stated_high"]),
            }
        )
    return rows


def coverage_simulated(classes: int, *, effect: float, repetitions: int, rng: np.random.Generator) -> float:
    """Share of 95 % intervals that hold the true ratio, where `effect` is the share of variance due to classes.

    Genuine and impostor scores are normal with the same variance, so that the true map is affine: slope and distance
    of the means are both 3.5. An impostor score carries half the effect of each of its classes.
    """
    distance, pairs, hits = 3.5, 2_000, []
    for _ in range(repetitions):
        of_impostors = rng.normal(size=classes) * np.sqrt(effect / 2)
        of_genuine = rng.normal(size=classes) * np.sqrt(effect)
        left = rng.integers(classes, size=2 * pairs)
        right = left.copy()
        right[pairs:] = (left[pairs:] + rng.integers(1, classes, size=pairs)) % classes
        own = np.sqrt(1 - effect) * rng.normal(size=2 * pairs)
        effects = np.where(left == right, distance + of_genuine[left], of_impostors[left] + of_impostors[right])
        found = calibrate((effects + own).astype(np.float32), left, right, data="simulated")
        hits.append(covered(found, (GRID + distance**2 / 2) / distance, GRID))
    return float(np.mean(hits))


def coverage_resampled(
    scorer: Callable[[NDArray[np.int64], NDArray[np.int64]], NDArray[np.float32]],
    data: LabelledImages,
    *,
    classes: int,
    repetitions: int,
    rng: np.random.Generator,
) -> float:
    """The same for classes drawn from a data set; the truth is the fit to the whole set."""

    def fit(part: LabelledImages, images: NDArray[np.int64]) -> Calibration:
        pairs = balanced_pairs(part, pairs=10_000, impostors="any", rng=rng)
        scores = scorer(images[pairs.left], images[pairs.right])
        return calibrate(scores, part.labels[pairs.left], part.labels[pairs.right], data=data.name)

    everything = np.arange(len(data))
    whole = [fit(data, everything) for _ in range(10)]
    slope, intercept = (float(np.mean([getattr(w, name) for w in whole])) for name in ("slope", "intercept"))
    hits = []
    for _ in range(repetitions):
        drawn = rng.permutation(len(data.classes))[:classes]
        images = np.flatnonzero(np.isin(data.labels, drawn))
        hits.append(covered(fit(data.take(images), images), (GRID - intercept) / slope, GRID))
    return float(np.mean(hits))


def covered(calibration: Calibration, scores: Floats, truth: Floats) -> NDArray[np.bool_]:
    """Where the interval, before it is cut at the bound, holds the truth."""
    assert calibration.covariance is not None
    of_slope, of_both, of_intercept = calibration.covariance
    half = calibration.quantile * np.sqrt(of_slope * scores**2 + 2 * of_both * scores + of_intercept)
    return np.abs(calibration.slope * scores + calibration.intercept - truth) <= half


def bad_images(drawings: Sequence[Grey], rng: np.random.Generator) -> dict[str, list[Grey]]:
    """As many images of each other kind as there are drawings, of their size."""
    n = len(drawings)
    y, x = np.mgrid[:SIDE, :SIDE] / (SIDE - 1)

    def grey(levels: Floats) -> Grey:
        return np.asarray(255 * np.clip(levels, 0, 1), dtype=np.uint8)

    def noise(spread: float = 1.0) -> Floats:
        return spread * rng.normal(size=(SIDE, SIDE))

    def turned() -> Floats:
        angle = rng.uniform(0, 2 * np.pi)
        return np.asarray(x * np.cos(angle) + y * np.sin(angle))

    def cloud() -> Grey:
        smooth = ndimage.gaussian_filter(noise(), rng.uniform(1, 10))
        return grey((smooth - smooth.min()) / np.ptp(smooth))

    def scene() -> Grey:
        levels = 0.5 + 0.3 * (y - 0.5) * rng.choice([-1, 1])
        for _ in range(rng.integers(3, 12)):
            across, down = x - rng.random(), (y - rng.random()) * rng.uniform(0.5, 2)
            inside = np.hypot(across, down) < rng.uniform(0.05, 0.35)
            levels = np.where(inside, rng.random() + 0.2 * across, levels)
        return grey(ndimage.gaussian_filter(levels, rng.uniform(0.3, 1.5)) + noise(0.02))

    def text() -> Grey:
        size = int(rng.integers(8, 15))
        page, letters = Image.new("L", (SIDE, SIDE), 255), list("abcdefghijklmnopqrstuvwxyz     ")
        for line in range(2, SIDE - size, int(1.25 * size)):
            ImageDraw.Draw(page).text((2, line), "".join(rng.choice(letters, 30)), 0, ImageFont.load_default(size))
        return np.asarray(page)

    kinds: dict[str, Callable[[], Grey]] = {
        "blank": lambda: np.full((SIDE, SIDE), rng.integers(256), np.uint8),
        "blank with noise": lambda: grey(rng.random() + noise(0.01)),
        "saturated": lambda: np.full((SIDE, SIDE), rng.choice([0, 255]), np.uint8),
        "noise": lambda: rng.integers(0, 256, (SIDE, SIDE)).astype(np.uint8),
        "normal noise": lambda: grey(0.5 + noise(rng.uniform(0.05, 0.3))),
        "salt and pepper": lambda: grey((rng.random((SIDE, SIDE)) > rng.uniform(0.02, 0.5)).astype(np.float64)),
        "gradient": lambda: grey(rng.random() + rng.uniform(0.3, 1) * turned()),
        "rings of light": lambda: grey(np.hypot(x - rng.random(), y - rng.random()) * rng.uniform(0.6, 1.5)),
        "grating": lambda: grey(0.5 + 0.5 * np.sin(2 * np.pi * rng.uniform(1, 15) * turned() + rng.uniform(0, 6))),
        "clouds": cloud,
        "scene": scene,
        "text": text,
    }
    made = {name: [make() for _ in range(n)] for name, make in kinds.items()}
    return {**made, "inverted": [np.asarray(255 - drawing, dtype=np.uint8) for drawing in drawings]}


def abstentions(verifier: Verifier, data: LabelledImages, *, images: int, rng: np.random.Generator) -> dict[str, Any]:
    """Shares of `verify` that cannot tell: bad images against a good one, and pairs of good ones by reason."""
    drawings = [np.asarray(data[i][0].convert("L")) for i in rng.permutation(len(data))[: 2 * images]]
    asked, others = drawings[:images], drawings[images:]
    bad = {
        name: float(np.mean([verifier.verify(a, b).same is None for a, b in zip(made, others, strict=True)]))
        for name, made in bad_images(asked, rng).items()
    }
    pairs = balanced_pairs(data, pairs=4 * images, impostors="any", rng=rng)
    sides = zip(pairs.left, pairs.right, strict=True)
    decisions = [verifier.verify(data.items[i], data.items[j]) for i, j in sides]
    flawed = [d.same is None and d.reasons != (ACROSS,) for d in decisions]
    alone = [verifier.verify(data.items[i], data.items[i]) for i in rng.permutation(len(data))[: 4 * images]]
    across = [ACROSS in d.reasons for d in decisions]
    return {
        "bad": bad,
        "bad, all kinds": float(np.mean(list(bad.values()))),
        "good pairs": len(decisions),
        "good pairs, for an image": float(np.mean(flawed)),
        "good pairs, for the interval": float(np.mean(across)),
        "good images": float(np.mean([decision.same is None for decision in alone])),
    }


def main() -> None:
    parser = arguments(__file__, __doc__)
    parser.add_argument("--model", default="omniglot", help="bundle to measure")
    parser.add_argument("--data", default="omniglot:evaluation", help="classes that it never saw")
    parser.add_argument("--repetitions", type=int, default=1_000, help="of each simulation of coverage")
    parser.add_argument("--images", type=int, default=500, help="of each bad kind")
    parser.add_argument("--seed", type=int, default=0, help="of pairs, intervals, simulations and images")
    given = parser.parse_args()
    verifier, data = Verifier.load(given.model), load(given.data).images
    calibration = verifier.bundle.manifest.calibration
    if calibration is None:
        raise BundleError(f"{given.model}: expected a calibrated bundle; calibrate it")
    scorer, rng = verifier.scorer_of(data), np.random.default_rng(given.seed)
    figures: dict[str, Any] = {"calibration_classes": calibration.classes}
    for impostors in IMPOSTORS:
        pairs = balanced_pairs(data, pairs=PAIRS, impostors=impostors, rng=rng)
        scores = scorer(pairs.left, pairs.right)
        figures[f"impostors: {impostors}"] = probabilities(calibration, scores, data, pairs, seed=given.seed)
    repeat = given.repetitions
    figures["coverage"] = {
        **{
            f"simulated, {n} classes, effect {effect:g}": coverage_simulated(
                n, effect=effect, repetitions=repeat, rng=rng
            )
            for n in (20, 50, 100, 200)
            for effect in (0.2, 0.5)
        },
        **{
            f"resampled, {n} classes": coverage_resampled(scorer, data, classes=n, repetitions=repeat, rng=rng)
            for n in (50, 90)
            if n < len(data.classes)
        },
    }
    figures["abstention"] = abstentions(verifier, data, images=given.images, rng=rng)
    figures["goals"] = {
        "cllr - min_cllr": 0.02,
        "coverage": [0.93, 0.97],
        "bad images that abstain": 0.95,
        "good ones": 0.02,
    }
    keep(given.out, figures)


if __name__ == "__main__":
    main()
