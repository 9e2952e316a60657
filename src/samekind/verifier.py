"""The decision: are two images of the same kind? Runs a bundle in ONNX Runtime.

Knows bundles and images. Knows nothing of training; never imports torch.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from samekind.bundle import Bundle, load_bundle
from samekind.data.labelled import LabelledImages
from samekind.errors import BundleError, InputError, NoThresholdError
from samekind.images import ImageLike
from samekind.protocols import Model, PairScorer, embedding_scorer
from samekind.similarity import combine

IDENTICAL = "identical to the model"  # after preprocessing: the files may differ in what it takes away
_BATCH = 64


@dataclass(frozen=True)
class Decision:
    """The answer to one question.

    Args:
        same: whether query and references show the same kind of thing.
        score: of the pair, or the mean over several references; larger is more alike.
        threshold: score >= threshold means same.
        probability: of "same", where both answers are equally likely beforehand; in [0, 1].
        reasons: what else there is to know, e.g. that the model sees the same numbers in the query and a reference.
    """

    same: bool
    score: float
    threshold: float
    probability: float
    reasons: tuple[str, ...] = ()


class Verifier:
    """A loaded bundle.

    Args:
        bundle: from `load_bundle`.
        threads: for one forward pass; None leaves it to ONNX Runtime.
    """

    def __init__(self, bundle: Bundle, *, threads: int | None = None) -> None:
        import onnxruntime

        self.bundle = bundle
        self.preprocessing = bundle.manifest.preprocessing
        self.similarity = bundle.similarity()
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3  # its warnings mean nothing to a user of samekind
        if threads is not None:
            options.intra_op_num_threads = threads
        try:
            self._session = onnxruntime.InferenceSession(str(bundle.graph), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime has no base class for its errors
            raise BundleError(f"{bundle.graph}: not a graph that ONNX Runtime can run ({error})") from None
        side, channels = self.preprocessing.size, self.preprocessing.channels
        expected = [("image", [channels, side, side]), ("embedding", [bundle.manifest.dim])]
        ends = [(end.name, end.shape[1:]) for end in (*self._session.get_inputs(), *self._session.get_outputs())]
        if ends != expected:
            raise BundleError(f"{bundle.graph}: expected a graph {expected} as the manifest says, got {ends}")

    @classmethod
    def load(cls, name: str | os.PathLike[str] = "omniglot", *, threads: int | None = None) -> Self:
        """Load a bundle by the name of a shipped one or by its folder.

        Raises:
            MissingDataError: there is no such bundle.
            BundleError: it is incomplete or damaged.
        """
        return cls(load_bundle(name), threads=threads)

    def embed(self, images: Sequence[ImageLike]) -> NDArray[np.float32]:
        """Embed images, each on its own, so that none depends on its neighbours.

        Args:
            images: N paths, encoded bytes, PIL images or arrays, of any size and mode.
        Returns:
            (N, D) float32.
        Raises:
            ImageError: an image cannot be read.
        """
        return self._embed_each([self.preprocessing(image) for image in images])

    def embed_pixels(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Embed many images that went through `Preprocessing.pixels`: (N, C, H, W) uint8 -> (N, D) float32.

        Faster than `embed`, and equal to it up to rounding: here the images of a batch share a matrix product.
        """
        starts = range(0, len(pixels), _BATCH)
        return self._stack([self._run(self.preprocessing.normalise(pixels[i : i + _BATCH])) for i in starts])

    def verify(self, query: ImageLike, references: ImageLike | Sequence[ImageLike]) -> Decision:
        """Decide whether the query shows the same kind of thing as the references.

        Args:
            query: a path, encoded bytes, a PIL image or an array.
            references: one such image or several of one class.
        Returns:
            The decision; the same when query and a single reference are exchanged.
        Raises:
            ImageError: an image cannot be read.
            InputError: there is no reference.
            NoThresholdError: the bundle holds no threshold.
        """
        calibration = self.bundle.manifest.calibration
        if calibration is None:
            raise NoThresholdError(
                f"{self.bundle.path}: this model has no threshold, so it can score but not decide; "
                "train it with held-out classes (`samekind train` does) to get one"
            )
        several = isinstance(references, (list, tuple))
        inputs = [self.preprocessing(image) for image in (query, *(references if several else (references,)))]  # type: ignore[misc]
        if len(inputs) < 2:
            raise InputError("expected at least one reference image, got none")
        embeddings = self._embed_each(inputs)
        score = float(combine(self.similarity(embeddings[:1], embeddings[1:])))
        identical = any(np.array_equal(inputs[0], other) for other in inputs[1:])
        return Decision(
            same=score >= calibration.threshold,
            score=score,
            threshold=calibration.threshold,
            probability=calibration.probability(score),
            reasons=(IDENTICAL,) if identical else (),
        )

    def scorer_of(self, data: LabelledImages) -> PairScorer:
        """Embed each image of a data set once; score any pairs of them."""
        return embedding_scorer(self.embed_pixels(data.pixels(self.preprocessing)), self.similarity)

    @property
    def model(self) -> Model:
        """What the protocols measure."""
        calibration = self.bundle.manifest.calibration
        if calibration is None:
            return Model(self.scorer_of)
        return Model(self.scorer_of, threshold=calibration.threshold, llr=calibration.llr)

    def _embed_each(self, inputs: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
        return self._stack([self._run(x[None]) for x in inputs])

    def _run(self, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
        embeddings: NDArray[np.float32] = self._session.run(["embedding"], {"image": inputs})[0]
        return embeddings

    def _stack(self, rows: list[NDArray[np.float32]]) -> NDArray[np.float32]:
        return np.concatenate(rows) if rows else np.empty((0, self.bundle.manifest.dim), np.float32)
