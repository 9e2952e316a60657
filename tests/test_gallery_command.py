"""`samekind enroll`, `identify` and `gallery` as a user meets them: what they print, and their exit codes."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from samekind.bundle import Bundle
from samekind.data.glyphs import glyphs
from samekind.errors import GalleryError
from samekind.gallery.gallery import Gallery
from samekind.gallery.records import Enrolment, Identification
from test_cli import Ran, assert_refused, samekind


def answer(ran: Ran, code: int = 0) -> dict[str, object]:
    """The one JSON object that is all of standard output."""
    assert ran.code == code, ran
    assert ran.out.count("\n") == 1
    content = json.loads(ran.out)
    assert isinstance(content, dict)
    return content


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight sub-folders of four drawings; do not change it."""
    data = glyphs(8, 4, seed=77)
    folder: Path = tmp_path_factory.mktemp("people")
    for index in range(len(data)):
        place = folder / f"n{index // 4}"
        place.mkdir(exist_ok=True)
        data[index][0].save(place / f"{index % 4}.png")
    return folder


@pytest.fixture
def place(tmp_path: Path, bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty place for a gallery; the small bundle is named by `model`."""
    monkeypatch.setenv("SAMEKIND_GALLERY", str(tmp_path / "gallery.db"))
    return tmp_path / "gallery.db"


@pytest.fixture
def model(bundle: Bundle) -> tuple[str, str]:
    return ("--model", str(bundle.path))


@pytest.fixture
def enrolled(place: Path, people: Path, model: tuple[str, str]) -> Path:
    """All of them, by three drawings each."""
    for folder in sorted(people.iterdir()):
        assert samekind("enroll", folder.name, *sorted(folder.iterdir())[:3], *model).code == 0
    return place


def test_one_identity(place: Path, people: Path, model: tuple[str, str]) -> None:
    images = sorted((people / "n0").iterdir())
    done = answer(samekind("enroll", "Ann", *images[:2], "--metadata", "team=a=b", *model, "--json"))
    assert set(done) == {field.name for field in fields(Enrolment)}
    ran = samekind("enroll", "Ann", *images[1:3], *model)
    assert ran.out.startswith("Ann: 1 enrolled, 1 skipped that it holds already, 3 in all (")
    assert "samekind gallery undo" in ran.out
    shown = answer(samekind("gallery", "show", "Ann", "--json"))
    assert (shown["name"], shown["metadata"], shown["samples"]) == ("Ann", {"team": "a=b"}, 3)
    assert isinstance(shown["items"], list)
    assert len(shown["items"]) == 3
    by_id = samekind("gallery", "show", str(shown["id"]))
    assert "team: a=b" in by_id.out
    assert by_id.out.count("image ") == 3


def test_identify_answers_and_exits_accordingly(
    enrolled: Path, people: Path, tmp_path: Path, model: tuple[str, str]
) -> None:
    query = people / "n3" / "0.png"
    ran = samekind("identify", query, "--top", "3", *model, "--json")
    found = answer(ran, ran.code)
    assert set(found) == {field.name for field in fields(Identification)}
    assert ran.code == {"found": 0, "nobody": 1, "cannot tell": 3}[str(found["answer"])]
    candidates = found["candidates"]
    assert isinstance(candidates, list)
    assert len(candidates) == 3
    read = samekind("identify", query, *model)
    assert read.out.count("\n") == 6
    assert "8 searched, threshold" in read.out

    Image.new("L", (100, 100), 255).save(tmp_path / "blank.png")
    assert samekind("identify", tmp_path / "blank.png", *model).code == 3
    fresh = ("--gallery", str(tmp_path / "one.db"))
    assert samekind("enroll", "Ann", people / "n0" / "0.png", *model, *fresh).code == 0
    codes = {samekind("identify", people / f"n{n}" / "1.png", *model, *fresh).code for n in range(1, 8)}
    assert 1 in codes


def test_a_folder_is_enrolled_once(place: Path, people: Path, model: tuple[str, str]) -> None:
    done = answer(samekind("enroll", "--folder", people, *model, "--json"))
    assert (done["identities"], done["enrolled"], done["skipped"]) == (8, 32, 0)
    again = samekind("enroll", "--folder", people, *model)
    assert "8 identities: 0 images enrolled, 32 skipped" in again.out
    listed = answer(samekind("gallery", "list", "--json"))
    assert listed["total"] == 8


def test_show_lists_what_undo_takes(place: Path, people: Path, model: tuple[str, str]) -> None:
    assert "gallery show NAME" in samekind("enroll", "--folder", people, *model).err
    assert samekind("enroll", "n0", people / "n1" / "0.png", *model).code == 0
    enrolments = answer(samekind("gallery", "show", "n0", "--json"))["enrolments"]
    assert isinstance(enrolments, list)
    assert [enrolment["samples"] for enrolment in enrolments] == [4, 1]
    shown = samekind("gallery", "show", "n0").out
    for one in enrolments:
        assert f"  enrolment {one['id']}  {one['created']}  {one['samples']} images\n" in shown
    assert samekind("gallery", "undo", enrolments[0]["id"]).code == 0
    assert answer(samekind("gallery", "show", "n0", "--json"))["enrolments"] == enrolments[1:]


def test_a_folder_that_ends_early_says_what_it_did(
    place: Path, people: Path, model: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, calls = Gallery.enroll, iter([None, None, KeyboardInterrupt(), GalleryError("no more room")])

    def twice(gallery: Gallery, *arguments: Any, **options: Any) -> Enrolment:
        if error := next(calls, None):
            raise error
        return whole(gallery, *arguments, **options)

    monkeypatch.setattr(Gallery, "enroll", twice)
    ran = samekind("enroll", "--folder", people, *model, "--json")
    done = answer(ran, 130)
    assert (done["identities"], done["enrolled"]) == (3, 8)
    assert isinstance(done["enrolments"], list)
    assert len(done["enrolments"]) == 2
    assert ran.err.endswith("samekind: interrupted\n")
    assert_refused(samekind("enroll", "--folder", people, *model), "no more room")  # before anything was done


def test_names_of_a_folder_are_read_before_it_is_enrolled(
    place: Path, people: Path, tmp_path: Path, model: tuple[str, str]
) -> None:
    for name in ("good", "no\nname"):
        (tmp_path / "folder" / name).mkdir(parents=True)
        (tmp_path / "folder" / name / "1.png").write_bytes((people / "n0" / "0.png").read_bytes())
    assert_refused(
        samekind("enroll", "--folder", tmp_path / "folder", *model), r"'no\nname': expected a name", "U+000A"
    )
    assert not place.exists()


def test_what_cannot_be_read_makes_no_gallery(
    place: Path, people: Path, tmp_path: Path, model: tuple[str, str]
) -> None:
    (tmp_path / "text.png").write_bytes(b"no image")
    good = people / "n0" / "0.png"
    assert_refused(samekind("enroll", "Ann", good, tmp_path / "none.png", *model), "none.png: no such file")
    assert_refused(samekind("enroll", "Ann", good, tmp_path / "text.png", *model), "text.png: not an image")
    assert_refused(samekind("enroll", "Ann", *model), "at least one image of Ann")
    assert_refused(samekind("enroll", "a\nb", good, *model), "control characters")
    assert_refused(samekind("enroll", "--folder", tmp_path / "none", *model), "none: no such folder")
    assert not place.exists()


def test_an_image_may_come_through_a_pipe(place: Path, people: Path, model: tuple[str, str]) -> None:
    out, into = os.pipe()
    os.write(into, (people / "n0" / "0.png").read_bytes())
    os.close(into)
    ran = samekind("enroll", "Ann", f"/dev/fd/{out}", *model)
    os.close(out)
    assert ran.out.startswith("Ann: 1 enrolled"), ran


def test_bad_images_of_a_folder_are_left_out_or_refused(
    place: Path, people: Path, tmp_path: Path, model: tuple[str, str]
) -> None:
    folder = tmp_path / "folder"
    for name in ("good", "half", "bad"):
        (folder / name).mkdir(parents=True)
    (folder / "good" / "1.png").write_bytes((people / "n0" / "0.png").read_bytes())
    (folder / "half" / "1.png").write_bytes((people / "n1" / "0.png").read_bytes())
    for name in ("half", "bad"):
        (folder / name / "2.png").write_bytes(b"no image")
    assert_refused(
        samekind("enroll", "--folder", folder, "--on-bad-image", "error", *model), "bad/2.png", "not an image"
    )
    done = answer(samekind("enroll", "--folder", folder, *model, "--json"))
    assert done["enrolled"] == 2
    assert isinstance(done["bad"], list)
    assert len(done["bad"]) == 2
    read = samekind("enroll", "--folder", folder, *model)
    assert read.err.count("left out: ") == 2
    assert "2 unreadable" in read.out


def test_strict_refuses_what_the_guard_names(
    enrolled: Path, people: Path, tmp_path: Path, model: tuple[str, str]
) -> None:
    theirs = people / "n1" / "0.png"
    warned = samekind("enroll", "Ann", theirs, *model)
    assert warned.code == 0
    assert "the same image is enrolled for n1" in warned.err
    assert_refused(samekind("enroll", "Bob", theirs, "--strict", *model), "Bob: nothing was enrolled", "n1")
    folder = tmp_path / "strict"
    (folder / "Eve").mkdir(parents=True)
    (folder / "Eve" / "1.png").write_bytes(theirs.read_bytes())
    ran = samekind("enroll", "--folder", folder, "--strict", *model, "--json")
    assert answer(ran, 2)["refused"] == ["Eve"]


def test_strict_refuses_the_whole_of_an_identity(
    enrolled: Path, people: Path, tmp_path: Path, model: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("samekind.commands.enroll.AT_ONCE", 1)
    folder = tmp_path / "strict"
    (folder / "n0").mkdir(parents=True)
    (folder / "n0" / "1.png").write_bytes((people / "n0" / "3.png").read_bytes())
    for number in (2, 3):
        (folder / "n0" / f"{number}.png").write_bytes((people / "n1" / f"{number - 2}.png").read_bytes())
    alone = samekind("enroll", "--folder", folder, *model, "--json", "--collection", "alone")
    assert answer(alone)["enrolled"] == 3
    done = answer(samekind("enroll", "--folder", folder, "--strict", *model, "--json"), 2)
    assert (done["refused"], done["enrolled"], done["enrolments"]) == (["n0"], 0, [])
    assert answer(samekind("gallery", "show", "n0", "--json"))["samples"] == 3


def test_a_list_goes_by_pages(enrolled: Path) -> None:
    first = answer(samekind("gallery", "list", "--limit", "5", "--json"))
    assert (first["next"], first["total"]) == ("n4", 8)
    rest = answer(samekind("gallery", "list", "--limit", "5", "--after", "n4", "--json"))
    assert rest["next"] is None
    read = samekind("gallery", "list", "--limit", "5")
    assert read.out.count("\n") == 5
    assert "--after 'n4'" in read.err
    assert samekind("gallery", "list", "--search", "N7").out.count("\n") == 1


def test_remove_and_undo(enrolled: Path, people: Path, model: tuple[str, str]) -> None:
    done = answer(samekind("enroll", "n0", people / "n0" / "3.png", *model, "--json"))
    assert "removed 1 images" in samekind("gallery", "undo", str(done["id"])).out
    assert_refused(samekind("gallery", "undo", str(done["id"])), "no enrolment")
    assert answer(samekind("gallery", "remove", "n0", "n1", "--json")) == {"identities": 2, "samples": 6}
    assert_refused(samekind("gallery", "remove", "n2", "nobody"), "nobody is enrolled as nobody")
    shown = answer(samekind("gallery", "show", "n2", "--json"))  # nothing of a refused one was removed
    items = shown["items"]
    assert isinstance(items, list)
    assert "removed 0 identities, 1 images" in samekind("gallery", "remove", "--sample", items[0]["id"]).out
    assert_refused(samekind("gallery", "remove"), "expected either NAMEs or --sample")


def test_a_name_goes_before_an_id(enrolled: Path, people: Path, model: tuple[str, str]) -> None:
    id = str(answer(samekind("gallery", "show", "n0", "--json"))["id"])
    assert samekind("enroll", id, people / "n1" / "3.png", *model).code == 0
    assert answer(samekind("gallery", "show", id, "--json"))["name"] == id
    assert answer(samekind("gallery", "remove", id, "--json")) == {"identities": 1, "samples": 1}
    assert answer(samekind("gallery", "show", id, "--json"))["name"] == "n0"


def test_export_import_check_and_reembed(enrolled: Path, tmp_path: Path, bundle: Bundle) -> None:
    archive = tmp_path / "archive.zip"
    done = answer(samekind("gallery", "export", archive, "--json"))
    assert (done["identities"], done["samples"]) == (8, 24)
    other = ("--gallery", str(tmp_path / "other.db"))
    taken = answer(samekind("gallery", "import", archive, *other, "--json"))
    assert (taken["identities"], taken["added"], taken["skipped"]) == (8, 24, 0)
    assert samekind("gallery", "check", *other).out == "whole\n"
    assert answer(samekind("gallery", "check", *other, "--json")) == {"problems": []}
    ran = samekind("gallery", "reembed", "--model", bundle.path, *other, "--json")
    assert answer(ran) == {"samples": 24, "fingerprint": bundle.fingerprint}
    assert "embedding: 24 of 24 images" in ran.err
    assert_refused(samekind("gallery", "import", enrolled, *other), "not a whole archive of a gallery")


def test_a_damaged_gallery_is_named(enrolled: Path) -> None:
    connection = sqlite3.connect(enrolled)
    connection.execute("UPDATE crop SET png = x'00' WHERE sample = 2")
    connection.execute("UPDATE sample SET embedding = x'00000000' WHERE key = 3")
    connection.execute("UPDATE sample SET embedding = x'000000' WHERE key = 4")
    connection.execute("UPDATE identity SET samples = 7 WHERE key = 6")
    connection.execute("DELETE FROM sample WHERE identity = 8")
    connection.commit()
    connection.close()
    ran = samekind("gallery", "check")
    assert ran.code == 1
    for words in (
        "n0: sample",
        "a damaged picture",
        "an embedding of",
        "n1: damaged: an embedding is cut off",
        "n5: 3 samples, where 7 were counted",
        "n7: no sample is left of it",
    ):
        assert words in ran.out


def test_wrong_use_is_one_line(place: Path, people: Path, tmp_path: Path, model: tuple[str, str]) -> None:
    image = people / "n0" / "0.png"
    assert_refused(samekind("enroll"), "expected either NAME and IMAGEs or --folder")
    assert_refused(samekind("enroll", "Ann", image, "--folder", people), "expected either")
    assert_refused(samekind("enroll", "--folder", people, "--metadata", "a=b"), "of one identity")
    assert_refused(samekind("enroll", "Ann", *model), "at least one image of Ann")
    assert_refused(samekind("enroll", "Ann", image, "--on-bad-image", "skip", *model), "--on-bad-image with --folder")
    assert_refused(samekind("enroll", "Ann", image, "--metadata", "a", *model), "KEY=TEXT")
    assert_refused(samekind("enroll", "a\nb", image, *model), "control characters")
    assert_refused(samekind("identify", image, "--gallery", tmp_path / "none.db", *model), "no such gallery")
    assert_refused(samekind("gallery", "list", "--gallery", tmp_path / "none.db"), "no such gallery")
    assert_refused(samekind("gallery", "list", "--gallery", image), "not a gallery")
    assert_refused(samekind("gallery", "list", "--gallery", tmp_path), "Is a directory")
    assert samekind("enroll", "Ann", image, *model).code == 0
    assert_refused(samekind("identify", image, "--collection", "other", *model), "no collection other", "default")
    assert_refused(samekind("identify", image, "--model", "omniglot"), "samekind gallery reembed")
    assert_refused(samekind("enroll", "Ann", tmp_path / "none.png", *model), "none.png: no such file")
    assert_refused(samekind("gallery", "show", "Bob"), "nobody is enrolled as Bob")


@pytest.mark.parametrize("group", ["gallery", "keys"])
def test_a_group_alone_lists_its_commands(group: str) -> None:
    ran = samekind(group)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith(f"Usage: samekind {group} ")
    assert "  list  " in ran.err
    assert samekind(group, "--help").out.strip() == ran.err.strip()


@pytest.mark.slow
def test_an_interrupted_folder_goes_on_where_it_stopped(
    place: Path, people: Path, bundle: Bundle, model: tuple[str, str]
) -> None:
    command = [sys.executable, "-m", "samekind", "enroll", "--folder", str(people), *model]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as child:
        assert child.stderr is not None
        first = child.stderr.readline()
        child.send_signal(signal.SIGINT)
        said = child.stderr.read()
    if child.returncode == 0:
        pytest.skip("it was faster than the interruption")
    assert "enrolling:" in first
    assert child.returncode == 130
    assert said.endswith("samekind: interrupted\n")
    done = answer(samekind("enroll", "--folder", people, *model, "--json"))
    assert isinstance(done["skipped"], int)
    assert isinstance(done["enrolled"], int)
    assert done["skipped"] > 0
    assert done["skipped"] + done["enrolled"] == 32
