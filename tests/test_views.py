"""Several views of one image: each in its pose, embedded side by side."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from conftest import Small, provenance_of
from samekind.encoders import SmallEncoder
from samekind.errors import InputError
from samekind.export import Network, embed, load_network, write_bundle
from samekind.siamese import CosineHead
from samekind.training import Trained
from samekind.verifier import Verifier
from samekind.views import COUNTS, VIEWS, SelfEnsemble, with_views


class Pixels(nn.Module):
    """An encoder whose embedding is the image itself."""

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1)


def drawing(size: int = 16) -> Tensor:
    """A stroke that is another one in each of the eight poses; round enough to bear a small warp."""
    y, x = np.mgrid[:size, :size] / (size - 1) * 2 - 1
    ink = np.exp(-8 * ((x - 0.3) ** 2 + (y + 0.2) ** 2)) + np.exp(-8 * ((x + 0.4) ** 2 + (y - 0.35) ** 2)) / 2
    return torch.from_numpy(ink.astype(np.float32))[None, None]


def test_each_view_shows_the_pose_that_it_names() -> None:
    image = drawing()
    seen = SelfEnsemble(Pixels(), 16)(image).reshape(len(VIEWS), 16, 16) * math.sqrt(len(VIEWS))
    poses = {
        (turns, m): torch.rot90(image.flip(3) if m else image, turns, (2, 3))[0, 0]
        for turns in range(4)
        for m in (0, 1)
    }
    for picture, (turns, mirrored, *_) in zip(seen, VIEWS, strict=True):
        distances = {pose: float((picture - of_pose).square().sum()) for pose, of_pose in poses.items()}
        assert min(distances, key=lambda pose: distances[pose]) == (turns, int(mirrored))


def test_the_cosine_is_the_mean_of_the_views_cosines() -> None:
    torch.manual_seed(0)
    encoder = SmallEncoder(16, dim=8).eval()
    x = torch.rand(5, 1, 16, 16)
    together = SelfEnsemble(encoder, 16).eval()(x)
    assert together.shape == (5, 8 * len(VIEWS))
    each = together.reshape(5, len(VIEWS), 8) * math.sqrt(len(VIEWS))
    mean = torch.stack([CosineHead()(each[:1, v], each[:, v]) for v in range(len(VIEWS))]).mean(dim=0)
    torch.testing.assert_close(CosineHead()(together[:1], together), mean)


def test_an_image_is_embedded_alike_in_any_company() -> None:
    torch.manual_seed(0)
    network = SelfEnsemble(SmallEncoder(16, dim=8), 16).eval()
    x = torch.rand(5, 1, 16, 16)
    torch.testing.assert_close(network(x)[2:3], network(x[2:3]))


def test_one_view_is_the_encoder_itself_and_other_counts_are_refused() -> None:
    encoder = SmallEncoder(16)
    assert with_views(encoder, 1, size=16) is encoder
    assert not with_views(encoder.eval(), 4, size=16).training
    with pytest.raises(InputError, match="expected 1 or 4 views, got 3"):
        with_views(encoder, 3, size=16)


def test_a_bundle_of_several_views_embeds_as_its_network_does(
    small: Small, trained: Trained, tmp_path_factory: pytest.TempPathFactory
) -> None:
    encoder = with_views(trained.encoder, COUNTS[-1], size=16)
    network = Network(encoder, trained.head, "small", trained.head_name, 16 * 4, trained.recipe.preprocessing, 4)
    bundle = write_bundle(
        tmp_path_factory.mktemp("views") / "several", network, small.held_out, provenance_of(small.train)
    )
    assert (bundle.manifest.views, bundle.manifest.dim) == (4, 64)
    pixels = small.held_out.pixels(network.preprocessing)[:20]
    found = Verifier(bundle).embed_pixels(pixels)
    np.testing.assert_allclose(found, embed(load_network(bundle), pixels), atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
