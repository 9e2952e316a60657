"""The command that calibrates: writes what it certifies, uses only classes unseen in training, and refuses in time."""

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import typer

from samekind.bundle import Bundle, load_bundle, save_calibrated, save_manifest
from samekind.commands.calibrate import calibrate
from samekind.commands.verify import verify
from samekind.data.glyphs import glyphs
from samekind.data.source import load
from samekind.errors import InputError, UncertifiableError
from samekind.gallery.identification import threshold_for
from samekind.verifier import Decision


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Thirty classes of three generated characters, one sub-folder each."""
    folder = tmp_path_factory.mktemp("data") / "parts"
    glyphs(30, 3, seed=11).save(folder)
    return folder


@pytest.fixture
def model(tmp_path: Path) -> Bundle:
    """A copy of the shipped bundle."""
    shipped = load_bundle("omniglot")
    assert shipped.manifest.calibration is not None
    return save_calibrated(shipped, tmp_path / "model", shipped.manifest.calibration)


@pytest.fixture(scope="module")
def certified(parts: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bundles") / "certified"
    calibrate("omniglot", str(parts), target_fmr=0.3, confidence=0.9, prior=0.4, out=path)
    return path


def test_it_writes_a_bundle_with_a_certificate_for_each_number_of_references(certified: Path) -> None:
    before, after = load_bundle("omniglot").manifest, load_bundle(certified).manifest
    assert after.calibration is not None
    assert replace(after, calibration=before.calibration) == before
    assert (after.calibration.classes, after.calibration.prior) == (30, 0.4)
    assert [c.references for c in after.calibration.certificates] == [1, 2, 3], "no class has four images"
    assert {(c.target_fmr, c.confidence) for c in after.calibration.certificates} == {(0.3, 0.9)}
    assert "| certified | FMR <= 0.3 with 90% confidence, references: 2" in (certified / "README.md").read_text()


def test_it_prints_one_object(model: Bundle, parts: Path, capsys: pytest.CaptureFixture[str]) -> None:
    calibrate(str(model.path), str(parts), target_fmr=0.3, references=[2, 2], seed=1, as_json=True)
    said = json.loads(capsys.readouterr().out)
    assert set(said) == {"bundle", "fingerprint", "data", "classes", "prior", "threshold", "certificates"}
    after = load_bundle(model.path).manifest.calibration
    assert after is not None
    assert said["certificates"] == [asdict(c) for c in after.certificates]
    assert [c["references"] for c in said["certificates"]] == [2]
    assert said["bundle"] == str(model.path), "in place"


def test_galleries_get_certificates_too_beside_those_of_pairs(
    model: Bundle, parts: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: dict[str, Any] = {"target_fmr": 0.4, "references": [1, 2], "confidence": 0.8}
    calibrate(str(model.path), str(parts), **asked)
    pairs = load_bundle(model.path).manifest.calibration
    calibrate(str(model.path), str(parts), identities=[4, 2, 4], **asked)
    after = load_bundle(model.path).manifest.calibration
    assert pairs is not None
    assert after is not None
    assert after.certificates[:2] == pairs.certificates, "the certificates of pairs stay as they are"
    assert [(c.references, c.identities) for c in after.certificates[2:]] == [(1, 2), (1, 4), (2, 2), (2, 4)]
    assert {(c.target_fmr, c.confidence) for c in after.certificates} == {(0.4, 0.8)}
    found = {(k, n): threshold_for(after, identities=n, references=(k, k)) for k in (1, 2) for n in (1, 2, 3, 4, 5)}
    assert [found[1, n].certified_fpir for n in (1, 2, 3, 4, 5)] == [0.4, 0.4, 0.4, 0.4, None]
    assert found[2, 4].score == max(c.threshold for c in after.certificates if c.references == 2)
    assert "FPIR <= 0.4 among 4 identities with 80% confidence" in capsys.readouterr().out
    assert "| certified | FPIR <= 0.4 among 2 identities with 80% confidence" in (model.path / "README.md").read_text()


def test_a_gallery_too_large_for_these_classes_is_refused(model: Bundle, parts: Path) -> None:
    with pytest.raises(UncertifiableError, match=r"at least 126 classes to certify an FPIR of 0\.4 among 20"):
        calibrate(str(model.path), str(parts), target_fmr=0.4, references=[1], identities=[20])
    with pytest.raises(InputError, match="expected --target-fmr with --identities"):
        calibrate(str(model.path), str(parts), identities=[20])
    assert load_bundle(model.path).manifest == model.manifest


def test_what_cannot_be_certified_is_refused_and_nothing_is_written(model: Bundle, parts: Path, tmp_path: Path) -> None:
    with pytest.raises(UncertifiableError) as caught:
        calibrate(str(model.path), str(parts), target_fmr=0.001)
    assert "\n" not in str(caught.value)
    assert load_bundle(model.path).manifest == model.manifest
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_the_shipped_bundle_stays_as_it_is(parts: Path) -> None:
    with pytest.raises(InputError, match="comes with the package and stays as it is: name a folder by --out"):
        calibrate("omniglot", str(parts))


@pytest.mark.parametrize("same_data", [True, False])
def test_of_the_training_data_only_held_out_classes_are_used(
    model: Bundle, parts: Path, capsys: pytest.CaptureFixture[str], same_data: bool
) -> None:
    data = glyphs(30, 3, seed=11)
    fingerprint = load(str(parts)).images.fingerprint if same_data else ""
    provenance = replace(model.manifest.provenance, held_out_classes=data.classes[:7], data_fingerprint=fingerprint)
    save_manifest(model.path, replace(model.manifest, provenance=provenance))
    calibrate(str(model.path), str(parts))
    after = load_bundle(model.path).manifest.calibration
    assert after is not None
    assert after.classes == 7
    assert "only those held out of it are used" in capsys.readouterr().err


@pytest.mark.parametrize(("index", "code"), [(1, 0), (75, 1), (None, 3)])
def test_verify_prints_the_decision_and_nothing_else(
    certified: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], index: int | None, code: int
) -> None:
    data = glyphs(30, 3, seed=11)
    query, other = tmp_path / "query.png", tmp_path / "other.png"
    data[0][0].save(query)
    (data[0][0].point(lambda level: 255) if index is None else data[index][0]).save(other)
    for as_json in (True, False):
        with pytest.raises(typer.Exit) as ended:
            verify(str(query), [str(other)], model=str(certified), as_json=as_json)
        assert ended.value.exit_code == code
    said, spoken = capsys.readouterr().out.splitlines()
    decision = json.loads(said)
    assert list(decision) == list(Decision.__dataclass_fields__)
    assert (decision["prior"], decision["certified_fmr"]) == (0.4, 0.3)
    assert decision["same"] is (None if code == 3 else code == 0)
    assert spoken.startswith({0: "same: probability", 1: "different: probability", 3: "cannot tell: "}[code])
    if code == 3:
        assert decision["reasons"] == ["reference: saturated: all white"]
        assert "reference: saturated: all white" in spoken
