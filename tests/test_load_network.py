"""A bundle's network comes back as it went in."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from conftest import Small, network_of, provenance_of
from samekind.bundle import Bundle, load_bundle
from samekind.errors import BundleError, InputError
from samekind.export import embed, load_network, write_bundle
from samekind.images import Preprocessing
from samekind.training import Trained
from samekind.verifier import Verifier


def test_it_embeds_as_the_bundle_does(bundle: Bundle, small: Small) -> None:
    network = load_network(bundle)
    pixels = small.held_out.pixels(network.preprocessing)
    np.testing.assert_allclose(embed(network, pixels), Verifier(bundle).embed_pixels(pixels), atol=1e-5)


def test_weights_are_those_that_were_written(bundle: Bundle, trained: Trained) -> None:
    loaded, written = load_network(bundle).encoder.state_dict(), trained.encoder.state_dict()
    assert loaded.keys() == written.keys()
    assert all(loaded[name].dtype == written[name].dtype for name in written)
    assert all(torch.equal(loaded[name], written[name]) for name in written)


def test_it_says_what_the_manifest_says(bundle: Bundle, trained: Trained) -> None:
    network, written = load_network(bundle), network_of(trained)
    assert (network.encoder_name, network.head_name) == (written.encoder_name, written.head_name)
    assert (network.dim, network.preprocessing) == (written.dim, written.preprocessing)


def test_it_is_in_evaluation_mode_and_can_be_trained(bundle: Bundle) -> None:
    network = load_network(bundle)
    assert not network.encoder.training
    network.encoder(torch.rand(2, 1, 16, 16)).sum().backward()
    assert all(p.grad is not None for p in network.encoder.parameters())


def test_written_again_it_scores_the_same(bundle: Bundle, small: Small, tmp_path: Path) -> None:
    again = write_bundle(tmp_path / "again", load_network(bundle), small.held_out, provenance_of(small.train))
    pixels = small.held_out.pixels(bundle.manifest.preprocessing)
    np.testing.assert_array_equal(Verifier(again).embed_pixels(pixels), Verifier(bundle).embed_pixels(pixels))
    assert again.manifest.calibration == bundle.manifest.calibration
    assert load_bundle(again.path) == again


def test_weights_of_another_encoder_are_refused(bundle: Bundle) -> None:
    wider = dataclasses.replace(bundle, manifest=dataclasses.replace(bundle.manifest, dim=32))
    with pytest.raises(BundleError, match=r"no weights of a small encoder \(.*project.*\); train again$"):
        load_network(wider)


def test_another_input_size_is_refused(bundle: Bundle) -> None:
    manifest = dataclasses.replace(bundle.manifest, preprocessing=Preprocessing(size=32))
    with pytest.raises(BundleError, match="no weights of a small encoder"):
        load_network(dataclasses.replace(bundle, manifest=manifest))


@pytest.mark.parametrize(("views", "dim"), [(0, 16), (3, 18), (4, 18)])
def test_views_that_cannot_be_are_refused(bundle: Bundle, views: int, dim: int) -> None:
    manifest = dataclasses.replace(bundle.manifest, views=views, dim=dim)
    with pytest.raises(BundleError, match=rf"expected 1 or 4 views .*, got {views} and {dim}"):
        load_network(dataclasses.replace(bundle, manifest=manifest))


def test_an_encoder_of_someone_else_is_named(bundle: Bundle) -> None:
    manifest = dataclasses.replace(bundle.manifest, encoder="mine")
    with pytest.raises(InputError, match="unknown encoder 'mine'"):
        load_network(dataclasses.replace(bundle, manifest=manifest))


def test_damaged_weights_are_refused(bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"no weights")
    with pytest.raises(BundleError, match=r"model\.safetensors: no weights of a small encoder"):
        load_network(dataclasses.replace(bundle, path=tmp_path))
