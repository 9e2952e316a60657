"""What there is to say against an image that is about to be enrolled.

Knows embeddings, scores and the calibration. Knows nothing of files or stores: who else is enrolled it is told.

Four concerns: the same image again; an image that looks like another identity's; one unlike its own identity's others;
a poor image. Each rule is a ratio of likelihoods, as is the decision, so that it means the same for every model; the
ratios were chosen on classes held out of training (`benchmarks/guard.py`).
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from samekind.calibration import CLEAR_ODDS, Calibration
from samekind.errors import InputError
from samekind.gallery.records import Concern
from samekind.similarity import Similarity, combine

Embeddings: TypeAlias = NDArray[np.float32]

Likelihood: TypeAlias = Callable[[Embeddings, Embeddings], float]
"""Of a query (D,) and the embeddings (S, D) of one identity: the log-likelihood ratio of "the same", unbounded."""

RIVAL_ODDS = 10.0
"""Another identity must be so many times as likely as an image's own before it is named."""

_SAME = 1e-4  # of its length: closer embeddings are of one picture, up to the rounding of a batch


@dataclass(frozen=True, eq=False)
class Rival:
    """The identity that an image resembles most, among all but its own.

    Args:
        name: of it.
        embeddings: (S, D) float32, of its samples, S >= 1.
    """

    name: str
    embeddings: Embeddings


@dataclass(frozen=True, eq=False)
class Entry:
    """One image that is about to be enrolled.

    Args:
        embedding: (D,) float32.
        digest: SHA-256 of the file.
        flaws: why nothing can be said of it, from `quality`; then its likeness is not judged.
        holders: names of other identities that hold the same file.
        rival: None where nobody else is enrolled.
    """

    embedding: Embeddings
    digest: str
    flaws: tuple[str, ...] = ()
    holders: tuple[str, ...] = ()
    rival: Rival | None = None


def concerns(
    entries: Sequence[Entry],
    *,
    name: str,
    own: Embeddings,
    identities: int,
    rival: Rival | None = None,
    calibration: Calibration,
    similarity: Similarity,
) -> tuple[Concern, ...]:
    """What there is to say against images of one identity.

    Args:
        entries: the images, without those that the identity holds already.
        name: of the identity.
        own: (S, D) float32, embeddings of the samples that it has; S = 0 where it is new.
        identities: how many others are enrolled.
        rival: of a new identity: who resembles all its images together most, by their combined embedding.
        calibration, similarity: of the model.
    Returns:
        Concerns in the order of the images; of two images one may be wrong, then both are named.
    Raises:
        InputError: embeddings are not of one size.
    """
    if any(entry.embedding.shape != own.shape[1:] for entry in entries):
        raise InputError(f"expected embeddings {own.shape[1:]}, got {[entry.embedding.shape for entry in entries]}")

    def llr(query: Embeddings, embeddings: Embeddings) -> float:
        """Of "the query is of those", by the mean of their embeddings."""
        return calibration.slope * float(similarity(query, combine(embeddings))) + calibration.intercept

    found = [concern for at in range(len(entries)) for concern in _same(entries, at, name, own)]
    repeated = {concern.image for concern in found}
    found += [
        Concern("poor image", at, f"{flaw}; nothing can be told by it")
        for at, entry in enumerate(entries)
        for flaw in entry.flaws
    ]
    judged = [at for at, entry in enumerate(entries) if not entry.flaws and at not in repeated]
    for at in judged:
        others = np.concatenate([own, *(entries[i].embedding[None] for i in judged if i != at)])
        if len(others):
            found += _astray(entries[at], at, name, others, llr)
    if judged and rival is not None and not len(own):
        # stricter than a search, where many are new; but more evidence than calibration can give is not waited for
        least = min(math.log(max(identities, 1)), calibration.bound)
        together = combine(np.stack([entries[at].embedding for at in judged]))
        if llr(together, rival.embeddings) >= least:
            nearest = max(judged, key=lambda at: llr(entries[at].embedding, rival.embeddings))
            if not any((c.image, c.other) == (nearest, rival.name) for c in found):
                text = f"it looks like {rival.name}, who is enrolled already"
                found.append(Concern("looks like another", nearest, text, other=rival.name))
    return tuple(sorted(found, key=lambda concern: concern.image))


def _same(entries: Sequence[Entry], at: int, name: str, own: Embeddings) -> list[Concern]:
    """Whether the image is there already: by its file, or by what the model sees of it."""
    entry = entries[at]
    earlier = [e for e in entries[:at] if e.digest == entry.digest or _holds(e.embedding[None], entry.embedding)]
    holders = list(entry.holders)
    if earlier or _holds(own, entry.embedding):
        holders.append(name)
    if entry.rival is not None and entry.rival.name not in holders and _holds(entry.rival.embeddings, entry.embedding):
        holders.append(entry.rival.name)
    return [
        Concern("same image", at, f"the same image is enrolled for {holder} already", other=holder)
        for holder in holders
    ]


def _astray(entry: Entry, at: int, name: str, others: Embeddings, llr: Likelihood) -> list[Concern]:
    """Whether the image belongs to another identity rather than to its own, and whether it is unlike its own others."""
    own = llr(entry.embedding, others)
    found = []
    if entry.rival is not None:
        other = llr(entry.embedding, entry.rival.embeddings)
        if other >= 0 and other - own >= math.log(RIVAL_ODDS):
            text = f"it looks like {entry.rival.name}: {_times(other - own)} as likely as {name}"
            found.append(Concern("looks like another", at, text, other=entry.rival.name))
    if -own >= math.log(CLEAR_ODDS):
        text = f"it does not look like the other images of {name}: {_times(-own)} as likely to show something else"
        found.append(Concern("unlike its identity", at, text))
    return found


def _holds(embeddings: Embeddings, wanted: Embeddings) -> bool:
    distances = np.linalg.norm(embeddings - wanted, axis=-1)
    return bool((distances <= _SAME * np.linalg.norm(wanted)).any())


def _times(odds: float) -> str:
    """Of a logarithm: "12 times", and no more than a person can imagine."""
    return f"{math.exp(odds):.0f} times" if odds < math.log(1_000) else "more than 1,000 times"
