"""From a network to a bundle: both decide alike, or nothing is written."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from safetensors.numpy import load_file
from torch import Tensor, nn

from conftest import TINY, Small, network_of, provenance_of, train_small
from samekind import bundle as bundles
from samekind import export
from samekind.bundle import CARD, GRAPH, WEIGHTS, Bundle, load_bundle
from samekind.data.labelled import LabelledImages
from samekind.encoders import KochEncoder, build_encoder
from samekind.errors import ExportError, InputError
from samekind.export import (
    TOLERANCE,
    Network,
    check_parity,
    embed,
    network_scorer,
    round_weights,
    smallest,
    write_bundle,
)
from samekind.images import Preprocessing
from samekind.recipes import RECIPES
from samekind.siamese import WeightedL1Head, build_head
from samekind.training import Trained
from samekind.trials import Pairs, balanced_pairs
from samekind.verifier import Verifier


def some_pairs(data: LabelledImages) -> Pairs:
    return balanced_pairs(data, pairs=1000, impostors="any", rng=np.random.default_rng(1))


def write(path: Path, network: Network, small: Small) -> Bundle:
    return write_bundle(path, network, small.held_out, provenance_of(small.train))


def untrained(encoder: nn.Module | None = None, *, channels: int = 1) -> Network:
    torch.manual_seed(0)
    preprocessing = Preprocessing(size=16) if channels == 1 else Preprocessing.for_photos(16)
    made = encoder or build_encoder("small", 16, channels, 16)
    return Network(made.eval(), build_head("cosine", 16), "small", "cosine", 16, preprocessing)


def nothing_in(folder: Path) -> bool:
    return os.listdir(folder) == []


def test_graph_and_network_agree(small: Small, trained: Trained, bundle: Bundle) -> None:
    network, verifier = network_of(trained), Verifier(bundle)
    pixels, pairs = small.held_out.pixels(network.preprocessing), some_pairs(small.held_out)
    expected = embed(network, pixels)
    found = verifier.embed_pixels(pixels)
    assert expected.shape == found.shape == (160, 16)
    assert np.abs(found - expected).max() < TOLERANCE == 1e-4
    threshold = verifier.model.threshold
    assert threshold is not None
    decided = network_scorer(network, expected)(pairs.left, pairs.right) >= threshold
    np.testing.assert_array_equal(verifier.similarity(found[pairs.left], found[pairs.right]) >= threshold, decided)
    assert 0.1 < decided.mean() < 0.9, "there is something to decide"


def test_the_batch_size_of_the_graph_is_free(small: Small, bundle: Bundle) -> None:
    verifier = Verifier(bundle)
    pixels = small.held_out.pixels(verifier.preprocessing)
    for batch in (1, 2, 3, 7, 64):
        assert verifier.embed_pixels(pixels[:batch]).shape == (batch, 16)


def test_the_same_scores_to_the_last_bit_after_loading(small: Small, bundle: Bundle) -> None:
    pixels = small.held_out.pixels(bundle.manifest.preprocessing)
    first, again = (Verifier(load_bundle(bundle.path), threads=1).embed_pixels(pixels) for _ in range(2))
    np.testing.assert_array_equal(first, again)


def test_stored_weights_are_those_of_the_network(trained: Trained, bundle: Bundle) -> None:
    stored = load_file(bundle.path / WEIGHTS)
    state = {f"encoder.{name}": value.numpy() for name, value in trained.encoder.state_dict().items()}
    assert set(stored) == set(state)
    for name, value in state.items():
        np.testing.assert_array_equal(stored[name], value)
        assert stored[name].shape == value.shape
        assert (stored[name].dtype == np.float16) == (value.ndim > 1)


def test_the_graph_stores_large_weights_in_half(bundle: Bundle) -> None:
    weights = onnx.load(bundle.path / GRAPH).graph.initializer
    large = [
        w for w in weights if len(w.dims) > 1 and w.data_type in (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16)
    ]
    assert len(large) == 5
    assert all(w.data_type == onnx.TensorProto.FLOAT16 for w in large)


def test_the_threshold_is_from_the_held_out_classes(small: Small, bundle: Bundle) -> None:
    calibration = bundle.manifest.calibration
    assert calibration is not None
    assert (calibration.classes, calibration.data) == (20, "glyphs")
    assert calibration.pairs == 2 * 20 * 28
    assert bundle.manifest.provenance == provenance_of(small.train)


def test_the_card_tells_what_the_model_is(bundle: Bundle) -> None:
    text = (bundle.path / CARD).read_text()
    manifest = bundle.manifest
    assert manifest.calibration is not None
    for fact in (
        "# tiny",
        "small, 16 numbers an embedding, compared by cosine",
        "16 x 16, grey, inverted",
        "320 images of 40 classes of glyphs",
        manifest.provenance.data_fingerprint,
        "| loss | supcon |",
        "60 steps, 3840 images seen, 0.0 minutes on a test machine",
        f"{manifest.calibration.threshold:.4f}, from 1120 pairs of 20 held-out classes",
        "none: made by the tests",
    ):
        assert fact in text


def test_a_model_without_a_threshold_has_a_card() -> None:
    from samekind.bundle import Manifest, Provenance

    provenance = Provenance("1", "c", "d", "f", 1, ("a", "b"), 3, "l", 4, 5, 6.0, "e", 7)
    manifest = Manifest(1, "small", 1, 8, "cosine", Preprocessing.for_photos(32), None, provenance, {})
    text = export.model_card("x", manifest)
    assert "threshold" not in text
    assert "32 x 32, RGB |" in text


def test_an_older_bundle_is_replaced(small: Small, bundle: Bundle, tmp_path: Path) -> None:
    path = Path(shutil.copytree(bundle.path, tmp_path / "bundle"))
    (path / "stray").write_text("")
    second = write(path, network_of(train_small(small, steps=30)), small)
    assert second.fingerprint != bundle.fingerprint
    assert load_bundle(path) == second
    assert not (path / "stray").exists()
    assert os.listdir(tmp_path) == ["bundle"]


def test_what_is_no_bundle_is_not_replaced(small: Small, trained: Trained, tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("")
    for path in (tmp_path, tmp_path / "precious"):
        with pytest.raises(InputError, match="exists and is no bundle; choose another --out"):
            write(path, network_of(trained), small)
    assert os.listdir(tmp_path) == ["precious"]


@pytest.mark.slow
def test_kochs_network_with_its_learned_head(small: Small, tmp_path: Path) -> None:
    recipe = replace(RECIPES["koch"], preprocessing=Preprocessing(size=65), dim=12)
    torch.manual_seed(0)
    encoder = KochEncoder(65, 1, 12).eval()
    for parameter in encoder.parameters():  # as wide as trained ones, so that there is something to decide
        if parameter.ndim == 4:
            nn.init.kaiming_normal_(parameter)
    head = WeightedL1Head(12)
    nn.init.constant_(head.weight, -1.5)
    nn.init.constant_(head.bias, 0.75)
    network = Network(encoder, head, "koch", "weighted-l1", 12, recipe.preprocessing)
    made = write(tmp_path / "koch", network, small)
    verifier = Verifier(load_bundle(made.path))
    a, b = small.held_out.items[0], small.held_out.items[1]
    with torch.inference_mode():
        z = encoder(torch.from_numpy(np.stack([recipe.preprocessing(a), recipe.preprocessing(b)])))
        expected = float(head(z[0], z[1]))
    assert verifier.verify(a, b).score == pytest.approx(expected, abs=1e-4)
    assert verifier.verify(a, a).score == 0.75
    assert load_file(made.path / WEIGHTS)["head.bias"].shape == ()


def test_colour_and_a_module_of_ones_own(small: Small, tmp_path: Path) -> None:
    own = nn.Sequential(nn.Conv2d(3, 4, 3, stride=2), nn.GELU(), nn.Flatten(), nn.Linear(4 * 49, 16))
    made = write(tmp_path / "own", untrained(own, channels=3), small)
    assert Verifier(made).embed([np.zeros((9, 9, 3), np.uint8)]).shape == (1, 16)


# It lets go of nothing that decides otherwise.


def test_weights_that_change_after_the_export_are_found(
    small: Small, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    network = untrained()
    real = export.export_graph

    def planted(network: Network, path: Path) -> None:
        with torch.no_grad():
            next(network.encoder.parameters()).mul_(-1)
        real(network, path)

    monkeypatch.setattr(export, "export_graph", planted)
    with pytest.raises(ExportError, match=r"embeddings of graph and network differ by .* expected <= 0.0001"):
        write(tmp_path / "bundle", network, small)
    assert nothing_in(tmp_path)


@pytest.mark.slow
def test_an_encoder_that_forgets_itself_is_found(small: Small, tmp_path: Path) -> None:
    """One left in training mode: its dropout answers differently each time."""
    network = untrained(nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(256, 16)))
    network.encoder.train()
    with pytest.raises((ExportError, InputError), match=r"differ by|nothing was learned"):
        write(tmp_path / "bundle", network, small)
    assert nothing_in(tmp_path)


def test_a_flipped_decision_is_found(small: Small, trained: Trained, bundle: Bundle) -> None:
    network, verifier = network_of(trained), Verifier(bundle)
    pixels, pairs = small.held_out.pixels(network.preprocessing), some_pairs(small.held_out)
    z = embed(network, pixels)
    scores = network_scorer(network, z)(pairs.left, pairs.right)
    check_parity(verifier, pixels, pairs, embeddings=z, scores=scores)
    calibration = bundle.manifest.calibration
    assert calibration is not None
    again = verifier.scorer_of(small.held_out)(pairs.left, pairs.right)
    on_the_line = replace(calibration, intercept=-calibration.slope * float(again[0]))  # its threshold is that score
    manifest = replace(bundle.manifest, calibration=on_the_line)
    rounded = scores.copy()
    rounded[0] = again[0] - np.float32(1e-6)  # on the other side of the threshold, by rounding alone
    check_parity(Verifier(replace(bundle, manifest=manifest)), pixels, pairs, embeddings=z, scores=rounded)
    scores[:2] = calibration.threshold - np.sign(scores[:2] - calibration.threshold)
    with pytest.raises(ExportError, match="decide 2 of 1000 held-out pairs differently"):
        check_parity(verifier, pixels, pairs, embeddings=z, scores=scores)
    z[3, 5] += 2 * TOLERANCE
    with pytest.raises(ExportError, match=r"differ by 2\.0"):
        check_parity(verifier, pixels, pairs, embeddings=z, scores=scores)
    z[3, 5] = np.nan
    with pytest.raises(ExportError, match="differ by nan"):
        check_parity(verifier, pixels, pairs, embeddings=z, scores=scores)


class Far(nn.Module):
    """Gives genuine pairs a lower score than impostors."""

    def forward(self, z1: Tensor, z2: Tensor) -> Tensor:
        return -nn.functional.cosine_similarity(z1, z2, dim=-1)


def test_a_network_that_learned_nothing_is_not_written(small: Small, trained: Trained, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nothing was learned"):
        write(tmp_path / "bundle", replace(network_of(trained), head=Far()), small)
    assert nothing_in(tmp_path)


def test_too_few_held_out_images_are_an_error(small: Small, trained: Trained, tmp_path: Path) -> None:
    for kept in (np.arange(0), np.arange(1), np.arange(8)):
        with pytest.raises(InputError, match="expected genuine and impostor pairs to be possible"):
            write(tmp_path / "bundle", network_of(trained), replace(small, held_out=small.held_out.take(kept)))
    assert nothing_in(tmp_path)


@contextmanager
def disk_of(size: int) -> Iterator[None]:
    """No file may grow beyond this many bytes; writing more fails as on a full disk."""
    resource = pytest.importorskip("resource", reason="no limits of this kind on this system")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_a_full_disk_leaves_nothing(small: Small, trained: Trained, tmp_path: Path) -> None:
    with disk_of(100), pytest.raises(InputError, match="bundle: cannot be written") as caught:
        write(tmp_path / "bundle", network_of(trained), small)
    assert "\n" not in str(caught.value)
    assert nothing_in(tmp_path)


def test_weights_that_do_not_fit_the_disk_leave_nothing(bundle: Bundle, tmp_path: Path) -> None:
    with (
        disk_of(100),
        pytest.raises(InputError, match="new: cannot be written"),
        bundles.replacing(tmp_path / "new") as f,
    ):
        bundles.save_weights(f, {"x": np.zeros(1000)})
    assert nothing_in(tmp_path)


# Half precision.


def test_rounded_weights_are_those_that_half_precision_holds() -> None:
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 4))
    before = [p.detach().clone() for p in network.parameters()]
    round_weights(network)
    for old, new in zip(before, network.parameters(), strict=True):
        assert torch.equal(new, old.half().float() if old.ndim > 1 else old)
        assert new.dtype == torch.float32


def test_a_weight_beyond_half_precision_is_an_error() -> None:
    network = nn.Linear(2, 2)
    nn.init.constant_(network.weight, 1e6)
    with pytest.raises(ExportError, match="beyond half precision"):
        round_weights(network)


def test_only_numbers_that_half_precision_holds_are_stored_so() -> None:
    exact = np.array([[0.5, -3.0]], dtype=np.float32)
    assert smallest(exact).dtype == np.float16
    for kept in (exact[0], exact.astype(np.float64), exact + np.float32(1e-6), exact * np.float32(1e6)):
        assert smallest(kept) is kept
    assert TINY.dim == 16
