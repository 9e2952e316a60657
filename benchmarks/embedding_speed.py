"""How fast images become embeddings on one core: ONNX Runtime, as everything here decides, over eager PyTorch.

Both start from the same 8-bit pixels, one batch at a time, in turn, with one thread each; PyTorch in inference mode,
with weights as they are loaded and with weights laid out channels last, which suits some processors better. Floor: 1.5
times eager PyTorch. Beside it, the share of the processor's peak that embedding reaches: FLOP/s of the network's
convolutions and linear layers over those of a product of two 2048 x 2048 matrices in float32, on the same core, before
and after.
"""

import copy
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from arithmetic import forward_flop, product_flops
from results import arguments, interleaved, keep, ratio, repeated
from samekind import glyphs, load_bundle
from samekind.bundle import Bundle, Provenance
from samekind.encoders import build_encoder
from samekind.export import Network, embed, load_network, write_bundle
from samekind.recipes import RECIPES
from samekind.siamese import build_head
from samekind.verifier import Verifier
from samekind.views import with_views


def untrained(name: str, folder: Path) -> Bundle:
    """A bundle of a recipe's network as it is before training."""
    recipe = RECIPES[name]
    size, channels = recipe.preprocessing.size, recipe.preprocessing.channels
    torch.manual_seed(0)
    encoder = build_encoder(recipe.encoder, size, channels, recipe.dim).eval()
    head = build_head("euclidean", recipe.dim)
    encoder = with_views(encoder, recipe.views, size=size)
    dim = recipe.dim * recipe.views
    network = Network(encoder, head, recipe.encoder, "euclidean", dim, recipe.preprocessing, recipe.views)
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
    before = product_flops(torch.float32)
    seconds = interleaved(
        {
            "onnxruntime": lambda: verifier.embed_pixels(pixels),
            "torch": lambda: embed(network, pixels),
            "torch_channels_last": lambda: embed(channels_last, pixels),
        },
        rounds=rounds,
    )
    flop = forward_flop(network.encoder, size=network.preprocessing.size, channels=network.preprocessing.channels)
    peak = (before + product_flops(torch.float32)) / 2
    one = pixels[:1]
    singles = interleaved({"onnxruntime": lambda: verifier.embed_pixels(one)}, rounds=rounds)
    return {
        "encoder": bundle.manifest.encoder,
        "views": bundle.manifest.views,
        "megabytes": sum(file.stat().st_size for file in bundle.path.iterdir() if file.is_file()) / 1e6,
        "batch": batch,
        "milliseconds_for_one_image": repeated([1e3 * s for s in singles["onnxruntime"]]),
        "flop_per_image": flop,
        "share_of_peak": {
            "one image": flop / repeated(singles["onnxruntime"]).median / peak,
            "a batch": flop * batch / repeated(seconds["onnxruntime"]).median / peak,
        },
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
    keep(given.out, figures | {"floors": {"onnxruntime_over_torch": 1.5, "share_of_peak": 0.6}})


if __name__ == "__main__":
    main()
