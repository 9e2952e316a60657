"""What a change of a gallery is: the rules of enrolling, undoing, removing and embedding anew.

Knows rows, within a transaction that somebody else opens and ends. Knows nothing of models or engines.

Rules: a name is unique; an identity has at least one sample and goes with its last; no identity holds an image twice;
what comes in one go is undone in one go, and metadata that it replaced come back.
"""

import datetime
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from samekind.errors import GalleryError, InputError, NotEnrolledError
from samekind.gallery.names import normal
from samekind.gallery.records import Identity, Sample
from samekind.gallery.rows import Rows
from samekind.gallery.store import Model, StoredSample


@dataclass(frozen=True)
class Enrolled:
    """What was written.

    Args:
        id: of the enrolment; None where nothing was new.
        identity: as it is now.
        samples: those that are new.
    """

    id: str | None
    identity: Identity
    samples: tuple[Sample, ...]


def enroll(
    rows: Rows,
    name: str,
    samples: Sequence[StoredSample],
    *,
    model: Model,
    metadata: Mapping[str, str] | None = None,
    identity: str | None = None,
    new: Identity | None = None,
) -> Enrolled:
    """Add samples to an identity, and make it where it is new.

    Args:
        rows: of a writing transaction.
        name: as `names.clean_name` gives it.
        samples: those that the identity holds already, and those given twice, are left out.
        model: that made the embeddings.
        metadata: in place of what is noted, as `names.clean_metadata` gives it; None leaves that.
        identity: id of the one that must be there; then the name means nothing.
        new: as what it is made where it is new; its number of samples means nothing. None: with an id of its own.
    Raises:
        NotEnrolledError: there is no such identity.
        InputError: a new identity has no sample.
        GalleryError: the collection is another model's.
    """
    refuse_other(rows, model)
    found = rows.find(name) if identity is None else get(rows, identity)
    held = {sample.digest for sample in rows.samples(found.id)} if found else set()
    first = {sample.digest: sample for sample in reversed(samples)}
    added = [first[digest] for digest in dict.fromkeys(sample.digest for sample in samples) if digest not in held]
    changed = metadata is not None and (found is None or dict(metadata) != found.metadata)
    if found is None and not added:
        raise InputError(f"expected at least one image of {name}, got none")
    if found and not added and not changed:
        return Enrolled(None, found, ())
    id, created = new_id(), now()
    earlier = None
    if found is None:
        found = new or Identity(new_id(), name, dict(metadata or {}), 0, created)
        rows.add_identity(found)
    elif metadata is not None and changed:
        earlier = found.metadata
        rows.set_metadata(found.id, metadata)
    rows.add_event(id, found.id, added, created=created, earlier=earlier)
    kept = tuple(Sample(sample.id, found.id, sample.digest, sample.created) for sample in added)
    return Enrolled(id, get(rows, found.id), kept)


def undo(rows: Rows, enrolment: str) -> int:
    """Take back what came in one go; an identity without samples goes too. Returns how many samples were removed.

    Raises:
        NotEnrolledError: there is no such enrolment, or it was undone.
    """
    event = rows.event(enrolment)
    if event is None:
        raise NotEnrolledError(f"no enrolment {enrolment}; it may be undone already, or its identity removed")
    if len(event.samples) == get(rows, event.identity).samples:
        rows.drop_identity(event.identity)
        return len(event.samples)
    if event.samples:
        rows.drop_samples(event.identity, event.samples)
    if event.earlier is not None and not event.superseded:
        rows.set_metadata(event.identity, event.earlier)
    rows.drop_event(event)
    return len(event.samples)


def remove(rows: Rows, identities: Sequence[str]) -> None:
    """Remove identities with all that belongs to them. Raises NotEnrolledError where one is not there."""
    for identity in identities:
        rows.drop_identity(get(rows, identity).id)


def remove_sample(rows: Rows, sample: str) -> None:
    """Remove one sample; an identity goes with its last. Raises NotEnrolledError where it is not there."""
    found = rows.sample(sample)
    if found is None:
        raise NotEnrolledError(f"no sample {sample} is enrolled")
    if get(rows, found.identity).samples == 1:
        rows.drop_identity(found.identity)
    else:
        rows.drop_samples(found.identity, [sample])


def get(rows: Rows, identity: str) -> Identity:
    """The identity of an id. Raises NotEnrolledError where there is none."""
    found = rows.identity(identity)
    if found is None:
        raise NotEnrolledError(f"no identity {identity} is enrolled")
    return found


def find(rows: Rows, name: str) -> Identity:
    """The identity of a name. Raises NotEnrolledError where there is none."""
    found = rows.find(normal(name))
    if found is None:
        raise NotEnrolledError(f"nobody is enrolled as {name}; `samekind gallery list` names those who are")
    return found


def refuse_other(rows: Rows, model: Model) -> None:
    """Raise GalleryError where the collection is not this model's."""
    held = rows.state().model
    if held != model:
        raise GalleryError(
            f"this collection was embedded by the bundle {held.fingerprint[:12]}, not by {model.fingerprint[:12]}: use "
            "that one, or embed all of it anew by `samekind gallery reembed`"
        )


def new_id() -> str:
    """32 hexadecimal digits that nobody has had before."""
    return secrets.token_hex(16)


def now() -> str:
    """ISO 8601 in UTC, to the second."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
