"""A card holds what an evaluation depends on, is read exactly, and names what another run of it differs in."""

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from conftest import Small
from samekind.bundle import Bundle, load_bundle
from samekind.card import CARDS, Card, Subject, cards_of, digest_of, make_card, read_card, trials_digest, write_card
from samekind.comparison import AGREES, DIFFERS, WITHIN, Finding, compare, reproduces
from samekind.data.labelled import LabelledImages
from samekind.errors import InputError, MissingDataError
from samekind.metrics import Estimate
from samekind.protocols import PROTOCOLS, Model, PairScorer, run
from samekind.trials import Pairs, Trials
from samekind.verifier import Verifier
from test_protocols import DATA, noise

SUBJECT = Subject("mine", "f" * 64, "c" * 64, -2.0)


def model(off: float = 0.0) -> Model:
    """Noise of names as a scorer, each score off by as much as given, up or down by the pair."""

    def scorer_of(data: LabelledImages) -> PairScorer:
        exact = noise(data)
        return lambda left, right: exact(left, right) + np.where((left + right) % 2, off, -off).astype(np.float32)

    return Model(scorer_of, threshold=-2.0, llr=lambda scores: 2 * scores + 4)


def card_of(measured: Model, *, protocol: str = "verification", seed: int = 4, subject: Subject = SUBJECT) -> Card:
    data = DATA[protocol]
    trials = {"within-alphabet": 400, "one-shot": 300}.get(protocol)
    pairs = 200 if protocol == "verification" else None
    evaluation = run(protocol, measured, data=data, trials=trials, pairs=pairs, seed=seed)
    return make_card(evaluation, measured, subject=subject, source="blank", split="all")


@pytest.fixture(scope="module")
def card() -> Card:
    return card_of(model())


def differing(findings: tuple[Finding, ...]) -> dict[str, str]:
    """Why each field differs."""
    return {finding.field: finding.why for finding in findings if finding.verdict == DIFFERS}


def test_a_card_says_what_was_asked_of_what(card: Card) -> None:
    assert (card.protocol, card.seed, card.n_trials) == ("verification", 4, 200)
    assert asdict(card.options) == {"ways": None, "shots": None, "trials": None, "pairs": 200, "impostors": "any"}
    assert card.model == SUBJECT
    data = DATA["verification"]
    assert (card.data.source, card.data.split, card.data.fingerprint) == ("blank", "all", data.fingerprint)
    assert (card.data.classes, card.data.images) == (21, 126)
    assert set(card.versions) == {"samekind", "python", "numpy", "onnxruntime", "pillow", "scipy"}
    assert card.versions["numpy"] == np.__version__
    assert set(card.machine) == {"processor", "system"}
    assert set(card.metrics) == set(card.tolerance.metrics) == set(PROTOCOLS["verification"].metrics)
    assert asdict(card_of(model(), protocol="lake").options) == dict.fromkeys(asdict(card.options))


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_what_was_written_is_read_digit_for_digit(protocol: str, tmp_path: Path) -> None:
    measured = card_of(model(), protocol=protocol)
    write_card(tmp_path / "card.json", measured)
    assert read_card(tmp_path / "card.json") == measured
    findings = compare(read_card(tmp_path / "card.json"), card_of(model(), protocol=protocol))
    assert {finding.verdict for finding in findings} == {AGREES}
    assert reproduces(findings)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_scores_off_by_their_last_digits_reproduce_within_the_tolerance(protocol: str) -> None:
    exact = card_of(model(), protocol=protocol)
    off = 0.99 * exact.tolerance.score
    findings = compare(exact, card_of(model(off), protocol=protocol))
    assert reproduces(findings)
    assert not differing(findings)
    if "cllr" in exact.metrics:
        assert next(f.verdict for f in findings if f.field == "metrics.cllr") == WITHIN


def test_scores_off_by_more_do_not_reproduce_and_nothing_explains_it(card: Card) -> None:
    findings = compare(card, card_of(model(0.02)))
    assert not reproduces(findings)
    found = differing(findings)
    assert found["metrics.cllr"] == "nothing that a card holds explains it"
    assert all(field.startswith("metrics.") for field in found)


def test_a_metric_just_beyond_its_tolerance_differs(card: Card) -> None:
    allowed = card.tolerance.metrics["eer"]
    for part in ("value", "low", "high"):
        for factor, verdict in ((0.99, WITHIN), (1.01, DIFFERS)):
            moved = getattr(card.metrics["eer"], part) + factor * getattr(allowed, part)
            eer = replace(card.metrics["eer"], **{part: moved})
            findings = compare(card, replace(card, metrics={**card.metrics, "eer": eer}))
            assert next(f.verdict for f in findings if f.field == "metrics.eer") == verdict
            assert reproduces(findings) == (verdict == WITHIN)


CHANGES: dict[str, tuple[Callable[[Card], Card], dict[str, str]]] = {
    "seed": (lambda c: replace(c, seed=5), {"seed": "another protocol, other options or another seed"}),
    "data": (
        lambda c: replace(c, data=replace(c.data, fingerprint="0" * 64, images=125)),
        {"data.fingerprint": "other data: 125 images of 21 classes instead of 126 images of 21 classes"},
    ),
    "trials": (
        lambda c: replace(c, trials="0" * 64),
        {"trials": "other trials from the same data, options and seed"},
    ),
    "bundle": (
        lambda c: replace(c, model=replace(c.model, fingerprint="0" * 64)),
        {"model.fingerprint": "another bundle"},
    ),
    "calibration": (
        lambda c: replace(c, model=replace(c.model, calibration="0" * 64, threshold=-2.5)),
        {"model.calibration": "another calibration", "model.threshold": "another calibration"},
    ),
}


@pytest.mark.parametrize("what", CHANGES)
def test_what_differs_is_named_and_explains_the_figures(what: str, card: Card) -> None:
    change, reasons = CHANGES[what]
    moved = {name: Estimate(e.value + 0.1, e.low, e.high) for name, e in card.metrics.items()}
    findings = compare(card, replace(change(card), metrics=moved))
    found = differing(findings)
    assert not reproduces(findings)
    for field, why in reasons.items():
        assert found[field] == why
        assert found["metrics.eer"] == why
    assert not reproduces(compare(card, change(card)))


def test_versions_and_machines_explain_but_do_not_decide(card: Card) -> None:
    versions = {**card.versions, "numpy": "9.9"}
    elsewhere = replace(
        card,
        versions=versions,
        machine={"processor": "other", "system": "other"},
        model=replace(card.model, name="/elsewhere/mine"),
        data=replace(card.data, source="/elsewhere/data"),
    )
    findings = compare(card, elsewhere)
    assert reproduces(findings)
    numpy = f"other versions: numpy 9.9 instead of {card.versions['numpy']}"
    assert differing(findings) == {
        "versions.numpy": numpy,
        "machine.processor": "another machine",
        "machine.system": "another machine",
        "model.name": "",
        "data.source": "",
    }
    moved = {**card.metrics, "auc": Estimate(0, 0, 0)}
    assert differing(compare(card, replace(elsewhere, metrics=moved)))["metrics.auc"] == f"{numpy}; another machine"


def test_a_metric_that_is_gone_or_new_differs(card: Card) -> None:
    fewer = replace(card, metrics={name: e for name, e in card.metrics.items() if name != "cllr"})
    for one, other in ((card, fewer), (fewer, card)):
        assert "metrics.cllr" in differing(compare(one, other))


def test_the_digest_of_trials_is_what_the_docstring_says() -> None:
    data = replace(DATA["one-shot"], names=tuple(f"n{i}" for i in range(75)))
    pairs = Pairs(np.array([5, 2]), np.array([9, 5]), np.array([True, False]))
    expected = b"left (2,)\n" + np.array([5, 2], "<i8").tobytes() + b"right (2,)\n" + np.array([9, 5], "<i8").tobytes()
    assert trials_digest(data, pairs) == hashlib.sha256(expected + b"n2\nn5\nn9\n").hexdigest()
    big_endian = Pairs(pairs.left.astype(">i8"), pairs.right.astype(">i8"), pairs.same)
    assert trials_digest(data, big_endian) == trials_digest(data, pairs)
    trials = Trials(np.array([3]), np.array([[[4], [7]]]), np.array([0]))
    digests = {
        trials_digest(data, drawn)
        for drawn in (
            pairs,
            Pairs(pairs.right, pairs.left, pairs.same),
            trials,
            replace(trials, correct=np.array([1])),
            replace(trials, references=np.array([[[4, 7]]])),
        )
    }
    assert len(digests) == 5
    renamed = replace(data, names=("m", *data.names[1:]))
    assert trials_digest(renamed, pairs) == trials_digest(data, pairs)  # an image that does not occur
    renamed = replace(data, names=(*data.names[:9], "caf\udce9", *data.names[10:]))
    assert trials_digest(renamed, pairs) != trials_digest(data, pairs)


def test_an_evaluation_without_scores_has_no_card() -> None:
    evaluation = replace(run("verification", model(), data=DATA["verification"], pairs=20), scored=None)
    with pytest.raises(InputError, match="without"):
        make_card(evaluation, model(), subject=SUBJECT, source="blank", split="all")


def change(path: Path, edit: Callable[[dict[str, object]], object]) -> None:
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (lambda c: c.pop("seed"), "missing key 'seed'"),
        (lambda c: c.update(note="x"), "unknown key 'note'"),
        (lambda c: c.update(format=2), "format 1, got 2"),
        (lambda c: c.update(protocol="best"), "expected a protocol among lake"),
        (lambda c: c.update(seed="4"), "seed: expected int"),
        (lambda c: c["options"].pop("ways"), "options: missing key 'ways'"),
        (lambda c: c["metrics"]["eer"].update(low=None), "metrics: eer: low: expected float"),
        (lambda c: c["metrics"].pop("eer"), "a tolerance of each metric"),
        (lambda c: c.clear(), "format 1, got None"),
    ],
)
def test_a_bad_card_is_one_clear_line(
    edit: Callable[[dict[str, object]], object], words: str, card: Card, tmp_path: Path
) -> None:
    path = tmp_path / "card.json"
    write_card(path, card)
    change(path, edit)
    with pytest.raises(InputError, match=words) as caught:
        read_card(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_what_is_no_card_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingDataError, match="evaluate --card"):
        read_card(tmp_path / "gone.json")
    (tmp_path / "text").write_text("not JSON")
    with pytest.raises(InputError, match="not readable as JSON"):
        read_card(tmp_path / "text")
    (tmp_path / "bytes").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(InputError, match="not readable as JSON"):
        read_card(tmp_path / "bytes")
    with pytest.raises(InputError, match="not readable"):
        read_card(tmp_path)


def test_a_bundle_says_what_was_measured_of_it(bundle: Bundle, small: Small, tmp_path: Path) -> None:
    copy = load_bundle(shutil.copytree(bundle.path, tmp_path / "copy"))
    assert cards_of(copy) == ()
    verifier, calibration = Verifier(copy), copy.manifest.calibration
    assert calibration is not None
    evaluation = run("verification", verifier.model, data=small.held_out, pairs=40)
    subject = Subject("copy", copy.fingerprint, digest_of(calibration), calibration.threshold)
    card = make_card(evaluation, verifier.model, subject=subject, source="small", split="all")
    (copy.path / CARDS).mkdir()
    write_card(copy.path / CARDS / "verification.json", card)
    assert cards_of(copy) == (card,)
    other = replace(card, model=replace(subject, calibration="0" * 64))
    write_card(copy.path / CARDS / "verification.json", other)
    with pytest.raises(InputError, match="of another model or calibration"):
        cards_of(copy)
