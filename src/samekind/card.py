"""The record of an evaluation that another person can run again.

Knows what an evaluation depends on, and by how much its figures may move on another machine. Runs nothing.
"""

import hashlib
import json
import os
import platform
from dataclasses import asdict, dataclass, fields
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from samekind.bundle import Bundle
from samekind.data.labelled import LabelledImages
from samekind.errors import InputError, MissingDataError
from samekind.metrics import Estimate
from samekind.pages import write_whole
from samekind.protocols import PROTOCOLS, Evaluation, Model, shifted
from samekind.records import from_json
from samekind.trials import Pairs, Trials
from samekind.version import __version__

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

FORMAT = 1
SCORE_DIGITS = 1e-5
"""Scores may differ by this share of the largest score: 20 times what other kernels of one runtime were seen to do."""

SUM_DIGITS = 1e-9
"""Metrics may differ by this much beyond it, from sums in double precision."""

CARDS = "evaluations"
"""Folder of a bundle for the cards of its evaluations: what the service's page shows of it."""

LIBRARIES = ("numpy", "onnxruntime", "pillow", "scipy")


@dataclass(frozen=True)
class Subject:
    """What was measured.

    Args:
        name: a bundle as it was named, or "baseline:NAME".
        fingerprint: of the bundle; None for a baseline.
        calibration: SHA-256 of its calibration; None where it has none.
        threshold: score >= threshold means same; None where it has none.
    """

    name: str
    fingerprint: str | None
    calibration: str | None
    threshold: float | None


@dataclass(frozen=True)
class Source:
    """On what it was measured.

    Args:
        source: the data as they were named, e.g. "omniglot:evaluation" or a folder.
        split: "all" classes, or the "held-out" ones of the data that the bundle was trained on.
        fingerprint: of the classes and images that were used.
        classes: how many.
        images: how many.
    """

    source: str
    split: str
    fingerprint: str
    classes: int
    images: int


@dataclass(frozen=True)
class Asked:
    """The options of the protocol; None where it does not take one."""

    ways: int | None
    shots: int | None
    trials: int | None
    pairs: int | None
    impostors: str | None


@dataclass(frozen=True)
class Tolerance:
    """What may differ on another machine, and by how much.

    Args:
        note: in words.
        score: the most that a score may differ.
        metrics: the most that the value and the ends of the interval of each metric differ where scores differ so.
    """

    note: str
    score: float
    metrics: dict[str, Estimate]


@dataclass(frozen=True)
class Card:
    """All that an evaluation depends on, and what came out.

    Args:
        format: of the card; FORMAT.
        protocol: by name.
        options: of the protocol.
        seed: of the trials and of the resamples.
        model: what was measured.
        data: on what.
        n_trials: how many pairs or trials.
        trials: SHA-256 of them; see `trials_digest`.
        metrics: with 95 % intervals, as fractions.
        tolerance: what may differ elsewhere.
        versions: of samekind, Python and the libraries that figures depend on.
        machine: "processor" and "system".
    """

    format: int
    protocol: str
    options: Asked
    seed: int
    model: Subject
    data: Source
    n_trials: int
    trials: str
    metrics: dict[str, Estimate]
    tolerance: Tolerance
    versions: dict[str, str]
    machine: dict[str, str]


def make_card(evaluation: Evaluation, model: Model, *, subject: Subject, source: str, split: str) -> Card:
    """The card of an evaluation.

    Args:
        evaluation: from `run`, with its scores.
        model: what it measured.
        subject: what that is.
        source: the data as they were named.
        split: as in `Source`.
    Raises:
        InputError: the evaluation does not hold its scores.
    """
    scored = evaluation.scored
    if scored is None:
        raise InputError("expected an evaluation with its scores, got one without; take it from `run`")
    data, options, uses = scored.data, asdict(evaluation.options), PROTOCOLS[evaluation.protocol].uses
    return Card(
        format=FORMAT,
        protocol=evaluation.protocol,
        options=Asked(**{f.name: options[f.name] if f.name in uses else None for f in fields(Asked)}),
        seed=evaluation.seed,
        model=subject,
        data=Source(source, split, data.fingerprint, len(data.classes), len(data)),
        n_trials=evaluation.n_trials,
        trials=trials_digest(data, scored.drawn),
        metrics=evaluation.metrics,
        tolerance=_tolerance(evaluation, model, float(np.abs(scored.scores).max())),
        versions={"samekind": __version__, "python": platform.python_version()}
        | {name: version(name) for name in LIBRARIES},
        machine={"processor": platform.machine(), "system": platform.system()},
    )


def trials_digest(data: LabelledImages, drawn: Pairs | Trials) -> str:
    """SHA-256 of what is compared, the same on every machine.

    Over each array of indices in turn (its name, its shape, its values as little-endian int64), then over the names of
    the images that occur, in the order of their indices.

    Args:
        data: what the trials index.
        drawn: the pairs or trials.
    """
    digest, used = hashlib.sha256(), set[int]()
    for f in fields(drawn):
        if f.name != "same":  # of pairs; it follows from the rest
            values = np.asarray(getattr(drawn, f.name), dtype="<i8")
            digest.update(f"{f.name} {values.shape}\n".encode() + values.tobytes())
            used.update(values.ravel().tolist() if f.name != "correct" else ())
    for index in sorted(used):
        digest.update(data.names[index].encode(errors="surrogateescape") + b"\n")
    return digest.hexdigest()


def digest_of(record: "DataclassInstance") -> str:
    """SHA-256 of a dataclass of what JSON has."""
    return hashlib.sha256(json.dumps(asdict(record), sort_keys=True).encode()).hexdigest()


def write_card(path: str | os.PathLike[str], card: Card) -> None:
    """Write a card as JSON, whole or not at all. Raises InputError where it cannot be written."""
    write_whole(path, json.dumps(asdict(card), indent=2, ensure_ascii=False) + "\n", what="card")


def read_card(path: str | os.PathLike[str]) -> Card:
    """Read a card.

    Raises:
        MissingDataError: there is no such file.
        InputError: it is no card, of another format, or has an unknown, missing or wrong key.
    """
    path = Path(path)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise MissingDataError(f"{path}: no such file; expected a card, made by `samekind evaluate --card`") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: not readable as JSON ({error})") from None
    if isinstance(content, dict) and content.get("format") != FORMAT:
        raise InputError(f"{path}: expected a card of format {FORMAT}, got {content.get('format')!r}")
    card = from_json(Card, content, str(path))
    if card.protocol not in PROTOCOLS:
        raise InputError(f"{path}: expected a protocol among {', '.join(PROTOCOLS)}; got {card.protocol!r}")
    if set(card.metrics) != set(card.tolerance.metrics):
        raise InputError(f"{path}: expected a tolerance of each metric, and no other")
    return card


def cards_of(bundle: Bundle) -> tuple[Card, ...]:
    """The cards that lie in a bundle's folder CARDS, by the names of their files.

    Raises:
        InputError: one of them is no card, or of another model or calibration than the bundle's.
    """
    calibration = bundle.manifest.calibration
    expected = (bundle.fingerprint, None if calibration is None else digest_of(calibration))
    cards = {path: read_card(path) for path in sorted((bundle.path / CARDS).glob("*.json"))}
    for path, card in cards.items():
        if (card.model.fingerprint, card.model.calibration) != expected:
            raise InputError(f"{path}: of another model or calibration than {bundle.path}; evaluate anew, or remove it")
    return tuple(cards.values())


def _tolerance(evaluation: Evaluation, model: Model, largest: float) -> Tolerance:
    score = SCORE_DIGITS * largest
    ends = [shifted(evaluation, model, by) for by in (-score, score)]
    metrics = {
        name: Estimate(
            *(
                max(abs(getattr(end[name], part) - getattr(estimate, part)) for end in ends) + SUM_DIGITS
                for part in ("value", "low", "high")
            )
        )
        for name, estimate in evaluation.metrics.items()
    }
    note = (
        "Data, trials and resamples are exact. A score may differ by what is stated under score, on another processor "
        "or by the order of sums in single precision; then no metric moves by more than is stated for it. Another "
        "version of NumPy may draw other trials and resamples, of Pillow decode or resize images otherwise, of ONNX "
        "Runtime round otherwise: no tolerance covers these."
    )
    return Tolerance(note, score, metrics)
