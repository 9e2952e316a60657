"""What a gallery says of what it holds.

Knows names, numbers and times. Knows nothing of models, images or where they are kept.
"""

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

Answer: TypeAlias = Literal["found", "nobody", "cannot tell"]
ConcernKind: TypeAlias = Literal["same image", "looks like another", "unlike its identity", "poor image"]


@dataclass(frozen=True)
class Identity:
    """Somebody or something that is enrolled.

    Args:
        id: 32 hexadecimal digits, for ever its own.
        name: unique in its collection; 1 to 200 characters, none of them a control or invisible character.
        metadata: whatever its owner noted.
        samples: how many images stand for it.
        created: ISO 8601 in UTC, to the second.
    """

    id: str
    name: str
    metadata: dict[str, str]
    samples: int
    created: str


@dataclass(frozen=True)
class Sample:
    """One enrolled image.

    Args:
        id: 32 hexadecimal digits.
        identity: the id of whose image it is.
        digest: SHA-256 of the image as it was given, in hexadecimal.
        created: ISO 8601 in UTC, to the second.
    """

    id: str
    identity: str
    digest: str
    created: str


@dataclass(frozen=True)
class PastEnrolment:
    """What came in one go, and can be undone.

    Args:
        id: 32 hexadecimal digits, to undo it by.
        created: ISO 8601 in UTC, to the second.
        samples: how many are left of it.
    """

    id: str
    created: str
    samples: int


@dataclass(frozen=True)
class Concern:
    """What the guard has to say against an image that is enrolled.

    Args:
        kind: of concern.
        image: position of the image among those given, from 0.
        text: for a person.
        other: the name of the identity that it looks like, or that holds the same image; None for other kinds.
    """

    kind: ConcernKind
    image: int
    text: str
    other: str | None = None


@dataclass(frozen=True)
class Enrolment:
    """What one call of `enroll` did.

    Args:
        id: 32 hexadecimal digits, to undo it by; None where nothing was enrolled.
        identity: as it is now.
        samples: those that are new.
        skipped: positions of the given images that this identity holds already.
        concerns: of the guard.
    """

    id: str | None
    identity: Identity
    samples: tuple[Sample, ...]
    skipped: tuple[int, ...] = ()
    concerns: tuple[Concern, ...] = ()


@dataclass(frozen=True)
class Candidate:
    """An identity that a query may show.

    Args:
        id, name: of the identity.
        score: of the query and the mean of the identity's samples; larger is more alike.
        probability: that the query shows it, given that it shows one of those enrolled with probability `prior` and
            nobody else with the rest; the probabilities of all identities and of nobody add up to 1 before each is
            capped at 1 - 1 / (calibration classes + 2).
        samples: how many images stand for it.
    """

    id: str
    name: str
    score: float
    probability: float
    samples: int


@dataclass(frozen=True)
class Identification:
    """Who a query shows.

    Args:
        answer: "found": the first candidate; "nobody": none passes the threshold; "cannot tell": reasons say why.
        candidates: the most alike identities, best first.
        threshold: a score from which a candidate of so many identities counts as found.
        identities: how many were searched.
        prior: probability that the query shows somebody enrolled, before it was looked at.
        certified_fpir: the false positive identification rate that the threshold is certified for (ISO/IEC 19795-1);
            None where it is not certified.
        reasons: why it cannot tell, and what else there is to know.
    """

    answer: Answer
    candidates: tuple[Candidate, ...]
    threshold: float
    identities: int
    prior: float
    certified_fpir: float | None
    reasons: tuple[str, ...] = field(default=())
