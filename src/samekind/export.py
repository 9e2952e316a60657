"""From a trained network to a bundle and back, and the check that both decide alike before the bundle gets its name.

Knows torch, ONNX and bundles. Knows nothing of how the network was trained.
"""

import contextlib
import io
import logging
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnxscript.optimizer import fold_constants, remove_unused_nodes
from safetensors.torch import load_file
from torch import nn

from samekind import bundle as bundles
from samekind.bundle import Bundle, Manifest, Provenance
from samekind.data.labelled import LabelledImages
from samekind.encoders import build_encoder
from samekind.errors import BundleError, ExportError
from samekind.fitting import fit
from samekind.images import Preprocessing
from samekind.protocols import PairScorer
from samekind.siamese import build_head
from samekind.similarity import combine
from samekind.training import Trained
from samekind.trials import Pairs
from samekind.verifier import Verifier
from samekind.views import COUNTS, with_views

TOLERANCE = 1e-4
"""Largest difference allowed between a number of the network's embedding and of the graph's."""

SCORE_ROUNDING = 1e-5
"""Scores this close, as a share of the largest, are the same score: what `reproduce` allows as well."""

OPSET = 20


@dataclass(frozen=True, eq=False)
class Network:
    """What is exported.

    Args:
        encoder: (B, C, H, W) -> (B, D), all views together, in evaluation mode on the CPU.
        head: (..., D), (..., D) -> (...) scores.
        encoder_name, head_name: by which a bundle calls them.
        dim: embedding size D.
        preprocessing: from image to input.
        views: of an image that the encoder looks at.
    """

    encoder: nn.Module
    head: nn.Module
    encoder_name: str
    head_name: str
    dim: int
    preprocessing: Preprocessing
    views: int = 1

    @classmethod
    def of(cls, trained: Trained) -> "Network":
        """What came out of a training, with as many views as its recipe says."""
        recipe = trained.recipe
        return cls(
            encoder=with_views(trained.encoder, recipe.views, size=recipe.preprocessing.size),
            head=trained.head,
            encoder_name=recipe.encoder,
            head_name=trained.head_name,
            dim=recipe.dim * recipe.views,
            preprocessing=recipe.preprocessing,
            views=recipe.views,
        )


def write_bundle(path: Path, network: Network, held_out: LabelledImages, provenance: Provenance) -> Bundle:
    """Calibrate on held-out classes, export, check and write; nothing stays behind where a step fails.

    The weights of kernels and matrices are rounded to half precision first, in the network itself: half the bytes,
    and network, graph and stored weights are the same numbers.

    Args:
        path: the bundle's folder; an older bundle there is replaced as the last step.
        network: trained.
        held_out: classes that training never saw, each with at least two images.
        provenance: where the network comes from.
    Returns:
        The bundle, read back from disk.
    Raises:
        ExportError: the graph does not embed or decide as the network does.
        InputError: nothing was learned, there are too few held-out images, or the folder cannot be written.
    """
    bundles.refuse_other(path)
    round_weights(network.encoder)
    round_weights(network.head)
    pixels = held_out.pixels(network.preprocessing)
    embeddings = embed(network, pixels)
    score = network_scorer(network, embeddings)
    fitted = fit(score, held_out, pixels, preprocessing=network.preprocessing, rng=np.random.default_rng(0))
    with bundles.replacing(path) as folder:
        export_graph(network, folder / bundles.GRAPH)
        tensors = {f"encoder.{n}": t for n, t in network.encoder.state_dict().items()}
        tensors |= {f"head.{n}": t for n, t in network.head.state_dict().items()}
        bundles.save_weights(folder, {name: smallest(t.contiguous().numpy()) for name, t in tensors.items()})
        manifest = Manifest(
            format=bundles.FORMAT,
            encoder=network.encoder_name,
            views=network.views,
            dim=network.dim,
            head=network.head_name,
            preprocessing=network.preprocessing,
            calibration=fitted.calibration,
            provenance=provenance,
            digests={name: bundles.digest(folder / name) for name in (bundles.GRAPH, bundles.WEIGHTS)},
        )
        bundles.save_manifest(folder, manifest)
        (folder / bundles.CARD).write_text(model_card(path.name, manifest), encoding="utf-8")
        verifier = Verifier(bundles.load_bundle(folder))
        check_parity(verifier, pixels, fitted.pairs, embeddings=embeddings, scores=fitted.scores)
    return bundles.load_bundle(path)


def load_network(bundle: Bundle) -> Network:
    """The network of a bundle, to train on or to look into; `write_bundle` takes it back.

    Args:
        bundle: from `load_bundle`.
    Returns:
        The network in evaluation mode on the CPU, float32. It embeds as the bundle's graph does, up to rounding.
    Raises:
        InputError: the encoder is none that samekind builds by name.
        MissingExtraError: the encoder is of a library that is not installed.
        BundleError: the weights are damaged or of another encoder, or the number of views is none of ours.
    """
    manifest, preprocessing = bundle.manifest, bundle.manifest.preprocessing
    side, views = preprocessing.size, manifest.views
    if views not in COUNTS or manifest.dim % views:
        raise BundleError(
            f"{bundle.path / bundles.MANIFEST}: expected {' or '.join(map(str, COUNTS))} views that share the "
            f"embedding's numbers evenly, got {views} and {manifest.dim}; use a newer samekind"
        )
    encoder = with_views(
        build_encoder(manifest.encoder, side, preprocessing.channels, manifest.dim // views), views, size=side
    )
    head = build_head(manifest.head, manifest.dim)
    network = nn.ModuleDict({"encoder": encoder, "head": head}).eval()
    path = bundle.path / bundles.WEIGHTS
    try:
        network.load_state_dict(load_file(path))  # into float32, also what is stored in half
    except Exception as error:  # of the file's format, or a list of names and shapes that do not fit
        reason = " ".join(str(error).split())
        raise BundleError(f"{path}: no weights of a {manifest.encoder} encoder ({reason}); train again") from None
    return Network(encoder, head, manifest.encoder, manifest.head, manifest.dim, preprocessing, views)


def round_weights(module: nn.Module) -> None:
    """Round kernels and matrices to numbers that half precision holds, in place; norms and biases stay as they are."""
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.ndim > 1:
                rounded = parameter.half()
                if not rounded.isfinite().all():
                    raise ExportError("a weight is beyond half precision (65504); train with more weight decay")
                parameter.copy_(rounded.float())


def embed(network: Network, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(N, C, H, W) uint8 -> (N, D) float32, by the network itself."""
    rows = [np.empty((0, network.dim), np.float32)]
    with torch.inference_mode():
        for at in range(0, len(pixels), 256):
            inputs = torch.from_numpy(network.preprocessing.normalise(pixels[at : at + 256]))
            rows.append(network.encoder(inputs).numpy())
    return np.concatenate(rows)


def network_scorer(network: Network, embeddings: NDArray[np.float32]) -> PairScorer:
    """Scores of pairs of embeddings (N, D) by the network's own head; several references count by one embedding."""

    def score(left: NDArray[np.int64], right: NDArray[np.int64]) -> NDArray[np.float32]:
        blocks = []
        with torch.inference_mode():
            for at in range(0, len(left), 1024):
                of_left, of_right = embeddings[left[at : at + 1024]], embeddings[right[at : at + 1024]]
                references = of_right if right.ndim == 1 else combine(of_right)
                blocks.append(network.head(torch.from_numpy(of_left), torch.from_numpy(references)).numpy())
        return np.concatenate(blocks)

    return score


def export_graph(network: Network, path: Path) -> None:
    """Write the encoder as an ONNX graph whose batch size is free and whose large weights are stored in half."""
    side, channels = network.preprocessing.size, network.preprocessing.channels
    example = (torch.zeros(2, channels, side, side),)
    noise = io.StringIO()  # the exporter prints its progress
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings(), contextlib.redirect_stdout(noise), contextlib.redirect_stderr(noise):
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            network.encoder,
            example,
            dynamo=True,
            opset_version=OPSET,
            input_names=["image"],
            output_names=["embedding"],
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            optimize=False,  # it would fold batch norms into the rounded weights; a runtime does so when it loads
            verbose=False,
        )
    if program is None:
        raise ExportError("the exporter gave no graph")
    # biases that the exporter computes become constants: only then does a runtime merge norms into convolutions
    fold_constants(program.model)
    remove_unused_nodes(program.model)
    graph = program.model_proto
    halve(graph)
    onnx.checker.check_model(graph)
    onnx.save(graph, path)


def smallest(weights: NDArray[np.generic]) -> NDArray[np.generic]:
    """The same numbers in half precision, where they are float32 of two axes or more and it holds each exactly."""
    if weights.dtype != np.float32 or weights.ndim < 2:
        return weights
    with np.errstate(over="ignore"):  # what is too large becomes infinite, and so is not the same
        half = weights.astype(np.float16)
    return half if np.array_equal(half, weights) else weights


def halve(model: onnx.ModelProto) -> None:
    """Store the weights that `round_weights` rounded in half precision and cast them back in the graph, in place.

    A runtime folds the casts when it loads the graph, so that this costs no time in a decision.
    """
    graph = model.graph
    for tensor in graph.initializer:
        name, values = tensor.name, numpy_helper.to_array(tensor)
        stored = smallest(values)
        if stored.dtype != values.dtype:
            tensor.CopyFrom(numpy_helper.from_array(stored, f"{name}.half"))
            graph.node.insert(0, helper.make_node("Cast", [f"{name}.half"], [name], to=TensorProto.FLOAT))
    graph.ClearField("value_info")  # says nothing that a runtime does not infer, and names this machine's files
    for node in graph.node:
        node.ClearField("metadata_props")
        node.ClearField("doc_string")


def check_parity(
    verifier: Verifier,
    pixels: NDArray[np.uint8],
    pairs: Pairs,
    *,
    embeddings: NDArray[np.float32],
    scores: NDArray[np.float32],
) -> None:
    """Compare the graph with the network on held-out images.

    Args:
        verifier: of the bundle.
        pixels: (N, C, H, W) uint8.
        pairs: of those images.
        embeddings: (N, D) float32, the network's.
        scores: (P,) float32, the network's.
    Raises:
        ExportError: an embedding differs by more than TOLERANCE, or a decision is another one by more than rounding.
    """
    found = verifier.embed_pixels(pixels)
    difference = float(np.abs(found - embeddings).max())
    if not difference <= TOLERANCE:
        raise ExportError(f"embeddings of graph and network differ by {difference:.2e}; expected <= {TOLERANCE}")
    threshold = verifier.model.threshold
    if threshold is None:
        return
    again = verifier.similarity(found[pairs.left], found[pairs.right])
    # in double precision, as `verify` and the protocols compare: NumPy would round the threshold to the scores' own
    differ = (again.astype(np.float64) >= threshold) != (scores.astype(np.float64) >= threshold)
    # scores that are equal but for rounding may lie on two sides of a threshold: that is no other decision
    apart = np.abs(again - scores) > SCORE_ROUNDING * np.abs(scores).max()
    flipped = int((differ & apart).sum())
    if flipped:
        raise ExportError(f"graph and network decide {flipped} of {len(scores)} held-out pairs differently")


def model_card(name: str, manifest: Manifest) -> str:
    """The bundle's README: what the model is, what it was trained on and what its threshold is from."""
    p, c, pre = manifest.provenance, manifest.calibration, manifest.preprocessing
    colour = "grey" if pre.channels == 1 else "RGB"
    framed = f", a square {pre.frame:g} times the box of the ink" if pre.frame else ""
    views = "" if manifest.views == 1 else f" on {manifest.views} views of an image"
    lines = [
        f"# {name}",
        "",
        "A samekind bundle: decides whether two images show the same kind of thing.",
        "",
        "| | |",
        "| --- | --- |",
        f"| encoder | {manifest.encoder}{views}, {manifest.dim} numbers an embedding, compared by {manifest.head} |",
        f"| input | {pre.size} x {pre.size}, {colour}{', inverted' if pre.invert else ''}{framed} |",
        f"| trained on | {p.images} images of {p.classes} classes of {p.data} |",
        f"| data fingerprint | `{p.data_fingerprint}` |",
        f"| loss | {p.loss} |",
        f"| training | {p.steps} steps, {p.images_seen} images seen, {p.seconds / 60:.1f} minutes on {p.device} |",
        f"| seed | {p.seed} |",
        f"| version | samekind {p.version} |",
        f"| command | `{p.command}` |",
    ]
    if c is not None:
        lines += bundles.calibration_rows(c)
    return "\n".join(lines) + "\n"
