"""How fast images become embeddings on one core: ONNX Runtime, as everything here decides, over eager PyTorch.

Both start from the same 8-bit pixels, one batch at a time, in turn, with one thread each; PyTorch in inference mode,
with weights as they are loaded and with weights laid out channels last, which suits some processors better. Floor: 1.5
times eager PyTorch.
"""

import copy
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from record import arguments, interleaved, keep, ratio, repeated
from samekind import glyphs, load_bundle
from samekind.bundle import Bundle, Provenance
from samekind.encoders import build_encoder
from samekind.export import Network, embed, load_network, write_bundle
from samekind.recipes import RECIPES
from samekind.siamese import build_head
from samekind.verifier import Verifier


def untrained(name: str, folder: Path) -> Bundle:
    """A bundle of a recipe's network as it is before training."""
    recipe = RECIPES[name]
    size, channels = recipe.preprocessing.size, recipe.preprocessing.channels
    torch.manual_seed(0)
    encoder = build_encoder(recipe.encoder, size, channels, recipe.dim).eval()
    head = build_head("euclidean", recipe.dim)
    network = Network(encoder, head, recipe.encoder, "euclidean", recipe.dim, recipe.preprocessing)
    nowhere = Provenance("untrained", "none", "none", "none", 0, (), 0, "none", 0, 0, 0.0, "none", 0)
    return write_bundle(folder / f"untrained-{name}", network, glyphs(60, 20), nowhere)


def compare(bundle: Bundle, *, batch: int, rounds: int) -> dict[str, object]:
    """Images a second by each way, and the ratios."""
    verifier, network = Verifier(bundle, threads=1), load_network(bundle)
    encoder = copy.deepcopy(network.encoder)
    encoder.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch declares it for tensors only
    channels_last = replace(network, encoder=encoder)
    shape = (batch, network.preprocessing.channels, network.preprocessing.size, network.preprocessing.size)
    pixels = np.random.default_rng(0).integers(256, size=shape, dtype=np.uint8)
    seconds = interleaved(
        {
            "onnxruntime": lambda: verifier.embed_pixels(pixels),
            "torch": lambda: embed(network, pixels),
            "torch_channels_last": lambda: embed(channels_last, pixels),
        },
        rounds=rounds,
    )
    return {
        "encoder": bundle.manifest.encoder,
        "batch": batch,
        "images_per_second": {name: repeated([batch / s for s in values]) for name, values in seconds.items()},
        "onnxruntime_over_torch": ratio(seconds["torch"], seconds["onnxruntime"]),
        "onnxruntime_over_torch_channels_last": ratio(seconds["torch_channels_last"], seconds["onnxruntime"]),
    }


def main() -> None:
    parser = arguments(__file__, __doc__)
    parser.add_argument("bundles", nargs="*", default=["omniglot"], help="bundles to measure")
    parser.add_argument("--untrained", nargs="*", default=["small", "residual"], help="recipes to measure as well")
    parser.add_argument("--batch", type=int, default=32, help="images a batch, at most 64")
    parser.add_argument("--rounds", type=int, default=100, help="batches timed each way")
    given = parser.parse_args()
    torch.set_num_threads(1)
    figures: dict[str, object] = {}
    for name in given.bundles:
        figures[Path(name).name] = compare(load_bundle(name), batch=given.batch, rounds=given.rounds)
    with tempfile.TemporaryDirectory() as folder:
        for name in given.untrained:
            bundle = untrained(name, Path(folder))
            figures[bundle.path.name] = compare(bundle, batch=given.batch, rounds=given.rounds)
    keep(given.out, figures | {"floors": {"onnxruntime_over_torch": 1.5}})


if __name__ == "__main__":
    main()
