"""The one file that carries a collection elsewhere: how it is laid out, and whether one that came is whole.

Knows the file. Knows nothing of stores, models or decisions.

It is a ZIP file without compression and without pickle:

    gallery.json        form, model, digests of the next two
    identities.jsonl    an identity a line, with its samples
    embeddings.npy      (S, D) float32, in the order of the samples
    crops/ID.png        the picture of each sample; its digest is in the line

Nothing in it depends on when or where it was written: equal collections give equal bytes.
"""

import hashlib
import io
import json
import os
import re
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from samekind.errors import InputError, MissingDataError
from samekind.gallery.names import clean_metadata, clean_name
from samekind.gallery.pictures import damage
from samekind.gallery.records import Identity
from samekind.gallery.store import Counts, Model, StoredSample
from samekind.records import from_json

FORMAT = 1
HEADER, PEOPLE, EMBEDDINGS = "gallery.json", "identities.jsonl", "embeddings.npy"

_ID, _DIGEST = re.compile(r"[0-9a-f]{32}"), re.compile(r"[0-9a-f]{64}")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00")
_STORED = (1980, 1, 1, 0, 0, 0)  # the earliest time that ZIP knows


@dataclass(frozen=True)
class Header:
    """The content of gallery.json.

    Args:
        format: FORMAT.
        model: of the embeddings.
        digests: SHA-256 of identities.jsonl and embeddings.npy, by name.
    """

    format: int
    model: Model
    digests: dict[str, str]


@dataclass(frozen=True)
class Picture:
    """A sample as a line of identities.jsonl tells it; `crop` is the SHA-256 of its picture."""

    id: str
    digest: str
    created: str
    crop: str

    def __post_init__(self) -> None:
        if not (_ID.fullmatch(self.id) and _DIGEST.fullmatch(self.digest) and _TIME.fullmatch(self.created)):
            raise InputError("a sample whose id, digest or time is none")


@dataclass(frozen=True)
class Person:
    """A line of identities.jsonl."""

    id: str
    name: str
    metadata: dict[str, str]
    created: str
    samples: tuple[Picture, ...]

    def __post_init__(self) -> None:
        if not (_ID.fullmatch(self.id) and _TIME.fullmatch(self.created) and self.samples):
            raise InputError("an identity whose id or time is none, or without samples")
        if clean_name(self.name) != self.name or clean_metadata(self.metadata) != self.metadata:
            raise InputError(f"an identity whose name is not normalised: {self.name!r}")


def write(path: Path, model: Model, contents: Iterable[tuple[Identity, Sequence[StoredSample]]]) -> Counts:
    """Fill a file that is to become an archive.

    Args:
        path: the file, which somebody else gives its name when all went well.
        model: of the embeddings.
        contents: identities with all that is kept of them.
    Returns:
        How many identities and samples.
    """
    lines: list[str] = []
    embeddings: list[NDArray[np.float32]] = []
    with zipfile.ZipFile(path, "w") as archive:
        for identity, samples in contents:
            pictures = tuple(Picture(s.id, s.digest, s.created, _digest(s.crop)) for s in samples)
            person = Person(identity.id, identity.name, identity.metadata, identity.created, pictures)
            lines.append(json.dumps(asdict(person), ensure_ascii=False, sort_keys=True))
            for sample in samples:
                _add(archive, _crop(sample.id), sample.crop)
                embeddings.append(sample.embedding)
        files = {
            PEOPLE: "".join(f"{line}\n" for line in lines).encode(),
            EMBEDDINGS: _npy(np.stack(embeddings) if embeddings else np.empty((0, model.dim), np.float32)),
        }
        for name, content in files.items():
            _add(archive, name, content)
        header = Header(FORMAT, model, {name: _digest(content) for name, content in files.items()})
        _add(archive, HEADER, (json.dumps(asdict(header), indent=2) + "\n").encode())
    return Counts(len(lines), len(embeddings))


def is_archive(path: Path) -> bool:
    """Whether a file may be an archive; it is not read to its end."""
    if not path.is_file():  # a device may never end
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            return HEADER in archive.namelist()
    except (OSError, zipfile.BadZipFile):
        return False


class Archive:
    """An archive that was read and found whole.

    Args:
        path: the file.
    Raises:
        MissingDataError: there is no such file.
        InputError: it is no archive, or damaged, or of a newer samekind, or holds anything that an export does not.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        if path.exists() and not path.is_file():
            raise InputError(f"{path}: a folder or a device; expected a file that `samekind gallery export` wrote")
        try:
            self._file = path.open("rb")
        except FileNotFoundError:
            raise MissingDataError(f"{path}: no such file; expected one that `samekind gallery export` wrote") from None
        except OSError as error:
            raise InputError(f"{path}: cannot be read ({error.strerror})") from None
        try:
            with self._explained():
                self._zip = zipfile.ZipFile(self._file)
                self._check()
        except BaseException:
            self._file.close()
            raise

    def close(self) -> None:
        """Let go of the file."""
        self._zip.close()
        self._file.close()

    def contents(self) -> Iterator[tuple[Person, tuple[StoredSample, ...]]]:
        """Identities with all that is kept of them. Raises InputError where the file was changed meanwhile."""
        at = 0
        with self._explained():
            for person in self.people:
                embeddings = self.embeddings[at : at + len(person.samples)]
                at += len(person.samples)
                yield (
                    person,
                    tuple(
                        StoredSample(p.id, p.digest, p.created, embedding, self._picture(p))
                        for p, embedding in zip(person.samples, embeddings, strict=True)
                    ),
                )

    def _check(self) -> None:
        entries = self._zip.infolist()
        names = [entry.filename for entry in entries]
        if HEADER not in names or len(set(names)) != len(names):
            raise InputError(f"no {HEADER}, or a name twice")
        # nothing is compressed, so nothing can be larger than the file
        if (
            any(e.compress_type or e.flag_bits & 1 or e.compress_size != e.file_size for e in entries)
            or sum(e.file_size for e in entries) > os.fstat(self._file.fileno()).st_size
        ):
            raise InputError("parts that are compressed, encrypted or larger than the file")
        content = json.loads(self._zip.read(HEADER))
        if isinstance(content, dict) and content.get("format") != FORMAT:
            raise InputError(f"expected format {FORMAT}, got {content.get('format')!r}; use a fitting samekind")
        header = from_json(Header, content, HEADER)
        self.model = header.model
        lines, npy = (self._part(name, header.digests.get(name, "")) for name in (PEOPLE, EMBEDDINGS))
        self.people = tuple(
            from_json(Person, json.loads(line), f"{PEOPLE}, line {number}")
            for number, line in enumerate(lines.decode().split("\n")[:-1], 1)
        )
        pictures = [picture for person in self.people for picture in person.samples]
        if set(names) != {HEADER, PEOPLE, EMBEDDINGS, *(_crop(picture.id) for picture in pictures)}:
            raise InputError("other files than those that its identities name")
        for what, ids in (("identity", [p.id for p in self.people]), ("sample", [p.id for p in pictures])):
            if len(set(ids)) != len(ids):
                raise InputError(f"an {what} twice" if what == "identity" else f"a {what} twice")
        if len({person.name for person in self.people}) != len(self.people):
            raise InputError("a name twice")
        self.embeddings: NDArray[np.float32] = np.load(io.BytesIO(npy), allow_pickle=False)
        if self.embeddings.dtype != np.float32 or self.embeddings.shape != (len(pictures), self.model.dim):
            raise InputError(
                f"{EMBEDDINGS}: expected ({len(pictures)}, {self.model.dim}) float32, "
                f"got {self.embeddings.shape} {self.embeddings.dtype}"
            )
        if not (np.isfinite(self.embeddings).all() and self.embeddings.any(axis=1).all()):
            raise InputError(f"{EMBEDDINGS}: an embedding that is zero or not finite")
        for picture in pictures:
            if wrong := damage(self._picture(picture)):
                raise InputError(f"{_crop(picture.id)}: {wrong}")

    def _picture(self, picture: Picture) -> bytes:
        return self._part(_crop(picture.id), picture.crop)

    def _part(self, name: str, noted: str) -> bytes:
        content = self._zip.read(name)
        if _digest(content) != noted:
            raise InputError(f"{name}: its digest is not the one that was noted")
        return content

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # ZIP, JSON and NPY have errors of their own, all of which mean one thing
            raise InputError(f"{self.path}: not a whole archive of a gallery ({error}); nothing was imported") from None


def _crop(sample: str) -> str:
    return f"crops/{sample}.png"


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _npy(array: NDArray[np.float32]) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=False)
    return stream.getvalue()


def _add(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    archive.writestr(zipfile.ZipInfo(name, _STORED), content)
