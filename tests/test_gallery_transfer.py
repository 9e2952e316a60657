"""A collection goes into a file and comes out as it was; what is not whole goes nowhere."""

import hashlib
import io
import json
import stat
import zipfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from samekind.errors import GalleryError, InputError, MissingDataError
from samekind.gallery.archive import Archive
from samekind.gallery.names import clean_name
from samekind.gallery.store import Counts, Model, Store, StoredSample, open_store
from samekind.gallery.transactions import enroll, find, new_id, now, remove, undo
from samekind.gallery.transfer import Imported, export, load

MODEL = Model("f" * 64, "cosine", 4)
Parts = dict[str, bytes]


def picture(number: int) -> bytes:
    stream = io.BytesIO()
    Image.new("L", (8, 8), number % 256).save(stream, "PNG")
    return stream.getvalue()


def sample(number: int) -> StoredSample:
    return StoredSample(
        new_id(), f"{number:064x}", now(), np.full(4, number + 1, np.float32) / np.float32(7), picture(number)
    )


def add(store: Store, name: str, *numbers: int, metadata: dict[str, str] | None = None) -> None:
    with store.writing() as rows:
        enroll(rows, name, [sample(number) for number in numbers], model=MODEL, metadata=metadata)


def fresh(folder: Path, name: str = "gallery.db") -> Store:
    return open_store(folder / name, founding=MODEL)


def take_in(store: Store, path: Path) -> Imported:
    with closing(Archive(path)) as archive:
        return load(store, archive)


def digests(store: Store, name: str) -> list[int]:
    with store.reading() as rows:
        return [int(s.digest, 16) for s in rows.samples(find(rows, name).id)]


def counts(store: Store) -> Counts:
    with store.reading() as rows:
        return rows.counts()


@pytest.fixture
def filled(tmp_path: Path) -> Store:
    store = fresh(tmp_path)
    add(store, "Ann", 1, 2, metadata={"line\u2028break": 'a "quoted"\r\n\x85 text'})
    add(store, "Bob/ñ 日本", 3)
    return store


@pytest.fixture
def archive(filled: Store, tmp_path: Path) -> Path:
    return export(filled, tmp_path / "archive.zip").path


NAMES = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), min_size=1, max_size=20).filter(
    lambda name: bool(name.strip())
)


@settings(max_examples=12)
@given(people=st.dictionaries(NAMES, st.lists(st.integers(0, 60), min_size=1, max_size=4), max_size=5))
def test_what_goes_in_comes_out(people: dict[str, list[int]], tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("transfer")
    store, other = fresh(folder), fresh(folder, "other.db")
    for name, numbers in people.items():
        add(store, clean_name(name), *numbers, metadata={name: name})
    done = export(store, folder / "one.zip")
    taken = take_in(other, folder / "one.zip")
    assert (taken.identities, taken.added, taken.skipped) == (done.identities, done.samples, 0)
    export(other, folder / "two.zip")
    assert (folder / "one.zip").read_bytes() == (folder / "two.zip").read_bytes()
    again = take_in(other, folder / "one.zip")
    assert (again.added, again.skipped, again.enrolments) == (0, done.samples, ())
    store.close()
    other.close()


def test_importing_merges_by_name_and_image(filled: Store, archive: Path, tmp_path: Path) -> None:
    other = fresh(tmp_path, "other.db")
    add(other, "Ann", 2, 9, metadata={"mine": "kept"})
    done = take_in(other, archive)
    assert (done.identities, done.added, done.skipped) == (2, 2, 1)
    assert digests(other, "Ann") == [2, 9, 1]
    with other.reading() as rows:
        assert find(rows, "Ann").metadata == {"mine": "kept"}
    with other.writing() as rows:
        assert sum(undo(rows, enrolment) for enrolment in done.enrolments) == 2
    assert counts(other) == Counts(1, 2)


def test_importing_into_another_collection_of_the_same_file(filled: Store, archive: Path, tmp_path: Path) -> None:
    second = open_store(tmp_path / "gallery.db", "second", founding=MODEL)
    assert take_in(second, archive).added == 3
    assert counts(second) == counts(filled) == Counts(2, 3)
    with second.reading() as rows, filled.reading() as others:
        assert find(rows, "Ann").id != find(others, "Ann").id
        assert find(rows, "Ann").created == find(others, "Ann").created


def test_a_removed_identity_comes_back_as_it_was(filled: Store, archive: Path) -> None:
    with filled.reading() as rows:
        before = find(rows, "Ann")
    with filled.writing() as rows:
        remove(rows, [before.id])
    take_in(filled, archive)
    with filled.reading() as rows:
        assert find(rows, "Ann") == before


def test_another_models_collection_takes_nothing(archive: Path, tmp_path: Path) -> None:
    other = open_store(tmp_path / "other.db", founding=Model("e" * 64, "cosine", 4))
    with pytest.raises(GalleryError, match="embedded by the bundle eeeeeeeeeeee"):
        take_in(other, archive)
    assert counts(other) == Counts(0, 0)


def test_an_archive_is_for_its_owner_and_replaces_only_archives(filled: Store, archive: Path, tmp_path: Path) -> None:
    assert stat.S_IMODE(archive.stat().st_mode) == 0o600
    export(filled, archive)
    foreign = tmp_path / "letter.txt"
    foreign.write_text("dear")
    for place in (foreign, tmp_path, Path("/dev/full")):
        with pytest.raises(InputError, match="exists and is no archive"):
            export(filled, place)
    assert foreign.read_text() == "dear"
    with pytest.raises(InputError, match="cannot be written"):
        export(filled, tmp_path / "none" / "archive.zip")
    assert not list(tmp_path.glob(".*.part"))


def parts_of(path: Path) -> Parts:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def write(path: Path, parts: Parts, *, compression: int = zipfile.ZIP_STORED, header: bool = True) -> None:
    """Parts as an archive, with the digests that fit."""
    if header:
        content = json.loads(parts["gallery.json"])
        content["digests"] = {
            name: hashlib.sha256(parts[name]).hexdigest() for name in ("identities.jsonl", "embeddings.npy")
        }
        parts = {**parts, "gallery.json": json.dumps(content).encode()}
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in parts.items():
            archive.writestr(name, data)


def edit_line(parts: Parts, **changes: object) -> None:
    """The first identity's line, with these values in it."""
    first, *rest = parts["identities.jsonl"].decode().split("\n")
    parts["identities.jsonl"] = "\n".join([json.dumps({**json.loads(first), **changes}), *rest]).encode()


def first_crop(parts: Parts) -> str:
    return next(name for name in parts if name.startswith("crops/"))


def npy(array: np.ndarray[tuple[int, ...], np.dtype[np.generic]], *, pickled: bool = False) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=pickled)
    return stream.getvalue()


BROKEN: dict[str, Callable[[Parts], object]] = {
    "a picture of other bytes": lambda p: p.update({first_crop(p): picture(200)}),
    "a picture missing": lambda p: p.pop(first_crop(p)),
    "one file more": lambda p: p.update({"crops/../../evil.png": b"x"}),
    "an absolute path": lambda p: p.update({"/etc/evil": b"x"}),
    "no identities": lambda p: p.pop("identities.jsonl"),
    "a pickle": lambda p: p.update({"embeddings.npy": npy(np.array([{}] * 3), pickled=True)}),
    "embeddings of another size": lambda p: p.update({"embeddings.npy": npy(np.ones((3, 5), np.float32))}),
    "embeddings of another type": lambda p: p.update({"embeddings.npy": npy(np.ones((3, 4)))}),
    "embeddings that are not finite": lambda p: p.update({"embeddings.npy": npy(np.full((3, 4), np.nan, np.float32))}),
    "no JSON": lambda p: p.update({"gallery.json": b"{"}),
    "a newer format": lambda p: p.update({"gallery.json": p["gallery.json"].replace(b'"format": 1', b'"format": 9')}),
    "an unknown key": lambda p: edit_line(p, more=1),
    "a name with a line break": lambda p: edit_line(p, name="a\nb"),
    "a name that is another's": lambda p: edit_line(p, name="Bob/ñ 日本"),
    "a name that is not normalised": lambda p: edit_line(p, name="A\u0308"),
    "an id that is a path": lambda p: edit_line(p, id="../" * 10),
    "metadata of numbers": lambda p: edit_line(p, metadata={"a": 1}),
    "no samples": lambda p: edit_line(p, samples=[]),
    "a line without an end": lambda p: p.update({"identities.jsonl": p["identities.jsonl"].rstrip(b"\n")}),
}


@pytest.mark.parametrize("how", BROKEN)
def test_what_is_not_whole_is_refused_and_nothing_is_imported(how: str, archive: Path, tmp_path: Path) -> None:
    parts = parts_of(archive)
    BROKEN[how](parts)
    bad = tmp_path / "bad.zip"
    write(bad, parts, header="identities.jsonl" in parts and parts["gallery.json"] != b"{")
    other = fresh(tmp_path, "other.db")
    with pytest.raises(InputError, match="not a whole archive of a gallery") as refused:
        take_in(other, bad)
    assert "\n" not in str(refused.value)
    assert counts(other) == Counts(0, 0)
    assert not (tmp_path.parent / "evil.png").exists()


def test_unbroken_parts_are_taken(archive: Path, tmp_path: Path) -> None:
    write(tmp_path / "same.zip", parts_of(archive))
    assert take_in(fresh(tmp_path, "other.db"), tmp_path / "same.zip").added == 3


@pytest.mark.parametrize("compression", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_what_could_unfold_is_refused(compression: int, archive: Path, tmp_path: Path) -> None:
    write(tmp_path / "bomb.zip", parts_of(archive), compression=compression)
    with pytest.raises(InputError, match="compressed"):
        Archive(tmp_path / "bomb.zip")


def test_parts_that_share_bytes_are_refused(archive: Path, tmp_path: Path) -> None:
    """As in bombs whose files overlap: the directory names one part many times."""
    parts = parts_of(archive)
    with zipfile.ZipFile(tmp_path / "overlap.zip", "w") as bomb:
        for name, data in parts.items():
            bomb.writestr(name, data)
        large = zipfile.ZipInfo("large")
        bomb.writestr(large, b"x" * 5_000)
        for number in range(50):
            copy = zipfile.ZipInfo(f"large{number}")
            copy.header_offset, copy.file_size, copy.compress_size = large.header_offset, 5_000, 5_000
            copy.CRC = large.CRC
            bomb.filelist.append(copy)
            bomb.NameToInfo[copy.filename] = copy
    with pytest.raises(InputError, match="larger than the file"):
        Archive(tmp_path / "overlap.zip")


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 0.999])
def test_a_part_of_a_file_is_refused(share: float, archive: Path, tmp_path: Path) -> None:
    data = archive.read_bytes()
    (tmp_path / "part.zip").write_bytes(data[: int(share * len(data))])
    with pytest.raises(InputError, match="not a whole archive"):
        Archive(tmp_path / "part.zip")


def test_any_flipped_byte_is_noticed_or_harmless(archive: Path, tmp_path: Path) -> None:
    data = bytearray(archive.read_bytes())
    rng = np.random.default_rng(8)
    expected = parts_of(archive)
    for at in rng.choice(len(data), 100, replace=False).tolist():
        flipped = bytes(data[:at]) + bytes([data[at] ^ 0x55]) + bytes(data[at + 1 :])
        (tmp_path / "flipped.zip").write_bytes(flipped)
        try:
            Archive(tmp_path / "flipped.zip").close()
        except InputError:
            continue
        assert parts_of(tmp_path / "flipped.zip") == expected


def test_a_file_that_changes_after_it_was_checked_is_refused(filled: Store, tmp_path: Path) -> None:
    add(filled, "Zoe", *range(10, 200))  # more than is read ahead
    path = export(filled, tmp_path / "archive.zip").path
    other = fresh(tmp_path, "other.db")
    with closing(Archive(path)) as opened:
        with path.open("r+b") as file:
            file.seek(path.read_bytes().index(picture(150)) + 50)
            file.write(b"????")
        with pytest.raises(InputError, match="not a whole archive"):
            load(other, opened)
    assert counts(other) == Counts(0, 0)


def test_a_missing_file_or_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingDataError, match="no such file"):
        Archive(tmp_path / "none.zip")
    for place in (tmp_path, Path("/dev/null")):
        with pytest.raises(InputError, match="a folder or a device"):
            Archive(place)
