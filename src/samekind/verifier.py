"""The decision: are two images of the same kind? Runs a bundle in ONNX Runtime.

Knows bundles and images. Knows nothing of training; never imports torch.
"""

import copy
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from samekind.bundle import Bundle, load_bundle
from samekind.calibration import Calibration
from samekind.certification import certify, certify_gallery
from samekind.data.labelled import LabelledImages
from samekind.errors import BundleError, InputError, NoThresholdError
from samekind.fitting import fit
from samekind.images import ImageLike, open_image
from samekind.protocols import Model, PairScorer, embedding_scorer
from samekind.quality import flaws
from samekind.similarity import combine
from samekind.tournament import impostor_scores

IDENTICAL = "identical to the model"  # after preprocessing: the files may differ in what it takes away
ACROSS = "the interval of the probability lies across the threshold"
_BATCH = 64

Embedder: TypeAlias = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""From inputs (N, C, H, W) float32, as `Preprocessing` makes them, to embeddings (N, D) float32."""


@dataclass(frozen=True)
class Decision:
    """The answer to one question.

    Args:
        same: whether query and references show the same kind of thing; None: cannot tell, and reasons say why.
        score: of the pair, or of the query and the mean of several references; larger is more alike.
        threshold: score >= threshold means same.
        probability: of "same", at the prior; in (0, 1) and no closer to either end than calibration supports.
        probability_low, probability_high: its 95 % interval, over draws of the calibration classes.
        prior: probability of "same" before the images were looked at.
        certified_fmr: the false match rate that the threshold is certified for; None where it is not certified.
        reasons: what else there is to know: why it cannot tell, or that the model sees the same numbers in the query
            and a reference.
    """

    same: bool | None
    score: float
    threshold: float
    probability: float
    probability_low: float
    probability_high: float
    prior: float
    certified_fmr: float | None
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Look:
    """An image as a model takes it.

    Args:
        pixels: (C, H, W) uint8, from `Preprocessing.pixels`.
        flaws: why nothing can be said of it.
    """

    pixels: NDArray[np.uint8]
    flaws: tuple[str, ...]


class Verifier:
    """A loaded bundle.

    Args:
        bundle: from `load_bundle`.
        threads: for one forward pass; None leaves it to ONNX Runtime.
    """

    def __init__(self, bundle: Bundle, *, threads: int | None = None) -> None:
        # its wheels note what they run in the user's cache and send it to their maker, unless told so before the import
        os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
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
        self._embedder: Embedder = self._one_by_one

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
        return self._embed([self.preprocessing(image) for image in images])

    def embed_batch(self, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
        """Embed inputs in one forward pass: (N, C, H, W) float32 -> (N, D) float32."""
        embeddings: NDArray[np.float32] = self._session.run(["embedding"], {"image": inputs})[0]
        return embeddings

    def through(self, embedder: Embedder) -> Self:
        """The same model, whose `embed` and `verify` embed by another function: a service gathers there what several
        callers ask for at the same time, and calls `embed_batch` once for all of them."""
        other = copy.copy(self)
        other._embedder = embedder
        return other

    def embed_pixels(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Embed many images that went through `Preprocessing.pixels`: (N, C, H, W) uint8 -> (N, D) float32.

        Faster than `embed`, and equal to it up to rounding: here the images of a batch share a matrix product.
        """
        starts = range(0, len(pixels), _BATCH)
        return self._stack([self.embed_batch(self.preprocessing.normalise(pixels[i : i + _BATCH])) for i in starts])

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
            NoThresholdError: the bundle holds no calibration.
        """
        _ = self.calibration  # before any work
        several = isinstance(references, (list, tuple))
        looks = [self.look(image) for image in (query, *(references if several else (references,)))]  # type: ignore[misc]
        if (count := len(looks) - 1) < 1:
            raise InputError("expected at least one reference image, got none")
        embeddings = self.embed_looks(looks)
        names = ("query", *(f"reference {number}" if count > 1 else "reference" for number in range(1, count + 1)))
        return self.judge(
            embeddings[0],
            embeddings[1:],
            doubts=[f"{name}: {flaw}" for name, look in zip(names, looks, strict=True) for flaw in look.flaws],
            identical=any(np.array_equal(looks[0].pixels, other.pixels) for other in looks[1:]),
        )

    def judge(
        self,
        query: NDArray[np.float32],
        references: NDArray[np.float32],
        *,
        doubts: Sequence[str] = (),
        identical: bool = False,
    ) -> Decision:
        """Decide on embeddings, as `verify` does on images.

        Args:
            query: (D,) float32.
            references: (R, D) float32, R >= 1.
            doubts: why nothing can be said of them.
            identical: whether the query is the same picture as one of them.
        Raises:
            NoThresholdError: the bundle holds no calibration.
        """
        calibration = self.calibration
        score, count = float(self.similarity(query, combine(references))), len(references)
        certificate = calibration.certificate(count)
        promised = certificate is not None and certificate.references == count
        if not promised and calibration.undecided(score):
            doubts = (*doubts, ACROSS)
        threshold = calibration.threshold_for(count)
        return Decision(
            same=None if doubts else score >= threshold,
            score=score,
            threshold=threshold,
            probability=calibration.probability(score),
            probability_low=calibration.probability_low(score),
            probability_high=calibration.probability_high(score),
            prior=calibration.prior,
            # with more references than were certified the threshold is the best there is, but nothing is promised
            certified_fmr=certificate.target_fmr if certificate and promised else None,
            reasons=(*doubts, *((IDENTICAL,) if identical else ())),
        )

    def look(self, image: ImageLike) -> Look:
        """Read an image, and say what is wrong with it. Raises ImageError where it cannot be read."""
        opened = open_image(image, draft=self.preprocessing.draft)  # `Preprocessing.pixels` takes it from here
        pixels = self.preprocessing.pixels(opened)
        found = flaws(opened, size=self.preprocessing.size)
        calibration = self.bundle.manifest.calibration
        if not found and calibration is not None and calibration.domain is not None:
            whole = self.preprocessing.whole.pixels(opened) if self.preprocessing.frame else pixels
            found = calibration.domain.outside(whole, invert=self.preprocessing.invert)
        return Look(pixels, found)

    def embed_looks(self, looks: Sequence[Look]) -> NDArray[np.float32]:
        """As `embed`, of images that were read: (N, D) float32."""
        return self._embed([self.preprocessing.normalise(look.pixels) for look in looks])

    @property
    def calibration(self) -> Calibration:
        """The bundle's. Raises NoThresholdError where it holds none."""
        if (calibration := self.bundle.manifest.calibration) is None:
            raise NoThresholdError(
                f"{self.bundle.path}: this model has no threshold, so it can score but not decide; "
                "train it with held-out classes (`samekind train` does) or give it one by `samekind calibrate`"
            )
        return calibration

    def scorer_of(self, data: LabelledImages) -> PairScorer:
        """Embed each image of a data set once; score any pairs of them."""
        return embedding_scorer(self.embed_pixels(data.pixels(self.preprocessing)), self.similarity)

    def calibrated(
        self,
        data: LabelledImages,
        *,
        references: Sequence[int] = (1,),
        identities: Sequence[int] = (),
        target_fmr: float | None = None,
        confidence: float = 0.95,
        prior: float = 0.5,
        rng: np.random.Generator,
    ) -> Calibration:
        """A calibration of this model on classes that it never saw.

        Args:
            data: those classes, each with at least two images, and with as many as the most references.
            references: numbers of references that decisions are made with; each gets a threshold of its own.
            identities: sizes of galleries to certify thresholds for too, each with each number of references.
            target_fmr: the false match rate to certify, and for galleries the false positive identification rate, in
                (0, 1); None: certify nothing.
            confidence: of the certificates.
            prior: at which probabilities are stated, in (0, 1).
            rng: draws pairs and impostors.
        Raises:
            InputError: an argument is out of range, or there are too few classes or images.
            UncertifiableError: these classes cannot certify the target.
        """
        if identities and target_fmr is None:
            raise InputError("expected a target FMR to certify for galleries, got none")
        pixels = data.pixels(self.preprocessing)
        score = embedding_scorer(self.embed_pixels(pixels), self.similarity)
        fitted = fit(score, data, pixels, preprocessing=self.preprocessing, prior=prior, rng=rng).calibration
        if target_fmr is None:
            return fitted
        certificates = []
        for count in references:
            found = impostor_scores(score, data.labels, references=count, rng=rng)
            certificate = certify(
                found.scores,
                found.left,
                found.right,
                target_fmr=target_fmr,
                confidence=confidence,
                references=count,
            )
            certificates.append(certificate)
        for count, enrolled in product(references, identities):  # last, so that they change no draw of the others
            certificate = certify_gallery(
                score,
                data.labels,
                identities=enrolled,
                target_fmr=target_fmr,
                confidence=confidence,
                references=count,
                rng=rng,
            )
            certificates.append(certificate)
        return replace(fitted, certificates=tuple(certificates))

    @property
    def model(self) -> Model:
        """What the protocols measure."""
        calibration = self.bundle.manifest.calibration
        if calibration is None:
            return Model(self.scorer_of)
        return Model(self.scorer_of, threshold=calibration.threshold_for(1), llr=calibration.llr)

    def _embed(self, inputs: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
        return self._embedder(np.stack(inputs)) if inputs else self._stack([])

    def _one_by_one(self, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
        return self._stack([self.embed_batch(x[None]) for x in inputs])

    def _stack(self, rows: list[NDArray[np.float32]]) -> NDArray[np.float32]:
        return np.concatenate(rows) if rows else np.empty((0, self.bundle.manifest.dim), np.float32)
