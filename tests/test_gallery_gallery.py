"""A gallery as its users meet it: who is enrolled, who is found, and what is left of those who went."""

import hashlib
import io
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from samekind.bundle import Bundle, save_calibrated
from samekind.data.glyphs import glyphs
from samekind.data.labelled import LabelledImages
from samekind.errors import (
    EnrolmentRefusedError,
    GalleryError,
    ImageError,
    InputError,
    MissingDataError,
    NotEnrolledError,
    NoThresholdError,
)
from samekind.gallery.gallery import Gallery
from samekind.gallery.records import Enrolment
from samekind.gallery.store import Counts
from samekind.images import crop
from samekind.similarity import combine
from samekind.verifier import Verifier


@pytest.fixture(scope="module")
def drawings() -> LabelledImages:
    """Twelve characters of six drawings."""
    return glyphs(12, 6, seed=41)


@pytest.fixture(scope="module")
def verifier(bundle: Bundle) -> Verifier:
    return Verifier(bundle, threads=1)


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a gallery may be made."""
    if request.param == "sqlite":
        return str(tmp_path / "gallery.db")
    database: str = request.getfixturevalue("postgres")()
    return database


@pytest.fixture
def gallery(place: str, verifier: Verifier) -> Iterator[Gallery]:
    with Gallery.open(place, verifier) as opened:
        yield opened


def png(drawings: LabelledImages, who: int, number: int) -> bytes:
    stream = io.BytesIO()
    drawings[6 * who + number][0].save(stream, "PNG")
    return stream.getvalue()


def fill(gallery: Gallery, drawings: LabelledImages, *, each: int = 3, people: int = 12) -> list[Enrolment]:
    return [gallery.enroll(f"n{who:02}", [png(drawings, who, n) for n in range(each)]) for who in range(people)]


def test_who_is_enrolled_is_found(gallery: Gallery, drawings: LabelledImages, verifier: Verifier) -> None:
    enrolled = fill(gallery, drawings)
    assert gallery.counts() == Counts(12, 36)
    right = 0
    for who in range(12):
        found = gallery.identify(png(drawings, who, 4), top=3)
        assert len(found.candidates) == 3
        assert found.identities == 12
        right += found.candidates[0].id == enrolled[who].identity.id
        for candidate in found.candidates:
            crops = [gallery.crop(sample.id) for sample in gallery.samples(candidate.id)]
            embeddings = verifier.embed([crop(png(drawings, who, 4)), *crops])
            assert candidate.score == float(verifier.similarity(embeddings[0], combine(embeddings[1:])))
    assert right >= 8


def test_probabilities_of_all_add_up_to_no_more_than_one(gallery: Gallery, drawings: LabelledImages) -> None:
    fill(gallery, drawings)
    found = gallery.identify(png(drawings, 3, 5), top=12)
    assert len(found.candidates) == 12
    assert sum(candidate.probability for candidate in found.candidates) <= 1
    few = gallery.identify(png(drawings, 3, 5), top=2)
    for one, other in zip(few.candidates, found.candidates, strict=False):
        assert (one.id, one.score) == (other.id, other.score)
        assert one.probability == pytest.approx(other.probability, rel=1e-5)


def test_an_empty_gallery_finds_nobody(gallery: Gallery, drawings: LabelledImages) -> None:
    found = gallery.identify(png(drawings, 0, 0))
    assert (found.answer, found.candidates, found.identities) == ("nobody", (), 0)


def test_enrolment_says_what_it_did(gallery: Gallery, drawings: LabelledImages) -> None:
    first, second = png(drawings, 0, 0), png(drawings, 0, 1)
    done = gallery.enroll(" Ann ", [first, second, first], metadata={"team": "a"})
    assert done.id is not None
    assert (done.identity.name, done.identity.samples, done.identity.metadata) == ("Ann", 2, {"team": "a"})
    assert [sample.digest for sample in done.samples] == [hashlib.sha256(data).hexdigest() for data in (first, second)]
    assert done.skipped == (2,)
    again = gallery.enroll("Ann", [second, png(drawings, 0, 2)])
    assert again.skipped == (0,)
    assert again.identity.metadata == {"team": "a"}
    nothing = gallery.enroll("Ann", [first])
    assert (nothing.id, nothing.samples, nothing.skipped) == (None, (), (0,))
    assert gallery.find("Ann") == gallery.identity(done.identity.id) == nothing.identity
    assert [sample.digest for sample in gallery.samples(done.identity.id)][:2] == [s.digest for s in done.samples]


def test_every_kind_of_image_is_taken(gallery: Gallery, drawings: LabelledImages, tmp_path: Path) -> None:
    data = png(drawings, 0, 0)
    path = tmp_path / "a.png"
    path.write_bytes(data)
    image = Image.open(io.BytesIO(png(drawings, 0, 1)))
    array = np.asarray(Image.open(io.BytesIO(png(drawings, 0, 2))).convert("L"))
    done = gallery.enroll("Ann", [path, image, array])
    assert done.samples[0].digest == hashlib.sha256(data).hexdigest()
    assert gallery.enroll("Ann", [data, str(path), image, array]).skipped == (0, 1, 2, 3)
    with pytest.raises(InputError, match="expected a list of images, got str"):
        gallery.enroll("Ann", str(path))


def test_a_bad_image_is_named_and_nothing_is_enrolled(
    gallery: Gallery, drawings: LabelledImages, tmp_path: Path
) -> None:
    path = tmp_path / "bad.png"
    path.write_bytes(b"no image at all")
    with pytest.raises(ImageError, match=r"bad\.png: not an image"):
        gallery.enroll("Ann", [png(drawings, 0, 0), path])
    with pytest.raises(MissingDataError, match="no such file"):
        gallery.enroll("Ann", [tmp_path / "none.png"])
    with pytest.raises(InputError, match="at least one image"):
        gallery.enroll("Ann", [])
    assert gallery.counts() == Counts(0, 0)


def test_more_samples_by_id(gallery: Gallery, drawings: LabelledImages) -> None:
    ann = gallery.enroll("Ann", [png(drawings, 0, 0)]).identity
    assert gallery.add(ann.id, [png(drawings, 0, 1)]).identity.samples == 2
    with pytest.raises(NotEnrolledError, match="no identity"):
        gallery.add("0" * 32, [png(drawings, 0, 1)])


def test_the_guard_warns_and_refuses_only_when_strict(gallery: Gallery, drawings: LabelledImages) -> None:
    fill(gallery, drawings)
    same = png(drawings, 3, 0)
    warned = gallery.enroll("n04", [png(drawings, 4, 0), png(drawings, 4, 4), same])
    assert warned.skipped == (0,)
    (concern,) = [c for c in warned.concerns if c.kind == "same image"]
    assert (concern.image, concern.other) == (2, "n03")
    blank = Image.new("L", (105, 105), 255)
    with pytest.raises(EnrolmentRefusedError, match="nothing was enrolled: image 1: saturated") as refused:
        gallery.enroll("new", [blank], strict=True)
    assert [c.kind for c in refused.value.concerns] == ["poor image"]
    with pytest.raises(NotEnrolledError):
        gallery.find("new")


def test_undo_and_remove(gallery: Gallery, drawings: LabelledImages) -> None:
    enrolled = fill(gallery, drawings, people=3)
    more = gallery.enroll("n00", [png(drawings, 0, 4)])
    assert more.id is not None
    assert gallery.undo(more.id) == 1
    gallery.remove(enrolled[1].identity.id)
    gallery.remove_sample(enrolled[2].samples[0].id)
    assert gallery.counts() == Counts(2, 5)
    found = gallery.identify(png(drawings, 1, 0), top=5)
    assert {candidate.name for candidate in found.candidates} == {"n00", "n02"}
    for use in (
        lambda: gallery.remove(enrolled[1].identity.id),
        lambda: gallery.samples(enrolled[1].identity.id),
        lambda: gallery.crop(enrolled[1].samples[0].id),
        lambda: gallery.verify(png(drawings, 1, 0), enrolled[1].identity.id),
    ):
        with pytest.raises(NotEnrolledError):
            use()


def test_verify_is_the_verifiers_own(gallery: Gallery, drawings: LabelledImages, verifier: Verifier) -> None:
    ann = gallery.enroll("Ann", [png(drawings, 0, n) for n in range(3)]).identity
    crops = [gallery.crop(sample.id) for sample in gallery.samples(ann.id)]
    for query in (png(drawings, 0, 4), png(drawings, 5, 0), png(drawings, 0, 1)):
        assert gallery.verify(query, ann.id) == verifier.verify(crop(query), crops)


def test_it_follows_what_another_wrote(gallery: Gallery, drawings: LabelledImages, place: str) -> None:
    fill(gallery, drawings, people=3)
    query = png(drawings, 7, 4)
    assert gallery.identify(query).identities == 3
    with Gallery.open(place, gallery.verifier, create=False) as other:
        seven = other.enroll("seven", [png(drawings, 7, n) for n in range(3)]).identity
        found = gallery.identify(query, top=4)
        assert found.identities == 4
        assert found == other.identify(query, top=4)
        other.add(seven.id, [query])
        assert gallery.identify(query).candidates[0].samples == 4
        assert gallery.identify(query) == other.identify(query)
        other.remove(seven.id)
        assert gallery.identify(query) == other.identify(query)
        assert gallery.identify(query).identities == 3


def test_another_model_is_refused_until_all_is_embedded_anew(
    gallery: Gallery, drawings: LabelledImages, place: str
) -> None:
    fill(gallery, drawings, people=4)
    before = gallery.identify(png(drawings, 2, 4), top=4)
    shipped = Verifier.load("omniglot", threads=1)
    with pytest.raises(GalleryError, match="gallery reembed"):
        Gallery.open(place, shipped)
    other = Gallery.open(place, gallery.verifier)
    assert gallery.reembed(shipped) == 12
    assert gallery.verifier is shipped
    assert gallery.check() == ()
    after = gallery.identify(png(drawings, 2, 4), top=4)
    assert after.candidates[0].score != before.candidates[0].score
    for use in (lambda: other.identify(png(drawings, 2, 4)), lambda: other.enroll("new", [png(drawings, 9, 0)])):
        with pytest.raises(GalleryError, match="gallery reembed"):
            use()
    with Gallery.open(place, shipped) as opened:
        assert opened.identify(png(drawings, 2, 4), top=4) == after
        assert opened.reembed(other.verifier) == 12
        assert opened.identify(png(drawings, 2, 4), top=4) == before
    other.close()


def test_embedding_anew_by_the_same_model_changes_nothing(gallery: Gallery, verifier: Verifier) -> None:
    rng = np.random.default_rng(3)
    large = rng.integers(0, 256, size=(700, 900, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(large).save(stream, "JPEG")
    gallery.enroll("Ann", [stream.getvalue(), large[:300, :100], large[..., 0]])
    with gallery.store.reading() as rows:
        before = [s.embedding for s in rows.contents(gallery.find("Ann").id)]
    assert gallery.reembed(verifier) == 3
    with gallery.store.reading() as rows:
        after = [s.embedding for s in rows.contents(gallery.find("Ann").id)]
    np.testing.assert_array_equal(before, after)


def test_a_bundle_without_calibration_enrolls_but_does_not_decide(
    bundle: Bundle, drawings: LabelledImages, place: str
) -> None:
    bare = Verifier(replace(bundle, manifest=replace(bundle.manifest, calibration=None)))
    with Gallery.open(place, bare) as gallery:
        assert gallery.enroll("Ann", [png(drawings, 0, 0)]).concerns == ()
        with pytest.raises(NoThresholdError):
            gallery.identify(png(drawings, 0, 1))


def test_a_calibration_anew_needs_no_embedding_anew(
    bundle: Bundle, drawings: LabelledImages, place: str, tmp_path: Path
) -> None:
    calibration = bundle.manifest.calibration
    assert calibration is not None
    with Gallery.open(place, Verifier(bundle)) as gallery:
        gallery.enroll("Ann", [png(drawings, 0, 0)])
    other = save_calibrated(bundle, tmp_path / "other", replace(calibration, prior=0.4))
    with Gallery.open(place, Verifier(other)) as gallery:
        assert gallery.identify(png(drawings, 0, 1)).prior == 0.4


def test_pages_of_names(gallery: Gallery, drawings: LabelledImages) -> None:
    fill(gallery, drawings, each=1)
    names = [identity.name for identity in gallery.identities(limit=5)]
    names += [identity.name for identity in gallery.identities(after=names[-1], limit=100)]
    assert names == [f"n{who:02}" for who in range(12)]
    assert [identity.name for identity in gallery.identities(search="N1")] == ["n10", "n11"]
    with pytest.raises(InputError, match="limit"):
        gallery.identities(limit=0)


def test_many_threads_at_once(gallery: Gallery, drawings: LabelledImages) -> None:
    fill(gallery, drawings, each=2, people=4)
    errors: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for round_ in range(5):
                done = gallery.enroll(f"t{number}", [png(drawings, 4 + number, round_)])
                found = gallery.identify(png(drawings, 4 + number, round_), top=10)
                assert done.identity.id in {candidate.id for candidate in found.candidates}
                if round_ % 2 and done.id:
                    gallery.undo(done.id)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert gallery.counts() == Counts(10, 8 + 6 * 3)
    assert gallery.check() == ()


def everything_in(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.iterdir()))


@pytest.mark.parametrize("place", ["sqlite"], indirect=True)
def test_what_was_removed_is_in_no_file(gallery: Gallery, drawings: LabelledImages, tmp_path: Path) -> None:
    gallery.enroll("before", [png(drawings, 0, 0)])
    done = gallery.enroll("Erased Name 7391", [png(drawings, 1, n) for n in range(5)], metadata={"secret 4711": "wörd"})
    gallery.enroll("after", [png(drawings, 2, 0)])
    with gallery.store.reading() as rows:
        kept = rows.contents(done.identity.id)
    traces = [b"Erased Name 7391", b"erased name 7391", b"secret 4711", "wörd".encode(), done.identity.id.encode()]
    for sample in kept:
        traces += [sample.embedding.tobytes(), sample.crop, sample.digest.encode(), sample.id.encode()]
    before = everything_in(tmp_path)
    assert all(trace in before for trace in traces if len(trace) < 200)
    gallery.remove(done.identity.id)
    left = everything_in(tmp_path)
    assert not [trace for trace in traces if trace in left]
    for sample in kept:
        blobs = (sample.embedding.tobytes(), sample.crop[60:-20])  # every PNG begins and ends alike
        parts = [blob[at : at + 16] for blob in blobs for at in range(0, len(blob) - 16, 8)]
        assert not [part for part in parts if part in left]
    assert (tmp_path / "gallery.db-wal").exists()
    assert gallery.check() == ()
    assert gallery.counts() == Counts(2, 2)
