"""From a collection to a file and back: written whole or not at all, read only where all of it is whole.

Knows stores and archives. Knows nothing of models or images.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from samekind.errors import InputError
from samekind.gallery.archive import Archive, is_archive, write
from samekind.gallery.files import beginning, settle
from samekind.gallery.records import Identity
from samekind.gallery.reembedding import everybody
from samekind.gallery.store import Store, StoredSample
from samekind.gallery.transactions import enroll, new_id


@dataclass(frozen=True)
class Exported:
    """What an archive holds."""

    path: Path
    identities: int
    samples: int


@dataclass(frozen=True)
class Imported:
    """What an import did.

    Args:
        identities: of the archive.
        added: samples that are new here.
        skipped: samples whose image was held already.
        enrolments: to undo them by, one for each identity that gained anything.
    """

    identities: int
    added: int
    skipped: int
    enrolments: tuple[str, ...]


def export(store: Store, where: str | os.PathLike[str]) -> Exported:
    """Write a collection, as it is at one moment, to a file.

    Args:
        store: holds it.
        where: the file; an archive that is there is replaced as the last step.
    Raises:
        InputError: there is something else at that place, or it cannot be written.
    """
    path = Path(where)
    if path.exists() and not is_archive(path):
        raise InputError(f"{path}: exists and is no archive of a gallery; choose another file")
    with store.reading() as rows, _replacing(path) as part:
        contents = ((identity, rows.contents(identity.id)) for identity in everybody(rows))
        written = write(part, rows.state().model, contents)
    return Exported(path, written.identities, written.samples)


def load(store: Store, archive: Archive) -> Imported:
    """Add what an archive holds to a collection, in one transaction.

    Identities are the same where their names are. One that is new comes as it was, with ids and times where those are
    free; one that is there gains the samples whose images it does not hold, and keeps its metadata.

    Args:
        store: the collection.
        archive: of the same model.
    Raises:
        GalleryError: the collection is another model's.
        InputError: the archive was changed since it was checked.
    """
    added, total, enrolments = 0, 0, []
    with store.writing() as rows:
        for person, samples in archive.contents():
            taken = rows.used([person.id, *(sample.id for sample in samples)])
            done = enroll(
                rows,
                person.name,
                [_renamed(sample, taken) for sample in samples],
                model=archive.model,
                new=Identity(
                    new_id() if person.id in taken else person.id, person.name, person.metadata, 0, person.created
                ),
            )
            added, total = added + len(done.samples), total + len(samples)
            enrolments += [done.id] if done.id else []
    return Imported(len(archive.people), added, total - added, tuple(enrolments))


def _renamed(sample: StoredSample, taken: frozenset[str]) -> StoredSample:
    if sample.id not in taken:
        return sample
    return StoredSample(new_id(), sample.digest, sample.created, sample.embedding, sample.crop)


@contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    """A file beside `path`, readable by its owner only, that takes its name when all went well."""
    try:
        part = beginning(path)
        try:
            yield part
            settle(part, path, replace=True)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror or error}); choose another file") from None
