"""What `/v1/model` says: which model answers, how it was calibrated, and what is certified of it.

Knows bundles. Knows nothing of requests.
"""

from dataclasses import asdict, dataclass, field, fields
from typing import Any

import numpy as np

from samekind.bundle import Bundle, Provenance
from samekind.calibration import Calibration
from samekind.card import Card, cards_of
from samekind.certification import Certificate
from samekind.gallery.store import Counts
from samekind.service.settings import Limits
from samekind.version import __version__

POINTS = 101
"""Of the curve from score to probability."""
SPAN = 6.0
"""Log odds, either way of even, that the curve covers."""


@dataclass(frozen=True)
class Point:
    """Of the curve: a score and the probability of "same" with its interval."""

    score: float
    probability: float
    low: float
    high: float


@dataclass(frozen=True)
class CalibrationInfo:
    """From score to probability; the fields as in `samekind.calibration.Calibration`, and a curve to plot."""

    slope: float
    intercept: float
    covariance: tuple[float, ...] | None
    quantile: float
    prior: float
    bound: float
    pairs: int
    classes: int
    data: str
    threshold: float
    certificates: tuple[Certificate, ...]
    curve: tuple[Point, ...]


@dataclass(frozen=True)
class ProvenanceInfo:
    """Where the model comes from; the fields as in `samekind.bundle.Provenance`, without names of classes."""

    version: str
    data: str
    data_fingerprint: str
    classes: int
    held_out_classes: int
    images: int
    loss: str
    steps: int
    images_seen: int
    seconds: float
    device: str
    seed: int


@dataclass(frozen=True)
class LimitsInfo:
    """What one request may hold: bytes of its body, pixels of an image, images, and the formats of images."""

    body: int
    pixels: int
    references: int
    samples: int
    seconds: float
    formats: tuple[str, ...]


@dataclass(frozen=True)
class ModelInfo:
    """The model that answers.

    Args:
        name: of its folder.
        fingerprint: SHA-256 of all that an embedding depends on.
        version: of samekind.
        encoder, head, dim, size, channels: of the network and its input.
        frame: 0 where it sees the whole image; else side of the square it sees over that of the ink's box.
        ground: levels, 0 to 255, with which an image is padded to a square, one a channel.
        calibration, provenance: see there.
        evaluations: what the cards in the bundle's folder say was measured; empty where there is none.
        gallery: how much is enrolled; None where there is none.
        limits: of requests.
    """

    name: str
    fingerprint: str
    version: str
    encoder: str
    head: str
    dim: int
    size: int
    channels: int
    frame: float
    ground: tuple[int, ...]
    calibration: CalibrationInfo
    provenance: ProvenanceInfo
    limits: LimitsInfo
    evaluations: tuple[dict[str, Any], ...] = field(default=())
    gallery: Counts | None = None


def describe(bundle: Bundle, limits: Limits, formats: tuple[str, ...]) -> ModelInfo:
    """What is known of a bundle, which has a calibration."""
    manifest = bundle.manifest
    assert manifest.calibration is not None
    return ModelInfo(
        name=bundle.path.name,
        fingerprint=bundle.fingerprint,
        version=__version__,
        encoder=manifest.encoder,
        head=manifest.head,
        dim=manifest.dim,
        size=manifest.preprocessing.size,
        channels=manifest.preprocessing.channels,
        frame=manifest.preprocessing.frame,
        ground=manifest.preprocessing.ground,
        calibration=_calibration(manifest.calibration),
        provenance=_provenance(manifest.provenance),
        limits=LimitsInfo(
            body=limits.body,
            pixels=limits.pixels,
            references=limits.references,
            samples=limits.samples,
            seconds=limits.seconds,
            formats=formats,
        ),
        evaluations=tuple(_evaluation(card) for card in cards_of(bundle)),
    )


def _evaluation(card: Card) -> dict[str, Any]:
    impostors = "" if card.options.impostors in (None, "any") else ", impostors of the same group"
    return {
        "protocol": card.protocol,
        "data": card.data.source + impostors,
        "n_trials": card.n_trials,
        "seed": card.seed,
        "metrics": {name: asdict(estimate) for name, estimate in card.metrics.items()},
    }


def _calibration(calibration: Calibration) -> CalibrationInfo:
    c = calibration
    middle = -c.intercept / c.slope  # where the log-likelihood ratio is 0
    scores = np.linspace(middle - SPAN / c.slope, middle + SPAN / c.slope, POINTS).tolist()
    curve = [Point(s, c.probability(s), c.probability_low(s), c.probability_high(s)) for s in scores]
    return CalibrationInfo(
        slope=c.slope,
        intercept=c.intercept,
        covariance=c.covariance,
        quantile=c.quantile,
        prior=c.prior,
        bound=c.bound,
        pairs=c.pairs,
        classes=c.classes,
        data=c.data,
        threshold=c.threshold_for(1),
        certificates=c.certificates,
        curve=tuple(curve),
    )


def _provenance(provenance: Provenance) -> ProvenanceInfo:
    known = asdict(provenance)
    known["held_out_classes"] = len(provenance.held_out_classes)
    return ProvenanceInfo(**{one.name: known[one.name] for one in fields(ProvenanceInfo)})
