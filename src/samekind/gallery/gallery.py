"""Enrolled identities of one collection, and who of them an image shows: a model and a store together.

Knows images, the model and the store. Knows nothing of commands or HTTP.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self

from samekind.errors import EnrolmentRefusedError, InputError, NotEnrolledError
from samekind.gallery import transactions
from samekind.gallery.examination import problems
from samekind.gallery.identification import Match, decide
from samekind.gallery.intake import Taken, embed, listed, read, take
from samekind.gallery.names import clean_metadata, clean_name
from samekind.gallery.records import Enrolment, Identification, Identity, Sample
from samekind.gallery.reembedding import model_of, reembed
from samekind.gallery.rivals import concerns_of
from samekind.gallery.rows import Rows
from samekind.gallery.search import Search
from samekind.gallery.store import Counts, Store, StoredSample, open_store
from samekind.images import ImageLike
from samekind.verifier import Decision, Verifier


@dataclass(frozen=True, eq=False)
class _Present:
    """The model that the collection is of, exchanged as a whole."""

    verifier: Verifier
    search: Search


class Gallery:
    """One collection of identities, embedded by one model. Safe to be used from several threads and processes.

    Args:
        store: from `open_store`; closed with the gallery.
        verifier: the model that embedded all that is in it.
    Raises:
        GalleryError: the collection is another model's.
    """

    def __init__(self, store: Store, verifier: Verifier) -> None:
        self.store = store
        self._present = _present(store, verifier)
        with store.reading() as rows:
            self._present.search.warm(rows)

    @classmethod
    def open(
        cls,
        where: str | os.PathLike[str],
        verifier: Verifier,
        *,
        collection: str = "default",
        create: bool = True,
    ) -> Self:
        """Open a collection.

        Args:
            where: a file (SQLite), or a URL `postgresql://...`.
            verifier: the model that embedded all that is in it.
            collection: its name.
            create: make database and collection where they are missing.
        Raises:
            MissingDataError: they are missing, and not to be made.
            GalleryError: the database cannot be opened, or the collection is another model's.
            MissingExtraError: the extra `postgres` is not installed.
        """
        founding = model_of(verifier) if create else None
        store = open_store(where, collection, founding=founding)
        try:
            return cls(store, verifier)
        except BaseException:
            store.close()
            raise

    @property
    def verifier(self) -> Verifier:
        """The model."""
        return self._present.verifier

    @property
    def search(self) -> Search:
        """What finds the most alike."""
        return self._present.search

    def enroll(
        self,
        name: str,
        images: Sequence[ImageLike],
        *,
        metadata: Mapping[str, str] | None = None,
        strict: bool = False,
    ) -> Enrolment:
        """Enroll a new identity, or more images of one.

        It is on disk when this returns, whole, or nothing of it is.

        Args:
            name: 1 to 200 characters, none of them a control or invisible character; any of the same letters is the
                same name.
            images: of it; those that it holds already are skipped.
            metadata: whatever there is to note; replaces what was noted. None leaves that.
            strict: refuse where the guard has concerns; else they are only told.
        Raises:
            ImageError: an image cannot be read.
            InputError: name or metadata are not as they must be, or a new identity has no image.
            EnrolmentRefusedError: the guard has concerns, under `strict`.
            GalleryError: the store cannot be written, or the collection is another model's by now.
        """
        cleaned = clean_name(name)
        noted = None if metadata is None else clean_metadata(metadata)
        with self.store.reading() as rows:
            held = _held(rows, rows.find(cleaned))
        return self._enroll(cleaned, held, listed(images), metadata=noted, strict=strict)

    def add(self, identity_id: str, images: Sequence[ImageLike], *, strict: bool = False) -> Enrolment:
        """Enroll more images of an identity. As `enroll`; raises NotEnrolledError where it is not there."""
        with self.store.reading() as rows:
            found = transactions.get(rows, identity_id)
            held = _held(rows, found)
        return self._enroll(found.name, held, listed(images), strict=strict, identity=identity_id)

    def undo(self, enrolment_id: str) -> int:
        """Take back what one call of `enroll` or `add` did.

        Returns:
            How many samples were removed. An identity without samples goes too; metadata that were replaced come back.
        Raises:
            NotEnrolledError: there is no such enrolment.
        """
        with self.store.writing() as rows:
            return transactions.undo(rows, enrolment_id)

    def identify(self, image: ImageLike, *, top: int = 5) -> Identification:
        """Who of those enrolled an image shows.

        Args:
            image: a path, encoded bytes, a PIL image or an array.
            top: how many candidates to name at most, >= 1.
        Raises:
            ImageError: the image cannot be read.
            NoThresholdError: the bundle holds no calibration.
            GalleryError: the store cannot be read, or the collection is another model's by now.
        """
        if top < 1:
            raise InputError(f"expected to name at least 1 candidate, got {top}")
        present = self._present
        calibration = present.verifier.calibration
        taken = take(read(image), present.verifier)
        (query,) = embed([taken], present.verifier)
        with self.store.reading() as rows:
            hits = present.search.search(rows, query, max(top, 2), calibration=calibration)
            named = dict(rows.by_keys(hits.keys))
        scores = dict(zip(hits.keys.tolist(), hits.scores.tolist(), strict=True))
        return decide(
            calibration,
            [Match(found.id, found.name, scores[key], found.samples) for key, found in named.items()],
            others=hits.others,
            identities=hits.identities,
            references=hits.references,
            flaws=taken.look.flaws,
            reachable=float(present.verifier.similarity(query, query)),
            top=top,
        )

    def verify(self, image: ImageLike, identity_id: str) -> Decision:
        """Decide whether an image shows one enrolled identity, as `Verifier.verify` does with its images.

        Raises:
            ImageError: the image cannot be read.
            NotEnrolledError: the identity is not there.
            NoThresholdError: the bundle holds no calibration.
        """
        verifier = self._present.verifier
        taken = take(read(image), verifier)
        (query,) = embed([taken], verifier)
        with self.store.reading() as rows:
            transactions.refuse_other(rows, model_of(verifier))
            transactions.get(rows, identity_id)
            references = rows.embedded(rows.keys([identity_id])).embeddings
        return verifier.judge(
            query,
            references,
            doubts=[f"query: {flaw}" for flaw in taken.look.flaws],
            identical=bool((references == query).all(axis=1).any()),
        )

    def identities(self, *, after: str | None = None, limit: int = 100, search: str = "") -> tuple[Identity, ...]:
        """Those enrolled, in the order of their names (by code point).

        Args:
            after: only names behind this one; the last of one call, to go on.
            limit: how many at most, >= 1.
            search: only names that hold this text, in upper or lower case.
        """
        if limit < 1:
            raise InputError(f"expected a limit of at least 1, got {limit}")
        with self.store.reading() as rows:
            return rows.identities(after=after, limit=limit, search=search)

    def find(self, name: str) -> Identity:
        """The identity of a name. Raises NotEnrolledError where there is none."""
        with self.store.reading() as rows:
            return transactions.find(rows, name)

    def identity(self, identity_id: str) -> Identity:
        """The identity of an id. Raises NotEnrolledError where there is none."""
        with self.store.reading() as rows:
            return transactions.get(rows, identity_id)

    def samples(self, identity_id: str) -> tuple[Sample, ...]:
        """Of an identity, in the order of enrolment. Raises NotEnrolledError where it is not there."""
        with self.store.reading() as rows:
            return rows.samples(transactions.get(rows, identity_id).id)

    def crop(self, sample_id: str) -> bytes:
        """The picture of a sample, PNG. Raises NotEnrolledError where it is not there."""
        with self.store.reading() as rows:
            if (found := rows.crop(sample_id)) is None:
                raise NotEnrolledError(f"no sample {sample_id} is enrolled")
            return found

    def remove(self, identity_id: str) -> None:
        """Remove an identity; its name, metadata, pictures and embeddings are then in none of the store's files.

        Where somebody reads them for long, traces stay: a warning is logged, and `check` says until when.

        Raises:
            NotEnrolledError: it is not there.
        """
        with self.store.writing() as rows:
            transactions.remove(rows, [identity_id])

    def remove_sample(self, sample_id: str) -> None:
        """Remove a sample, and its identity with the last. Raises NotEnrolledError where it is not there."""
        with self.store.writing() as rows:
            transactions.remove_sample(rows, sample_id)

    def check(self) -> tuple[str, ...]:
        """What is wrong with the store or with what it holds, in words; nothing where all is whole."""
        return problems(self.store)

    def reembed(self, verifier: Verifier) -> int:
        """Embed all samples anew by another model, from their crops, in one transaction.

        Returns:
            How many samples. Afterwards the collection, and this gallery, are that model's.
        """
        count = reembed(self.store, verifier)
        present = _present(self.store, verifier)
        with self.store.reading() as rows:
            present.search.warm(rows)
        self._present = present
        return count

    def counts(self) -> Counts:
        """How many identities and samples there are."""
        with self.store.reading() as rows:
            return rows.counts()

    def close(self) -> None:
        """Let go of the store."""
        self.store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _enroll(
        self,
        name: str,
        held: set[str],
        images: Sequence[ImageLike],
        *,
        strict: bool,
        metadata: dict[str, str] | None = None,
        identity: str | None = None,
    ) -> Enrolment:
        present = self._present
        fresh: dict[str, tuple[int, Taken]] = {}
        for at, image in enumerate(images):
            source = read(image)
            if source.digest not in held and source.digest not in fresh:
                fresh[source.digest] = at, take(source, present.verifier)
        positions = [at for at, _ in fresh.values()]
        taken = [one for _, one in fresh.values()]
        embeddings = embed(taken, present.verifier)
        with self.store.reading() as rows:
            raised = concerns_of(
                rows, present.search, name, taken=taken, embeddings=embeddings, verifier=present.verifier
            )
        concerns = tuple(replace(concern, image=positions[concern.image]) for concern in raised)
        if concerns and strict:
            said = "; ".join(f"image {concern.image + 1}: {concern.text}" for concern in concerns)
            raise EnrolmentRefusedError(f"{name}: nothing was enrolled: {said}", concerns=concerns)
        created = transactions.now()
        samples = [
            StoredSample(transactions.new_id(), one.digest, created, embedding, one.crop)
            for one, embedding in zip(taken, embeddings, strict=True)
        ]
        with self.store.writing() as rows:
            done = transactions.enroll(
                rows, name, samples, model=present.search.model, metadata=metadata, identity=identity
            )
        new = {fresh[sample.digest][0] for sample in done.samples}
        skipped = tuple(at for at in range(len(images)) if at not in new)
        return Enrolment(done.id, done.identity, done.samples, skipped, concerns)


def _present(store: Store, verifier: Verifier) -> _Present:
    return _Present(verifier, Search(store, model_of(verifier), verifier.similarity))


def _held(rows: Rows, identity: Identity | None) -> set[str]:
    """Digests of the images that an identity holds."""
    return set() if identity is None else {sample.digest for sample in rows.samples(identity.id)}
