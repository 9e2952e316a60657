"""Decisions: symmetric, alone or in a batch, of images of any kind, and none without a threshold."""

import io
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from PIL import Image

from conftest import Small
from samekind.bundle import Bundle, load_bundle
from samekind.calibration import Calibration
from samekind.certification import Certificate
from samekind.errors import (
    BundleError,
    ImageError,
    InputError,
    MissingDataError,
    NoThresholdError,
    UncertifiableError,
)
from samekind.protocols import run
from samekind.similarity import euclidean
from samekind.verifier import ACROSS, IDENTICAL, Verifier


@pytest.fixture(scope="session")
def verifier(bundle: Bundle) -> Verifier:
    return Verifier(bundle, threads=1)


def drawing(small: Small, index: int) -> NDArray[np.uint8]:
    item = small.held_out.items[index]
    assert isinstance(item, np.ndarray)
    return item.astype(np.uint8)


def test_a_decision_says_what_it_is_from(small: Small, verifier: Verifier) -> None:
    a, b = drawing(small, 0), drawing(small, 1)
    decision = verifier.verify(a, b)
    calibration = verifier.bundle.manifest.calibration
    assert calibration is not None
    z = verifier.embed([a, b])
    assert decision.score == float(verifier.similarity(z[0], z[1]))
    assert decision.threshold == calibration.threshold
    assert decision.probability == calibration.probability(decision.score)
    assert decision.probability_low == calibration.probability_low(decision.score) < decision.probability
    assert decision.probability_high == calibration.probability_high(decision.score)
    assert (decision.prior, decision.certified_fmr) == (0.5, None)
    assert decision.reasons == (() if decision.same is not None else (ACROSS,))
    assert decision.same in (None, decision.score >= decision.threshold)


def calibrated(bundle: Bundle, **changes: object) -> Verifier:
    """The same model with a calibration in which some numbers differ."""
    calibration = bundle.manifest.calibration
    assert calibration is not None
    return Verifier(
        replace(bundle, manifest=replace(bundle.manifest, calibration=replace(calibration, **changes))),  # type: ignore[arg-type]
        threads=1,
    )


def test_where_the_interval_lies_across_the_threshold_it_cannot_tell(small: Small, bundle: Bundle) -> None:
    sure, unsure = calibrated(bundle, covariance=(0.0, 0.0, 0.0)), calibrated(bundle, covariance=(0.0, 0.0, 1e4))
    for index in (1, 9):
        decision = sure.verify(drawing(small, 0), drawing(small, index))
        assert decision.same == (decision.score >= decision.threshold)
        doubtful = unsure.verify(drawing(small, 0), drawing(small, index))
        assert (doubtful.same, doubtful.reasons) == (None, (ACROSS,))
        assert doubtful.score == decision.score


def test_a_certified_threshold_decides_for_its_references(small: Small, bundle: Bundle) -> None:
    certificate = Certificate(2.0, 0.1, 0.95, 0.03, 0.09, 20, 2)
    strict = calibrated(bundle, covariance=(0.0, 0.0, 1e4), certificates=(certificate,))
    query, others = drawing(small, 0), [drawing(small, 0)] * 3
    assert strict.verify(query, others[:1]).same is None, "nothing is certified for one reference"
    decision = strict.verify(query, others[:2])
    assert (decision.same, decision.threshold, decision.certified_fmr) == (False, 2.0, 0.1)
    assert decision.reasons == (IDENTICAL,)
    decision = strict.verify(query, others)  # nothing is promised for three, though the threshold serves
    assert (decision.same, decision.threshold, decision.certified_fmr) == (None, 2.0, None)


BAD = {
    "blank": np.full((40, 40), 90, np.uint8),
    "saturated": np.full((40, 40), 255, np.uint8),
    "too small": np.tile(np.array([0, 255], np.uint8), (7, 3)),
    "unlike anything": np.random.default_rng(0).integers(0, 256, (40, 40)).astype(np.uint8),
}


@pytest.mark.parametrize("name", BAD)
def test_of_an_image_that_shows_nothing_it_cannot_tell(small: Small, verifier: Verifier, name: str) -> None:
    good, bad = drawing(small, 0), BAD[name]
    for query, references, where in (
        (bad, good, "query"),
        (good, bad, "reference"),
        (good, [good, bad], "reference 2"),
    ):
        decision = verifier.verify(query, references)
        assert decision.same is None
        assert any(reason.startswith(f"{where}: {name}") for reason in decision.reasons)
        assert -1 <= decision.score <= 1
    assert verifier.verify(bad, bad).reasons[-1] == IDENTICAL


def test_a_calibration_without_a_domain_takes_any_image(small: Small, bundle: Bundle) -> None:
    reasons = calibrated(bundle, domain=None).verify(drawing(small, 0), BAD["unlike anything"]).reasons
    assert not any("unlike" in reason for reason in reasons)


def test_calibrated_anew_it_certifies_what_its_classes_can(small: Small, verifier: Verifier) -> None:
    def again(**options: object) -> Calibration:
        return verifier.calibrated(small.held_out, rng=np.random.default_rng(0), **options)  # type: ignore[arg-type]

    found = again(references=(1, 3), target_fmr=0.4, confidence=0.9, prior=0.3)
    assert (found.classes, found.data, found.prior) == (20, "glyphs", 0.3)
    assert [(c.references, c.target_fmr, c.confidence) for c in found.certificates] == [(1, 0.4, 0.9), (3, 0.4, 0.9)]
    assert all(c.upper_fmr <= 0.4 for c in found.certificates)
    before = verifier.bundle.manifest.calibration
    assert before is not None
    assert again().slope == pytest.approx(before.slope, rel=1e-3)
    assert again().domain == before.domain
    assert again().certificates == ()
    with pytest.raises(UncertifiableError, match=r"an FMR of 0\.001"):
        again(target_fmr=0.001)


def test_decisions_are_right_more_often_than_not(small: Small, verifier: Verifier) -> None:
    genuine = [verifier.verify(drawing(small, 8 * c), drawing(small, 8 * c + 1)).same for c in range(20)]
    impostor = [verifier.verify(drawing(small, 8 * c), drawing(small, 8 * c - 1)).same for c in range(1, 20)]
    assert genuine.count(True) > 12
    assert impostor.count(True) < 7


def test_the_sides_can_be_exchanged_to_the_last_bit(small: Small, verifier: Verifier) -> None:
    for left, right in ((0, 1), (0, 9), (17, 100), (3, 3)):
        a, b = drawing(small, left), drawing(small, right)
        assert verifier.verify(a, b) == verifier.verify(b, a)


def test_the_same_file_twice_is_identical(small: Small, verifier: Verifier, tmp_path: Path) -> None:
    path, copy = tmp_path / "a.png", tmp_path / "b.png"
    Image.fromarray(drawing(small, 0)).save(path)
    copy.write_bytes(path.read_bytes())
    for other in (path, str(path), copy, copy.read_bytes()):
        decision = verifier.verify(path, other)
        assert decision.same
        assert decision.reasons == (IDENTICAL,)
        assert decision.score == pytest.approx(1, abs=1e-5)
    assert verifier.verify(path, [drawing(small, 1), copy]).reasons == (IDENTICAL,)
    assert verifier.verify(path, drawing(small, 1)).reasons == ()


def test_several_references_count_by_their_mean(small: Small, verifier: Verifier) -> None:
    query, references = drawing(small, 0), [drawing(small, i) for i in (1, 2, 30)]
    embedded, *others = verifier.embed([query, *references])
    expected = embedded @ np.mean(others, axis=0) / np.linalg.norm(np.mean(others, axis=0))
    assert verifier.verify(query, references).score == pytest.approx(expected, abs=1e-6)
    assert verifier.verify(query, tuple(references)) == verifier.verify(query, references)
    assert verifier.verify(query, references[:1]) == verifier.verify(query, references[0])


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16"])
def test_images_of_any_mode_and_size(small: Small, verifier: Verifier, mode: str) -> None:
    grey = Image.fromarray(drawing(small, 0))
    sixteen = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
    image = sixteen if mode == "I;16" else grey.convert(mode)
    assert image.mode == mode
    assert verifier.verify(grey, image).score == pytest.approx(1, abs=0.02)
    large = image.convert("L").resize((301, 301)).crop((0, 0, 301, 250))
    assert 0.5 < verifier.verify(grey, large).score < 1


def test_the_same_image_as_path_bytes_array_and_object(small: Small, verifier: Verifier, tmp_path: Path) -> None:
    array = drawing(small, 0)
    image = Image.fromarray(array)
    held = io.BytesIO()
    image.save(held, format="PNG")
    (tmp_path / "a.png").write_bytes(held.getvalue())
    rows = verifier.embed([tmp_path / "a.png", str(tmp_path / "a.png"), held.getvalue(), array, image])
    assert (rows == rows[0]).all()


def test_a_batch_equals_single_images(small: Small, verifier: Verifier) -> None:
    pixels = small.held_out.pixels(verifier.preprocessing)
    assert len(pixels) > 128, "more than one batch"
    together = verifier.embed_pixels(pixels)
    alone = verifier.embed(list(small.held_out.items))
    assert together.shape == alone.shape == (160, 16)
    assert together.dtype == alone.dtype == np.float32
    np.testing.assert_allclose(together, alone, atol=1e-5)
    np.testing.assert_array_equal(verifier.embed(list(small.held_out.items[5:7])), alone[5:7])


def test_no_images_give_no_rows(verifier: Verifier) -> None:
    assert verifier.embed([]).shape == (0, 16)
    assert verifier.embed_pixels(np.empty((0, 1, 16, 16), np.uint8)).shape == (0, 16)


def test_protocols_measure_it(small: Small, verifier: Verifier) -> None:
    metrics = run("verification", verifier.model, data=small.held_out, pairs=400).metrics
    assert metrics["accuracy"].value > 0.8
    assert metrics["cllr"].value < 1
    scores = verifier.scorer_of(small.held_out)(np.array([0, 5]), np.array([1, 90]))
    z = verifier.embed([drawing(small, i) for i in (0, 5, 1, 90)])
    np.testing.assert_allclose(scores, verifier.similarity(z[:2], z[2:]), atol=1e-5)


def test_without_a_threshold_it_refuses_to_decide(small: Small, bundle: Bundle) -> None:
    verifier = Verifier(replace(bundle, manifest=replace(bundle.manifest, calibration=None)))
    with pytest.raises(NoThresholdError, match="has no threshold, so it can score but not decide; train it with"):
        verifier.verify(drawing(small, 0), drawing(small, 1))
    assert verifier.embed([drawing(small, 0)]).shape == (1, 16)
    assert verifier.model.threshold is None
    assert verifier.model.llr is None


def test_the_head_of_the_bundle_compares(small: Small, bundle: Bundle) -> None:
    other = Verifier(replace(bundle, manifest=replace(bundle.manifest, head="euclidean")))
    a, b = other.embed([drawing(small, 0), drawing(small, 1)])
    assert other.verify(drawing(small, 0), drawing(small, 1)).score == float(euclidean(a, b))


def test_bad_input_is_named(small: Small, verifier: Verifier, tmp_path: Path) -> None:
    good = drawing(small, 0)
    text, empty = tmp_path / "text.png", tmp_path / "empty.png"
    text.write_text("hello")
    empty.write_bytes(b"")
    for bad in (text, empty, tmp_path):
        for sides in ((bad, good), (good, bad), (good, [good, bad])):
            with pytest.raises(ImageError, match=bad.name):
                verifier.verify(*sides)
    with pytest.raises(MissingDataError, match="nowhere"):
        verifier.verify(good, tmp_path / "nowhere.png")
    with pytest.raises(InputError, match="at least one reference image, got none"):
        verifier.verify(good, [])


def test_a_manifest_that_does_not_fit_the_graph_is_an_error(bundle: Bundle) -> None:
    larger = replace(bundle.manifest, preprocessing=replace(bundle.manifest.preprocessing, size=24))
    for manifest in (larger, replace(bundle.manifest, dim=17)):
        with pytest.raises(BundleError, match="as the manifest says") as caught:
            Verifier(replace(bundle, manifest=manifest))
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["image", "embedding"])
def test_a_foreign_graph_whose_ends_have_other_names_is_an_error(bundle: Bundle, tmp_path: Path, name: str) -> None:
    model = onnx.load(bundle.graph)
    for node in model.graph.node:
        for names in (node.input, node.output):
            names[:] = ["other" if end == name else end for end in names]
    (end,) = model.graph.input if name == "image" else model.graph.output
    end.name = "other"
    onnx.save(model, tmp_path / "model.onnx")
    with pytest.raises(BundleError, match=r"got .*'other'"):
        Verifier(replace(bundle, path=tmp_path))


def test_files_that_differ_only_in_what_the_model_does_not_see_are_identical_to_it(
    small: Small, verifier: Verifier
) -> None:
    grey = Image.fromarray(drawing(small, 0))
    large = grey.resize((4 * grey.width, 4 * grey.height), Image.Resampling.NEAREST)
    tinted = Image.merge("RGB", (grey, grey, grey))
    assert verifier.verify(grey, tinted).reasons == ("identical to the model",)
    assert verifier.verify(grey, large.rotate(90)).reasons == ()


def test_a_graph_that_does_not_run_is_an_error(bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"no graph")
    with pytest.raises(BundleError, match="not a graph that ONNX Runtime can run"):
        Verifier(replace(bundle, path=tmp_path))


def test_loaded_by_its_folder_it_gives_the_same_scores(small: Small, bundle: Bundle, verifier: Verifier) -> None:
    again = Verifier.load(bundle.path, threads=1)
    a, b = drawing(small, 0), drawing(small, 1)
    assert again.verify(a, b) == verifier.verify(a, b)
    assert Verifier(load_bundle(str(bundle.path)), threads=2).verify(a, b).score == pytest.approx(
        verifier.verify(a, b).score, abs=1e-5
    )


def test_the_deciding_half_never_imports_torch(bundle: Bundle) -> None:
    code = f"""
import sys
import samekind.report, samekind.protocols, samekind.verifier
import numpy as np
verifier = samekind.verifier.Verifier.load({str(bundle.path)!r})
assert verifier.verify(np.zeros((9, 9)), np.ones((9, 9))).score <= 1.001
learning = {{name.partition(".")[0] for name in sys.modules}} & {{"torch", "onnx", "sklearn"}}
assert not learning, learning
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_its_runtime_keeps_no_notes_of_what_it_is_used_for(bundle: Bundle, tmp_path: Path) -> None:
    program = f"from samekind.verifier import Verifier; Verifier.load({str(bundle.path)!r})"
    home = {name: str(tmp_path) for name in ("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "TMPDIR")}
    environment = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    subprocess.run([sys.executable, "-c", program], env={**environment, **home}, check=True)
    assert list(tmp_path.iterdir()) == []
